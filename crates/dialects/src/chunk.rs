//! One chunk of a stream of Chat, as it is read for every other dialect.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::message;
use crate::text::said;
use crate::tokens::Tokens;

/// What a chunk says. Most say one thing.
pub(crate) struct Chunk<'a> {
    /// The model has broken off, with this.
    pub error: Option<&'a str>,
    pub tokens: Option<Tokens>,
    /// `content` or `refusal`, as Chat names them, and what is said.
    pub said: Vec<(&'static str, Cow<'a, str>)>,
    /// Pieces of calls of tools.
    pub calls: &'a [Value],
    pub finish: Option<&'a str>,
}

impl<'a> Chunk<'a> {
    pub(crate) fn read(chunk: &'a Value) -> Self {
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        let error = !chunk["error"].is_null();
        let of = |name| Some((name, said(&delta[name])?));
        Self {
            error: error.then(|| message(chunk).unwrap_or("the model broke off")),
            tokens: chunk["usage"].is_object().then(|| Tokens::of_chat(&chunk["usage"])),
            said: ["content", "refusal"].into_iter().filter_map(of).collect(),
            calls: delta["tool_calls"].as_array().map_or(&[], Vec::as_slice),
            finish: choice["finish_reason"].as_str(),
        }
    }
}
