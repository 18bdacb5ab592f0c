//! What the entries come to: calls under way, what each budget has spent, and sums for people. The same fold
//! at work and at the start.

use std::collections::{BTreeMap, HashMap};

use base::{CallId, KeyName, Namespace, Timestamp};
use pricing::{Amount, Currency, Money, Period};
use serde::{Deserialize, Serialize};

use crate::ask::Operation;
use crate::budget::{Holder, Line};
use crate::entry::{Admitted, Bill, By, End, Entry, Settled, Used};
use crate::name::ModelName;

const HOUR_MS: i64 = 3_600_000;

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
    /// Calls of a model without a price.
    #[serde(default)]
    pub unpriced: u64,
}

/// A tally as it is kept, so that a start need not read all entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    through: u64,
    open: Vec<Admitted>,
    spent: Vec<Line>,
    sums: Vec<(Group, Sum)>,
}

impl Tally {
    #[must_use]
    pub fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { through, open, spent, sums } = checkpoint;
        let mut tally = Self {
            through,
            open: open.into_iter().map(|entry| (entry.call, entry)).collect(),
            spent: BTreeMap::new(),
            sums: sums.into_iter().collect(),
        };
        spent.iter().for_each(|line| tally.spend(line));
        tally
    }

    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let mut open: Vec<_> = self.open.values().cloned().collect();
        open.sort_by_key(|entry| entry.call);
        Checkpoint {
            through: self.through,
            open,
            spent: self.spent().cloned().collect(),
            sums: self.sums.iter().map(|(group, sum)| (group.clone(), sum.clone())).collect(),
        }
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
            Entry::Admitted(entry) => {
                self.open.insert(entry.call, entry);
            }
            Entry::Settled(entry) => self.settled(&entry),
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
        let at = admitted.at.as_millis();
        let group = |bill: Option<&Bill>| Group {
            hour: Timestamp::from_millis(at - at.rem_euclid(HOUR_MS)),
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
        const DAY_MS: i64 = 24 * HOUR_MS;
        let all = std::mem::take(&mut self.sums);
        let half = all.len() / 2;
        for (at, (mut group, sum)) in all.into_iter().enumerate() {
            if at < half {
                let hour = group.hour.as_millis();
                group.hour = Timestamp::from_millis(hour - hour.rem_euclid(DAY_MS));
            }
            self.sums.entry(group).or_default().add(&sum);
        }
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
}

impl Sum {
    fn paid(&mut self, bill: &Bill) {
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
            None => self.unpriced += 1,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.degraded += other.degraded;
        self.used.add(&other.used);
        other.cost.iter().for_each(|cost| add(&mut self.cost, *cost));
        other.at_bound.iter().for_each(|cost| add(&mut self.at_bound, *cost));
        self.unpriced += other.unpriced;
    }
}

impl Used {
    pub fn add(&mut self, other: &Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
        self.images = self.images.saturating_add(other.images);
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

#[cfg(test)]
mod tests {
    use super::*;
    use pricing::Period;

    use crate::entry::ENTRY_VERSION;

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
            effect: None,
        })
    }

    fn settled(n: u128, charged: &str, window: i64) -> Entry {
        let bill = Bill {
            model: ModelName::parse("m").expect("a name"),
            usage: Some(Used { input: 3, output: 4, ..Used::default() }),
            cost: Some(charged.parse().expect("an amount")),
            is_bound: n == 9,
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
            hidden: crate::Hidden::new(),
        })
    }

    fn shown(tally: &Tally) -> String {
        let spent: Vec<_> = tally.spent().map(|line| line.amount.exact()).collect();
        let sums = tally.sums(Timestamp::from_millis(0));
        let sums: Vec<_> =
            sums.map(|(_, sum)| (sum.calls, sum.used.output, sum.cost.clone())).collect();
        format!("{} {} {spent:?} {sums:?}", tally.through(), tally.open().count())
    }

    /// Mutation: apply an entry twice, or lose one that was open at a checkpoint.
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
            "6 0 [\"0.8 EUR\"] [(3, 12, [Money { amount: Amount(800000000000), currency: EUR }])]"
        );
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
