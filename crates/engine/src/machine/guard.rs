//! `try`: is an error caught, is it tried again, and when?

use base::value::from_serialize;
use base::{Duration, Fault, Value};
use spec::tree::{Backoff, Catch, ErrorFilter, Retry, TaskKind, Try};

use super::Machine;
use super::advance::Next;
use super::body::{Birth, to_output};
use super::counts::Counts;
use super::evaluate::{Expressions, Halt};
use super::node::{Body, Exit, Guard, GuardStage, Node, NodeId, Phase, Seq};
use crate::activation::Activation;
use crate::record::{Decided, NoteKind, TimerPurpose};

/// Attempts of one guard, where its author set no limit: with the shortest delay this is a day of
/// trying, and nobody waits longer by accident.
const RETRIES_MAX: u32 = 100_000_000;

/// The shortest time between two attempts: a retry without delay must not spin.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(1);

/// The longest: exponential backoff stops growing here.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(24 * 3600);

impl Guard {
    pub(super) fn base(&self, activation: &Activation) -> Activation {
        let attempt = activation.attempt(self.attempt);
        match self.stage {
            GuardStage::Catching { .. } => attempt.catch(),
            _ => attempt,
        }
    }
}

impl Machine {
    pub(super) fn guard_next(
        &mut self,
        id: NodeId,
        node: &mut Node,
        task: &Try,
    ) -> Result<Next, Halt> {
        let Phase::Body(Body::Try(guard)) = &node.phase else { unreachable!("chosen by `body`") };
        match guard.stage.clone() {
            GuardStage::Next => self.attempt_begin(id, node, task),
            GuardStage::Matching { seq, fault } => self.guard_match(id, node, task, seq, fault),
            GuardStage::Body { .. } | GuardStage::Delaying { .. } | GuardStage::Catching { .. } => {
                Ok(Next::Block)
            }
        }
    }

    fn attempt_begin(&mut self, id: NodeId, node: &mut Node, task: &Try) -> Result<Next, Halt> {
        let limit = task.catch.retry.as_ref().and_then(|retry| retry.attempt_duration.as_ref());
        let limit = match limit {
            Some(limit) => Some(self.expressions(node).duration(limit, &node.input)?),
            None => None,
        };
        let limit =
            limit.map(|after| self.timeout_set(id, node, TimerPurpose::AttemptTimeout, after));
        let Phase::Body(Body::Try(guard)) = &mut node.phase else {
            unreachable!("only a try task has attempts")
        };
        guard.attempt += 1;
        guard.stage = GuardStage::Body { seq: Seq::default(), limit };
        let base = guard.base(&node.activation);
        let Some(first) = task.body.0.first() else {
            let output = node.input.clone();
            return Ok(to_output(node, output, None));
        };
        let (variables, input) = (node.variables.clone(), node.input.clone());
        self.spawn(id, node, Birth { task: *first, visit: 1, base: &base, variables, input });
        Ok(Next::Block)
    }

    fn guard_match(
        &mut self,
        id: NodeId,
        node: &mut Node,
        task: &Try,
        seq: Seq,
        fault: Fault,
    ) -> Result<Next, Halt> {
        let error = from_serialize(&fault);
        let mut expressions =
            self.expressions(node).with_variable(&task.catch.variable, error.clone());
        if !takes(&task.catch, &fault, &error, &mut expressions)? {
            guard_passes(node, seq);
            return Ok(Next::Rise(fault));
        }
        let delay = match &task.catch.retry {
            Some(retry) => self.retry_delay(node, retry, &error, &mut expressions)?,
            None => None,
        };
        self.drop_children(node);
        self.traced("caught", node.activation.as_str());
        self.note(node, NoteKind::Caught { fault: fault.clone() });
        if let Some(delay) = delay {
            self.retry_later(id, node, delay, fault);
            return Ok(Next::Block);
        }
        let is_handled = task.catch.body.is_some() || task.catch.then.is_some();
        let exhausted = task.catch.retry.is_some() && !is_handled;
        if exhausted {
            // Tried again as often as allowed, and nobody handles what is left.
            return Err(fault.into());
        }
        let activation = node.activation.clone();
        self.step.decided.push(Decided::Caught { activation, fault });
        self.catch_begin(id, node, task, error)
    }

    fn catch_begin(
        &mut self,
        id: NodeId,
        node: &mut Node,
        task: &Try,
        error: Value,
    ) -> Result<Next, Halt> {
        let Some(first) = task.catch.body.as_ref().and_then(|body| body.0.first()) else {
            let output = node.input.clone();
            return Ok(to_output(node, output, Some(Exit::Caught)));
        };
        node.variables = node.variables.with(&task.catch.variable, error);
        let Phase::Body(Body::Try(guard)) = &mut node.phase else {
            unreachable!("only a try task catches")
        };
        guard.stage = GuardStage::Catching { seq: Seq::default() };
        let base = guard.base(&node.activation);
        let (variables, input) = (node.variables.clone(), node.input.clone());
        self.spawn(id, node, Birth { task: *first, visit: 1, base: &base, variables, input });
        Ok(Next::Block)
    }

    fn retry_later(&mut self, id: NodeId, node: &mut Node, delay: Duration, fault: Fault) {
        self.usage.retries += 1;
        let until = self.now.plus(delay);
        let timer = self.timer_set(id, node, TimerPurpose::RetryDelay, until);
        let Phase::Body(Body::Try(guard)) = &mut node.phase else { return };
        let attempt = guard.attempt + 1;
        guard.stage = GuardStage::Delaying { timer, until };
        let activation = node.activation.clone();
        self.note(node, NoteKind::Retrying { attempt, until, fault: fault.clone() });
        self.step.decided.push(Decided::Retrying { activation, attempt, at: until, fault });
    }

    /// How long to wait for the next attempt; `None` where there is none.
    fn retry_delay(
        &self,
        node: &Node,
        retry: &Retry,
        error: &Value,
        expressions: &mut Expressions,
    ) -> Result<Option<Duration>, Halt> {
        let Phase::Body(Body::Try(guard)) = &node.phase else { return Ok(None) };
        // The first retry is 1.
        let number = guard.attempt;
        if number > retry.retries_max.unwrap_or(RETRIES_MAX).min(RETRIES_MAX) {
            return Ok(None);
        }
        if let Some(when) = &retry.when
            && !expressions.truth(when, error)?
        {
            return Ok(None);
        }
        if let Some(except) = &retry.except_when
            && expressions.truth(except, error)?
        {
            return Ok(None);
        }
        let delay = match &retry.delay {
            Some(delay) => expressions.duration(delay, &node.input)?,
            None => Duration::ZERO,
        };
        let jitter = match &retry.jitter {
            Some((from, to)) => {
                let from = expressions.duration(from, &node.input)?;
                let to = expressions.duration(to, &node.input)?;
                self.jitter(node, number, from, to)
            }
            None => Duration::ZERO,
        };
        let delay = backoff(retry.backoff, delay, number).saturating_add(jitter);
        let delay = delay.max(RETRY_DELAY_MIN).min(RETRY_DELAY_MAX);
        if let Some(limit) = &retry.duration {
            let limit = expressions.duration(limit, &node.input)?;
            if self.now.plus(delay) > guard.started_at.plus(limit) {
                return Ok(None);
            }
        }
        Ok(Some(delay))
    }

    /// A number between the two that is the same at every replay: it follows from the run's seed.
    fn jitter(&self, node: &Node, number: u32, from: Duration, to: Duration) -> Duration {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.header().seed.as_bytes());
        hasher.update(node.activation.as_str().as_bytes());
        hasher.update(&number.to_le_bytes());
        let digest = hasher.finalize();
        let eight = digest.as_bytes()[..8].try_into().expect("eight of thirty-two bytes");
        let span = to.as_millis().saturating_sub(from.as_millis()).saturating_add(1);
        Duration::from_millis(from.as_millis() + u64::from_le_bytes(eight) % span)
    }

    /// The number of the key with which this node asks for its effect.
    pub(super) fn ask(&mut self, node: &Node) -> u32 {
        let place = place_of(&node.activation);
        self.counts(node).map_or(node.definite, |counts| counts.ask(place))
    }

    pub(super) fn count_definite(&mut self, node: &mut Node) {
        node.definite += 1;
        let place = place_of(&node.activation);
        if let Some(counts) = self.counts(node) {
            counts.answer(place);
        }
    }

    fn counts(&mut self, node: &Node) -> Option<&mut Counts> {
        let above = self.counting(node).and_then(|id| self.arena.get_mut(id))?;
        if above.is_extending() {
            return above.extension_counts();
        }
        match &mut above.phase {
            Phase::Body(Body::Try(guard)) => Some(&mut guard.definite),
            _ => None,
        }
    }

    /// The outermost node around this one that may have it done again, as another node: a guard that
    /// tries again, or an extended task, which a person may have done again. It outlives all
    /// repetitions inside.
    fn counting(&self, node: &Node) -> Option<NodeId> {
        let mut found = None;
        let mut next = node.parent;
        while let Some(id) = next {
            let above = self.arena.get(id)?;
            let kind = above.task.map(|no| &self.workflow.task(no).kind);
            if above.is_extending() {
                found = Some(id);
            } else if let Some(TaskKind::Try(task)) = kind
                && task.catch.retry.is_some()
            {
                found = Some(id);
            }
            next = above.parent;
        }
        found
    }
}

fn place_of(activation: &Activation) -> u64 {
    let digest = blake3::hash(activation.without_attempts().as_bytes());
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("eight of thirty-two bytes"))
}

/// The delay before the n-th retry.
fn backoff(backoff: Backoff, delay: Duration, number: u32) -> Duration {
    match backoff {
        Backoff::Constant => delay,
        Backoff::Linear => delay.saturating_mul(u64::from(number)),
        Backoff::Exponential => {
            delay.saturating_mul(1_u64.checked_shl(number - 1).unwrap_or(u64::MAX))
        }
    }
}

/// Not ours: the guard is as before.
fn guard_passes(node: &mut Node, seq: Seq) {
    if let Phase::Body(Body::Try(guard)) = &mut node.phase {
        guard.stage = GuardStage::Body { seq, limit: None };
    }
}

/// Whether the error is one that this guard handles.
fn takes(
    catch: &Catch,
    fault: &Fault,
    error: &Value,
    expressions: &mut Expressions,
) -> Result<bool, Halt> {
    if !matches(&catch.filter, fault) {
        return Ok(false);
    }
    if let Some(when) = &catch.when
        && !expressions.truth(when, error)?
    {
        return Ok(false);
    }
    match &catch.except_when {
        Some(except) => Ok(!expressions.truth(except, error)?),
        None => Ok(true),
    }
}

fn matches(filter: &ErrorFilter, fault: &Fault) -> bool {
    let same = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
    };
    filter.uri.as_deref().is_none_or(|uri| fault.has_type(uri))
        && filter.status.is_none_or(|status| fault.status == status)
        && same(&filter.title, fault.title.as_deref())
        && same(&filter.detail, fault.detail.as_deref())
        && same(&filter.instance, fault.instance.as_deref())
}
