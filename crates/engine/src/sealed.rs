//! Sealed parts: what of an effect only its performer may know.
//!
//! An expression that reads `$secrets` or `$authorization` is not evaluated by the machine. It
//! travels in the effect with everything else that it reads, is digested and put into snapshots as
//! it stands, and is evaluated here when the effect is performed. What comes out is in no record.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::name::FunctionRef;
use base::value::{array, as_object, as_str, get, kind, object, to_json_string};
use base::{ErrorType, Fault, Value};
use expr::{Expr, Scope, Stop};
use futures::FutureExt;
use futures::future::BoxFuture;
use spec::tree::{HttpOutput, Operation, Returns, Scheme, Template};

use crate::effect::{Action, Evaluate, Evaluator, HttpRequest, Interpreter, too_large};
use crate::secret::SecretUse;
use crate::{operation, process};

/// The variables that exist in performers only, without `$`.
pub const SECRETS: &str = "secrets";
pub const AUTHORIZATION: &str = "authorization";

/// A value some of whose parts are known only when the effect is performed.
#[derive(Debug, Clone, PartialEq)]
pub enum Late {
    Value(Value),
    /// With all that it reads, except the two variables of performers.
    Expr(Evaluate),
    Array(Vec<Late>),
    Object(Vec<(Arc<str>, Late)>),
}

/// An action with sealed parts, or with an authentication.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealed {
    pub call: SealedCall,
    /// Of `http`: an object with `uri`, and where there are any `headers`, `query`, `body`. Of
    /// `function`: the arguments. Of `openapi`: an object with the list `parameters`, and perhaps
    /// `body`. Of a process: an object with `code`, and where there are any `stdin`, `arguments`,
    /// `environment`.
    pub parts: Late,
    pub authentication: Option<(Scheme, Late)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SealedCall {
    Http { method: String, output: HttpOutput, redirect: bool },
    Function { function: FunctionRef },
    OpenApi { operation: Arc<Operation>, output: HttpOutput, redirect: bool },
    Process { interpreter: Interpreter, returns: Returns, wait: bool },
}

/// Which secrets some sealed parts read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    These(BTreeSet<String>),
    /// Any that the workflow names.
    All,
}

/// The values of the variables that only performers have.
#[derive(Clone)]
pub struct Keys {
    /// An object of secrets by name.
    pub secrets: Value,
    pub authorization: Value,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Whether an expression is left to the performer.
#[must_use]
pub fn is_sealed(expr: &Expr) -> bool {
    expr.variables().iter().any(|name| matches!(&**name, SECRETS | AUTHORIZATION))
}

/// Whether any part of a template is.
#[must_use]
pub fn has_sealed(template: &Template) -> bool {
    match template {
        Template::Constant(_) => false,
        Template::Expr(expr) => is_sealed(expr),
        Template::Array(items) => items.iter().any(has_sealed),
        Template::Object(fields) => fields.iter().any(|(_, field)| has_sealed(field)),
    }
}

impl Late {
    /// Which secrets it reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let mut names = BTreeSet::new();
        if self.collect(&mut names) { Reads::These(names) } else { Reads::All }
    }

    /// `false` where it may read any.
    fn collect(&self, names: &mut BTreeSet<String>) -> bool {
        match self {
            Self::Value(_) => true,
            Self::Expr(sealed) => match Expr::parse(&sealed.text) {
                Ok(expr) if expr.variables().iter().all(|name| &**name != SECRETS) => true,
                Ok(expr) => match expr.fields_of(SECRETS) {
                    Some(fields) => {
                        names.extend(fields.into_iter().map(str::to_owned));
                        true
                    }
                    None => false,
                },
                Err(_) => false,
            },
            Self::Array(items) => items.iter().all(|item| item.collect(names)),
            Self::Object(fields) => fields.iter().all(|(_, field)| field.collect(names)),
        }
    }

    /// A plain value, where nothing is sealed.
    #[must_use]
    pub fn as_value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Expr(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => {
                fields.iter().find(|(key, _)| &**key == name).map(|(_, field)| field)
            }
            Self::Value(_) | Self::Expr(_) | Self::Array(_) => None,
        }
    }

    /// The whole value. The evaluator is for what the process cannot evaluate itself.
    pub fn open<'a>(
        &'a self,
        keys: &'a Keys,
        evaluator: &'a dyn Evaluator,
    ) -> BoxFuture<'a, Result<Value, Fault>> {
        async move {
            let value = self.compose(keys, evaluator).await?;
            too_large(&value).map_or(Ok(value), Err)
        }
        .boxed()
    }

    fn compose<'a>(
        &'a self,
        keys: &'a Keys,
        evaluator: &'a dyn Evaluator,
    ) -> BoxFuture<'a, Result<Value, Fault>> {
        async move {
            match self {
                Self::Value(value) => Ok(value.clone()),
                Self::Expr(sealed) => evaluate(sealed, keys, evaluator).await,
                Self::Array(items) => {
                    let mut values = Vec::with_capacity(items.len());
                    for item in items {
                        values.push(item.compose(keys, evaluator).await?);
                    }
                    Ok(array(values))
                }
                Self::Object(fields) => {
                    let mut values = Vec::with_capacity(fields.len());
                    for (name, field) in fields {
                        values.push((&**name, field.compose(keys, evaluator).await?));
                    }
                    Ok(object(values))
                }
            }
        }
        .boxed()
    }

    /// Into the digest of the control state.
    pub(crate) fn trace(&self, add: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Value(value) => {
                add(b"value");
                add(&base::value::to_json(value));
            }
            Self::Expr(Evaluate { text, input, variables }) => {
                add(b"expr");
                add(text.as_bytes());
                add(&base::value::to_json(input));
                for (name, value) in variables {
                    add(name.as_bytes());
                    add(&base::value::to_json(value));
                }
            }
            Self::Array(items) => {
                add(b"array");
                items.iter().for_each(|item| item.trace(add));
                add(b"end");
            }
            Self::Object(fields) => {
                add(b"object");
                for (name, field) in fields {
                    add(name.as_bytes());
                    field.trace(add);
                }
                add(b"end");
            }
        }
    }
}

/// What a sealed expression sees.
struct Seen<'a> {
    sealed: &'a Evaluate,
    keys: &'a Keys,
}

impl Scope for Seen<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        match name {
            SECRETS => Some(self.keys.secrets.clone()),
            AUTHORIZATION => Some(self.keys.authorization.clone()),
            _ => {
                let found = self.sealed.variables.iter().find(|(known, _)| &**known == name);
                found.map(|(_, value)| value.clone())
            }
        }
    }
}

async fn evaluate(
    sealed: &Evaluate,
    keys: &Keys,
    evaluator: &dyn Evaluator,
) -> Result<Value, Fault> {
    let expr = Expr::parse(&sealed.text)
        .map_err(|wrong| Fault::new(ErrorType::Expression, wrong.to_string()))?;
    let scope = Seen { sealed, keys };
    match expr.evaluate(&sealed.input, &scope) {
        Ok(value) => base::value::normal(value).map_err(|wrong| failed(&expr, &wrong.to_string())),
        Err(Stop::Failed(what)) => Err(failed(&expr, &what)),
        Err(Stop::Outside) => {
            let names = expr.variables().iter();
            let variables =
                names.filter_map(|name| Some((name.clone(), scope.get(name)?))).collect();
            let (text, input) = (sealed.text.clone(), sealed.input.clone());
            evaluator.evaluate(Evaluate { text, input, variables }).await
        }
    }
}

/// Characters of an expression's text in a message. The text is the author's, not a value.
const EXPRESSION_SHOWN_MAX: usize = 120;

/// An expression's error, by its text.
pub(crate) fn failed(expr: &Expr, what: &str) -> Fault {
    let text: String = expr.text().chars().take(EXPRESSION_SHOWN_MAX).collect();
    let dots = if text.len() < expr.text().len() { "…" } else { "" };
    Fault::new(ErrorType::Expression, format!("`{text}{dots}` {what}"))
}

impl Sealed {
    /// Which of the run's secrets it reads. A name that the workflow does not declare was refused
    /// when it was applied.
    #[must_use]
    pub fn secrets<'a>(&self, declared: &'a [SecretUse]) -> Vec<&'a SecretUse> {
        let authentication = self.authentication.as_ref().map(|(_, late)| late.reads());
        let reads = [Some(self.parts.reads()), authentication];
        let reads: Vec<Reads> = reads.into_iter().flatten().collect();
        let is_read = |(name, _): &&SecretUse| {
            reads.iter().any(|reads| match reads {
                Reads::All => true,
                Reads::These(names) => names.contains(name.as_str()),
            })
        };
        declared.iter().filter(is_read).collect()
    }

    /// The action itself, with everything evaluated.
    pub async fn open(&self, keys: &Keys, evaluator: &dyn Evaluator) -> Result<Action, Fault> {
        let parts = self.parts.open(keys, evaluator).await?;
        Ok(match &self.call {
            SealedCall::Http { method, output, redirect } => Action::Http(HttpRequest {
                method: method.clone(),
                uri: uri(get(&parts, "uri").unwrap_or(&Value::Null))?,
                headers: pairs(get(&parts, "headers"), "headers")?,
                query: pairs(get(&parts, "query"), "query")?,
                body: get(&parts, "body").cloned(),
                output: *output,
                redirect: *redirect,
            }),
            SealedCall::Function { function } => {
                Action::Function { function: function.clone(), input: parts }
            }
            SealedCall::OpenApi { operation, output, redirect } => {
                Action::Http(operation::request(operation, &parts, *output, *redirect)?)
            }
            SealedCall::Process { interpreter, returns, wait } => {
                Action::Process(process::request(*interpreter, *returns, *wait, &parts)?)
            }
        })
    }

    /// Whether the code of a process is known to the performer only.
    #[must_use]
    pub fn code_is_sealed(&self) -> bool {
        self.parts.field(process::CODE).is_some_and(|code| code.as_value().is_none())
    }

    /// For people, as far as it is known.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.call {
            SealedCall::Http { method, .. } => {
                match self.parts.field("uri").and_then(Late::as_value).and_then(as_str) {
                    Some(uri) => summary_http(method, uri),
                    None => format!("{method} (an address with a secret in it)"),
                }
            }
            SealedCall::Function { function } => function.to_string(),
            SealedCall::OpenApi { operation, .. } => {
                let known = |at: usize| match self.parts.field(operation::PARAMETERS) {
                    Some(Late::Array(values)) => values.get(at)?.as_value().cloned(),
                    Some(Late::Value(_) | Late::Expr(_) | Late::Object(_)) | None => None,
                };
                summary_http(&operation.method, &operation::shown(operation, known))
            }
            SealedCall::Process { interpreter, .. } => interpreter.to_string(),
        }
    }

    /// Into the digest of the control state.
    pub(crate) fn trace(&self, add: &mut impl FnMut(&[u8])) {
        let Self { call, parts, authentication } = self;
        match call {
            SealedCall::Http { method, redirect, .. } => {
                add(method.as_bytes());
                add(&[u8::from(*redirect)]);
            }
            SealedCall::Function { function } => add(function.to_string().as_bytes()),
            SealedCall::OpenApi { operation, redirect, .. } => {
                add(operation.method.as_bytes());
                add(operation::shown(operation, |_| None).as_bytes());
                operation.parameters.iter().for_each(|it| add(it.name.as_bytes()));
                add(&[u8::from(*redirect)]);
            }
            SealedCall::Process { interpreter, returns, wait } => {
                add(interpreter.as_str().as_bytes());
                add(returns.as_str().as_bytes());
                add(&[u8::from(*wait)]);
            }
        }
        parts.trace(add);
        if let Some((scheme, properties)) = authentication {
            add(scheme.name().as_bytes());
            properties.trace(add);
        }
    }
}

/// What is asked, without a query, a body or credentials.
pub(crate) fn summary_http(method: &str, uri: &str) -> String {
    let bare = uri.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = bare.split_once("://").unwrap_or(("", bare));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{method} {scheme}://{host}{path}")
}

fn configuration(what: String) -> Fault {
    Fault::new(ErrorType::Configuration, what)
}

pub(crate) fn uri(value: &Value) -> Result<String, Fault> {
    let uri = as_str(value).map(str::to_owned);
    uri.ok_or_else(|| configuration(format!("the endpoint is {}, not a URI", kind(value))))
}

pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::TStr(_) => as_str(value).map(str::to_owned),
        Value::Num(_) | Value::Bool(_) => Some(to_json_string(value)),
        Value::Null | Value::BStr(_) | Value::Arr(_) | Value::Obj(_) => None,
    }
}

/// Headers or query parameters. A `null` leaves the name out; an array repeats it.
pub(crate) fn pairs(value: Option<&Value>, what: &str) -> Result<Vec<(String, String)>, Fault> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let Some(map) = as_object(value) else {
        return Err(configuration(format!("the {what} are {}, not an object", kind(value))));
    };
    let mut pairs = Vec::with_capacity(map.len());
    for (name, value) in map {
        let name = as_str(name).unwrap_or_default();
        let items = match value {
            Value::Null => &[],
            Value::Arr(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            let text = scalar(item).ok_or_else(|| {
                configuration(format!("`{name}` in the {what} is {}, not a string", kind(item)))
            })?;
            pairs.push((name.to_owned(), text));
        }
    }
    Ok(pairs)
}
