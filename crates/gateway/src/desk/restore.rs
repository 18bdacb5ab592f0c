//! Streams of answers: values come back in place of their stand-ins, and what the rules hide stays away,
//! wherever a piece ends.
//!
//! A text comes in many events. Each text of a stream has its own place here, which holds back what may
//! go on in the next event; what is left at its end goes out in an event of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use dialects::Halves;
use models::{Hidden, Operation, spliced};
use privacy::{Exempt, Refusal, Shield, Vault};
use serde_json::value::RawValue;

use super::delta::{self, Delta, Read};
use super::events;
use super::json::quoted;
use super::text::{Rules, Text, Within};

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

/// Where answers hold a program's own data, and not as a text of JSON.
pub(super) static DATA: LazyLock<Exempt> =
    LazyLock::new(|| Exempt::new(&["content.*.input"]).expect("as many paths as there may be"));

/// One text of a stream.
struct Running {
    text: Text,
    /// What an event of it has before and behind its text, while something is held back.
    frame: Option<(Vec<u8>, Vec<u8>)>,
}

/// What becomes of a stream on its way to the client.
pub(super) struct Restore {
    operation: Operation,
    rules: Rules,
    texts: BTreeMap<String, Running>,
    /// Items of lists that have begun, such as calls of tools.
    items: BTreeSet<String>,
    /// Those of them that have ended: another one has begun.
    ended: BTreeSet<String>,
    halves: Halves,
    hidden: Hidden,
    /// Events that were put in between, by which the numbers of those behind are higher.
    more: u64,
    /// The number of the event that went out last.
    last: Option<u64>,
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
        Some(Self {
            operation,
            rules: Rules { vault, back },
            texts: BTreeMap::new(),
            items: BTreeSet::new(),
            ended: BTreeSet::new(),
            halves: Halves::default(),
            hidden: Hidden::new(),
            more: 0,
            last: None,
        })
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
        for running in self.texts.values() {
            add(&mut all, named(&running.text.hidden()));
        }
        all
    }

    fn event(&mut self, event: &Bytes, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let event = &match self.halves.joined(event) {
            Cow::Borrowed(_) => event.clone(),
            Cow::Owned(joined) => joined.into(),
        };
        let Some(data) = events::data(event) else {
            out.extend_from_slice(event);
            return Ok(());
        };
        if data == b"[DONE]" {
            self.end(|_| true, out)?;
            out.extend_from_slice(event);
            return Ok(());
        }
        let read = std::str::from_utf8(data).ok().and_then(|it| delta::read(self.operation, it));
        let Some(read) = read else {
            if self.rules.back.is_some() {
                return Err(Refusal::NotJson { at: 0 });
            }
            out.extend_from_slice(event);
            return Ok(());
        };
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        let place = |raw: &RawValue| place(event, raw);
        let over = self.over(&read);
        let is_over = |key: &str| over.iter().any(|(list, item)| is_beside(key, list, item));
        let ends = |key: &str| read.ended.iter().any(|start| key.starts_with(start));
        for delta in &read.deltas {
            let Ok(piece) = serde_json::from_str::<String>(delta.raw.get()) else {
                if self.rules.back.is_some() {
                    return Err(Refusal::NotJson { at: place(delta.raw).start });
                }
                continue;
            };
            let around = Around { event, read: &read };
            let passed =
                self.piece(delta, &piece, (ends(&delta.key), is_over(&delta.key)), &around)?;
            if passed != piece {
                edits.push((place(delta.raw), quoted(&passed)));
            }
        }
        let (back, vault) = (self.rules.back.as_ref(), self.rules.vault.as_deref());
        for raw in &read.wholes {
            let body = Bytes::copy_from_slice(raw.get().as_bytes());
            let (passed, hidden) = answer(back, vault, body)?;
            add(&mut self.hidden, hidden);
            if passed != raw.get().as_bytes() {
                edits.push((place(raw), String::from_utf8_lossy(&passed).into_owned()));
            }
        }
        if self.rules.back.is_some() {
            edits.extend(read.logprobs.iter().map(|raw| (place(raw), nothing(raw).to_owned())));
        }
        let sequence = read.sequence.and_then(|raw| Some((raw, raw.get().parse::<u64>().ok()?)));
        if let Some((_, number)) = sequence.filter(|_| self.last.is_none()) {
            self.last = number.checked_sub(1);
        }
        self.end(ends, out)?;
        self.leave(is_over, out)?;
        if let Some((raw, number)) = sequence {
            let number = number.saturating_add(self.more);
            self.last = Some(number);
            if self.more > 0 {
                edits.push((place(raw), number.to_string()));
            }
        }
        let passed = if edits.is_empty() { event.clone() } else { spliced(event, edits) };
        if read.is_whole {
            return self.whole(&passed, out);
        }
        out.extend_from_slice(&passed);
        Ok(())
    }

    /// Where an item of a list begins, those before it end: the list, and the item.
    fn over(&mut self, read: &Read<'_>) -> Vec<(String, String)> {
        let mut over = Vec::new();
        for (list, item) in &read.items {
            if self.items.len() < TEXTS_MAX && self.items.insert(item.clone()) {
                over.retain(|(it, _)| it != list);
                over.push((list.clone(), item.clone()));
            }
        }
        over
    }

    /// The next piece of a text, as it goes out.
    fn piece(
        &mut self,
        delta: &Delta<'_>,
        piece: &str,
        (is_last, is_over): (bool, bool),
        around: &Around<'_>,
    ) -> Result<String, Refusal> {
        if self.texts.len() >= TEXTS_MAX && !self.texts.contains_key(&delta.key) {
            return Err(Refusal::VaultFull);
        }
        // What was let go at its end could be the first half of what must not be said.
        if self.rules.back.is_some() && !piece.is_empty() && self.ended.contains(&delta.key) {
            return Err(Refusal::Ended);
        }
        let rules = &self.rules;
        let running = self.texts.entry(delta.key.clone()).or_insert_with(|| Running {
            text: Text::new(rules.clone(), delta.form, Within { nested: 1, ..Within::default() }),
            frame: None,
        });
        let mut passed = running.text.push(piece)?;
        if is_last || is_over && !running.text.is_open() {
            passed.push_str(&running.text.finish()?);
            add(&mut self.hidden, named(&running.text.hidden()));
            self.texts.remove(&delta.key);
            if !is_last {
                self.ended.insert(delta.key.clone());
            }
            return Ok(passed);
        }
        running.frame = running
            .text
            .holds()
            .then(|| delta.frame(around.read).unwrap_or_else(|| around.frame(delta)));
        Ok(passed)
    }

    /// Texts end: what they hold back goes out.
    fn end(&mut self, is_it: impl Fn(&str) -> bool, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let ended = self.texts.extract_if(.., |key, _| is_it(key)).collect::<Vec<_>>();
        ended.into_iter().try_for_each(|(_, running)| self.let_go(running, out))
    }

    /// Texts end beside one that begins, but for JSON that is not whole: its server goes on with several at once.
    fn leave(&mut self, is_it: impl Fn(&str) -> bool, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let is_left = |key: &String, it: &mut Running| is_it(key) && !it.text.is_open();
        let left = self.texts.extract_if(.., is_left).collect::<Vec<_>>();
        for (key, running) in left {
            self.let_go(running, out)?;
            if self.ended.len() < TEXTS_MAX {
                self.ended.insert(key);
            }
        }
        Ok(())
    }

    fn let_go(&mut self, mut running: Running, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let rest = running.text.finish();
        add(&mut self.hidden, named(&running.text.hidden()));
        let rest = rest?;
        let Some((before, behind)) = running.frame.filter(|_| !rest.is_empty()) else {
            return Ok(());
        };
        let event = Bytes::from([&before[..], quoted(&rest).as_bytes(), &behind[..]].concat());
        out.extend_from_slice(&self.numbered(event));
        self.more += 1;
        Ok(())
    }

    /// An event that was not in the stream, with a number of its own.
    fn numbered(&mut self, event: Bytes) -> Bytes {
        let Some(number) = self.last.map(|last| last.saturating_add(1)) else { return event };
        let read = events::data(&event).and_then(|it| std::str::from_utf8(it).ok());
        let read = read.and_then(|it| delta::read(self.operation, it));
        let Some(raw) = read.and_then(|it| it.sequence) else { return event };
        self.last = Some(number);
        spliced(&event, vec![(place(&event, raw), number.to_string())])
    }

    /// An event that repeats whole texts.
    fn whole(&self, event: &Bytes, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(data) = events::data(event) else {
            out.extend_from_slice(event);
            return Ok(());
        };
        let start = data.as_ptr() as usize - event.as_ptr() as usize;
        let body = event.slice(start..start + data.len());
        let (body, _) = answer(self.rules.back.as_ref(), self.rules.vault.as_deref(), body)?;
        out.extend_from_slice(&event[..start]);
        out.extend_from_slice(&body);
        out.extend_from_slice(&event[start + data.len()..]);
        Ok(())
    }
}

/// What a piece of a text stands in.
struct Around<'a> {
    event: &'a Bytes,
    read: &'a Read<'a>,
}

impl Around<'_> {
    /// The event with nothing in it but this text, cut where that goes.
    fn frame(&self, delta: &Delta<'_>) -> (Vec<u8>, Vec<u8>) {
        let at = place(self.event, delta.raw);
        let others = self.read.deltas.iter().map(|it| place(self.event, it.raw));
        let (before, behind): (Vec<_>, Vec<_>) =
            others.filter(|it| *it != at).partition(|it| it.end <= at.start);
        let emptied = |part: Bytes, from: usize, places: Vec<Range<usize>>| {
            let empty = |it: Range<usize>| (it.start - from..it.end - from, "\"\"".to_owned());
            spliced(&part, places.into_iter().map(empty).collect()).to_vec()
        };
        let last = self.event.slice(at.end..);
        (emptied(self.event.slice(..at.start), 0, before), emptied(last, at.end, behind))
    }
}

/// Where a value of an event stands in it.
fn place(event: &Bytes, raw: &RawValue) -> Range<usize> {
    let from = raw.get().as_ptr() as usize - event.as_ptr() as usize;
    from..from + raw.get().len()
}

/// Whether a text is of another item of the list.
fn is_beside(key: &str, list: &str, item: &str) -> bool {
    let is_below = |place: &str| key.strip_prefix(place).is_some_and(|it| it.starts_with('/'));
    is_below(list) && !is_below(item)
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
        let mut own = Vault::one_way();
        if let Cow::Owned(text) = shield.protect_json(&mut own, &body, &WORDS)? {
            body = text.into();
        }
        hidden = named(own.hidden());
    }
    if let Some(vault) = vault.filter(|it| !it.is_empty())
        && let Cow::Owned(text) = vault.restore_json(&body, &DATA)?
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

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}
