//! What a model has answered, as a task sees it.

use base::value::{Map, array, as_array, as_object, as_str, get, object, parse, string};
use base::{ErrorType, Fault, Value};

/// Characters of an upstream's own code of an error. A longer one is a sentence, and may say anything.
const CODE_CHARS_MAX: usize = 64;

pub(super) type Fields = Vec<(&'static str, Value)>;

/// The first choice of a chat.
pub(super) fn chat(body: &[u8]) -> Result<Fields, &'static str> {
    let answer = parse(body).map_err(|_| "it is not JSON")?;
    let choices = get(&answer, "choices").and_then(as_array);
    let choice = choices.and_then(<[_]>::first).ok_or("it has no `choices`")?;
    let message = get(choice, "message").filter(|it| as_object(it).is_some());
    let message = message.ok_or("its choice has no `message`")?;
    let text = get(message, "content").and_then(as_str).map_or(Value::Null, string);
    let finish = get(choice, "finish_reason").and_then(as_str).map_or(Value::Null, string);
    let mut fields = vec![("text", text), ("message", message.clone()), ("finishReason", finish)];
    if let Some(calls) = get(message, "tool_calls").and_then(as_array).filter(|it| !it.is_empty()) {
        fields.push(("toolCalls", array(calls.iter().filter_map(tool_call).collect())));
    }
    Ok(fields)
}

/// Arguments come as text that is to be JSON, and is not always.
fn tool_call(call: &Value) -> Option<Value> {
    let function = get(call, "function")?;
    let arguments = get(function, "arguments").cloned().unwrap_or(Value::Null);
    let parsed = as_str(&arguments).and_then(|text| parse(text.as_bytes()).ok());
    Some(object([
        ("id", get(call, "id").cloned().unwrap_or(Value::Null)),
        ("name", string(get(function, "name").and_then(as_str)?)),
        ("arguments", parsed.unwrap_or(arguments)),
    ]))
}

/// Vectors, by their index.
pub(super) fn embeddings(body: &[u8]) -> Result<Fields, &'static str> {
    let answer = parse(body).map_err(|_| "it is not JSON")?;
    let data = get(&answer, "data").and_then(as_array).ok_or("it has no `data`")?;
    let vector = |(at, item): (usize, &Value)| {
        let index = get(item, "index").and_then(base::value::as_i64);
        let vector = get(item, "embedding").filter(|it| as_array(it).is_some());
        let index = index.unwrap_or(i64::try_from(at).unwrap_or(i64::MAX));
        vector.map(|vector| (index, vector.clone())).ok_or("it has an item without an `embedding`")
    };
    let mut vectors = data.iter().enumerate().map(vector).collect::<Result<Vec<_>, _>>()?;
    vectors.sort_by_key(|(index, _)| *index);
    let vectors = vectors.into_iter().map(|(_, vector)| vector).collect();
    Ok(vec![("embeddings", array(vectors))])
}

/// What an upstream calls an error, where that is a word and no sentence.
pub(super) fn code(body: &[u8]) -> Option<String> {
    let answer = parse(body).ok()?;
    let error: &Map = as_object(get(&answer, "error")?)?;
    let named = |name: &str| error.get(&string(name)).and_then(as_str);
    let code = named("code").or_else(|| named("type"))?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_code = (1..=CODE_CHARS_MAX).contains(&code.len()) && code.chars().all(is_word);
    is_code.then(|| code.to_owned())
}

/// What a process of this site says is wrong, by either protocol.
pub(super) fn reason(body: &[u8]) -> Option<String> {
    let answer = parse(body).ok()?;
    let error = get(&answer, "error")?;
    let text = as_str(error).or_else(|| get(error, "message").and_then(as_str))?;
    Some(text.to_owned())
}

pub(super) fn invalid(model: &str, wrong: &str) -> Fault {
    let detail = format!("the answer of the model `{model}` cannot be read: {wrong}");
    Fault::new(ErrorType::Communication, detail).with_status(502).with_title("Invalid answer")
}
