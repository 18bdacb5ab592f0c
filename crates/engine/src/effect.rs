//! Everything that the engine does to the world.
//!
//! An effect is recorded exactly once and performed at least once; the idempotency key makes the
//! second time harmless to whoever honours it.

use std::sync::Arc;

use base::name::{FunctionRef, Namespace, WorkflowKey, WorkflowName};
use base::{Digest, Fault, RunId, Value};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use spec::tree::{HttpOutput, Language, Returns};

use crate::activation::{Activation, IdempotencyKey};
use crate::list::{List, Lists};
use crate::sealed::Sealed;
use crate::secret::SecretUse;

/// Number of an effect within its run, in the order of scheduling. The first is 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct EffectNo(pub u64);

/// One thing to do, handed to a performer after the commit that scheduled it.
#[derive(Debug, Clone)]
pub struct Perform {
    pub run: RunId,
    pub namespace: Namespace,
    pub workflow: WorkflowName,
    /// What the run may spend on models in all, by its workflow's word.
    pub budget: Option<Arc<str>>,
    pub effect: EffectNo,
    pub activation: Activation,
    pub key: IdempotencyKey,
    /// Labels of all data that the run was given or has read.
    pub labels: Arc<[String]>,
    /// Secrets that the run's workflow names.
    pub secrets: Arc<[SecretUse]>,
    /// W3C trace context of the run.
    pub traceparent: Arc<str>,
    pub action: Arc<Action>,
    /// Whose turns it takes, beside those of the site.
    pub pool: Option<Arc<str>>,
    pub witness: Witness,
    /// For results that are too large to be values.
    pub lists: Lists,
}

/// Writes down what an effect crosses the border for, before it does: what is broken off later has
/// crossed it all the same.
#[derive(Clone, Default)]
pub struct Witness(Option<Arc<Writing>>);

type Writing = dyn Fn(Crossed) -> BoxFuture<'static, bool> + Send + Sync;

impl Witness {
    pub fn new(
        write: impl Fn(Crossed) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(write)))
    }

    /// Whether it is durable. Where it is not, nothing may cross.
    pub async fn write(&self, crossed: Crossed) -> bool {
        match &self.0 {
            Some(write) => write(crossed).await,
            None => true,
        }
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Witness(…)")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Http(HttpRequest),
    Function {
        function: FunctionRef,
        input: Value,
    },
    /// With parts that only the performer may know. It becomes one of the others there.
    Sealed(Box<Sealed>),
    Process(ProcessRequest),
    /// A run of another workflow. Done by the driver itself.
    Workflow(ChildStart),
}

/// A child run with everything evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildStart {
    pub key: WorkflowKey,
    /// As the document has it: for people.
    pub version: String,
    pub revision: Digest,
    pub input: Value,
    /// Whether the effect is done when the child has ended, or already when it has begun.
    pub wait: bool,
}

/// An HTTP request with everything evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    /// Upper case.
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    pub body: Option<Value>,
    pub output: HttpOutput,
    pub redirect: bool,
}

/// A script or a shell command with everything evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessRequest {
    pub interpreter: Interpreter,
    pub code: String,
    pub stdin: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub returns: Returns,
    /// Whether the effect is done when the process has ended, or already when it has begun.
    pub wait: bool,
}

/// What a process is a program of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interpreter {
    Script(Language),
    Shell,
}

impl Interpreter {
    pub const ALL: [Self; 3] =
        [Self::Script(Language::JavaScript), Self::Script(Language::Python), Self::Shell];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script(language) => language.as_str(),
            Self::Shell => "shell",
        }
    }
}

/// For people: `script python` or `shell`.
impl std::fmt::Display for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Script(language) => write!(f, "script {}", language.as_str()),
            Self::Shell => f.write_str("shell"),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Performed {
    pub result: Result<Value, Fault>,
    pub certainty: Certainty,
    /// What the gate said before it was done; for an effect that never reached the gate, nothing.
    pub decision: Option<Decision>,
    /// Lists that the result refers to. Only these does the run believe.
    pub lists: Vec<List>,
    /// Labels of the data that was read, whatever came of it: from now on they are the run's.
    pub labels: Vec<String>,
}

/// Whether the other side is known to have answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// It answered; doing it again is a new effect with a new key.
    Definite,
    /// No answer, or one that says nothing about whether it was done (408, 409, 425, 429, 5xx):
    /// the next attempt carries the same key.
    Unknown,
}

/// The gate's word on one crossing: a record, never decided again on replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub allowed: bool,
    /// Which rule decided, in the words of the site's configuration.
    pub rule: String,
    /// Where to, without path, query or credentials.
    pub destination: String,
    /// What a process asked for at its door, in the order in which it first did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crossings: Vec<Crossed>,
}

/// What the gate said to a process, as often as it asked the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossed {
    pub allowed: bool,
    pub rule: String,
    pub destination: String,
    pub count: u64,
}

/// Whoever does what the engine decided. One implementation is in `worker`.
///
/// Dropping the future cancels the work at once.
pub trait Performer: Send + Sync + 'static {
    fn perform(&self, effect: Perform) -> BoxFuture<'static, Performed>;

    /// Whether the effect holds neither a thread nor a connection while it goes on: then it takes no turn,
    /// and whoever performs it has a limit of its own for such.
    fn only_waits(&self, _action: &Action) -> bool {
        false
    }

    /// Ends what this run has begun and does not wait for: it was cancelled.
    fn end_left(&self, _run: RunId) {}

    /// Whether it answers for child runs as well, in place of the driver: tests do.
    fn answers_children(&self) -> bool {
        false
    }
}

/// An expression to evaluate outside the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluate {
    pub text: Arc<str>,
    pub input: Value,
    /// The variables that it reads, without `$`.
    pub variables: Vec<(Arc<str>, Value)>,
}

/// Whoever evaluates expressions outside the process. One implementation is in `sandbox`.
pub trait Evaluator: Send + Sync + 'static {
    /// One value, or the reason why not: an `expression` fault without any value in its text.
    fn evaluate(&self, expression: Evaluate) -> BoxFuture<'static, Result<Value, Fault>>;

    /// The same as JSON text, for whoever does not want it as a value.
    fn evaluate_text(&self, expression: Evaluate) -> BoxFuture<'static, Result<Bytes, Fault>> {
        let value = self.evaluate(expression);
        async move { Ok(base::value::to_json(&value.await?).into()) }.boxed()
    }
}

/// The error of a value that cannot be recorded: nested too deep, or too large.
#[must_use]
pub fn too_large(value: &Value) -> Option<Fault> {
    let wrong = base::value::fits(value, base::limits::VALUE_BYTES_MAX).err()?;
    let way = "keep it in a file or a service, and pass on where it is";
    let fault = Fault::new(base::ErrorType::Runtime, format!("the value is {wrong}; {way}"));
    Some(fault.with_title("Value too large"))
}

impl Performed {
    /// With an error in place of a value that could not be read back from the journal.
    #[must_use]
    pub fn recordable(self) -> Self {
        match self.result.as_ref().ok().and_then(too_large) {
            Some(fault) => Self { result: Err(fault), ..self },
            None => self,
        }
    }

    /// With the lists that were put away for the result, where there is one.
    #[must_use]
    pub fn with_lists(self, lists: &Lists) -> Self {
        let lists = if self.result.is_ok() { lists.take() } else { Vec::new() };
        Self { lists, ..self }
    }

    #[must_use]
    pub fn fault(fault: Fault, certainty: Certainty) -> Self {
        Self {
            result: Err(fault),
            certainty,
            decision: None,
            lists: Vec::new(),
            labels: Vec::new(),
        }
    }
}
