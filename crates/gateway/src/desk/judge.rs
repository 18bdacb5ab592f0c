//! Whether an answer is good enough for its route. It was waited for whole, and is given as it came, stream or not,
//! or kept in case that nobody has a better one.

use bytes::Bytes;
use http::HeaderMap;
use models::{Accept, Ask, Heard, Operation};
use serde_json::Value;

use super::body::AnswerBody;
use super::call::{dialect, is_events};
use super::leg::{Answers, Went};
use super::open::Open;
use super::port::Tensors;
use super::shelf::Shelved;
use super::{HEAD, events};

/// An answer that was not good enough, and is paid for.
pub(super) enum Held {
    Answers(Box<Answers>),
    Ran(Tensors),
}

/// Looks at what a model has answered, and has come whole; all else is as it was.
pub(super) fn judged(
    open: &mut Open,
    went: Went,
    shelved: &Shelved,
    ask: &Ask,
    accept: &Accept,
) -> Went {
    match went {
        Went::Answers(answers) => of_answers(open, answers, shelved, ask, accept),
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

fn of_answers(
    open: &mut Open,
    mut answers: Answers,
    shelved: &Shelved,
    ask: &Ask,
    accept: &Accept,
) -> Went {
    let AnswerBody::Whole(Some(whole)) = &answers.body else { return Went::Answers(answers) };
    let spoken = shelved.model.spec.asked_as(ask.operation).unwrap_or(ask.operation);
    let is_stream = is_events(&answers.headers) && dialect(spoken).is_some();
    let heard = heard(spoken, accept, whole, &answers.headers, is_stream);
    // Other dialects have no place for it, so that it is lost on the way back.
    if accept.asks_logprobs(spoken) && !ask.wants_logprobs && answers.translation.is_none() {
        answers.body = AnswerBody::Whole(Some(unasked(whole.clone(), is_stream)));
    }
    if accept.takes(&heard) {
        return Went::Answers(answers);
    }
    open.unsure();
    Went::Unsure(Held::Answers(Box::new(answers)))
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
