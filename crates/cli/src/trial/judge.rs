//! What came of a case beside what was expected of it, and one revision beside another.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::file::{Case, Expect, ExpectCall, Which};
use super::gather::Played;
use super::stub::{Call, fits, includes};

/// Calls that a message shows.
const CALLS_SHOWN_MAX: usize = 10;

/// Events that a message shows.
const EVENTS_SHOWN_MAX: usize = 100;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// `problem`, `runs`, `state`, `output`, `error`, `order`, `never`, `calls`, `events`, `takes`.
    pub kind: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<Value>,
}

impl Finding {
    fn said(kind: &'static str, message: String) -> Self {
        Self { kind, message, expected: None, got: None }
    }

    fn differs(kind: &'static str, message: &str, expected: Value, got: Value) -> Self {
        let message = message.to_owned();
        Self { kind, message, expected: Some(expected), got: Some(got) }
    }
}

/// Everything in which a case went otherwise than expected.
#[must_use]
pub fn judge(case: &Case, played: &Played) -> Vec<Finding> {
    if let Some(problem) = &played.problem {
        return vec![Finding::said("problem", problem.clone())];
    }
    let expect = &case.expect;
    let runs = expect.runs.unwrap_or(1);
    if played.runs != runs {
        // Everything else would follow from it.
        return vec![Finding::said(
            "runs",
            format!(
                "expected the events to begin {}, and they began {}",
                counted(runs),
                counted(played.runs)
            ),
        )];
    }
    let mut found = Vec::new();
    state(expect, played, &mut found);
    if let Some(expected) = &expect.error {
        found.extend(error(expected, played));
    }
    found.extend(output(expect, played));
    if let Some(order) = &expect.order {
        let began = played.started.iter().filter(|name| order.contains(name));
        let began: Vec<&String> = began.collect();
        if began.iter().copied().ne(order) {
            let message = "the tasks began in another order";
            found.push(Finding::differs("order", message, json!(order), json!(began)));
        }
    }
    for name in expect.never.iter().filter(|name| played.started.contains(name)) {
        let message = format!("task `{name}` began, and never should");
        found.push(Finding::said("never", message));
    }
    found.extend(expect.calls.iter().filter_map(|expected| call(expected, played)));
    if let Some(expected) = &expect.events {
        found.extend(events(expected, &played.emitted));
    }
    found.extend(played.unsent.iter().map(|unsent| Finding::said("events", unsent.clone())));
    if let Some(takes) = expect.takes.filter(|takes| *takes != played.took) {
        let (expected, got) = (json!(takes.to_string()), json!(played.took.to_string()));
        found.push(Finding::differs("takes", "it took another time", expected, got));
    }
    found
}

fn counted(runs: usize) -> String {
    match runs {
        0 => "no run".to_owned(),
        1 => "one run".to_owned(),
        many => format!("{many} runs"),
    }
}

fn state(expect: &Expect, played: &Played, found: &mut Vec<Finding>) {
    if played.runs == 0 {
        return;
    }
    let usual = if expect.error.is_some() { "faulted" } else { "completed" };
    let expected = expect.state.as_deref().unwrap_or(usual);
    if played.state == expected {
        return;
    }
    let mut message = format!("expected the run to be {expected}, and it is {}", played.state);
    if let Some(fault) = &played.error {
        message.push_str(&format!(": {fault}"));
        let instance = fault.instance.as_ref();
        message.extend(instance.map(|instance| format!(", at {instance}")));
    }
    found.push(Finding::said("state", message));
}

fn error(expected: &Value, played: &Played) -> Option<Finding> {
    let got = played.error.as_ref().map(|fault| json!(fault))?;
    let (Value::Object(wanted), Value::Object(all)) = (expected, &got) else { return None };
    let is_met = wanted.iter().all(|(name, wanted)| {
        let found = all.get(name);
        match (name.as_str(), wanted.as_str(), &played.error) {
            // A standard type has several addresses.
            ("type", Some(wanted), Some(fault)) => fault.has_type(wanted),
            _ => found == Some(wanted),
        }
    });
    let asked: serde_json::Map<String, Value> =
        all.iter().filter(|(name, _)| wanted.contains_key(*name)).map(own).collect();
    let message = "the error differs";
    (!is_met).then(|| Finding::differs("error", message, expected.clone(), Value::Object(asked)))
}

fn own((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

fn output(expect: &Expect, played: &Played) -> Vec<Finding> {
    // A run without an output has been told of by its state.
    let Some(got) = &played.output else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(expected) = expect.output.as_ref().filter(|expected| !equal(expected, got)) {
        let finding =
            Finding::differs("output", "the output differs", expected.clone(), got.clone());
        found.push(finding);
    }
    if let Some(part) = expect.includes.as_ref().filter(|part| !includes(got, part)) {
        let message = "the output lacks a part";
        found.push(Finding::differs("output", message, part.clone(), in_common(part, got)));
    }
    found
}

/// As values: `1` is `1.0`, and the order of keys says nothing.
fn equal(a: &Value, b: &Value) -> bool {
    base::value::from_serde(a) == base::value::from_serde(b)
}

/// What of `got` stands where `part` has something, so that only what matters is compared.
fn in_common(part: &Value, got: &Value) -> Value {
    match (part, got) {
        (Value::Object(part), Value::Object(got)) => {
            let known = part.iter().filter_map(|(key, part)| {
                got.get(key).map(|got| (key.clone(), in_common(part, got)))
            });
            Value::Object(known.collect())
        }
        (Value::Array(part), Value::Array(got)) if part.len() == got.len() => {
            Value::Array(part.iter().zip(got).map(|(part, got)| in_common(part, got)).collect())
        }
        (_, got) => got.clone(),
    }
}

fn call(expected: &ExpectCall, played: &Played) -> Option<Finding> {
    let ExpectCall { which, times } = expected;
    let count = played.calls.iter().filter(|call| fits(which, call)).count();
    let is_met = match times {
        Some(times) => count == *times,
        None => count > 0,
    };
    if is_met {
        return None;
    }
    let often = |times: usize| match times {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{times} times"),
    };
    let wanted = times.map_or_else(|| "at least once".to_owned(), often);
    let mut message =
        format!("expected {} {wanted}, and it was made {}", named(which), often(count));
    if played.calls_omitted > 0 {
        message.push_str(" among those that were kept");
    }
    let Some(with) = &which.with else { return Some(Finding::said("calls", message)) };
    // What was asked by the same task, but with something else, says why.
    let any = Which { with: None, ..which.clone() };
    let near = played.calls.iter().filter(|call| fits(&any, call)).take(CALLS_SHOWN_MAX);
    let near: Vec<Value> = near.map(|call| in_common(with, &call.with)).collect();
    let got = match <[Value; 1]>::try_from(near) {
        Ok([one]) => one,
        Err(many) => Value::Array(many),
    };
    Some(Finding::differs("calls", &message, with.clone(), got))
}

/// Whether exactly these were emitted, in this order.
fn events(expected: &[Map<String, Value>], emitted: &[Value]) -> Option<Finding> {
    let expected: Vec<Value> = expected.iter().cloned().map(Value::Object).collect();
    let is_met = expected.len() == emitted.len()
        && emitted.iter().zip(&expected).all(|(found, wanted)| includes(found, wanted));
    if is_met {
        return None;
    }
    // Of each that came, what is asked of one of its type, or else in its place.
    let asked = |at: usize, found: &Value| {
        let of_type = expected.iter().find(|wanted| wanted.get("type") == found.get("type"));
        let in_place = expected.get(at).filter(|wanted| wanted.get("type").is_none());
        of_type.or(in_place)
    };
    let shown = emitted.iter().take(EVENTS_SHOWN_MAX).enumerate();
    let shown = shown.map(|(at, found)| match asked(at, found) {
        Some(wanted) => in_common(wanted, found),
        None => told(found),
    });
    let shown = shown.collect();
    Some(Finding::differs("events", "other events were emitted", Value::Array(expected), shown))
}

/// An event without what its sender did not say, or is not the same each time.
fn told(event: &Value) -> Value {
    const LEFT_OUT: [&str; 3] = ["specversion", "id", "time"];
    let Value::Object(fields) = event else { return event.clone() };
    Value::Object(
        fields.iter().filter(|(name, _)| !LEFT_OUT.contains(&&***name)).map(own).collect(),
    )
}

fn named(which: &Which) -> String {
    let Which { task, location, call, with } = which;
    let mut words = Vec::new();
    words.extend(task.as_ref().map(|task| format!("a call of task `{task}`")));
    words.extend(location.as_ref().map(|location| format!("at `{location}`")));
    words.extend(call.as_ref().map(|call| format!("`{call}`")));
    words.extend(with.as_ref().map(|_| "with these values".to_owned()));
    words.join(" ")
}

/// In what two revisions differ on one case. `-` is the other, `+` the one under test.
#[must_use]
pub fn compare(other: &Played, played: &Played) -> Vec<Finding> {
    let mut found = Vec::new();
    let calls = |played: &Played| -> Value {
        let one = |call: &Call| json!({"task": call.task, "call": call.call, "with": call.with});
        played.calls.iter().map(one).collect()
    };
    let emitted = |played: &Played| -> Value { played.emitted.iter().map(told).collect() };
    let views = |played: &Played| {
        [
            ("problem", "one of them could not be played", json!(played.problem)),
            ("state", "they end in different states", json!(played.state)),
            ("error", "the errors differ", json!(played.error)),
            ("output", "the outputs differ", json!(played.output)),
            ("order", "the tasks begin in another order", json!(played.started)),
            ("calls", "other calls are made", calls(played)),
            ("events", "other events are emitted", emitted(played)),
            ("runs", "they begin another number of runs", json!(played.runs)),
            ("takes", "they take different times", json!(played.took.to_string())),
        ]
    };
    for ((kind, message, before), (_, _, now)) in views(other).into_iter().zip(views(played)) {
        if !equal(&before, &now) {
            found.push(Finding::differs(kind, message, before, now));
        }
    }
    found
}
