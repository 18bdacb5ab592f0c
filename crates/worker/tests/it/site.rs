//! A worker with its gate, and effects for it.

use std::sync::Arc;

use base::name::{FunctionRef, Namespace};
use base::{RunId, Value};
use engine::activation::{Activation, IdempotencyKey};
use engine::effect::{Action, EffectNo, HttpRequest, Perform, Performed, Performer};
use futures::future::BoxFuture;
use gateway::{EgressMap, EgressRule, Gate, Limits};
use isonomy_worker::process::{Confinement, Interpreters, ProcessLimits};
use isonomy_worker::{Catalog, Config, NoLogs, Scripts, Worker};
use spec::tree::HttpOutput;

pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub struct Site {
    worker: Worker,
}

impl Site {
    /// Allows everything on this machine over plain HTTP.
    pub fn new() -> Self {
        Self::with(
            vec![EgressRule {
                destination: "http://127.0.0.1:*".into(),
                allow: true,
                ..EgressRule::default()
            }],
            Config::default(),
        )
    }

    pub fn with(rules: Vec<EgressRule>, config: Config) -> Self {
        Self::limited(rules, config, Limits::default())
    }

    pub fn limited(rules: Vec<EgressRule>, config: Config, limits: Limits) -> Self {
        let gate = Gate::new(EgressMap::parse(rules).expect("good rules"), limits);
        Self { worker: worker(gate, config) }
    }

    pub fn start(&self, action: Action) -> BoxFuture<'static, Performed> {
        let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
        let activation = Activation::root().task("fetch", 1);
        self.worker.perform(Perform {
            run,
            namespace: Namespace::parse("lab").expect("a name"),
            effect: EffectNo(1),
            key: IdempotencyKey::new(run, &activation, 0),
            activation,
            labels: Arc::new([]),
            traceparent: TRACEPARENT.into(),
            action: Arc::new(action),
        })
    }

    pub async fn http(&self, request: HttpRequest) -> Performed {
        self.start(Action::Http(request)).await
    }

    pub async fn function(&self, function: &str, input: Value) -> Performed {
        let function = FunctionRef::parse(function).expect("a reference");
        self.start(Action::Function { function, input }).await
    }
}

pub fn get(uri: impl Into<String>) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        uri: uri.into(),
        headers: Vec::new(),
        query: Vec::new(),
        body: None,
        output: HttpOutput::Content,
        redirect: false,
    }
}

pub fn key() -> String {
    let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
    IdempotencyKey::new(run, &Activation::root().task("fetch", 1), 0).as_str().to_owned()
}

/// What came of an effect, in one line.
pub fn said(performed: &Performed) -> String {
    let result = match &performed.result {
        Ok(value) => base::value::to_json_string(value),
        Err(fault) => format!("{} {fault}", fault.kind().name()),
    };
    format!("{result} ({:?})", performed.certainty)
}

pub fn json(text: &str) -> Value {
    base::value::parse(text.as_bytes()).expect("json")
}

/// A worker that can start nothing, since it has no binary to start.
fn worker(gate: Gate, config: Config) -> Worker {
    let scripts = Scripts::new(
        "/nowhere".into(),
        Confinement::Required,
        Interpreters::default(),
        ProcessLimits::default(),
    );
    Worker::new(Arc::new(gate), Catalog::shipped(), config, scripts, Arc::new(NoLogs))
}
