//! Values that are known by now, wherever else they stand: a passport's number is one in the next sentence, too,
//! where no word says so, and in the turn of a conversation in which a model has said it again, between other signs.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem::Finder;

use crate::class::Class;
use crate::finding::{Confidence, Finding};
use crate::refusal::Refusal;
use crate::steps;
use crate::vault::Vault;

/// A shorter number of JSON may count something.
const NUMBER_BYTES_MIN: usize = 9;

pub(crate) struct Known {
    values: Values,
    classes: Vec<Class>,
}

/// A few are looked for one by one: an automaton takes longer to build than most texts to look through.
enum Values {
    Few(Vec<Finder<'static>>),
    Many(AhoCorasick),
}

const FEW: usize = 16;

impl Known {
    /// None where there is nothing to look for.
    pub(crate) fn of(vault: &Vault) -> Result<Option<Self>, Refusal> {
        let (values, classes): (Vec<&str>, Vec<Class>) =
            vault.told().iter().map(|(value, class)| (&**value, *class)).unzip();
        if values.is_empty() {
            return Ok(None);
        }
        steps::add(values.iter().map(|it| it.len()).sum());
        if values.len() <= FEW {
            let values = values.into_iter().map(|it| Finder::new(it).into_owned()).collect();
            return Ok(Some(Self { values: Values::Few(values), classes }));
        }
        let values = AhoCorasick::builder()
            // All that overlap would be as many as there are values, at each place of a text.
            .match_kind(MatchKind::LeftmostLongest)
            // The others take longer to build than they save here.
            .kind(Some(AhoCorasickKind::NoncontiguousNFA))
            .build(values);
        // There are more states than there may be.
        let values = Values::Many(values.map_err(|_| Refusal::VaultFull)?);
        Ok(Some(Self { values, classes }))
    }

    /// The same in a number, which is one value.
    pub(crate) fn of_number(&self, number: &str) -> Vec<Finding> {
        if number.len() < NUMBER_BYTES_MIN {
            return Vec::new();
        }
        let mut found = self.places(number);
        found.retain(|it| it.range == (0..number.len()));
        found
    }

    /// Where one stands as a word of its own.
    pub(crate) fn places(&self, text: &str) -> Vec<Finding> {
        steps::add(text.len());
        let mut found: Vec<(usize, Range<usize>)> = Vec::new();
        match &self.values {
            Values::Few(finders) => {
                found.extend(finders.iter().enumerate().flat_map(|(at, it)| {
                    let length = it.needle().len();
                    it.find_iter(text.as_bytes()).map(move |start| (at, start..start + length))
                }))
            }
            Values::Many(values) => {
                found
                    .extend(values.find_iter(text).map(|it| (it.pattern().as_usize(), it.range())));
            }
        }
        found.retain(|(_, range)| {
            let (before, behind) = (&text[..range.start], &text[range.end..]);
            !before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric)
        });
        let finding = |(at, range): (usize, Range<usize>)| Finding {
            class: self.classes[at],
            confidence: Confidence::Low,
            range,
        };
        found.into_iter().map(finding).collect()
    }
}
