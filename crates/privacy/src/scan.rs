//! The one pass over a text. It goes from anchor to anchor (digits, `@`, `:`, …; all else is skipped
//! by one look into a table) and asks the detectors that may begin there.
//!
//! What a detector says about a place depends on `BACK_BYTES_MAX` before it and `REACH_BYTES_MAX` behind it and on
//! nothing else, so that a stream finds what the whole text finds. A run (`Tail`) is known by how it
//! begins, and then goes on however long it is.

use crate::class::Class;
use crate::context;
use crate::detect::{code, date, link, net, number, phone, secret};
use crate::finding::{Confidence, Finding};
use crate::names::Names;
use crate::text::{self, Chain};

/// How far a detector looks back from where its finding begins. The longest way is that from the last
/// dot of a host name to its beginning, and the words before that.
pub const BACK_BYTES_MAX: usize = 512;

/// How far a detector looks ahead of where its finding begins. The longest way is that over the head
/// of a JWT to the dot behind it.
pub const REACH_BYTES_MAX: usize = 1280;

/// An anchor stands within its finding, or before it by this at most: `= "Bearer `.
const ANCHOR_BACK_BYTES: usize = 16;

/// Classes to look for, each from which confidence on.
#[derive(Debug, Clone)]
pub struct Wanted([Option<Confidence>; Class::ALL.len()]);

impl Wanted {
    pub fn all() -> Self {
        Self([Some(Confidence::Low); Class::ALL.len()])
    }

    pub fn none() -> Self {
        Self([None; Class::ALL.len()])
    }

    pub fn set(&mut self, class: Class, from: Option<Confidence>) {
        self.0[class as usize] = from;
    }

    pub fn has(&self, class: Class) -> bool {
        self.0[class as usize].is_some()
    }

    fn takes(&self, class: Class, confidence: Confidence) -> bool {
        self.0[class as usize].is_some_and(|from| confidence >= from)
    }
}

/// How a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    Url,
    /// Letters, digits, `-`, `_` and dots: a JWT or a key.
    Token,
    Pem,
}

impl Tail {
    /// Where the run ends that is open at `from`. At the end of the text it is open still.
    pub fn end(self, text: &[u8], from: usize) -> usize {
        match self {
            Self::Url => link::url_end(text, from),
            Self::Token => secret::token_end(text, from),
            Self::Pem => secret::pem_end(text, from),
        }
    }
}

pub struct Scan<'a> {
    pub text: &'a [u8],
    pub hint: &'a str,
    wanted: &'a Wanted,
    pub found: Vec<Finding>,
    /// Runs that reach the end of the text, and where they begin.
    pub open: Vec<(usize, Tail)>,
}

impl<'a> Scan<'a> {
    pub fn new(text: &'a str, hint: &'a str, wanted: &'a Wanted) -> Self {
        Self { text: text.as_bytes(), hint, wanted, found: Vec::new(), open: Vec::new() }
    }

    /// Finds all that begins at `from` or behind it. Findings may overlap.
    pub fn run(&mut self, from: usize, names: Option<&Names>) {
        let start = from.saturating_sub(ANCHOR_BACK_BYTES);
        self.anchors(start);
        secret::literals(self, from);
        if let Some(names) = names.filter(|_| self.wanted.has(Class::Name)) {
            names.find(self, from);
        }
        self.found.retain(|finding| finding.range.start >= from);
        self.open.retain(|(start, _)| *start >= from);
    }

    fn anchors(&mut self, start: usize) {
        let text = self.text;
        let mut place = start;
        while place < text.len() {
            // Four bytes a turn, while none of them is an anchor.
            while let Some(&[a, b, c, d]) = text[place..].first_chunk::<4>() {
                if ANCHOR[usize::from(a)]
                    | ANCHOR[usize::from(b)]
                    | ANCHOR[usize::from(c)]
                    | ANCHOR[usize::from(d)]
                {
                    break;
                }
                place += 4;
            }
            let Some(byte) = text.get(place) else { break };
            if !ANCHOR[usize::from(*byte)] {
                place += 1;
                continue;
            }
            match byte {
                b'0'..=b'9' => place = self.word(place),
                b'@' => link::email(self, place),
                b'.' => link::domain(self, place),
                b':' => {
                    link::url(self, place);
                    net::colon(self, place);
                    secret::assigned(self, place);
                }
                b'=' => secret::assigned(self, place),
                _ => net::hyphen(self, place),
            }
            place += 1;
        }
    }

    /// A word with a digit at `place`. Gives the last byte of it.
    fn word(&mut self, place: usize) -> usize {
        let alnum = |byte: u8| byte.is_ascii_alphanumeric();
        let Some(word) = text::token(self.text, place) else {
            return text::run(self.text, place, usize::MAX - place, alnum) - 1;
        };
        let chain = Chain::collect(self.text, word.clone());
        if chain.groups()[0].has_letter {
            code::word(self, &chain);
        } else if !chain.is_small() || text::before(self.text, word.start) <= b'.' {
            // A country, letters or `+` may stand before a small number.
            number::word(self, &chain);
            code::spaced(self, &chain);
            phone::number(self, &chain);
        }
        net::dotted(self, &chain);
        date::near(self, &chain);
        word.end - 1
    }

    /// Whether anybody wants this class: spares the work for it.
    pub fn wants(&self, class: Class) -> bool {
        self.wanted.has(class)
    }

    pub fn push(&mut self, class: Class, confidence: Confidence, start: usize, end: usize) {
        if self.wanted.takes(class, confidence) {
            self.found.push(Finding { class, confidence, range: start..end });
        }
    }

    /// Hardly anything else looks like this.
    pub fn sure(&mut self, class: Class, start: usize, end: usize) {
        self.push(class, Confidence::High, start, end);
    }

    /// May be chance, unless a word before it says what it is.
    pub fn likely(&mut self, class: Class, start: usize, end: usize) {
        if self.wants(class) {
            let is_told = context::tells(self.text, start, self.hint, class);
            let confidence = if is_told { Confidence::High } else { Confidence::Low };
            self.push(class, confidence, start, end);
        }
    }

    /// Is nothing, unless a word before it says what it is.
    pub fn weak(&mut self, class: Class, start: usize, end: usize) {
        if self.wants(class) && context::tells(self.text, start, self.hint, class) {
            self.push(class, Confidence::Low, start, end);
        }
    }

    /// A run that has been known until `from`.
    pub fn tail(&mut self, class: Class, tail: Tail, start: usize, from: usize) {
        if !self.wants(class) {
            return;
        }
        let end = tail.end(self.text, from);
        if end == self.text.len() {
            self.open.push((start, tail));
        }
        self.sure(class, start, end);
    }
}

const ANCHOR: [bool; 256] = {
    let mut table = [false; 256];
    let anchors = b"0123456789@.:=-";
    let mut i = 0;
    while i < anchors.len() {
        table[anchors[i] as usize] = true;
        i += 1;
    }
    table
};
