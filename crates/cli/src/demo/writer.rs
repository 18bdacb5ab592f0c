//! A small server that answers as servers of language models do, and is no language model: it writes one form of
//! note, and keeps what it was sent.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::listen::{Answered, accept, response};
use crate::failure::{Failure, Outcome};

/// The question about one patient is short.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a token, about.
const TOKEN_BYTES: usize = 4;

type Got = Arc<Mutex<Vec<String>>>;

/// Up until it is stopped or dropped.
#[derive(Debug)]
pub struct Writer {
    address: SocketAddr,
    got: Got,
    accepting: JoinSet<Infallible>,
}

/// As much of a request as is answered.
#[derive(Deserialize)]
struct Ask {
    model: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl Writer {
    pub async fn start() -> Outcome<Self> {
        let failed = |cause| Failure::internal(format!("cannot start a small server: {cause}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let got = Got::default();
        let mut accepting = JoinSet::new();
        let kept = Arc::clone(&got);
        accepting.spawn(accept(listener, move |request| answer(request, Arc::clone(&kept))));
        Ok(Self { address, got, accepting })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies of all requests, word by word.
    #[must_use]
    pub fn got(&self) -> Vec<String> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody listens there when this returns.
    pub async fn stop(&mut self) {
        self.accepting.shutdown().await;
    }
}

async fn answer(request: Request<Incoming>, got: Got) -> Answered {
    if request.method() != Method::POST || request.uri().path() != "/v1/chat/completions" {
        let wanted = r#"{"error":{"message":"POST /v1/chat/completions"}}"#;
        return Ok(response(StatusCode::NOT_FOUND, wanted.into()));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    let body = body.unwrap_or_default();
    let written = written(&body);
    got.lock().unwrap_or_else(PoisonError::into_inner).push(body);
    let mut answered = match written {
        Some(answer) => response(StatusCode::OK, answer.to_string()),
        None => response(StatusCode::BAD_REQUEST, r#"{"error":{"message":"no patient"}}"#.into()),
    };
    // So that nobody holds a connection to it when it is stopped.
    answered.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(answered)
}

/// A note in the form of a chat's answer; nothing for another question than the example's.
fn written(body: &str) -> Option<Value> {
    let ask: Ask = serde_json::from_str(body).ok()?;
    let (patient, findings) = asked(&ask.messages.last()?.content)?;
    let note = format!("{patient} was seen today. {findings} Please call {patient} this week.");
    let (question, answer) = (body.len().div_ceil(TOKEN_BYTES), note.len().div_ceil(TOKEN_BYTES));
    Some(json!({
        "object": "chat.completion", "model": ask.model,
        "choices": [{
            "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": note},
        }],
        "usage": {
            "prompt_tokens": question, "completion_tokens": answer, "total_tokens": question + answer,
        },
    }))
}

/// Of whom and about what, as the example's workflow says it.
fn asked(content: &str) -> Option<(&str, &str)> {
    let (patient, findings) = content.split_once('\n')?;
    Some((patient.strip_prefix("Patient: ")?, findings.strip_prefix("Findings: ")?))
}

/// Whom the model was told of: the first line of the question.
#[must_use]
pub fn told(body: &str) -> Option<String> {
    let ask: Ask = serde_json::from_str(body).ok()?;
    Some(asked(&ask.messages.last()?.content)?.0.to_owned())
}
