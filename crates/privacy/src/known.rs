//! Values that are known by now, wherever else they stand: a passport's number is one in the next sentence, too,
//! where no word says so, and in the turn of a conversation in which a model has said it again.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::class::Class;
use crate::finding::{Confidence, Finding};
use crate::refusal::Refusal;
use crate::steps;
use crate::vault::Vault;

/// A shorter value is a part of everything.
const KNOWN_BYTES_MIN: usize = 4;

pub(crate) struct Known {
    values: AhoCorasick,
    classes: Vec<Class>,
}

impl Known {
    /// None where there is nothing to look for.
    pub(crate) fn of(vault: &Vault) -> Result<Option<Self>, Refusal> {
        let values = vault.told.iter().filter(|(value, _)| value.len() >= KNOWN_BYTES_MIN);
        let (values, classes): (Vec<&str>, Vec<Class>) =
            values.map(|(value, class)| (&**value, *class)).unzip();
        if values.is_empty() {
            return Ok(None);
        }
        steps::add(values.iter().map(|it| it.len()).sum());
        let values = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(values);
        // There are more states than there may be.
        let values = values.map_err(|_| Refusal::VaultFull)?;
        Ok(Some(Self { values, classes }))
    }

    /// Where one stands as a word of its own.
    pub(crate) fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Finding> + 'a {
        steps::add(text.len());
        self.values.find_iter(text).filter_map(|found| {
            let (before, behind) = (&text[..found.start()], &text[found.end()..]);
            let is_part = before.ends_with(char::is_alphanumeric)
                || behind.starts_with(char::is_alphanumeric);
            let class = self.classes[found.pattern().as_usize()];
            let (confidence, range) = (Confidence::Low, found.range());
            (!is_part).then_some(Finding { class, confidence, range })
        })
    }
}
