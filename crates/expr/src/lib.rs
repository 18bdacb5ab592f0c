//! Runtime expressions (jq): parsing, the closed list, and in-process evaluation of what is on it.
//!
//! jaq can abort the whole process and cannot be stopped from inside. So only filters that a static
//! check proves to be of a closed list are evaluated here; all others go to the process pool in
//! `sandbox`, and the caller learns that from [`Stop::Outside`].

use std::sync::Arc;

use base::Value;

/// A parsed expression. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Expr {
    text: Arc<str>,
}

/// Why an expression is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SyntaxError {
    pub what: String,
    /// Byte offset in the expression's text.
    pub offset: usize,
}

/// Why evaluation gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Not on the closed list, or too much work for it: evaluate it outside the process.
    Outside,
    /// The expression failed. The message names what and where, never a value.
    Failed(String),
}

/// Where an expression's variables come from. Names are without `$`.
pub trait Scope {
    fn get(&self, name: &str) -> Option<Value>;
}

impl Expr {
    /// Parses an expression without `${ }` around it.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Ok(Self { text: text.into() })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names of the variables that it reads, without `$`, each once, sorted.
    #[must_use]
    pub fn variables(&self) -> &[Arc<str>] {
        &[]
    }

    /// Whether it is on the closed list.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        false
    }

    /// Evaluates on the closed list. Exactly one result: none is `null`, several are a failure.
    pub fn evaluate(&self, _input: &Value, _scope: &dyn Scope) -> Result<Value, Stop> {
        Err(Stop::Outside)
    }
}
