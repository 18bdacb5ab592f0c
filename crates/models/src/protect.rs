//! `protect`: what a model may not see, and what its answers may not hold.

use std::collections::{BTreeMap, BTreeSet};

use base::DatasetName;
use privacy::{Action, Class, Confidence, Rules, RulesError};
use serde::{Deserialize, Serialize};

/// Lists of names that one model is protected by. Each is looked through for every text.
const LISTS_MAX: usize = 16;

/// As somebody has written it down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ProtectSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<RuleSet>,
    /// By class, what is done with it in place of what the rules say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, String>,
    /// Whose names are looked for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<NamesOf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
    /// By class, what is done with it in answers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSet {
    Standard,
    None,
}

/// Images, recordings and files, which nobody looks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    Pass,
    Block,
}

/// A column of a dataset of the site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamesOf {
    pub dataset: DatasetName,
    pub column: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtectError {
    #[error("`protect.classes`: {0}; `docs/reference/detectors.md` has them all")]
    Classes(RulesError),
    #[error("`protect.answers`: {0}; `docs/reference/detectors.md` has them all")]
    Answers(RulesError),
    #[error(
        "`protect.answers.{0}` is `pseudonymise`, but nobody restores what stands in an answer: say `redact` or `mask`"
    )]
    NotRestored(String),
    #[error("`protect.names` has {LISTS_MAX} lists at most")]
    Lists,
    #[error("`protect.names[].column` is 1 to 200 characters")]
    Column,
}

impl ProtectSpec {
    pub fn check(&self) -> Result<(), ProtectError> {
        Rules::none().read(rows(&self.classes)).map_err(ProtectError::Classes)?;
        let answers = Rules::none().read(rows(&self.answers)).map_err(ProtectError::Answers)?;
        let kept = |class: &&Class| answers.action(**class) == Action::Pseudonymise;
        let mut told = Class::ALL.iter().filter(|class| **class != Class::StandIn);
        if let Some(class) = told.find(kept) {
            return Err(ProtectError::NotRestored(class.name().to_owned()));
        }
        if self.names.len() > LISTS_MAX {
            return Err(ProtectError::Lists);
        }
        let is_column = |it: &NamesOf| (1..=200).contains(&it.column.chars().count());
        if self.names.iter().all(is_column) { Ok(()) } else { Err(ProtectError::Column) }
    }

    fn rules(&self) -> Rules {
        let mut rules = match self.rules.unwrap_or(RuleSet::Standard) {
            RuleSet::Standard => Rules::standard(),
            RuleSet::None => Rules::none(),
        };
        if !self.names.is_empty() && rules.action(Class::Name) == Action::Pass {
            let named = rules.with(Class::Name, Action::Pseudonymise, Confidence::Low);
            rules = named.expect("names have rules");
        }
        rules.read(rows(&self.classes)).expect("checked when it was written down")
    }

    fn answers(&self) -> Rules {
        let read = Rules::none().read(rows(&self.answers));
        read.expect("checked when it was written down")
    }

    fn blocks_media(&self) -> bool {
        self.media == Some(Media::Block)
    }
}

fn rows(classes: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    classes.iter().map(|(class, action)| (class.as_str(), action.as_str()))
}

/// What is in force for one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// Of what goes to it.
    pub out: Rules,
    /// Of what comes from it.
    pub back: Rules,
    pub names: BTreeSet<NamesOf>,
    pub blocks_media: bool,
}

impl Protection {
    /// What the model's owner has said, what the site's owner asks of every model that computes elsewhere,
    /// and the standard rules where neither has said anything: nothing leaves as it is by oversight.
    /// A model at the site itself sees what there is, unless its owner has said otherwise.
    #[must_use]
    pub fn of(own: Option<&ProtectSpec>, least: Option<&ProtectSpec>, is_here: bool) -> Self {
        let least = least.filter(|_| !is_here);
        let base = match (own, is_here) {
            (Some(own), _) => own.clone(),
            (None, false) if least.is_none() => ProtectSpec::default(),
            (None, _) => ProtectSpec { rules: Some(RuleSet::None), ..ProtectSpec::default() },
        };
        let mut all = Self {
            out: base.rules(),
            back: base.answers(),
            blocks_media: base.blocks_media(),
            names: base.names,
        };
        if let Some(least) = least {
            all.out = all.out.at_least(&least.rules());
            all.back = all.back.at_least(&least.answers());
            all.names.extend(least.names.iter().cloned());
            all.blocks_media |= least.blocks_media();
        }
        all
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.out.is_idle() && self.back.is_idle() && !self.blocks_media
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> ProtectSpec {
        serde_json::from_str(json).expect(json)
    }

    /// Mutation: let a model's owner go below what the site asks, or protect nothing where nobody has
    /// said anything.
    #[test]
    fn what_is_in_force_is_as_strict_as_both_owners_say() {
        let least = spec(r#"{"rules":"none","classes":{"email":"redact"},"media":"block"}"#);
        let own = spec(r#"{"rules":"none","classes":{"email":"mask","card":"block"}}"#);
        let both = Protection::of(Some(&own), Some(&least), false);
        assert_eq!(both.out.action(Class::Email), Action::Redact);
        assert_eq!(both.out.action(Class::Card), Action::Block);
        assert!(both.blocks_media);
        let silent = Protection::of(None, Some(&least), false);
        assert_eq!(silent.out.action(Class::Email), Action::Redact);
        assert_eq!(silent.out.action(Class::Iban), Action::Pass);
        let usual = Protection::of(None, None, false);
        assert_eq!(usual.out, Rules::standard());
        assert!(Protection::of(Some(&spec(r#"{"rules":"none"}"#)), None, false).is_idle());
        assert!(Protection::of(None, Some(&least), true).is_idle());
        assert_eq!(Protection::of(Some(&own), None, true).out.action(Class::Email), Action::Mask);
    }

    /// Mutation: look for names and let them pass.
    #[test]
    fn a_list_of_names_is_acted_upon() {
        let names = r#""names":[{"dataset":"patients","column":"name"}]"#;
        let bare = spec(&format!(r#"{{"rules":"none",{names}}}"#));
        let all = Protection::of(Some(&bare), None, false);
        assert_eq!(all.out.action(Class::Name), Action::Pseudonymise);
        let said = spec(&format!(r#"{{"classes":{{"name":"redact"}},{names}}}"#));
        let all = Protection::of(Some(&said), None, false);
        assert_eq!(all.out.action(Class::Name), Action::Redact);
    }

    /// Mutation: take a class that nobody knows, or a stand-in that nobody restores.
    #[test]
    fn rules_that_are_none_are_refused_with_their_place() {
        let said = |json: &str| spec(json).check().expect_err(json).to_string();
        assert!(said(r#"{"classes":{"emial":"mask"}}"#).contains("`protect.classes`"));
        assert!(said(r#"{"answers":{"email":"hide"}}"#).contains("`protect.answers`"));
        let kept = said(r#"{"answers":{"email":"pseudonymise"}}"#);
        assert!(kept.contains("`protect.answers.email`"), "{kept}");
        assert!(said(r#"{"names":[{"dataset":"p","column":""}]}"#).contains("column"));
        assert!(spec(r#"{"answers":{"card":"block"}}"#).check().is_ok());
    }
}
