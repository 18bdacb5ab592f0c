//! Values that are known by now, wherever else they stand: a passport's number is one in the next sentence, too,
//! where no word says so, and in the turn of a conversation in which a model has said it again, between other signs.

use std::iter;

use memchr::memchr_iter;

use crate::class::Class;
use crate::finding::{Confidence, Finding};
use crate::names::goes_on;
use crate::steps;
use crate::vault::{TOLD_BYTES_MIN, Told};

/// A shorter number of JSON may count something.
const NUMBER_BYTES_MIN: usize = 9;

pub(crate) struct Known {
    /// In order: what begins a text is the last one that stands before it, or one that this one begins with.
    values: Vec<Value>,
    heads: Heads,
    spelled: Spelled,
}

struct Value {
    text: Box<str>,
    class: Class,
    /// The longest other one that it begins with.
    within: Option<usize>,
}

impl Value {
    fn at(&self, start: usize) -> Finding {
        let range = start..start + self.text.len();
        Finding { class: self.class, confidence: Confidence::Low, range }
    }
}

impl Known {
    /// None where there is nothing to look for.
    pub(crate) fn of(told: Told) -> Option<Self> {
        let mut told: Vec<_> = told.into_iter().collect();
        told.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut values: Vec<Value> = Vec::with_capacity(told.len());
        for (text, class) in told {
            steps::add(text.len());
            let before = values.len().checked_sub(1);
            let mut begins = iter::successors(before, |at| values[*at].within);
            let within = begins.find(|at| text.starts_with(&*values[*at].text));
            values.push(Value { text, class, within });
        }
        let spelled = values.iter().map(|it| Spelled::of(&it.text)).max()?;
        Some(Self { heads: Heads::of(&values), values, spelled })
    }

    /// The same in a number, which is one value.
    pub(crate) fn of_number(&self, number: &str) -> Option<Finding> {
        if number.len() < NUMBER_BYTES_MIN {
            return None;
        }
        let at = self.values.binary_search_by(|it| (*it.text).cmp(number)).ok()?;
        Some(self.values[at].at(0))
    }

    /// Where one stands as a word of its own.
    pub(crate) fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Finding> + 'a {
        steps::add(text.len());
        let starts = self.heads.places(text);
        let starts = starts.filter(|at| !text[..*at].ends_with(goes_on));
        starts.filter_map(|at| Some(self.begins(&text[at..])?.at(at)))
    }

    /// The longest that a text begins with, where it stands as a word.
    fn begins(&self, text: &str) -> Option<&Value> {
        let last = self.values.partition_point(|it| *it.text <= *text).checked_sub(1)?;
        let same = iter::zip(self.values[last].text.bytes(), text.bytes());
        let same = same.take_while(|(a, b)| a == b).count();
        steps::add(same + 1);
        let mut all = iter::successors(Some(last), |at| self.values[*at].within);
        let fits = |value: &Value| {
            steps::add(1);
            let length = value.text.len();
            length <= same && !text[length..].starts_with(goes_on)
        };
        all.find(|at| fits(&self.values[*at])).map(|at| &self.values[at])
    }

    /// Whether one may stand in a document of JSON: some of which this is so hold none. It is looked through as it
    /// is written, which takes less than to take it apart.
    pub(crate) fn may_be_in(&self, document: &str) -> bool {
        let bytes = document.as_bytes();
        let may_be_escaped = || {
            memchr_iter(b'\\', bytes).any(|at| match &bytes[at + 1..] {
                [b'/', ..] => self.spelled != Spelled::OneWay,
                [b'u', b'0', b'0', b'0'..=b'7', ..] => true,
                [b'u', ..] => self.spelled != Spelled::OneWay,
                _ => false,
            })
        };
        steps::add(document.len());
        self.spelled == Spelled::Escaped
            || may_be_escaped()
            || self.heads.places(document).any(|at| self.begins(&document[at..]).is_some())
    }
}

/// How JSON writes all values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Spelled {
    /// As they are, but for signs of ASCII that are escaped without need.
    OneWay,
    /// By some, one has escapes.
    ByTaste,
    /// One always has.
    Escaped,
}

impl Spelled {
    fn of(text: &str) -> Self {
        let spelled = |byte| match byte {
            b'"' | b'\\' | ..b' ' => Self::Escaped,
            b'/' | 0x80.. => Self::ByTaste,
            _ => Self::OneWay,
        };
        text.bytes().map(spelled).max().unwrap_or(Self::OneWay)
    }
}

/// Whether a value may begin at a place of a text, by the bytes that all have: most places need no other look.
struct Heads {
    /// A power of two of bits. That of each value's head is set.
    bits: Box<[u64]>,
    shift: u32,
}

const HEAD: usize = TOLD_BYTES_MIN;

impl Heads {
    /// One place of as many is looked at though nothing is there.
    const BITS_PER_VALUE: usize = 128;

    fn of(values: &[Value]) -> Self {
        let words = (values.len() * Self::BITS_PER_VALUE / 64).next_power_of_two();
        let mut heads = Self { bits: vec![0; words].into(), shift: 58 - words.ilog2() };
        for value in values {
            let (word, bit) = heads.place(head(value.text.as_bytes()));
            heads.bits[word] |= bit;
        }
        heads
    }

    fn place(&self, head: u64) -> (usize, u64) {
        // The golden ratio, by which neighbours are scattered.
        let place = head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        ((place / 64) as usize, 1 << (place % 64))
    }

    fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_set = |bytes: &[u8]| {
            let (word, bit) = self.place(head(bytes));
            self.bits[word] & bit != 0
        };
        let places = text.as_bytes().windows(HEAD).enumerate();
        let places = places.filter(move |(_, bytes)| is_set(bytes)).map(|(at, _)| at);
        places.filter(|at| text.is_char_boundary(*at))
    }
}

/// The bytes that every value has, in two words of four: they share one.
fn head(bytes: &[u8]) -> u64 {
    let word =
        |at: usize| bytes[at..at + 4].iter().rev().fold(0, |word, it| word << 8 | u64::from(*it));
    word(0) << 32 | word(HEAD - 4)
}
