//! Translation between the words in which models are asked and answered, so that any client works with any
//! model (ADR 25).
//!
//! Everything here is a plain function or a machine that is fed event by event. What is not known in the
//! other dialect is refused by name before anything is sent, never lost in silence; what only hints is left
//! out, as `docs/reference/models.md` lists. No error holds anything of a prompt or an answer.

mod calls;
mod chat_at_messages;
mod chunk;
mod error;
mod halves;
mod integers;
mod members;
mod messages_at_chat;
mod plain;
mod refusal;
mod responses_at_chat;
mod text;
mod tokens;
mod tool;
mod translation;
mod whole;

use std::fmt;

pub use error::{body, broken};
pub use halves::Halves;
pub use plain::Plain;
pub use refusal::{NotRead, Refusal};
pub use translation::{Terms, Translation};
pub use whole::streamed;

/// In which words a model is asked and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's Chat Completions, which most servers speak.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chat => "Chat Completions",
            Self::Responses => "Responses",
            Self::Messages => "Messages",
        })
    }
}
