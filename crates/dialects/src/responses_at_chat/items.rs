//! The items of a request, as the messages of a conversation.

use serde_json::{Value, json};

use crate::members::{Content, Members};
use crate::refusal::Refusal;

/// What a client sends back of an answer, beside what was said.
const OF_ANSWERS: [&str; 8] =
    ["annotations", "caller", "id", "logprobs", "parsed", "parsed_arguments", "phase", "status"];

pub(super) fn add(asked: &mut Members, messages: &mut Vec<Value>) -> Result<(), Refusal> {
    let items = match asked.content("input")? {
        None => return Err(asked.missing("input")),
        Some(Content::Text(text)) => {
            messages.push(json!({"role": "user", "content": text}));
            return Ok(());
        }
        Some(Content::Parts(items)) => items,
    };
    for mut item in items {
        let kind = item.text("type")?;
        item.leave_out(&OF_ANSWERS);
        match kind.as_deref() {
            None | Some("message") => messages.push(message(&mut item)?),
            Some("function_call") => call(&mut item, messages)?,
            Some("function_call_output") => messages.push(output(&mut item)?),
            // What a model thought is of use to that model alone.
            Some("reasoning") => continue,
            Some("item_reference") => {
                return Err(item.none(
                    "an `item_reference` names what a provider keeps; send the item itself, as clients do with `store: false`",
                ));
            }
            Some(_) => {
                return Err(item.none("there are messages, and calls and outputs of functions"));
            }
        }
        item.end()?;
    }
    Ok(())
}

fn message(item: &mut Members) -> Result<Value, Refusal> {
    let role = match item.text_there("role")?.as_str() {
        // Templates of most local models know no developer.
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        _ => return Err(item.wrong("role", "`user`, `assistant`, `system` or `developer`")),
    };
    let parts = match item.content("content")? {
        None => return Err(item.missing("content")),
        Some(Content::Text(text)) => return Ok(json!({"role": role, "content": text})),
        Some(Content::Parts(parts)) => parts,
    };
    let mut said = Vec::with_capacity(parts.len());
    for part in parts {
        said.push(translated(part, role == "user")?);
    }
    // Many servers take nothing but a text, where there is one.
    let content = match said.as_slice() {
        [one] if one["type"] == "text" => one["text"].clone(),
        _ => Value::Array(said),
    };
    Ok(json!({"role": role, "content": content}))
}

fn translated(mut part: Members, is_user: bool) -> Result<Value, Refusal> {
    part.leave_out(&OF_ANSWERS);
    let made = match part.text_there("type")?.as_str() {
        "input_text" | "output_text" | "text" => {
            json!({"type": "text", "text": part.text_there("text")?})
        }
        "refusal" => json!({"type": "text", "text": part.text_there("refusal")?}),
        "input_image" if is_user => image(&mut part)?,
        "input_file" if is_user => file(&mut part)?,
        _ => return Err(part.none("there are texts, and of a user images and files")),
    };
    part.end()?;
    Ok(made)
}

fn image(part: &mut Members) -> Result<Value, Refusal> {
    part.refuse(&[("file_id", "the image lies at OpenAI; send its data in `image_url`")])?;
    let mut image = json!({"url": part.text_there("image_url")?});
    if let Some(detail) = part.text("detail")? {
        image["detail"] = Value::from(detail);
    }
    Ok(json!({"type": "image_url", "image_url": image}))
}

fn file(part: &mut Members) -> Result<Value, Refusal> {
    part.refuse(&[
        ("file_id", "the file lies at OpenAI; send its data in `file_data`"),
        ("file_url", "send the data itself in `file_data`"),
    ])?;
    part.leave_out(&["detail"]);
    let mut file = json!({"file_data": part.text_there("file_data")?});
    if let Some(name) = part.text("filename")? {
        file["filename"] = Value::from(name);
    }
    Ok(json!({"type": "file", "file": file}))
}

/// Calls of one answer are items of their own there, and one message in Chat.
fn call(item: &mut Members, messages: &mut Vec<Value>) -> Result<(), Refusal> {
    let id = item.text_there("call_id")?;
    let (name, arguments) = (item.text_there("name")?, item.text_there("arguments")?);
    item.refuse(&[("namespace", "functions have no namespaces there")])?;
    let function = json!({"name": name, "arguments": arguments});
    let call = json!({"id": id, "type": "function", "function": function});
    let last = messages.last_mut().filter(|last| last["role"] == "assistant");
    let Some(last) = last else {
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        return Ok(());
    };
    match last.get_mut("tool_calls").and_then(Value::as_array_mut) {
        Some(calls) => calls.push(call),
        None => last["tool_calls"] = json!([call]),
    }
    Ok(())
}

fn output(item: &mut Members) -> Result<Value, Refusal> {
    let id = item.text_there("call_id")?;
    item.leave_out(&["name"]);
    let content = match item.content("output")? {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let mut texts = Vec::with_capacity(parts.len());
            for mut part in parts {
                if part.text_there("type")? != "input_text" {
                    return Err(part.none("the output of a function is text"));
                }
                texts.push(part.text_there("text")?);
                part.end()?;
            }
            texts.join("\n")
        }
    };
    Ok(json!({"role": "tool", "tool_call_id": id, "content": content}))
}
