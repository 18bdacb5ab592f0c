//! One leg at a model whose file the site has: by the runner, in place of a lane.

use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use models::{Blame, CallRefusal, Missed, Operation};
use pricing::{Money, Totals, Usage};

use super::Question;
use super::leg::{Try, Went};
use super::open::Open;
use super::port::{NotRun, Ran, Tensors};
use super::shelf::Shelved;
use super::veil::Seen;

pub(super) async fn go(
    open: &mut Open,
    shelved: &Shelved,
    question: &Question,
    seen: &Seen,
    bound: Option<Money>,
) -> Went {
    let model = &shelved.model.name;
    let missed = |open: &mut Open, why, after| {
        open.leg(model, None, Some(why), Duration::ZERO);
        Went::Missed { after }
    };
    if let Seen::Nothing(_) = seen {
        return missed(open, Missed::Protected, None);
    }
    let desk = open.desk().clone();
    let attempt = match Try::begin(&desk, shelved) {
        Ok(attempt) => attempt,
        Err((why, after)) => return missed(open, why, Some(after)),
    };
    // One that is wrong was refused before anything was planned.
    let head = question.head().ok().flatten();
    if let Err(why) = open.sends(model, bound) {
        return missed(open, why, None);
    }
    open.sees(seen.hidden());
    let deadline = shelved.model.spec.limits.deadline().as_std();
    let started = Instant::now();
    let ask = Tensors { body: seen.body(question).clone(), head };
    let Ran { busy, end } = desk.0.runner.run(&shelved.model, ask, deadline).await;
    attempt.report(blame(&end));
    settle(open, shelved, busy.min(deadline));
    let not_run = match end {
        Ok(tensors) => {
            open.leg(model, Some(200), None, started.elapsed());
            return Went::Ran(tensors);
        }
        Err(not_run) => not_run,
    };
    let (why, after) = match not_run {
        NotRun::Refused(why) => {
            open.leg(model, Some(400), None, started.elapsed());
            return refused(why);
        }
        NotRun::Busy => (Missed::Busy, None),
        NotRun::Memory => (Missed::Memory, None),
        NotRun::Resting(after) => (Missed::Outage, Some(after)),
        NotRun::Silent => (Missed::Silent, None),
        NotRun::Died => (Missed::Broken, None),
        NotRun::TooLarge => (Missed::TooLarge, None),
        NotRun::Unavailable(why) => {
            tracing::error!(%model, why, "a model of the site cannot be run");
            (Missed::Unreachable, None)
        }
    };
    open.leg(model, None, Some(why), started.elapsed());
    let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
    Went::Missed { after: after.map(|it| base::Duration::from_millis(millis(it))) }
}

/// In the words of the protocol, as an upstream would.
fn refused(why: String) -> Went {
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
    let body = CallRefusal::Inputs(why).body(Some(Operation::Infer));
    Went::Refused(StatusCode::BAD_REQUEST, headers, body.into())
}

/// What it has worked is known, and that is paid.
fn settle(open: &mut Open, shelved: &Shelved, busy: Duration) {
    if busy.is_zero() {
        open.was_free();
        return;
    }
    let price = shelved.price(open.desk().now());
    open.has_used(usage(busy).as_ref(), price.as_deref());
}

/// One request, and the time of a device, in whole milliseconds.
pub(super) fn usage(busy: Duration) -> Option<Usage> {
    let milliseconds = u64::try_from(busy.as_micros().div_ceil(1_000)).ok()?;
    Usage::of(&Totals { milliseconds, ..Totals::default() }).ok()
}

const fn blame(end: &Result<Tensors, NotRun>) -> Blame {
    match end {
        Ok(_) | Err(NotRun::Refused(_) | NotRun::TooLarge) => Blame::Nobody,
        Err(NotRun::Busy | NotRun::Memory | NotRun::Resting(_)) => Blame::Unknown,
        Err(NotRun::Silent | NotRun::Died | NotRun::Unavailable(_)) => Blame::Upstream,
    }
}
