//! A worker with its gate, and effects for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base::name::{FunctionRef, Namespace};
use base::value::{object, string};
use base::{
    Clock, ErrorType, Fault, RunId, SecretName, SecretVersion, SystemRandom, Timestamp, Value,
    WorkflowName,
};
use engine::activation::{Activation, IdempotencyKey};
use engine::effect::{
    Action, EffectNo, Evaluate, Evaluator, HttpRequest, Perform, Performed, Performer, Witness,
};
use engine::list::Lists;
use engine::sealed::{Late, Sealed, SealedCall};
use engine::secret::{SecretUse, Secrets, missing};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Desk, EgressMap, EgressRule, Gate, Limits};
use isonomy_worker::process::{Confinement, Interpreters, ProcessLimits};
use isonomy_worker::{Catalog, Config, NoLogs, Ports, Scripts, Worker};
use spec::tree::{HttpOutput, Scheme};

pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub struct Site {
    worker: Worker,
    pub clock: Arc<Dial>,
    /// Nowhere, but where a test says otherwise.
    pub lists: Lists,
    /// What the run has read, and what it may spend on models.
    pub labels: Arc<[String]>,
    pub budget: Option<Arc<str>>,
}

/// A clock that the test moves.
#[derive(Default)]
pub struct Dial(AtomicI64);

impl Dial {
    pub fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }
}

impl Clock for Dial {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + self.0.load(Ordering::Relaxed))
    }
}

/// The secrets of every site here: `key`, `login` (an object), and no others.
struct Kept;

pub const KEY: &str = "s3cret key/1";
pub const PASSWORD: &str = "pass-word&2";

impl Secrets for Kept {
    fn versions(
        &self,
        _namespace: &Namespace,
        _names: &[SecretName],
    ) -> BoxFuture<'static, Vec<(SecretName, SecretVersion)>> {
        std::future::ready(Vec::new()).boxed()
    }

    fn open(
        &self,
        namespace: &Namespace,
        (name, _): &SecretUse,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        let value = match name.as_str() {
            "key" => Ok(string(KEY)),
            "login" => Ok(object([("username", string("ada")), ("password", string(PASSWORD))])),
            _ => Err(missing(namespace, name)),
        };
        std::future::ready(value).boxed()
    }
}

/// Says what it was asked, and knows nothing.
struct Nowhere;

impl Evaluator for Nowhere {
    fn evaluate(&self, expression: Evaluate) -> BoxFuture<'static, Result<Value, Fault>> {
        let names: Vec<&str> = expression.variables.iter().map(|(name, _)| &**name).collect();
        let detail = format!("`{}` was asked with {names:?}", expression.text);
        std::future::ready(Err(Fault::new(ErrorType::Expression, detail))).boxed()
    }
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
        Self::at(gate, config, None)
    }

    /// Where models are asked at this desk.
    pub fn asking(desk: Desk) -> Self {
        Self::at(Gate::new(EgressMap::default(), Limits::default()), Config::default(), Some(desk))
    }

    fn at(gate: Gate, config: Config, models: Option<Desk>) -> Self {
        let clock = Arc::new(Dial::default());
        let ports = Ports {
            secrets: Arc::new(Kept),
            evaluator: Arc::new(Nowhere),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            logs: Arc::new(NoLogs),
            sites: None,
            models,
        };
        let labels = Arc::new([]);
        Self {
            worker: worker(gate, config, ports),
            clock,
            lists: Lists::default(),
            labels,
            budget: None,
        }
    }

    pub fn start(&self, action: Action) -> BoxFuture<'static, Performed> {
        let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
        let activation = Activation::root().task("fetch", 1);
        self.worker.perform(Perform {
            witness: Witness::default(),
            pool: None,
            lists: self.lists.clone(),
            run,
            namespace: Namespace::parse("lab").expect("a name"),
            workflow: WorkflowName::parse("flow").expect("a name"),
            budget: self.budget.clone(),
            effect: EffectNo(1),
            key: IdempotencyKey::new(run, &activation, 0),
            activation,
            labels: Arc::clone(&self.labels),
            secrets: ["key", "login", "other"]
                .map(|name| (SecretName::parse(name).expect("a name"), None))
                .into(),
            traceparent: TRACEPARENT.into(),
            action: Arc::new(action),
        })
    }

    pub fn only_waits(&self, action: &Action) -> bool {
        self.worker.only_waits(action)
    }

    /// A GET with this authentication, whose strings in `${ }` are sealed expressions.
    pub async fn authenticated(&self, uri: &str, scheme: Scheme, properties: &str) -> Performed {
        let authentication = Some((scheme, late(&json(properties))));
        let parts = late(&object([("uri", string(uri))]));
        self.start(sealed(parts, authentication)).await
    }

    pub async fn http(&self, request: HttpRequest) -> Performed {
        self.start(Action::Http(request)).await
    }

    pub async fn function(&self, function: &str, input: Value) -> Performed {
        let function = FunctionRef::parse(function).expect("a reference");
        self.start(Action::Function { function, input }).await
    }
}

pub fn sealed(parts: Late, authentication: Option<(Scheme, Late)>) -> Action {
    let output = HttpOutput::Response;
    let call = SealedCall::Http { method: "POST".into(), output, redirect: false };
    Action::Sealed(Box::new(Sealed { call, parts, authentication }))
}

/// Strings that are wholly `${ }` are sealed expressions over `null`.
pub fn late(value: &Value) -> Late {
    use base::value::{as_array, as_object, as_str};
    if let Some(text) = as_str(value).and_then(expr_text) {
        let variables = vec![("input".into(), string("in"))];
        return Late::Expr(Evaluate { text: text.into(), input: Value::Null, variables });
    }
    if let Some(items) = as_array(value) {
        return Late::Array(items.iter().map(late).collect());
    }
    let Some(map) = as_object(value) else { return Late::Value(value.clone()) };
    let field = |(key, value)| (as_str(key).expect("a name").into(), late(value));
    Late::Object(map.iter().map(field).collect())
}

fn expr_text(text: &str) -> Option<&str> {
    text.strip_prefix("${").and_then(|text| text.strip_suffix('}')).map(str::trim)
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
fn worker(gate: Gate, config: Config, ports: Ports) -> Worker {
    let scripts = Scripts::new(
        "/nowhere".into(),
        Confinement::Required,
        Interpreters::default(),
        ProcessLimits::default(),
    );
    Worker::new(Arc::new(gate), Catalog::shipped(), config, ports, scripts)
}
