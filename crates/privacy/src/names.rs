//! Names that the caller knows (patients, customers): found in any case, on the borders of words.

use std::collections::HashSet;
use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

use crate::class::Class;
use crate::scan::Scan;
use crate::steps;

/// Names in one list. At 20 bytes a name the automaton takes some hundred megabytes beyond this.
pub const NAMES_MAX: usize = 200_000;

/// The longest name. A stream holds back as much where a name may have begun.
pub const NAME_BYTES_MAX: usize = 256;

/// Shorter ones are parts of any text.
const NAME_CHARS_MIN: usize = 2;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NamesError {
    #[error("{count} names are too many: {NAMES_MAX} can be looked for at once")]
    TooMany { count: usize },
    #[error(
        "name {index} has {bytes} bytes: a name has two letters at least and {NAME_BYTES_MAX} bytes at most"
    )]
    Length { index: usize, bytes: usize },
    #[error("the list of names takes too much room: split it")]
    Room,
}

/// The list, ready for looking.
pub struct Names {
    automaton: AhoCorasick,
    /// The words that a name goes on after, in small letters.
    leading: HashSet<String>,
}

impl Names {
    /// Blanks within a name stand for one blank; what stands first or last is cut off.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, NamesError> {
        let mut patterns = HashSet::new();
        let mut leading = HashSet::new();
        for (index, name) in names.into_iter().enumerate() {
            if index >= NAMES_MAX {
                return Err(NamesError::TooMany { count: index + 1 });
            }
            let words: Vec<&str> = name.split_whitespace().collect();
            let name = words.join(" ");
            if name.chars().count() < NAME_CHARS_MIN || name.len() > NAME_BYTES_MAX {
                return Err(NamesError::Length { index, bytes: name.len() });
            }
            for name in spellings(&name) {
                let words = name.split(' ').collect::<Vec<_>>();
                let (_, before) = words.split_last().expect("a name has letters");
                leading.extend(before.iter().map(|word| last_word(word).to_lowercase()));
                // ASCII is compared in any case; for other letters both cases stand in the list.
                patterns.insert(name.to_uppercase());
                patterns.insert(name.to_lowercase());
                patterns.insert(name);
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(patterns)
            .map_err(|_| NamesError::Room)?;
        Ok(Self { automaton, leading })
    }

    pub(crate) fn find(&self, scan: &mut Scan<'_>, start: usize) {
        let text = scan.text;
        let start = start.min(text.len());
        steps::add(text.len() - start);
        for found in self.automaton.find_overlapping_iter(&text[start..]) {
            let (from, to) = (start + found.start(), start + found.end());
            steps::add(1);
            if is_free(text, from, to) {
                scan.sure(Class::Name, from, to);
            }
        }
    }

    /// A name may go on behind this word.
    pub(crate) fn leads(&self, word: &str) -> bool {
        !self.leading.is_empty() && self.leading.contains(&last_word(word).to_lowercase())
    }
}

/// How else the same name is written: accents as parts of their letters or as letters of their own, and either
/// apostrophe.
fn spellings(name: &str) -> HashSet<String> {
    let mut all = HashSet::from([name.to_owned()]);
    if !name.is_ascii() {
        all.insert(ComposingNormalizerBorrowed::new_nfc().normalize(name).into_owned());
        all.insert(DecomposingNormalizerBorrowed::new_nfd().normalize(name).into_owned());
    }
    if name.contains(['\'', '\u{2019}']) {
        let with = |sign: &'static str| move |name: &String| name.replace(['\'', '\u{2019}'], sign);
        let more: Vec<_> =
            all.iter().map(with("'")).chain(all.iter().map(with("\u{2019}"))).collect();
        all.extend(more);
    }
    all
}

/// The letters at the end of a word, without what ends a sentence.
fn last_word(word: &str) -> &str {
    let word = word.trim_end_matches(|sign: char| !sign.is_alphanumeric());
    let start = word.rfind(|sign: char| !sign.is_alphanumeric());
    start.map_or(word, |at| {
        let sign = word[at..].chars().next().map_or(0, char::len_utf8);
        &word[at + sign..]
    })
}

/// No letter or digit stands directly before or behind, but for scripts that put no blanks between words.
fn is_free(text: &[u8], from: usize, to: usize) -> bool {
    !char_before(text, from).is_some_and(goes_on) && !char_at(text, to).is_some_and(goes_on)
}

/// Whether a word goes on with this sign.
pub(crate) fn goes_on(sign: char) -> bool {
    sign.is_alphanumeric() && !is_unspaced(sign)
}

/// Thai to Myanmar, Khmer, Japanese, Chinese; and Korean, where endings follow a name directly.
const fn is_unspaced(sign: char) -> bool {
    matches!(sign,
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

fn char_at(text: &[u8], place: usize) -> Option<char> {
    let rest = &text[place..text.len().min(place + 4)];
    rest.utf8_chunks().next()?.valid().chars().next()
}

fn char_before(text: &[u8], place: usize) -> Option<char> {
    let is_start = |from: &usize| !(0x80..0xc0).contains(&text[*from]);
    char_at(text, (place.saturating_sub(4)..place).rev().find(is_start)?)
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Names({} patterns)", self.automaton.patterns_len())
    }
}
