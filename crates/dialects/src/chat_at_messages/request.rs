//! The request: everything but its messages.

use serde_json::{Map, Value, json};

use super::turns::Turns;
use crate::Dialect;
use crate::members::{Members, is_blank};
use crate::refusal::Refusal;
use crate::tool;

/// Hints, and what is between a client and OpenAI alone.
const LEFT_OUT: [&str; 11] = [
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "seed",
    "service_tier",
    "stream_options",
    "verbosity",
];

const REFUSED: [(&str, &str); 3] = [
    ("function_call", "say `tool_choice`"),
    ("functions", "say `tools`"),
    ("web_search_options", "the model cannot search; leave it out"),
];

/// The request in the other dialect, and whether its client wants to see what a stream has used.
pub(super) fn translated(request: Value) -> Result<(Value, bool), Refusal> {
    let mut asked = Members::top(request, Dialect::Messages)?;
    let wants_usage = match asked.object("stream_options")? {
        Some(mut options) => options.flag("include_usage")?.unwrap_or(false),
        None => false,
    };
    let mut turns = Turns::default();
    for message in asked.objects("messages")? {
        turns.take(message)?;
    }
    let (system, messages) = turns.end().ok_or_else(|| asked.missing("messages"))?;
    let mut out = Map::new();
    asked.keep("model", &mut out);
    limit(&mut asked, &mut out);
    if !system.is_empty() {
        out.insert("system".to_owned(), Value::Array(system));
    }
    out.insert("messages".to_owned(), Value::Array(messages));
    tools(&mut asked, &mut out)?;
    sampling(&mut asked, &mut out)?;
    stop(&mut asked, &mut out)?;
    format(&mut asked, &mut out)?;
    if let Some(user) = asked.text("user")? {
        out.insert("metadata".to_owned(), json!({ "user_id": user }));
    }
    asked.keep("stream", &mut out);
    plain(&mut asked)?;
    asked.leave_out(&LEFT_OUT);
    asked.refuse(&REFUSED)?;
    asked.end()?;
    Ok((Value::Object(out), wants_usage))
}

/// Of two limits the newer one counts, as at OpenAI.
fn limit(asked: &mut Members, out: &mut Map<String, Value>) {
    let older = asked.take("max_tokens");
    if let Some(limit) = asked.take("max_completion_tokens").or(older) {
        out.insert("max_tokens".to_owned(), limit);
    }
}

fn tools(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    let mut tools = Vec::new();
    for mut tool in asked.objects("tools")? {
        if tool.text("type")?.is_some_and(|kind| kind != "function") {
            return Err(tool.no("type", "a tool is a `function` there"));
        }
        let mut function = tool.object("function")?.ok_or_else(|| tool.missing("function"))?;
        let mut made = Map::new();
        made.insert("name".to_owned(), Value::from(function.text_there("name")?));
        function.keep("description", &mut made);
        made.insert("input_schema".to_owned(), tool::schema(function.take("parameters")));
        if function.flag("strict")? == Some(true) {
            made.insert("strict".to_owned(), Value::Bool(true));
        }
        tool.keep("cache_control", &mut made);
        function.end()?;
        tool.end()?;
        tools.push(Value::Object(made));
    }
    let choice = choice(asked)?;
    let is_parallel = asked.flag("parallel_tool_calls")?;
    // Without tools there is nothing to choose, and Anthropic takes no choice.
    if tools.is_empty() {
        return Ok(());
    }
    out.insert("tools".to_owned(), Value::Array(tools));
    let is_single = is_parallel == Some(false);
    let choice = choice.or_else(|| is_single.then(|| json!({"type": "auto"})));
    if let Some(mut choice) = choice {
        if is_single && choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = Value::Bool(true);
        }
        out.insert("tool_choice".to_owned(), choice);
    }
    Ok(())
}

fn choice(asked: &mut Members) -> Result<Option<Value>, Refusal> {
    const NAME: &str = "tool_choice";
    let choice = match asked.take(NAME) {
        None => return Ok(None),
        Some(choice) => choice,
    };
    let kind = match &choice {
        Value::String(word) => match word.as_str() {
            "auto" => "auto",
            "none" => "none",
            "required" => "any",
            _ => return Err(asked.wrong(NAME, "`auto`, `none`, `required` or a function")),
        },
        chosen => {
            let name = chosen["function"]["name"].as_str();
            return match name.filter(|_| chosen["type"] == "function") {
                Some(name) => Ok(Some(json!({"type": "tool", "name": name}))),
                None => Err(asked.no(NAME, "name one function, or say `auto`")),
            };
        }
    };
    Ok(Some(json!({ "type": kind })))
}

fn sampling(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    // From 0 to 2 there, from 0 to 1 here: what is hotter is as hot as it can be.
    match asked.take("temperature") {
        Some(value) if value.as_f64().is_some_and(|it| it > 1.0) => {
            out.insert("temperature".to_owned(), Value::from(1));
        }
        Some(value) => {
            out.insert("temperature".to_owned(), value);
        }
        None => {}
    }
    asked.keep("top_p", out);
    asked.keep("top_k", out);
    for name in ["frequency_penalty", "presence_penalty"] {
        if asked.number(name)?.is_some_and(|it| it != 0.0) {
            return Err(asked.no(name, "leave it out, or say 0"));
        }
    }
    Ok(())
}

fn stop(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    let stop = match asked.take("stop") {
        None => return Ok(()),
        Some(Value::String(text)) => vec![Value::String(text)],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(asked.wrong("stop", "a string or a list of strings")),
    };
    for text in &stop {
        match text.as_str() {
            None => return Err(asked.wrong("stop", "a string or a list of strings")),
            Some(text) if is_blank(text) => {
                return Err(asked.no("stop", "a stop sequence of blanks alone is not taken"));
            }
            Some(_) => {}
        }
    }
    if !stop.is_empty() {
        out.insert("stop_sequences".to_owned(), Value::Array(stop));
    }
    Ok(())
}

fn format(asked: &mut Members, out: &mut Map<String, Value>) -> Result<(), Refusal> {
    const NAME: &str = "response_format";
    let Some(mut format) = asked.object(NAME)? else { return Ok(()) };
    match format.text_there("type")?.as_str() {
        "text" => Ok(()),
        "json_schema" => {
            let mut named =
                format.object("json_schema")?.ok_or_else(|| format.missing("json_schema"))?;
            let schema = named.take("schema").ok_or_else(|| named.missing("schema"))?;
            let format = json!({"type": "json_schema", "schema": schema});
            out.insert("output_config".to_owned(), json!({ "format": format }));
            Ok(())
        }
        _ => Err(asked.no(NAME, "say `json_schema` with a schema, or `text`")),
    }
}

/// What is the same in both dialects where it says the usual, and nothing in the other where it does not.
fn plain(asked: &mut Members) -> Result<(), Refusal> {
    asked.only_usual(&[
        ("n", |it| it.as_u64() == Some(1), "there is one answer to a question"),
        ("logit_bias", |it| it == &json!({}), "leave it out"),
        ("logprobs", |it| it == &Value::Bool(false), "leave it out"),
        ("store", |it| it == &Value::Bool(false), "nothing is kept there; leave it out"),
        ("modalities", |it| it == &json!(["text"]), "there is text alone"),
        ("top_logprobs", |it| it.as_u64() == Some(0), "leave it out"),
    ])
}
