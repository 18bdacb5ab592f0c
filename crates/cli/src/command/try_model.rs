//! `isonomy models try`: one small question, by the door that programs take.

use std::time::Duration;

use base::CallId;
use futures::StreamExt as _;
use gateway::operator::{Answering, OperatorError};
use models::{Operation, Settled};
use serde::Serialize;
use serde_json::{Value, json};
use wire::ModelView;

use super::calls::{Call, cost_text, end_word, millis, used_text};
use super::{api, artifact};
use crate::api::Api;
use crate::args::Global;
use crate::args::model::ModelsTry;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::follow;
use crate::output::{self, Format};

/// How often it is looked whether the end of a call is written down, which comes a moment after the answer.
const LOOKS_MAX: u32 = 40;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a model of language is asked where nobody says it.
const GREETING: &str = "Say hello in one short sentence.";

/// Of an answer, where its dialect does not go without a limit.
const ANSWER_TOKENS: u64 = 256;

/// What programs read. A stable contract.
#[derive(Serialize)]
struct Tried {
    answer: String,
    /// Of tensors, as the protocol has them.
    #[serde(skip_serializing_if = "Value::is_null")]
    outputs: Value,
    /// Which one has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    degraded: bool,
    /// As it was written down; none where the key may not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<Value>,
}

pub async fn try_model(global: &Global, args: ModelsTry) -> Outcome {
    let ModelsTry { name, text, stream, output } = args;
    if stream && output.output != Format::Text {
        return Err(Failure::usage("`--stream` prints text as it comes; leave out `-o`"));
    }
    let api = api(global)?;
    let view = api.model_show(&name).await.ok();
    let operation = operation(view.as_ref(), text.as_deref());
    if stream && matches!(operation, Operation::Infer | Operation::Embeddings) {
        return Err(Failure::usage("tensors and vectors come whole; leave out `--stream`"));
    }
    let (path, body) = if operation == Operation::Infer {
        let inputs = view.and_then(|view| view.artifact).map(|it| it.inputs).unwrap_or_default();
        (artifact::path(&name), artifact::request(&inputs, text.as_deref())?)
    } else if operation == Operation::Embeddings {
        let text = text.as_deref().unwrap_or(GREETING);
        (operation.path().to_owned(), json!({"model": name.as_str(), "input": text}))
    } else {
        let text = text.as_deref().unwrap_or(GREETING);
        let mut body = json!({
            "model": name.as_str(), "messages": [{"role": "user", "content": text}], "stream": stream,
        });
        if operation == Operation::Messages {
            body["max_tokens"] = ANSWER_TOKENS.into();
        }
        (operation.path().to_owned(), body)
    };
    let answering = api.model_pose(&path, &body).await;
    let answering = answering.map_err(|error| refused(&api, error))?;
    let header =
        |name: &str| answering.headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let (model, call) = (header("x-isonomy-model"), header("x-isonomy-call"));
    let degraded = header("x-isonomy-degraded").is_some();
    let (answer, outputs) = if stream {
        streamed(&api, answering).await?;
        (String::new(), Value::Null)
    } else {
        let whole: Value = answering.json().await.map_err(|error| api.explain(error))?;
        let answer = match operation {
            Operation::Infer => artifact::said(&whole),
            Operation::Embeddings => output::clip(&whole["data"][0]["embedding"].to_string(), 500),
            Operation::Chat
            | Operation::Completions
            | Operation::Responses
            | Operation::Messages => said(&whole),
        };
        (answer, whole["outputs"].clone())
    };
    let settled = settled(&api, call.as_deref()).await;
    let written = settled.as_ref().and_then(|it| serde_json::to_value(it).ok());
    let tried = Tried { answer, outputs, model, call, degraded, settled: written };
    if !stream {
        output::show(output.output, &tried, || output::harmless(&tried.answer))?;
    }
    output::say(&told(&api, &tried, settled.as_ref()));
    Ok(Exit::Ok)
}

/// What is asked of it. Who may not see its definition, or asks a route, asks for a chat, unless what he has
/// typed is a request of tensors.
fn operation(view: Option<&ModelView>, typed: Option<&str>) -> Operation {
    let Some(spec) = view.map(|view| &view.spec) else {
        let is_tensors = typed.is_some_and(|it| it.starts_with('{') && it.contains("\"inputs\""));
        return if is_tensors { Operation::Infer } else { Operation::Chat };
    };
    match spec["artifact"]["format"].as_str() {
        Some("gguf") => return Operation::Chat,
        Some("safetensors") => return Operation::Embeddings,
        Some(_) | None => {}
    }
    match spec["upstream"]["dialect"].as_str() {
        Some("anthropic") => Operation::Messages,
        Some("open-inference") | None => Operation::Infer,
        Some(_) => Operation::Chat,
    }
}

/// The door answers in the words that its clients expect.
fn refused(api: &Api, error: OperatorError) -> Failure {
    let OperatorError::Status { status, body } = &error else { return api.explain(error) };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["error"]["message"].as_str().or_else(|| body["error"].as_str());
    let Some(message) = message else { return api.explain(error) };
    let exit = match status {
        401 | 403 => Exit::Denied,
        402 => Exit::Budget,
        429 | 500.. => Exit::Unreachable,
        _ => Exit::Usage,
    };
    match body["error"]["code"].as_str() {
        Some(code) => Failure::new(exit, format!("{message} [{code}]")),
        None => Failure::new(exit, message),
    }
}

async fn streamed(api: &Api, answering: Answering) -> Outcome<()> {
    let mut events = answering.events();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| api.explain(error))?;
        let Ok(piece) = serde_json::from_str::<Value>(&event.data) else { continue };
        if let Some(message) = piece["error"]["message"].as_str() {
            output::write("\n")?;
            return Err(Failure::new(
                Exit::Unreachable,
                format!("the answer broke off: {message}"),
            ));
        }
        output::write_exact(&output::harmless(piece_text(&piece)))?;
    }
    output::write("\n")
}

/// Of one event, in either dialect.
fn piece_text(piece: &Value) -> &str {
    let chat = piece["choices"][0]["delta"]["content"].as_str();
    chat.or_else(|| piece["delta"]["text"].as_str()).unwrap_or_default()
}

/// Of a whole answer, in either dialect.
fn said(answer: &Value) -> String {
    if let Some(text) = answer["choices"][0]["message"]["content"].as_str() {
        return text.to_owned();
    }
    let parts = answer["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

/// What was written down of the call, where the key may see it.
async fn settled(api: &Api, call: Option<&str>) -> Option<Settled> {
    let call: CallId = call?.parse().ok()?;
    for _ in 0..LOOKS_MAX {
        let view = api.call_show(call).await.ok()?;
        if let Some(settled) = Call::read(&view).ok()?.settled {
            return Some(settled);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn told(api: &Api, tried: &Tried, settled: Option<&Settled>) -> String {
    let mut parts: Vec<String> = tried.model.iter().cloned().collect();
    if tried.degraded {
        parts.push("a fallback".to_owned());
    }
    if let Some(settled) = settled {
        parts.push(end_word(settled.end).to_owned());
        parts.extend(settled.bills.iter().filter_map(|bill| bill.usage.as_ref()).map(used_text));
        parts.push(cost_text(&settled.bills));
        parts.push(millis(settled.micros));
    }
    parts.retain(|part| !part.is_empty());
    let mut text = parts.join(", ");
    match (&tried.call, settled) {
        (Some(call), Some(_)) => {
            let command = follow::typed(api, &format!("calls explain {call}"));
            text.push_str(&format!("\n{command} says more"));
        }
        (Some(call), None) => {
            text.push_str(&format!(
                "\nit was {call}; what it cost is for keys that may look at this site"
            ));
        }
        (None, _) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: read only one of the two dialects.
    #[test]
    fn an_answer_is_read_in_either_dialect() {
        let chat = json!({"choices": [{"message": {"content": "Hello."}}]});
        let messages =
            json!({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]});
        assert_eq!((said(&chat), said(&messages)), ("Hello.".to_owned(), "Hello.".to_owned()));
        let chat = json!({"choices": [{"delta": {"content": "Hel"}}]});
        let messages = json!({"type": "content_block_delta", "delta": {"text": "lo."}});
        assert_eq!((piece_text(&chat), piece_text(&messages)), ("Hel", "lo."));
        assert_eq!(piece_text(&json!({"choices": []})), "");
    }
}
