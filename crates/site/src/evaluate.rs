//! The engine's evaluator, by the pool of processes in `sandbox`.

use std::path::PathBuf;

use base::{ErrorType, Fault, Value};
use bytes::Bytes;
use engine::effect::{Evaluate, Evaluator};
use expr::{Expr, SyntaxError};
use futures::FutureExt;
use futures::future::BoxFuture;
use sandbox::{Pool, PoolConfig, PoolError};
use wire::ProblemCode;

use crate::config::{Config, Expressions};
use crate::refusal::Refusal;

/// The processes that evaluate what is not on the closed list. Cheap to clone.
#[derive(Clone)]
pub struct Evaluators(Pool);

impl Evaluators {
    /// As a site without a configuration has them.
    #[must_use]
    pub fn usual(program: PathBuf) -> Self {
        Self::new(program, Config::default().expressions)
    }

    /// Starts nothing yet. `program` is this binary itself, as a file.
    pub(crate) fn new(program: PathBuf, config: Expressions) -> Self {
        let Expressions { children, deadline, memory_bytes } = config;
        let deadline = deadline.as_std();
        Self(Pool::new(PoolConfig { children, memory_bytes, deadline, ..PoolConfig::new(program) }))
    }

    /// Whether an expression that nobody has parsed is one.
    pub(crate) async fn check(&self, expr: &Expr) -> Result<Result<(), SyntaxError>, Refusal> {
        match self.0.check(expr.text(), expr.variables()).await {
            Ok(()) => Ok(Ok(())),
            Err(PoolError::Syntax(wrong)) => Ok(Err(wrong)),
            Err(PoolError::Failed(what)) => Ok(Err(SyntaxError { what, offset: 0 })),
            Err(error @ PoolError::Overloaded) => {
                Err(Refusal::new(ProblemCode::Overloaded, error.to_string()))
            }
            // Nothing that the caller could do about it.
            Err(error @ PoolError::Unavailable(_)) => {
                Err(Refusal::new(ProblemCode::Internal, error.to_string()))
            }
        }
    }

    /// Processes started and killed so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let stats = self.0.stats();
        (stats.spawned, stats.killed)
    }
}

impl Evaluator for Evaluators {
    fn evaluate(&self, expression: Evaluate) -> BoxFuture<'static, Result<Value, Fault>> {
        let pool = self.0.clone();
        async move {
            let Evaluate { text, input, variables } = expression;
            pool.evaluate(&text, &input, &variables).await.map_err(|error| fault(&error))
        }
        .boxed()
    }

    fn evaluate_text(&self, expression: Evaluate) -> BoxFuture<'static, Result<Bytes, Fault>> {
        let pool = self.0.clone();
        async move {
            let Evaluate { text, input, variables } = expression;
            pool.evaluate_text(&text, &input, &variables).await.map_err(|error| fault(&error))
        }
        .boxed()
    }
}

/// What the author did wrong is an `expression` error; what this machine lacks is not.
fn fault(error: &PoolError) -> Fault {
    match error {
        PoolError::Failed(what) => Fault::new(ErrorType::Expression, what.clone()),
        PoolError::Syntax(wrong) => Fault::new(ErrorType::Expression, wrong.to_string()),
        PoolError::Overloaded | PoolError::Unavailable(_) => {
            Fault::new(ErrorType::Runtime, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: call a missing process an `expression` error, or the author's mistake a `runtime` one.
    #[test]
    fn an_authors_mistake_is_an_expression_error_and_a_missing_process_is_not() {
        let wrong = SyntaxError { what: "not an expression".into(), offset: 3 };
        for (error, kind) in [
            (PoolError::Failed("longer than 2s".into()), ErrorType::Expression),
            (PoolError::Syntax(wrong), ErrorType::Expression),
            (PoolError::Overloaded, ErrorType::Runtime),
            (PoolError::Unavailable("no such file".into()), ErrorType::Runtime),
        ] {
            assert_eq!(fault(&error).kind(), kind, "{error}");
        }
    }
}
