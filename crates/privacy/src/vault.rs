//! The stand-ins of one exchange, and what they stand for.
//!
//! A stand-in is `PERSON-1-KXQTB`: class, number, and five letters that belong to this exchange. It is
//! one word of ASCII without signs that Markdown, JSON or HTML would escape, and it says what it is, so
//! language models carry it through. Its end is always as long, so nothing behind it can be taken for
//! a part of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use memchr::memmem;

use crate::class::Class;
use crate::refusal::Refusal;
use crate::steps;

/// Values of one exchange. A list of customers has thousands.
pub const ALIASES_MAX: usize = 50_000;

/// Bytes of these values.
pub const ALIAS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The longest stand-in: the longest tag, five digits, the letters, and two hyphens.
pub const STAND_IN_BYTES_MAX: usize = 36;

/// Letters of the exchange, and a hyphen before them.
const SUFFIX_BYTES: usize = 6;

struct Alias {
    class: Class,
    value: Box<str>,
    /// It was a number in JSON and becomes one again.
    is_number: bool,
}

/// What values of one exchange are called outside. `Debug` shows only how many there are.
pub struct Vault {
    suffix: [u8; SUFFIX_BYTES],
    aliases: Vec<Alias>,
    by_value: HashMap<(Class, bool, Box<str>), usize>,
    bytes: usize,
    hidden: Hidden,
}

/// How often something of each class was hidden.
pub type Hidden = BTreeMap<Class, u64>;

impl Vault {
    /// `random` comes from a generator that nobody can foresee: who knew the letters could write
    /// stand-ins of others into a text.
    #[must_use]
    pub fn new(random: u64) -> Self {
        // Without vowels, so that they make no word; without digits, so that they make no number.
        const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
        let mut rest = random;
        let mut suffix = [b'-'; SUFFIX_BYTES];
        for letter in &mut suffix[1..] {
            *letter = LETTERS[(rest % 20) as usize];
            rest /= 20;
        }
        Self {
            suffix,
            aliases: Vec::new(),
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
                self.aliases.push(Alias { class, value: key.2.clone(), is_number });
                self.by_value.insert(key, self.aliases.len() - 1);
                self.aliases.len() - 1
            }
        };
        let suffix = std::str::from_utf8(&self.suffix).expect("the letters are ASCII");
        Ok(format!("{}-{}{suffix}", class.tag(), index + 1))
    }

    /// Where the letters of this exchange stand in a text.
    pub(crate) fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Place<'a>> {
        steps::add(text.len());
        memmem::find_iter(text.as_bytes(), &self.suffix).map(move |at| {
            let end = at + SUFFIX_BYTES;
            Place { at, end, known: self.known(text.as_bytes(), at) }
        })
    }

    /// The stand-in whose letters begin at `at`.
    fn known(&self, text: &[u8], at: usize) -> Option<Known<'_>> {
        let digits =
            text[..at].iter().rev().take_while(|byte| byte.is_ascii_digit()).take(6).count();
        let number = std::str::from_utf8(&text[at - digits..at]).ok()?;
        if number.starts_with('0') {
            return None;
        }
        let alias = self.aliases.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        let tag = alias.class.tag().as_bytes();
        let start = at.checked_sub(digits + 1 + tag.len())?;
        let fits = &text[start..start + tag.len()] == tag && text[at - digits - 1] == b'-';
        fits.then_some(Known { start, value: &alias.value, is_number: alias.is_number })
    }
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
