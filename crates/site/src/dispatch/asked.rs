//! What other sites have this one do: judged like any order, begun once, answered when it has ended.

use std::sync::PoisonError;

use base::name::WorkflowKey;
use base::value::{Json, get, parse, to_json};
use base::{By, Outcome, RunId, SiteName, Timestamp, Value};
use engine::driver::Summary;
use server::Caller;
use store::{Op, OrderRow, Preconditions, RunRow, RunState};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use wire::RunStart;
use wire::dispatch::{Answer, AnswerState, Bond, Dispatched, SEALED_BYTES_MAX, Say, Sealed};

use super::row::{self, Open};
use super::{DispatchError, Dispatches, INPUT, OUTPUT, entry_op, seal, unseal};
use crate::config::Refused;
use crate::refusal::Refusal;
use crate::run::Runs;
use crate::start::{Beside, RunOrder};

/// After something that could not be done now.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// What is long over takes room, and no more than that.
const FORGET_EVERY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What became of an order of another site.
pub(crate) enum Judged {
    /// All is written.
    Begun,
    /// It is to be closed so, with what is beside it.
    Closed { state: AnswerState, code: Option<&'static str>, beside: Vec<Op> },
    /// Why it could not be begun, now or ever.
    Refused(Refusal),
}

/// What is needed to judge.
pub(crate) struct Bench<'a> {
    pub runs: &'a Runs,
    pub refused: &'a Refused,
    /// What is written when the order is taken.
    pub taking: Vec<Op>,
    pub now: Timestamp,
}

impl Dispatches {
    pub(crate) async fn judge(
        &self,
        row: &OrderRow,
        by: By,
        it: &Dispatched,
        bench: Bench<'_>,
    ) -> Result<Judged, Refusal> {
        let Bench { runs, refused, taking, now } = bench;
        let bond = it.bond(self.site());
        let run = bond.run();
        let closed = |state, code| {
            Ok(Judged::Closed { state, code, beside: self.told(it, state, code, now)? })
        };
        if now > row.until && self.store().run_get(run).await?.is_none() {
            return closed(AnswerState::Expired, None);
        }
        let key = WorkflowKey { namespace: it.namespace.clone(), name: it.workflow.clone() };
        if refused.contain(&key) {
            return closed(AnswerState::Refused, Some("refused-by-owner"));
        }
        let Some(to) = self.believed(&it.from, &it.key, &it.chain) else {
            return closed(AnswerState::Refused, Some("not-believed"));
        };
        let input = unseal(&self.0.parts.sealing, INPUT, &bond, &it.sealed).ok();
        let Some(input) = input.and_then(|plain| parse(&plain).ok()) else {
            return closed(AnswerState::Refused, Some("unopened"));
        };
        let Ok(order) =
            RunOrder::parse(it.namespace.clone(), start(it, run, by.reason, input), None)
        else {
            return closed(AnswerState::Refused, Some("invalid"));
        };
        let open = Open {
            dispatch: it.dispatch,
            of: it.from.clone(),
            namespace: it.namespace.clone(),
            workflow: it.workflow.clone(),
            to,
        };
        let mut ops = taking;
        ops.extend(self.told(it, AnswerState::Taken, None, now)?);
        ops.push(open.op(run));
        // Before it can end.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
        // By its own name, which has been believed, and not by the hub's word.
        let caller = Caller::of_site(&it.from);
        match runs.start(&caller, RunOrder { beside: Beside::Ops(ops), ..order }).await {
            Ok(begun) if begun.is_new => {
                self.0.ended.notify_one();
                Ok(Judged::Begun)
            }
            // By a life of this site whose commit nobody heard of.
            Ok(_) => {
                Ok(Judged::Closed { state: AnswerState::Taken, code: None, beside: Vec::new() })
            }
            Err(refusal) => Ok(Judged::Refused(refusal)),
        }
    }

    /// The answer to whoever has asked.
    pub(crate) fn told(
        &self,
        it: &Dispatched,
        state: AnswerState,
        code: Option<&'static str>,
        now: Timestamp,
    ) -> Result<Vec<Op>, DispatchError> {
        let answer = Answer::new(state, code, now);
        Ok(vec![entry_op(it.dispatch, Say::Answer { of: it.from.clone(), answer }, now)?])
    }

    /// A run of this site has ended.
    pub(crate) fn has_ended(&self, run: RunId) {
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains(&run) {
            self.0.ended.notify_one();
        }
    }

    /// Answers whoever waits for a run that has ended, and forgets what is long over, until `closing`.
    pub(crate) async fn answer(&self, runs: Runs, closing: CancellationToken) {
        let mut tidying = interval(FORGET_EVERY);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = self.0.ended.notified() => {}
                _ = tidying.tick() => {
                    if let Err(error) = self.forget().await {
                        tracing::warn!(%error, "cannot forget old dispatches");
                    }
                    continue;
                }
            }
            if let Err(refusal) = self.answer_all(&runs).await {
                tracing::error!(?refusal, "cannot answer other sites");
                self.0.ended.notify_one();
                tokio::select! {
                    () = closing.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    }

    async fn answer_all(&self, runs: &Runs) -> Result<(), Refusal> {
        for (run, open) in row::open(self.store()).await.map_err(DispatchError::from)? {
            let found = self.store().run_get(run).await?;
            let answer = match found {
                Some(row) if !row.state.has_ended() => continue,
                Some(row) => self.end_of(runs, &row, &open).await?,
                // Forgotten before it was answered: a person has done that.
                None => Answer::new(AnswerState::Cancelled, None, self.now()),
            };
            let say = Say::Answer { of: open.of.clone(), answer };
            let ops = vec![entry_op(open.dispatch, say, self.now())?, row::closed_op(run)];
            self.store().commit(ops, Preconditions::none()).await?;
            self.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
            self.0.parts.grown.notify_one();
        }
        Ok(())
    }

    async fn end_of(&self, runs: &Runs, row: &RunRow, open: &Open) -> Result<Answer, Refusal> {
        let state = match row.state {
            RunState::Completed => AnswerState::Completed,
            RunState::Cancelled => AnswerState::Cancelled,
            RunState::Faulted
            | RunState::Pending
            | RunState::Running
            | RunState::Waiting
            | RunState::Suspended => AnswerState::Faulted,
        };
        let outcome = self.store().outcome_of(row.run, 0, 1).await?.pop();
        let outcome = outcome.and_then(|row| Outcome::decode(&row.outcome).ok());
        let (output, code) = match state {
            AnswerState::Completed => self.output(runs, row, open).await?,
            _ => {
                let error = outcome.as_ref().and_then(|outcome| outcome.error.as_ref());
                (None, error.map(|error| error.kind.name()))
            }
        };
        Ok(Answer {
            started_at: outcome.as_ref().map(|outcome| outcome.started_at),
            ended_at: outcome.as_ref().map(|outcome| outcome.ended_at),
            output,
            ..Answer::new(state, code, self.now())
        })
    }

    /// What the run gave, sealed to whoever has asked, where its workflow gives it out.
    async fn output(
        &self,
        runs: &Runs,
        row: &RunRow,
        open: &Open,
    ) -> Result<(Option<Sealed>, Option<&'static str>), Refusal> {
        let is_labelled =
            Summary::decode(&row.summary).map_or(true, |summary| !summary.labels.is_empty());
        let revision = runs.driver.revision(&row.key, row.revision).await;
        let gives = revision.is_ok_and(|workflow| gives_output(&workflow.document.metadata));
        if !gives {
            return Ok((None, None));
        }
        if is_labelled {
            return Ok((None, Some("output-labelled")));
        }
        let Some(output) = runs.driver.ended(row.run).await?.output else {
            return Ok((None, None));
        };
        let plain = to_json(&output);
        if plain.len() > SEALED_BYTES_MAX {
            return Ok((None, Some("output-too-large")));
        }
        let bond = bond(open, self.site());
        Ok((seal(&open.to, OUTPUT, &bond, &plain).ok(), None))
    }
}

fn start(it: &Dispatched, run: RunId, reason: Option<String>, input: Value) -> RunStart<Json> {
    RunStart {
        workflow: it.workflow.to_string(),
        revision: None,
        run: Some(run.to_string()),
        input: Json(input),
        tags: vec![("dispatched-by".to_owned(), it.from.to_string())],
        labels: Vec::new(),
        priority: 0,
        reason,
    }
}

fn bond<'a>(open: &'a Open, to: &'a SiteName) -> Bond<'a> {
    let Open { dispatch, of, namespace, workflow, .. } = open;
    Bond { dispatch: *dispatch, from: of, to, namespace, workflow }
}

/// `document.metadata: {dispatch: {output: true}}`.
fn gives_output(metadata: &Value) -> bool {
    let dispatch = get(metadata, "dispatch");
    dispatch.and_then(|it| get(it, "output")) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: give out where nothing, or something else, is said.
    #[test]
    fn a_workflow_gives_its_output_out_only_where_it_says_so() {
        let gives = |json: &str| gives_output(&parse(json.as_bytes()).expect("JSON"));
        assert!(gives(r#"{"dispatch":{"output":true}}"#));
        for other in [
            "{}",
            r#"{"dispatch":true}"#,
            r#"{"dispatch":{"output":false}}"#,
            r#"{"dispatch":{"output":"true"}}"#,
            r#"{"output":true}"#,
        ] {
            assert!(!gives(other), "{other}");
        }
    }
}
