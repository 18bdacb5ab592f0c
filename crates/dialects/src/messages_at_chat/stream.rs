//! The answer, chunk by chunk: blocks are opened as something of theirs comes, and never for nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::{id, reason_of};
use crate::calls::{Calls, Piece};
use crate::chunk::Chunk;
use crate::error::messages_event;
use crate::tokens::Tokens;

#[derive(Debug, Default)]
pub(super) struct Stream {
    is_begun: bool,
    is_over: bool,
    answer: Value,
    blocks: u64,
    /// The block of text that is open.
    text: Option<u64>,
    calls: Calls,
    /// The block of each call, open until the end: a server may go back to an earlier one.
    called: BTreeMap<usize, u64>,
    reason: Option<String>,
    is_refused: bool,
    tokens: Tokens,
}

impl Stream {
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn chunk(&mut self, chunk: &Value, out: &mut Vec<Value>) {
        if self.is_over {
            return;
        }
        let read = Chunk::read(chunk);
        if let Some(what) = read.error {
            return self.breaks(what, out);
        }
        if let Some(tokens) = read.tokens {
            self.tokens = tokens;
        }
        if !self.is_begun {
            self.begin(chunk, out);
        }
        for (name, text) in &read.said {
            self.is_refused |= *name == "refusal";
            self.say(text, out);
        }
        for call in read.calls {
            self.call(call, out);
        }
        if let Some(reason) = read.finish {
            self.reason = Some(reason.to_owned());
        }
    }

    fn begin(&mut self, chunk: &Value, out: &mut Vec<Value>) {
        self.is_begun = true;
        self.answer = chunk["id"].clone();
        // What the question has used is known at the end, and told there.
        out.push(json!({"type": "message_start", "message": {
            "id": chunk["id"].as_str().unwrap_or_default(), "type": "message", "role": "assistant",
            "model": chunk["model"], "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": self.tokens.as_messages(),
        }}));
    }

    fn say(&mut self, text: &str, out: &mut Vec<Value>) {
        let at = match self.text {
            Some(at) => at,
            None => {
                let at = self.open(json!({"type": "text", "text": ""}), out);
                self.text = Some(at);
                at
            }
        };
        out.push(delta(at, json!({"type": "text_delta", "text": text})));
    }

    fn open(&mut self, block: Value, out: &mut Vec<Value>) -> u64 {
        let at = self.blocks;
        self.blocks += 1;
        out.push(json!({"type": "content_block_start", "index": at, "content_block": block}));
        at
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
            if let Some(text) = self.text.take() {
                out.push(stop(text));
            }
            let id = id(self.calls.id(at), &self.answer, at);
            let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            let block = self.open(block, out);
            self.called.insert(at, block);
        }
        if let Some(block) = self.called.get(&at).filter(|_| !arguments.is_empty()) {
            out.push(delta(*block, json!({"type": "input_json_delta", "partial_json": arguments})));
        }
    }

    /// The connection is at its end, or the server has said so.
    pub(super) fn end(&mut self, out: &mut Vec<Value>) {
        if self.is_over {
            return;
        }
        if self.reason.is_none() {
            return self.breaks("the model broke off", out);
        }
        self.is_over = true;
        if let Some(text) = self.text.take() {
            out.push(stop(text));
        }
        out.extend(self.called.values().map(|block| stop(*block)));
        let has_calls = !self.called.is_empty();
        let reason = reason_of(self.reason.as_deref(), has_calls, self.is_refused);
        out.push(json!({
            "type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": self.tokens.as_messages(),
        }));
        out.push(json!({"type": "message_stop"}));
    }

    fn breaks(&mut self, what: &str, out: &mut Vec<Value>) {
        self.is_over = true;
        out.push(messages_event(what));
    }
}

fn delta(at: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": at, "delta": delta})
}

fn stop(at: u64) -> Value {
    json!({"type": "content_block_stop", "index": at})
}
