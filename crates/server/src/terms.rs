//! What a key may do with models: read once, when the key is made or kept.

use std::collections::BTreeSet;

use base::Namespace;
use models::RATE_MAX;
use pricing::Budget;
use wire::{KeyScope, ModelTerms};

use crate::refusal::Refusal;

/// Names of models on one key.
const MODELS_MAX: usize = 200;

/// As long as a model's name, and a star.
const PATTERN_CHARS_MAX: usize = 129;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub namespace: Namespace,
    pub models: Vec<String>,
    pub budgets: Vec<Budget>,
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
}

impl Terms {
    /// Those of a key that is to be made: there if and only if it is for models.
    pub(crate) fn read(
        scopes: &BTreeSet<KeyScope>,
        terms: Option<&ModelTerms>,
        kind: &str,
    ) -> Result<Option<Self>, Refusal> {
        match (scopes.contains(&KeyScope::Model), terms) {
            (false, None) => Ok(None),
            (false, Some(_)) => {
                Err(Refusal::parameter("model", "only a key with the scope `model` has it"))
            }
            (true, _) if kind != "site" => {
                Err(Refusal::parameter("scopes", "models are called at a site; make the key there"))
            }
            (true, None) => {
                Err(Refusal::parameter("model", "say in which namespace its calls are"))
            }
            (true, Some(terms)) => {
                // Not of keys that are kept: those that were taken once are read on.
                terms.models.iter().try_for_each(|models| patterns(models))?;
                Self::of(terms).map(Some)
            }
        }
    }

    pub(crate) fn of(terms: &ModelTerms) -> Result<Self, Refusal> {
        let ModelTerms { namespace, models, budgets, requests_per_minute, tokens_per_minute } =
            terms;
        let wrong = |name: &str, what: &dyn std::fmt::Display| {
            Refusal::parameter(&format!("model.{name}"), what)
        };
        let namespace = Namespace::parse(namespace).map_err(|error| wrong("namespace", &error))?;
        let is_pattern = |text: &String| {
            (1..=PATTERN_CHARS_MAX).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let models = models.clone().unwrap_or_default();
        if models.len() > MODELS_MAX || !models.iter().all(is_pattern) {
            let what = format!("at most {MODELS_MAX} names of models, `*` at the end for any rest");
            return Err(wrong("models", &what));
        }
        let mut read: Vec<Budget> = Vec::new();
        for text in budgets {
            let budget: Budget = text.parse().map_err(|error| wrong("budgets", &error))?;
            if read.iter().any(|before| before.period() == budget.period()) {
                return Err(wrong("budgets", &"one for each period"));
            }
            read.push(budget);
        }
        let rates =
            [("requestsPerMinute", requests_per_minute), ("tokensPerMinute", tokens_per_minute)];
        for (name, rate) in rates {
            if rate.is_some_and(|rate| rate == 0 || rate > RATE_MAX) {
                return Err(wrong(name, &format!("from 1 to {RATE_MAX}")));
            }
        }
        Ok(Self {
            namespace,
            models,
            budgets: read,
            requests_per_minute: *requests_per_minute,
            tokens_per_minute: *tokens_per_minute,
        })
    }
}

/// A list of none would read as one of all, and a star within a name as no star.
fn patterns(models: &[String]) -> Result<(), Refusal> {
    if models.is_empty() {
        let what = "name a model at least, such as `chat-*`, or leave `models` out for any";
        return Err(Refusal::parameter("model.models", what));
    }
    for (place, text) in models.iter().enumerate() {
        let name = text.strip_suffix('*').unwrap_or(text);
        if text != "*" && models::ModelName::parse(name).is_err() {
            let what = format!("`{text}` is no name of a model, with `*` at its end for any rest");
            return Err(Refusal::parameter(&format!("model.models[{place}]"), what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scopes: &[KeyScope], terms: Option<&ModelTerms>, kind: &str) -> Result<bool, String> {
        let scopes = scopes.iter().copied().collect();
        Terms::read(&scopes, terms, kind).map(|it| it.is_some()).map_err(|it| it.to_string())
    }

    fn only(terms: &ModelTerms, models: &[&str]) -> Option<ModelTerms> {
        let models = Some(models.iter().map(|&it| it.to_owned()).collect());
        Some(ModelTerms { models, ..terms.clone() })
    }

    /// Mutation: take `models: []`, or a star anywhere. A key with one that was taken once is read on.
    #[test]
    fn a_key_names_the_models_that_it_is_for() {
        let sales = ModelTerms { namespace: "sales".to_owned(), ..ModelTerms::default() };
        let model = [KeyScope::Model];
        for good in [&["*"][..], &["ver@*", "ver@1", "ver@1*"], &["chat-*", "chat-small"]] {
            assert_eq!(read(&model, only(&sales, good).as_ref(), "site"), Ok(true), "{good:?}");
        }
        let kept = only(&sales, &["a*b"]).expect("terms");
        assert_eq!(Terms::of(&kept).map(|it| it.models).ok(), Some(vec!["a*b".to_owned()]));
    }

    /// Mutation: make a key for models at a hub, one without a namespace, or one with two caps for a month.
    #[test]
    fn a_key_for_models_says_for_what() {
        let sales = ModelTerms { namespace: "sales".to_owned(), ..ModelTerms::default() };
        let model = [KeyScope::Model];
        assert_eq!(read(&model, Some(&sales), "site"), Ok(true));
        assert_eq!(read(&[KeyScope::Api], None, "site"), Ok(false));
        let two = ["50EUR/month", "1EUR/month"].map(str::to_owned).to_vec();
        for (scopes, terms, kind, expected) in [
            (&model[..], Some(sales.clone()), "hub", "at a site"),
            (&model, None, "site", "namespace"),
            (&[KeyScope::Api], Some(sales.clone()), "site", "scope `model`"),
            (&model, Some(ModelTerms { budgets: two, ..sales.clone() }), "site", "each period"),
            (
                &model,
                Some(ModelTerms { budgets: vec!["50".to_owned()], ..sales.clone() }),
                "site",
                "`50EUR/month`",
            ),
            (
                &model,
                Some(ModelTerms { requests_per_minute: Some(0), ..sales.clone() }),
                "site",
                "from 1",
            ),
            (&model, only(&sales, &["a b"]), "site", "`model.models[0]`: `a b` is no name"),
            (&model, only(&sales, &["chat-*", "a*b"]), "site", "`model.models[1]`: `a*b` is no"),
            (&model, only(&sales, &[""]), "site", "model.models[0]"),
            (&model, only(&sales, &[]), "site", "name a model at least"),
        ] {
            let said = read(scopes, terms.as_ref(), kind).expect_err(expected);
            assert!(said.contains(expected), "{said}");
        }
    }
}
