//! What the entries come to: calls under way, what each budget has spent, and sums for people. The same fold
//! at work and at the start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use base::{CallId, KeyName, Namespace, Timestamp};
use pricing::{Amount, Class, Currency, Money, Period, PriceName, Service};
use serde::{Deserialize, Serialize};

use crate::budget::{Holder, Line};
use crate::correction::{Corrected, Recharge};
use crate::entry::{Admitted, Bill, By, Charge, End, Entry, Settled, Used};
use crate::name::ModelName;
use crate::operation::Operation;

/// Rows of sums that are kept by the hour; beyond, the oldest are kept by the day, then by the month.
pub const SUMS_MAX: usize = 200_000;

/// Budgets of which it is known what they have spent. Beyond, the run that began first is forgotten: a run
/// that is had go on after a hundred thousand others begins anew with its budget.
pub const SPENT_MAX: usize = 100_000;

/// All entries up to one of them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    through: u64,
    open: HashMap<CallId, Admitted>,
    /// One line for each period and currency: that of the newest window.
    spent: BTreeMap<Holder, Vec<Line>>,
    sums: BTreeMap<Group, Sum>,
    /// Each once, however many sums were charged by it.
    prices: BTreeSet<Arc<PriceName>>,
    /// How often sums were put together.
    coarsened: u64,
}

/// Windows of one fleet budget that are kept: one is closed soon after its end, and forgotten long after.
const WINDOWS_MAX: usize = 8;

/// What is summed up together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// When the hour began.
    pub hour: Timestamp,
    pub namespace: Namespace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// None where no model was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    pub operation: Operation,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sum {
    pub calls: u64,
    /// Without an answer.
    #[serde(default)]
    pub failed: u64,
    /// Answered by another model than the first.
    #[serde(default)]
    pub degraded: u64,
    #[serde(default)]
    pub used: Used,
    /// In each currency.
    #[serde(default)]
    pub cost: Vec<Money>,
    /// Of which at a bound, since nobody knows what was used.
    #[serde(default)]
    pub at_bound: Vec<Money>,
    /// Calls of a model without a price. One that is free has one.
    #[serde(default)]
    pub unpriced: u64,
    /// Of what was used, the part of models that are free.
    #[serde(default, skip_serializing_if = "Used::is_nothing")]
    pub free: Used,
    /// Not of an hour, but of a whole day.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_day: bool,
    /// What the cost is made of. Costs at a bound have none, nor have those that were written down before
    /// there were any.
    #[serde(skip)]
    pub parts: Vec<Part>,
}

/// What was charged for one class by one sheet of one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub price: Arc<PriceName>,
    pub class: Class,
    pub service: Service,
    pub above: u64,
    pub count: u64,
    pub cost: Money,
}

/// The same as it is kept: which sum it is of, and which of the prices.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptPart {
    sum: usize,
    price: usize,
    #[serde(flatten)]
    charge: Charge,
}

/// A tally as it is kept, so that a start need not read all entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    through: u64,
    open: Vec<Admitted>,
    spent: Vec<Line>,
    sums: Vec<(Group, Sum)>,
    #[serde(default)]
    prices: Vec<Arc<PriceName>>,
    #[serde(default)]
    parts: Vec<KeptPart>,
}

impl Tally {
    #[must_use]
    pub fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { through, open, spent, mut sums, prices, parts } = checkpoint;
        for KeptPart { sum, price, charge } in parts {
            if let (Some((_, sum)), Some(price)) = (sums.get_mut(sum), prices.get(price)) {
                sum.parts.push(Part::of(price, &charge));
            }
        }
        let mut tally = Self {
            through,
            open: open.into_iter().map(|entry| (entry.call, entry)).collect(),
            spent: BTreeMap::new(),
            sums: sums.into_iter().collect(),
            prices: prices.into_iter().collect(),
            coarsened: 0,
        };
        spent.iter().for_each(|line| tally.spend(line));
        tally
    }

    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let mut open: Vec<_> = self.open.values().cloned().collect();
        open.sort_by_key(|entry| entry.call);
        let (prices, parts) = self.parts();
        let bare = |sum: &Sum| Sum { parts: Vec::new(), ..sum.clone() };
        Checkpoint {
            through: self.through,
            open,
            spent: self.spent().cloned().collect(),
            sums: self.sums.iter().map(|(group, sum)| (group.clone(), bare(sum))).collect(),
            prices,
            parts,
        }
    }

    /// The parts of all sums, with each price once: they are few.
    fn parts(&self) -> (Vec<Arc<PriceName>>, Vec<KeptPart>) {
        let (mut numbers, mut prices, mut parts) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (at, sum) in self.sums.values().enumerate() {
            for part in &sum.parts {
                let number = *numbers.entry(Arc::clone(&part.price)).or_insert_with(|| {
                    prices.push(Arc::clone(&part.price));
                    prices.len() - 1
                });
                parts.push(KeptPart { sum: at, price: number, charge: part.charge() });
            }
        }
        (prices, parts)
    }

    /// The number of the last entry that is in it.
    #[must_use]
    pub const fn through(&self) -> u64 {
        self.through
    }

    /// The next entry. One that is in it already changes nothing.
    pub fn apply(&mut self, number: u64, entry: Entry) {
        if number <= self.through {
            return;
        }
        self.through = number;
        match entry {
            // It is on somebody else's bill: neither it nor its end counts here.
            Entry::Admitted(entry) if entry.watched.is_some() => {}
            Entry::Admitted(entry) => {
                self.open.insert(entry.call, entry);
            }
            Entry::Settled(mut entry) => {
                let prices = entry.bills.iter_mut().filter_map(|bill| bill.price.as_mut());
                prices.for_each(|price| *price = self.known(price));
                self.settled(&entry);
            }
            Entry::Corrected(entry) => self.corrected(&entry),
        }
    }

    /// The same price, as the one that is kept.
    fn known(&mut self, price: &Arc<PriceName>) -> Arc<PriceName> {
        match self.prices.get(price) {
            Some(known) => Arc::clone(known),
            None => {
                self.prices.insert(Arc::clone(price));
                Arc::clone(price)
            }
        }
    }

    /// An entry of a kind that this binary does not know.
    pub const fn pass(&mut self, number: u64) {
        if number > self.through {
            self.through = number;
        }
    }

    fn settled(&mut self, entry: &Settled) {
        let Some(admitted) = self.open.remove(&entry.call) else { return };
        for line in &entry.charged {
            self.spend(line);
        }
        let By { namespace, key, workflow, .. } = admitted.who;
        let group = |bill: Option<&Bill>| Group {
            hour: admitted.at.hour(),
            namespace: namespace.clone(),
            key: key.clone(),
            workflow: workflow.clone(),
            model: bill.map(|bill| bill.model.clone()),
            operation: admitted.operation,
        };
        let (last, before) = entry.bills.split_last().unzip();
        for bill in before.unwrap_or_default() {
            self.sums.entry(group(Some(bill))).or_default().paid(bill);
        }
        let sum = self.sums.entry(group(last)).or_default();
        sum.calls += 1;
        sum.failed += u64::from(matches!(entry.end, End::Failed | End::Unknown));
        sum.degraded += u64::from(entry.degraded);
        if let Some(bill) = last {
            sum.paid(bill);
        }
        if self.sums.len() > SUMS_MAX {
            self.coarsen();
        }
    }

    fn corrected(&mut self, entry: &Corrected) {
        for Recharge { line, was } in &entry.charged {
            let lines = self.spent.get_mut(&line.holder).into_iter().flatten();
            let mut same = lines.filter(|it| kind(it) == kind(line) && it.window == line.window);
            if let (Some(spent), Ok(back)) = (same.next(), was.amount.minus(line.amount.amount)) {
                spent.amount.amount = spent.amount.amount.minus(back).unwrap_or_default();
            }
        }
        for bill in &entry.bills {
            let sum = self.sums.entry(self.group_of(entry, &bill.model)).or_default();
            if let Some(was) = bill.was {
                take(&mut sum.cost, was);
                match &bill.reported {
                    Some(reported) => sum.unreport(reported),
                    None => take(&mut sum.at_bound, was),
                }
            }
            add(&mut sum.cost, bill.cost);
        }
    }

    /// The group of the call, which may be its whole day's since.
    fn group_of(&self, entry: &Corrected, model: &ModelName) -> Group {
        let By { namespace, key, workflow, .. } = entry.who.clone();
        let hour = entry.admitted.hour();
        let (model, operation) = (Some(model.clone()), entry.operation);
        let group = Group { hour, namespace, key, workflow, model, operation };
        if self.sums.contains_key(&group) {
            return group;
        }
        let of_day = Group { hour: entry.admitted.day(), ..group.clone() };
        if self.sums.contains_key(&of_day) { of_day } else { group }
    }

    fn spend(&mut self, line: &Line) {
        let lines = match self.spent.get_mut(&line.holder) {
            Some(lines) => lines,
            None => self.spent.entry(line.holder.clone()).or_default(),
        };
        match lines.iter_mut().find(|it| kind(it) == kind(line)) {
            Some(before) if before.window == line.window => {
                before.amount = before.amount.plus(line.amount).unwrap_or(before.amount);
            }
            Some(before) if before.window > line.window => {}
            Some(before) => before.clone_from(line),
            None => {
                lines.push(line.clone());
                prune(lines, line);
                if self.spent.len() > SPENT_MAX {
                    self.forget_oldest_run();
                }
            }
        }
    }

    /// Ids of runs are in the order of their beginnings.
    fn forget_oldest_run(&mut self) {
        let is_run = |holder: &&Holder| matches!(holder, Holder::Run(_));
        if let Some(oldest) = self.spent.keys().find(is_run).cloned() {
            self.spent.remove(&oldest);
        }
    }

    /// What was charged to a fleet budget in the window of `line`; nothing where that may be forgotten.
    #[must_use]
    pub fn spent_of(&self, line: &Line) -> Option<Amount> {
        let lines = self.spent.get(&line.holder).map_or(&[][..], Vec::as_slice);
        if let Some(found) = lines.iter().find(|it| kind(it) == kind(line)) {
            return Some(found.amount.amount);
        }
        let is_forgotten = windows(lines, line).count() == WINDOWS_MAX
            && windows(lines, line).all(|kept| line.window < kept.window);
        (!is_forgotten).then_some(Amount::ZERO)
    }

    /// Puts the older half of the sums together, each day into its first hour.
    fn coarsen(&mut self) {
        self.coarsened += 1;
        let all = std::mem::take(&mut self.sums);
        let half = all.len() / 2;
        for (at, (mut group, mut sum)) in all.into_iter().enumerate() {
            if at < half {
                sum.is_day = true;
                group.hour = group.hour.day();
            }
            self.sums.entry(group).or_default().add(&sum);
        }
    }

    /// A call that was admitted and is not settled.
    #[must_use]
    pub fn opened(&self, call: CallId) -> Option<&Admitted> {
        self.open.get(&call)
    }

    /// Calls that were admitted and are not settled.
    pub fn open(&self) -> impl Iterator<Item = &Admitted> {
        self.open.values()
    }

    /// What was charged to each budget in its newest window.
    pub fn spent(&self) -> impl Iterator<Item = &Line> {
        self.spent.values().flatten()
    }

    /// The same of one budget.
    #[must_use]
    pub fn spent_by(&self, holder: &Holder, period: Period, currency: Currency) -> Option<&Line> {
        let is_it = |line: &&Line| (line.period, line.amount.currency) == (period, currency);
        self.spent.get(holder)?.iter().find(is_it)
    }

    /// By hour and the rest, from this time on.
    pub fn sums(&self, since: Timestamp) -> impl Iterator<Item = (&Group, &Sum)> {
        self.sums.iter().skip_while(move |(group, _)| group.hour < since)
    }

    /// The same, behind one of them.
    pub fn sums_after(&self, after: &Group) -> impl Iterator<Item = (&Group, &Sum)> {
        self.sums.range((Bound::Excluded(after), Bound::Unbounded))
    }

    /// Changes whenever sums were put together: what was read of them before does not go on behind.
    #[must_use]
    pub const fn coarsened(&self) -> u64 {
        self.coarsened
    }
}

impl Part {
    fn of(price: &Arc<PriceName>, charge: &Charge) -> Self {
        let Charge { class, service, above, count, cost } = *charge;
        Self { price: Arc::clone(price), class, service, above, count, cost }
    }

    fn charge(&self) -> Charge {
        let Self { class, service, above, count, cost, .. } = *self;
        Charge { class, service, above, count, cost }
    }

    /// Whether both stand in one row of a price list.
    fn is_with(&self, other: &Self) -> bool {
        let row = |it: &Self| (it.class, it.service, it.above, it.cost.currency);
        let is_same_price = Arc::ptr_eq(&self.price, &other.price) || self.price == other.price;
        row(self) == row(other) && is_same_price
    }
}

impl Sum {
    fn paid(&mut self, bill: &Bill) {
        if let Some(price) = &bill.price {
            bill.lines.iter().for_each(|line| self.part(&Part::of(price, line)));
        }
        if let Some(used) = &bill.usage {
            self.used.add(used);
        }
        match bill.cost {
            Some(cost) => {
                add(&mut self.cost, cost);
                if bill.is_bound {
                    add(&mut self.at_bound, cost);
                }
            }
            None if bill.is_free => self.free.add(&bill.usage.unwrap_or_default()),
            None => self.unpriced += 1,
        }
    }

    /// What was said to be used was not, and the cost is not made of it.
    fn unreport(&mut self, bill: &Bill) {
        let charges =
            bill.price.iter().flat_map(|price| bill.lines.iter().map(move |it| (price, it)));
        for (price, charge) in charges {
            let gone = Part::of(price, charge);
            if let Some(part) = self.parts.iter_mut().find(|it| it.is_with(&gone)) {
                part.count = part.count.saturating_sub(gone.count);
                part.cost =
                    part.cost.minus(gone.cost).unwrap_or(Amount::ZERO.of(gone.cost.currency));
            }
        }
        self.parts.retain(|part| part.count > 0 || part.cost.amount > Amount::ZERO);
        if let Some(used) = &bill.usage {
            self.used = self.used.less(used);
        }
    }

    fn part(&mut self, part: &Part) {
        match self.parts.iter_mut().find(|it| it.is_with(part)) {
            Some(same) => {
                same.count = same.count.saturating_add(part.count);
                same.cost = same.cost.plus(part.cost).unwrap_or(same.cost);
            }
            None => self.parts.push(part.clone()),
        }
    }

    /// What has come since it was that.
    #[must_use]
    pub fn less(&self, before: &Self) -> Self {
        let amounts = |all: &[Money], before: &[Money]| {
            let mut all = all.to_vec();
            before.iter().for_each(|it| take(&mut all, *it));
            all
        };
        Self {
            calls: self.calls.saturating_sub(before.calls),
            failed: self.failed.saturating_sub(before.failed),
            degraded: self.degraded.saturating_sub(before.degraded),
            used: self.used.less(&before.used),
            cost: amounts(&self.cost, &before.cost),
            at_bound: amounts(&self.at_bound, &before.at_bound),
            unpriced: self.unpriced.saturating_sub(before.unpriced),
            free: self.free.less(&before.free),
            is_day: self.is_day,
            parts: Vec::new(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.is_day |= other.is_day;
        other.parts.iter().for_each(|part| self.part(part));
        self.calls += other.calls;
        self.failed += other.failed;
        self.degraded += other.degraded;
        self.used.add(&other.used);
        other.cost.iter().for_each(|cost| add(&mut self.cost, *cost));
        other.at_bound.iter().for_each(|cost| add(&mut self.at_bound, *cost));
        self.unpriced += other.unpriced;
        self.free.add(&other.free);
    }
}

impl Used {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn less(&self, before: &Self) -> Self {
        Self {
            input: self.input.saturating_sub(before.input),
            cached: self.cached.saturating_sub(before.cached),
            output: self.output.saturating_sub(before.output),
            reasoning: self.reasoning.saturating_sub(before.reasoning),
            images: self.images.saturating_sub(before.images),
            millis: self.millis.saturating_sub(before.millis),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
        self.images = self.images.saturating_add(other.images);
        self.millis = self.millis.saturating_add(other.millis);
    }
}

/// Of one kind only the newest window is kept. A fleet's windows are of a kind each: they are leases of
/// their own, and accounted for when they are over.
fn kind(line: &Line) -> (Period, Currency, Option<Timestamp>) {
    let window = line.window.filter(|_| matches!(line.holder, Holder::Fleet(_)));
    (line.period, line.amount.currency, window)
}

/// The windows of the same fleet budget.
fn windows<'a>(lines: &'a [Line], line: &Line) -> impl Iterator<Item = &'a Line> {
    let (period, currency) = (line.period, line.amount.currency);
    lines.iter().filter(move |it| (it.period, it.amount.currency) == (period, currency))
}

fn prune(lines: &mut Vec<Line>, line: &Line) {
    if windows(lines, line).count() <= WINDOWS_MAX {
        return;
    }
    let oldest = windows(lines, line).map(|it| it.window).min();
    let (period, currency) = (line.period, line.amount.currency);
    lines.retain(|it| {
        (it.period, it.amount.currency) != (period, currency) || Some(it.window) != oldest
    });
}

fn add(sums: &mut Vec<Money>, more: Money) {
    match sums.iter_mut().find(|sum| sum.currency == more.currency) {
        Some(sum) => *sum = sum.plus(more).unwrap_or(*sum),
        None => sums.push(more),
    }
}

fn take(sums: &mut Vec<Money>, less: Money) {
    if let Some(sum) = sums.iter_mut().find(|sum| sum.currency == less.currency) {
        *sum = sum.minus(less).unwrap_or(Amount::ZERO.of(less.currency));
    }
    sums.retain(|sum| sum.amount > Amount::ZERO);
}

#[cfg(test)]
mod tests {
    use super::*;
    use pricing::Period;

    use crate::entry::ENTRY_VERSION;

    const HOUR_MS: i64 = 3_600_000;

    fn call(n: u128) -> CallId {
        CallId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn line(amount: &str, window: Option<i64>) -> Line {
        Line {
            holder: "key/bot".parse().expect("a holder"),
            period: Period::Day,
            window: window.map(Timestamp::from_millis),
            amount: amount.parse().expect("an amount"),
        }
    }

    fn price(version: &str) -> PriceName {
        let version = base::Digest::of(version.as_bytes());
        PriceName { provider: "p".into(), model: "m".into(), region: None, from: None, version }
    }

    fn admitted(n: u128, held: &str) -> Entry {
        Entry::Admitted(Admitted {
            v: ENTRY_VERSION,
            call: call(n),
            at: Timestamp::from_millis(HOUR_MS + 5),
            who: By {
                namespace: Namespace::parse("sales").expect("a name"),
                key: None,
                workflow: None,
                run: None,
            },
            operation: Operation::Chat,
            asked: ModelName::parse("m").expect("a name"),
            plan: Vec::new(),
            streamed: false,
            held: vec![line(held, Some(0))],
            bound: None,
            effect: None,
            trace: None,
            needs: crate::Needs::default(),
            watched: None,
        })
    }

    fn settled(n: u128, charged: &str, window: i64) -> Entry {
        let bill = Bill {
            model: ModelName::parse("m").expect("a name"),
            usage: Some(Used { input: 3, output: 4, ..Used::default() }),
            cost: Some(charged.parse().expect("an amount")),
            is_free: false,
            is_bound: n == 9,
            lines: vec![Charge {
                class: Class::Output,
                service: Service::Standard,
                above: 0,
                count: 4,
                cost: charged.parse().expect("an amount"),
            }],
            price: Some(Arc::new(price("1"))),
        };
        Entry::Settled(Settled {
            v: ENTRY_VERSION,
            call: call(n),
            at: Timestamp::from_millis(HOUR_MS + 9),
            end: End::Answered,
            legs: Vec::new(),
            bills: vec![bill],
            charged: vec![line(charged, Some(window))],
            degraded: false,
            micros: 1,
            own_micros: 1,
            first_micros: None,
            repeated_by: None,
            cached_from: None,
            resort: None,
            person: None,
            hidden: crate::Hidden::new(),
        })
    }

    fn parts(sum: &Sum) -> Vec<String> {
        let part = |it: &Part| format!("{} {} {}", it.class.column(), it.count, it.cost.exact());
        sum.parts.iter().map(part).collect()
    }

    fn shown(tally: &Tally) -> String {
        let spent: Vec<_> = tally.spent().map(|line| line.amount.exact()).collect();
        let sums = tally.sums(Timestamp::from_millis(0));
        let sums: Vec<_> = sums
            .map(|(_, sum)| (sum.calls, sum.used.output, sum.cost.clone(), parts(sum)))
            .collect();
        format!("{} {} {spent:?} {sums:?}", tally.through(), tally.open().count())
    }

    /// Mutation: apply an entry twice, or lose one that was open at a checkpoint, or what a cost is made of.
    #[test]
    fn a_tally_is_the_same_from_the_start_and_from_a_checkpoint() {
        let entries = [
            admitted(1, "0.5EUR"),
            admitted(2, "0.5EUR"),
            settled(1, "0.1EUR", 0),
            admitted(9, "0.5EUR"),
            settled(9, "0.5EUR", 0),
            settled(2, "0.2EUR", 0),
        ];
        let mut live = Tally::default();
        for (at, entry) in entries.iter().enumerate() {
            live.apply(at as u64 + 1, entry.clone());
            let text = serde_json::to_vec(&live.checkpoint()).expect("JSON");
            let mut again = Tally::of(serde_json::from_slice(&text).expect("a checkpoint"));
            for (at, entry) in entries.iter().enumerate() {
                again.apply(at as u64 + 1, entry.clone());
            }
            let mut whole = live.clone();
            for (at, entry) in entries.iter().enumerate() {
                whole.apply(at as u64 + 1, entry.clone());
            }
            assert_eq!(shown(&again), shown(&whole));
        }
        assert_eq!(
            shown(&live),
            "6 0 [\"0.8 EUR\"] [(3, 12, [Money { amount: Amount(800000000000), currency: EUR }], [\"output 12 0.8 EUR\"])]"
        );
    }

    /// Mutation: count a call of a free model as one without a price, or the other way round; or lose what was free in a
    /// checkpoint, in a sum of sums, or in what has come since.
    #[test]
    fn what_is_free_has_a_price() {
        let mut tally = Tally::default();
        for (n, is_free) in [(1, true), (2, false), (3, true)] {
            tally.apply(2 * n, admitted(n.into(), "0.5EUR"));
            let Entry::Settled(end) = settled(n.into(), "0.1EUR", 0) else { panic!("made so") };
            let bill = |bill: Bill| Bill { cost: None, is_free, ..bill };
            let bills = end.bills.clone().into_iter().map(bill).collect();
            let line = Entry::Settled(Settled { bills, ..end }).line();
            tally.apply(2 * n + 1, serde_json::from_slice(&line).expect("an entry"));
        }
        let text = serde_json::to_vec(&tally.checkpoint()).expect("JSON");
        let again = Tally::of(serde_json::from_slice(&text).expect("a checkpoint"));
        let (_, sum) = again.sums(Timestamp::from_millis(0)).next().expect("one");
        assert_eq!((sum.calls, sum.unpriced, &sum.cost), (3, 1, &Vec::new()));
        assert_eq!((sum.used.output, sum.free.input, sum.free.output), (12, 6, 8));
        let mut twice = sum.clone();
        twice.add(sum);
        assert_eq!((twice.free.output, twice.less(sum).free), (16, sum.free));
    }

    /// Mutation: count what was only watched, or hold it open.
    #[test]
    fn a_watched_call_is_in_no_sum() {
        let mut tally = Tally::default();
        let Entry::Admitted(begin) = admitted(1, "0.5EUR") else { panic!("it is made so") };
        let watched = crate::Watched {
            by: ModelName::parse("openai").expect("a name"),
            client: None,
            found: None,
            estimated: false,
            unseen: None,
        };
        tally.apply(1, Entry::Admitted(Admitted { watched: Some(watched), ..begin }));
        tally.apply(2, settled(1, "0.1EUR", 0));
        assert_eq!(shown(&tally), "2 0 [] []");
    }

    /// Mutation: leave the sum, the budget or the share at a bound as it was; or take it out of another window.
    #[test]
    fn what_was_known_later_takes_the_place_of_a_bound() {
        let mut tally = Tally::default();
        tally.apply(1, admitted(9, "0.5EUR"));
        tally.apply(2, admitted(1, "0.5EUR"));
        tally.apply(3, settled(9, "0.5EUR", 0));
        tally.apply(4, settled(1, "0.1EUR", 0));
        let (Entry::Admitted(begin), Entry::Settled(end)) =
            (admitted(9, "0.5EUR"), settled(9, "0.5EUR", 0))
        else {
            panic!("they are made so")
        };
        let cost = Some("0.2EUR".parse().expect("an amount"));
        let (by, reason) = ("ann".to_owned(), "the bill".to_owned());
        let known = crate::Known { cost, by, reason, at: begin.at };
        let known = Corrected::of(&begin, Some(&end), known, &crate::Exchange::default());
        let entry = Entry::Corrected(known.expect("it is at its bound"));
        let read = serde_json::from_slice(&entry.line()).expect("an entry");
        assert_eq!(read, entry);
        tally.apply(5, read);
        tally.apply(5, entry);
        let sum = |tally: &Tally| {
            let (_, sum) = tally.sums(Timestamp::from_millis(0)).next().expect("one");
            let costs = |all: &[Money]| all.iter().map(|it| it.exact()).collect::<Vec<_>>();
            (sum.calls, costs(&sum.cost), costs(&sum.at_bound))
        };
        assert_eq!(sum(&tally), (2, vec!["0.3 EUR".to_owned()], Vec::new()));
        let spent: Vec<_> = tally.spent().map(|line| line.amount.exact()).collect();
        assert_eq!(spent, ["0.3 EUR"]);
    }

    /// Mutation: keep what was said to be used, or what its cost was made of; or take it from the share at a bound.
    #[test]
    fn a_report_that_was_nonsense_leaves_the_sums() {
        let mut tally = Tally::default();
        for (number, n, charged) in [(1, 1, "0.1EUR"), (3, 9, "0.2EUR"), (5, 2, "7EUR")] {
            tally.apply(number, admitted(n, "0.5EUR"));
            tally.apply(number + 1, settled(n, charged, 0));
        }
        let (Entry::Admitted(begin), Entry::Settled(end)) =
            (admitted(2, "0.5EUR"), settled(2, "7EUR", 0))
        else {
            panic!("they are made so")
        };
        let (cost, by, reason) = (None, "ann".to_owned(), "the bill".to_owned());
        let known = crate::Known { cost, by, reason, at: begin.at };
        let known = Corrected::of(&begin, Some(&end), known, &crate::Exchange::default());
        tally.apply(7, Entry::Corrected(known.expect("it is beyond")));
        let mut without = Tally::default();
        for (number, n, charged) in [(1, 1, "0.1EUR"), (3, 9, "0.2EUR")] {
            without.apply(number, admitted(n, "0.5EUR"));
            without.apply(number + 1, settled(n, charged, 0));
        }
        let sum = |tally: &Tally| {
            let (_, sum) = tally.sums(Timestamp::from_millis(0)).next().expect("one");
            Sum { calls: 0, ..sum.clone() }
        };
        assert_eq!(sum(&tally), sum(&without));
        assert_eq!(tally.spent().collect::<Vec<_>>(), without.spent().collect::<Vec<_>>(),);
    }

    /// Mutation: keep what was spent in a window that is over.
    #[test]
    fn a_newer_window_takes_the_place_of_the_one_before() {
        let mut tally = Tally::default();
        for (at, entry) in [
            admitted(1, "1EUR"),
            admitted(2, "1EUR"),
            admitted(3, "1EUR"),
            settled(1, "0.1EUR", 0),
            settled(2, "0.2EUR", 7),
            settled(3, "0.4EUR", 0),
        ]
        .iter()
        .enumerate()
        {
            tally.apply(at as u64 + 1, entry.clone());
        }
        let spent: Vec<_> = tally.spent().map(|line| line.amount.exact()).collect();
        assert_eq!(spent, ["0.2 EUR"]);
    }

    /// Mutation: lose a call or its cost when hours become a day.
    #[test]
    fn older_sums_are_put_together() {
        let mut tally = Tally::default();
        tally.apply(1, admitted(1, "1EUR"));
        tally.apply(2, settled(1, "0.1EUR", 0));
        let (group, sum) = tally.sums.pop_first().expect("one");
        for hour in 0..24 {
            let hour = Timestamp::from_millis(hour * HOUR_MS);
            tally.sums.insert(Group { hour, ..group.clone() }, sum.clone());
        }
        tally.coarsen();
        assert_eq!(tally.sums.len(), 13);
        assert_eq!(tally.sums.values().map(|sum| sum.calls).sum::<u64>(), 24);
        let mut all = Sum::default();
        tally.sums.values().for_each(|sum| all.add(sum));
        assert_eq!(
            (parts(&all), all.cost[0].exact()),
            (vec!["output 96 2.4 EUR".into()], "2.4 EUR".into())
        );
        assert_eq!(tally.sums.values().filter(|sum| sum.is_day).count(), 1);
    }

    /// Mutation: add what two prices have charged, or two sheets of one.
    #[test]
    fn what_was_charged_by_another_price_stands_for_itself() {
        let one = |version: &str, above: u64| Part {
            price: Arc::new(price(version)),
            class: Class::Input,
            service: Service::Standard,
            above,
            count: 2,
            cost: "0.1EUR".parse().expect("an amount"),
        };
        let mut sum = Sum::default();
        for part in [one("1", 0), one("2", 0), one("1", 0), one("1", 200_000)] {
            sum.part(&part);
        }
        assert_eq!(parts(&sum), ["input 4 0.2 EUR", "input 2 0.1 EUR", "input 2 0.1 EUR"]);
    }

    /// Mutation: keep only the newest window of a fleet's budget, all there ever were, or call what is forgotten
    /// nothing.
    #[test]
    fn of_a_fleets_budget_the_last_windows_are_kept() {
        let mut tally = Tally::default();
        let of = |window: i64| Line {
            holder: "fleet/namespace/sales".parse().expect("a holder"),
            ..line("0EUR", Some(window))
        };
        let windows = i64::try_from(WINDOWS_MAX).expect("few");
        for window in 0..=windows {
            tally.spend(&Line { amount: line("1EUR", None).amount, ..of(window) });
        }
        let one = Some(line("1EUR", None).amount.amount);
        assert_eq!((tally.spent_of(&of(1)), tally.spent_of(&of(windows))), (one, one));
        assert_eq!(tally.spent_of(&of(0)), None);
        assert_eq!(tally.spent_of(&of(windows + 1)), Some(Amount::ZERO));
        assert_eq!(Tally::of(tally.checkpoint()).spent_of(&of(1)), one);
    }
}
