//! Protecting a text that comes in pieces: however it is cut, what leaves is what protecting the whole
//! would have let out.
//!
//! A piece is released up to the last *seam*: a place that no finding can cross, such as the blank
//! between two words of prose. Where there is none, everything that is further than `REACH_BYTES_MAX` from
//! the end is decided, whatever comes. A finding that goes on is held back until it ends, or is longer
//! than `FINDING_BYTES_MAX`: then it is redacted without being known whole.
//!
//! What is held is looked through again only when it has grown by a share of itself, so that many small
//! pieces cost no more than a few times what one large piece does.

use memchr::memmem;

use crate::class::Class;
use crate::detect::date::is_month;
use crate::finding::{Confidence, Finding};
use crate::names::{NAME_BYTES_MAX, Names};
use crate::refusal::Refusal;
use crate::scan::{BACK_BYTES_MAX, REACH_BYTES_MAX, Tail};
use crate::shield::{FINDING_BYTES_MAX, REDACTED, Shield};
use crate::steps;
use crate::vault::Hidden;

/// What a stream holds back at most, but for the piece that came last.
pub const HOLD_BYTES_MAX: usize = HELD_BYTES + HELD_BYTES / (GROWTH_SHARE - 1);

/// A finding that is not known whole, and what a detector looks ahead behind it.
const HELD_BYTES: usize = FINDING_BYTES_MAX + REACH_BYTES_MAX;

/// What is held is looked through again when this share of it is new. So each byte is looked at sixteen
/// times at most, whatever the pieces are, and what could go waits for one byte more in sixteen at most.
const GROWTH_SHARE: usize = 16;

/// A finding that is being redacted while it goes on.
#[derive(Debug, Default)]
struct Open {
    /// Known to go on until here.
    end: usize,
    tails: Vec<Tail>,
}

/// Protects a stream by rules. Nobody restores what it hides: `pseudonymise` redacts here.
pub struct Guard {
    shield: Shield,
    /// The key that the text is the value of.
    hint: String,
    /// What was released lately, for detectors to look back at, then what is held.
    text: String,
    /// Where that which is held begins.
    from: usize,
    /// How far the text went when it was looked through last.
    looked: usize,
    open: Option<Open>,
    is_over: bool,
    hidden: Hidden,
}

impl Guard {
    #[must_use]
    pub fn new(shield: Shield) -> Self {
        Self {
            shield,
            hint: String::new(),
            text: String::new(),
            from: 0,
            looked: 0,
            open: None,
            is_over: false,
            hidden: Hidden::new(),
        }
    }

    /// The text is the value of this key.
    #[must_use]
    pub fn under(mut self, hint: &str) -> Self {
        hint.clone_into(&mut self.hint);
        self
    }

    #[must_use]
    pub const fn holds(&self) -> bool {
        self.from < self.text.len()
    }

    /// What was hidden so far.
    #[must_use]
    pub const fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// The next piece; gives what can be released. After a refusal nothing more is.
    pub fn push(&mut self, piece: &str) -> Result<String, Refusal> {
        steps::add(piece.len());
        self.text.push_str(piece);
        let (held, new) = (self.text.len() - self.from, self.text.len() - self.looked);
        if new < held.div_ceil(GROWTH_SHARE) && !self.is_over {
            return Ok(String::new());
        }
        self.looked = self.text.len();
        let safe = self.safe();
        self.release(safe, false)
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> Result<String, Refusal> {
        let released = self.release(self.text.len(), true);
        self.is_over = true;
        released
    }

    fn release(&mut self, safe: usize, is_last: bool) -> Result<String, Refusal> {
        if self.is_over {
            return Err(Refusal::Ended);
        }
        if safe <= self.from && !is_last {
            return Ok(String::new());
        }
        let result = self.decide(safe, is_last);
        match result {
            Ok(_) => self.forget(),
            Err(_) => self.is_over = true,
        }
        result
    }

    /// Writes what is decided before `safe`, and moves `from` there.
    fn decide(&mut self, safe: usize, is_last: bool) -> Result<String, Refusal> {
        let text = self.text.as_str();
        let mut scan = self.shield.scan(text, &self.hint, self.from);
        // What begins behind the safe place may not be known whole.
        scan.found.retain(|finding| finding.range.start < safe);
        scan.open.retain(|(start, _)| *start < safe);
        let carried = self.open.take();
        if let Some(open) = &carried {
            let ends = open.tails.iter().map(|tail| (*tail, tail.end(text.as_bytes(), self.from)));
            let ends: Vec<(Tail, usize)> = ends.collect();
            let end = ends.iter().map(|(_, end)| *end).fold(open.end, usize::max);
            let reaching = ends.iter().filter(|(_, end)| *end == text.len());
            scan.open.extend(reaching.map(|(tail, _)| (self.from, *tail)));
            scan.found.push(Finding {
                class: Class::PrivateKey,
                confidence: Confidence::High,
                range: self.from..end.max(self.from),
            });
        }
        let opens = scan.open;
        let mut found = scan.found;
        found.retain(|finding| !finding.range.is_empty());
        // Where what is open ends is known only when it has ended: a dot may belong to it or not.
        let ends = found.iter().map(|finding| finding.range.end);
        let closed = ends.filter(|end| opens.is_empty() || *end < text.len()).max().unwrap_or(0);
        let merged = self.shield.merge(found)?;
        let mut out = String::new();
        let mut place = self.from;
        for (i, finding) in merged.iter().enumerate() {
            let (start, end) = (finding.range.start, finding.range.end);
            let is_carried = carried.is_some() && i == 0 && start == self.from;
            // What is open goes to the end of the text, so only the last can hold it.
            let is_open = !is_last
                && end == text.len()
                && opens.iter().any(|(at, _)| (start..end).contains(at));
            out.push_str(&text[place..start]);
            place = start;
            if end <= safe && !is_open {
                if !is_carried {
                    *self.hidden.entry(finding.class).or_default() += 1;
                    out.push_str(&self.shield.hidden(finding.class, &text[start..end]));
                }
                place = end;
                continue;
            }
            if is_carried || safe - start > FINDING_BYTES_MAX {
                if !is_carried {
                    *self.hidden.entry(finding.class).or_default() += 1;
                    out.push_str(REDACTED);
                }
                place = safe;
                let mut tails: Vec<Tail> = opens.iter().map(|(_, tail)| *tail).collect();
                tails.sort_unstable();
                tails.dedup();
                self.open = Some(Open { end: closed.min(end), tails });
            }
            self.from = place;
            return Ok(out);
        }
        out.push_str(&text[place..safe.max(place)]);
        self.from = safe.max(place);
        Ok(out)
    }

    /// Keeps only what detectors look back at.
    fn forget(&mut self) {
        let mut cut = self.from.saturating_sub(BACK_BYTES_MAX);
        // Each move copies what stays: not for every word.
        if cut < BACK_BYTES_MAX {
            return;
        }
        while !self.text.is_char_boundary(cut) {
            cut -= 1;
        }
        steps::add(self.text.len() - cut);
        self.text.drain(..cut);
        self.from -= cut;
        self.looked = self.looked.saturating_sub(cut);
        if let Some(open) = &mut self.open {
            open.end = open.end.saturating_sub(cut);
        }
    }

    /// The last place up to which all is decided.
    fn safe(&self) -> usize {
        let mut far = self.text.len().saturating_sub(REACH_BYTES_MAX);
        while !self.text.is_char_boundary(far) {
            far -= 1;
        }
        let near = seam(&self.text, self.from.max(far), self.shield.names());
        near.unwrap_or(far).max(far)
    }
}

/// Letters of one group of an IBAN. A longer word is no part of a number.
const GROUP_LETTERS: usize = 4;

/// The last seam behind `from`.
fn seam(text: &str, from: usize, names: Option<&Names>) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut place = bytes.len();
    while place > from {
        place -= 1;
        steps::add(1);
        let byte = bytes[place];
        // Of three bytes or four: no finding holds these, but for names and a few blanks.
        if byte >= 0xe0 && byte != 0xe2 && names.is_none() {
            let end = place + if byte >= 0xf0 { 4 } else { 3 };
            return Some(end);
        }
        if matches!(byte, b'\n' | b'\r' | b'\t') {
            return Some(place + 1);
        }
        if byte == b' ' && is_seam(text, place, names) {
            return Some(place + 1);
        }
    }
    None
}

/// Whether the blank at `place` is a seam: nothing on its one side needs the other.
fn is_seam(text: &str, place: usize, names: Option<&Names>) -> bool {
    let bytes = text.as_bytes();
    let Some(next) = bytes.get(place + 1).copied() else { return false };
    if next == b' ' {
        return true;
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80;
    let end = place - bytes[..place].iter().rev().take_while(|byte| b".,)".contains(byte)).count();
    let start = end - bytes[..end].iter().rev().take(32).take_while(|byte| word(**byte)).count();
    if names.is_some_and(|names| names.leads(around(text, place))) {
        return false;
    }
    let before = &bytes[start..end];
    steps::add(place - start + GROUP_LETTERS);
    let is_date_word =
        is_month(before) || [&b"of"[..], b"de"].iter().any(|it| before.eq_ignore_ascii_case(it));
    if is_date_word {
        return false;
    }
    if before.iter().any(u8::is_ascii_digit) {
        return is_plain(&bytes[place + 1..]) && !is_in_label(bytes, place);
    }
    let capitals = before.iter().all(u8::is_ascii_uppercase) && before.len() <= GROUP_LETTERS;
    if capitals && next.is_ascii_uppercase() && !before.is_empty() {
        return false;
    }
    // Before a number, letters may be its country or month, unless they are a longer word.
    (!next.is_ascii_digit() || before.len() > GROUP_LETTERS && before.is_ascii())
        && !is_in_label(bytes, place)
}

/// The longest line up to a blank within `-----BEGIN …-----`.
const LABEL_LINE_BYTES_MAX: usize = 80;

/// The blank may stand within `-----BEGIN …-----`.
fn is_in_label(bytes: &[u8], place: usize) -> bool {
    let line = &bytes[place.saturating_sub(LABEL_LINE_BYTES_MAX)..place];
    let line = &line[memchr::memrchr(b'\n', line).map_or(0, |at| at + 1)..];
    steps::add(line.len());
    memmem::find(line, b"-----").is_some()
}

/// A word begins here that cannot go on a number.
fn is_plain(rest: &[u8]) -> bool {
    let count = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    steps::add(count);
    if count == 0 {
        return !rest[0].is_ascii_digit() && !b"(+".contains(&rest[0]) && rest[0] < 0x80;
    }
    let Some(next) = rest.get(count) else { return false };
    let word = &rest[..count];
    count > GROUP_LETTERS
        && !next.is_ascii_digit()
        && *next < 0x80
        && !is_month(word)
        && !word.starts_with(b"x")
        && !word.eq_ignore_ascii_case(b"ext")
}

/// The word that ends at a blank. A name has no longer one.
fn around(text: &str, place: usize) -> &str {
    let mut least = place.saturating_sub(NAME_BYTES_MAX);
    while !text.is_char_boundary(least) {
        least += 1;
    }
    let near = &text[least..place];
    steps::add(near.len());
    &near[near.rfind([' ', '\n', '\t']).map_or(0, |at| at + 1)..]
}
