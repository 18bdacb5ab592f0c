//! What calls of models at the sites have used and cost, as they say themselves, hour by hour.
//!
//! A reconciler over what has been taken, like `lease`. Each word says what an hour of a site's life comes to in
//! all, so that one that comes again, or late, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::stream::Stream;
use base::{IncarnationId, Namespace, SiteName, Timestamp, document};
use models::{Sum, Used};
use pricing::Money;
use serde::{Deserialize, Serialize};
use server::{Facet, Refusal, Roles, usage_rows};
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store, resource_all};
use tokio::sync::Mutex;
use wire::usage::{UsageSum, UsageWord};
use wire::{ProblemCode, Role, UsageList, UsageRow};

use crate::Hub;

/// Entries that are read at once.
const PAGE: u32 = 500;

/// After the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// Hours that are over for so long are forgotten: two years, for whoever compares one with the one before.
const KEPT: base::Duration = base::Duration::from_secs(2 * 366 * 24 * 3600);

/// Sums of all sites and hours: each is some 400 bytes, here and in the store. Beyond, the oldest hours go.
const SUMS_MAX: usize = 500_000;

const HOUR_TYPE: &str = "isonomy.usage-hour";
const CURSOR_TYPE: &str = "isonomy.usage-cursor";
const VERSION: u32 = 1;

/// There is one. No site is called so: its rows have slashes.
const CURSOR: &str = "cursor";

/// An hour, of a site, in one of its lives; and which part of it.
type Part = (Timestamp, SiteName, IncarnationId, u32);

#[derive(Default)]
pub(crate) struct Usages(Mutex<Option<State>>);

struct State {
    looked: u64,
    parts: BTreeMap<Part, Said>,
    sums: usize,
}

/// What a site has said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    number: u64,
    sums: Vec<UsageSum>,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    entry: u64,
}

#[derive(Serialize, Deserialize)]
struct Doc {
    site: SiteName,
    life: IncarnationId,
    hour: Timestamp,
    page: u32,
    #[serde(flatten)]
    said: Said,
}

/// By what usage can be told apart at a hub.
pub(crate) const FACETS: [Facet; 7] = [
    Facet::Site,
    Facet::Namespace,
    Facet::Workflow,
    Facet::Model,
    Facet::Operation,
    Facet::Day,
    Facet::Hour,
];

/// Looks at what comes, until it is dropped.
pub(crate) async fn keep(hub: &Hub) {
    let mut taken = hub.desks().taken();
    loop {
        hub.0.recovery.over().await;
        taken.borrow_and_update();
        if let Err(refusal) = hub.usage_turn().await {
            tracing::error!(%refusal, "cannot take what sites say of costs");
            // What was heard and not written is read again.
            *hub.0.usages.0.lock().await = None;
            tokio::time::sleep(RETRY).await;
            continue;
        }
        if taken.changed().await.is_err() {
            return;
        }
    }
}

impl State {
    async fn load(store: &dyn Store) -> Result<Self, Refusal> {
        let mut state = Self { looked: 0, parts: BTreeMap::new(), sums: 0 };
        for row in resource_all(store, ResourceKind::Calls).await? {
            let damaged = |_| {
                let what = format!("the usage `{}` is damaged, or of a newer version", row.name);
                Refusal::new(ProblemCode::StoreFailed, what)
            };
            if row.name == CURSOR {
                let cursor: Cursor =
                    document::read(&row.record, CURSOR_TYPE, VERSION).map_err(damaged)?;
                state.looked = cursor.entry;
                continue;
            }
            let doc: Doc = document::read(&row.record, HOUR_TYPE, VERSION).map_err(damaged)?;
            state.sums += doc.said.sums.len();
            state.parts.insert((doc.hour, doc.site, doc.life, doc.page), doc.said);
        }
        Ok(state)
    }

    /// What a site says. Gives what has changed by it.
    fn hear(&mut self, site: &SiteName, word: UsageWord) -> BTreeSet<Part> {
        let UsageWord { life, hour, number, page, pages, sums, .. } = word;
        let part = |page| (hour, site.clone(), life, page);
        if self.parts.get(&part(page)).is_some_and(|said| said.number >= number) {
            return BTreeSet::new();
        }
        let mut changed = BTreeSet::from([part(page)]);
        let of = part(pages)..=part(u32::MAX);
        let older = self.parts.range(of).filter(|(_, said)| said.number < number);
        changed.extend(older.map(|(part, _)| part.clone()));
        changed.iter().for_each(|part| self.remove(part));
        self.sums += sums.len();
        self.parts.insert(part(page), Said { number, sums });
        changed
    }

    /// What is over for long, and the oldest where there is more than is kept.
    fn forget(&mut self, now: Timestamp) -> BTreeSet<Part> {
        let mut gone = BTreeSet::new();
        while let Some((first, _)) = self.parts.first_key_value() {
            if self.sums <= SUMS_MAX && first.0.plus(KEPT) >= now {
                break;
            }
            let first = first.clone();
            self.remove(&first);
            gone.insert(first);
        }
        gone
    }

    fn remove(&mut self, part: &Part) {
        if let Some(said) = self.parts.remove(part) {
            self.sums -= said.sums.len();
        }
    }

    fn op(&self, part: &Part) -> Op {
        let (hour, site, life, page) = part.clone();
        let name = format!("{:015}/{site}/{life}/{page}", hour.as_millis());
        let Some(said) = self.parts.get(part) else {
            return Op::ResourceDelete { kind: ResourceKind::Calls, name };
        };
        let doc = Doc { site, life, hour, page, said: said.clone() };
        let record = document::write(HOUR_TYPE, VERSION, &doc).into();
        Op::ResourcePut(ResourceRow { kind: ResourceKind::Calls, name, record })
    }

    fn rows(&self, by: &[Facet], since: Timestamp, roles: &Roles) -> Vec<UsageRow> {
        let may_see = |sum: &UsageSum| {
            let namespace = Namespace::parse(&sum.namespace).ok();
            namespace.is_some_and(|it| roles.need(Role::Viewer, &it).is_ok())
        };
        let parts = self.parts.iter().skip_while(|((hour, ..), _)| *hour < since);
        let told = parts.flat_map(|((hour, site, ..), said)| {
            said.sums.iter().map(move |told| (*hour, site, told))
        });
        let sums = told.filter(|(.., told)| may_see(told)).map(|it| (it, sum(it.2)));
        usage_rows(by, sums, |facet, (hour, site, told)| match facet {
            Facet::Site => site.to_string(),
            Facet::Namespace => told.namespace.clone(),
            Facet::Workflow => told.workflow.clone().unwrap_or_default(),
            Facet::Model => told.model.clone().unwrap_or_default(),
            Facet::Operation => told.operation.clone(),
            // Names of keys stay at the sites.
            Facet::Key => String::new(),
            Facet::Day | Facet::Hour => facet.of_hour(*hour),
        })
    }
}

impl Hub {
    /// Hears everything that has come since the last turn.
    async fn usage_turn(&self) -> Result<(), Refusal> {
        let mut place = self.0.usages.0.lock().await;
        let store = self.0.store.as_ref();
        if place.is_none() {
            *place = Some(State::load(store).await?);
        }
        let state = place.as_mut().expect("it was loaded");
        let (looked, mut changed) = (state.looked, BTreeSet::new());
        loop {
            let page = store.entry_list(state.looked, PAGE).await?;
            let Some(last) = page.last() else { break };
            state.looked = last.position;
            for row in page.iter().filter(|row| row.stream == Stream::Receipt) {
                if let Ok(word) = UsageWord::decode(&row.entry) {
                    changed.extend(state.hear(&row.site, word));
                }
            }
        }
        changed.extend(state.forget(self.now()));
        // A crash has it look at those again of which nothing followed.
        if changed.is_empty() && state.looked < looked + u64::from(PAGE) {
            return Ok(());
        }
        let mut ops: Vec<Op> = changed.iter().map(|part| state.op(part)).collect();
        let record = document::write(CURSOR_TYPE, VERSION, &Cursor { entry: state.looked }).into();
        let (kind, name) = (ResourceKind::Calls, CURSOR.to_owned());
        ops.push(Op::ResourcePut(ResourceRow { kind, name, record }));
        store.commit(ops, Preconditions::none()).await?;
        Ok(())
    }

    /// Rows by what they are told apart by, and all as one, of the namespaces that the roles may see.
    pub(crate) async fn usage_list(
        &self,
        by: &[Facet],
        since: Timestamp,
        roles: &Roles,
    ) -> Result<UsageList, Refusal> {
        let mut place = self.0.usages.0.lock().await;
        if place.is_none() {
            *place = Some(State::load(self.0.store.as_ref()).await?);
        }
        let state = place.as_ref().expect("it was loaded");
        let total = state.rows(&[], since, roles).pop().unwrap_or_default();
        Ok(UsageList { items: state.rows(by, since, roles), total })
    }
}

/// An amount that cannot be read is none: whoever wrote it is of the site.
fn sum(told: &UsageSum) -> Sum {
    let money = |all: &[String]| all.iter().filter_map(|it| it.parse::<Money>().ok()).collect();
    Sum {
        calls: told.calls,
        failed: told.failed,
        degraded: told.degraded,
        used: Used {
            input: told.input,
            cached: told.cached,
            output: told.output,
            reasoning: told.reasoning,
            images: told.images,
            millis: told.millis,
        },
        cost: money(&told.cost),
        at_bound: money(&told.at_bound),
        unpriced: told.unpriced,
        ..Sum::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteName {
        SiteName::parse(name).expect("a name")
    }

    fn word(
        life: u128,
        hour: i64,
        number: u64,
        (page, pages): (u32, u32),
        calls: u64,
    ) -> UsageWord {
        let sum = UsageSum {
            namespace: "sales".to_owned(),
            model: Some(format!("m{page}")),
            operation: "chat".to_owned(),
            calls,
            cost: vec![format!("{calls} EUR")],
            ..UsageSum::default()
        };
        UsageWord {
            life: IncarnationId::from_uuid(uuid::Uuid::from_u128(life)),
            hour: Timestamp::from_millis(hour * 3_600_000),
            number,
            page,
            pages,
            at: Timestamp::from_millis(0),
            sums: vec![sum],
        }
    }

    fn shown(state: &State, by: &str, roles: &Roles) -> Vec<String> {
        let rows =
            state.rows(&Facet::read(by, &FACETS).expect("names"), Timestamp::from_millis(0), roles);
        let group = |row: &UsageRow| row.group.values().cloned().collect::<Vec<_>>().join(" ");
        rows.iter()
            .map(|row| format!("{}: {} {}", group(row), row.calls, row.cost.join(",")))
            .collect()
    }

    fn empty() -> State {
        State { looked: 0, parts: BTreeMap::new(), sums: 0 }
    }

    /// Mutation: add a word to the one before of the same hour, take an older one, or put two lives or sites
    /// together.
    #[test]
    fn of_an_hour_the_last_word_counts_however_often_it_comes() {
        let all = Roles::everywhere(Role::Viewer);
        let mut state = empty();
        let heard = [
            ("plant-1", word(1, 5, 1, (0, 1), 2)),
            ("plant-1", word(1, 5, 2, (0, 1), 3)),
            ("plant-1", word(1, 5, 1, (0, 1), 2)),
            ("plant-1", word(1, 6, 1, (0, 1), 10)),
            ("plant-1", word(2, 6, 1, (0, 1), 20)),
            ("plant-2", word(3, 5, 1, (0, 1), 100)),
        ];
        for (name, word) in heard.iter().chain(&heard) {
            state.hear(&site(name), word.clone());
        }
        assert_eq!(
            shown(&state, "site", &all),
            ["plant-1: 33 33.00 EUR", "plant-2: 100 100.00 EUR"]
        );
        assert_eq!(shown(&state, "model", &all), ["m0: 133 133.00 EUR"]);
        let lab = [Namespace::parse("lab").expect("a name")];
        let other = Roles::within(Role::Viewer, lab, BTreeSet::new());
        assert!(shown(&state, "site", &other).is_empty());
    }

    /// Mutation: keep a part that the later word has no more, or lose one of two parts.
    #[test]
    fn parts_of_an_hour_are_those_of_its_last_word() {
        let all = Roles::everywhere(Role::Viewer);
        let mut state = empty();
        for part in [0, 1, 2] {
            state.hear(&site("plant-1"), word(1, 5, 1, (part, 3), 1));
        }
        assert_eq!(shown(&state, "site", &all), ["plant-1: 3 3.00 EUR"]);
        for part in [1, 0] {
            let changed = state.hear(&site("plant-1"), word(1, 5, 2, (part, 2), 5));
            assert_eq!(changed.len(), if part == 1 { 2 } else { 1 }, "one of them is gone");
        }
        assert_eq!(shown(&state, "site", &all), ["plant-1: 10 10.00 EUR"]);
        assert_eq!(state.sums, 2);
    }

    /// Mutation: keep hours for ever, or forget the newest.
    #[test]
    fn old_hours_are_forgotten() {
        let mut state = empty();
        let years = i64::try_from(KEPT.as_millis() / 3_600_000).expect("few");
        for hour in [0, years, years + 1] {
            state.hear(&site("plant-1"), word(1, hour, 1, (0, 1), 1));
        }
        let now = Timestamp::from_millis((years + 1) * 3_600_000);
        assert_eq!(state.forget(now).len(), 1);
        assert_eq!(state.parts.len(), 2);
    }
}
