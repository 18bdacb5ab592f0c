//! Expressions that are taken unseen, since parsing them could exhaust this process. Whoever has
//! evaluator processes asks one and gives the answer back here, where the place is known.

use expr::{Expr, SyntaxError};

use crate::code::{Code, Severity};
use crate::diagnostic::{Diagnostic, Location};

#[derive(Debug, Clone)]
pub struct Unparsed {
    pub expression: Expr,
    /// Of the whole scalar.
    pub(super) at: Location,
    /// Where the expression's own text begins, if it stands in the source as it is.
    pub(super) begins: Option<Location>,
    pub(super) pointer: String,
}

impl Unparsed {
    /// What an evaluator said of it.
    #[must_use]
    pub fn diagnostic(&self, wrong: &SyntaxError) -> Diagnostic {
        let text = self.expression.text();
        let before = text.get(..wrong.offset).unwrap_or(text);
        let location = match self.begins {
            // A place behind the first line would need the source again.
            Some(begins) if !before.contains('\n') => Location {
                offset: begins.offset + before.len(),
                column: begins
                    .column
                    .saturating_add(u32::try_from(before.chars().count()).unwrap_or(0)),
                length: 1,
                ..begins
            },
            Some(_) | None => self.at,
        };
        Diagnostic {
            code: Code::ExpressionSyntax,
            severity: Severity::Error,
            message: format!("the expression cannot be parsed: {}", wrong.what),
            location,
            pointer: self.pointer.clone(),
            hint: Some(
                "an expression of this size is better computed by several `set` tasks".to_owned(),
            ),
        }
    }
}
