//! What in a request lets nobody say how much is done for it: members by which some server takes another model or
//! another limit than those that were looked at, and tools that the provider runs as often as it likes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::operation::Operation;

/// Of the type of a tool, in an error. The longest known ones have some thirty.
const KIND_CHARS_MAX: usize = 40;

/// Members by which one server or another takes another model than `model`, another limit than that of the output,
/// or does work that is billed beside the tokens: of llama.cpp, OpenRouter, LiteLLM, xAI, Groq, DashScope, Gemini,
/// Azure, Anthropic.
pub(crate) const UNBOUNDED: [&str; 18] = [
    "n_predict",
    "num_predict",
    "models",
    "plugins",
    "preset",
    "provider",
    "fallbacks",
    "extra_body",
    "search_parameters",
    "search_settings",
    "enable_search",
    "web_search_options",
    "compound_custom",
    "data_sources",
    "mcp_servers",
    "context_management",
    "container",
    "thread",
];

/// Types of tools that the client runs. Some have a date behind them.
const OF_CLIENT: [&str; 9] = [
    "function",
    "custom",
    "bash_",
    "text_editor_",
    "memory_",
    "computer_",
    "computer",
    "local_shell",
    "apply_patch",
];

/// The first of a request that lets nobody say how much is done for it.
pub(crate) fn unbounded<'a>(
    operation: Operation,
    get: &impl Fn(&str) -> Option<&'a RawValue>,
) -> Option<String> {
    let is_there = |name: &&str| get(name).is_some_and(|raw| raw.get() != "null");
    if let Some(name) = UNBOUNDED.iter().find(|name| is_there(name)) {
        return Some((*name).to_owned());
    }
    // Of the Responses API: what somebody has kept at the provider, with tools of its own.
    if operation == Operation::Responses && is_there(&"prompt") {
        return Some("prompt".to_owned());
    }
    let Some(tools) = tools(get) else { return Some("tools".to_owned()) };
    let kind =
        tools.iter().filter_map(|tool| tool.kind.as_deref()).find(|kind| !is_of_client(kind))?;
    Some(format!("tools: {}", kind.chars().take(KIND_CHARS_MAX).collect::<String>()))
}

/// A provider runs all tools that are not known to be the client's, and bills them.
fn is_of_client(kind: &str) -> bool {
    OF_CLIENT.iter().any(|known| match known.strip_suffix('_') {
        Some(_) => kind.starts_with(known),
        None => kind == *known,
    })
}

#[derive(Deserialize)]
pub(crate) struct Tool<'a> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// What is offered to the model; none where it cannot be read.
pub(crate) fn tools<'a>(get: &impl Fn(&str) -> Option<&'a RawValue>) -> Option<Vec<Tool<'a>>> {
    match get("tools") {
        Some(raw) if raw.get() != "null" => serde_json::from_str(raw.get()).ok(),
        _ => Some(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use crate::ask::Ask;
    use crate::operation::Operation;

    /// Mutation: take a tool of the provider's for one of the client's, or pass a member by which a server takes
    /// another limit or model.
    #[test]
    fn what_lets_nobody_say_how_much_is_done_is_named() {
        let named = |operation: Operation, more: &str| {
            let question = operation.question();
            let text = format!(r#"{{"model":"a","{question}":[]{more}}}"#);
            Ask::read(operation, text.as_bytes()).expect(more).unbounded
        };
        for (more, expected) in [
            ("", None),
            (r#","tools":[{"type":"function","function":{"name":"f"}},{"name":"g"}]"#, None),
            (r#","tools":[{"type":"custom"},{"type":"apply_patch"}]"#, None),
            (
                r#","tools":[{"type":"bash_20250124","name":"bash"},{"type":"computer_20250124"}]"#,
                None,
            ),
            (r#","tools":[{"type":"function"},{"type":"web_search"}]"#, Some("tools: web_search")),
            (r#","tools":[{"type":"functions"}]"#, Some("tools: functions")),
            (r#","tools":7"#, Some("tools")),
            (r#","n_predict":9"#, Some("n_predict")),
            (r#","models":["b"],"top_k":3"#, Some("models")),
            (r#","plugins":null,"web_search_options":{}"#, Some("web_search_options")),
        ] {
            for operation in [Operation::Chat, Operation::Responses, Operation::Messages] {
                assert_eq!(named(operation, more).as_deref(), expected, "{more}");
            }
        }
        let prompt = r#","prompt":{"id":"p"}"#;
        assert_eq!(named(Operation::Responses, prompt).as_deref(), Some("prompt"));
        assert_eq!(named(Operation::Chat, prompt), None);
    }
}
