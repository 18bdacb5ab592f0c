//! What is asked of a model of language, and what it says.

pub mod openai;
mod template;

use serde::{Deserialize, Serialize};

pub use template::{Part, Template};

/// Texts at which an answer ends. `OpenAI`'s interface has 4.
pub const STOPS_MAX: usize = 16;

/// One of them.
pub const STOP_BYTES_MAX: usize = 1_000;

/// Texts of one request for vectors. As many as `OpenAI`'s interface takes.
pub const TEXTS_MAX: usize = 2_048;

/// Asks for a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    pub prompt: Prompt,
    /// What fits into the context, where nothing is said.
    pub output_tokens_max: Option<u64>,
    /// 0 is always the likeliest token.
    pub temperature: f32,
    /// Of what is likely, the part that is drawn from.
    pub top_p: f32,
    /// The same one draws the same.
    pub seed: u64,
    pub stop: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    Chat(Vec<Message>),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// How an answer ended, and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub finish: Finish,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// The model has said all, or something at which it was to stop.
    Stop,
    /// It may not say more.
    Length,
}

/// Asks for a vector of each text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embed {
    pub texts: Vec<String>,
}

/// One for each text, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vectors {
    pub vectors: Vec<Vec<f32>>,
    pub input_tokens: u64,
}
