//! A client of Responses at a model that speaks Chat Completions.

mod answer;
mod items;
mod request;
mod stream;

use serde_json::{Map, Value};

use crate::refusal::{NotRead, Refusal};

#[derive(Debug)]
pub(crate) struct ResponsesAtChat {
    stream: stream::Stream,
}

impl ResponsesAtChat {
    pub(crate) fn ask(
        request: Value,
        output_name: &str,
        now: i64,
    ) -> Result<(Value, Self), Refusal> {
        let (request, said) = request::translated(request, output_name)?;
        let head = answer::Head { said, now };
        Ok((request, Self { stream: stream::Stream::new(head) }))
    }

    /// Of no request.
    pub(crate) fn plain(said: Map<String, Value>, now: i64) -> Self {
        Self { stream: stream::Stream::new(answer::Head { said, now }) }
    }

    pub(crate) fn answer(&self, answer: &Value) -> Result<Value, NotRead> {
        answer::translated(answer, self.stream.head())
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
