//! An answer of plain text that no model has given, in the form that the clients of each dialect read.

use serde_json::{Map, Value, json};

use crate::Dialect;
use crate::messages_at_chat::MessagesAtChat;
use crate::responses_at_chat::ResponsesAtChat;
use crate::translation::{Step, Translation};

/// A text as an answer.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a> {
    /// Of the answer.
    pub id: &'a str,
    pub model: &'a str,
    pub text: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

impl Plain<'_> {
    /// The whole answer.
    #[must_use]
    pub fn whole(&self, client: Dialect) -> Vec<u8> {
        let message = json!({"role": "assistant", "content": self.text, "refusal": null});
        let answer = self.chat("chat.completion", "message", &message, Some("stop"));
        let answer = self.with_usage(answer).to_string().into_bytes();
        match self.translation(client) {
            Some(translation) => translation.whole(&answer).expect("our own answer is read"),
            None => answer,
        }
    }

    /// The same as a stream: one piece, and its end.
    #[must_use]
    pub fn events(&self, client: Dialect, wants_usage: bool) -> Vec<u8> {
        let kind = "chat.completion.chunk";
        let said = json!({"role": "assistant", "content": self.text});
        let mut chunks = vec![
            self.chat(kind, "delta", &said, None),
            self.chat(kind, "delta", &json!({}), Some("stop")),
        ];
        if wants_usage {
            let mut usage = self.with_usage(self.chat(kind, "delta", &json!({}), None));
            usage["choices"] = json!([]);
            chunks.push(usage);
        }
        let Some(mut translation) = self.translation(client) else {
            return sent(&chunks);
        };
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(translation.event(chunk.to_string().as_bytes()));
        }
        events.extend(translation.end());
        events
    }

    /// The answer of the interface from before chat.
    #[must_use]
    pub fn completion(&self) -> Vec<u8> {
        self.with_usage(self.completed("stop")).to_string().into_bytes()
    }

    #[must_use]
    pub fn completion_events(&self, wants_usage: bool) -> Vec<u8> {
        let mut chunks = vec![self.completed("stop")];
        if wants_usage {
            let mut usage = self.with_usage(self.completed("stop"));
            usage["choices"] = json!([]);
            chunks.push(usage);
        }
        sent(&chunks)
    }

    fn completed(&self, finish: &str) -> Value {
        json!({
            "id": self.id, "object": "text_completion", "created": self.now, "model": self.model,
            "choices": [{"index": 0, "text": self.text, "logprobs": null, "finish_reason": finish}],
        })
    }

    fn chat(&self, object: &str, member: &str, said: &Value, finish: Option<&str>) -> Value {
        let mut choice = json!({"index": 0, "logprobs": null, "finish_reason": finish});
        choice[member] = said.clone();
        json!({
            "id": self.id, "object": object, "created": self.now, "model": self.model,
            "choices": [choice],
        })
    }

    /// No model has used anything.
    fn with_usage(&self, mut answer: Value) -> Value {
        answer["usage"] = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
        answer
    }

    fn translation(&self, client: Dialect) -> Option<Translation> {
        let step = match client {
            Dialect::Chat => return None,
            Dialect::Messages => Step::MessagesAtChat(MessagesAtChat::default()),
            Dialect::Responses => {
                Step::ResponsesAtChat(ResponsesAtChat::plain(Map::new(), self.now))
            }
        };
        Some(Translation::plain(client, step))
    }
}

fn sent(chunks: &[Value]) -> Vec<u8> {
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    (events + "data: [DONE]\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Plain<'static> = Plain { id: "call_1", model: "desk", text: "9 to \"5\"", now: 7 };

    /// Mutation: answer all clients in one form, or leave out the end of a stream.
    #[test]
    fn each_client_reads_the_text_in_its_own_form() {
        for (client, text, end) in [
            (Dialect::Chat, "/choices/0/message/content", "data: [DONE]\n\n"),
            (Dialect::Messages, "/content/0/text", "data: {\"type\":\"message_stop\"}\n\n"),
            (Dialect::Responses, "/output/0/content/0/text", "\n\n"),
        ] {
            let whole: Value = serde_json::from_slice(&PLAIN.whole(client)).expect("JSON");
            assert_eq!(whole.pointer(text), Some(&Value::from(PLAIN.text)), "{whole}");
            let events = String::from_utf8(PLAIN.events(client, false)).expect("text");
            assert!(events.contains("9 to \\\"5\\\"") && events.ends_with(end), "{events}");
        }
        let responses = String::from_utf8(PLAIN.events(Dialect::Responses, false)).expect("text");
        assert!(responses.contains("event: response.completed"), "{responses}");
        let whole: Value = serde_json::from_slice(&PLAIN.completion()).expect("JSON");
        assert_eq!(whole["choices"][0]["text"], PLAIN.text);
        let counted = |events: Vec<u8>| String::from_utf8_lossy(&events).contains("total_tokens");
        assert!(counted(PLAIN.completion_events(true)) && !counted(PLAIN.completion_events(false)));
        assert!(counted(PLAIN.events(Dialect::Chat, true)));
    }
}
