//! What is the same of tools in every dialect: their arguments, and the names of their calls.

use serde_json::{Map, Value, json};

use crate::integers;

/// Under which name arguments are handed on that are no JSON object, as Anthropic advises to send them back.
const INVALID: &str = "INVALID_JSON";

/// Arguments in a text, as the object that they should be. A model may have written anything, and stopped
/// anywhere: nothing of it is lost, and nothing is made up.
pub(crate) fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match integers::read(arguments.as_bytes()) {
        Ok(Value::Object(input)) => Value::Object(input),
        _ => json!({ INVALID: arguments }),
    }
}

/// The id of a call, where Anthropic's interface is told it: it takes no other characters.
pub(crate) fn id(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    text.chars().map(fit).collect()
}

/// Parameters of a tool, whose schema Anthropic wants to be an object's.
pub(crate) fn schema(parameters: Option<Value>) -> Value {
    match parameters {
        Some(Value::Object(mut schema)) => {
            schema.entry("type").or_insert_with(|| Value::from("object"));
            Value::Object(schema)
        }
        _ => json!({"type": "object", "properties": {}}),
    }
}
