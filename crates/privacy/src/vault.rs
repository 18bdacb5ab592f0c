//! The stand-ins of one exchange, and what they stand for.
//!
//! A stand-in is `PERSON-1-KXQTB`: class, number, and five letters that belong to this exchange. It is
//! one word of ASCII without signs that Markdown, JSON or HTML would escape, and it says what it is, so
//! language models carry it through. Its end is always as long, so nothing behind it can be taken for
//! a part of it. Models write names their own way, and so it is known in any case and with any hyphen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::{fmt, iter};

use memchr::memchr2_iter;

use crate::class::Class;
use crate::refusal::Refusal;
use crate::steps;

/// Values of one exchange. A list of customers has thousands.
pub const ALIASES_MAX: usize = 50_000;

/// Bytes of these values.
pub const ALIAS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The longest stand-in: the longest tag, five digits, the letters, and hyphens of three bytes.
pub const STAND_IN_BYTES_MAX: usize = 48;

/// Letters of an exchange.
const LETTERS: usize = 5;

/// As many as [`ALIASES_MAX`] has.
const DIGITS_MAX: usize = 5;

/// What stands for a hyphen, ours or a model's: typographers have several.
const HYPHENS: [&str; 5] = ["-", "_", "\u{2010}", "\u{2011}", "\u{2013}"];

struct Alias {
    class: Class,
    value: Box<str>,
    /// It was a number in JSON and becomes one again.
    is_number: bool,
}

/// What values of one exchange are called outside. `Debug` shows only how many there are.
pub struct Vault {
    letters: [u8; LETTERS],
    aliases: Vec<Alias>,
    tags: BTreeSet<&'static str>,
    by_value: HashMap<(Class, bool, Box<str>), usize>,
    bytes: usize,
    hidden: Hidden,
}

/// How often something of each class was hidden.
pub type Hidden = BTreeMap<Class, u64>;

impl Vault {
    /// With the letters that follow from this number. Whoever knows them gains nothing: what has the form of a
    /// stand-in in a text that is protected gets one itself.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Without vowels, so that they make no word; without digits, so that they make no number.
        const CONSONANTS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
        let mut rest = seed;
        let letters = std::array::from_fn(|_| {
            let letter = CONSONANTS[(rest % 20) as usize];
            rest /= 20;
            letter
        });
        Self {
            letters,
            aliases: Vec::new(),
            tags: BTreeSet::new(),
            by_value: HashMap::new(),
            bytes: 0,
            hidden: Hidden::new(),
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.aliases.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.aliases.is_empty()
    }

    /// What was hidden in the texts of this exchange, stand-ins or not.
    #[must_use]
    pub const fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    pub(crate) fn has_hidden(&mut self, class: Class) {
        *self.hidden.entry(class).or_default() += 1;
    }

    /// The stand-in of a value: the same for the same value.
    pub(crate) fn stand_in(
        &mut self,
        class: Class,
        value: &str,
        is_number: bool,
    ) -> Result<String, Refusal> {
        steps::add(value.len());
        let key = (class, is_number, Box::from(value));
        let index = match self.by_value.get(&key) {
            Some(index) => *index,
            None => {
                let bytes = self.bytes + value.len();
                if self.aliases.len() == ALIASES_MAX || bytes > ALIAS_BYTES_MAX {
                    return Err(Refusal::VaultFull);
                }
                self.bytes = bytes;
                self.tags.insert(class.tag());
                self.aliases.push(Alias { class, value: key.2.clone(), is_number });
                self.by_value.insert(key, self.aliases.len() - 1);
                self.aliases.len() - 1
            }
        };
        let letters = std::str::from_utf8(&self.letters).expect("they are ASCII");
        Ok(format!("{}-{}-{letters}", class.tag(), index + 1))
    }

    /// Where the letters of this exchange stand in a text, behind a hyphen.
    pub(crate) fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Place<'a>> {
        steps::add(text.len());
        let first = self.letters[0];
        let mut from = 0;
        memchr2_iter(first, first.to_ascii_lowercase(), text.as_bytes()).filter_map(move |start| {
            let end = start + LETTERS;
            let letters = text.as_bytes().get(start..end)?;
            if start < from || !letters.eq_ignore_ascii_case(&self.letters) {
                return None;
            }
            from = end;
            let before = without_hyphen(&text[..start])?;
            Some(Place { at: before.len(), end, known: self.known(before) })
        })
    }

    /// The stand-in that the text ends in, but for its letters and the hyphen before them.
    fn known(&self, before: &str) -> Option<Known<'_>> {
        let rest = before.trim_end_matches(|it: char| it.is_ascii_digit());
        let number = &before[rest.len()..];
        if number.len() > DIGITS_MAX || number.starts_with('0') {
            return None;
        }
        let alias = self.aliases.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        let rest = without_tag(without_hyphen(rest)?, alias.class.tag())?;
        Some(Known { start: rest.len(), value: &alias.value, is_number: alias.is_number })
    }

    /// Whether this is the beginning of a stand-in, and no more than that.
    pub(crate) fn may_begin(&self, text: &str) -> bool {
        self.tags.iter().any(|tag| self.behind(tag, text) == Err(Ends::Early))
    }

    /// Whether this is a stand-in, or may become one.
    #[must_use]
    pub fn may_be(&self, text: &str) -> bool {
        let fits = |tag: &&str| matches!(self.behind(tag, text), Ok("") | Err(Ends::Early));
        self.tags.iter().any(fits)
    }

    /// What stands behind a stand-in.
    fn behind<'a>(&self, tag: &str, text: &'a str) -> Result<&'a str, Ends> {
        let number = follow(text, tag.chars().chain(['_']))?;
        let rest = number.trim_start_matches(|it: char| it.is_ascii_digit());
        let digits = number.len() - rest.len();
        if digits > DIGITS_MAX || digits == 0 && !rest.is_empty() {
            return Err(Ends::Elsewhere);
        }
        follow(rest, iter::once('_').chain(self.letters.map(char::from)))
    }
}

/// How a text is no stand-in.
#[derive(PartialEq, Eq)]
enum Ends {
    /// It could still become one.
    Early,
    Elsewhere,
}

/// What stands behind these signs: letters in any case, and any hyphen.
fn follow(text: &str, mut signs: impl Iterator<Item = char>) -> Result<&str, Ends> {
    signs.try_fold(text, |rest, sign| {
        let behind = match sign {
            _ if rest.is_empty() => return Err(Ends::Early),
            '_' => HYPHENS.iter().find_map(|hyphen| rest.strip_prefix(hyphen)),
            letter => rest.strip_prefix(|it: char| it.eq_ignore_ascii_case(&letter)),
        };
        behind.ok_or(Ends::Elsewhere)
    })
}

fn without_hyphen(text: &str) -> Option<&str> {
    HYPHENS.iter().find_map(|hyphen| text.strip_suffix(hyphen))
}

fn without_tag<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    tag.chars().rev().try_fold(text, |rest, sign| match sign {
        '_' => without_hyphen(rest),
        letter => rest.strip_suffix(|it: char| it.eq_ignore_ascii_case(&letter)),
    })
}

pub(crate) struct Place<'a> {
    /// Where the letters begin and end.
    pub at: usize,
    pub end: usize,
    pub known: Option<Known<'a>>,
}

pub(crate) struct Known<'a> {
    pub start: usize,
    pub value: &'a str,
    pub is_number: bool,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("aliases", &self.aliases.len()).finish_non_exhaustive()
    }
}
