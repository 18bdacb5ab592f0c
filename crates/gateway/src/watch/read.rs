//! What a call comes to, read from the copies when it is over.

use std::borrow::Cow;
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderValue;
use models::{
    Admitted, Ask, AskError, Bill, By, ENTRY_VERSION, End, Entry, Heard, Hidden, Leg, ModelName,
    Needs, Operation, Settled, Unseen, Watched, estimated_tokens, is_end,
};
use pricing::{Metered, Stream, Totals, Usage};
use privacy::{Shield, Vault};

use super::copy::Copy;
use super::tap::Overheard;
use crate::desk::call::dialect;
use crate::desk::events;
use crate::desk::veil::WORDS;

/// What a packed text may become: the largest that is copied, packed well.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Two entries: that it was asked, and how it ended.
pub(super) fn entries(heard: &Overheard) -> [Entry; 2] {
    let asked = heard.asked(|copy| {
        let body = unpacked(copy, heard.asked_packed.as_ref())?;
        let ask = ask(heard, &body)?;
        Ok((ask, counted(&heard.watch.shield, &body), body.len() as u64))
    });
    let (ask, found, asked_bytes) = match &asked {
        Ok((ask, found, bytes)) => (Some(ask), found.clone(), *bytes),
        Err(_) => (None, None, 0),
    };
    let answer = unpacked(&heard.answer, heard.answer_packed.as_ref());
    let is_paid = heard.status.is_some_and(|it| it.is_success());
    let used = is_paid.then(|| used(heard, ask, asked_bytes, answer.as_deref())).flatten();
    let unseen: Option<Unseen> = asked.as_ref().err().copied();
    let unseen = unseen.or_else(|| answer.as_ref().err().copied().filter(|_| is_paid));
    let estimated = used.as_ref().is_some_and(|(_, is_estimate)| *is_estimate);
    let usage = used.map(|(usage, _)| usage);
    // Clients close a stream when they have read what ends it, before its connection does.
    let is_whole = heard.is_stream && answer.is_ok_and(|answer| is_end(&answer));
    let end = if heard.end == End::Left && is_whole { End::Answered } else { heard.end };
    written(heard, ask, Seen { found, unseen, estimated, usage, end })
}

/// The same of a call at which nobody has looked.
pub(super) fn entries_unseen(heard: &Overheard, why: Unseen) -> [Entry; 2] {
    let end = heard.end;
    let seen = Seen { found: None, unseen: Some(why), estimated: false, usage: None, end };
    written(heard, None, seen)
}

struct Seen {
    found: Option<Hidden>,
    unseen: Option<Unseen>,
    estimated: bool,
    usage: Option<Usage>,
    end: End,
}

fn written(heard: &Overheard, ask: Option<&Ask>, seen: Seen) -> [Entry; 2] {
    let Seen { found, unseen, estimated, usage, end } = seen;
    let watch = &heard.watch;
    let model = ask.map_or_else(|| watch.name.clone(), |ask| ask.model.clone());
    let namespace = watch.namespace.clone();
    let admitted = Admitted {
        v: ENTRY_VERSION,
        call: heard.call,
        at: heard.at,
        who: By { namespace, key: None, workflow: None, run: None },
        operation: heard.operation,
        asked: model.clone(),
        plan: vec![model.clone()],
        streamed: ask.map_or(heard.is_stream, |ask| ask.is_streamed),
        held: Vec::new(),
        bound: None,
        effect: None,
        trace: None,
        needs: ask.map(Needs::of).unwrap_or_default(),
        watched: Some(Watched {
            by: watch.name.clone(),
            client: heard.client.clone(),
            found,
            estimated,
            unseen,
        }),
    };
    let is_paid = heard.status.is_some_and(|it| it.is_success());
    let price = watch.price(&model, heard.at);
    let bill = || Bill::of(model.clone(), usage.as_ref(), price.as_deref(), None);
    let settled = Settled {
        v: ENTRY_VERSION,
        call: heard.call,
        at: heard.at.plus(base::Duration::from_millis(heard.micros / 1_000)),
        end,
        legs: vec![Leg {
            model: model.clone(),
            status: heard.status.map(|it| it.as_u16()),
            why: heard.why,
            cause: None,
            micros: heard.micros - heard.own_micros.min(heard.micros),
            hidden: None,
        }],
        bills: is_paid.then(bill).into_iter().collect(),
        charged: Vec::new(),
        degraded: false,
        micros: heard.micros,
        own_micros: heard.own_micros,
        first_micros: heard.first_micros,
        repeated_by: None,
        hidden: Hidden::new(),
        cached_from: None,
        resort: None,
        person: None,
    };
    [Entry::Admitted(admitted), Entry::Settled(settled)]
}

/// As it was before it was packed.
fn unpacked<'a>(copy: &'a Copy, packed: Option<&HeaderValue>) -> Result<Cow<'a, [u8]>, Unseen> {
    let bytes = copy.bytes()?;
    let how = packed.map(HeaderValue::as_bytes).unwrap_or_default();
    let mut reader: Box<dyn std::io::Read + 'a> = match how {
        b"" | b"identity" => return Ok(Cow::Borrowed(bytes)),
        b"gzip" | b"x-gzip" => Box::new(MultiGzDecoder::new(bytes)),
        b"deflate" => Box::new(ZlibDecoder::new(bytes)),
        _ => return Err(Unseen::Packed),
    };
    let mut plain = Vec::new();
    // A stream that was cut off is read as far as it goes.
    let _ = reader.by_ref().take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut plain);
    if plain.len() as u64 > UNPACKED_BYTES_MAX {
        return Err(Unseen::TooLarge);
    }
    if plain.is_empty() && !bytes.is_empty() {
        return Err(Unseen::Unreadable);
    }
    Ok(Cow::Owned(plain))
}

/// What was asked for. At Azure the model stands in the path alone.
fn ask(heard: &Overheard, body: &[u8]) -> Result<Ask, Unseen> {
    let read = match Ask::read(heard.operation, body) {
        Err(AskError::Missing("model")) => {
            let named = deployment(&heard.path).and_then(|name| with_model(body, &name));
            let body = named.ok_or(Unseen::Unreadable)?;
            Ask::read(heard.operation, &body)
        }
        read => read,
    };
    read.map_err(|_| Unseen::Unreadable)
}

fn deployment(path: &str) -> Option<ModelName> {
    let (_, rest) = path.split_once("/deployments/")?;
    ModelName::parse(rest.split('/').next()?).ok()
}

/// The copy with the name in it.
fn with_model(body: &[u8], name: &ModelName) -> Option<Vec<u8>> {
    let start = body.iter().position(|byte| *byte == b'{')? + 1;
    let mut named = body[..start].to_vec();
    named.extend_from_slice(format!("\"model\":\"{name}\",").as_bytes());
    named.extend_from_slice(&body[start..]);
    Some(named)
}

/// What is in it of each class, by the rules of the watch.
fn counted(shield: &Shield, body: &[u8]) -> Option<Hidden> {
    // What it stands for goes nowhere.
    let mut vault = Vault::one_way();
    shield.protect_json(&mut vault, body, &WORDS).ok()?;
    let hidden = vault.hidden().iter();
    Some(hidden.map(|(class, count)| (class.name().to_owned(), *count)).collect())
}

/// What was used, and whether that is an estimate.
fn used(
    heard: &Overheard,
    ask: Option<&Ask>,
    asked_bytes: u64,
    answer: Result<&[u8], &Unseen>,
) -> Option<(Usage, bool)> {
    let reported = answer.ok().and_then(|answer| reported(heard, answer));
    let so_far = match reported {
        Some(Metered::Whole(usage)) => return Some((usage, false)),
        Some(Metered::SoFar(usage)) => Some(usage),
        Some(Metered::Nothing) | None => None,
    };
    let ask = ask?;
    if so_far.is_none() && (ask.images > 0 || ask.has_more_elsewhere) {
        return None;
    }
    let said = answer.ok().map(|answer| said_bytes(heard, answer))?;
    let input = so_far.map_or_else(|| estimated_tokens(asked_bytes), |it| it.input_tokens());
    let output = so_far.map_or(0, |it| it.output_tokens()).max(estimated_tokens(said));
    let totals = Totals { input, output, ..Totals::default() };
    Usage::of(&totals).ok().map(|usage| (usage, true))
}

/// What the answer says of it.
fn reported(heard: &Overheard, answer: &[u8]) -> Option<Metered> {
    let dialect = dialect(heard.operation)?;
    if !heard.is_stream {
        let usage = pricing::read(dialect, answer).ok()?;
        return Some(usage.map_or(Metered::Nothing, Metered::Whole));
    }
    let mut meter = Stream::new(dialect);
    for event in events::each(&events::in_lines(Bytes::copy_from_slice(answer))) {
        if let Some(data) = events::data(&event) {
            // A report that cannot be read is none.
            let _ = meter.feed(data);
        }
    }
    meter.metered().ok()
}

/// How long the texts of the answer are.
fn said_bytes(heard: &Overheard, answer: &[u8]) -> u64 {
    if matches!(heard.operation, Operation::Embeddings) {
        return 0;
    }
    let mut said = Heard::default();
    if heard.is_stream {
        for event in events::each(&events::in_lines(Bytes::copy_from_slice(answer))) {
            if let Some(data) = events::data(&event) {
                said.event(heard.operation, data);
            }
        }
    } else {
        said = Heard::whole(heard.operation, answer);
    }
    said.texts().map(|text| text.len() as u64).sum()
}
