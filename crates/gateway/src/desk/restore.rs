//! Streams of answers: values come back in place of their stand-ins, and what the rules hide stays away,
//! wherever a piece ends.
//!
//! A text comes in many events. Each text of a stream has its own place here, which holds back what may
//! go on in the next event; what is left at its end goes out in an event of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use models::{Hidden, Operation, spliced};
use privacy::{Exempt, Guard, Refusal, Restorer, Shield, Vault};
use serde_json::value::RawValue;

use super::delta::{self, Delta, Read};
use super::events;

/// Texts of one answer at once. An interface has some for each of its choices.
const TEXTS_MAX: usize = 1_024;

/// Places of answers that hold words of the interface.
pub(super) static WORDS: LazyLock<Exempt> = LazyLock::new(|| {
    Exempt::new(&[
        "id",
        "object",
        "type",
        "role",
        "model",
        "created",
        "created_at",
        "stop_reason",
        "status",
        "system_fingerprint",
        "service_tier",
        "usage",
        "index",
        "item_id",
        "sequence_number",
        "choices.*.index",
        "choices.*.finish_reason",
        "choices.*.message.role",
        "choices.*.message.tool_calls.*.id",
        "choices.*.message.tool_calls.*.type",
        "choices.*.message.tool_calls.*.function.name",
        "content.*.type",
        "content.*.id",
        "content.*.name",
        "content.*.signature",
        "output.*.id",
        "output.*.type",
        "output.*.role",
        "output.*.status",
        "output.*.call_id",
        "output.*.name",
        "output.*.encrypted_content",
        "output.*.content.*.type",
        "response.id",
        "response.model",
        "response.usage",
        "message.id",
        "message.model",
        "message.role",
        "message.type",
        "message.usage",
        "delta.stop_reason",
        "content_block.id",
        "content_block.name",
        "content_block.type",
    ])
    .expect("as many paths as there may be")
});

/// One text of a stream.
struct Text {
    guard: Option<Guard>,
    restorer: Option<Restorer>,
    /// What an event of it has before and behind its text, while something is held back.
    frame: Option<(Vec<u8>, Vec<u8>)>,
}

impl Text {
    fn push(&mut self, piece: &str) -> Result<String, Refusal> {
        let seen = match &mut self.guard {
            Some(guard) => guard.push(piece)?,
            None => piece.to_owned(),
        };
        Ok(match &mut self.restorer {
            Some(restorer) => restorer.push(&seen),
            None => seen,
        })
    }

    fn finish(&mut self) -> Result<String, Refusal> {
        let mut rest = String::new();
        if let Some(guard) = &mut self.guard {
            let last = guard.finish()?;
            match &mut self.restorer {
                Some(restorer) => rest.push_str(&restorer.push(&last)),
                None => rest.push_str(&last),
            }
        }
        if let Some(restorer) = &mut self.restorer {
            rest.push_str(&restorer.finish());
        }
        Ok(rest)
    }

    fn holds(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::holds)
            || self.restorer.as_ref().is_some_and(Restorer::holds)
    }
}

/// What becomes of a stream on its way to the client.
pub(super) struct Restore {
    operation: Operation,
    vault: Option<Arc<Vault>>,
    back: Option<Shield>,
    texts: BTreeMap<String, Text>,
    hidden: Hidden,
    /// Events that were put in between, by which the numbers of those behind are higher.
    more: u64,
}

impl Restore {
    /// None where the stream comes as it is.
    pub(super) fn new(
        operation: Operation,
        vault: Option<Arc<Vault>>,
        back: Option<Shield>,
    ) -> Option<Self> {
        let vault = vault.filter(|vault| !vault.is_empty());
        if vault.is_none() && back.is_none() {
            return None;
        }
        let (texts, hidden) = (BTreeMap::new(), Hidden::new());
        Some(Self { operation, vault, back, texts, hidden, more: 0 })
    }

    /// Whole events, as the client gets them.
    pub(super) fn events(&mut self, whole: &Bytes) -> Result<Bytes, Refusal> {
        let mut out = Vec::with_capacity(whole.len() + 64);
        for event in events::each(whole) {
            self.event(&event, &mut out)?;
        }
        Ok(out.into())
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Result<Bytes, Refusal> {
        let mut out = Vec::new();
        self.end(|_| true, &mut out)?;
        Ok(out.into())
    }

    /// What was hidden in it so far.
    pub(super) fn hidden(&self) -> Hidden {
        let mut all = self.hidden.clone();
        for text in self.texts.values() {
            count(&mut all, text);
        }
        all
    }

    fn event(&mut self, event: &Bytes, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(data) = events::data(event) else {
            out.extend_from_slice(event);
            return Ok(());
        };
        let start = data.as_ptr() as usize - event.as_ptr() as usize;
        if data == b"[DONE]" {
            self.end(|_| true, out)?;
            out.extend_from_slice(event);
            return Ok(());
        }
        let read = std::str::from_utf8(data).ok().and_then(|it| delta::read(self.operation, it));
        let Some(read) = read else {
            if self.back.is_some() {
                return Err(Refusal::NotJson { at: 0 });
            }
            out.extend_from_slice(event);
            return Ok(());
        };
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        let place = |raw: &RawValue| {
            let from = raw.get().as_ptr() as usize - data.as_ptr() as usize;
            start + from..start + from + raw.get().len()
        };
        let ends = |key: &str| read.ended.iter().any(|start| key.starts_with(start));
        for delta in &read.deltas {
            let Ok(piece) = serde_json::from_str::<String>(delta.raw.get()) else {
                // Half of a letter: nobody can say of what text.
                if self.back.is_some() {
                    return Err(Refusal::NotJson { at: start });
                }
                continue;
            };
            let around = Around { event, place: place(delta.raw), read: &read };
            let passed = self.piece(delta, &piece, ends(&delta.key), &around)?;
            if passed != piece {
                edits.push((place(delta.raw), quoted(&passed)));
            }
        }
        for raw in &read.wholes {
            let body = Bytes::copy_from_slice(raw.get().as_bytes());
            let (passed, hidden) = answer(self.back.as_ref(), self.vault.as_deref(), body)?;
            add(&mut self.hidden, hidden);
            if passed != raw.get().as_bytes() {
                edits.push((place(raw), String::from_utf8_lossy(&passed).into_owned()));
            }
        }
        if self.back.is_some() {
            edits.extend(read.logprobs.iter().map(|raw| (place(raw), nothing(raw).to_owned())));
        }
        self.end(ends, out)?;
        if let Some(raw) = read.sequence.filter(|_| self.more > 0)
            && let Ok(number) = raw.get().parse::<u64>()
        {
            edits.push((place(raw), (number + self.more).to_string()));
        }
        let passed = if edits.is_empty() { event.clone() } else { spliced(event, edits) };
        if read.is_whole {
            return self.whole(&passed, out);
        }
        out.extend_from_slice(&passed);
        Ok(())
    }

    /// The next piece of a text, as it goes out.
    fn piece(
        &mut self,
        delta: &Delta<'_>,
        piece: &str,
        is_last: bool,
        around: &Around<'_>,
    ) -> Result<String, Refusal> {
        if self.texts.len() >= TEXTS_MAX && !self.texts.contains_key(&delta.key) {
            return Err(Refusal::VaultFull);
        }
        let (vault, back) = (&self.vault, &self.back);
        let text = self.texts.entry(delta.key.clone()).or_insert_with(|| Text {
            guard: back.clone().map(Guard::new),
            restorer: vault.clone().map(|vault| Restorer::new(vault, delta.form)),
            frame: None,
        });
        let mut passed = text.push(piece)?;
        if is_last {
            passed.push_str(&text.finish()?);
            count(&mut self.hidden, text);
            self.texts.remove(&delta.key);
            return Ok(passed);
        }
        text.frame = text.holds().then(|| {
            let Around { event, place, read } = around;
            let here = || (event[..place.start].to_vec(), event[place.end..].to_vec());
            delta.frame(read).unwrap_or_else(here)
        });
        Ok(passed)
    }

    /// Texts end: what they hold back goes out.
    fn end(&mut self, is_it: impl Fn(&str) -> bool, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let ended = self.texts.extract_if(.., |key, _| is_it(key)).collect::<Vec<_>>();
        for (_, mut text) in ended {
            let rest = text.finish();
            count(&mut self.hidden, &text);
            let rest = rest?;
            let Some((before, behind)) = text.frame.filter(|_| !rest.is_empty()) else { continue };
            out.extend_from_slice(&before);
            out.extend_from_slice(quoted(&rest).as_bytes());
            out.extend_from_slice(&behind);
            self.more += 1;
        }
        Ok(())
    }

    /// An event that repeats whole texts.
    fn whole(&self, event: &Bytes, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(data) = events::data(event) else {
            out.extend_from_slice(event);
            return Ok(());
        };
        let start = data.as_ptr() as usize - event.as_ptr() as usize;
        let body = event.slice(start..start + data.len());
        let (body, _) = answer(self.back.as_ref(), self.vault.as_deref(), body)?;
        out.extend_from_slice(&event[..start]);
        out.extend_from_slice(&body);
        out.extend_from_slice(&event[start + data.len()..]);
        Ok(())
    }
}

/// Where a piece of a text stands.
struct Around<'a> {
    event: &'a [u8],
    place: Range<usize>,
    read: &'a Read<'a>,
}

/// A whole answer, as the client gets it, and what was hidden in it.
pub(super) fn answer(
    back: Option<&Shield>,
    vault: Option<&Vault>,
    body: Bytes,
) -> Result<(Bytes, Hidden), Refusal> {
    let (mut body, mut hidden) = (body, Hidden::new());
    if let Some(shield) = back {
        body = without_logprobs(body);
        // What is hidden in an answer has no stand-in: nobody restores it.
        let mut own = Vault::new(0);
        if let Cow::Owned(text) = shield.protect_json(&mut own, &body, &WORDS)? {
            body = text.into();
        }
        hidden = named(own.hidden());
    }
    if let Some(vault) = vault.filter(|it| !it.is_empty())
        && let Cow::Owned(text) = vault.restore_json(&body)?
    {
        body = text.into();
    }
    Ok((body, hidden))
}

/// Word by word, nothing is found of what is in the text.
fn without_logprobs(body: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    let found = delta::logprobs(text);
    if found.is_empty() {
        return body;
    }
    let edit = |raw: &&RawValue| {
        let from = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        (from..from + raw.get().len(), nothing(raw).to_owned())
    };
    spliced(&body, found.iter().map(edit).collect())
}

fn nothing(raw: &RawValue) -> &'static str {
    if raw.get().starts_with('[') { "[]" } else { "null" }
}

pub(super) fn named(hidden: &privacy::Hidden) -> Hidden {
    hidden.iter().map(|(class, count)| (class.name().to_owned(), *count)).collect()
}

fn add(all: &mut Hidden, more: Hidden) {
    for (class, count) in more {
        *all.entry(class).or_default() += count;
    }
}

fn count(all: &mut Hidden, text: &Text) {
    for (class, count) in text.guard.iter().flat_map(Guard::hidden) {
        *all.entry(class.name().to_owned()).or_default() += count;
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}
