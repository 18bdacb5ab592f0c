//! The stand-ins of one exchange, and what they stand for.
//!
//! A stand-in is `PERSON-KXQTBWZ`: class, and seven letters that follow from the value under a key. So a
//! value has one name in each exchange under that key, whatever stands beside it and whoever has
//! forgotten the rest, and no two values share one. It is one word of ASCII without signs that Markdown,
//! JSON or HTML would escape, and it says what it is, so language models carry it through. Its end is
//! always as long, so nothing behind it can be taken for a part of it. Models write names their own way,
//! and so it is known in any case and with any hyphen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use memchr::memchr3_iter;
use sha2::{Digest, Sha256};

use crate::class::Class;
use crate::refusal::Refusal;
use crate::steps;

/// Values of one exchange. A list of customers has thousands.
pub const ALIASES_MAX: usize = 50_000;

/// Bytes of these values.
pub const ALIAS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is looked for wherever else it stands. A shorter value, such as a postcode, is a number or a word of
/// something else as often.
pub(crate) const TOLD_BYTES_MIN: usize = 7;

/// A longer one has a form of its own, such as a key.
const TOLD_BYTES_MAX: usize = 256;

/// All of them in one text: what is kept to look for them takes some ten times as much memory.
const TOLD_ALL_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The longest stand-in: the longest tag, the letters, and hyphens of three bytes.
pub const STAND_IN_BYTES_MAX: usize = 48;

/// Letters of a value: of a hundred values two have the same once in a quarter of a million times, and of
/// as many as there may be, the second one gets others.
const LETTERS: usize = 7;

type Letters = [u8; LETTERS];

/// Without vowels, so that they make no word; without digits, so that they make no number.
const CONSONANTS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What stands for a hyphen, ours or a model's: typographers have several, and Markdown escapes some, which JSON
/// escapes again. The longer ones first.
const HYPHENS: [&str; 9] =
    [r"\\_", r"\\-", "\u{2010}", "\u{2011}", "\u{2013}", r"\_", r"\-", "_", "-"];

struct Alias {
    class: Class,
    value: Box<str>,
    /// It was a number in JSON wherever it stood, and becomes one again.
    is_number: bool,
}

/// What values of one exchange are called outside. `Debug` shows only how many there are.
pub struct Vault {
    key: Sha256,
    is_one_way: bool,
    aliases: HashMap<Letters, Alias>,
    tags: BTreeSet<&'static str>,
    by_value: HashMap<(Class, Box<str>), Letters>,
    bytes: usize,
    hidden: Hidden,
    /// What was found in the text that is looked through for the first time.
    told: Told,
    tells: bool,
    told_bytes: usize,
    /// Something of it as another class, too.
    is_torn: bool,
}

/// What a text has told of itself.
pub(crate) type Told = HashMap<Box<str>, Class>;

/// How often something of each class was hidden.
pub type Hidden = BTreeMap<Class, u64>;

impl Vault {
    /// Whoever knows the key can try whether a stand-in is that of a value, and so it is a secret.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self {
            key: Sha256::new_with_prefix(key),
            is_one_way: false,
            aliases: HashMap::new(),
            tags: BTreeSet::new(),
            by_value: HashMap::new(),
            bytes: 0,
            hidden: Hidden::new(),
            told: Told::new(),
            tells: true,
            told_bytes: 0,
            is_torn: false,
        }
    }

    /// Nobody restores what it hides, such as of an answer: what has the form of a stand-in is left alone.
    #[must_use]
    pub fn one_way() -> Self {
        Self { is_one_way: true, tells: false, ..Self::new(b"") }
    }

    pub(crate) const fn is_one_way(&self) -> bool {
        self.is_one_way
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

    /// A text, or the same for another model, by other rules. What was hidden until then.
    pub(crate) fn begins(&mut self) -> Hidden {
        self.told.clear();
        self.tells = !self.is_one_way;
        self.told_bytes = 0;
        self.is_torn = false;
        self.hidden.clone()
    }

    pub(crate) fn has_told(&mut self, class: Class, value: &str) -> Result<(), Refusal> {
        if !self.tells || !(TOLD_BYTES_MIN..=TOLD_BYTES_MAX).contains(&value.len()) {
            return Ok(());
        }
        match self.told.get(value) {
            Some(told) => self.is_torn |= *told != class,
            None => {
                self.told_bytes += value.len();
                if self.told_bytes > TOLD_ALL_BYTES_MAX {
                    return Err(Refusal::VaultFull);
                }
                self.told.insert(value.into(), class);
            }
        }
        Ok(())
    }

    /// What was told, and whether all of it as one class.
    pub(crate) fn told(&mut self) -> (Told, bool) {
        (std::mem::take(&mut self.told), !self.is_torn)
    }

    /// The text is looked through again, with what it has told. It counts as much as before.
    pub(crate) fn again(&mut self, before: Hidden) {
        self.hidden = before;
        self.tells = false;
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
        let key = (class, Box::from(value));
        let letters = match self.by_value.get(&key) {
            Some(letters) => {
                let alias = self.aliases.get_mut(letters).expect("it is there by its value");
                alias.is_number &= is_number;
                *letters
            }
            None => {
                let bytes = self.bytes + value.len();
                if self.aliases.len() == ALIASES_MAX || bytes > ALIAS_BYTES_MAX {
                    return Err(Refusal::VaultFull);
                }
                self.bytes = bytes;
                self.tags.insert(class.tag());
                let letters = self.letters(class, value);
                self.aliases.insert(letters, Alias { class, value: key.1.clone(), is_number });
                self.by_value.insert(key, letters);
                letters
            }
        };
        let letters = std::str::from_utf8(&letters).expect("they are ASCII");
        Ok(format!("{}-{letters}", class.tag()))
    }

    /// The first of those that follow from the value, which no other one has.
    fn letters(&self, class: Class, value: &str) -> Letters {
        let of = |turn: u64| {
            let mut digest = self.key.clone();
            digest.update(turn.to_be_bytes());
            digest.update([class.name().len() as u8]);
            digest.update(class.name());
            digest.update(value);
            let digest = digest.finalize();
            let mut rest = u64::from_be_bytes(*digest.first_chunk().expect("a digest has more"));
            std::array::from_fn(|_| {
                let letter = CONSONANTS[(rest % 20) as usize];
                rest /= 20;
                letter
            })
        };
        (0..).map(of).find(|it| !self.aliases.contains_key(it)).expect("there are far more")
    }

    /// What has the form of a stand-in in a text, and what of it is one of this exchange.
    pub(crate) fn places<'a>(&'a self, text: &str) -> impl Iterator<Item = Place<'a>> {
        steps::add(text.len());
        let mut from = 0;
        // Hyphens of three bytes begin with the same one.
        memchr3_iter(b'-', b'_', 0xe2, text.as_bytes()).filter_map(move |at| {
            let rest = text.get(at..).filter(|_| at >= from)?;
            let behind = behind_hyphen(rest)?;
            let letters = first_letters(behind)?;
            let end = text.len() - behind.len() + LETTERS;
            let before = without_escape(&text[..at]);
            let alias = self.aliases.get(&letters);
            let known = alias.and_then(|it| Some((before_tag(before, it.class.tag())?, it)));
            let start = match known {
                Some((start, _)) => start,
                None => {
                    let starts = Class::ALL.iter().filter_map(|it| before_tag(before, it.tag()));
                    starts.min()?
                }
            };
            from = end;
            Some(Place {
                start,
                end,
                known: known.map(|(_, it)| Known { value: &it.value, is_number: it.is_number }),
            })
        })
    }

    /// Whether this is the beginning of a stand-in, and no more than that.
    pub(crate) fn may_begin(&self, text: &str) -> bool {
        self.tags.iter().any(|tag| behind(tag, text) == Err(Ends::Early))
    }

    /// Whether this is a stand-in, or may become one.
    #[must_use]
    pub fn may_be(&self, text: &str) -> bool {
        let fits = |tag: &&str| matches!(behind(tag, text), Ok("") | Err(Ends::Early));
        self.tags.iter().any(fits)
    }
}

/// What stands behind a stand-in with this tag.
fn behind<'a>(tag: &str, text: &'a str) -> Result<&'a str, Ends> {
    let tagged = tag.chars().chain(['_']).try_fold(text, |rest, sign| {
        let behind = match sign {
            _ if rest.is_empty() => return Err(Ends::Early),
            '_' if HYPHENS.iter().any(|it| it.starts_with(rest) && *it != rest) => {
                return Err(Ends::Early);
            }
            '_' => behind_hyphen(rest),
            letter => rest.strip_prefix(|it: char| it.eq_ignore_ascii_case(&letter)),
        };
        behind.ok_or(Ends::Elsewhere)
    })?;
    let letters = tagged.bytes().take(LETTERS).take_while(|it| is_letter(*it)).count();
    match letters {
        LETTERS => Ok(&tagged[LETTERS..]),
        all if all == tagged.len() => Err(Ends::Early),
        _ => Err(Ends::Elsewhere),
    }
}

/// How a text is no stand-in.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    /// It could still become one.
    Early,
    Elsewhere,
}

fn is_letter(byte: u8) -> bool {
    CONSONANTS.contains(&byte.to_ascii_uppercase())
}

/// The letters that a text begins with, as we write them.
fn first_letters(text: &str) -> Option<Letters> {
    let letters: &Letters = text.as_bytes().first_chunk()?;
    letters.iter().all(|it| is_letter(*it)).then(|| letters.map(|it| it.to_ascii_uppercase()))
}

fn behind_hyphen(text: &str) -> Option<&str> {
    HYPHENS.iter().find_map(|hyphen| text.strip_prefix(hyphen))
}

/// Before what Markdown, and JSON with it, puts before a hyphen.
fn without_escape(text: &str) -> &str {
    text.strip_suffix(r"\\").or(text.strip_suffix('\\')).unwrap_or(text)
}

/// Where the tag begins that the text ends in.
fn before_tag(text: &str, tag: &str) -> Option<usize> {
    let before = tag.chars().rev().try_fold(text, |rest, sign| match sign {
        '_' => HYPHENS.iter().find_map(|hyphen| rest.strip_suffix(hyphen)),
        letter => rest.strip_suffix(|it: char| it.eq_ignore_ascii_case(&letter)),
    });
    before.map(str::len)
}

pub(crate) struct Place<'a> {
    pub start: usize,
    pub end: usize,
    pub known: Option<Known<'a>>,
}

pub(crate) struct Known<'a> {
    pub value: &'a str,
    pub is_number: bool,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("aliases", &self.aliases.len()).finish_non_exhaustive()
    }
}
