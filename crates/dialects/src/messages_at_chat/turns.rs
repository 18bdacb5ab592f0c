//! The messages: in Chat a result of a tool is a message of its own, and calls stand beside the text.

use serde_json::{Map, Value, json};

use crate::members::{Content, Members};
use crate::refusal::Refusal;

/// Adds what one turn says, in the order in which Chat wants it.
pub(super) fn add(mut message: Members, out: &mut Vec<Value>) -> Result<(), Refusal> {
    match message.text_there("role")?.as_str() {
        "user" => user(&mut message, out)?,
        "assistant" => assistant(&mut message, out)?,
        "system" => {
            let text = joined(&mut message, "content")?.unwrap_or_default();
            out.push(json!({"role": "system", "content": text}));
        }
        _ => return Err(message.no("role", "say `user` or `assistant`")),
    }
    message.end()
}

/// A text, or blocks of it, as one text: many servers take no other.
pub(super) fn joined(of: &mut Members, name: &str) -> Result<Option<String>, Refusal> {
    let parts = match of.content(name)? {
        None => return Ok(None),
        Some(Content::Text(text)) => return Ok(Some(text)),
        Some(Content::Parts(parts)) => parts,
    };
    let mut texts = Vec::with_capacity(parts.len());
    for mut part in parts {
        if part.text_there("type")? != "text" {
            return Err(part.none("there is text alone in this place"));
        }
        texts.push(text(&mut part)?);
        part.end()?;
    }
    Ok(Some(texts.join("\n\n")))
}

fn text(part: &mut Members) -> Result<String, Refusal> {
    part.leave_out(&["cache_control", "citations"]);
    part.text_there("text")
}

fn user(message: &mut Members, out: &mut Vec<Value>) -> Result<(), Refusal> {
    let parts = match message.content("content")? {
        None => return Err(message.missing("content")),
        Some(Content::Text(text)) => {
            out.push(json!({"role": "user", "content": text}));
            return Ok(());
        }
        Some(Content::Parts(parts)) => parts,
    };
    let mut said = Vec::new();
    for mut part in parts {
        match part.text_there("type")?.as_str() {
            "text" => said.push(json!({"type": "text", "text": text(&mut part)?})),
            "image" => said.push(image(&mut part)?),
            "document" => said.push(document(&mut part)?),
            // At once: results come before whatever else the user says.
            "tool_result" => out.push(result(&mut part, &mut said)?),
            _ => return Err(part.none("there are texts, images, documents and results of tools")),
        }
        part.end()?;
    }
    match said.as_slice() {
        [] => {}
        // Many servers take nothing but a text, where there is one.
        [one] if one["type"] == "text" => {
            out.push(json!({"role": "user", "content": one["text"]}));
        }
        _ => out.push(json!({"role": "user", "content": said})),
    }
    Ok(())
}

/// The source of a block, and its type.
fn source(part: &mut Members) -> Result<(Members, String), Refusal> {
    let mut source = part.object("source")?.ok_or_else(|| part.missing("source"))?;
    let kind = source.text_there("type")?;
    Ok((source, kind))
}

fn image(part: &mut Members) -> Result<Value, Refusal> {
    part.leave_out(&["cache_control"]);
    let (mut source, kind) = source(part)?;
    let url = match kind.as_str() {
        "base64" => {
            let media = source.text_there("media_type")?;
            format!("data:{media};base64,{}", source.text_there("data")?)
        }
        "url" => source.text_there("url")?,
        _ => return Err(source.no("type", "the file lies at Anthropic; send its data")),
    };
    source.end()?;
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn document(part: &mut Members) -> Result<Value, Refusal> {
    part.leave_out(&["cache_control", "citations"]);
    part.refuse(&[("context", "say it in a text")])?;
    let title = part.text("title")?;
    let (mut source, kind) = source(part)?;
    let document = match kind.as_str() {
        "base64" => {
            let media = source.text_there("media_type")?;
            let data = format!("data:{media};base64,{}", source.text_there("data")?);
            let name = title.unwrap_or_else(|| "document.pdf".to_owned());
            json!({"type": "file", "file": {"filename": name, "file_data": data}})
        }
        "text" => {
            source.leave_out(&["media_type"]);
            json!({"type": "text", "text": source.text_there("data")?})
        }
        _ => return Err(source.no("type", "send the data, in `base64` or as a text")),
    };
    source.end()?;
    Ok(document)
}

/// The text of a result; its images are what the user shows then, since there they cannot be in it.
fn result(part: &mut Members, shown: &mut Vec<Value>) -> Result<Value, Refusal> {
    // That it went wrong is what its text says; Chat has no other place for it.
    part.leave_out(&["cache_control", "is_error"]);
    let id = part.text_there("tool_use_id")?;
    let mut texts = Vec::new();
    match part.content("content")? {
        None => {}
        Some(Content::Text(text)) => texts.push(text),
        Some(Content::Parts(parts)) => {
            for mut part in parts {
                match part.text_there("type")?.as_str() {
                    "text" => texts.push(text(&mut part)?),
                    "image" => shown.push(image(&mut part)?),
                    _ => return Err(part.none("a result has texts and images")),
                }
                part.end()?;
            }
        }
    }
    Ok(json!({"role": "tool", "tool_call_id": id, "content": texts.join("\n")}))
}

fn assistant(message: &mut Members, out: &mut Vec<Value>) -> Result<(), Refusal> {
    let mut texts = String::new();
    let mut calls = Vec::new();
    match message.content("content")? {
        None => return Err(message.missing("content")),
        Some(Content::Text(text)) => texts = text,
        Some(Content::Parts(parts)) => {
            for mut part in parts {
                match part.text_there("type")?.as_str() {
                    "text" => texts.push_str(&text(&mut part)?),
                    "tool_use" => calls.push(call(&mut part)?),
                    // Signed by the model that thought it, and of use to no other.
                    "thinking" | "redacted_thinking" => continue,
                    _ => return Err(part.none("there are texts and calls of the client's tools")),
                }
                part.end()?;
            }
        }
    }
    let mut made = Map::new();
    made.insert("role".to_owned(), Value::from("assistant"));
    let content = if texts.is_empty() && !calls.is_empty() { Value::Null } else { texts.into() };
    made.insert("content".to_owned(), content);
    if !calls.is_empty() {
        made.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    out.push(Value::Object(made));
    Ok(())
}

fn call(part: &mut Members) -> Result<Value, Refusal> {
    part.leave_out(&["cache_control", "caller"]);
    let (id, name) = (part.text_there("id")?, part.text_there("name")?);
    let input = part.take("input").unwrap_or_else(|| json!({}));
    Ok(json!({
        "id": id, "type": "function",
        "function": {"name": name, "arguments": input.to_string()},
    }))
}
