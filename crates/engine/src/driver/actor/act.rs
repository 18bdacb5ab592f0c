//! Acting on what is durable, and telling of it.

use std::sync::Arc;

use base::{Fault, RunId, Value};
use bytes::Bytes;
use futures::FutureExt;
use store::{BlobId, Store};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::write::WRITE_RETRY;
use super::{Actor, Crossing};
use crate::dispatch::Rank;
use crate::driver::{End, child, pool};
use crate::effect::{
    Action, Certainty, ChildStart, EffectNo, Evaluate, Perform, Performed, Witness,
};
use crate::failpoint;
use crate::list::{List, Lists, ReadNo, Unread, read_next, value_or_list};
use crate::machine::Effect;
use crate::record::{EvaluationNo, Happened, Parent};

impl Actor {
    /// Does what the commit has made durable.
    pub(super) fn act(&mut self) {
        let undone = std::mem::take(&mut self.undone);
        // What is given up with what asked for it is not begun.
        let abandoned: Vec<EffectNo> = undone.iter().filter_map(abandoned).collect();
        for effect in undone {
            match effect {
                Effect::Perform(perform) if abandoned.contains(&perform.effect) => {}
                Effect::Perform(perform) => self.perform(perform),
                Effect::Evaluate(no, evaluate) => self.evaluate(no, evaluate),
                Effect::EvaluateList(no, evaluate) => self.evaluate_list(no, evaluate),
                Effect::Read(no, blob, offset) => self.read(no, blob, offset),
                Effect::WakeAt(timer, at) => {
                    self.timers.insert((at, timer));
                    self.timer_times.insert(timer, at);
                }
                Effect::Forget(timer) => {
                    if let Some(at) = self.timer_times.remove(&timer) {
                        self.timers.remove(&(at, timer));
                    }
                }
                Effect::Abandon(effect) => {
                    let task = self.in_flight.remove(&effect);
                    self.pooled.remove(&effect);
                    match self.children.remove(&effect) {
                        // It goes on until the child is cancelled.
                        Some(abandoned) => abandoned.cancel(),
                        None => task.iter().for_each(AbortHandle::abort),
                    }
                }
                Effect::Listen(listener, after) => self.ear.listen(listener, after),
                Effect::Unlisten(listener) => self.ear.unlisten(listener),
                Effect::EndLeft => self.driver.0.parts.performer.end_left(self.run),
                Effect::End => {
                    self.ear.close();
                    self.evaluating.drain().for_each(|(_, task)| task.abort());
                    self.timers.clear();
                    self.timer_times.clear();
                }
            }
        }
    }

    /// A run that stands still begins nothing. What it wanted to begin it asks for again.
    pub(super) fn hold(&mut self) {
        let begins = |effect: &Effect| match effect {
            Effect::Perform(_)
            | Effect::Evaluate(..)
            | Effect::EvaluateList(..)
            | Effect::Read(..)
            | Effect::WakeAt(..)
            | Effect::Listen(..) => true,
            Effect::Forget(_)
            | Effect::Abandon(_)
            | Effect::Unlisten(_)
            | Effect::EndLeft
            | Effect::End => false,
        };
        self.undone.retain(|effect| !begins(effect));
        self.timers.clear();
        self.timer_times.clear();
    }

    fn perform(&mut self, perform: Perform) {
        let effect = perform.effect;
        // It goes on since before the run stood still.
        if self.in_flight.contains_key(&effect) {
            return;
        }
        let performer = &self.driver.0.parts.performer;
        if let Action::Workflow(start) = &*perform.action
            && !performer.answers_children()
        {
            self.child(&perform, start.clone());
            return;
        }
        let pool = perform.pool.clone();
        let quick = matches!(*perform.action, Action::Function { .. }) && pool.is_none();
        let only_waits = performer.only_waits(&perform.action);
        let witness = self.witness(effect);
        let lists = Lists::new(Arc::clone(&self.driver.0.parts.store));
        let mut work = performer.perform(Perform { witness, lists: lists.clone(), ..perform });
        let happens = self.happens.clone();
        // Most functions are done at once; a task of their own would only cost time.
        if quick && let Some(performed) = (&mut work).now_or_never() {
            failpoint::pass(failpoint::AFTER_ACT);
            let performed = performed.recordable().with_lists(&lists);
            happens.send(Happened::Performed { effect, performed }).ok();
            return;
        }
        if pool.is_some() {
            self.pooled.insert(effect);
        }
        let (pools, who) = (std::sync::Arc::clone(&self.driver.0.pools), self.who());
        let task = tokio::spawn(async move {
            let turn = match only_waits {
                true => pools.named_turn(pool.as_deref(), &who).await,
                false => pools.turn(pool.as_deref(), &who).await.map(Some),
            };
            let performed = match turn {
                Ok(_turn) => work.await.recordable().with_lists(&lists),
                Err(fault) => Performed::fault(fault, Certainty::Definite),
            };
            failpoint::pass(failpoint::AFTER_ACT);
            happens.send(Happened::Performed { effect, performed }).ok();
        });
        self.in_flight.insert(effect, task.abort_handle());
    }

    /// For whom turns are taken. The oldest run goes first, also after a restart.
    fn who(&self) -> pool::Who {
        let rank = Rank::new(self.summary.priority, self.row.created_at);
        pool::Who { namespace: self.row.key.namespace.clone(), rank }
    }

    fn witness(&self, effect: EffectNo) -> Witness {
        let seen = self.seen.clone();
        Witness::new(move |crossed| {
            let (written, answer) = oneshot::channel();
            seen.send(Crossing { effect, crossed, written }).ok();
            answer.map(|answer| matches!(answer, Ok(Ok(())))).boxed()
        })
    }

    fn child(&mut self, perform: &Perform, start: ChildStart) {
        let (effect, abandoned) = (perform.effect, CancellationToken::new());
        let order = child::Order {
            parent: Parent {
                run: self.run,
                activation: perform.activation.clone(),
                effect,
                depth: self.summary.parent.as_ref().map_or(0, |parent| parent.depth) + 1,
                awaited: start.wait,
            },
            start,
            by: self.summary.started_by.clone(),
            owner: self.summary.owner.clone(),
            labels: perform.labels.to_vec(),
            traceparent: perform.traceparent.to_string(),
            priority: self.summary.priority,
            abandoned: abandoned.clone(),
        };
        let (driver, happens) = (self.driver.clone(), self.happens.clone());
        let task = self.driver.0.tasks.spawn(async move {
            let Some(performed) = child::perform(&driver, order).await else { return };
            failpoint::pass(failpoint::AFTER_ACT);
            let performed = performed.recordable();
            happens.send(Happened::Performed { effect, performed }).ok();
        });
        self.in_flight.insert(effect, task.abort_handle());
        self.children.insert(effect, abandoned);
    }

    fn evaluate(&mut self, evaluation: EvaluationNo, evaluate: Evaluate) {
        if self.evaluating.contains_key(&evaluation) {
            return;
        }
        let work = self.driver.0.parts.evaluator.evaluate(evaluate);
        let happens = self.happens.clone();
        let task = tokio::spawn(async move {
            let (result, lists) = (work.await, Vec::new());
            happens.send(Happened::Evaluated { evaluation, result, lists }).ok();
        });
        self.evaluating.insert(evaluation, task.abort_handle());
    }

    /// A large list goes from the evaluator into a blob, and is never a value.
    fn evaluate_list(&mut self, evaluation: EvaluationNo, evaluate: Evaluate) {
        if self.evaluating.contains_key(&evaluation) {
            return;
        }
        let work = self.driver.0.parts.evaluator.evaluate_text(evaluate);
        let (store, happens) = (Arc::clone(&self.driver.0.parts.store), self.happens.clone());
        let run = self.run;
        let task = tokio::spawn(async move {
            let (result, lists) = match work.await {
                Err(fault) => (Err(fault), Vec::new()),
                Ok(text) => match put_away(run, &store, text).await {
                    Some(Ok((value, list))) => (Ok(value), list.into_iter().collect()),
                    Some(Err(fault)) => (Err(fault), Vec::new()),
                    None => return,
                },
            };
            happens.send(Happened::Evaluated { evaluation, result, lists }).ok();
        });
        self.evaluating.insert(evaluation, task.abort_handle());
    }

    /// The next items of a list, or why there are none.
    fn read(&mut self, read: ReadNo, blob: BlobId, offset: u64) {
        let store = Arc::clone(&self.driver.0.parts.store);
        let (happens, fails) = (self.happens.clone(), self.fails.clone());
        // Tracked: whoever stops the driver may take the store away after it.
        self.driver.0.tasks.spawn(async move {
            match read_next(&*store, blob, offset).await {
                Ok((piece, items)) => happens.send(Happened::Read { read, piece, items }).is_ok(),
                Err(error) => fails.send(error.into()).is_ok(),
            }
        });
    }

    /// Tells whoever follows, waits or has asked: what they hear of is durable.
    pub(super) fn tell(&mut self) {
        if !self.unwritten.is_empty() {
            return;
        }
        self.answers.drain(..).for_each(|answer| {
            answer.send(Ok(())).ok();
        });
        self.followers.tell();
        if let Some(ended) = self.machine.ended() {
            self.awaiting.drain(..).for_each(|answer| {
                answer.send(End { ended: ended.clone(), row: self.row.clone() }).ok();
            });
            self.driver.0.waiting.tell(self.run, ended);
        }
    }
}

/// Waits for room where there is none, as a commit does. `None` where the process ends.
async fn put_away(
    run: RunId,
    store: &Arc<dyn Store>,
    text: Bytes,
) -> Option<Result<(Value, Option<List>), Fault>> {
    loop {
        let (store, text) = (Arc::clone(store), text.clone());
        let put = tokio::task::spawn_blocking(move || value_or_list(&*store, &text));
        match put.await.ok()? {
            Ok(read) => return Some(Ok(read)),
            Err(Unread::Wrong(fault)) => return Some(Err(fault)),
            Err(Unread::Full) => {
                tracing::error!(%run, "the disk is full: the run waits until it can put a list away");
                tokio::time::sleep(WRITE_RETRY).await;
            }
        }
    }
}

fn abandoned(effect: &Effect) -> Option<EffectNo> {
    match effect {
        Effect::Abandon(effect) => Some(*effect),
        _ => None,
    }
}
