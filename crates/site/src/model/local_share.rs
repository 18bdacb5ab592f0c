//! What share of calls could have been answered at the site: put together from the pages of calls as somebody
//! asks, by the models that there are now (ADR 31).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base::{CallId, Namespace, Timestamp};
use models::{
    Admitted, Corrected, End, Entry, Given, Judged, LocalModel, ModelName, OwnPrice, PriceSpec,
    Settled, Supposed, Used, local_model, local_share_of,
};
use pricing::{Money, Totals, Usage};
use wire::{LocalPart, LocalShare, LocalShareRow};

use super::book::entries;
use super::shelf::{Kept, Models};
use crate::refusal::Refusal;

/// Pages that are read at once.
const PAGES_READ: u32 = 16;

/// Bytes of pages that one question reads: some 800,000 calls. Others wait for their turn meanwhile, so it is
/// no more than some seconds.
const READ_BYTES_MAX: usize = 512 * 1024 * 1024;

/// And how many pages, where they are small: those of a quiet site.
const PAGES_MAX: usize = 100_000;

/// Rows of one answer; what is beyond is in the total alone.
const ROWS_MAX: usize = 10_000;

/// By what calls can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Namespace,
    Watch,
    Key,
    Model,
    Operation,
    Day,
}

impl By {
    const ALL: [Self; 6] =
        [Self::Namespace, Self::Watch, Self::Key, Self::Model, Self::Operation, Self::Day];

    const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Watch => "watch",
            Self::Key => "key",
            Self::Model => "model",
            Self::Operation => "operation",
            Self::Day => "day",
        }
    }

    /// Names with commas between them.
    pub(crate) fn read(text: &str) -> Result<Vec<Self>, String> {
        let one = |name: &str| {
            let found = Self::ALL.into_iter().find(|it| it.name() == name.trim());
            found.ok_or_else(|| format!("one or more of {}", Self::ALL.map(Self::name).join(", ")))
        };
        text.split(',').map(one).collect()
    }

    /// What it is for this call; nothing, where it has none.
    fn of(self, admitted: &Admitted, settled: &Settled) -> String {
        let watched = admitted.watched.as_ref();
        match self {
            Self::Namespace => admitted.who.namespace.to_string(),
            Self::Watch => watched.map(|it| it.by.to_string()).unwrap_or_default(),
            Self::Key => match (watched, &admitted.who.key) {
                (Some(watched), _) => watched.client.clone().unwrap_or_default(),
                (None, Some(key)) => key.to_string(),
                (None, None) => String::new(),
            },
            Self::Model => answered_by(settled).unwrap_or(&admitted.asked).to_string(),
            Self::Operation => admitted.operation.as_str().to_owned(),
            Self::Day => admitted.at.to_string().chars().take(10).collect(),
        }
    }
}

/// What somebody asks.
pub(crate) struct Wanted {
    pub by: Vec<By>,
    pub since: Timestamp,
    pub supposed: Supposed,
}

/// What calls come to, and what share of them.
#[derive(Default)]
struct Row {
    calls: u64,
    tokens: u64,
    cost: Vec<Money>,
    local_calls: u64,
    local_tokens: u64,
    local_cost: Vec<Money>,
    cost_here: Vec<Money>,
    why: BTreeMap<&'static str, u64>,
    found: BTreeMap<String, u64>,
    estimated: u64,
    unpriced: u64,
    unseen: u64,
    failed: u64,
    at_site: u64,
}

/// What is looked up of a call.
struct Call<'a> {
    admitted: &'a Admitted,
    settled: &'a Settled,
    corrected: Option<&'a Corrected>,
}

/// Where a call went.
enum Went {
    Failed,
    /// A model at the site has answered, or none at all.
    AtSite,
    Elsewhere,
}

/// The shelf as it is while a question is answered.
struct Shelf {
    kept: Kept,
    here: BTreeSet<String>,
    models: Vec<LocalModel>,
}

impl Models {
    /// Of the namespaces that `may_see` lets through.
    pub(crate) async fn local_share(
        &self,
        wanted: Wanted,
        may_see: impl Fn(&Namespace) -> bool + Send,
    ) -> Result<LocalShare, Refusal> {
        let Wanted { by, since, supposed } = wanted;
        let shelf = self.judged_by(&may_see);
        let (mut total, mut rows) = (Row::default(), BTreeMap::<Vec<String>, Row>::new());
        let (mut ends, mut corrections) = (HashMap::new(), HashMap::new());
        let (mut before, mut read, mut pages_read) = (None, 0, 0);
        let mut reached = since;
        loop {
            let pages = self.0.store.call_page_newest(before, PAGES_READ).await?;
            let Some(last) = pages.last() else { break };
            before = Some(last.first);
            for page in pages.iter().filter(|page| page.at >= since) {
                read += page.record.len();
                for (_, line) in entries(page).rev() {
                    let entry = serde_json::from_slice::<Entry>(&line);
                    let Ok(Some((admitted, settled))) =
                        entry.map(|it| paired(it, &mut ends, &mut corrections))
                    else {
                        continue;
                    };
                    if admitted.at < since || !may_see(&admitted.who.namespace) {
                        continue;
                    }
                    let corrected = corrections.remove(&admitted.call);
                    let call = Call {
                        admitted: &admitted,
                        settled: &settled,
                        corrected: corrected.as_ref(),
                    };
                    let group: Vec<String> =
                        by.iter().map(|by| by.of(&admitted, &settled)).collect();
                    total.add(&shelf, &supposed, &call);
                    if rows.len() < ROWS_MAX || rows.contains_key(&group) {
                        rows.entry(group).or_default().add(&shelf, &supposed, &call);
                    }
                }
            }
            pages_read += pages.len();
            if last.at < since {
                break;
            }
            if read > READ_BYTES_MAX || pages_read >= PAGES_MAX {
                reached = last.at;
                break;
            }
            // Others have their turn.
            tokio::task::yield_now().await;
        }
        let named = |model: &LocalModel| format!("{}/{}", model.namespace, model.name);
        Ok(LocalShare {
            since: reached.to_string(),
            is_whole: reached == since,
            models: shelf.models.iter().map(named).collect(),
            items: rows.into_iter().map(|(group, row)| row.view(&by, group)).collect(),
            total: total.view(&[], Vec::new()),
        })
    }

    /// The models that calls may be judged by, of namespaces that may be seen.
    fn judged_by(&self, may_see: impl Fn(&Namespace) -> bool) -> Shelf {
        let (kept, here) = (self.kept().clone(), self.0.guarding.here.clone());
        let all = kept.models.iter();
        let models = all.filter_map(|((namespace, name), doc)| {
            let is_seen = may_see(namespace) || !doc.spec.share.is_empty();
            is_seen.then(|| local_model(namespace, name, &doc.spec, &here)).flatten()
        });
        let models = models.collect();
        Shelf { kept, here, models }
    }
}

/// The call, when its beginning is found: that lies further back than its end, and that than what was known later.
fn paired(
    entry: Entry,
    ends: &mut HashMap<CallId, Settled>,
    corrections: &mut HashMap<CallId, Corrected>,
) -> Option<(Admitted, Settled)> {
    match entry {
        Entry::Settled(entry) => {
            ends.insert(entry.call, entry);
            None
        }
        Entry::Corrected(entry) => {
            corrections.insert(entry.call, entry);
            None
        }
        Entry::Admitted(entry) => {
            let end = ends.remove(&entry.call)?;
            Some((entry, end))
        }
    }
}

/// The model whose answer was given; where none was, the one that was tried last.
fn answered_by(settled: &Settled) -> Option<&ModelName> {
    let leg = match settled.resort {
        Some(Given::Cached | Given::Rule | Given::Person) => None,
        Some(Given::Unsure) | None => settled.answering().or(settled.legs.last()),
    };
    leg.map(|leg| &leg.model)
}

impl Shelf {
    fn went(&self, call: &Call<'_>) -> Went {
        let Call { admitted, settled, .. } = call;
        match settled.end {
            End::Refused | End::Failed | End::Unknown => return Went::Failed,
            End::Answered | End::Withheld | End::Left => {}
        }
        let namespace = &admitted.who.namespace;
        if let Some(watched) = &admitted.watched {
            let watch = self.kept.watches.get(&(namespace.clone(), watched.by.clone()));
            let is_here = watch.is_some_and(|it| models::is_here(&it.spec.url, &self.here));
            return if is_here { Went::AtSite } else { Went::Elsewhere };
        }
        let Some(model) = answered_by(settled).filter(|_| settled.cached_from.is_none()) else {
            return Went::AtSite;
        };
        let own = self.kept.models.get(&(namespace.clone(), model.clone()));
        let shared = || {
            let mut all = self.kept.models.iter().filter(|((_, name), _)| name == model);
            all.find(|(_, doc)| doc.spec.is_shared_with(namespace)).map(|(_, doc)| doc)
        };
        // Only a process of this site is measured in time: one that is gone was here.
        let worked = settled.bills.iter().filter(|it| it.model == *model);
        let has_run = worked.filter_map(|it| it.usage).any(|used| used.millis > 0);
        let is_here = own.or_else(shared).map_or(has_run, |doc| doc.spec.is_here(&self.here));
        if is_here { Went::AtSite } else { Went::Elsewhere }
    }
}

impl Row {
    fn add(&mut self, shelf: &Shelf, supposed: &Supposed, call: &Call<'_>) {
        let Call { admitted, settled, .. } = call;
        match shelf.went(call) {
            Went::Failed => {
                self.failed += 1;
                return;
            }
            Went::AtSite => {
                self.at_site += 1;
                return;
            }
            Went::Elsewhere => {}
        }
        let model = answered_by(settled);
        let bill = settled.bills.iter().rfind(|bill| model.is_none_or(|it| bill.model == *it));
        let used = bill.and_then(|bill| bill.usage).unwrap_or_default();
        let (tokens, cost) = (used.input + used.output, call.cost());
        self.calls += 1;
        self.tokens += tokens;
        cost.iter().for_each(|cost| add(&mut self.cost, *cost));
        self.unpriced +=
            u64::from(settled.bills.iter().any(|bill| bill.cost.is_none() && !bill.is_free));
        if let Some(watched) = &admitted.watched {
            self.estimated += u64::from(watched.estimated);
            self.unseen += u64::from(watched.unseen.is_some());
            for (class, count) in watched.found.iter().flatten() {
                *self.found.entry(class.clone()).or_default() += count;
            }
        }
        match local_share_of(&shelf.models, supposed, admitted, settled) {
            Judged::Local(model) => {
                self.local_calls += 1;
                self.local_tokens += tokens;
                cost.iter().for_each(|cost| add(&mut self.local_cost, *cost));
                if let Some(cost) = cost_here(model, &used) {
                    add(&mut self.cost_here, cost);
                }
            }
            Judged::Elsewhere(lacks) => {
                lacks.iter().for_each(|it| *self.why.entry(it.as_str()).or_default() += 1);
            }
        }
    }

    fn view(self, by: &[By], group: Vec<String>) -> LocalShareRow {
        let shown = |all: &[Money]| all.iter().map(ToString::to_string).collect();
        let percent_of_cost = match (&self.cost[..], &self.local_cost[..]) {
            ([all], []) if all.amount.pico() > 0 => Some(0),
            ([all], [part]) if all.currency == part.currency && all.amount.pico() > 0 => {
                Some(percent(part.amount.pico(), all.amount.pico()))
            }
            _ => None,
        };
        LocalShareRow {
            group: by.iter().map(|by| by.name().to_owned()).zip(group).collect(),
            calls: self.calls,
            tokens: self.tokens,
            cost: shown(&self.cost),
            local: LocalPart {
                calls: self.local_calls,
                tokens: self.local_tokens,
                cost: shown(&self.local_cost),
                cost_here: shown(&self.cost_here),
                percent_of_calls: percent(self.local_calls.into(), self.calls.into()),
                percent_of_tokens: percent(self.local_tokens.into(), self.tokens.into()),
                percent_of_cost,
            },
            why: self.why.into_iter().map(|(why, count)| (why.to_owned(), count)).collect(),
            found: self.found,
            estimated: self.estimated,
            unpriced: self.unpriced,
            unseen: self.unseen,
            failed: self.failed,
            at_site: self.at_site,
        }
    }
}

impl Call<'_> {
    /// What it has cost, as far as somebody knows it.
    fn cost(&self) -> Vec<Money> {
        let mut cost = Vec::new();
        let corrected = self.corrected.map(|it| &it.bills[..]).unwrap_or_default();
        for bill in &self.settled.bills {
            let known = corrected.iter().find(|it| bill.is_bound && it.model == bill.model);
            if let Some(money) = known.map(|it| it.cost).or(bill.cost) {
                add(&mut cost, money);
            }
        }
        cost
    }
}

/// What the same would have cost there, where that has a price of its own by tokens.
fn cost_here(model: &LocalModel, used: &Used) -> Option<Money> {
    let Some(PriceSpec::Own(own)) = &model.spec.price else { return None };
    let price = OwnPrice::price(own, pricing::OWN, model.name.as_str()).ok()?;
    let totals = Totals { input: used.input, output: used.output, ..Totals::default() };
    price.cost(&Usage::of(&totals).ok()?).ok()
}

fn percent(part: u128, whole: u128) -> u32 {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    u32::try_from(percent).unwrap_or(u32::MAX)
}

fn add(sums: &mut Vec<Money>, more: Money) {
    match sums.iter_mut().find(|sum| sum.currency == more.currency) {
        Some(sum) => *sum = sum.plus(more).unwrap_or(*sum),
        None => sums.push(more),
    }
}
