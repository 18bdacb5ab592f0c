//! Following a run to its end, over connections that may break and sites that may come back.

use std::time::Duration;

use base::RunId;
use futures::StreamExt as _;
use gateway::operator::{Events, OperatorError};
use store::RunState;
use wire::{FollowEvent, ProblemCode};

use crate::address::Whom;
use crate::api::Api;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, problem_of};
use crate::fault;
use crate::interrupt::Interrupt;
use crate::output;
use crate::when;

/// Tries to reach a site that was there before, one after another without an event in between:
/// about half a minute, in which a site is restarted.
const TRIES_MAX: u32 = 10;

/// The kind of an event that is about the run itself.
const STATE: &str = "state";

const DELAY_FIRST: Duration = Duration::from_millis(100);
/// The longest delay between two tries to find a site that has gone.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Tries since the site or hub last told something.
#[derive(Debug)]
pub struct Tries {
    count: u32,
    whom: Whom,
}

impl Default for Tries {
    fn default() -> Self {
        Self::of(Whom::Site)
    }
}

impl Tries {
    #[must_use]
    pub const fn of(whom: Whom) -> Self {
        Self { count: 0, whom }
    }

    /// Waits for a site that was lost, and looks where it is now; false where it was interrupted.
    /// `run` is what may be followed later.
    pub async fn again(
        &mut self,
        api: &mut Api,
        interrupt: &mut Interrupt,
        why: &str,
        run: Option<RunId>,
    ) -> Outcome<bool> {
        let whom = self.whom.name();
        if self.count == TRIES_MAX {
            let lost = Failure::new(Exit::Unreachable, format!("lost the {whom}: {why}"));
            return Err(match run.map(|run| again(api, run)) {
                None => lost,
                Some(again) => lost
                    .hint(format!("the run goes on when the site is back; follow it with {again}")),
            });
        }
        self.count += 1;
        let count = self.count;
        output::say(&format!("lost the {whom}: {why}; trying again ({count} of {TRIES_MAX})"));
        tokio::select! {
            () = tokio::time::sleep(delay(count)) => {}
            () = interrupt.wait() => return Ok(false),
        }
        api.renew()?;
        Ok(true)
    }
}

/// Why there is no more to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nothing more happens by itself.
    Stands(RunState),
    Interrupted,
}

/// What came of one connection.
enum Part {
    Stop(Stop),
    Lost(String),
}

/// Follows a run from its first record.
#[derive(Debug)]
pub struct Follower {
    pub run: RunId,
    /// The record that was told last, and how many of its events, states apart.
    last: (u64, u32),
    /// The state that was told last. A site begins every stream with the state.
    state: Option<String>,
    /// Whether the site has ever answered. If not, there is nothing to come back to.
    met: bool,
    tries: Tries,
}

impl Follower {
    /// `met` where the site has already spoken of this run.
    #[must_use]
    pub const fn new(run: RunId, met: bool) -> Self {
        Self { run, last: (0, 0), state: None, met, tries: Tries::of(Whom::Site) }
    }

    pub async fn follow(
        &mut self,
        api: &mut Api,
        interrupt: &mut Interrupt,
        mut tell: impl FnMut(&FollowEvent) -> Outcome<()>,
    ) -> Outcome<Stop> {
        loop {
            let why = match self.part(api, interrupt, &mut tell).await? {
                Part::Stop(stop) => return Ok(stop),
                Part::Lost(why) => why,
            };
            if !self.tries.again(api, interrupt, &why, Some(self.run)).await? {
                return Ok(Stop::Interrupted);
            }
        }
    }

    async fn part(
        &mut self,
        api: &Api,
        interrupt: &mut Interrupt,
        tell: &mut impl FnMut(&FollowEvent) -> Outcome<()>,
    ) -> Outcome<Part> {
        // A connection may break between two events of one record, so the last one is asked for
        // again, and what was told of it is passed over.
        let (sequence, told_before) = self.last;
        let after =
            sequence.checked_sub(1).filter(|&after| after > 0).map(|after| after.to_string());
        let mut pass_over = told_before;
        let events = tokio::select! {
            events = api.run_follow(self.run, after.as_deref()) => events,
            () = interrupt.wait() => return Ok(Part::Stop(Stop::Interrupted)),
        };
        let mut events: Events = match events {
            Ok(events) => events,
            Err(error) if self.met && is_passing(&error) => return Ok(Part::Lost(reason(error))),
            Err(error) => return Err(api.explain(error)),
        };
        self.met = true;
        loop {
            let next = tokio::select! {
                next = events.next() => next,
                () = interrupt.wait() => return Ok(Part::Stop(Stop::Interrupted)),
            };
            let event = match next {
                Some(Ok(event)) => event,
                Some(Err(error)) if is_passing(&error) => return Ok(Part::Lost(reason(error))),
                Some(Err(error)) => return Err(api.explain(error)),
                // A site ends the stream where the run stands, and also where it is shut down itself.
                None => return Ok(self.stands()?.map_or_else(ended_too_early, Part::Stop)),
            };
            let told: FollowEvent = serde_json::from_str(&event.data)
                .map_err(|cause| Failure::from(OperatorError::Json(cause)))?;
            self.tries = Tries::default();
            if told.kind == STATE {
                if self.state.as_ref() != Some(&told.state) {
                    tell(&told)?;
                    self.state = Some(told.state);
                }
                continue;
            }
            if told.sequence == sequence && pass_over > 0 {
                pass_over -= 1;
                continue;
            }
            tell(&told)?;
            self.last = match self.last {
                (last, count) if last == told.sequence => (last, count + 1),
                _ => (told.sequence, 1),
            };
        }
    }

    /// Whether nothing more happens by itself after what was told. No single event says so, since a
    /// faulted run may have been retried.
    fn stands(&self) -> Outcome<Option<Stop>> {
        let Some(state) = &self.state else { return Ok(None) };
        let state: RunState = state.parse().map_err(|_| {
            Failure::internal("the site named a state that this version does not know")
                .hint("are site and command line of the same version?")
        })?;
        // A suspended run needs a person.
        let stands = state.has_ended() || state == RunState::Suspended;
        Ok(stands.then_some(Stop::Stands(state)))
    }
}

fn ended_too_early() -> Part {
    Part::Lost("it ended the stream".to_owned())
}

/// How to follow a run, to be typed.
#[must_use]
pub fn again(api: &Api, run: RunId) -> String {
    command(api, "follow", run)
}

/// A command about a run, to be typed.
#[must_use]
pub fn command(api: &Api, what: &str, run: RunId) -> String {
    typed(api, &format!("runs {what} {run}"))
}

/// A command that means the same namespace when it is typed.
pub fn typed(api: &Api, command: &str) -> String {
    match api.namespace.as_str() {
        "default" => format!("`isonomy {command}`"),
        namespace => format!("`isonomy -n {namespace} {command}`"),
    }
}

/// Whether it may be otherwise in a moment.
pub fn is_passing(error: &OperatorError) -> bool {
    match error {
        OperatorError::Unreachable { .. } | OperatorError::Broken { .. } => true,
        OperatorError::Status { .. } => problem_of(error).is_some_and(|problem| {
            matches!(
                problem.code,
                ProblemCode::Stopping | ProblemCode::Overloaded | ProblemCode::RunBusy
            )
        }),
        OperatorError::Address { .. }
        | OperatorError::Untrusted { .. }
        | OperatorError::TooLarge
        | OperatorError::Event(_)
        | OperatorError::Invalid(_)
        | OperatorError::Json(_) => false,
    }
}

pub fn reason(error: OperatorError) -> String {
    match error {
        OperatorError::Unreachable { address, .. } => format!("nobody answers at {address}"),
        OperatorError::Broken { .. } => "it broke off its answer".to_owned(),
        other => other.to_string(),
    }
}

fn delay(tries: u32) -> Duration {
    DELAY_FIRST.saturating_mul(1 << (tries - 1).min(16)).min(DELAY_MAX)
}

/// One event in one line.
#[must_use]
pub fn line(event: &FollowEvent) -> String {
    let mut text = format!("{}  {:<10}", when::clock(&event.at), event.kind);
    let mut add = |part: &str| {
        text.push_str("  ");
        text.push_str(part);
    };
    if event.kind == STATE {
        add(&event.state);
    }
    if let Some(task) = &event.task {
        add(task);
    }
    if let (Some(index), Some(count)) = (event.index, event.count) {
        add(&format!("{} of {count}", index + 1));
    }
    if let Some(what) = &event.what {
        add(what);
    }
    if let Some(attempt) = event.attempt {
        add(&format!("attempt {attempt}"));
    }
    if let Some(until) = &event.until {
        add(&format!("until {}", when::clock(until)));
    }
    if let Some(error) = &event.error {
        add(&fault::line(error));
    }
    output::harmless(&text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(mut fields: serde_json::Value) -> FollowEvent {
        fields["sequence"] = json!(7);
        fields["at"] = json!("2027-01-15T08:00:00.120Z");
        fields
            .as_object_mut()
            .expect("an object")
            .entry("state")
            .or_insert_with(|| json!("running"));
        serde_json::from_value(fields).expect("an event")
    }

    /// Mutation: count iterations from 0, or leave the error out.
    #[test]
    fn an_event_is_one_plain_line() {
        for (fields, expected) in [
            (json!({"kind": "started", "task": "fetch"}), "08:00:00.120  started     fetch"),
            (
                json!({"kind": "iteration", "task": "each", "index": 0, "count": 569}),
                "08:00:00.120  iteration   each  1 of 569",
            ),
            (
                json!({"kind": "retrying", "task": "fetch", "attempt": 2, "until": "2027-01-15T08:00:01.000Z",
                    "error": {"type": "x", "status": 503, "title": "No\nanswer"}}),
                "08:00:00.120  retrying    fetch  attempt 2  until 08:00:01.000  No answer (503)",
            ),
            (json!({"kind": "state", "state": "completed"}), "08:00:00.120  state       completed"),
        ] {
            assert_eq!(line(&event(fields)), expected);
        }
    }

    /// Mutation: go on following a suspended run, or stop at a waiting one.
    #[test]
    fn following_stops_where_nothing_more_happens_by_itself() {
        let run = RunId::from_uuid(Default::default());
        for state in RunState::ALL {
            let follower = Follower { state: Some(state.to_string()), ..Follower::new(run, true) };
            let expected =
                (state.has_ended() || state == RunState::Suspended).then_some(Stop::Stands(state));
            assert_eq!(follower.stands(), Ok(expected), "{state}");
        }
        assert_eq!(Follower::new(run, true).stands(), Ok(None));
        assert!(
            Follower { state: Some("new".to_owned()), ..Follower::new(run, true) }
                .stands()
                .is_err()
        );
    }

    /// Mutation: let the delay grow without a bound, or not at all.
    #[test]
    fn tries_come_slower_and_slower_up_to_a_bound() {
        assert_eq!(delay(1), DELAY_FIRST);
        assert_eq!(delay(3), Duration::from_millis(400));
        assert_eq!(delay(40), DELAY_MAX);
    }
}
