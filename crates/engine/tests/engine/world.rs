//! The outside: services that answer by script, and count what was really done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base::name::{FunctionRef, WorkflowKey};
use base::value::{array, get, int, object, string};
use base::{Digest, ErrorType, Fault, Value};
use engine::effect::{Action, Certainty, Evaluate, Evaluator, Perform, Performed, Performer};
use engine::sealed::{Keys, Sealed};
use futures::FutureExt;
use futures::future::BoxFuture;
use spec::{Catalog, Lookup, Manifest};

/// What happened out there, by idempotency key. Survives every crash of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    pub requests: BTreeMap<String, u32>,
    pub effects: BTreeMap<String, u32>,
    /// Keys by activation, each time that one was asked for.
    pub keys: Vec<(String, String)>,
}

/// Answers by the path of the request:
///
/// | path | answer |
/// |---|---|
/// | `/ok/…` | done, with the path's last part |
/// | `/flaky/n` | 503 for the first n requests of a key, then done |
/// | `/attempt/n` | 503 in the first n attempts of the guard around it, however often asked |
/// | `/bad` | 400, definite |
/// | `/bad-then-ok` | 400 for the first key, done for a later one |
/// | `/hang` | never |
#[derive(Debug, Clone, Default)]
pub struct World(Arc<Mutex<Books>>);

impl World {
    pub fn books(&self) -> Books {
        self.0.lock().expect("no test panics while it counts").clone()
    }

    pub fn act(&self, perform: &Perform) -> Option<Performed> {
        let key = perform.key.as_str().to_owned();
        let mut books = self.0.lock().expect("no test panics while it counts");
        books.keys.push((perform.activation.to_string(), key.clone()));
        let request = {
            let count = books.requests.entry(key.clone()).or_insert(0);
            *count += 1;
            *count
        };
        let action = match &*perform.action {
            Action::Sealed(sealed) => opened(sealed),
            open => open.clone(),
        };
        let path = match &action {
            Action::Function { input, .. } => {
                books.effects.insert(key, 1);
                return Some(match get(input, "held") {
                    Some(_) => listed(perform),
                    None => done(input.clone()),
                });
            }
            // What a process writes follows from what it was given.
            Action::Process(request) => {
                let wrote = format!("{request:?}").replace(SECRET, "a secret");
                books.effects.insert(key, 1);
                return Some(done(string(&wrote)));
            }
            Action::Workflow(_) => unreachable!("the driver runs children itself"),
            Action::Http(request) => {
                request.uri.strip_prefix("http://world").expect("our world").to_owned()
            }
            Action::Sealed(_) => unreachable!("what is opened is not sealed"),
        };
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["ok", what] => {
                // Whoever honours the key does the thing once.
                books.effects.insert(key, 1);
                Some(done(object([("did", string(what))])))
            }
            ["flaky", times] if request <= times.parse::<u32>().expect("a number") => {
                Some(fault(503, Certainty::Unknown))
            }
            ["flaky", _] => {
                books.effects.insert(key, 1);
                Some(done(object([("after", int(i64::from(request)))])))
            }
            ["attempt", times] if attempt(perform) <= times.parse::<u32>().expect("a number") => {
                Some(fault(503, Certainty::Unknown))
            }
            ["attempt", _] => {
                books.effects.insert(key, 1);
                Some(done(object([("after", int(i64::from(attempt(perform))))])))
            }
            ["bad"] => Some(fault(400, Certainty::Definite)),
            ["bad-then-ok"] if key.ends_with("-0") => Some(fault(400, Certainty::Definite)),
            ["bad-then-ok"] => {
                books.effects.insert(key, 1);
                Some(done(object([("did", string("later"))])))
            }
            ["hang"] => None,
            other => panic!("the world has no {other:?}"),
        }
    }
}

/// The value of every secret here.
pub const SECRET: &str = "sealed-value";

/// As a performer opens it, with one value for all secrets.
fn opened(sealed: &Sealed) -> Action {
    let secrets = ["key", "login"].map(|name| (name, string(SECRET)));
    let keys = Keys { secrets: object(secrets), authorization: Value::Null };
    let opened = sealed.open(&keys, &Outside).now_or_never();
    opened.expect("nothing here waits").expect("the cases are right")
}

/// The attempt of the innermost guard that has one.
fn attempt(perform: &Perform) -> u32 {
    let text = perform.activation.as_str();
    let mark = text.rsplit_once('!').map_or("1", |(_, rest)| rest);
    mark.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// A text that is too large to stand in a record.
fn text() -> Value {
    string(&"x".repeat(20_000))
}

/// A list in a blob, of a few pieces.
fn listed(perform: &Perform) -> Performed {
    // A world that only counts has no place for it.
    let Ok(mut writer) = perform.lists.begin() else { return done(object([])) };
    (0..40).for_each(|_| writer.push(&text()).expect("it is written"));
    let rows = writer.finish().expect("it is written");
    done(object([("rows", rows), ("text", text()), ("sum", int(0))]))
}

fn done(value: Value) -> Performed {
    Performed {
        result: Ok(value),
        certainty: Certainty::Definite,
        decision: None,
        lists: Vec::new(),
        labels: Vec::new(),
    }
}

fn fault(status: u16, certainty: Certainty) -> Performed {
    let fault = Fault::new(ErrorType::Communication, "the world said no").with_status(status);
    Performed {
        result: Err(fault),
        certainty,
        decision: None,
        lists: Vec::new(),
        labels: Vec::new(),
    }
}

impl Performer for World {
    fn perform(&self, effect: Perform) -> BoxFuture<'static, Performed> {
        match self.act(&effect) {
            Some(performed) => std::future::ready(performed).boxed(),
            None => std::future::pending().boxed(),
        }
    }
}

/// Evaluates what is off the closed list by saying so: enough for cases that only ask how the
/// engine handles it. Expressions that say `limit(1;…)` give `"outside"`, `repeat(40)` a large list,
/// `error` fails.
#[derive(Debug, Clone, Default)]
pub struct Outside;

impl Outside {
    pub fn answer(evaluate: &Evaluate) -> Result<Value, Fault> {
        if evaluate.text.contains("error") {
            return Err(Fault::new(ErrorType::Expression, "the expression called `error`"));
        }
        // `repeat(N)` with a larger N gives N, so that one result can be told from another.
        let number = evaluate.text.rsplit("repeat(").next().and_then(|rest| rest.split(')').next());
        match number.and_then(|number| number.parse::<i64>().ok()) {
            Some(40) => Ok(array((0..40).map(|_| text()).collect())),
            Some(number) if number >= 10 => Ok(int(number)),
            _ => Ok(string("outside")),
        }
    }
}

impl Evaluator for Outside {
    fn evaluate(&self, expression: Evaluate) -> BoxFuture<'static, Result<Value, Fault>> {
        std::future::ready(Self::answer(&expression)).boxed()
    }
}

/// A catalog with `echo`, where every workflow is found under a digest of its name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Echo;

impl Catalog for Echo {
    fn function(&self, function: &FunctionRef) -> Option<Manifest> {
        (&*function.name == "echo").then(|| Manifest {
            name: function.name.clone(),
            version: function.version.clone(),
            digest: Digest::of(b"echo"),
            input: None,
            output: None,
            fixed: [].into(),
            summary: String::new(),
        })
    }

    fn workflow(&self, key: &WorkflowKey, _version: &str) -> Lookup<Digest> {
        Lookup::Found(crate::walk::revision_of(key))
    }

    fn names(&self) -> Vec<FunctionRef> {
        FunctionRef::parse("echo:1.0.0@default").into_iter().collect()
    }

    fn resource(&self, uri: &str) -> Lookup<Arc<str>> {
        match RESOURCES.iter().find(|(found, _)| *found == uri) {
            Some((_, text)) => Lookup::Found((*text).into()),
            None => Lookup::Missing("nothing is there".to_owned()),
        }
    }
}

/// What lies behind the addresses of this world.
pub const RESOURCES: [(&str, &str); 2] = [
    (
        "http://docs/openapi.yaml",
        "openapi: 3.0.3
servers: [{url: 'http://world'}]
paths:
  /ok/{item}:
    parameters: [{name: item, in: path, required: true}]
    post:
      operationId: order
      parameters:
        - {name: tag, in: query}
        - {name: ids, in: query, explode: false}
        - {name: x-team, in: header}
        - {name: session, in: cookie}
      requestBody: {content: {application/json: {}}}
  /ok/form:
    post: {operationId: form, requestBody: {content: {application/x-www-form-urlencoded: {}}}}
  /ok/text:
    post: {operationId: text, requestBody: {content: {text/plain: {}}}}
",
    ),
    (
        "http://docs/function.yaml",
        "input: {schema: {document: {type: object, required: [n]}}}
do:
  - ask: {call: http, with: {method: post, endpoint: 'http://world/ok/f', body: {n: '${ .n }'}}}
  - add: {set: {n: '${ $task.name }'}}
",
    ),
];
