//! A client of one dialect and a model of another, without a wire between them.

use dialects::{Dialect, Terms, Translation};
use serde_json::Value;

/// A time that answers have where the model does not tell one.
pub const NOW: i64 = 1_800_000_000;

pub struct Between(pub Dialect, pub Dialect);

impl Between {
    pub fn begin(&self, request: &Value) -> Result<Translation, String> {
        let terms = Terms { output_name: "max_tokens", now: NOW };
        let made = Translation::of(self.0, self.1, request.to_string().as_bytes(), terms);
        made.expect("these two are known").map_err(|refusal| refusal.to_string())
    }

    /// What the model is asked.
    pub fn asks(&self, request: Value) -> Value {
        let mut translation = self.begin(&request).expect("a request");
        serde_json::from_slice(&translation.take_request()).expect("JSON")
    }

    /// Why it is not asked.
    pub fn refuses(&self, request: Value) -> String {
        self.begin(&request).expect_err("nobody can ask this")
    }

    /// What the client is told of this answer.
    pub fn tells(&self, request: Value, answer: Value) -> Value {
        let translation = self.begin(&request).expect("a request");
        let told = translation.whole(answer.to_string().as_bytes()).expect("an answer");
        serde_json::from_slice(&told).expect("JSON")
    }

    /// What the client is told of these events, up to the end of the connection.
    pub fn streams(&self, request: Value, events: &[Value]) -> Vec<Value> {
        let mut translation = self.begin(&request).expect("a request");
        let mut text = Vec::new();
        for event in events {
            let data = match event {
                Value::String(done) => done.clone(),
                event => event.to_string(),
            };
            text.extend(translation.event(data.as_bytes()));
        }
        text.extend(translation.end());
        read(&text)
    }
}

/// The data of events, each of which has its type before it where the dialect wants that.
fn read(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).expect("text");
    let mut events = Vec::new();
    for event in text.split_terminator("\n\n") {
        let (head, data) = event.split_once("data: ").expect("data");
        if data == "[DONE]" {
            events.push(Value::from(data));
            continue;
        }
        let data: Value = serde_json::from_str(data).expect("JSON");
        if !head.is_empty() {
            assert_eq!(head, format!("event: {}\n", data["type"].as_str().expect("a type")));
        }
        events.push(data);
    }
    events
}

/// What stands at this place in each event that has it.
pub fn all<'a>(events: &'a [Value], place: &str) -> Vec<&'a Value> {
    events.iter().filter_map(|event| event.pointer(place)).filter(|it| !it.is_null()).collect()
}

/// The types of events, one after the other.
pub fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}
