//! What cannot be translated, by its place and never with its text.

use crate::Dialect;

/// Why a request is not sent to a model that speaks another dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request is not JSON: line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("`{path}` has no counterpart in the dialect of the model, {to}: {hint}")]
    NoCounterpart { path: String, to: Dialect, hint: &'static str },
    #[error("`{path}` is not {wanted}")]
    Wrong { path: String, wanted: &'static str },
    #[error("`{path}` is missing")]
    Missing { path: String },
}

/// An answer of a model that is none in its own dialect. What stands there is not said: it is the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model answers in a way that cannot be read")]
pub struct NotRead;

/// Characters of a name that is shown. The longest that an interface has are half of it.
const SHOWN_CHARS_MAX: usize = 64;

/// A client's own word, where it can be one of an interface; anything else may be a text of somebody.
pub(crate) fn shown(word: &str) -> &str {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if (1..=SHOWN_CHARS_MAX).contains(&word.len()) && word.bytes().all(is_name) {
        word
    } else {
        "(unnamed)"
    }
}
