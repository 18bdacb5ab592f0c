//! The request: everything but its items.

use serde_json::{Map, Value, json};

use super::items;
use crate::Dialect;
use crate::members::Members;
use crate::refusal::Refusal;

/// Hints, and what is between a client and OpenAI alone.
const LEFT_OUT: [&str; 7] = [
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "stream_options",
];

const REFUSED: [(&str, &str); 3] = [
    ("conversation", "nothing is kept of what was said before; send it in `input`"),
    ("previous_response_id", "nothing is kept of what was said before; send it in `input`"),
    ("prompt", "it lies at OpenAI; send its text in `input`"),
];

/// What an answer repeats of its request.
const REPEATED: [&str; 10] = [
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
];

/// The request in the other dialect, and what the answer is to repeat.
pub(super) fn translated(
    request: Value,
    output_name: &str,
) -> Result<(Value, Map<String, Value>), Refusal> {
    let said = repeated(&request);
    let mut asked = Members::top(request, Dialect::Chat)?;
    let mut out = Map::new();
    asked.keep("model", &mut out);
    asked.keep_as("max_output_tokens", output_name, &mut out);
    let mut messages = Vec::new();
    if let Some(text) = asked.text("instructions")? {
        messages.push(json!({"role": "system", "content": text}));
    }
    items::add(&mut asked, &mut messages)?;
    out.insert("messages".to_owned(), Value::Array(messages));
    tools(&mut asked, &mut out)?;
    format(&mut asked, &mut out)?;
    if let Some(mut reasoning) = asked.object("reasoning")? {
        reasoning.keep_as("effort", "reasoning_effort", &mut out);
        reasoning.leave_out(&["summary", "generate_summary"]);
        reasoning.end()?;
    }
    for name in ["temperature", "top_p", "user"] {
        asked.keep(name, &mut out);
    }
    if asked.take("stream") == Some(Value::Bool(true)) {
        out.insert("stream".to_owned(), Value::Bool(true));
        // The last event says what was used.
        out.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    plain(&mut asked)?;
    asked.leave_out(&["metadata"]);
    asked.leave_out(&LEFT_OUT);
    asked.refuse(&REFUSED)?;
    asked.end()?;
    Ok((Value::Object(out), said))
}

fn repeated(request: &Value) -> Map<String, Value> {
    let there = |name: &str| Some((name.to_owned(), request.get(name)?.clone()));
    REPEATED.into_iter().filter_map(there).collect()
}

fn tools(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    let mut tools = Vec::new();
    for mut tool in asked.objects("tools")? {
        if tool.text_there("type")? != "function" {
            return Err(tool.no(
                "type",
                "the provider runs this tool; the model has functions of its client alone",
            ));
        }
        let mut function = Map::new();
        for name in ["name", "description", "parameters", "strict"] {
            tool.keep(name, &mut function);
        }
        tool.end()?;
        tools.push(json!({"type": "function", "function": function}));
    }
    let choice = match asked.take("tool_choice") {
        None => None,
        Some(Value::String(word)) => Some(Value::String(word)),
        Some(chosen) => match chosen["name"].as_str().filter(|_| chosen["type"] == "function") {
            Some(name) => Some(json!({"type": "function", "function": {"name": name}})),
            None => return Err(asked.no("tool_choice", "name one function, or say `auto`")),
        },
    };
    let is_parallel = asked.take("parallel_tool_calls");
    if tools.is_empty() {
        return Ok(());
    }
    out.insert("tools".to_owned(), Value::Array(tools));
    let more = [("tool_choice", choice), ("parallel_tool_calls", is_parallel)];
    let there = more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    out.extend(there);
    Ok(())
}

fn format(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    let Some(mut text) = asked.object("text")? else { return Ok(()) };
    // A hint of how much to say.
    text.leave_out(&["verbosity"]);
    if let Some(mut format) = text.object("format")? {
        let made = match format.text_there("type")?.as_str() {
            "text" => None,
            "json_object" => Some(json!({"type": "json_object"})),
            "json_schema" => {
                let mut schema = Map::new();
                for name in ["name", "description", "schema", "strict"] {
                    format.keep(name, &mut schema);
                }
                Some(json!({"type": "json_schema", "json_schema": schema}))
            }
            _ => return Err(format.no("type", "say `text`, `json_object` or `json_schema`")),
        };
        format.end()?;
        out.extend(made.map(|made| ("response_format".to_owned(), made)));
    }
    text.end()
}

/// What is usual means nothing more; what is not has no counterpart.
fn plain(asked: &mut Members) -> Result<(), Refusal> {
    asked.only_usual(&[
        ("store", |it| it == &Value::Bool(false), "nothing is kept; leave it out, or say `false`"),
        ("background", |it| it == &Value::Bool(false), "it answers at once; leave it out"),
        ("top_logprobs", |it| it.as_u64() == Some(0), "leave it out"),
        ("include", is_harmless, "leave it out"),
        ("truncation", |it| it == "disabled", "shorten what is sent, and leave it out"),
    ])
}

/// What a model thought is not to be had from Chat; clients ask for it in any case.
fn is_harmless(include: &Value) -> bool {
    let list = include.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().all(|it| it == "reasoning.encrypted_content")
}
