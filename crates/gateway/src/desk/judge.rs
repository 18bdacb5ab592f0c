//! Whether an answer is good enough for its route. It is waited for whole, and then given as it came, stream
//! or not, or kept in case that nobody has a better one.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use models::{Accept, Ask, Heard, Operation};
use pricing::{Metered, Stream};
use serde_json::Value;

use super::body::{AnswerBody, Busy};
use super::call::{dialect, is_events};
use super::leg::{self, Answers, Went};
use super::open::Open;
use super::port::Tensors;
use super::shelf::Shelved;
use super::{ANSWER_BYTES_MAX, HEAD, disk, events};

/// An answer that was not good enough, and is paid for.
pub(super) enum Held {
    Answers(Answers),
    Ran(Tensors),
}

/// Looks at what a model has answered; all else is as it was.
pub(super) async fn judged(
    open: &mut Open,
    went: Went,
    shelved: &Shelved,
    ask: &Ask,
    accept: &Accept,
) -> Went {
    match went {
        Went::Answers(answers) => of_answers(open, answers, shelved, ask, accept).await,
        Went::Ran(tensors) => {
            let output = accept.output.as_deref().unwrap_or_default();
            if accept.takes(&Heard::tensors(output, &tensors.body, tensors.head)) {
                return Went::Ran(tensors);
            }
            open.unsure();
            Went::Unsure(Held::Ran(tensors))
        }
        Went::Unsure(_) | Went::Refused(..) | Went::Missed { .. } | Went::Untranslated(_) => went,
    }
}

async fn of_answers(
    open: &mut Open,
    answers: Answers,
    shelved: &Shelved,
    ask: &Ask,
    accept: &Accept,
) -> Went {
    let Answers { status, headers, body, place, translation } = answers;
    let spoken = shelved.model.spec.asked_as(ask.operation).unwrap_or(ask.operation);
    let silence = shelved.model.spec.limits.silence().as_std();
    let (waited, busy) = (Instant::now(), body.busy());
    let whole = match body.whole(ANSWER_BYTES_MAX, silence).await {
        Ok(whole) => whole,
        Err(error) => {
            disk::broke_off(open, shelved, busy);
            let why = Some(leg::why(&error));
            open.leg(&shelved.model.name, Some(status.as_u16()), why, waited.elapsed());
            return Went::Missed { after: None };
        }
    };
    open.waited(waited.elapsed());
    drop(place);
    let is_stream = is_events(&headers) && dialect(spoken).is_some();
    let whole = if is_stream { events::in_lines(whole) } else { whole };
    pay(open, shelved, spoken, &whole, is_stream, busy);
    let heard = heard(spoken, accept, &whole, &headers, is_stream);
    let was_asked = accept.asks_logprobs(spoken) && !ask.wants_logprobs;
    // Other dialects have no place for it, so that it is lost on the way back.
    let whole = if was_asked && translation.is_none() { unasked(whole, is_stream) } else { whole };
    let body = AnswerBody::Whole(Some(whole));
    let answers = Answers { status, headers, body, place: None, translation };
    if accept.takes(&heard) {
        return Went::Answers(answers);
    }
    open.unsure();
    Went::Unsure(Held::Answers(answers))
}

/// It is paid for, whatever becomes of it.
fn pay(
    open: &mut Open,
    shelved: &Shelved,
    spoken: Operation,
    whole: &Bytes,
    is_stream: bool,
    busy: Option<Busy>,
) {
    let usage = match dialect(spoken) {
        None => disk::usage(open.theirs()),
        Some(dialect) if is_stream => {
            let mut meter = Stream::new(dialect);
            for event in events::each(whole) {
                if let Some(data) = events::data(&event)
                    && meter.feed(data).is_err()
                {
                    tracing::debug!("a model reports its usage in a way that cannot be read");
                }
            }
            match meter.metered() {
                Ok(Metered::Whole(usage)) => Some(usage),
                Ok(Metered::SoFar(_) | Metered::Nothing) | Err(_) => None,
            }
        }
        Some(dialect) => pricing::read(dialect, whole).ok().flatten(),
    };
    let usage = match busy {
        Some(busy) => disk::timed(usage, busy.get()),
        None => usage,
    };
    let price = shelved.price(open.desk().now());
    open.has_used(usage.as_ref(), price.as_deref());
}

fn heard(
    spoken: Operation,
    accept: &Accept,
    whole: &Bytes,
    headers: &HeaderMap,
    is_stream: bool,
) -> Heard {
    if spoken == Operation::Infer {
        let head = headers.get(HEAD).and_then(|it| it.to_str().ok()?.parse().ok());
        return Heard::tensors(accept.output.as_deref().unwrap_or_default(), whole, head);
    }
    if !is_stream {
        return Heard::whole(spoken, whole);
    }
    let mut heard = Heard::default();
    for event in events::each(whole) {
        if let Some(data) = events::data(&event) {
            heard.event(spoken, data);
        }
    }
    heard
}

/// Without what was asked for by this site alone.
fn unasked(whole: Bytes, is_stream: bool) -> Bytes {
    if !is_stream {
        return without_logprobs(&whole).map_or(whole, Bytes::from);
    }
    let mut out = Vec::with_capacity(whole.len());
    for event in events::each(&whole) {
        match events::data(&event).and_then(without_logprobs) {
            Some(data) => {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&data);
                out.extend_from_slice(b"\n\n");
            }
            None => out.extend_from_slice(&event),
        }
    }
    out.into()
}

/// None where there are none.
fn without_logprobs(json: &[u8]) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(json).ok()?;
    let mut had_some = false;
    for choice in answer.get_mut("choices")?.as_array_mut()? {
        had_some |= choice.as_object_mut()?.shift_remove("logprobs").is_some();
    }
    had_some.then(|| answer.to_string().into_bytes())
}
