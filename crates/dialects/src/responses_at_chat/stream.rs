//! The answer, chunk by chunk. The last event has all of it again, so that all of it is kept until then.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::{Head, Status, call_id, called, item_id, part, response_id, said};
use crate::calls::{Calls, Piece};
use crate::chunk::Chunk;
use crate::tokens::Tokens;

/// Of one answer: a million tokens, more than any model says, and what a site can keep of many at once.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Items of one answer. Beside calls of tools there is what is said between them.
const ITEMS_MAX: usize = 2_048;

#[derive(Debug)]
pub(super) struct Stream {
    head: Head,
    id: String,
    model: Value,
    is_begun: bool,
    is_over: bool,
    /// Of the next event.
    number: u64,
    items: Vec<Item>,
    calls: Calls,
    /// The place of each call among the items.
    called: BTreeMap<usize, usize>,
    bytes: usize,
    finish: Option<String>,
    tokens: Tokens,
}

/// One item of the output, at its place.
#[derive(Debug)]
struct Item {
    kind: Kind,
    text: String,
    is_open: bool,
}

#[derive(Debug)]
enum Kind {
    /// `content` or `refusal`, as Chat names them.
    Said(&'static str),
    Called {
        call: String,
        name: String,
    },
}

impl Stream {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            id: String::new(),
            model: Value::Null,
            is_begun: false,
            is_over: false,
            number: 0,
            items: Vec::new(),
            calls: Calls::default(),
            called: BTreeMap::new(),
            bytes: 0,
            finish: None,
            tokens: Tokens::default(),
        }
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn chunk(&mut self, chunk: &Value, out: &mut Vec<Value>) {
        if self.is_over {
            return;
        }
        if !self.is_begun {
            self.begin(chunk, out);
        }
        let read = Chunk::read(chunk);
        if let Some(what) = read.error {
            return self.breaks(what, out);
        }
        if let Some(tokens) = read.tokens {
            self.tokens = tokens;
        }
        for (name, text) in &read.said {
            self.say(name, text, out);
        }
        for call in read.calls {
            self.call(call, out);
        }
        if let Some(finish) = read.finish {
            self.finish = Some(finish.to_owned());
        }
        let is_too_long = self.bytes > ANSWER_BYTES_MAX || self.items.len() > ITEMS_MAX;
        if is_too_long && !self.is_over {
            self.breaks("the answer is too long", out);
        }
    }

    fn begin(&mut self, chunk: &Value, out: &mut Vec<Value>) {
        self.is_begun = true;
        (self.id, self.model) = (response_id(&chunk["id"]), chunk["model"].clone());
        for kind in ["response.created", "response.in_progress"] {
            let response =
                self.head.response(&self.id, &self.model, Status::InProgress, Vec::new());
            self.tell(json!({"type": kind, "response": response}), out);
        }
    }

    /// Events are counted.
    fn tell(&mut self, mut event: Value, out: &mut Vec<Value>) {
        event["sequence_number"] = Value::from(self.number);
        self.number += 1;
        out.push(event);
    }

    fn say(&mut self, name: &'static str, text: &str, out: &mut Vec<Value>) {
        let last = self.items.last().filter(|it| it.is_open);
        let is_said = last.is_some_and(|it| matches!(it.kind, Kind::Said(known) if known == name));
        if !is_said {
            self.open(Kind::Said(name), out);
        }
        let at = self.items.len() - 1;
        self.grow(at, text);
        let kind = if name == "refusal" { "refusal" } else { "output_text" };
        let mut event = self.of_part(at, &format!("response.{kind}.delta"));
        event["delta"] = Value::from(text);
        self.tell(event, out);
    }

    fn grow(&mut self, at: usize, text: &str) {
        self.items[at].text.push_str(text);
        self.bytes += text.len();
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<Value>) {
        // What is said ends where something else begins; calls may go on side by side.
        if let Some(at) = self.items.iter().rposition(|it| matches!(it.kind, Kind::Said(_))) {
            self.close(at, Status::Completed, out);
        }
        let at = self.items.len();
        self.items.push(Item { kind, text: String::new(), is_open: true });
        let (item, begun) = match &self.items[at].kind {
            Kind::Said(name) => {
                (said(&self.id, at, Status::InProgress, Vec::new()), Some(part(name, "")))
            }
            Kind::Called { .. } => (self.item(at, Status::InProgress), None),
        };
        let added = "response.output_item.added";
        self.tell(json!({"type": added, "output_index": at, "item": item}), out);
        if let Some(part) = begun {
            let mut event = self.of_part(at, "response.content_part.added");
            event["part"] = part;
            self.tell(event, out);
        }
    }

    fn call(&mut self, piece: &Value, out: &mut Vec<Value>) {
        if self.is_over {
            return;
        }
        let Piece { at, begins, arguments } = match self.calls.take(piece) {
            Ok(Some(piece)) => piece,
            Ok(None) => return,
            Err(what) => return self.breaks(what, out),
        };
        if let Some(name) = begins {
            let item = self.items.len();
            let call = call_id(self.calls.id(at), &self.id, item);
            self.open(Kind::Called { call, name }, out);
            self.called.insert(at, item);
        }
        let Some(item) = self.called.get(&at).copied().filter(|_| !arguments.is_empty()) else {
            return;
        };
        self.grow(item, &arguments);
        let delta = json!({
            "type": "response.function_call_arguments.delta",
            "item_id": item_id("fc", &self.id, item), "output_index": item, "delta": arguments,
        });
        self.tell(delta, out);
    }

    /// What all events of a part of a message have.
    fn of_part(&self, at: usize, kind: &str) -> Value {
        let mut event = json!({
            "type": kind, "item_id": item_id("msg", &self.id, at), "output_index": at,
            "content_index": 0,
        });
        if kind.starts_with("response.output_text") {
            event["logprobs"] = json!([]);
        }
        event
    }

    fn item(&self, at: usize, status: Status) -> Value {
        let Item { kind, text, .. } = &self.items[at];
        match kind {
            Kind::Said(name) => said(&self.id, at, status, vec![part(name, text)]),
            Kind::Called { call, name, .. } => {
                called(&self.id, at, status, call, &Value::from(name.as_str()), text)
            }
        }
    }

    fn close(&mut self, at: usize, status: Status, out: &mut Vec<Value>) {
        if !std::mem::replace(&mut self.items[at].is_open, false) {
            return;
        }
        let text = self.items[at].text.clone();
        match &self.items[at].kind {
            Kind::Said(name) => {
                let part = part(name, &text);
                let (kind, member) = match *name {
                    "refusal" => ("response.refusal.done", "refusal"),
                    _ => ("response.output_text.done", "text"),
                };
                let mut event = self.of_part(at, kind);
                event[member] = Value::from(text);
                self.tell(event, out);
                let mut event = self.of_part(at, "response.content_part.done");
                event["part"] = part;
                self.tell(event, out);
            }
            Kind::Called { name, .. } => {
                let event = json!({
                    "type": "response.function_call_arguments.done",
                    "item_id": item_id("fc", &self.id, at), "output_index": at,
                    "name": name, "arguments": text,
                });
                self.tell(event, out);
            }
        }
        let item = self.item(at, status);
        let done = "response.output_item.done";
        self.tell(json!({"type": done, "output_index": at, "item": item}), out);
    }

    /// The connection is at its end, or the server has said so.
    pub(super) fn end(&mut self, out: &mut Vec<Value>) {
        if self.is_over {
            return;
        }
        if !self.is_begun {
            self.begin(&Value::Null, out);
        }
        let Some(finish) = self.finish.take() else {
            return self.breaks("the model broke off", out);
        };
        let status = Status::of(Some(&finish));
        for at in 0..self.items.len() {
            self.close(at, status, out);
        }
        self.is_over = true;
        let mut response = self.response(status);
        response["usage"] = self.tokens.as_responses();
        self.tell(
            json!({"type": format!("response.{}", status.as_str()), "response": response}),
            out,
        );
    }

    fn response(&self, status: Status) -> Value {
        let output = (0..self.items.len()).map(|at| self.item(at, status)).collect();
        self.head.response(&self.id, &self.model, status, output)
    }

    fn breaks(&mut self, what: &str, out: &mut Vec<Value>) {
        self.is_over = true;
        let mut response = self.response(Status::Failed);
        response["output"] = json!([]);
        response["error"] = json!({"code": "server_error", "message": what});
        self.tell(json!({"type": "response.failed", "response": response}), out);
    }
}
