//! Where an event of a stream holds pieces of text, by dialect.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;

use models::Operation;
use privacy::Form;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A piece of a text.
pub(super) struct Delta<'a> {
    /// Which text: the same in each event of it.
    pub key: String,
    pub form: Form,
    /// The piece, in its quotes.
    pub raw: &'a RawValue,
    /// What an event of this text alone has before and behind the piece; nothing where it is the event
    /// at hand.
    pub frame: Option<(Vec<u8>, Vec<u8>)>,
}

/// What stands in one event.
#[derive(Default)]
pub(super) struct Read<'a> {
    pub deltas: Vec<Delta<'a>>,
    /// How the keys of texts begin that end here.
    pub ended: Vec<String>,
    /// The number of the event.
    pub sequence: Option<&'a RawValue>,
    /// Other texts of it are whole.
    pub is_whole: bool,
}

/// Members by name, as they stand there.
type Members<'a> = BTreeMap<Key<'a>, &'a RawValue>;

/// None where it is no event of this interface.
pub(super) fn read(operation: Operation, data: &str) -> Option<Read<'_>> {
    match operation {
        Operation::Chat | Operation::Completions => chunk(data),
        Operation::Messages => block(data),
        Operation::Responses => item(data),
        Operation::Embeddings | Operation::Infer => {
            Some(Read { is_whole: true, ..Read::default() })
        }
    }
}

fn members(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

/// A name without a copy, where it has no escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Key<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn items<'a>(raw: Option<&&'a RawValue>) -> Vec<&'a RawValue> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// `{"choices": [{"index": 0, "delta": {"content": "…"}}]}`, and `text` in place of `delta`.
fn chunk(data: &str) -> Option<Read<'_>> {
    let top = members(data)?;
    let mut read = Read::default();
    for choice in items(top.get("choices")) {
        let choice = members(choice.get())?;
        let index = choice.get("index").map_or("0", |raw| raw.get());
        let frame = |what: &str| framed(&top, index, what);
        if let Some(raw) = choice.get("text").filter(|raw| is_text(raw)) {
            let frame = Some(frame("\"text\":\u{0},\"logprobs\":null"));
            read.deltas.push(Delta { key: format!("{index}/text"), form: Form::Text, raw, frame });
        }
        if let Some(delta) = choice.get("delta").and_then(|raw| members(raw.get())) {
            for (Key(name), raw) in
                delta.iter().filter(|(name, raw)| is_text(raw) && name.0 != "role")
            {
                let what = format!("\"delta\":{{{}:\u{0}}}", quoted(name));
                let (key, frame) = (format!("{index}/{name}"), Some(frame(&what)));
                read.deltas.push(Delta { key, form: Form::Text, raw, frame });
            }
            for call in items(delta.get("tool_calls")) {
                let call = members(call.get())?;
                let at = call.get("index").map_or("0", |raw| raw.get());
                let function = call.get("function").and_then(|raw| members(raw.get()));
                let Some(raw) = function.and_then(|it| it.get("arguments").copied()) else {
                    continue;
                };
                let what = format!(
                    "\"delta\":{{\"tool_calls\":[{{\"index\":{at},\"function\":{{\"arguments\":\u{0}}}}}]}}"
                );
                let (key, frame) = (format!("{index}/tool_calls/{at}"), Some(frame(&what)));
                read.deltas.push(Delta { key, form: Form::Json, raw, frame });
            }
        }
        if choice.get("finish_reason").is_some_and(|raw| raw.get() != "null") {
            read.ended.push(format!("{index}/"));
        }
    }
    read.deltas.retain(|it| is_text(it.raw));
    Some(read)
}

/// A chunk of one choice with nothing but this in it, cut where the text goes.
fn framed(top: &Members<'_>, index: &str, what: &str) -> (Vec<u8>, Vec<u8>) {
    let mut text = String::from("data: {");
    for name in ["id", "object", "created", "model"] {
        if let Some(raw) = top.get(name) {
            text.push_str(&format!("\"{name}\":{},", raw.get()));
        }
    }
    text.push_str(&format!("\"choices\":[{{\"index\":{index},"));
    let (before, behind) = what.split_once('\0').expect("it has a place");
    text.push_str(before);
    (text.into_bytes(), format!("{behind},\"finish_reason\":null}}]}}\n\n").into_bytes())
}

/// `{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "…"}}`.
fn block(data: &str) -> Option<Read<'_>> {
    let top = members(data)?;
    let kind = top.get("type").map_or("", |raw| raw.get()).trim_matches('"');
    let index = top.get("index").map_or("", |raw| raw.get());
    let mut read = Read::default();
    match kind {
        "content_block_delta" => {
            let delta = members(top.get("delta")?.get())?;
            for (name, form) in
                [("text", Form::Text), ("thinking", Form::Text), ("partial_json", Form::Json)]
            {
                if let Some(raw) = delta.get(name).filter(|raw| is_text(raw)) {
                    let key = format!("{index}/{name}");
                    read.deltas.push(Delta { key, form, raw, frame: None });
                }
            }
            read.is_whole = read.deltas.is_empty() && !delta.contains_key("signature");
        }
        "content_block_stop" => read.ended.push(format!("{index}/")),
        "message_stop" => read.ended.push(String::new()),
        "content_block_start" | "error" => read.is_whole = true,
        _ => {}
    }
    Some(read)
}

/// `{"type": "response.output_text.delta", "item_id": "…", "content_index": 0, "delta": "…"}`.
fn item(data: &str) -> Option<Read<'_>> {
    let top = members(data)?;
    let text = |name: &str| top.get(name).map_or("", |raw| raw.get()).trim_matches('"');
    let kind = text("type");
    let id = format!("{}/", text("item_id"));
    let mut read = Read { sequence: top.get("sequence_number").copied(), ..Read::default() };
    let piece = top.get("delta").filter(|raw| kind.ends_with(".delta") && is_text(raw));
    match piece {
        Some(raw) => {
            let form = if kind.contains("arguments") { Form::Json } else { Form::Text };
            let part = (text("content_index"), text("summary_index"));
            let key = format!("{id}{kind}/{}/{}", part.0, part.1);
            read.deltas.push(Delta { key, form, raw, frame: None });
        }
        None => {
            read.is_whole = true;
            let is_all = ["response.completed", "response.incomplete", "response.failed", "error"];
            if is_all.contains(&kind) {
                read.ended.push(String::new());
            } else if kind.ends_with(".done") && id.len() > 1 {
                read.ended.push(id);
            }
        }
    }
    Some(read)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
