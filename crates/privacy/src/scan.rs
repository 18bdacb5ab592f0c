//! The one pass over a text. It goes from anchor to anchor (digits, `@`, `:`, …; all else is skipped
//! by one look into a table) and asks the detectors that may begin there.
//!
//! What a detector says about a place depends on `BACK_BYTES_MAX` before it and `REACH_BYTES_MAX` behind it and on
//! nothing else, so that a stream finds what the whole text finds. A run (`Tail`) is known by how it
//! begins, and then goes on however long it is.
//!
//! The work grows with the text and no faster, whatever the text is: every look ahead and back has a
//! limit, and what a run went over is remembered, so that no second beginning within it goes over it
//! again. The tests of `steps` count.

use std::ops::Range;

use crate::class::Class;
use crate::context;
use crate::detect::{code, date, link, net, number, phone, secret};
use crate::finding::{Confidence, Finding};
use crate::names::Names;
use crate::steps;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tail {
    Url,
    /// Letters, digits, `-`, `_` and dots: a JWT or a key.
    Token,
    Pem,
}

impl Tail {
    /// Where the run ends that is open at `from`. At the end of the text it is open still.
    pub fn end(self, text: &[u8], from: usize) -> usize {
        self.end_at(text, from, self.stop(text, from, text.len()))
    }

    /// Where the signs of the run stop that is open at `from`, `most` at most.
    fn stop(self, text: &[u8], from: usize, most: usize) -> usize {
        let most = most.saturating_sub(from);
        match self {
            Self::Url => text::run(text, from, most, link::is_url_sign),
            Self::Token => text::run(text, from, most, secret::is_token_sign),
            Self::Pem => secret::pem_stop(text, from, most),
        }
    }

    /// Where the run ends whose signs stop at `stop`.
    fn end_at(self, text: &[u8], from: usize, stop: usize) -> usize {
        if stop == text.len() {
            return stop;
        }
        match self {
            Self::Url => link::url_end(text, from, stop),
            Self::Token => secret::token_end(text, from, stop),
            Self::Pem => secret::pem_end(text, stop),
        }
    }
}

/// What a run of one kind went over last: from anywhere within, it stops at the same place.
#[derive(Debug, Default)]
pub struct Stretch(Option<Range<usize>>);

impl Stretch {
    /// Where the run stops that is open at `from`. `walk(from, most)` goes over it until `most` at most.
    pub fn stop(
        &mut self,
        text: &[u8],
        from: usize,
        walk: impl Fn(usize, usize) -> usize,
    ) -> usize {
        match &mut self.0 {
            Some(known) if from > known.end => {}
            Some(known) if from >= known.start => return known.end,
            Some(known) => {
                let stop = walk(from, known.start);
                if stop < known.start {
                    return stop;
                }
                known.start = from;
                return known.end;
            }
            None => {}
        }
        let stop = walk(from, text.len());
        self.0 = Some(from..stop);
        stop
    }
}

/// A run that was reported: others of its class that begin within and end with it tell nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reported {
    class: Class,
    tail: Tail,
    range: Range<usize>,
}

pub struct Scan<'a> {
    pub text: &'a [u8],
    pub hint: &'a str,
    wanted: &'a Wanted,
    pub found: Vec<Finding>,
    /// Runs that reach the end of the text, and where they begin.
    pub open: Vec<(usize, Tail)>,
    /// What begins before this is not asked for.
    from: usize,
    /// What runs went over, by `Tail`.
    stretches: [Stretch; 3],
    /// What values behind `password=` went over.
    pub values: Stretch,
    /// The last of each class that has runs.
    reported: Vec<Reported>,
    /// The last answer of words before a place.
    told: Option<(usize, Class, bool)>,
}

impl<'a> Scan<'a> {
    pub fn new(text: &'a str, hint: &'a str, wanted: &'a Wanted) -> Self {
        Self {
            text: text.as_bytes(),
            hint,
            wanted,
            found: Vec::new(),
            open: Vec::new(),
            from: 0,
            stretches: Default::default(),
            values: Stretch::default(),
            reported: Vec::new(),
            told: None,
        }
    }

    /// Finds all that begins at `from` or behind it. Findings may overlap.
    pub fn run(&mut self, from: usize, names: Option<&Names>) {
        let start = from.saturating_sub(ANCHOR_BACK_BYTES);
        self.from = from;
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
        steps::add(text.len().saturating_sub(start));
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
            let is_told = self.is_told(class, start);
            let confidence = if is_told { Confidence::High } else { Confidence::Low };
            self.push(class, confidence, start, end);
        }
    }

    /// Is nothing, unless a word before it says what it is.
    pub fn weak(&mut self, class: Class, start: usize, end: usize) {
        if self.wants(class) && self.is_told(class, start) {
            self.push(class, Confidence::Low, start, end);
        }
    }

    fn is_told(&mut self, class: Class, start: usize) -> bool {
        match self.told {
            Some((at, of, is_told)) if at == start && of == class => is_told,
            _ => {
                let is_told = context::tells(self.text, start, self.hint, class);
                self.told = Some((start, class, is_told));
                is_told
            }
        }
    }

    /// A run that has been known until `from`.
    pub fn tail(&mut self, class: Class, tail: Tail, start: usize, from: usize) {
        if !self.wants(class) {
            return;
        }
        let text = self.text;
        let walk = |from, most| tail.stop(text, from, most);
        let stop = self.stretches[tail as usize].stop(text, from, walk);
        let end = tail.end_at(text, from, stop);
        let known = self.reported.iter_mut().find(|it| it.class == class && it.tail == tail);
        let next = Reported { class, tail, range: start..end };
        match known {
            Some(it) if it.range.end == end && it.range.start <= start => return,
            // What begins before is left out in the end, and stands for none that is not.
            _ if start < self.from => {}
            Some(it) => *it = next,
            None => self.reported.push(next),
        }
        if end == text.len() {
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
