//! Whether a call that went elsewhere could have been answered by a model at the site: judged by what the call
//! has asked for, and by what the models say of themselves (ADR 31).

use std::collections::BTreeSet;

use base::Namespace;

use crate::definition::{Limits, ModelSpec, Takes};
use crate::entry::{Admitted, Settled, Used};
use crate::name::ModelName;
use crate::operation::Operation;
use crate::watch::Needs;

/// Tokens of question and answer together that a model takes whose definition does not say: what servers of
/// models begin with.
pub const CONTEXT_ASSUMED: u64 = 4_096;

/// A model at the site, as far as calls are judged by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    pub namespace: Namespace,
    pub name: ModelName,
    pub spec: ModelSpec,
}

/// What is supposed of all models at the site, beside what they say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Supposed {
    /// Tokens that each takes at least.
    pub context_tokens: Option<u64>,
    pub takes: BTreeSet<Takes>,
}

/// What a model lacks for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacks {
    /// There is no model at the site at all.
    Model,
    Operation,
    Context,
    Output,
    Tools,
    Images,
    Schema,
    /// What the call means is at the provider.
    Elsewhere,
    /// Nobody knows what the call asked for.
    Unseen,
}

impl Lacks {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "no-model",
            Self::Operation => "operation",
            Self::Context => "context",
            Self::Output => "output",
            Self::Tools => "tools",
            Self::Images => "images",
            Self::Schema => "schema",
            Self::Elsewhere => "elsewhere",
            Self::Unseen => "unseen",
        }
    }
}

/// Which model could have answered; or what the nearest one lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged<'a> {
    Local(&'a LocalModel),
    Elsewhere(BTreeSet<Lacks>),
}

/// A model as it is judged, where it computes at the site.
#[must_use]
pub fn local_model(
    namespace: &Namespace,
    name: &ModelName,
    spec: &ModelSpec,
    here: &BTreeSet<String>,
) -> Option<LocalModel> {
    let is_here = spec.is_here(here);
    let model =
        || LocalModel { namespace: namespace.clone(), name: name.clone(), spec: spec.clone() };
    is_here.then(model)
}

/// Judges a call by the models at the site that its namespace may call.
#[must_use]
pub fn local_share_of<'a>(
    models: &'a [LocalModel],
    supposed: &Supposed,
    admitted: &Admitted,
    settled: &Settled,
) -> Judged<'a> {
    let namespace = &admitted.who.namespace;
    let may_call =
        |it: &&LocalModel| it.namespace == *namespace || it.spec.is_shared_with(namespace);
    let used = used(settled);
    let mut nearest: Option<BTreeSet<Lacks>> = None;
    for model in models.iter().filter(may_call) {
        let mut lacks = lacks(&model.spec, supposed, admitted.operation, &admitted.needs, used);
        let is_unseen = admitted.watched.as_ref().is_some_and(|it| it.unseen.is_some());
        if used.is_none() && is_unseen {
            lacks.insert(Lacks::Unseen);
        }
        if lacks.is_empty() {
            return Judged::Local(model);
        }
        if nearest.as_ref().is_none_or(|before| lacks.len() < before.len()) {
            nearest = Some(lacks);
        }
    }
    Judged::Elsewhere(nearest.unwrap_or_else(|| BTreeSet::from([Lacks::Model])))
}

/// What the last model used: that is the one that has answered.
fn used(settled: &Settled) -> Option<Used> {
    settled.bills.last().and_then(|bill| bill.usage)
}

fn lacks(
    spec: &ModelSpec,
    supposed: &Supposed,
    operation: Operation,
    needs: &Needs,
    used: Option<Used>,
) -> BTreeSet<Lacks> {
    let takes = |what: Takes| spec.takes.contains(&what) || supposed.takes.contains(&what);
    let Limits { context_tokens, output_tokens, image_tokens, .. } = spec.limits;
    let context =
        context_tokens.unwrap_or(CONTEXT_ASSUMED).max(supposed.context_tokens.unwrap_or(0));
    let used = used.unwrap_or_default();
    let all = [
        (Lacks::Operation, !spec.answers(operation)),
        (Lacks::Context, used.input.saturating_add(used.output) > context),
        (Lacks::Output, output_tokens.is_some_and(|most| used.output > most)),
        (Lacks::Tools, needs.tools > 0 && !takes(Takes::Tools)),
        (Lacks::Images, needs.images > 0 && !takes(Takes::Images) && image_tokens.is_none()),
        (Lacks::Schema, needs.schema && !takes(Takes::Schema)),
        (Lacks::Elsewhere, needs.elsewhere),
    ];
    all.into_iter().filter(|(_, is_so)| *is_so).map(|(what, _)| what).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn model(name: &str, spec: &str) -> LocalModel {
        let namespace = Namespace::parse("sales").expect("a name");
        let name = ModelName::parse(name).expect("a name");
        let spec = serde_json::from_str(spec).expect(spec);
        local_model(&namespace, &name, &spec, &BTreeSet::new()).expect("it is here")
    }

    fn call(operation: &str, needs: Value, input: u64, output: u64) -> (Admitted, Settled) {
        const CALL: &str = "call_01a1fb7b-d522-7414-8c47-aa7df2bebacf";
        let admitted = json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:00.000Z", "namespace": "sales",
            "operation": operation, "asked": "m", "plan": ["m"], "streamed": false, "needs": needs,
            "watched": {"by": "w"},
        });
        let settled = json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:01.000Z", "end": "answered", "legs": [],
            "bills": [{"model": "m", "usage": {"input": input, "output": output}}],
            "micros": 1, "ownMicros": 1,
        });
        let read = "an entry";
        (
            serde_json::from_value(admitted).expect(read),
            serde_json::from_value(settled).expect(read),
        )
    }

    fn said(models: &[LocalModel], supposed: &Supposed, call: &(Admitted, Settled)) -> String {
        match local_share_of(models, supposed, &call.0, &call.1) {
            Judged::Local(model) => model.name.to_string(),
            Judged::Elsewhere(lacks) => {
                lacks.into_iter().map(Lacks::as_str).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Mutation: leave out one of the checks, take the farthest model's reasons, or call a model of another
    /// namespace.
    #[test]
    fn a_call_is_judged_by_what_models_say_of_themselves() {
        let plain = r#"{"upstream":{"url":"http://127.0.0.1:1/v1"}}"#;
        let rich = r#"{"upstream":{"url":"http://127.0.0.1:1/v1"},"operations":["chat"],
            "takes":["tools","schema"],"limits":{"contextTokens":8192,"outputTokens":50}}"#;
        let both = [model("plain", plain), model("rich", rich)];
        let none = Supposed::default();
        for (operation, needs, (input, output), wanted) in [
            ("chat", json!({}), (4_000, 96), "plain"),
            ("chat", json!({}), (4_090, 10), "rich"),
            ("chat", json!({}), (8_190, 10), "context"),
            ("chat", json!({"tools": 1}), (10, 10), "rich"),
            ("chat", json!({"tools": 1}), (10, 60), "tools"),
            ("chat", json!({"images": 1}), (10, 10), "images"),
            ("chat", json!({"tools": 1, "images": 1, "schema": true}), (10, 10), "images"),
            ("chat", json!({"elsewhere": true}), (10, 10), "elsewhere"),
            ("messages", json!({"schema": true}), (10, 10), "rich"),
            ("embeddings", json!({}), (10, 0), "plain"),
            ("embeddings", json!({}), (5_000, 0), "context"),
            ("infer", json!({}), (0, 0), "operation"),
        ] {
            let call = call(operation, needs.clone(), input, output);
            assert_eq!(said(&both, &none, &call), wanted, "{operation} {needs} {input}+{output}");
        }
        let supposed = Supposed {
            context_tokens: Some(16_000),
            takes: BTreeSet::from([Takes::Tools, Takes::Images]),
        };
        let all = call("chat", json!({"tools": 1, "images": 1}), 10_000, 10);
        assert_eq!(said(&both, &supposed, &all), "plain");
        assert_eq!(said(&[], &none, &all), "no-model");
        let lab = Namespace::parse("lab").expect("a name");
        let of_lab = LocalModel { namespace: lab, ..model("plain", plain) };
        assert_eq!(said(std::slice::from_ref(&of_lab), &none, &all), "no-model");
        let shared = r#"{"upstream":{"url":"http://127.0.0.1:1/v1"},"share":["*"]}"#;
        let of_all = LocalModel { namespace: of_lab.namespace, ..model("shared", shared) };
        assert_eq!(said(&[of_all], &supposed, &all), "shared");
    }

    /// Mutation: take a model at a provider for one at the site.
    #[test]
    fn a_model_elsewhere_is_not_judged_by() {
        let spec = serde_json::from_str(r#"{"upstream":{"url":"https://api.example.com/v1"}}"#);
        let spec: ModelSpec = spec.expect("a model");
        let lab = Namespace::parse("lab").expect("a name");
        let name = ModelName::parse("m").expect("a name");
        assert!(local_model(&lab, &name, &spec, &BTreeSet::new()).is_none());
        let here = BTreeSet::from(["https://api.example.com".to_owned()]);
        assert!(local_model(&lab, &name, &spec, &here).is_some());
    }

    /// Mutation: count what nobody has seen as if it had asked for nothing.
    #[test]
    fn what_nobody_has_seen_is_not_local() {
        let plain = model("plain", r#"{"upstream":{"url":"http://127.0.0.1:1/v1"}}"#);
        let (mut begin, mut end) = call("chat", json!({}), 1, 1);
        if let Some(watched) = &mut begin.watched {
            watched.unseen = Some(crate::Unseen::TooLarge);
        }
        end.bills.clear();
        assert_eq!(said(&[plain], &Supposed::default(), &(begin, end)), "unseen");
    }
}
