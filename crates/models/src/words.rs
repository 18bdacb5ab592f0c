//! What somebody has said last, in a request: for rules that answer in place of a model.

use serde::Deserialize;

use crate::operation::Operation;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    messages: Vec<Turn>,
    prompt: Option<Said>,
    input: Option<Input>,
}

#[derive(Deserialize)]
struct Turn {
    #[serde(default)]
    role: String,
    content: Option<Said>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Turn>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Text(String),
    Parts(Vec<Part>),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text { text: String },
    Other(serde::de::IgnoredAny),
}

/// The text of the user's last turn. None where there is no text, or none that can be read.
#[must_use]
pub fn last_words(operation: Operation, body: &[u8]) -> Option<String> {
    let Request { messages, prompt, input } = serde_json::from_slice(body).ok()?;
    match operation {
        Operation::Chat | Operation::Messages => of_turns(messages),
        Operation::Completions => prompt.and_then(text),
        Operation::Responses => match input? {
            Input::Text(text) => Some(text),
            Input::Items(items) => of_turns(items),
        },
        Operation::Embeddings | Operation::Infer => None,
    }
}

fn of_turns(turns: Vec<Turn>) -> Option<String> {
    let mut users = turns.into_iter().rev().filter(|turn| turn.role == "user");
    // A turn that has results of tools alone says nothing.
    users.find_map(|turn| turn.content.and_then(text))
}

fn text(said: Said) -> Option<String> {
    match said {
        Said::Text(text) => Some(text),
        Said::Parts(parts) => {
            let texts = parts.into_iter().filter_map(|part| match part {
                Part::Text { text } => Some(text),
                Part::Other(_) => None,
            });
            let texts: Vec<String> = texts.collect();
            (!texts.is_empty()).then(|| texts.join("\n"))
        }
        Said::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take what the model has said, the first turn, or a part that is no text.
    #[test]
    fn the_last_words_of_the_user_are_found_in_each_interface() {
        use Operation::{Chat, Completions, Embeddings, Messages, Responses};
        for (operation, body, expected) in [
            (
                Chat,
                r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"tool","content":"d"}]}"#,
                Some("c"),
            ),
            (
                Messages,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{}},{"type":"text","text":"b"}]},{"role":"user","content":[{"type":"tool_result"}]}]}"#,
                Some("a\nb"),
            ),
            (Responses, r#"{"input":"a"}"#, Some("a")),
            (
                Responses,
                r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"function_call_output"}]}"#,
                Some("a"),
            ),
            (Completions, r#"{"prompt":"a"}"#, Some("a")),
            (Completions, r#"{"prompt":[1,2]}"#, None),
            (Chat, r#"{"messages":[]}"#, None),
            (Embeddings, r#"{"input":"a"}"#, None),
        ] {
            assert_eq!(last_words(operation, body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
