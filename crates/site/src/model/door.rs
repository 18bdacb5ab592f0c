//! Where clients of OpenAI and Anthropic call models: ahead of the API's own operations.

use std::sync::Arc;

use axum::body::Body;
use base::Namespace;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gateway::desk::{Question, REQUEST_BYTES_MAX, Reply, ReplyBody, Terms, Who};
use http::header::ACCEPT_LANGUAGE;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use models::{By, CallRefusal, ModelName, Operation};
use server::{Ahead, Asked, Keys, ModelCaller, Served};

use super::shelf::Models;

/// Whoever has the folder's own key says in which namespace he calls.
const NAMESPACE: HeaderName = HeaderName::from_static("x-isonomy-namespace");

const MODELS: &str = "/v1/models";

/// Headers of a client that an upstream sees.
const PASSED: [HeaderName; 3] = [
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    ACCEPT_LANGUAGE,
];

pub(crate) struct ModelDoor {
    models: Models,
    keys: Keys,
}

impl ModelDoor {
    pub(crate) const fn new(models: Models, keys: Keys) -> Self {
        Self { models, keys }
    }

    fn who(&self, headers: &HeaderMap) -> Result<Who, CallRefusal> {
        let caller = self.keys.caller_of_models(headers);
        match caller.map_err(|refusal| CallRefusal::Key(refusal.detail().to_owned()))? {
            ModelCaller::Folder => {
                let named = headers.get(NAMESPACE).map(|it| it.to_str().unwrap_or_default());
                let namespace = Namespace::parse(named.unwrap_or("default"));
                let namespace = namespace.map_err(|wrong| CallRefusal::Key(wrong.to_string()))?;
                let by = By { namespace, key: None, workflow: None, run: None };
                Ok(Who { by, terms: Arc::default() })
            }
            ModelCaller::Key(name, terms) => {
                let namespace = terms.namespace.clone();
                let by = By { namespace, key: Some(name), workflow: None, run: None };
                let terms = Terms {
                    models: terms.models.clone(),
                    requests_per_minute: terms.requests_per_minute,
                    tokens_per_minute: terms.tokens_per_minute,
                };
                Ok(Who { by, terms: Arc::new(terms) })
            }
        }
    }

    fn listed(&self, who: &Who, path: &str) -> Result<Reply, CallRefusal> {
        let names = self.models.desk().names(&who.by.namespace, &who.terms);
        let entry = |name: &ModelName| serde_json::json!({"id": name.as_str(), "object": "model", "created": 0, "owned_by": who.by.namespace.as_str()});
        let body = match path.strip_prefix(MODELS).and_then(|rest| rest.strip_prefix('/')) {
            None => {
                let all: Vec<_> = names.iter().map(entry).collect();
                let (first, last) = (names.first(), names.last());
                // The last three are Anthropic's.
                serde_json::json!({
                    "object": "list", "data": all, "has_more": false,
                    "first_id": first.map(ModelName::as_str), "last_id": last.map(ModelName::as_str),
                })
            }
            Some(name) => {
                let name = percent_decoded(name);
                let name = ModelName::parse(&name).map_err(models::AskError::Model)?;
                if !names.contains(&name) {
                    return Err(CallRefusal::NoModel(name));
                }
                entry(&name)
            }
        };
        Ok(Reply::json(StatusCode::OK, &body))
    }
}

impl Ahead for ModelDoor {
    fn takes(&self, path: &str) -> bool {
        path.starts_with("/v1/") || path == "/v1"
    }

    fn answer(&self, request: Asked) -> BoxFuture<'static, Served> {
        let path = request.uri().path();
        let operation = Operation::of_path(path);
        let who = match self.who(request.headers()) {
            Ok(who) => who,
            Err(refusal) => return refused(&refusal, operation),
        };
        let method = request.method();
        let Some(operation) = operation else {
            let is_list =
                path == MODELS || path.strip_prefix(MODELS).is_some_and(|it| it.starts_with('/'));
            let reply = if is_list && (method == Method::GET || method == Method::HEAD) {
                self.listed(&who, path)
            } else {
                Err(CallRefusal::NoOperation)
            };
            return match reply {
                Ok(reply) => std::future::ready(served(reply)).boxed(),
                Err(refusal) => refused(&refusal, None),
            };
        };
        if method != Method::POST {
            return refused(&CallRefusal::NoOperation, Some(operation));
        }
        let desk = self.models.desk().clone();
        async move {
            let mut headers = HeaderMap::new();
            for name in PASSED {
                if let Some(value) = request.headers().get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            let body = match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
                Ok(body) => body.to_bytes(),
                Err(wrong) => {
                    let is_large = wrong.is::<http_body_util::LengthLimitError>();
                    let refusal = if is_large {
                        CallRefusal::TooLarge(REQUEST_BYTES_MAX)
                    } else {
                        CallRefusal::NotWhole
                    };
                    return served(Reply::refused(&refusal, Some(operation)));
                }
            };
            served(desk.call(Question { who, operation, body, headers, of_run: None }).await)
        }
        .boxed()
    }
}

fn refused(refusal: &CallRefusal, operation: Option<Operation>) -> BoxFuture<'static, Served> {
    std::future::ready(served(Reply::refused(refusal, operation))).boxed()
}

fn served(reply: Reply) -> Served {
    let Reply { status, headers, body, .. } = reply;
    let body = match body {
        ReplyBody::Whole(whole) => Body::new(whole),
        stream @ ReplyBody::Stream(_) => Body::new(stream),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A name in a path: clients escape what is in it.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.and_then(|it| char::from(it).to_digit(16));
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match (hex(bytes.next()), hex(bytes.next())) {
            (Some(high), Some(low)) => out.push(u8::try_from(high * 16 + low).unwrap_or(b'%')),
            _ => out.push(b'%'),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
