//! Where clients of OpenAI, Anthropic and the Open Inference Protocol call models: ahead of the API's own operations.

use std::sync::Arc;

use axum::body::Body;
use base::{Namespace, TraceParent};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gateway::Desk;
use gateway::desk::{Fresh, Question, REQUEST_BYTES_MAX, Reply, ReplyBody, Terms, Who};
use http::header::{ACCEPT_LANGUAGE, CONTENT_ENCODING};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use models::{By, CallRefusal, ModelName, Operation};
use server::{Ahead, Asked, Keys, ModelCaller, Served};

use super::shelf::Models;
use super::tensors;

/// Whoever has the folder's own key says in which namespace he calls.
const NAMESPACE: HeaderName = HeaderName::from_static("x-isonomy-namespace");

/// Where OpenAI's and Anthropic's clients ask, those of the Open Inference Protocol, and programs that are watched.
const V1: &str = "/v1";
const V2: &str = "/v2";
const WATCH: &str = "/watch";

const MODELS: &str = "/v1/models";

/// Below it, all is in Anthropic's words.
const MESSAGES: &str = "/v1/messages/";

/// Headers of a client that an upstream sees.
const PASSED: [HeaderName; 4] = [
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    ACCEPT_LANGUAGE,
];

const TRACE: HeaderName = HeaderName::from_static("traceparent");

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

impl ModelDoor {
    fn tensors(&self, request: Asked) -> BoxFuture<'static, Served> {
        let asked = tensors::Asked::read(request.method(), request.uri().path());
        let reply = match (asked, self.who(request.headers())) {
            (Ok(tensors::Asked::Health), _) => Ok(tensors::health()),
            (_, Err(refusal)) | (Err(refusal), _) => Err(refusal),
            (Ok(tensors::Asked::Server), Ok(_)) => Ok(tensors::server()),
            (Ok(tensors::Asked::Model(name)), Ok(who)) => self.models.tensors_model(&who, name),
            (Ok(tensors::Asked::ModelReady(name)), Ok(who)) => {
                self.models.tensors_ready(&who, name)
            }
            (Ok(tensors::Asked::Infer(model)), Ok(who)) => {
                return infer(self.models.desk().clone(), who, model, request).boxed();
            }
        };
        match reply {
            Ok(reply) => std::future::ready(served(reply)).boxed(),
            Err(refusal) => refused(&refusal, Some(Operation::Infer)),
        }
    }
}

async fn infer(desk: Desk, who: Who, model: ModelName, request: Asked) -> Served {
    let operation = Operation::Infer;
    let asked = async {
        let headers = tensors::headers(request.headers());
        let (trace, fresh) = (trace(request.headers()), Fresh::of(request.headers()));
        let (model, of_run) = (Some(model), None);
        let body = whole(request).await?;
        Ok(Question { who, operation, model, body, headers, of_run, trace, fresh })
    };
    match asked.await {
        Ok(question) => served(desk.call(question).await),
        Err(refusal) => served(Reply::refused(&refusal, Some(operation))),
    }
}

async fn whole(request: Asked) -> Result<Bytes, CallRefusal> {
    let packed = request.headers().get(CONTENT_ENCODING);
    if packed.is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(CallRefusal::Packed);
    }
    match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(wrong) if wrong.is::<http_body_util::LengthLimitError>() => {
            Err(CallRefusal::TooLarge(REQUEST_BYTES_MAX))
        }
        Err(_) => Err(CallRefusal::NotWhole),
    }
}

impl Ahead for ModelDoor {
    fn takes(&self, path: &str) -> bool {
        [V1, V2, WATCH].iter().any(|version| {
            let rest = path.strip_prefix(version);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn answer(&self, request: Asked) -> BoxFuture<'static, Served> {
        let path = request.uri().path();
        if path.starts_with(WATCH) {
            let watches = self.models.watches().clone();
            return async move { watches.pass(request).await.map(Body::new) }.boxed();
        }
        if path.starts_with(V2) {
            return self.tensors(request);
        }
        let operation = Operation::of_path(path);
        // What Anthropic has below, and this site has not, its clients ask for as well.
        let spoken = operation.or(path.starts_with(MESSAGES).then_some(Operation::Messages));
        let who = match self.who(request.headers()) {
            Ok(who) => who,
            Err(refusal) => return refused(&refusal, spoken),
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
                Err(refusal) => refused(&refusal, spoken),
            };
        };
        if method != Method::POST {
            return refused(&CallRefusal::NoOperation, Some(operation));
        }
        let desk = self.models.desk().clone();
        async move {
            let mut headers = HeaderMap::new();
            let fresh = Fresh::of(request.headers());
            for name in PASSED {
                if let Some(value) = request.headers().get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            let trace = trace(request.headers());
            let body = match whole(request).await {
                Ok(body) => body,
                Err(refusal) => return served(Reply::refused(&refusal, Some(operation))),
            };
            let (model, of_run) = (None, None);
            let question = Question { who, operation, model, body, headers, of_run, trace, fresh };
            served(desk.call(question).await)
        }
        .boxed()
    }
}

/// To which trace the call belongs, by the client's word.
fn trace(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get(TRACE)?.to_str().ok()?.parse().ok()
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
pub(super) fn percent_decoded(text: &str) -> String {
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
