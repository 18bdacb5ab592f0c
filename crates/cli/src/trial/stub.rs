//! Stand-ins for everything that a workflow would do to the world. What no stub answers ends the
//! case; nothing goes out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::value::from_serde;
use base::{Duration, ErrorType, Fault, Timestamp};
use engine::effect::{Action, Certainty, HttpRequest, Perform, Performed, Performer};
use engine::sealed::{Late, Sealed, SealedCall};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};
use spec::tree::Returns;
use tokio::sync::Notify;
use worker::Worker;

use super::file::{Answer, Answers, Stub, What, Which};
use super::rest::Rest;
use super::subject::Subject;
use crate::output;

/// Calls of one case that are kept for its report. More is a loop that no test looks at one by one.
const CALLS_KEPT_MAX: usize = 10_000;

/// One thing that was asked of the world.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub task: String,
    pub location: String,
    /// `POST https://example.com/orders`, or the function.
    pub call: String,
    pub with: Value,
    /// Milliseconds of skipped time since the run began.
    pub after_ms: u64,
}

/// Answers effects by the stubs of a case, and keeps what was asked.
#[derive(Clone)]
pub struct Stubs(Arc<Inner>);

struct Inner {
    subject: Arc<Subject>,
    stubs: Vec<Stub>,
    worker: Worker,
    clock: Arc<dyn base::Clock>,
    began: Timestamp,
    rest: Rest,
    kept: Mutex<Kept>,
    /// Something is wrong with the test itself.
    stopped: Notify,
}

#[derive(Default)]
struct Kept {
    calls: Vec<Call>,
    calls_total: usize,
    /// How often each stub was asked.
    asked: Vec<usize>,
    problem: Option<String>,
}

/// What came together when the case is over.
pub struct Asked {
    pub calls: Vec<Call>,
    pub calls_omitted: usize,
    /// How often each stub was asked.
    pub asked: Vec<usize>,
    pub problem: Option<String>,
}

impl Stubs {
    pub fn new(
        subject: Arc<Subject>,
        stubs: Vec<Stub>,
        worker: Worker,
        clock: Arc<dyn base::Clock>,
        rest: Rest,
    ) -> Self {
        let kept = Mutex::new(Kept { asked: vec![0; stubs.len()], ..Kept::default() });
        let (began, stopped) = (clock.now(), Notify::new());
        Self(Arc::new(Inner { subject, stubs, worker, clock, began, rest, kept, stopped }))
    }

    /// Comes when the case cannot go on.
    pub async fn stopped(&self) {
        self.0.stopped.notified().await;
    }

    #[must_use]
    pub fn asked(&self) -> Asked {
        let kept = self.kept();
        Asked {
            calls_omitted: kept.calls_total - kept.calls.len(),
            calls: kept.calls.clone(),
            asked: kept.asked.clone(),
            problem: kept.problem.clone(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, problem: String) -> BoxFuture<'static, Performed> {
        self.kept().problem.get_or_insert(problem);
        self.0.stopped.notify_one();
        std::future::pending().boxed()
    }

    /// The answer of the first stub that fits, or what is wrong.
    fn answer(&self, call: &Call) -> Option<Result<Answer, String>> {
        let mut kept = self.kept();
        kept.calls_total += 1;
        if kept.calls.len() < CALLS_KEPT_MAX {
            kept.calls.push(call.clone());
        }
        let at = self.0.stubs.iter().position(|stub| fits(&stub.which, call))?;
        let before = kept.asked[at];
        kept.asked[at] += 1;
        match &self.0.stubs[at].answers {
            Answers::Always(answer) => Some(Ok(answer.clone())),
            Answers::Each(answers) => Some(answers.get(before).cloned().ok_or_else(|| {
                let count = answers.len();
                let answers = if count == 1 { "answer" } else { "answers" };
                format!(
                    "task `{}` asks for `{}`, and its stub has given its {count} {answers}",
                    call.task, call.call
                )
            })),
        }
    }

    fn call(&self, effect: &Perform) -> Call {
        let (task, location) = self.0.subject.task(&effect.activation);
        Call {
            task,
            location,
            call: effect.action.summary(),
            with: with(&effect.action),
            after_ms: self.0.clock.now().since(self.0.began).as_millis(),
        }
    }
}

impl Performer for Stubs {
    fn perform(&self, effect: Perform) -> BoxFuture<'static, Performed> {
        let call = self.call(&effect);
        match self.answer(&call) {
            Some(Ok(answer)) => answered(answer).boxed(),
            Some(Err(problem)) => self.stop(problem),
            None => match &*effect.action {
                // Nobody has secrets here, and nothing leaves.
                Action::Http(_) | Action::Sealed(_) | Action::Process(_) | Action::Workflow(_) => {
                    self.stop(missing(&call, &effect.action))
                }
                Action::Function { .. } => self.function(effect, call),
            },
        }
    }

    fn answers_children(&self) -> bool {
        true
    }
}

impl Stubs {
    /// A function that touches nothing needs no stub: it is what it is.
    fn function(&self, effect: Perform, call: Call) -> BoxFuture<'static, Performed> {
        let action = effect.action.clone();
        let (stubs, work) = (self.clone(), self.0.worker.perform(effect));
        let busy = self.0.rest.busy();
        async move {
            let performed = work.await;
            drop(busy);
            let denied = |fault: &Fault| fault.kind() == ErrorType::Authorization;
            match &performed.result {
                Err(fault) if denied(fault) => stubs.stop(missing(&call, &action)).await,
                Ok(_) | Err(_) => performed,
            }
        }
        .boxed()
    }
}

async fn answered(answer: Answer) -> Performed {
    if answer.after > Duration::ZERO {
        tokio::time::sleep(answer.after.as_std()).await;
    }
    match answer.what {
        What::Output(output) => Performed {
            result: Ok(from_serde(&output)),
            certainty: Certainty::Definite,
            decision: None,
            lists: Vec::new(),
            labels: Vec::new(),
        },
        What::Error(fault) => {
            let certainty = certainty(fault.status);
            Performed::fault(*fault, certainty)
        }
        What::Never => std::future::pending().await,
    }
}

/// As of a service that answers with that status.
const fn certainty(status: u16) -> Certainty {
    match status {
        408 | 409 | 425 | 429 | 500.. => Certainty::Unknown,
        _ => Certainty::Definite,
    }
}

/// With the stub that would help, ready to be copied.
fn missing(call: &Call, action: &Action) -> String {
    format!(
        "task `{}` asks for `{}`, and no stub answers it; add one:\n  stubs:\n    - task: {}\n      output: {}",
        call.task,
        call.call,
        output::short(&Value::String(call.task.clone())),
        form(action)
    )
}

/// The form of an effect's output, with nothing in it.
fn form(action: &Action) -> &'static str {
    let returns = match action {
        Action::Process(request) => request.returns,
        Action::Sealed(sealed) => match sealed.call {
            SealedCall::Process { returns, .. } => returns,
            SealedCall::Http { .. } | SealedCall::Function { .. } | SealedCall::OpenApi { .. } => {
                return "{}";
            }
        },
        Action::Http(_) | Action::Function { .. } | Action::Workflow(_) => return "{}",
    };
    match returns {
        Returns::Stdout | Returns::Stderr => r#""""#,
        Returns::Code => "0",
        Returns::All => r#"{code: 0, stdout: "", stderr: ""}"#,
        Returns::None => "null",
    }
}

/// What an effect is asked with, in the words of the task's own `with`.
fn with(action: &Action) -> Value {
    match action {
        Action::Http(request) => http(request),
        Action::Function { input, .. } => base::value::to_serde(input),
        Action::Sealed(sealed) => unopened(sealed),
        Action::Workflow(child) => base::value::to_serde(&child.input),
        Action::Process(request) => json!({
            "code": request.code,
            "stdin": request.stdin,
            "arguments": request.arguments,
            "environment": object(&request.environment),
        }),
    }
}

/// A call with sealed parts: each of them stands there as the expression that it is.
fn unopened(sealed: &Sealed) -> Value {
    let mut with = late(&sealed.parts);
    let Value::Object(fields) = &mut with else { return with };
    match &sealed.call {
        SealedCall::Http { method, .. } => {
            fields.insert("method".to_owned(), Value::String(method.clone()));
            if let Some(uri) = fields.remove("uri") {
                fields.insert("endpoint".to_owned(), uri);
            }
        }
        SealedCall::OpenApi { operation, .. } => {
            fields.insert("method".to_owned(), Value::String(operation.method.clone()));
            // By their names, as the author wrote them: there is no request yet.
            if let Some(Value::Array(values)) = fields.remove("parameters") {
                let names = operation.parameters.iter().map(|it| it.name.to_string());
                fields.insert("parameters".to_owned(), names.zip(values).collect());
            }
        }
        SealedCall::Function { .. } | SealedCall::Process { .. } => {}
    }
    with
}

fn late(part: &Late) -> Value {
    match part {
        Late::Value(value) => base::value::to_serde(value),
        Late::Expr(expression) => Value::String(format!("${{ {} }}", expression.text)),
        Late::Array(items) => Value::Array(items.iter().map(late).collect()),
        Late::Object(fields) => {
            Value::Object(fields.iter().map(|(name, it)| (name.to_string(), late(it))).collect())
        }
    }
}

fn http(request: &HttpRequest) -> Value {
    let mut with = json!({"method": request.method, "endpoint": request.uri});
    for (name, pairs) in [("headers", &request.headers), ("query", &request.query)] {
        if !pairs.is_empty() {
            with[name] = object(pairs);
        }
    }
    if let Some(body) = &request.body {
        with["body"] = base::value::to_serde(body);
    }
    with
}

/// What stands several times becomes an array.
fn object(pairs: &[(String, String)]) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in pairs {
        let value = Value::String(value.clone());
        match object.get_mut(name) {
            None => {
                object.insert(name.clone(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Value::Object(object)
}

/// Whether an effect is one of those that are meant.
#[must_use]
pub fn fits(which: &Which, call: &Call) -> bool {
    let Which { task, location, call: pattern, with } = which;
    task.as_ref().is_none_or(|task| *task == call.task)
        && location.as_ref().is_none_or(|location| *location == call.location)
        && pattern.as_ref().is_none_or(|pattern| matches(pattern, &call.call))
        && with.as_ref().is_none_or(|with| includes(&call.with, with))
}

/// `*` stands for any text. A method is known in any case.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = match pattern.split_once(' ') {
        Some((method, rest)) => format!("{} {rest}", method.to_uppercase()),
        None => pattern.to_owned(),
    };
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether everything in `wanted` is in `found`: an object may have more, an array may not.
#[must_use]
pub fn includes(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| found.get(key).is_some_and(|found| includes(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| includes(found, wanted))
        }
        (found, wanted) => from_serde(found) == from_serde(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: let `*` stand for one character, or forget what is behind the last one.
    #[test]
    fn a_star_stands_for_any_text() {
        let call = "POST https://a.example/orders/7/lines";
        for (pattern, fits) in [
            ("POST https://a.example/orders/7/lines", true),
            ("post https://a.example/orders/*", true),
            ("* https://a.example/*/lines", true),
            ("*", true),
            ("POST https://a.example/orders/7", false),
            ("POST https://a.example/*/7", false),
            ("GET https://a.example/*", false),
        ] {
            assert_eq!(matches(pattern, call), fits, "{pattern}");
        }
    }

    /// Mutation: compare numbers as text, or let a longer array pass.
    #[test]
    fn a_part_is_found_in_the_whole() {
        let found = json!({"a": 1, "b": [{"c": 1, "d": 2}], "e": null});
        for (wanted, is_in) in [
            (json!({}), true),
            (json!({"a": 1.0, "b": [{"d": 2}]}), true),
            (json!({"e": null}), true),
            (json!({"f": null}), false),
            (json!({"b": []}), false),
            (json!({"a": "1"}), false),
        ] {
            assert_eq!(includes(&found, &wanted), is_in, "{wanted}");
        }
    }
}
