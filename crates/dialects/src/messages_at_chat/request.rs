//! The request: everything but its messages.

use serde_json::{Map, Value, json};

use super::turns;
use crate::Dialect;
use crate::members::{Members, is_blank};
use crate::refusal::Refusal;

/// Hints, and what is between a client and Anthropic alone.
const LEFT_OUT: [&str; 7] = [
    "cache_control",
    // What it would clear to save room stays in sight.
    "context_management",
    "diagnostics",
    "service_tier",
    "speed",
    "thinking",
    "user_profile_id",
];

const REFUSED: [(&str, &str); 4] = [
    ("container", "the model runs no code; leave it out"),
    ("inference_geo", "where a model computes is what `regions` of a route say"),
    ("mcp_servers", "the model calls no servers; give it tools"),
    ("thread", "the model keeps no thread; a tool runner sends none with `thread=False`"),
];

/// Of a tool, what is a matter of how Anthropic sends it.
const OF_TOOLS: [&str; 5] = [
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "eager_input_streaming",
    "input_examples",
];

pub(super) fn translated(request: Value, output_name: &str) -> Result<Value, Refusal> {
    let mut asked = Members::top(request, Dialect::Chat)?;
    let mut out = Map::new();
    asked.keep("model", &mut out);
    asked.keep_as("max_tokens", output_name, &mut out);
    let mut messages = Vec::new();
    if let Some(text) = turns::joined(&mut asked, "system")?.filter(|it| !is_blank(it)) {
        messages.push(json!({"role": "system", "content": text}));
    }
    for message in asked.objects("messages")? {
        turns::add(message, &mut messages)?;
    }
    out.insert("messages".to_owned(), Value::Array(messages));
    tools(&mut asked, &mut out)?;
    asked.keep("temperature", &mut out);
    asked.keep("top_p", &mut out);
    stop(&mut asked, &mut out);
    format(&mut asked, &mut out)?;
    if let Some(mut metadata) = asked.object("metadata")? {
        metadata.keep_as("user_id", "user", &mut out);
        metadata.end()?;
    }
    asked.keep("stream", &mut out);
    asked.leave_out(&LEFT_OUT);
    asked.refuse(&REFUSED)?;
    asked.end()?;
    Ok(Value::Object(out))
}

fn tools(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    let mut tools = Vec::new();
    for mut tool in asked.objects("tools")? {
        if tool.text("type")?.is_some_and(|kind| kind != "custom") {
            return Err(tool.no(
                "type",
                "the provider runs this tool; the model has those of its client alone",
            ));
        }
        let mut function = Map::new();
        function.insert("name".to_owned(), Value::from(tool.text_there("name")?));
        tool.keep("description", &mut function);
        tool.keep_as("input_schema", "parameters", &mut function);
        tool.keep("strict", &mut function);
        tool.leave_out(&OF_TOOLS);
        tool.end()?;
        tools.push(json!({"type": "function", "function": function}));
    }
    let choice = asked.object("tool_choice")?;
    if tools.is_empty() {
        return Ok(());
    }
    out.insert("tools".to_owned(), Value::Array(tools));
    let Some(mut choice) = choice else { return Ok(()) };
    let made = match choice.text_there("type")?.as_str() {
        "auto" => json!("auto"),
        "any" => json!("required"),
        "none" => json!("none"),
        "tool" => {
            json!({"type": "function", "function": {"name": choice.text_there("name")?}})
        }
        _ => return Err(choice.wrong("type", "`auto`, `any`, `tool` or `none`")),
    };
    out.insert("tool_choice".to_owned(), made);
    if choice.flag("disable_parallel_tool_use")? == Some(true) {
        out.insert("parallel_tool_calls".to_owned(), Value::Bool(false));
    }
    choice.end()
}

fn stop(asked: &mut Members, out: &mut Map<String, Value>) {
    let stop = asked.take("stop_sequences");
    if let Some(stop) = stop.filter(|it| it.as_array().is_none_or(|list| !list.is_empty())) {
        out.insert("stop".to_owned(), stop);
    }
}

fn format(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    let Some(mut config) = asked.object("output_config")? else { return Ok(()) };
    // A hint of how long to think.
    config.leave_out(&["effort"]);
    if let Some(mut format) = config.object("format")? {
        if format.text_there("type")? != "json_schema" {
            return Err(format.no("type", "say `json_schema`"));
        }
        let schema = format.take("schema").ok_or_else(|| format.missing("schema"))?;
        let named = json!({"name": "answer", "schema": schema, "strict": true});
        out.insert(
            "response_format".to_owned(),
            json!({"type": "json_schema", "json_schema": named}),
        );
        format.end()?;
    }
    config.end()
}
