//! `kind: Route`: a name that stands for several models, and which of them a call goes to first and next.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::accept::{Accept, AcceptError, Pattern};
use crate::iso::IsoDuration;
use crate::limits::{RouteLimits, RouteLimitsError};
use crate::name::ModelName;
use crate::person::{Person, PersonError};

/// Models behind one route. More would be tried for minutes.
pub const TARGETS_MAX: usize = 16;

/// Models that one call tries, where its route does not say.
pub const LEGS_USUAL: u32 = 3;

/// A share of a thousandth is the smallest that anybody asks for.
const WEIGHT_MAX: u32 = 100_000;

/// Rules of one answer. They are tried one after the other, for each call that nobody answers.
const RULES_MAX: usize = 100;

/// Of an answer by rule: a page of text.
const TEXT_CHARS_MAX: usize = 4_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RouteSpec {
    /// In the order of preference.
    pub to: Vec<Target>,
    /// What is given where none of them answers, in order. In a document they stand behind the models.
    pub last: Vec<Resort>,
    /// Who gets the same model each time, where weights decide.
    pub sticky: Option<Sticky>,
    /// Where the models must compute; any region by default.
    pub regions: BTreeSet<String>,
    /// Models that one call tries at most.
    pub legs: Option<u32>,
    /// Namespaces that may use it beside its own; `*` is all.
    pub share: BTreeSet<String>,
    /// Whether the same question gets the same answer for a while.
    pub cache: Option<CacheSpec>,
    /// When the next model is asked beside one that says nothing.
    pub hedge: Option<Hedge>,
    pub limits: RouteLimits,
}

/// As it stands in a document.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    to: Vec<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sticky: Option<Sticky>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    regions: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    legs: Option<u32>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    share: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache: Option<CacheSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hedge: Option<Hedge>,
    #[serde(default, skip_serializing_if = "is_none")]
    limits: RouteLimits,
}

fn is_none(limits: &RouteLimits) -> bool {
    !limits.is_any()
}

/// One place of `to`: a model, or a last resort.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept: Option<Accept>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<Cached>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Rules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<Person>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub model: ModelName,
    /// Its share of the calls that begin with a model that has one. Models without are fallbacks.
    pub weight: Option<u32>,
    /// What its answer must be to be given; the next model is asked else.
    pub accept: Option<Accept>,
}

/// What is given where no model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resort {
    Cached(Cached),
    Rules(Rules),
    /// Ends a route: whoever has asked somebody waits for him.
    Person(Person),
}

/// An answer to the same question from before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cached {
    /// How old it may be.
    pub within: IsoDuration,
}

/// An answer by rule: of the first whose pattern the last words of the user match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Where none of them fits; there is no answer without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub when: When,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    pub pattern: Pattern,
}

/// Answers that are given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSpec {
    /// For how long.
    pub ttl: IsoDuration,
    /// Also where the same question may get another answer each time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sampled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    /// How long the first model may say nothing.
    pub after: IsoDuration,
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
    #[error(
        "`to[{0}]` is a `model`, or `cached`, or `answer`, or `person`, and one of these alone"
    )]
    Place(usize),
    #[error("`to[{0}]` is a model behind `cached`, `answer` or `person`, which end a route")]
    Behind(usize),
    #[error("`to` has `cached` and `answer` once each")]
    Resorts,
    #[error("`to` has one `person`, behind all others: whoever has asked somebody waits for him")]
    PersonLast,
    #[error(transparent)]
    Person(#[from] PersonError),
    #[error("`to[{0}].{1}` goes with a `model`")]
    NoModel(usize, &'static str),
    #[error("`to` of `{0}`: {1}")]
    Accept(ModelName, AcceptError),
    #[error(
        "`answer` has a `text`, or up to {RULES_MAX} `rules`; each text has 1 to {TEXT_CHARS_MAX} characters"
    )]
    Rules,
    #[error(
        "`hedge` asks two models at once, and `accept` one after the other: a route has one of them"
    )]
    Both,
    #[error("`to` has `{0}` twice")]
    Twice(ModelName),
    #[error("`weight` is {WEIGHT_MAX} at most, and one of them more than nothing")]
    Weight,
    #[error("`legs` is 1 to {TARGETS_MAX}")]
    Legs,
    #[error(transparent)]
    Limits(#[from] RouteLimitsError),
}

impl Rules {
    /// The text for somebody who has said this last.
    #[must_use]
    pub fn text(&self, last_words: &str) -> Option<&str> {
        let fits = |rule: &&Rule| rule.when.pattern.matches(last_words);
        let found = self.rules.iter().find(fits).map(|rule| &rule.text);
        found.or(self.text.as_ref()).map(String::as_str)
    }
}

impl TryFrom<Written> for RouteSpec {
    type Error = RouteError;

    fn try_from(written: Written) -> Result<Self, RouteError> {
        let Written { to: places, sticky, regions, legs, share, cache, hedge, limits } = written;
        let (mut to, mut last) = (Vec::new(), Vec::new());
        for (at, place) in places.into_iter().enumerate() {
            match place {
                Place {
                    model: Some(model),
                    weight,
                    accept,
                    cached: None,
                    answer: None,
                    person: None,
                } => {
                    if !last.is_empty() {
                        return Err(RouteError::Behind(at));
                    }
                    to.push(Target { model, weight, accept });
                }
                Place { model: None, weight: Some(_), .. } => {
                    return Err(RouteError::NoModel(at, "weight"));
                }
                Place { model: None, accept: Some(_), .. } => {
                    return Err(RouteError::NoModel(at, "accept"));
                }
                Place { model: None, cached: Some(cached), answer: None, person: None, .. } => {
                    last.push(Resort::Cached(cached));
                }
                Place { model: None, cached: None, answer: Some(rules), person: None, .. } => {
                    last.push(Resort::Rules(rules));
                }
                Place { model: None, cached: None, answer: None, person: Some(person), .. } => {
                    last.push(Resort::Person(person));
                }
                Place { .. } => return Err(RouteError::Place(at)),
            }
        }
        Ok(Self { to, last, sticky, regions, legs, share, cache, hedge, limits })
    }
}

impl From<RouteSpec> for Written {
    fn from(spec: RouteSpec) -> Self {
        let RouteSpec { to, last, sticky, regions, legs, share, cache, hedge, limits } = spec;
        let model = |Target { model, weight, accept }| Place {
            model: Some(model),
            weight,
            accept,
            ..Place::default()
        };
        let resort = |resort| match resort {
            Resort::Cached(cached) => Place { cached: Some(cached), ..Place::default() },
            Resort::Rules(rules) => Place { answer: Some(rules), ..Place::default() },
            Resort::Person(person) => Place { person: Some(person), ..Place::default() },
        };
        let to = to.into_iter().map(model).chain(last.into_iter().map(resort)).collect();
        Self { to, sticky, regions, legs, share, cache, hedge, limits }
    }
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
        for target in &self.to {
            let checked = target.accept.as_ref().map_or(Ok(()), Accept::check);
            checked.map_err(|wrong| RouteError::Accept(target.model.clone(), wrong))?;
        }
        self.check_last()?;
        self.limits.check()?;
        if self.hedge.is_some() && self.to.iter().any(|target| target.accept.is_some()) {
            return Err(RouteError::Both);
        }
        match self.legs {
            Some(legs) if legs == 0 || legs as usize > TARGETS_MAX => Err(RouteError::Legs),
            _ => Ok(()),
        }
    }

    fn check_last(&self) -> Result<(), RouteError> {
        let count = |is: fn(&Resort) -> bool| self.last.iter().filter(|it| is(it)).count();
        if count(|it| matches!(it, Resort::Cached(_))) > 1
            || count(|it| matches!(it, Resort::Rules(_))) > 1
        {
            return Err(RouteError::Resorts);
        }
        let before = self.last.split_last().map_or(&[][..], |(_, before)| before);
        if before.iter().any(|it| matches!(it, Resort::Person(_))) {
            return Err(RouteError::PersonLast);
        }
        self.person().map_or(Ok(()), Person::check)?;
        let is_text = |text: &String| (1..=TEXT_CHARS_MAX).contains(&text.chars().count());
        let is_good = |resort: &Resort| match resort {
            Resort::Cached(_) | Resort::Person(_) => true,
            Resort::Rules(Rules { rules, text }) => {
                let mut texts = rules.iter().map(|rule| &rule.text).chain(text).peekable();
                rules.len() <= RULES_MAX && texts.peek().is_some() && texts.all(is_text)
            }
        };
        if self.last.iter().all(is_good) { Ok(()) } else { Err(RouteError::Rules) }
    }

    #[must_use]
    pub fn legs(&self) -> usize {
        self.legs.unwrap_or(LEGS_USUAL) as usize
    }

    /// The models in the order in which a call tries them, each with its place in `to`. `chance` is any
    /// number; the same one gives the same order.
    pub fn order(&self, chance: u64) -> impl Iterator<Item = (usize, &Target)> {
        let first = self.drawn(chance);
        let head = first.map(|at| (at, &self.to[at]));
        let rest = self.to.iter().enumerate().filter(move |(at, _)| Some(*at) != first);
        head.into_iter().chain(rest)
    }

    /// How old an answer to the same question may be where no model answers.
    #[must_use]
    pub fn cached(&self) -> Option<&Cached> {
        self.last.iter().find_map(|resort| match resort {
            Resort::Cached(cached) => Some(cached),
            Resort::Rules(_) | Resort::Person(_) => None,
        })
    }

    /// Who is asked where no model answers, or none is sure enough.
    #[must_use]
    pub fn person(&self) -> Option<&Person> {
        self.last.iter().find_map(|resort| match resort {
            Resort::Person(person) => Some(person),
            Resort::Cached(_) | Resort::Rules(_) => None,
        })
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
    use serde_json::json;

    use super::*;

    fn route(to: &[(&str, Option<u32>)]) -> RouteSpec {
        let target = |(model, weight): &(&str, Option<u32>)| Target {
            model: ModelName::parse(model).expect("a name"),
            weight: *weight,
            accept: None,
        };
        RouteSpec {
            to: to.iter().map(target).collect(),
            last: Vec::new(),
            sticky: None,
            regions: BTreeSet::new(),
            legs: None,
            share: BTreeSet::new(),
            cache: None,
            hedge: None,
            limits: RouteLimits::default(),
        }
    }

    fn read(json: serde_json::Value) -> Result<RouteSpec, String> {
        let spec: RouteSpec = serde_json::from_value(json).map_err(|wrong| wrong.to_string())?;
        spec.check().map_err(|wrong| wrong.to_string())?;
        Ok(spec)
    }

    fn order(route: &RouteSpec, chance: u64) -> Vec<String> {
        route.order(chance).map(|(_, target)| target.model.to_string()).collect()
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

    /// Mutation: lose a member on the way to the store, or read it as another.
    #[test]
    fn a_route_is_written_as_it_was_read() {
        let whole = json!({
            "to": [
                {"model": "small", "weight": 9, "accept": {"confidence": 0.8, "pattern": "^a"}},
                {"model": "big"},
                {"cached": {"within": "P1D"}},
                {"answer": {"rules": [{"when": {"pattern": "hours"}, "text": "9 to 5"}], "text": "later"}},
                {"person": {"within": "PT8H", "wait": "PT30S"}},
            ],
            "sticky": "user", "regions": ["eu"], "legs": 2, "share": ["lab"],
            "cache": {"ttl": "PT1H", "sampled": true},
            "limits": {"requestsPerMinute": 60, "tokensPerMinute": 9_000, "concurrency": 4},
        });
        let read = read(whole.clone()).expect("a route");
        assert_eq!((read.to.len(), read.last.len()), (2, 3));
        assert_eq!(serde_json::to_value(&read).expect("JSON"), whole);
        let hedged = json!({"to": [{"model": "a"}], "hedge": {"after": "PT2S"}});
        let spec: RouteSpec = serde_json::from_value(hedged.clone()).expect("a route");
        assert_eq!(serde_json::to_value(spec).expect("JSON"), hedged);
    }

    /// Mutation: take any of these, or say nothing of the place.
    #[test]
    fn what_is_no_place_of_a_route_is_refused_by_its_number() {
        let to = |place: serde_json::Value| json!({"to": [{"model": "a"}, place]});
        let rule = |text: &str| json!({"when": {"pattern": "a"}, "text": text});
        for (spec, expected) in [
            (to(json!({})), "`to[1]` is a `model`, or `cached`"),
            (to(json!({"model": "b", "cached": {"within": "PT1H"}})), "and one of these alone"),
            (to(json!({"weight": 1, "cached": {"within": "PT1H"}})), "`to[1].weight` goes with"),
            (to(json!({"accept": {"pattern": "a"}})), "`to[1].accept` goes with"),
            (to(json!({"cached": {"within": "1h"}})), "`PT1H30M`"),
            (to(json!({"model": "b", "accept": {}})), "`to` of `b`: `accept` has"),
            (to(json!({"answer": {}})), "`answer` has a `text`"),
            (to(json!({"answer": {"text": ""}})), "`answer` has a `text`"),
            (to(json!({"answer": {"rules": vec![rule("b"); RULES_MAX + 1]}})), "up to 100"),
            (to(json!({"answer": {"rules": [rule(&"b".repeat(TEXT_CHARS_MAX + 1))]}})), "4000"),
            (to(json!({"anser": {"text": "b"}})), "unknown field `anser`"),
            (json!({"to": [{"cached": {"within": "PT1H"}}]}), "`to` has 1 to"),
            (
                json!({"to": [{"model": "a"}, {"answer": {"text": "b"}}, {"model": "b"}]}),
                "`to[2]` is a model behind",
            ),
            (
                json!({"to": [{"model": "a"}, {"answer": {"text": "b"}}, {"answer": {"text": "c"}}]}),
                "once each",
            ),
            (
                json!({"to": [{"model": "a"}, {"person": {"within": "P1D"}}, {"answer": {"text": "b"}}]}),
                "behind all others",
            ),
            (to(json!({"person": {"within": "P31D"}})), "`person.within` is `P30D`"),
            (to(json!({"person": {"within": "P1D", "wait": "PT11M"}})), "`person.wait` is `PT10M`"),
            (to(json!({"person": {"within": "PT1M", "wait": "PT2M"}})), "not longer than `within`"),
            (
                json!({"to": [{"model": "a", "accept": {"pattern": "a"}}, {"model": "b"}], "hedge": {"after": "PT1S"}}),
                "a route has one of them",
            ),
        ] {
            let said = read(spec.clone()).expect_err("it is none");
            assert!(said.contains(expected), "{spec}: {said}");
        }
    }

    /// Mutation: take the last of the rules that fit, or the default first.
    #[test]
    fn the_first_rule_that_fits_answers() {
        let rule = |when: &str, text: &str| json!({"when": {"pattern": when}, "text": text});
        let rules: Rules = serde_json::from_value(
            json!({"rules": [rule("hours", "9 to 5"), rule("open|hours", "yes")], "text": "later"}),
        )
        .expect("rules");
        for (said, expected) in
            [("your hours?", "9 to 5"), ("are you open", "yes"), ("hello", "later")]
        {
            assert_eq!(rules.text(said), Some(expected));
        }
        let strict = Rules { text: None, ..rules };
        assert_eq!(strict.text("hello"), None);
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
