//! What became of the runs of a case, from their journals.

use base::value::{to_json, to_serde};
use base::{Duration, Fault, RunId, Timestamp};
use engine::driver::{Passed, Summary};
use engine::event::Event;
use engine::machine::Step;
use engine::record::{Happened, NoteKind};
use serde_json::Value;
use store::RunState;

use super::play::{Limits, NEVER_DONE, Stage, broken};
use super::stub::Call;
use super::tell::Listeners;
use crate::failure::Outcome;

/// Tasks of one run whose order is kept.
const STARTED_KEPT_MAX: usize = 100_000;

/// Events that the runs of one case may emit; the rest is not looked at.
const EMITTED_KEPT_MAX: usize = 10_000;

/// What became of a case on one workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// One, unless it is the events that begin runs.
    pub runs: usize,
    pub state: String,
    pub output: Option<Value>,
    pub error: Option<Fault>,
    /// Names of tasks in the order in which they began.
    pub started: Vec<String>,
    /// The events that the workflow emitted, whole.
    pub emitted: Vec<Value>,
    pub calls: Vec<Call>,
    pub calls_omitted: usize,
    /// How often each stub of the case was asked.
    pub asked: Vec<usize>,
    /// The first event of the case that was not sent, and why.
    pub unsent: Option<String>,
    /// Events that were sent, and that nobody had use for.
    pub untaken: Vec<String>,
    pub took: Duration,
    /// Why the case says nothing about the workflow.
    pub problem: Option<String>,
}

impl Stage<'_> {
    pub(super) async fn gather(&self, problem: Option<String>, limits: Limits) -> Outcome<Played> {
        let asked = self.stubs.asked();
        let mut left = if problem.is_some() { limits.records } else { usize::MAX };
        let now = self.clock.now();
        let mut whole = Gathered { problem: problem.or(asked.problem), ..Gathered::default() };
        for run in self.runs() {
            self.gather_run(run, now, &mut whole, &mut left).await?;
        }
        if let Some(problem) = &mut whole.problem
            && problem == NEVER_DONE
        {
            // The last thing that was asked is mostly what was not answered.
            let last = asked.calls.last();
            let last =
                last.map(|last| format!("\nthe last call: task `{}`, `{}`", last.task, last.call));
            problem.extend(last);
            let listening = self.listening(&mut Listeners::default()).await?;
            problem.extend(listening.into_iter().map(|task| {
                format!(
                    "\ntask `{task}` listens; what it waits for is sent by `events` of the case"
                )
            }));
            problem.extend(self.unsent().map(|unsent| format!("\n{unsent}")));
        }
        let took = whole.began.zip(whole.ended).map(|(began, ended)| ended.since(began));
        let taken = self.told.taken();
        let untaken = self.case.events.iter().zip(taken).filter(|(_, is_taken)| !is_taken);
        Ok(Played {
            runs: whole.states.len(),
            state: whole.state(),
            output: whole.output(),
            error: whole.error,
            started: whole.started,
            emitted: whole.emitted,
            calls: asked.calls,
            calls_omitted: asked.calls_omitted,
            asked: asked.asked,
            unsent: self.unsent(),
            untaken: untaken.map(|(event, _)| event.said()).collect(),
            took: took.unwrap_or(Duration::ZERO),
            problem: whole.problem,
        })
    }

    /// The first event that was not sent, and what it waited for.
    fn unsent(&self) -> Option<String> {
        let send = self.case.events.get(self.told.sent())?;
        let why = match &send.when {
            Some(task) => format!("task `{task}` did not listen before the end"),
            None => "its time did not come before the end".to_owned(),
        };
        Some(format!("{} was not sent: {why}", send.said()))
    }

    async fn gather_run(
        &self,
        run: RunId,
        now: Timestamp,
        whole: &mut Gathered,
        left: &mut usize,
    ) -> Outcome<()> {
        let Some(row) = self.row(run).await? else { return Ok(()) };
        let mut walk = self.driver.walk(&row).await.map_err(broken)?;
        while *left > 0
            && let Some(passed) = walk.next().await.map_err(broken)?
        {
            // The run of a trial is never compacted.
            let Passed::Record(walked) = passed else { continue };
            *left -= 1;
            if let Happened::Received(received) = &walked.record.happened
                && let Ok(event) = Event::of_bytes(&to_json(&received.event))
            {
                self.told.take(&event);
            }
            whole.see(walked.step);
        }
        let ended = match row.state {
            RunState::Suspended => {
                let why = Summary::decode(&row.summary).ok().and_then(|summary| summary.suspended);
                let why = format!("the run is suspended: {}", why.unwrap_or_default());
                whole.problem.get_or_insert(why);
                None
            }
            state if state.has_ended() => Some(self.driver.ended(run).await.map_err(broken)?),
            _ => None,
        };
        let output = ended.as_ref().and_then(|ended| ended.output.as_ref()).map(to_serde);
        whole.outputs.push(output);
        whole.error = whole.error.take().or(ended.and_then(|ended| ended.fault));
        whole.states.push(row.state);
        whole.began = whole.began.or(Some(row.created_at));
        whole.ended = whole.ended.max(Some(row.ended_at.unwrap_or(now)));
        Ok(())
    }
}

/// What has come together of the runs of a case, in the order in which they began.
#[derive(Default)]
struct Gathered {
    states: Vec<RunState>,
    outputs: Vec<Option<Value>>,
    /// The first.
    error: Option<Fault>,
    started: Vec<String>,
    emitted: Vec<Value>,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    problem: Option<String>,
}

impl Gathered {
    fn see(&mut self, step: Step) {
        for note in step.notes {
            let is_start = matches!(note.what, NoteKind::Started { .. }) && !note.task.is_empty();
            if is_start && self.started.len() < STARTED_KEPT_MAX {
                self.started.push(note.task.to_string());
            }
        }
        for emitted in step.emitted {
            if self.emitted.len() < EMITTED_KEPT_MAX {
                self.emitted.push(to_serde(emitted.event.envelope()));
            }
        }
    }

    /// Of several runs, that of the first which has not completed.
    fn state(&self) -> String {
        let other = self.states.iter().find(|state| **state != RunState::Completed);
        other.or(self.states.first()).map(ToString::to_string).unwrap_or_default()
    }

    /// Of one run its own, of several the array of theirs.
    fn output(&self) -> Option<Value> {
        match &self.outputs[..] {
            [one] => one.clone(),
            many => Some(many.iter().cloned().map(Option::unwrap_or_default).collect()),
        }
    }
}
