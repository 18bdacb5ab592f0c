//! A client of Chat Completions at a model that speaks Messages.

mod answer;
mod request;
mod stream;
mod turns;

use serde_json::Value;

use crate::refusal::{NotRead, Refusal};

/// What of a request its answer depends on, and how far the answer has come.
#[derive(Debug)]
pub(crate) struct ChatAtMessages {
    /// Seconds since 1970, which Messages does not tell and Chat does.
    created: i64,
    stream: stream::Stream,
}

impl ChatAtMessages {
    pub(crate) fn ask(request: Value, created: i64) -> Result<(Value, Self), Refusal> {
        let (request, wants_usage) = request::translated(request)?;
        Ok((request, Self { created, stream: stream::Stream::new(created, wants_usage) }))
    }

    pub(crate) fn answer(&self, answer: &Value) -> Result<Value, NotRead> {
        answer::translated(answer, self.created)
    }

    pub(crate) fn event(&mut self, event: &Value, out: &mut Vec<Value>) {
        self.stream.event(event, out);
    }

    pub(crate) fn end(&mut self, out: &mut Vec<Value>) {
        self.stream.end(out);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stream.is_over()
    }
}
