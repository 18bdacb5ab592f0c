//! The typed tree of a workflow: what a document means once everything that can be known without
//! running it is known. Names are resolved, constants folded, expressions parsed.
//!
//! Reading the text is in `read`, naming it in `revision`. Tasks lie in one flat list, so that the
//! engine can name one by a number that is the same wherever the revision is loaded.

mod authentication;
mod child;
mod event;
mod extension;
mod process;
pub mod schedule;
mod service;

use std::sync::Arc;

use crate::keep::Keep;
use base::name::{FunctionRef, WorkflowKey};
use base::{Duration, SecretName, Value};
use expr::Expr;

use crate::schema::Schema;
pub use authentication::{Access, Authentication, Scheme};
pub use child::ChildRun;
pub use event::{
    Correlation, Each, Emit, Filter, LIFECYCLE, Listen, Matcher, Pattern, ReadAs, Strategy, Until,
};
pub use extension::{Extends, Extension};
pub use process::{Language, Process, Program, Returns};
pub use service::{
    CustomCall, Encoding, ListStyle, OpenApiCall, Operation, Parameter, Place, RequestBody,
};

/// The number of a task in its revision, in document order (parents before children).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskNo(pub u32);

#[derive(Debug)]
pub struct Workflow {
    pub document: Document,
    pub input: Input,
    pub output: Output,
    pub timeout: Option<DurationOf>,
    pub schedule: Option<schedule::Schedule>,
    pub body: TaskList,
    pub tasks: Vec<Task>,
    pub extensions: Vec<Extension>,
    /// What `use.secrets` names, sorted.
    pub secrets: Vec<SecretName>,
    /// The document as a value, for `$workflow.definition`.
    pub definition: Value,
}

impl Workflow {
    #[must_use]
    pub fn task(&self, no: TaskNo) -> &Task {
        &self.tasks[no.0 as usize]
    }

    /// Where in `list` the task of that name stands.
    #[must_use]
    pub fn position(&self, list: &TaskList, name: &str) -> Option<u32> {
        let at = list.0.iter().position(|no| &*self.task(*no).name == name)?;
        u32::try_from(at).ok()
    }
}

#[derive(Debug, Clone)]
pub struct Document {
    pub key: WorkflowKey,
    pub dsl: String,
    pub version: String,
    pub title: Option<String>,
    pub summary: Option<String>,
    /// An object.
    pub tags: Value,
    /// An object.
    pub metadata: Value,
    /// How long its runs are kept after their end; as the site says where it is `None`.
    pub keep: Option<Keep>,
    /// `metadata.concurrency.limit`: how many runs of the workflow there are at once.
    pub concurrency: Option<u32>,
    /// `metadata.models.budget`: what one run may spend on models, such as `0.50EUR`.
    pub budget: Option<Arc<str>>,
    /// `metadata.pool`, for all tasks that name none.
    pub pool: Option<Arc<str>>,
}

/// Tasks done one after another, or the branches of a fork.
#[derive(Debug, Clone, Default)]
pub struct TaskList(pub Vec<TaskNo>);

#[derive(Debug)]
pub struct Task {
    pub no: TaskNo,
    pub name: Arc<str>,
    /// JSON pointer in the document, such as `/do/0/tryGetPet/try/0/getPet`.
    pub location: Arc<str>,
    pub condition: Option<Expr>,
    pub input: Input,
    pub output: Output,
    pub export: Output,
    pub timeout: Option<DurationOf>,
    pub then: Flow,
    /// An object; the author's own remarks.
    pub metadata: Value,
    /// Whose turns its effects take.
    pub pool: Option<Arc<str>>,
    /// The task's definition as the document has it, for `$task.definition`.
    pub definition: Value,
    /// Whether it belongs to an extension. Such a task is not extended itself.
    pub is_extension: bool,
    pub kind: TaskKind,
}

impl Task {
    /// A task that hands on what it gets.
    pub(crate) fn nothing(no: TaskNo, name: Arc<str>) -> Self {
        let nothing = base::value::object([]);
        Self {
            no,
            location: name.clone(),
            name,
            condition: None,
            input: Input::default(),
            output: Output::default(),
            export: Output::default(),
            timeout: None,
            then: Flow::Continue,
            metadata: nothing.clone(),
            pool: None,
            definition: nothing,
            kind: TaskKind::Do(TaskList::default()),
            is_extension: false,
        }
    }
}

/// `input: {schema, from}`.
#[derive(Debug, Default)]
pub struct Input {
    pub schema: Option<Schema>,
    pub from: Option<Template>,
}

/// `output: {as, schema}`; `export` has the same form.
#[derive(Debug, Default)]
pub struct Output {
    pub shape: Option<Template>,
    pub schema: Option<Schema>,
}

/// Where the flow goes when a task has completed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Flow {
    #[default]
    Continue,
    /// Leave this list of tasks.
    Exit,
    /// Complete the run.
    End,
    /// The task at this place of the same list.
    Goto(u32),
}

#[derive(Debug)]
pub enum TaskKind {
    Do(TaskList),
    Set(Template),
    Switch(Vec<Case>),
    For(For),
    Fork(Fork),
    Try(Try),
    Raise(Raise),
    Wait(DurationOf),
    Http(HttpCall),
    Function(FunctionCall),
    OpenApi(OpenApiCall),
    Custom(CustomCall),
    Emit(Emit),
    Listen(Listen),
    Process(Process),
    Child(ChildRun),
}

impl TaskKind {
    /// Whether the task does something outside, for which it takes a turn.
    #[must_use]
    pub const fn takes_turns(&self) -> bool {
        match self {
            Self::Http(_) | Self::Function(_) | Self::OpenApi(_) | Self::Process(_) => true,
            Self::Do(_)
            | Self::Set(_)
            | Self::Switch(_)
            | Self::For(_)
            | Self::Fork(_)
            | Self::Try(_)
            | Self::Raise(_)
            | Self::Wait(_)
            | Self::Custom(_)
            | Self::Emit(_)
            | Self::Listen(_)
            | Self::Child(_) => false,
        }
    }
}

macro_rules! kinds {
    ($($variant:ident: $name:literal,)*) => {
        impl TaskKind {
            /// Every kind of task, so that a test can see whether it covers them all.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }
        }
    };
}

kinds! {
    Do: "do",
    Set: "set",
    Switch: "switch",
    For: "for",
    Fork: "fork",
    Try: "try",
    Raise: "raise",
    Wait: "wait",
    Http: "call http",
    Function: "call function",
    OpenApi: "call openapi",
    Custom: "call custom",
    Emit: "emit",
    Listen: "listen",
    Process: "run process",
    Child: "run workflow",
}

#[derive(Debug)]
pub struct Case {
    pub name: Arc<str>,
    /// `None` is the default case: it always matches.
    pub when: Option<Expr>,
    pub then: Flow,
}

#[derive(Debug)]
pub struct For {
    /// Variable name without `$`.
    pub each: Arc<str>,
    /// Variable name without `$`.
    pub at: Arc<str>,
    /// An expression, or an inline array.
    pub items: Template,
    pub condition: Option<Expr>,
    pub body: TaskList,
}

#[derive(Debug)]
pub struct Fork {
    pub branches: TaskList,
    /// The first to complete wins and the rest is cancelled.
    pub compete: bool,
    /// For each branch, which others must have completed before it begins.
    pub after: Vec<Vec<u32>>,
}

#[derive(Debug)]
pub struct Try {
    pub body: TaskList,
    pub catch: Catch,
}

#[derive(Debug)]
pub struct Catch {
    /// Properties that an error must have to be caught. Empty catches all.
    pub filter: ErrorFilter,
    /// Name of the variable with the error, without `$`; `error` by default.
    pub variable: Arc<str>,
    pub when: Option<Expr>,
    pub except_when: Option<Expr>,
    pub retry: Option<Retry>,
    pub body: Option<TaskList>,
    /// Where the flow goes after the error was caught, in place of the try task's own `then`.
    pub then: Option<Flow>,
}

#[derive(Debug, Default)]
pub struct ErrorFilter {
    pub uri: Option<String>,
    pub status: Option<u16>,
    pub title: Option<String>,
    pub detail: Option<String>,
    pub instance: Option<String>,
}

#[derive(Debug)]
pub struct Retry {
    pub when: Option<Expr>,
    pub except_when: Option<Expr>,
    pub delay: Option<DurationOf>,
    pub backoff: Backoff,
    /// `limit.attempt.count`: how often to try again after the first attempt ("retrying 5 times", as
    /// the specification's prose has it). `None` is without limit.
    pub retries_max: Option<u32>,
    /// How long one attempt may take.
    pub attempt_duration: Option<DurationOf>,
    /// How long all attempts together may take.
    pub duration: Option<DurationOf>,
    pub jitter: Option<(DurationOf, DurationOf)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    #[default]
    Constant,
    /// delay, 2 × delay, 3 × delay …
    Linear,
    /// delay, 2 × delay, 4 × delay …
    Exponential,
}

#[derive(Debug)]
pub struct Raise {
    pub uri: Text,
    pub status: u16,
    pub title: Option<Text>,
    pub detail: Option<Text>,
    pub instance: Option<Text>,
}

/// A string that an author may write as an expression.
#[derive(Debug, Clone)]
pub enum Text {
    Fixed(Arc<str>),
    Expr(Expr),
}

#[derive(Debug, Clone)]
pub enum DurationOf {
    Fixed(Duration),
    /// Evaluates to an ISO 8601 duration.
    Expr(Expr),
}

#[derive(Debug)]
pub struct HttpCall {
    /// Upper case.
    pub method: String,
    pub endpoint: Endpoint,
    pub authentication: Option<Authentication>,
    pub headers: Option<Template>,
    pub query: Option<Template>,
    pub body: Option<Template>,
    pub output: HttpOutput,
    pub redirect: bool,
}

#[derive(Debug)]
pub enum Endpoint {
    /// Literal text and `{name}` places, each filled from the task's input.
    Template(Vec<UriPart>),
    Expr(Expr),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriPart {
    Text(Arc<str>),
    Variable(Arc<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpOutput {
    Raw,
    #[default]
    Content,
    Response,
}

#[derive(Debug)]
pub struct FunctionCall {
    pub function: FunctionRef,
    /// Arguments; `None` passes an empty object.
    pub with: Option<Template>,
}

/// JSON in which any string may be an expression.
#[derive(Debug, Clone)]
pub enum Template {
    /// Without any expression inside.
    Constant(Value),
    Expr(Expr),
    Array(Vec<Template>),
    Object(Vec<(Arc<str>, Template)>),
}
