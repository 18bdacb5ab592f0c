//! Where an event of a stream holds pieces of text, by dialect.

use std::borrow::Cow;
use std::fmt;

use models::Operation;
use privacy::Form;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep texts lie in a piece. No interface goes beyond five.
const DEPTH_MAX: usize = 16;

/// A piece of a text.
pub(super) struct Delta<'a> {
    /// Which text: the same in each event of it.
    pub key: String,
    pub form: Form,
    /// The piece, in its quotes.
    pub raw: &'a RawValue,
    /// Where a chunk has it; nothing where an event of this text alone is the event at hand.
    place: Option<Place<'a>>,
}

/// A place in a chunk.
struct Place<'a> {
    /// Of the choice.
    index: &'a str,
    path: Vec<Step<'a>>,
}

#[derive(Clone)]
enum Step<'a> {
    Member(Cow<'a, str>),
    /// With its own number, where it has one.
    Item(Option<&'a str>),
}

/// What stands in one event.
#[derive(Default)]
pub(super) struct Read<'a> {
    pub deltas: Vec<Delta<'a>>,
    /// What is whole beside them.
    pub wholes: Vec<&'a RawValue>,
    /// How sure the model is, word by word: the text once more, in other pieces.
    pub logprobs: Vec<&'a RawValue>,
    /// How the keys of texts begin that end here.
    pub ended: Vec<String>,
    /// Items of lists, such as calls of tools, that begin here or have: how the keys of the texts of the whole list
    /// begin, and those of the item.
    pub items: Vec<(String, String)>,
    /// The number of the event.
    pub sequence: Option<&'a RawValue>,
    /// All of it is whole but for its pieces.
    pub is_whole: bool,
    /// What each chunk of the stream says again.
    head: Vec<(&'static str, &'a RawValue)>,
}

/// Members by name, in order, as they stand there.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The last one of the name, as most readers have it.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(it, _)| it == name).map(|(_, raw)| *raw)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::with_capacity(8);
                while let Some(Key(key)) = map.next_key()? {
                    found.push((key, map.next_value()?));
                }
                Ok(Members(found))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A name without a copy, where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

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

/// Where an answer says how sure its model is of each word.
pub(super) fn logprobs(text: &str) -> Vec<&RawValue> {
    fn look<'a>(text: &'a str, depth: usize, found: &mut Vec<&'a RawValue>) {
        if depth > DEPTH_MAX {
            return;
        }
        if text.starts_with('{') {
            for (name, raw) in members(text).map_or(Vec::new(), |it| it.0) {
                match &*name {
                    "logprobs" if raw.get() != "null" => found.push(raw),
                    _ => look(raw.get(), depth + 1, found),
                }
            }
        } else if text.starts_with('[') {
            items(text)
                .unwrap_or_default()
                .iter()
                .for_each(|raw| look(raw.get(), depth + 1, found));
        }
    }
    let mut found = Vec::new();
    if memchr::memmem::find(text.as_bytes(), b"\"logprobs\"").is_some() {
        look(text.trim(), 0, &mut found);
    }
    found
}

fn members(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

fn items(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// `{"choices": [{"index": 0, "delta": {"content": "…"}}]}`, and `text` in place of `delta`.
fn chunk(data: &str) -> Option<Read<'_>> {
    let top = members(data)?;
    let mut read = Read::default();
    for name in ["id", "object", "created", "model"] {
        read.head.extend(top.get(name).map(|raw| (name, raw)));
    }
    for (name, raw) in &top.0 {
        match &**name {
            "choices" => {
                for choice in items(raw.get()).unwrap_or_default() {
                    of_choice(&members(choice.get())?, &mut read)?;
                }
            }
            "id" | "object" | "created" | "model" | "system_fingerprint" | "service_tier"
            | "usage" => {}
            // Nothing of the answer follows it.
            "error" => {
                read.ended.push(String::new());
                read.wholes.push(raw);
            }
            _ => read.wholes.push(raw),
        }
    }
    Some(read)
}

fn of_choice<'a>(choice: &Members<'a>, read: &mut Read<'a>) -> Option<()> {
    let index = choice.get("index").map_or("0", RawValue::get);
    for (name, raw) in &choice.0 {
        match &**name {
            "index" => {}
            "logprobs" if raw.get() == "null" => {}
            "logprobs" => read.logprobs.push(raw),
            "finish_reason" if raw.get() == "null" => {}
            "finish_reason" => read.ended.push(format!("{index}/")),
            "delta" | "text" => {
                let path = vec![Step::Member(name.clone())];
                let mut leaves = Leaves { index: Some(index), path, read };
                leaves.of(raw, &format!("{index}/{name}"), Form::Text)?;
            }
            _ => read.wholes.push(raw),
        }
    }
    Some(())
}

/// Members of a piece that are words of the interface.
const WORDS: [&str; 6] = ["role", "type", "id", "index", "name", "format"];

fn form_of(name: &str) -> Form {
    if matches!(name, "arguments" | "partial_json") { Form::Json } else { Form::Text }
}

/// Gathers the texts in a piece of an answer, wherever they stand in it.
struct Leaves<'a, 'r> {
    /// Of the choice, in a chunk.
    index: Option<&'a str>,
    path: Vec<Step<'a>>,
    read: &'r mut Read<'a>,
}

impl<'a> Leaves<'a, '_> {
    /// None where it is too deep.
    fn of(&mut self, raw: &'a RawValue, key: &str, form: Form) -> Option<()> {
        if self.path.len() > DEPTH_MAX {
            return None;
        }
        match raw.get().as_bytes().first() {
            Some(b'"') => {
                let place = self.index.map(|index| Place { index, path: self.path.clone() });
                self.read.deltas.push(Delta { key: key.to_owned(), form, raw, place });
            }
            Some(b'{') => {
                for (name, raw) in members(raw.get())?.0 {
                    if WORDS.contains(&&*name) {
                        continue;
                    }
                    let form = form_of(&name);
                    let key = format!("{key}/{name}");
                    self.at(Step::Member(name), |it| it.of(raw, &key, form))?;
                }
            }
            Some(b'[') => {
                for (place, raw) in items(raw.get())?.into_iter().enumerate() {
                    let item = members(raw.get());
                    let of_item = |name| item.as_ref().and_then(|it| it.get(name));
                    let number = of_item("index").map(RawValue::get);
                    let list = key;
                    let key = match number {
                        Some(number) => format!("{list}/{number}"),
                        None => format!("{list}/{place}"),
                    };
                    if number.is_some() && of_item("id").is_some_and(is_text) {
                        self.read.items.push((list.to_owned(), key.clone()));
                    }
                    self.at(Step::Item(number), |it| it.of(raw, &key, Form::Text))?;
                }
            }
            Some(b'-' | b'0'..=b'9') if raw.get().len() > 3 => self.read.wholes.push(raw),
            _ => {}
        }
        Some(())
    }

    fn at(&mut self, step: Step<'a>, work: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.path.push(step);
        let done = work(self);
        self.path.pop();
        done
    }
}

impl Delta<'_> {
    /// A chunk of one choice with nothing but this in it, cut where the text goes; nothing where it is the
    /// event at hand.
    pub(super) fn frame(&self, read: &Read<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
        let Place { index, path } = self.place.as_ref()?;
        let mut before = String::from("data: {");
        for (name, raw) in &read.head {
            before.push_str(&format!("\"{name}\":{},", raw.get()));
        }
        before.push_str(&format!("\"choices\":[{{\"index\":{index},"));
        let (mut behind, mut is_open) = (Vec::new(), true);
        for step in path {
            match step {
                Step::Member(name) => {
                    if !std::mem::replace(&mut is_open, false) {
                        before.push('{');
                        behind.push("}");
                    }
                    before.push_str(&quoted(name));
                    before.push(':');
                }
                Step::Item(number) => {
                    before.push('[');
                    behind.push("]");
                    if let Some(number) = number {
                        before.push_str(&format!("{{\"index\":{number},"));
                        behind.push("}");
                        is_open = true;
                    }
                }
            }
        }
        let behind: String = behind.into_iter().rev().collect();
        let last = format!("{behind},\"finish_reason\":null}}]}}\n\n");
        Some((before.into_bytes(), last.into_bytes()))
    }
}

/// `{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "…"}}`.
fn block(data: &str) -> Option<Read<'_>> {
    let top = members(data)?;
    let kind = top.get("type").map_or("", RawValue::get).trim_matches('"');
    let index = top.get("index").map_or("", RawValue::get);
    let mut read = Read::default();
    match kind {
        // Of blocks, and of what comes to be.
        _ if kind.ends_with("_delta") && kind != "message_delta" => {
            for (name, raw) in &top.0 {
                match &**name {
                    "type" | "index" => {}
                    "delta" if !is_text(raw) => in_block(index, raw, &mut read)?,
                    _ => leaves(raw, &format!("{index}/{name}"), form_of(name), &mut read)?,
                }
            }
        }
        "content_block_stop" => read.ended.push(format!("{index}/")),
        "message_stop" => read.ended.push(String::new()),
        "error" => {
            read.ended.push(String::new());
            read.is_whole = true;
        }
        _ => read.is_whole = true,
    }
    Some(read)
}

/// A piece of a block: its texts, whatever they are called, and what is whole in it.
fn in_block<'a>(index: &str, delta: &'a RawValue, read: &mut Read<'a>) -> Option<()> {
    for (name, raw) in members(delta.get())?.0 {
        match &*name {
            "type" | "signature" => {}
            "citation" => read.wholes.push(raw),
            _ => leaves(raw, &format!("{index}/{name}"), form_of(&name), read)?,
        }
    }
    Some(())
}

/// The texts in what is an event of its own.
fn leaves<'a>(raw: &'a RawValue, key: &str, form: Form, read: &mut Read<'a>) -> Option<()> {
    Leaves { index: None, path: Vec::new(), read }.of(raw, key, form)
}

/// `{"type": "response.output_text.delta", "item_id": "…", "content_index": 0, "delta": "…"}`.
fn item(data: &str) -> Option<Read<'_>> {
    let top = members(data)?;
    let text = |name: &str| top.get(name).map_or("", RawValue::get).trim_matches('"');
    let kind = text("type");
    let item = text("item_id");
    let id = format!("{}/", if item.is_empty() { text("output_index") } else { item });
    let mut read = Read { sequence: top.get("sequence_number"), ..Read::default() };
    if !kind.ends_with(".delta") && !kind.ends_with(".partial") {
        read.is_whole = true;
        let is_all = ["response.completed", "response.incomplete", "response.failed", "error"];
        if is_all.contains(&kind) {
            read.ended.push(String::new());
        } else if kind.ends_with(".done") && id.len() > 1 {
            read.ended.push(id);
        }
        return Some(read);
    }
    let mut key = format!("{id}{kind}");
    for (name, raw) in top.0.iter().filter(|(name, _)| name.ends_with("_index")) {
        key.push_str(&format!("/{name}={}", raw.get()));
    }
    for (name, raw) in &top.0 {
        match &**name {
            "type" | "item_id" | "response_id" | "call_id" | "sequence_number" | "obfuscation" => {}
            "logprobs" => read.logprobs.push(raw),
            name if name.ends_with("_index") => {}
            name => {
                let is_json = kind.contains("arguments") && name == "delta";
                let form = if is_json { Form::Json } else { form_of(name) };
                leaves(raw, &format!("{key}/{name}"), form, &mut read)?;
            }
        }
    }
    Some(read)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
