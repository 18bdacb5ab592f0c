//! `infer`: asks a model.
//!
//! Here the request is made and the answer read. What may be asked, what it may cost, where it goes and what is
//! written down of it is the desk's business, as of every other call (ADR 18).

use std::sync::Arc;

use base::value::{as_object, as_str, get, int, object, string};
use base::{ErrorType, Fault, Value, WorkflowKey};
use engine::effect::{Certainty, Perform};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::desk::{Fresh, OfRun, Paid, Question, REQUEST_BYTES_MAX, Reply, Who};
use gateway::{Desk, Permit, Ruling};
use http::{HeaderMap, StatusCode};
use models::{By, CallRefusal, ModelName, Operation};
use pricing::{Budget, Period};

use super::{Done, Function, Reach};
use crate::http::certainty_of;

mod answer;
mod tensors;

pub const MANIFEST: &str = include_str!("infer.json");

/// Arguments, and what they are called in a request.
const NAMES: [(&str, &str); 7] = [
    ("messages", "messages"),
    ("input", "input"),
    ("maxTokens", "max_tokens"),
    ("temperature", "temperature"),
    ("tools", "tools"),
    ("toolChoice", "tool_choice"),
    ("responseFormat", "response_format"),
];

pub(crate) struct Infer;

impl Function for Infer {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done> {
        let Some(desk) = reach.models() else {
            let detail = "no models are asked here: stub the call in a test of the workflow";
            return ready(Done::ended(Err(Fault::new(ErrorType::Configuration, detail)))).boxed();
        };
        let asked = get(input, "model").and_then(as_str).unwrap_or_default().to_owned();
        match question(input, reach.effect()) {
            Ok(question) => asked_of(desk, question, asked).boxed(),
            Err(fault) => ready(Done::ended(Err(fault))).boxed(),
        }
    }
}

/// The arguments, which fit the schema, as a request.
fn question(input: &Value, effect: &Perform) -> Result<Question, Fault> {
    let operation = operation(input);
    let model = get(input, "model").cloned().unwrap_or(Value::Null);
    let named =
        NAMES.iter().filter_map(|(ours, theirs)| Some((*theirs, get(input, ours)?.clone())));
    let options = get(input, "options").and_then(as_object);
    let options = options.into_iter().flat_map(|options| options.iter());
    let options = options.map(|(name, value)| (as_str(name).unwrap_or_default(), value.clone()));
    let body = match get(input, "input").filter(|_| operation == Operation::Infer) {
        Some(columns) => tensors::request(columns).map_err(|why| tensors::wrong(&why))?,
        None => object([("model", model.clone())].into_iter().chain(named).chain(options)),
    };
    let model = ModelName::parse(as_str(&model).unwrap_or_default());
    let model = model.map_err(|why| tensors::wrong(&why.to_string()))?;
    let body = base::value::to_json(&body);
    if body.len() > REQUEST_BYTES_MAX {
        let detail = format!("a request to a model has at most {REQUEST_BYTES_MAX} bytes");
        let fault = Fault::new(ErrorType::Runtime, detail).with_status(413);
        return Err(fault.with_title("Request too large"));
    }
    let cap = cap(effect.budget.as_deref())?;
    let key = WorkflowKey { namespace: effect.namespace.clone(), name: effect.workflow.clone() };
    Ok(Question {
        who: Who { by: By::run(&key, effect.run), terms: Arc::default() },
        operation,
        model: Some(model),
        body: body.into(),
        headers: HeaderMap::new(),
        of_run: Some(OfRun {
            key: effect.key.as_str().into(),
            labels: Arc::clone(&effect.labels),
            cap,
        }),
        trace: effect.traceparent.parse().ok(),
        fresh: Fresh::default(),
    })
}

/// What is asked for: columns are a model of tensors', texts become vectors.
fn operation(input: &Value) -> Operation {
    match get(input, "input") {
        None => Operation::Chat,
        Some(columns) if as_object(columns).is_some() => Operation::Infer,
        Some(_) => Operation::Embeddings,
    }
}

/// What the run may spend in all. Whoever reads documents has seen that it is an amount.
fn cap(said: Option<&str>) -> Result<Option<Budget>, Fault> {
    let budget = said.map(|text| format!("{text}/{}", Period::Total.name()).parse()).transpose();
    budget.map_err(|wrong: pricing::BudgetError| {
        let detail = format!("`document.metadata.models.budget`: {wrong}");
        Fault::new(ErrorType::Configuration, detail)
    })
}

async fn asked_of(desk: Desk, question: Question, asked: String) -> Done {
    let operation = question.operation;
    let reply = answer(&desk, question).await;
    let header = |name| reply.headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let (call, by) = (header("x-isonomy-call"), header("x-isonomy-model"));
    let is_degraded = header("x-isonomy-degraded").is_some();
    if let Some(refusal) = &reply.refusal {
        return refused(refusal, &asked, call);
    }
    let ruling = ruling(&asked, by.as_deref(), call.as_deref());
    let model = by.unwrap_or(asked);
    let (status, paid) = (reply.status, reply.paid);
    if !status.is_success() {
        return Done::Sent {
            result: Err(refused_by(status, &model, reply).await),
            certainty: certainty_of(status),
            ruling: Some(ruling),
        };
    }
    let body = reply.bytes().await.unwrap_or_default();
    let said = match operation {
        Operation::Embeddings => answer::embeddings(&body),
        Operation::Infer => tensors::outputs(&body),
        _ => answer::chat(&body),
    };
    let result = said.map_err(|wrong| answer::invalid(&model, wrong)).map(|mut fields| {
        fields.extend([
            ("model", string(&model)),
            ("degraded", Value::Bool(is_degraded)),
            ("call", string(call.as_deref().unwrap_or_default())),
        ]);
        fields.extend(paid.iter().flat_map(told));
        object(fields)
    });
    Done::Sent { result, certainty: Certainty::Definite, ruling: Some(ruling) }
}

/// Where a person is asked, the run waits: the question is kept, and a run that was killed meanwhile asks the same
/// again and waits on. Nothing is held for it, and the answer is a call of its own.
async fn answer(desk: &Desk, question: Question) -> Reply {
    loop {
        let reply = desk.call(question.clone()).await;
        match &reply.refusal {
            Some(CallRefusal::Asked { question: asked, .. })
                if desk.heard(&question.who.by.namespace, *asked).await => {}
            _ => return reply,
        }
    }
}

/// What it has used and cost.
fn told(paid: &Paid) -> Vec<(&'static str, Value)> {
    let number = |count: u64| int(i64::try_from(count).unwrap_or(i64::MAX));
    let usage = paid.used.map(|used| {
        let counted = [
            ("cachedTokens", used.cached),
            ("reasoningTokens", used.reasoning),
            ("images", used.images),
            ("milliseconds", used.millis),
        ];
        let counted = counted.into_iter().filter(|(_, count)| *count > 0);
        let tokens = [("inputTokens", used.input), ("outputTokens", used.output)];
        // Tensors have none.
        let is_timed = used.millis > 0 && used.input + used.output == 0;
        let tokens = tokens.into_iter().filter(|_| !is_timed);
        let all = tokens.chain(counted);
        ("usage", object(all.map(|(name, count)| (name, number(count)))))
    });
    let at_bound = ("atBound", Value::Bool(paid.is_bound));
    let cost = match paid.cost {
        Some(cost) => Some(object([
            ("amount", string(&cost.amount.exact())),
            ("currency", string(cost.currency.as_str())),
            at_bound,
        ])),
        None => paid.is_free.then(|| object([("amount", string("0")), at_bound])),
    };
    usage.into_iter().chain(cost.map(|cost| ("cost", cost))).collect()
}

/// As the attempt shows it: which call, and which model.
fn ruling(asked: &str, by: Option<&str>, call: Option<&str>) -> Ruling {
    let rule = call.map_or_else(|| "models".to_owned(), |call| format!("models: {call}"));
    Ruling { allowed: true, rule, destination: format!("model {}", by.unwrap_or(asked)) }
}

/// Our own word. Whatever has left may have been done, so that the next attempt is the same effect.
fn refused(refusal: &CallRefusal, asked: &str, call: Option<String>) -> Done {
    let ruling = ruling(asked, None, call.as_deref());
    let (kind, title) = kind(refusal);
    let detail = match call {
        Some(call) => format!("{refusal} ({call})"),
        None => refusal.to_string(),
    };
    let fault = Fault::new(kind, detail).with_status(refusal.status()).with_title(title);
    if matches!(refusal, CallRefusal::Labelled(_)) {
        return Done::Denied { fault, rule: "labels".to_owned() };
    }
    Done::Sent { result: Err(fault), certainty: Certainty::Unknown, ruling: Some(ruling) }
}

const fn kind(refusal: &CallRefusal) -> (ErrorType, &'static str) {
    match refusal {
        CallRefusal::NoModel(_) | CallRefusal::NoOperation => {
            (ErrorType::Configuration, "No such model")
        }
        CallRefusal::Regions { .. } => (ErrorType::Configuration, "No model in these regions"),
        CallRefusal::NotAnswered { .. } => (ErrorType::Configuration, "Not answered by this model"),
        CallRefusal::Request(_)
        | CallRefusal::Inputs(_)
        | CallRefusal::Untranslated { .. }
        | CallRefusal::Packed
        | CallRefusal::NotWhole => (ErrorType::Validation, "Invalid request"),
        CallRefusal::TooLarge(_) => (ErrorType::Runtime, "Request too large"),
        CallRefusal::Key(_) | CallRefusal::Labelled(_) => {
            (ErrorType::Authorization, gateway::decide::DENIED)
        }
        CallRefusal::Budget(_) => (ErrorType::Authorization, "Budget"),
        CallRefusal::Rate { .. }
        | CallRefusal::RouteRate { .. }
        | CallRefusal::RouteBusy { .. } => (ErrorType::Communication, "Too many requests"),
        CallRefusal::NoAnswer { .. } => (ErrorType::Communication, "No model answers"),
        CallRefusal::Silent { .. } => (ErrorType::Communication, "No answer in time"),
        CallRefusal::Asked { .. } => (ErrorType::Communication, "Nobody has answered yet"),
        CallRefusal::Declined { .. } => (ErrorType::Communication, "Declined"),
        CallRefusal::Protected { .. } => (ErrorType::Authorization, "Protected"),
        CallRefusal::Withheld { .. } => (ErrorType::Communication, "Answer withheld"),
        CallRefusal::Unwritten => (ErrorType::Runtime, "Not written down"),
    }
}

/// The upstream says that the request is wrong. Its text may repeat what was asked, so that only its code is told;
/// a process of this site names what does not fit, and no values.
async fn refused_by(status: StatusCode, model: &str, reply: Reply) -> Fault {
    let reason = status.canonical_reason().unwrap_or("Unknown status");
    let is_of_the_site = reply.is_of_the_site;
    let body = reply.bytes().await.unwrap_or_default();
    if let Some(why) = answer::reason(&body).filter(|_| is_of_the_site) {
        let detail = format!("the model `{model}` does not take this: {why}");
        let fault = Fault::new(ErrorType::Validation, detail).with_status(status.as_u16());
        return fault.with_title("Not what the model takes");
    }
    let code = answer::code(&body).map(|code| format!(": `{code}`")).unwrap_or_default();
    let detail = format!("the model `{model}` answered {} {reason}{code}", status.as_u16());
    Fault::new(ErrorType::Communication, detail).with_status(status.as_u16()).with_title(reason)
}
