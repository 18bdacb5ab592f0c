//! What it takes to start a run, checked once at the edge.

use base::name::{Namespace, WorkflowKey, WorkflowName};
use base::value::Json;
use base::{Digest, Random, RunId, TraceParent, Value};
use server::reason_of;
use store::Op;
use wire::{ProblemCode, RunStart};

use crate::refusal::Refusal;

/// Tags of a run. They are shown in lists, so a handful is useful.
const TAGS_MAX: usize = 64;
/// Characters of a tag's key, which is a column of a list.
const TAG_KEY_CHARS_MAX: usize = 128;
/// Characters of a tag's value: a name or an address, not a document.
const TAG_VALUE_CHARS_MAX: usize = 1_024;

/// Labels of a run. The largest known catalogue of data classes has fewer.
const LABELS_MAX: usize = 64;
/// Characters of a label, which is the name of a class of data.
const LABEL_CHARS_MAX: usize = 128;

/// A run that somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct RunOrder {
    pub run: Option<RunId>,
    pub key: WorkflowKey,
    pub revision: Option<Digest>,
    pub input: Value,
    pub labels: Vec<String>,
    pub tags: Vec<(String, String)>,
    pub priority: i32,
    pub reason: Option<String>,
    /// W3C trace context of whoever asks.
    pub traceparent: Option<String>,
    pub beside: Beside,
}

/// What is wanted with a run's start.
#[derive(Debug, Clone)]
pub(crate) enum Beside {
    Nothing,
    /// Somebody waits for the run's end.
    End,
    /// These are to be durable with the start, or not at all.
    Ops(Vec<Op>),
}

impl RunOrder {
    pub(crate) fn parse(
        namespace: Namespace,
        body: RunStart<Json>,
        traceparent: Option<&str>,
    ) -> Result<Self, Refusal> {
        let name = WorkflowName::parse(&body.workflow)
            .map_err(|wrong| Refusal::parameter("workflow", wrong))?;
        let run = body.run.map(|text| text.parse()).transpose();
        let revision = body.revision.map(|text| text.parse()).transpose();
        let input = base::value::normal(body.input.0);
        Ok(Self {
            run: run.map_err(|wrong: base::id::IdError| Refusal::parameter("run", wrong))?,
            key: WorkflowKey { namespace, name },
            revision: revision.map_err(|wrong: base::digest::DigestError| {
                Refusal::parameter("revision", wrong)
            })?,
            input: input.map_err(|wrong| {
                Refusal::new(ProblemCode::BodyInvalid, format!("`input`: {wrong}"))
            })?,
            labels: labels(body.labels)?,
            tags: tags(body.tags)?,
            priority: body.priority,
            reason: reason_of(body.reason)?,
            // What is none is dropped, as the standard has it.
            traceparent: traceparent
                .filter(|text| text.parse::<TraceParent>().is_ok())
                .map(str::to_owned),
            beside: Beside::Nothing,
        })
    }
}

fn tags(tags: Vec<(String, String)>) -> Result<Vec<(String, String)>, Refusal> {
    let wrong = |what: String| Err(Refusal::parameter("tags", what));
    if tags.len() > TAGS_MAX {
        return wrong(format!("at most {TAGS_MAX}"));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        if !is_text(key, TAG_KEY_CHARS_MAX) || key.is_empty() {
            return wrong(format!("a key is 1 to {TAG_KEY_CHARS_MAX} printable characters"));
        }
        if !is_text(value, TAG_VALUE_CHARS_MAX) {
            return wrong(format!("a value is at most {TAG_VALUE_CHARS_MAX} printable characters"));
        }
        if tags[..at].iter().any(|(earlier, _)| earlier == key) {
            return wrong("a key stands twice".to_owned());
        }
    }
    Ok(tags)
}

fn labels(labels: Vec<String>) -> Result<Vec<String>, Refusal> {
    let plain = |label: &String| !label.is_empty() && is_text(label, LABEL_CHARS_MAX);
    if labels.len() > LABELS_MAX || !labels.iter().all(plain) {
        let what =
            format!("at most {LABELS_MAX}, each of 1 to {LABEL_CHARS_MAX} printable characters");
        return Err(Refusal::parameter("labels", what));
    }
    let mut labels = labels;
    labels.sort();
    labels.dedup();
    Ok(labels)
}

fn is_text(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}

/// A new trace, for a run that nobody traces yet.
pub(crate) fn traceparent(random: &dyn Random) -> String {
    let (high, low) = (u128::from(random.u64()), u128::from(random.u64()));
    TraceParent::new(high << 64 | low, random.u64()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: serde_json::Value) -> Result<RunOrder, Refusal> {
        let body = serde_json::from_value(body).expect("a body");
        RunOrder::parse(Namespace::parse("default").expect("a name"), body, None)
    }

    /// Mutation: skip any check of `RunOrder::parse`.
    #[test]
    fn an_order_is_checked_before_anything_happens() {
        let deep = (0..120).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
        let many: Vec<_> = (0..65).map(|n| (format!("k{n}"), "v")).collect();
        for (body, part) in [
            (serde_json::json!({"workflow": "a/b"}), "workflow name"),
            (serde_json::json!({"workflow": "a", "run": "run_1"}), "`run`: "),
            (serde_json::json!({"workflow": "a", "revision": "b3:1"}), "`revision`: "),
            (serde_json::json!({"workflow": "a", "input": deep}), "nested deeper"),
            (serde_json::json!({"workflow": "a", "tags": [["", "v"]]}), "`tags`: a key"),
            (serde_json::json!({"workflow": "a", "tags": [["k", "\u{7}"]]}), "`tags`: a value"),
            (serde_json::json!({"workflow": "a", "tags": [["k", "1"], ["k", "2"]]}), "twice"),
            (serde_json::json!({"workflow": "a", "tags": many}), "`tags`: at most"),
            (serde_json::json!({"workflow": "a", "labels": [""]}), "`labels`"),
            (serde_json::json!({"workflow": "a", "reason": "\u{1b}"}), "`reason`"),
        ] {
            let refusal = parse(body.clone()).expect_err("wrong");
            assert!(format!("{refusal:?}").contains(part), "{body}: {refusal:?}");
        }
        let order = parse(serde_json::json!({"workflow": "a", "labels": ["b", "a", "b"]}))
            .expect("an order");
        assert_eq!(order.labels, ["a", "b"]);
    }
}
