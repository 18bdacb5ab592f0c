//! What is done with each class.

use crate::class::Class;
use crate::finding::Confidence;
use crate::scan::Wanted;

/// From the mildest to the strictest. Where findings of several classes overlap, the strictest of
/// their actions holds for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Left as it is, and not looked for.
    Pass,
    /// All but the last four signs become `*`.
    Mask,
    /// A stand-in, which becomes the value again in the answer.
    Pseudonymise,
    /// The tag of the class: `[EMAIL]`.
    Redact,
    /// The whole text is refused.
    Block,
}

impl Action {
    pub const ALL: [Self; 5] =
        [Self::Pass, Self::Mask, Self::Pseudonymise, Self::Redact, Self::Block];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Mask => "mask",
            Self::Pseudonymise => "pseudonymise",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum RulesError {
    #[error("there is no class `{0}`")]
    Class(String),
    #[error("there is no action `{0}`: pass, mask, pseudonymise, redact and block are")]
    Action(String),
    #[error("`stand-in` has no rule of its own")]
    StandIn,
}

/// An action for each class, and the confidence from which on it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules([(Action, Confidence); Class::ALL.len()]);

impl Rules {
    /// Everything passes, until told otherwise.
    #[must_use]
    pub fn none() -> Self {
        let mut rules = Self([(Action::Pass, Confidence::High); Class::ALL.len()]);
        rules.0[Class::StandIn as usize] = (Action::Pseudonymise, Confidence::Low);
        rules
    }

    /// What suits most: secrets are redacted, what tells of a person is pseudonymised. Numbers that
    /// are only likely to be somebody's pass, since orders and parts have numbers, too; so do dates,
    /// URLs and addresses of machines.
    #[must_use]
    pub fn standard() -> Self {
        let mut rules = Self::none();
        for class in Class::ALL {
            rules.0[*class as usize] = match class {
                Class::StandIn => continue,
                Class::PrivateKey | Class::ApiKey | Class::Jwt | Class::Secret => {
                    (Action::Redact, Confidence::Low)
                }
                Class::Url | Class::Ip | Class::Mac | Class::Date => {
                    (Action::Pass, Confidence::High)
                }
                Class::Phone => (Action::Pseudonymise, Confidence::Low),
                _ => (Action::Pseudonymise, Confidence::High),
            };
        }
        rules
    }

    /// The same, but for one class.
    pub fn with(
        mut self,
        class: Class,
        action: Action,
        from: Confidence,
    ) -> Result<Self, RulesError> {
        if class == Class::StandIn {
            return Err(RulesError::StandIn);
        }
        self.0[class as usize] = (action, from);
        Ok(self)
    }

    /// Rules by name, as a configuration holds them: a class and its action, beginning with `self`.
    /// What is named is acted upon from the lowest confidence on.
    pub fn read<'a>(
        self,
        rows: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RulesError> {
        rows.into_iter().try_fold(self, |rules, (class, action)| {
            let class = Class::parse(class).ok_or_else(|| RulesError::Class(class.to_owned()))?;
            let action =
                Action::parse(action).ok_or_else(|| RulesError::Action(action.to_owned()))?;
            rules.with(class, action, Confidence::Low)
        })
    }

    /// These, and nothing milder than the others.
    #[must_use]
    pub fn at_least(mut self, others: &Self) -> Self {
        for (own, other) in self.0.iter_mut().zip(&others.0) {
            own.1 = match (own.0, other.0) {
                (_, Action::Pass) => own.1,
                (Action::Pass, _) => other.1,
                _ => own.1.min(other.1),
            };
            own.0 = own.0.max(other.0);
        }
        self
    }

    /// Whether there is anything to look for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        Class::ALL.iter().all(|it| *it == Class::StandIn || self.action(*it) == Action::Pass)
    }

    #[must_use]
    pub fn action(&self, class: Class) -> Action {
        self.0[class as usize].0
    }

    pub(crate) fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::none();
        for class in Class::ALL {
            let (action, from) = self.0[*class as usize];
            wanted.set(*class, (action != Action::Pass).then_some(from));
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take an unknown name for `pass`.
    #[test]
    fn rules_are_read_by_name() {
        let rules = Rules::none().read([("email", "redact"), ("card", "block")]).expect("rules");
        assert_eq!(rules.action(Class::Email), Action::Redact);
        assert_eq!(rules.action(Class::Card), Action::Block);
        assert_eq!(rules.action(Class::Iban), Action::Pass);
        let refused = |row| Rules::none().read([row]).expect_err("no rule");
        assert_eq!(refused(("emial", "redact")), RulesError::Class("emial".to_owned()));
        assert_eq!(refused(("email", "drop")), RulesError::Action("drop".to_owned()));
        assert_eq!(refused(("stand-in", "pass")), RulesError::StandIn);
    }

    /// Mutation: take the milder action, or the higher confidence, of two.
    #[test]
    fn two_sets_of_rules_are_as_strict_as_both() {
        let one = Rules::none().with(Class::Email, Action::Mask, Confidence::High);
        let one = one.and_then(|it| it.with(Class::Card, Action::Block, Confidence::High));
        let other = Rules::none().with(Class::Email, Action::Redact, Confidence::Low);
        let other = other.and_then(|it| it.with(Class::Iban, Action::Redact, Confidence::Low));
        let (one, other) = (one.expect("rules"), other.expect("rules"));
        let both = one.clone().at_least(&other);
        assert_eq!(both, other.at_least(&one));
        assert_eq!(both.0[Class::Email as usize], (Action::Redact, Confidence::Low));
        assert_eq!(both.0[Class::Card as usize], (Action::Block, Confidence::High));
        assert_eq!(both.0[Class::Iban as usize], (Action::Redact, Confidence::Low));
        assert!(!both.is_idle() && Rules::none().is_idle());
    }
}
