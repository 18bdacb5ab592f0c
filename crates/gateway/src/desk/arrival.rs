//! What comes behind the head of an answer: all of it, or of a stream the first event. Only then it is known whether
//! it is an answer. One that is none, or breaks off before the client has seen anything of it, is a leg that has
//! failed, and another model may answer.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use models::{Blame, Missed, Operation, Said, error_in, is_answer, is_end, said_in};
use pricing::{Metered, Stream, Usage};
use tokio::time::timeout;

use super::aside::aside;
use super::body::AnswerBody;
use super::call::{dialect, is_events};
use super::events::{self, Events};
use super::leg::{self, Answers, Told, Try, Went};
use super::open::Open;
use super::shelf::Shelved;
use super::{ANSWER_BYTES_MAX, HEAD, disk};

/// So much may come of a stream before its first event: signs of life, and no answer.
const BEFORE_BYTES_MAX: usize = 64 * 1024;

/// What has come of an answer.
enum Come {
    Here(Bytes),
    Missed(Missed, Blame),
    /// An error in place of an answer, in the upstream's words.
    Error(u16, Bytes),
}

/// Waits for as much as tells whether a model answers. `whole` where a stream is judged before it is given.
pub(super) async fn arrived(
    open: &mut Open,
    went: Went,
    shelved: &Shelved,
    asked: Operation,
    whole: bool,
) -> Went {
    let Went::Answers(mut answers) = went else { return went };
    // An answer is read in the upstream's own words.
    let spoken = shelved.model.spec.asked_as(asked).unwrap_or(asked);
    let is_stream = is_events(&answers.headers) && dialect(spoken).is_some();
    let (waited, busy) = (Instant::now(), answers.body.busy());
    let come = match (is_stream && !whole, &answers.body) {
        (false, _) => all(&mut answers, shelved, spoken, is_stream).await,
        // Its first event is behind it.
        (true, AnswerBody::Spoken(_)) => return Went::Answers(answers),
        (true, AnswerBody::Lane(_) | AnswerBody::Whole(_) | AnswerBody::Begun(..)) => {
            begun(&mut answers, shelved).await
        }
    };
    let took = waited.elapsed();
    match come {
        Come::Here(first) if is_stream && !whole => {
            open.waited(took);
            answers.attempt.iter().for_each(Try::is_begun);
            let rest = std::mem::replace(&mut answers.body, AnswerBody::Whole(None));
            answers.body = AnswerBody::Begun(Some(first), Box::new(rest));
            Went::Answers(answers)
        }
        Come::Here(whole) => {
            open.waited(took);
            let before = open.legs().last().map_or(0, |leg| leg.micros);
            let leg = Duration::from_micros(before) + took;
            let usage = aside(whole.len(), || usage(leg, spoken, &whole, is_stream));
            pay(open, shelved, usage, busy);
            leg::report(answers.attempt.take(), Blame::Nobody);
            answers.place = None;
            answers.body = AnswerBody::Whole(Some(whole));
            Went::Answers(answers)
        }
        Come::Missed(why, blame) => {
            disk::broke_off(open, shelved, busy);
            open.broke_off(why, took);
            leg::report(answers.attempt.take(), blame);
            Went::Missed { after: None }
        }
        Come::Error(status, text) => {
            open.waited(took);
            // Some bill their errors, and say so.
            if let Some(usage) = dialect(spoken).and_then(|it| pricing::read(it, &text).ok()?) {
                pay(open, shelved, Some(usage), busy);
            }
            let status = StatusCode::from_u16(status).expect("it is that of an error");
            let (headers, text) = (answers.headers, Some(text));
            let told = Told { status, headers, text };
            leg::failed(open, shelved, answers.attempt, answers.translation, told)
        }
    }
}

/// All of an answer, where it is one.
async fn all(answers: &mut Answers, shelved: &Shelved, spoken: Operation, is_stream: bool) -> Come {
    let silence = shelved.model.spec.limits.silence().as_std();
    let whole = match read(answers, silence).await {
        Ok(whole) => whole,
        Err((why, blame)) => return Come::Missed(why, blame),
    };
    aside(whole.len(), || come(whole, spoken, is_stream, &answers.headers))
}

fn come(whole: Bytes, spoken: Operation, is_stream: bool, headers: &HeaderMap) -> Come {
    let broken = Come::Missed(Missed::Broken, Blame::Upstream);
    if is_stream {
        let whole = events::in_lines(whole);
        let mut is_part = false;
        for event in events::each(&whole) {
            match events::data(&event).map(|data| (said_in(data), data)) {
                Some((Said::Error(status), data)) => {
                    return Come::Error(status, Bytes::copy_from_slice(data));
                }
                Some((Said::Part, _)) => is_part = true,
                Some((Said::Nothing, _)) | None => {}
            }
        }
        return if is_part && is_end(&whole) { Come::Here(whole) } else { broken };
    }
    let head = headers.get(HEAD).map(|it| it.to_str().ok()?.parse::<usize>().ok());
    let head = match (spoken, head) {
        // Nobody could say where the bytes begin.
        (Operation::Infer, Some(None)) => return broken,
        (Operation::Infer, Some(head)) => head,
        (_, _) => None,
    };
    let json = &whole[..head.unwrap_or(whole.len()).min(whole.len())];
    match error_in(json) {
        Some(status) => Come::Error(status, whole.slice(..json.len())),
        None if is_answer(spoken, &whole, head) => Come::Here(whole),
        None => broken,
    }
}

async fn read(answers: &mut Answers, silence: Duration) -> Result<Bytes, (Missed, Blame)> {
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    loop {
        let piece = match answers.body.chunk(silence).await {
            Ok(Some(piece)) => piece,
            Ok(None) if whole.is_empty() => return Ok(first),
            Ok(None) => return Ok(whole.freeze()),
            Err(error) => return Err((leg::why(&error), Blame::Upstream)),
        };
        if let Some(attempt) = &mut answers.attempt {
            attempt.waits(silence);
        }
        if first.len().max(whole.len()) + piece.len() > ANSWER_BYTES_MAX {
            // It may well be what was asked for.
            return Err((Missed::TooLarge, Blame::Unknown));
        }
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(2 * (first.len() + piece.len()));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&piece);
    }
}

/// A stream up to its first event that is a part of an answer, as it came.
async fn begun(answers: &mut Answers, shelved: &Shelved) -> Come {
    let limits = &shelved.model.spec.limits;
    let (within, silence) = (limits.first_byte().as_std(), limits.silence().as_std());
    // Signs of life are no answer, however many come.
    let come = timeout(within, first_event(answers, silence)).await;
    come.unwrap_or(Come::Missed(Missed::Silent, Blame::Upstream))
}

async fn first_event(answers: &mut Answers, silence: Duration) -> Come {
    let broken = Come::Missed(Missed::Broken, Blame::Upstream);
    let (mut events, mut so_far) = (Events::default(), BytesMut::new());
    loop {
        let piece = match answers.body.chunk(silence).await {
            Ok(piece) => piece,
            Err(error) => return Come::Missed(leg::why(&error), Blame::Upstream),
        };
        if let Some(attempt) = &mut answers.attempt {
            attempt.waits(silence);
        }
        let is_last = piece.is_none();
        let whole = match &piece {
            Some(piece) => match events.push(piece.clone()) {
                Ok(whole) => whole,
                Err(_) => return broken,
            },
            None => events.rest(),
        };
        let mut is_part = false;
        for event in events::each(&events::in_one_line(whole)) {
            match events::data(&event).map(|data| (said_in(data), data)) {
                Some((Said::Error(status), data)) if !is_part => {
                    return Come::Error(status, Bytes::copy_from_slice(data));
                }
                Some((Said::Part | Said::Error(_), _)) => is_part = true,
                Some((Said::Nothing, _)) | None => {}
            }
        }
        let Some(piece) = piece else {
            return if is_part { Come::Here(so_far.freeze()) } else { broken };
        };
        if is_part && so_far.is_empty() {
            return Come::Here(piece);
        }
        so_far.extend_from_slice(&piece);
        if is_part {
            return Come::Here(so_far.freeze());
        }
        // A long event may have begun, and that is no sign of life alone.
        if is_last || so_far.len() > BEFORE_BYTES_MAX + events.waiting() {
            return broken;
        }
    }
}

/// What a whole answer says that it has used.
fn usage(leg: Duration, spoken: Operation, whole: &Bytes, is_stream: bool) -> Option<Usage> {
    match dialect(spoken) {
        // No report of usage: the leg's time by our own clock.
        None => disk::usage(leg),
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
    }
}

/// It is paid for, whatever becomes of it.
fn pay(open: &mut Open, shelved: &Shelved, usage: Option<Usage>, busy: Option<super::body::Busy>) {
    let usage = match busy {
        Some(busy) => disk::timed(usage, busy.get()),
        None => usage,
    };
    let price = shelved.price(open.priced_at);
    open.has_used(usage.as_ref(), price.as_deref());
}
