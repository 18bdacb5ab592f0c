//! One leg at a model whose file the site has: by the runner, in place of a lane.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use models::{Ask, Blame, CallRefusal, Missed, Operation};
use pricing::{Class, Money, Totals, Usage};

use super::Question;
use super::body::{AnswerBody, Busy};
use super::leg::{Answers, Leg, Try, Went, place};
use super::open::Open;
use super::port::{NotRun, Ran, Spoke, Tensors, Words};
use super::said::{Said, said};
use super::shelf::{Shelved, There};
use super::veil::Seen;

pub(super) async fn go(open: &mut Open, leg: Leg<'_>) -> Went {
    let Leg { shelved, question, ask, seen, bound, .. } = leg;
    if let Seen::Nothing(_) = seen {
        return missed(open, shelved, Missed::Protected, None);
    }
    match question.operation {
        Operation::Infer => tensors(open, shelved, question, seen, bound).await,
        Operation::Chat
        | Operation::Completions
        | Operation::Embeddings
        | Operation::Responses
        | Operation::Messages => words(open, shelved, question, seen.ask(ask), seen, bound).await,
    }
}

fn missed(open: &mut Open, shelved: &Shelved, why: Missed, after: Option<base::Duration>) -> Went {
    open.leg(&shelved.model.name, None, Some(why), Duration::ZERO);
    Went::Missed { after }
}

async fn tensors(
    open: &mut Open,
    shelved: &Arc<Shelved>,
    question: &Question,
    seen: &Seen,
    bound: Option<Money>,
) -> Went {
    let model = &shelved.model.name;
    let desk = open.desk().clone();
    let mut attempt = match Try::begin(&desk, shelved) {
        Ok(attempt) => attempt,
        Err((why, after)) => return missed(open, shelved, why, Some(after)),
    };
    // One that is wrong was refused before anything was planned.
    let head = question.head().ok().flatten();
    if let Err(why) = open.sends(shelved, bound) {
        return missed(open, shelved, why, None);
    }
    attempt.runs();
    open.sees(seen.hidden());
    let deadline = shelved.model.spec.limits.deadline().as_std();
    let started = Instant::now();
    let ask = Tensors { body: seen.body(question).clone(), head };
    let Ran { busy, end } = desk.0.runner.run(&shelved.model, ask, deadline).await;
    attempt.report(blame(end.as_ref().err()));
    settle(open, shelved, busy.min(deadline));
    match end {
        Ok(tensors) => {
            open.leg(model, Some(200), None, started.elapsed());
            Went::Ran(tensors)
        }
        Err(why) => not_run(open, shelved, question.operation, why, started),
    }
}

/// A question in words, in those that the process speaks.
async fn words(
    open: &mut Open,
    shelved: &Arc<Shelved>,
    question: &Question,
    ask: &Ask,
    seen: &Seen,
    bound: Option<Money>,
) -> Went {
    let model = &shelved.model.name;
    let desk = open.desk().clone();
    let there = There { name: model.as_str(), output: None, is_local: false };
    let Said { operation, body, translation } =
        match said(shelved, there, ask, seen.body(question), None, desk.now()) {
            Ok(said) => said,
            Err(refusal) => {
                missed(open, shelved, Missed::Dialect, None);
                return Went::Untranslated(refusal);
            }
        };
    let mut attempt = match Try::begin(&desk, shelved) {
        Ok(attempt) => attempt,
        Err((why, after)) => return missed(open, shelved, why, Some(after)),
    };
    let Some(place) = place(&shelved.places).await else {
        return missed(open, shelved, Missed::Busy, None);
    };
    if let Err(why) = open.sends(shelved, bound) {
        return missed(open, shelved, why, None);
    }
    attempt.runs();
    open.sees(seen.hidden());
    let deadline = shelved.model.spec.limits.deadline().as_std();
    let started = Instant::now();
    let is_streamed = ask.is_streamed && operation != Operation::Embeddings;
    let words = Words { operation, body, is_streamed };
    let Spoke { busy, end } = desk.0.runner.speak(&shelved.model, words, deadline).await;
    attempt.report(blame(end.as_ref().err()));
    match end {
        Ok(spoken) => {
            open.leg(model, Some(200), None, started.elapsed());
            let kind = if is_streamed { "text/event-stream" } else { "application/json" };
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            let (status, body, place) = (StatusCode::OK, AnswerBody::Spoken(spoken), Some(place));
            // A process that dies is known where it is run.
            let attempt = None;
            Went::Answers(Answers { status, headers, body, place, translation, attempt })
        }
        Err(why) => {
            settle(open, shelved, busy.min(deadline));
            not_run(open, shelved, question.operation, why, started)
        }
    }
}

fn not_run(
    open: &mut Open,
    shelved: &Shelved,
    operation: Operation,
    not_run: NotRun,
    started: Instant,
) -> Went {
    let model = &shelved.model.name;
    let (why, after) = match not_run {
        NotRun::Refused(why) => {
            open.leg(model, Some(400), None, started.elapsed());
            return refused(operation, why);
        }
        NotRun::Busy => (Missed::Busy, None),
        NotRun::Memory => (Missed::Memory, None),
        NotRun::Resting(after) => (Missed::Outage, Some(after)),
        NotRun::Silent => (Missed::Silent, None),
        NotRun::Died => (Missed::Broken, None),
        NotRun::Failed(why) => {
            tracing::warn!(%model, why, "a model of the site answers with what is no answer");
            (Missed::Broken, None)
        }
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

/// In the words in which it was asked, as an upstream would.
fn refused(operation: Operation, why: String) -> Went {
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
    let body = CallRefusal::Inputs(why).body(Some(operation));
    Went::Refused(StatusCode::BAD_REQUEST, headers, body.into())
}

/// What it has worked is known, and that is paid.
fn settle(open: &mut Open, shelved: &Shelved, busy: Duration) {
    if busy.is_zero() {
        open.was_free();
        return;
    }
    let price = shelved.price(open.priced_at);
    open.has_used(usage(busy).as_ref(), price.as_deref());
}

/// An answer that has begun and has no end. What a process of the site has worked is known, and that is paid.
pub(super) fn broke_off(open: &mut Open, shelved: &Shelved, busy: Option<Busy>) {
    let Some(busy) = busy else { return open.is_lost() };
    let price = shelved.price(open.priced_at);
    open.has_used(usage(busy.get()).as_ref(), price.as_deref());
}

/// One request, and the time of a device, in whole milliseconds.
pub(super) fn usage(busy: Duration) -> Option<Usage> {
    let milliseconds = u64::try_from(busy.as_micros().div_ceil(1_000)).ok()?;
    Usage::of(&Totals { milliseconds, ..Totals::default() }).ok()
}

/// The same with the time of a device, which no report of usage has.
pub(super) fn timed(usage: Option<Usage>, busy: Duration) -> Option<Usage> {
    let milliseconds = u64::try_from(busy.as_micros().div_ceil(1_000)).ok()?;
    usage?.with(Class::Millisecond, milliseconds).ok()
}

const fn blame(not_run: Option<&NotRun>) -> Blame {
    match not_run {
        None | Some(NotRun::Refused(_) | NotRun::TooLarge) => Blame::Nobody,
        Some(NotRun::Busy | NotRun::Memory | NotRun::Resting(_)) => Blame::Unknown,
        Some(NotRun::Silent | NotRun::Died | NotRun::Failed(_) | NotRun::Unavailable(_)) => {
            Blame::Upstream
        }
    }
}
