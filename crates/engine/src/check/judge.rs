//! What must be true of one run, given what its journal leads to. Pure.

use base::{Outcome, RunId, Timestamp};
use store::{Finding, FindingCode as Code, OutcomeRow, RunRow, RunState, Sequence};

use crate::driver::Summary;
use crate::machine::Machine;
use crate::record::{Ended, Started};

/// One end of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) number: u32,
    pub(super) state: RunState,
    pub(super) at: Timestamp,
}

/// A run after the last record of its journal.
pub(super) struct Facts<'a> {
    pub(super) row: &'a RunRow,
    pub(super) machine: &'a Machine,
    pub(super) last: Sequence,
    /// When the last record happened.
    pub(super) at: Timestamp,
    /// What the first record says, where it is there.
    pub(super) started: Option<&'a Started>,
    pub(super) ends: &'a [End],
    pub(super) outcomes: &'a [OutcomeRow],
}

struct Judge<'a> {
    run: RunId,
    facts: &'a Facts<'a>,
    found: Vec<Finding>,
}

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut judge = Judge { run: facts.row.run, facts, found: Vec::new() };
    if facts.last == Sequence::ZERO {
        judge.find(Code::JournalEmpty, "it has no record");
        return judge.found;
    }
    judge.beginning();
    judge.state();
    judge.summary();
    judge.goes_on();
    judge.outcomes();
    judge.found
}

impl Judge<'_> {
    fn find(&mut self, code: Code, what: impl Into<String>) {
        self.found.push(Finding::of(self.run, code, what));
    }

    fn differs(
        &mut self,
        column: &str,
        row: impl std::fmt::Display,
        journal: impl std::fmt::Display,
    ) {
        let what = format!("`{column}` is {row} in its row and {journal} by its journal");
        self.find(Code::RowDiffers, what);
    }

    fn beginning(&mut self) {
        let (row, Some(started)) = (self.facts.row, self.facts.started) else { return };
        if started.run != row.run {
            self.differs("run", row.run, started.run);
        }
        if started.key != row.key {
            self.differs("workflow", &row.key, &started.key);
        }
        if started.revision != row.revision {
            self.differs("revision", row.revision, started.revision);
        }
    }

    fn state(&mut self) {
        let Facts { row, machine, at, .. } = self.facts;
        let state = machine.state();
        if row.created_at != machine.started_at() {
            self.differs("created_at", row.created_at, machine.started_at());
        }
        // A run that could not be followed was made to stand still by its row alone.
        let stands_still = row.state == RunState::Suspended && !state.has_ended();
        if row.state != state && !stands_still {
            self.differs("state", row.state, state);
        }
        let ended_at = state.has_ended().then_some(*at);
        if row.ended_at != ended_at {
            self.differs("ended_at", time(row.ended_at), time(ended_at));
        }
        // A run that nobody has put away has no time in its row, whatever it waits for.
        if row.wake_at.is_some() && row.wake_at != machine.wake_at() {
            self.differs("wake_at", time(row.wake_at), time(machine.wake_at()));
        }
        if row.wake_at.is_some() && row.state != RunState::Waiting {
            self.differs("wake_at", time(row.wake_at), "that of a run that does not wait");
        }
    }

    fn summary(&mut self) {
        let Facts { row, machine, started, .. } = self.facts;
        let Ok(summary) = Summary::decode(&row.summary) else {
            self.find(Code::RowUnreadable, "its summary cannot be read");
            return;
        };
        let ended = machine.ended();
        let fault = ended.and_then(|ended: &Ended| ended.fault.as_ref());
        if summary.fault.as_ref() != fault {
            self.differs("fault", told(summary.fault.is_some()), told(fault.is_some()));
        }
        if ended.is_some_and(|ended| ended.usage != summary.usage) {
            self.differs("usage", "something else", "what the run has used");
        }
        if summary.queued.is_some() != machine.is_queued() {
            self.differs("queued", told(summary.queued.is_some()), told(machine.is_queued()));
        }
        let cannot = row.state == RunState::Suspended && !machine.is_suspended();
        if cannot && summary.suspended.is_none() {
            self.differs("suspended", "not explained", "not asked for");
        }
        let parent = |started: &&Started| started.parent.as_ref().map(|it| (it.run, it.depth));
        if let Some(started) = started
            && summary.parent.as_ref().map(|it| (it.run, it.depth)) != parent(started)
        {
            self.differs("parent", "another one", "who began it");
        }
    }

    /// Whoever has not ended waits for something, or has something to do.
    fn goes_on(&mut self) {
        let machine = self.facts.machine;
        let rests = machine.ended().is_some()
            || machine.is_suspended()
            || machine.is_unfinished()
            || machine.is_queued();
        if !rests && machine.outstanding().is_empty() {
            let what = format!("it is {} and waits for nothing", machine.state());
            self.find(Code::RunStuck, what);
        } else if let Some(place) = machine.forgotten() {
            self.find(Code::RunStuck, format!("its task at {place} waits for nothing"));
        }
    }

    fn outcomes(&mut self) {
        let Facts { ends, outcomes, .. } = self.facts;
        for end in *ends {
            match outcomes.iter().find(|row| row.number == end.number) {
                None => {
                    let what = format!("its end {} as {} has none", end.number, end.state);
                    self.find(Code::OutcomeMissing, what);
                }
                Some(row) => self.outcome(end, row),
            }
        }
        let ends = outcome_numbers(self.facts.machine);
        for row in outcomes.iter().filter(|row| !ends.contains(&row.number)) {
            let what =
                format!("outcome {}, where the run has ended {} times", row.number, ends.end());
            self.find(Code::OutcomeUnknown, what);
        }
    }

    fn outcome(&mut self, end: &End, row: &OutcomeRow) {
        let number = row.number;
        let Ok(outcome) = Outcome::decode(&row.outcome) else {
            self.find(Code::OutcomeDiffers, format!("outcome {number} cannot be read"));
            return;
        };
        let says = (outcome.run, outcome.number, outcome.state, row.at);
        if says != (self.run, number, end.state, end.at) {
            let what =
                format!("outcome {number} says {} where the run was {}", outcome.state, end.state);
            self.find(Code::OutcomeDiffers, what);
        }
    }
}

/// Numbers of the ends that the run has had.
pub(super) fn outcome_numbers(machine: &Machine) -> std::ops::RangeInclusive<u32> {
    1..=machine.outcome_number() - u32::from(machine.ended().is_none())
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "not set".to_owned(), |at| at.to_string())
}

fn told(is_there: bool) -> &'static str {
    if is_there { "one" } else { "none" }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::{By, Digest, RunId};
    use serde_json::json;

    use super::*;
    use crate::driver::Summary;
    use crate::format::Blobs;
    use crate::record::{Happened, SEMANTICS, Seed, Usage};

    const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn started(text: &str) -> (Machine, Started) {
        let workflow = Arc::new(spec::read(text, &spec::catalog::Empty).expect("right").workflow);
        let started = Started {
            run: RunId::from_uuid(uuid::Uuid::from_u128(7)),
            key: workflow.document.key.clone(),
            revision: Digest::of(b"revision"),
            version: workflow.document.version.clone(),
            input: base::value::object([]),
            by: By { actor: "tester".to_owned(), reason: None },
            owner: "tester".to_owned(),
            semantics: SEMANTICS,
            runtime: base::value::object([]),
            seed: Seed::from_bytes([7; 32]),
            labels: Vec::new(),
            tags: Vec::new(),
            priority: 0,
            traceparent: String::new(),
            secrets: Vec::new(),
            parent: None,
            queued: false,
        };
        let mut machine = Machine::new(workflow);
        machine.handle(AT, &Happened::Started(Box::new(started.clone()))).expect("it is new");
        (machine, started)
    }

    fn judged(machine: &Machine, started: &Started) -> Vec<String> {
        let summary = json!({
            "version": "1.0.0", "priority": 0, "traceparent": "", "started_by": "tester",
            "usage": Usage::default(),
        });
        assert!(Summary::decode(summary.to_string().as_bytes()).is_ok());
        let row = RunRow {
            run: started.run,
            key: started.key.clone(),
            revision: started.revision,
            state: machine.state(),
            created_at: AT,
            updated_at: AT,
            ended_at: None,
            wake_at: None,
            summary: summary.to_string().into(),
        };
        let (last, started, ends, outcomes) = (Sequence(1), Some(started), &[][..], &[][..]);
        let facts = Facts { row: &row, machine, last, at: AT, started, ends, outcomes };
        judge(&facts).iter().map(ToString::to_string).collect()
    }

    /// No journal leads there, so the state is changed by hand.
    ///
    /// Mutation: ask for the state alone, or look at the run as a whole only.
    #[test]
    fn a_run_or_a_branch_that_waits_for_nothing_is_stuck() {
        let text = "document: {dsl: '1.0.3', namespace: test, name: naps, version: 1.0.0}
do: [{both: {fork: {branches: [{a: {wait: PT1H}}, {b: {wait: PT2H}}]}}}]";
        let (machine, started) = started(text);
        assert_eq!(judged(&machine, &started), Vec::<String>::new());
        for (timers, wanted) in
            [(1, "waits for nothing"), (0, "it is running and waits for nothing")]
        {
            let frozen = machine.freeze();
            let mut doc: serde_json::Value = serde_json::from_slice(&frozen.bytes).expect("JSON");
            let kept = doc["state"]["timers"].as_array_mut().expect("timers");
            assert_eq!(kept.len(), 2);
            kept.truncate(timers);
            let workflow = machine.workflow().clone();
            let changed =
                Machine::from_snapshot(workflow, doc.to_string().as_bytes(), &Blobs::new());
            let found = judged(&changed.expect("it can be read"), &started);
            let [found] = found.as_slice() else { panic!("{found:?}") };
            assert!(found.contains("run-stuck") && found.contains(wanted), "{found}");
        }
    }
}
