//! The stable codes of everything that the reader has to say. Cause and way out of each are in
//! `docs/reference/problems-workflow.md`, and a test holds the two together.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

macro_rules! codes {
    ($($name:ident = $text:literal: $meaning:literal,)*) => {
        /// What kind of thing is wrong. A code never changes its meaning and is never used again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// In one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

codes! {
    // 001 to 009: the text is not a document.
    Size = "WF-001": "the document is too large",
    Syntax = "WF-002": "the document is not valid YAML",
    Limit = "WF-003": "the document is nested too deeply or has too many values",
    DuplicateKey = "WF-004": "a key stands twice in one object",
    NotJson = "WF-005": "YAML that JSON cannot say",
    NotOneDocument = "WF-006": "a file holds exactly one document",
    TooMany = "WF-009": "more is wrong than is shown",
    // 010 to 099: the document is not a workflow.
    MissingProperty = "WF-010": "a required property is missing",
    UnknownProperty = "WF-011": "a property that the language does not have",
    UnknownTask = "WF-012": "the flow goes to a task that is not there",
    WrongType = "WF-013": "a value of the wrong type",
    WrongValue = "WF-014": "a value that is not allowed here",
    DuplicateTask = "WF-015": "two tasks of one list have the same name",
    TaskName = "WF-016": "a name that a task cannot have",
    TaskKind = "WF-017": "a task must do exactly one thing",
    DslVersion = "WF-018": "a version of the language that is not supported",
    Name = "WF-019": "a namespace or name that is not valid",
    Version = "WF-020": "a version that is not a semantic version",
    Duration = "WF-021": "a duration that is not valid",
    UnknownReusable = "WF-022": "a reference into `use` that leads nowhere",
    ExpressionSyntax = "WF-023": "an expression that cannot be parsed",
    UnknownVariable = "WF-024": "an expression reads a variable that does not exist",
    VariableNotHere = "WF-025": "an expression reads a variable that does not exist at this place",
    VariableName = "WF-026": "a name that a variable cannot have",
    Schema = "WF-027": "a JSON Schema that is not valid",
    Endpoint = "WF-028": "an address that is not valid",
    SeveralDefaults = "WF-030": "a switch has more than one default case",
    UnknownFunction = "WF-031": "a call of a function that does not exist",
    FunctionInput = "WF-032": "arguments that the function does not accept",
    ComputedReference = "WF-033": "a reference that contains an expression",
    EventAttribute = "WF-034": "a name that an event's attribute cannot have",
    EventValue = "WF-035": "a value that an event's attribute cannot have",
    EventFilter = "WF-036": "an event filter that cannot match as it is written",
    EventPattern = "WF-037": "a regular expression that is not valid",
    EventStrategy = "WF-038": "a `listen` that does not say in exactly one way which events it takes",
    UnknownWorkflow = "WF-040": "a workflow to run that is not there",
    ResourceMissing = "WF-045": "something behind an address that cannot be had",
    ResourceInvalid = "WF-046": "something behind an address that is not what it should be",
    FunctionCycle = "WF-047": "a function that calls itself",
    UnknownOperation = "WF-048": "an operation that the OpenAPI document does not have",
    OperationParameter = "WF-049": "parameters that do not fit the operation",
    SecretNotHere = "WF-055": "`$secrets` at a place where there are none",
    AuthorizationNotHere = "WF-056": "`$authorization` at a place where there is none",
    UnknownSecret = "WF-057": "a secret that `use.secrets` does not name",
    SecretName = "WF-058": "a name that a secret cannot have",
    AuthenticationScheme = "WF-059": "an authentication must have exactly one scheme",
    Grant = "WF-060": "a grant that a workflow cannot use",
    ClientAuthentication = "WF-061": "a client that cannot authenticate itself",
    RunKind = "WF-065": "`run` must run exactly one thing",
    ScriptLanguage = "WF-066": "a script in a language that is not run",
    ArgumentsByName = "WF-067": "arguments with names",
    EnvironmentName = "WF-068": "a name that an environment variable cannot have",
    // 069 was a process that nobody awaits, which is allowed now.
    NotText = "WF-070": "the text is not UTF-8",
    DuplicateWorkflow = "WF-071": "two documents are the same workflow",
    Layout = "WF-072": "the layout cannot be changed without risk",
    UnknownBranch = "WF-080": "a branch waits for one that is not there",
    BranchCycle = "WF-081": "branches that wait for each other",
    CompetingGraph = "WF-082": "branches that race cannot wait for one another",
    EvaluationLanguage = "WF-083": "a language of expressions that is not supported",
    ManyExtensions = "WF-084": "more extensions than a document may have",
    UnknownPool = "WF-085": "a pool that the site does not have",
    ScheduleEmpty = "WF-090": "a schedule that starts nothing",
    Cron = "WF-091": "a cron expression that is not valid",
    ScheduleInterval = "WF-092": "an interval that a schedule cannot have",
    ReadWithoutOn = "WF-093": "`read` in a schedule without events",
    // 100 to 199: valid, but not there yet.
    NotYetRun = "WF-103": "`run: container` is not there yet",
    NotYetGrpc = "WF-105": "`call: grpc` is not there yet",
    NotYetAsyncApi = "WF-106": "`call: asyncapi` is not there yet",
    NotYetA2a = "WF-107": "`call: a2a` is not there yet",
    NotYetMcp = "WF-108": "`call: mcp` is not there yet",
    // 200 to 299: warnings.
    Unreachable = "WF-201": "a task that is never reached",
    ConcurrentExport = "WF-202": "two branches of one fork export",
    Unused = "WF-203": "something in `use` that nothing uses",
    TextExpression = "WF-204": "`${ }` inside text is not evaluated",
    Shadowed = "WF-205": "a variable hides another one",
    EmptyList = "WF-206": "a list without tasks",
    AfterNoBranch = "WF-207": "`after` on a task that is no branch",
    Lookalike = "WF-208": "text that looks like an expression",
    ConditionAssigns = "WF-209": "a condition that assigns",
    ForeignErrorType = "WF-210": "an error type of another language",
    UselessExtension = "WF-215": "an extension that does nothing",
    PoolNoEffect = "WF-216": "`pool` on a task that does nothing outside",
    MissedUnused = "WF-220": "`missed` in a schedule without times",
    ScheduleInput = "WF-221": "a scheduled run whose input its schema refuses",
}

impl Code {
    #[must_use]
    pub fn severity(self) -> Severity {
        if self.as_str().starts_with("WF-2") { Severity::Warning } else { Severity::Error }
    }

    /// Whether the document is right and only this version cannot do it.
    #[must_use]
    pub fn is_not_yet(self) -> bool {
        self.as_str().starts_with("WF-1")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
