//! The messages: at Anthropic the two sides take turns, what the system says stands apart, and results of
//! tools are the user's.

use serde_json::{Map, Value, json};

use crate::members::{Content, Members, data_url, is_blank};
use crate::refusal::Refusal;
use crate::tool;

/// Of an answer that a client sends back as it got it.
const OF_ANSWERS: [&str; 5] =
    ["annotations", "parsed", "reasoning", "reasoning_content", "reasoning_details"];

#[derive(Debug, Default)]
pub(super) struct Turns {
    system: Vec<Value>,
    turns: Vec<Turn>,
}

#[derive(Debug)]
struct Turn {
    role: Role,
    content: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
}

impl Turns {
    pub(super) fn take(&mut self, mut message: Members) -> Result<(), Refusal> {
        let role = message.text_there("role")?;
        // It tells several users apart, which Anthropic does not.
        message.leave_out(&["name"]);
        match role.as_str() {
            "system" | "developer" => {
                let mut blocks = Vec::new();
                for block in texts(&mut message)? {
                    blocks.extend(block.block());
                }
                self.system.append(&mut blocks);
            }
            "user" => {
                let blocks = user(&mut message)?;
                self.push(Role::User, blocks);
            }
            "assistant" => {
                let blocks = assistant(&mut message)?;
                self.push(Role::Assistant, blocks);
            }
            "tool" => {
                let block = result(&mut message)?;
                self.push(Role::User, vec![block]);
            }
            _ => return Err(message.no("role", "say `system`, `user`, `assistant` or `tool`")),
        }
        message.end()
    }

    /// Two messages of one side are one turn: results of tools that ran side by side must stand together.
    fn push(&mut self, role: Role, mut content: Vec<Value>) {
        match self.turns.last_mut() {
            Some(last) if last.role == role => last.content.append(&mut content),
            _ if content.is_empty() => {}
            _ => self.turns.push(Turn { role, content }),
        }
    }

    /// What the system says, and the turns; `None` where nobody says anything.
    pub(super) fn end(mut self) -> Option<(Vec<Value>, Vec<Value>)> {
        if self.turns.is_empty() {
            return None;
        }
        if let Some(last) = self.turns.last_mut().filter(|it| it.role == Role::Assistant) {
            last.trim();
        }
        let message = |turn: Turn| {
            let role = match turn.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            json!({"role": role, "content": turn.content})
        };
        Some((self.system, self.turns.into_iter().map(message).collect()))
    }
}

impl Turn {
    /// The beginning of an answer, which the model goes on with, must not end in a blank.
    fn trim(&mut self) {
        if let Some(Value::String(text)) = self.content.last_mut().and_then(|it| it.get_mut("text"))
        {
            text.truncate(text.trim_end().len());
        }
    }
}

/// A text, and what a cache is told of it.
struct Text {
    text: String,
    cache_control: Option<Value>,
}

impl Text {
    fn block(self) -> Option<Value> {
        if is_blank(&self.text) {
            return None;
        }
        let block = json!({"type": "text", "text": self.text});
        Some(with_cache(block, self.cache_control))
    }
}

fn with_cache(mut block: Value, cache_control: Option<Value>) -> Value {
    if let Some(control) = cache_control {
        block["cache_control"] = control;
    }
    block
}

/// A message that has nothing but text.
fn texts(message: &mut Members) -> Result<Vec<Text>, Refusal> {
    match message.content("content")? {
        None => Ok(Vec::new()),
        Some(Content::Text(text)) => Ok(vec![Text { text, cache_control: None }]),
        Some(Content::Parts(parts)) => parts.into_iter().map(text).collect(),
    }
}

fn text(mut part: Members) -> Result<Text, Refusal> {
    let name = match part.text_there("type")?.as_str() {
        "text" => "text",
        "refusal" => "refusal",
        _ => return Err(part.none("there is text alone in this place")),
    };
    let text = part.text_there(name)?;
    let cache_control = part.take("cache_control");
    part.end()?;
    Ok(Text { text, cache_control })
}

fn user(message: &mut Members) -> Result<Vec<Value>, Refusal> {
    let parts = match message.content("content")? {
        None => return Err(message.missing("content")),
        Some(Content::Text(text)) => {
            return Ok(Text { text, cache_control: None }.block().into_iter().collect());
        }
        Some(Content::Parts(parts)) => parts,
    };
    let mut blocks = Vec::with_capacity(parts.len());
    for mut part in parts {
        let kind = part.text_there("type")?;
        let cache_control = part.take("cache_control");
        match kind.as_str() {
            "text" => {
                let text = part.text_there("text")?;
                blocks.extend(Text { text, cache_control }.block());
            }
            "image_url" => blocks.push(with_cache(image(&mut part)?, cache_control)),
            "file" => blocks.push(with_cache(document(&mut part)?, cache_control)),
            _ => return Err(part.none("there are texts, images and PDF documents")),
        }
        part.end()?;
    }
    Ok(blocks)
}

fn image(part: &mut Members) -> Result<Value, Refusal> {
    let mut image = part.object("image_url")?.ok_or_else(|| part.missing("image_url"))?;
    let url = image.text_there("url")?;
    // How finely it is looked at is not to be chosen there.
    image.leave_out(&["detail"]);
    let source = match data_url(&url) {
        Some((media, data)) => json!({"type": "base64", "media_type": media, "data": data}),
        None if url.starts_with("https://") || url.starts_with("http://") => {
            json!({"type": "url", "url": url})
        }
        None => return Err(image.wrong("url", "an address, or `data:image/…;base64,…`")),
    };
    image.end()?;
    Ok(json!({"type": "image", "source": source}))
}

fn document(part: &mut Members) -> Result<Value, Refusal> {
    let mut file = part.object("file")?.ok_or_else(|| part.missing("file"))?;
    file.refuse(&[("file_id", "the file lies at OpenAI; send its data in `file_data`")])?;
    let data = file.text_there("file_data")?;
    let Some(("application/pdf", data)) = data_url(&data) else {
        return Err(file.wrong("file_data", "`data:application/pdf;base64,…`"));
    };
    let source = json!({"type": "base64", "media_type": "application/pdf", "data": data});
    let mut block = json!({"type": "document", "source": source});
    if let Some(name) = file.text("filename")? {
        block["title"] = Value::from(name);
    }
    file.end()?;
    Ok(block)
}

fn assistant(message: &mut Members) -> Result<Vec<Value>, Refusal> {
    message.leave_out(&OF_ANSWERS);
    message
        .refuse(&[("audio", "sound cannot be sent back"), ("function_call", "say `tool_calls`")])?;
    let mut blocks: Vec<Value> = texts(message)?.into_iter().filter_map(Text::block).collect();
    if let Some(text) = message.text("refusal")? {
        blocks.extend(Text { text, cache_control: None }.block());
    }
    for mut call in message.objects("tool_calls")? {
        if call.text("type")?.is_some_and(|kind| kind != "function") {
            return Err(call.no("type", "a tool is a `function` there"));
        }
        let mut function = call.object("function")?.ok_or_else(|| call.missing("function"))?;
        let mut block = Map::new();
        block.insert("type".to_owned(), Value::from("tool_use"));
        block.insert("id".to_owned(), Value::from(tool::id(&call.text_there("id")?)));
        block.insert("name".to_owned(), Value::from(function.text_there("name")?));
        let arguments = function.text("arguments")?.unwrap_or_default();
        block.insert("input".to_owned(), tool::input(&arguments));
        call.leave_out(&["index"]);
        function.leave_out(&["parsed_arguments"]);
        function.end()?;
        call.end()?;
        blocks.push(Value::Object(block));
    }
    Ok(blocks)
}

fn result(message: &mut Members) -> Result<Value, Refusal> {
    let id = tool::id(&message.text_there("tool_call_id")?);
    let said: Vec<Value> = texts(message)?.into_iter().filter_map(Text::block).collect();
    let mut block = json!({"type": "tool_result", "tool_use_id": id});
    // A tool that says nothing has no content: an empty text is refused.
    if !said.is_empty() {
        block["content"] = Value::Array(said);
    }
    Ok(block)
}
