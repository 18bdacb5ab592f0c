//! What an answer of Chat says: a text, or with some servers a list of parts, of which those of text count.

use std::borrow::Cow;

use serde_json::Value;

/// `None` where it says nothing.
pub(crate) fn said(content: &Value) -> Option<Cow<'_, str>> {
    let text = match content {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<String>().into()
        }
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
