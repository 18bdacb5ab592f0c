//! `kind: Route`: a name that stands for several models, and which of them a call goes to first and next.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::ModelName;

/// Models behind one route. More would be tried for minutes.
pub const TARGETS_MAX: usize = 16;

/// Models that one call tries, where its route does not say.
pub const LEGS_USUAL: u32 = 3;

/// A share of a thousandth is the smallest that anybody asks for.
const WEIGHT_MAX: u32 = 100_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    /// In the order of preference.
    pub to: Vec<Target>,
    /// Who gets the same model each time, where weights decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Where the models must compute; any region by default.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<String>,
    /// Models that one call tries at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legs: Option<u32>,
    /// Namespaces that may use it beside its own; `*` is all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub share: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    pub model: ModelName,
    /// Its share of the calls that begin with a model that has one. Models without are fallbacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// Whoever the request says in `user`.
    User,
    Key,
    Run,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("`to` has 1 to {TARGETS_MAX} models")]
    Targets,
    #[error("`to` has `{0}` twice")]
    Twice(ModelName),
    #[error("`weight` is {WEIGHT_MAX} at most, and one of them more than nothing")]
    Weight,
    #[error("`legs` is 1 to {TARGETS_MAX}")]
    Legs,
}

impl RouteSpec {
    pub fn check(&self) -> Result<(), RouteError> {
        if self.to.is_empty() || self.to.len() > TARGETS_MAX {
            return Err(RouteError::Targets);
        }
        for (at, target) in self.to.iter().enumerate() {
            if self.to[..at].iter().any(|before| before.model == target.model) {
                return Err(RouteError::Twice(target.model.clone()));
            }
        }
        let weights = self.to.iter().filter_map(|target| target.weight);
        let (mut sum, mut some) = (0_u64, false);
        for weight in weights {
            some = true;
            sum += u64::from(weight);
            if weight > WEIGHT_MAX {
                return Err(RouteError::Weight);
            }
        }
        if some && sum == 0 {
            return Err(RouteError::Weight);
        }
        match self.legs {
            Some(legs) if legs == 0 || legs as usize > TARGETS_MAX => Err(RouteError::Legs),
            _ => Ok(()),
        }
    }

    #[must_use]
    pub fn legs(&self) -> usize {
        self.legs.unwrap_or(LEGS_USUAL) as usize
    }

    /// The models in the order in which a call tries them. `chance` is any number; the same one gives
    /// the same order.
    pub fn order(&self, chance: u64) -> impl Iterator<Item = &ModelName> {
        let first = self.drawn(chance);
        let head = first.map(|at| &self.to[at].model);
        let rest = self.to.iter().enumerate().filter(move |(at, _)| Some(*at) != first);
        head.into_iter().chain(rest.map(|(_, target)| &target.model))
    }

    /// By weight, where there are weights.
    fn drawn(&self, chance: u64) -> Option<usize> {
        let weight = |target: &Target| u64::from(target.weight.unwrap_or(0));
        let sum: u64 = self.to.iter().map(weight).sum();
        let mut rest = chance.checked_rem(sum)?;
        self.to.iter().position(|target| {
            let is_it = rest < weight(target);
            rest = rest.saturating_sub(weight(target));
            is_it
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &[(&str, Option<u32>)]) -> RouteSpec {
        let target = |(model, weight): &(&str, Option<u32>)| Target {
            model: ModelName::parse(model).expect("a name"),
            weight: *weight,
        };
        RouteSpec {
            to: to.iter().map(target).collect(),
            sticky: None,
            regions: BTreeSet::new(),
            legs: None,
            share: BTreeSet::new(),
        }
    }

    fn order(route: &RouteSpec, chance: u64) -> Vec<String> {
        route.order(chance).map(ToString::to_string).collect()
    }

    /// Mutation: draw without weights, or lose the one that was drawn from the rest.
    #[test]
    fn weights_say_who_is_first_and_the_order_who_is_next() {
        assert_eq!(order(&route(&[("a", None), ("b", None)]), 7), ["a", "b"]);
        let weighted = route(&[("a", Some(3)), ("b", Some(1)), ("c", None)]);
        assert_eq!(order(&weighted, 2), ["a", "b", "c"]);
        assert_eq!(order(&weighted, 3), ["b", "a", "c"]);
        let firsts = (0..4_000).filter(|chance| order(&weighted, *chance)[0] == "a").count();
        assert_eq!(firsts, 3_000);
        assert_eq!(order(&route(&[("a", Some(0)), ("b", Some(5))]), 4), ["b", "a"]);
    }

    /// Mutation: leave out any of the checks.
    #[test]
    fn what_is_no_route_is_refused() {
        let many: Vec<_> = (0..=TARGETS_MAX).map(|n| (format!("m{n}"), None)).collect();
        let many: Vec<_> = many.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
        let name = ModelName::parse("a").expect("a name");
        for (route, expected) in [
            (route(&[]), Err(RouteError::Targets)),
            (route(&many), Err(RouteError::Targets)),
            (route(&[("a", None), ("a", Some(1))]), Err(RouteError::Twice(name))),
            (route(&[("a", Some(0))]), Err(RouteError::Weight)),
            (route(&[("a", Some(WEIGHT_MAX + 1))]), Err(RouteError::Weight)),
            (RouteSpec { legs: Some(0), ..route(&[("a", None)]) }, Err(RouteError::Legs)),
            (route(&[("a", Some(1)), ("b", None)]), Ok(())),
        ] {
            assert_eq!(route.check(), expected, "{route:?}");
        }
    }
}
