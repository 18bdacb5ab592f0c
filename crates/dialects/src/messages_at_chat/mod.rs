//! A client of Messages at a model that speaks Chat Completions.

mod answer;
mod request;
mod stream;
mod turns;

use serde_json::Value;

use crate::refusal::{NotRead, Refusal};

#[derive(Debug, Default)]
pub(crate) struct MessagesAtChat {
    stream: stream::Stream,
}

impl MessagesAtChat {
    pub(crate) fn ask(request: Value, output_name: &str) -> Result<(Value, Self), Refusal> {
        Ok((request::translated(request, output_name)?, Self::default()))
    }

    pub(crate) fn answer(&self, answer: &Value) -> Result<Value, NotRead> {
        answer::translated(answer)
    }

    pub(crate) fn event(&mut self, chunk: &Value, out: &mut Vec<Value>) {
        self.stream.chunk(chunk, out);
    }

    pub(crate) fn end(&mut self, out: &mut Vec<Value>) {
        self.stream.end(out);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stream.is_over()
    }
}
