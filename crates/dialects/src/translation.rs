//! One request and its answer, between a client of one dialect and a model of another.

use serde_json::Value;

use crate::Dialect;
use crate::chat_at_messages::ChatAtMessages;
use crate::error::{self, told};
use crate::halves::Halves;
use crate::integers;
use crate::messages_at_chat::MessagesAtChat;
use crate::refusal::{NotRead, Refusal};
use crate::responses_at_chat::ResponsesAtChat;

/// What is not in the request.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// By which name the model takes a limit of output, where it speaks Chat.
    pub output_name: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

/// A request that is put in other words, and then its answer, whole or event by event.
#[derive(Debug)]
pub struct Translation {
    client: Dialect,
    request: Vec<u8>,
    /// From the client's side to the model's: one, or two with Chat between them.
    steps: Vec<Step>,
    halves: Halves,
    is_over: bool,
}

#[derive(Debug)]
pub(crate) enum Step {
    ChatAtMessages(ChatAtMessages),
    MessagesAtChat(MessagesAtChat),
    ResponsesAtChat(ResponsesAtChat),
}

impl Translation {
    /// Whether questions of one dialect can be asked in the other.
    #[must_use]
    pub const fn is_known(client: Dialect, model: Dialect) -> bool {
        matches!(
            (client, model),
            (Dialect::Chat | Dialect::Responses, Dialect::Messages)
                | (Dialect::Messages | Dialect::Responses, Dialect::Chat)
        )
    }

    /// Puts a request in other words. `None` where nobody can: see [`Self::is_known`].
    pub fn of(
        client: Dialect,
        model: Dialect,
        request: &[u8],
        terms: Terms<'_>,
    ) -> Option<Result<Self, Refusal>> {
        Self::is_known(client, model).then(|| Self::made(client, model, request, terms))
    }

    /// For an answer that no model was asked for.
    pub(crate) fn plain(client: Dialect, step: Step) -> Self {
        Self {
            client,
            request: Vec::new(),
            steps: vec![step],
            halves: Halves::default(),
            is_over: false,
        }
    }

    fn made(
        client: Dialect,
        model: Dialect,
        request: &[u8],
        terms: Terms<'_>,
    ) -> Result<Self, Refusal> {
        let request: Value = integers::read(request)
            .map_err(|error| Refusal::Json { line: error.line(), column: error.column() })?;
        let (mut steps, mut request) = (Vec::with_capacity(2), request);
        let mut spoken = client;
        if client == Dialect::Responses {
            let (asked, step) = ResponsesAtChat::ask(request, terms.output_name, terms.now)?;
            (request, spoken) = (asked, Dialect::Chat);
            steps.push(Step::ResponsesAtChat(step));
        }
        match (spoken, model) {
            (Dialect::Chat, Dialect::Messages) => {
                let (asked, step) = ChatAtMessages::ask(request, terms.now)?;
                request = asked;
                steps.push(Step::ChatAtMessages(step));
            }
            (Dialect::Messages, Dialect::Chat) => {
                let (asked, step) = MessagesAtChat::ask(request, terms.output_name)?;
                request = asked;
                steps.push(Step::MessagesAtChat(step));
            }
            _ => {}
        }
        let request = integers::written(&request).into_bytes();
        Ok(Self { client, request, steps, halves: Halves::default(), is_over: false })
    }

    /// The request as the model reads it. It is there once: it may be large.
    #[must_use]
    pub fn take_request(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.request)
    }

    /// A whole answer as the client reads it.
    pub fn whole(&self, answer: &[u8]) -> Result<Vec<u8>, NotRead> {
        let mut answer = integers::read(answer).map_err(|_| NotRead)?;
        for step in self.steps.iter().rev() {
            answer = match step {
                Step::ChatAtMessages(step) => step.answer(&answer)?,
                Step::MessagesAtChat(step) => step.answer(&answer)?,
                Step::ResponsesAtChat(step) => step.answer(&answer)?,
            };
        }
        Ok(integers::written(&answer).into_bytes())
    }

    /// The body of an error as the client reads it.
    #[must_use]
    pub fn error(&self, status: u16, body: &[u8]) -> Vec<u8> {
        told(self.client, status, body)
    }

    /// The data of one event of the model, as whole events for the client: none, one, or more.
    pub fn event(&mut self, data: &[u8]) -> Vec<u8> {
        if self.is_over || data.is_empty() {
            return Vec::new();
        }
        if data == b"[DONE]" {
            return self.end();
        }
        match integers::read(&self.halves.joined(data)) {
            Ok(event) => {
                let events = self.fed(vec![event], false);
                self.written(&events)
            }
            Err(_) => self.broken("the model says what cannot be read"),
        }
    }

    /// The end of the model's events. One that comes too early is told to the client as what it is.
    pub fn end(&mut self) -> Vec<u8> {
        if self.is_over {
            return Vec::new();
        }
        let events = self.fed(Vec::new(), true);
        self.written(&events)
    }

    /// The last event of a stream that does not end well.
    pub fn broken(&mut self, message: &str) -> Vec<u8> {
        if self.is_over {
            return Vec::new();
        }
        let event = match self.steps.last() {
            Some(Step::ChatAtMessages(_)) => error::messages_event(message),
            _ => error::chat_event(message),
        };
        let events = self.fed(vec![event], false);
        self.written(&events)
    }

    /// The last event of a stream whose rest is withheld, also where the model has already come to its end: nothing of
    /// that has been told.
    pub fn withheld(&mut self, message: &str) -> Vec<u8> {
        if self.is_over { error::broken(self.client, message) } else { self.broken(message) }
    }

    /// Events through all steps, the model's own first.
    fn fed(&mut self, mut events: Vec<Value>, mut is_end: bool) -> Vec<Value> {
        for step in self.steps.iter_mut().rev() {
            let mut out = Vec::new();
            for event in &events {
                step.event(event, &mut out);
            }
            if is_end {
                step.end(&mut out);
            }
            is_end = step.is_over();
            events = out;
        }
        self.is_over = is_end;
        events
    }

    fn written(&self, events: &[Value]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for event in events {
            bytes.extend_from_slice(&framed(self.client, event));
        }
        // A stream that has broken off does not say that it is done.
        let is_well = events.last().is_none_or(|event| event["error"].is_null());
        if self.client == Dialect::Chat && self.is_over && is_well {
            bytes.extend_from_slice(b"data: [DONE]\n\n");
        }
        bytes
    }
}

impl Step {
    fn event(&mut self, event: &Value, out: &mut Vec<Value>) {
        match self {
            Self::ChatAtMessages(step) => step.event(event, out),
            Self::MessagesAtChat(step) => step.event(event, out),
            Self::ResponsesAtChat(step) => step.event(event, out),
        }
    }

    fn end(&mut self, out: &mut Vec<Value>) {
        match self {
            Self::ChatAtMessages(step) => step.end(out),
            Self::MessagesAtChat(step) => step.end(out),
            Self::ResponsesAtChat(step) => step.end(out),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::ChatAtMessages(step) => step.is_over(),
            Self::MessagesAtChat(step) => step.is_over(),
            Self::ResponsesAtChat(step) => step.is_over(),
        }
    }
}

/// One event as it goes over the wire.
pub(crate) fn framed(client: Dialect, event: &Value) -> Vec<u8> {
    let data = integers::written(event);
    match client {
        Dialect::Chat => format!("data: {data}\n\n"),
        Dialect::Messages | Dialect::Responses => {
            format!("event: {}\ndata: {data}\n\n", event["type"].as_str().unwrap_or("error"))
        }
    }
    .into_bytes()
}
