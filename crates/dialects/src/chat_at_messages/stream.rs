//! The answer, event by event.

use serde_json::{Value, json};

use super::answer::{arguments, finish};
use crate::error::{chat_event, message};
use crate::tokens::Tokens;

#[derive(Debug)]
pub(super) struct Stream {
    created: i64,
    wants_usage: bool,
    id: Value,
    model: Value,
    tokens: Tokens,
    finish: Option<&'static str>,
    /// Calls of tools so far: Chat counts them alone, Messages all blocks.
    calls: u64,
    /// The call that comes now.
    call: Option<Call>,
    is_over: bool,
}

#[derive(Debug)]
struct Call {
    block: u64,
    /// What its first event already has; some servers send all of it there.
    input: Option<String>,
    has_more: bool,
}

impl Stream {
    pub(super) fn new(created: i64, wants_usage: bool) -> Self {
        Self {
            created,
            wants_usage,
            id: Value::Null,
            model: Value::Null,
            tokens: Tokens::default(),
            finish: None,
            calls: 0,
            call: None,
            is_over: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn event(&mut self, event: &Value, out: &mut Vec<Value>) {
        if self.is_over {
            return;
        }
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                let message = &event["message"];
                (self.id, self.model) = (message["id"].clone(), message["model"].clone());
                self.tokens.messages_say(&message["usage"]);
                out.push(self.chunk(json!({"role": "assistant", "content": ""}), None));
            }
            "content_block_start" => self.begins(event, out),
            "content_block_delta" => self.goes_on(event, out),
            "content_block_stop" => self.ends(out),
            "message_delta" => {
                self.tokens.messages_say(&event["usage"]);
                if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                    self.finish = Some(finish(Some(reason)));
                }
            }
            "message_stop" => self.stop(out),
            "error" => {
                self.is_over = true;
                let said = message(event).unwrap_or("the model broke off");
                out.push(chat_event(said));
            }
            // `ping`, and whatever comes to be.
            _ => {}
        }
    }

    /// The connection is at its end. Messages says itself when it has ended well.
    pub(super) fn end(&mut self, out: &mut Vec<Value>) {
        if !self.is_over {
            self.is_over = true;
            out.push(chat_event("the model broke off"));
        }
    }

    fn begins(&mut self, event: &Value, out: &mut Vec<Value>) {
        let block = &event["content_block"];
        match block["type"].as_str() {
            Some("text") => self.text(&block["text"], out),
            Some("tool_use") => {
                self.ends(out);
                let head = json!({
                    "index": self.calls, "id": block["id"], "type": "function",
                    "function": {"name": block["name"], "arguments": ""},
                });
                self.calls += 1;
                let input = block["input"].as_object().filter(|input| !input.is_empty());
                self.call = Some(Call {
                    block: event["index"].as_u64().unwrap_or_default(),
                    input: input.map(|_| arguments(&block["input"])),
                    has_more: false,
                });
                out.push(self.chunk(json!({"tool_calls": [head]}), None));
            }
            _ => {}
        }
    }

    fn goes_on(&mut self, event: &Value, out: &mut Vec<Value>) {
        let delta = &event["delta"];
        match delta["type"].as_str() {
            Some("text_delta") => self.text(&delta["text"], out),
            Some("input_json_delta") => {
                let at = event["index"].as_u64().unwrap_or_default();
                let Some(call) = self.call.as_mut().filter(|call| call.block == at) else { return };
                let part = delta["partial_json"].as_str().unwrap_or_default();
                if !part.is_empty() {
                    call.has_more = true;
                    out.push(self.arguments(part));
                }
            }
            _ => {}
        }
    }

    /// A call without a word of arguments has an empty object of them.
    fn ends(&mut self, out: &mut Vec<Value>) {
        if let Some(call) = self.call.take().filter(|call| !call.has_more) {
            out.push(self.arguments(call.input.as_deref().unwrap_or("{}")));
        }
    }

    fn text(&self, text: &Value, out: &mut Vec<Value>) {
        if let Some(text) = text.as_str().filter(|text| !text.is_empty()) {
            out.push(self.chunk(json!({ "content": text }), None));
        }
    }

    fn arguments(&self, part: &str) -> Value {
        let index = self.calls.saturating_sub(1);
        let call = json!({"index": index, "function": {"arguments": part}});
        self.chunk(json!({"tool_calls": [call]}), None)
    }

    fn stop(&mut self, out: &mut Vec<Value>) {
        self.ends(out);
        self.is_over = true;
        out.push(self.chunk(json!({}), Some(self.finish.unwrap_or("stop"))));
        if self.wants_usage {
            let mut chunk = self.chunk(json!({}), None);
            chunk["choices"] = json!([]);
            chunk["usage"] = self.tokens.as_chat();
            out.push(chunk);
        }
    }

    fn chunk(&self, delta: Value, finish: Option<&str>) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish,
            }],
        })
    }
}
