//! Protecting texts by rules, and restoring what comes back.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::class::Class;
use crate::detect::secret;
use crate::edit::{self, Edit};
use crate::finding::{self, Confidence, Finding};
use crate::known::Known;
use crate::names::Names;
use crate::refusal::Refusal;
use crate::rules::{Action, Rules};
use crate::scan::{Scan, Wanted};
use crate::vault::Vault;

/// The largest text or document that is looked through at once: a long chat with pictures in it.
pub const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A longer finding is not told by its class and has no stand-in: it becomes `[REDACTED]`. It is also
/// what a stream holds back at most for the end of one. A private key of 4096 bits has 3.3 kB.
pub const FINDING_BYTES_MAX: usize = 8 * 1024;

/// Stands for what is too long to be told.
pub const REDACTED: &str = "[REDACTED]";

/// Rules, and the names that the caller knows. Cheap to clone.
#[derive(Clone)]
pub struct Shield(Arc<Inner>);

struct Inner {
    rules: Rules,
    wanted: Wanted,
    names: Option<Arc<Names>>,
}

impl Shield {
    #[must_use]
    pub fn new(rules: Rules, names: Option<Arc<Names>>) -> Self {
        let wanted = rules.wanted();
        Self(Arc::new(Inner { rules, wanted, names }))
    }

    /// Whether both do the same, with the same list of names.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let names = |it: &Self| it.0.names.as_ref().map(Arc::as_ptr);
        self.0.rules == other.0.rules && names(self) == names(other)
    }

    /// What the rules act upon, without overlaps. `hint` is what is known of the text: the key that it
    /// is the value of.
    pub fn find(&self, text: &str, hint: &str) -> Result<Vec<Finding>, Refusal> {
        bounded(text.len())?;
        let scan = self.scan(text, hint, 0);
        self.merge(scan.found)
    }

    /// The text as it may leave. Where something is in it still that it has told itself, all is looked through
    /// again.
    pub fn protect<'a>(&self, vault: &mut Vault, text: &'a str) -> Result<Cow<'a, str>, Refusal> {
        let before = vault.begins();
        let first = edit::apply(text, &self.edits(vault, text, "", None)?);
        let (told, is_one) = vault.told();
        let is_left = |it: &Known| !is_one || it.places(&first).next().is_some();
        match Known::of(told).filter(is_left) {
            None => Ok(first),
            Some(known) => {
                vault.again(before);
                Ok(edit::apply(text, &self.edits(vault, text, "", Some(&known))?))
            }
        }
    }

    pub(crate) fn edits(
        &self,
        vault: &mut Vault,
        text: &str,
        hint: &str,
        known: Option<&Known>,
    ) -> Result<Vec<Edit>, Refusal> {
        bounded(text.len())?;
        let places = known.map_or_else(Vec::new, |it| it.places(text).collect());
        let mut found = self.found(text, hint, places);
        if !vault.is_one_way() {
            found.extend(vault.places(text).map(|place| Finding {
                class: Class::StandIn,
                confidence: Confidence::High,
                range: place.start..place.end,
            }));
        }
        let found = self.merge(found)?;
        let mut edits = Vec::with_capacity(found.len());
        for finding in found {
            let value = &text[finding.range.clone()];
            Self::hides(vault, finding.class, value)?;
            let text = match self.0.rules.action(finding.class) {
                Action::Pseudonymise if value.len() <= FINDING_BYTES_MAX => {
                    vault.stand_in(finding.class, value, false)?
                }
                action => replacement(finding.class, action, value),
            };
            edits.push(Edit { range: finding.range, text });
        }
        Ok(edits)
    }

    /// What is known is what it was told to be, whatever a detector says of it here.
    fn found(&self, text: &str, hint: &str, known: Vec<Finding>) -> Vec<Finding> {
        let mut found = self.scan(text, hint, 0).found;
        if !known.is_empty() {
            let places: HashSet<_> = known.iter().map(|it| it.range.clone()).collect();
            found.retain(|it| !places.contains(&it.range));
            found.extend(known);
        }
        found
    }

    /// It is hidden here, and wherever else it stands.
    fn hides(vault: &mut Vault, class: Class, value: &str) -> Result<(), Refusal> {
        if class == Class::StandIn {
            return Ok(());
        }
        vault.has_hidden(class);
        vault.has_told(class, value)
    }

    /// What stands for a number of an answer's JSON, where it is to be hidden.
    pub fn number_of_answer(
        &self,
        vault: &mut Vault,
        number: &str,
        hint: &str,
    ) -> Result<Option<String>, Refusal> {
        self.number(vault, number, hint, None)
    }

    pub(crate) fn number(
        &self,
        vault: &mut Vault,
        number: &str,
        hint: &str,
        known: Option<&Known>,
    ) -> Result<Option<String>, Refusal> {
        let place = known.and_then(|it| it.of_number(number));
        let found = self.merge(self.found(number, hint, Vec::from_iter(place)))?;
        let Some(finding) = found.first() else { return Ok(None) };
        Self::hides(vault, finding.class, number)?;
        match self.0.rules.action(finding.class) {
            Action::Pseudonymise => vault.stand_in(finding.class, number, true).map(Some),
            action => Ok(Some(replacement(finding.class, action, number))),
        }
    }

    /// All that begins at `from` or behind it, overlaps and all.
    pub(crate) fn scan<'a>(&'a self, text: &'a str, hint: &'a str, from: usize) -> Scan<'a> {
        let mut scan = Scan::new(text, hint, &self.0.wanted);
        scan.run(from, self.0.names.as_deref());
        if from == 0 {
            secret::hinted(&mut scan);
        }
        scan
    }

    pub(crate) fn merge(&self, found: Vec<Finding>) -> Result<Vec<Finding>, Refusal> {
        let action = |class| self.0.rules.action(class);
        match found.iter().find(|finding| action(finding.class) == Action::Block) {
            Some(finding) => Err(Refusal::Blocked { class: finding.class }),
            None => Ok(finding::merge(found, action)),
        }
    }

    /// What stands for a value that nobody is to restore.
    pub(crate) fn hidden(&self, class: Class, value: &str) -> String {
        replacement(class, self.0.rules.action(class), value)
    }

    pub(crate) fn names(&self) -> Option<&Names> {
        self.0.names.as_deref()
    }
}

/// All that detectors say of a text, before the rule on overlaps: a place may be of several classes.
/// Of one class only the longest is told.
#[must_use]
pub fn candidates(text: &str, hint: &str, names: Option<&Names>) -> Vec<Finding> {
    let wanted = Wanted::all();
    let mut scan = Scan::new(text, hint, &wanted);
    scan.run(0, names);
    secret::hinted(&mut scan);
    let mut found = scan.found;
    found.sort_by_key(|it| (it.class, it.range.start, std::cmp::Reverse(it.range.end)));
    found.dedup_by(|next, kept| next.class == kept.class && next.range.end <= kept.range.end);
    found.sort_by_key(|it| it.range.start);
    found
}

pub(crate) fn bounded(bytes: usize) -> Result<(), Refusal> {
    if bytes > TEXT_BYTES_MAX {
        return Err(Refusal::TooLarge { bytes, most: TEXT_BYTES_MAX });
    }
    Ok(())
}

fn replacement(class: Class, action: Action, value: &str) -> String {
    match action {
        _ if value.len() > FINDING_BYTES_MAX => REDACTED.to_owned(),
        Action::Mask => mask(value),
        Action::Pass | Action::Pseudonymise | Action::Redact | Action::Block => {
            format!("[{}]", class.tag())
        }
    }
}

/// Signs that stay at the end of a masked value.
const MASK_KEEPS: usize = 4;

/// Four of twelve are kept, of fewer none: they would tell too much.
fn mask(value: &str) -> String {
    let count = value.chars().filter(|sign| sign.is_alphanumeric()).count();
    let keep = if count >= 3 * MASK_KEEPS { MASK_KEEPS } else { 0 };
    let mut left = count;
    let hide = |sign: char| {
        if !sign.is_alphanumeric() {
            return sign;
        }
        left -= 1;
        if left < keep { sign } else { '*' }
    };
    value.chars().map(hide).collect()
}

impl fmt::Debug for Shield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("names", &self.0.names).finish_non_exhaustive()
    }
}
