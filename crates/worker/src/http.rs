//! `call: http`: one request of a workflow, through the gate, and what its answer means.
//!
//! No error here shows a path, a header or a body: they may hold what must not be written down.

use base::value::{int, object, string};
use base::{ErrorType, Fault, Value};
use bytes::Bytes;
use engine::effect::{Certainty, HttpRequest, Perform, Performed};
use gateway::header::is_credential;
use gateway::{Answer, Gate, OutError, OutRequest, OutResponse};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};
use spec::tree::HttpOutput;

use crate::authentication::{Authorization, Session, Unauthenticated, send};
use crate::content;
use crate::mask::{MASK, Mask};
use crate::worker::{caller, decision};

/// Content up to this size is decoded where it arrives; reading more takes over a millisecond, for
/// which other runs would wait.
const DECODE_INLINE_BYTES_MAX: usize = 256 * 1024;

/// Who a request is, once that is known.
pub(crate) struct Identity<'a> {
    pub(crate) session: Session<'a>,
    pub(crate) first: Option<Authorization>,
}

pub(crate) async fn perform(gate: &Gate, effect: &Perform, request: &HttpRequest) -> Performed {
    let out = match outgoing(effect, request) {
        Ok(out) => out,
        Err(fault) => return Performed::fault(fault, Certainty::Definite),
    };
    let answer = gate.request(caller(effect), out).await;
    performed(answer, request, false, &Mask::default()).await
}

/// The same for a request with secrets in it, which are masked in what comes back of it.
pub(crate) async fn perform_sealed(
    gate: &Gate,
    effect: &Perform,
    request: &HttpRequest,
    identity: Option<Identity<'_>>,
    mask: &mut Mask,
) -> Performed {
    let out = match outgoing(effect, request) {
        Ok(out) => out,
        Err(fault) => return Performed::fault(fault, Certainty::Definite),
    };
    let Some(Identity { mut session, first }) = identity else {
        let answer = gate.request(caller(effect), out).await;
        return performed(answer, request, false, mask).await;
    };
    let sent = send(&mut session, first.as_ref(), out).await;
    session.said().for_each(|said| mask.add_text(said));
    match sent {
        Ok(answer) => performed(answer, request, true, mask).await,
        Err(unauthenticated) => without(unauthenticated),
    }
}

/// The request itself was not done, so the next attempt carries the same key.
pub(crate) fn without(unauthenticated: Unauthenticated) -> Performed {
    let Unauthenticated { fault, ruling } = unauthenticated;
    let decision = ruling.map(|ruling| decision(*ruling));
    Performed { decision, ..Performed::fault(fault, Certainty::Unknown) }
}

async fn performed(
    answer: Answer,
    request: &HttpRequest,
    authenticated: bool,
    mask: &Mask,
) -> Performed {
    let (result, certainty) = match answer.result {
        Ok(response) => {
            let certainty = certainty_of(response.status);
            (incoming(response, request, authenticated, mask).await, certainty)
        }
        Err(error) => {
            let certainty = certainty_without_answer(&error);
            (Err(fault_of(&error)), certainty)
        }
    };
    Performed {
        result,
        certainty,
        decision: answer.ruling.map(decision),
        lists: Vec::new(),
        labels: Vec::new(),
    }
}

fn outgoing(effect: &Perform, request: &HttpRequest) -> Result<OutRequest, Fault> {
    let refused = |error: OutError| fault_of(&error);
    let mut out =
        OutRequest::new(&request.method, &request.uri, &request.query).map_err(refused)?;
    for (name, value) in &request.headers {
        out.header(name, value).map_err(refused)?;
    }
    let own = [("idempotency-key", effect.key.as_str()), ("traceparent", &*effect.traceparent)];
    for (name, value) in own {
        out.header_default(HeaderName::from_static(name), value).map_err(refused)?;
    }
    if let Some(body) = &request.body {
        let (bytes, content_type) = content::encode(body).map_err(|error| {
            Fault::new(ErrorType::Expression, format!("the request's body is not JSON: {error}"))
        })?;
        out.header_default(CONTENT_TYPE, content_type).map_err(refused)?;
        out = out.with_body(bytes);
    }
    Ok(out.with_redirects(request.redirect))
}

async fn incoming(
    response: OutResponse,
    request: &HttpRequest,
    authenticated: bool,
    mask: &Mask,
) -> Result<Value, Fault> {
    let OutResponse { status, headers, body, request: sent } = response;
    let good = status.is_success() || (request.redirect && status.is_redirection());
    let destination = sent.destination();
    if !good {
        let fault = refusal(status, &destination.to_string());
        let refused = authenticated && status == StatusCode::UNAUTHORIZED;
        return Err(if refused { unauthenticated(fault) } else { fault });
    }
    if request.output == HttpOutput::Raw {
        return Ok(content::raw(&body));
    }
    let content_type =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content = decode(body, content_type).await.map_err(|wrong| {
        let detail = format!("the answer of `{destination}` cannot be read: {wrong}");
        Fault::new(ErrorType::Communication, detail).with_status(502).with_title("Invalid answer")
    })?;
    Ok(match request.output {
        HttpOutput::Raw | HttpOutput::Content => content,
        HttpOutput::Response => object([
            (
                "request",
                mask.value(&object([
                    ("method", string(sent.method())),
                    ("uri", string(sent.uri())),
                    ("headers", header_map(sent.headers(), is_credential)),
                ])),
            ),
            ("statusCode", int(status.as_u16().into())),
            ("headers", header_map(&headers, |_| false)),
            ("content", content),
        ]),
    })
}

async fn decode(body: Bytes, content_type: Option<String>) -> Result<Value, String> {
    let inline = body.len() <= DECODE_INLINE_BYTES_MAX;
    let decode =
        move || content::decode(&body, content_type.as_deref()).map_err(|error| error.to_string());
    if inline {
        return decode();
    }
    tokio::task::spawn_blocking(decode).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Whether an answer with this status says that the effect was done, or that it was not.
pub(crate) fn certainty_of(status: StatusCode) -> Certainty {
    match status.as_u16() {
        408 | 409 | 425 | 429 | 500.. => Certainty::Unknown,
        _ => Certainty::Definite,
    }
}

pub(crate) fn certainty_without_answer(error: &OutError) -> Certainty {
    match error {
        // A denial is no answer of the other side: when the rule has been added, the next attempt is
        // the same effect, and after a denied redirect the first hop may have been done.
        OutError::Denied(_) | OutError::NotSent { .. } | OutError::NoAnswer { .. } => {
            Certainty::Unknown
        }
        // These did answer, only not with something usable; and an invalid request is no effect.
        OutError::TooLarge { .. }
        | OutError::TooManyRedirects { .. }
        | OutError::BadRedirect { .. }
        | OutError::Invalid(_) => Certainty::Definite,
    }
}

pub(crate) fn fault_of(error: &OutError) -> Fault {
    let detail = || format!("{}: {error}", error.code());
    let communication = |status, title| {
        Fault::new(ErrorType::Communication, detail()).with_status(status).with_title(title)
    };
    match error {
        OutError::Denied(denial) => denial.fault(),
        OutError::Invalid(_) => {
            Fault::new(ErrorType::Configuration, detail()).with_title("Invalid request")
        }
        OutError::NotSent { .. } => communication(503, "Unreachable"),
        OutError::NoAnswer { .. } => communication(500, "No answer"),
        OutError::TooLarge { .. } => communication(502, "Answer too large"),
        OutError::TooManyRedirects { .. } => communication(502, "Too many redirects"),
        OutError::BadRedirect { .. } => communication(502, "Invalid redirect"),
    }
}

/// An answer that the language counts as an error: its own status, and nothing of its body.
pub(crate) fn refusal(status: StatusCode, destination: &str) -> Fault {
    let reason = status.canonical_reason().unwrap_or("Unknown status");
    let detail = match status.is_redirection() {
        true => format!(
            "`{destination}` answered {} {reason}; `redirect: true` follows it",
            status.as_u16()
        ),
        false => format!("`{destination}` answered {} {reason}", status.as_u16()),
    };
    Fault::new(ErrorType::Communication, detail).with_status(status.as_u16()).with_title(reason)
}

/// Whoever was asked did not take the authentication that the task has.
fn unauthenticated(fault: Fault) -> Fault {
    let detail = fault.detail.unwrap_or_default();
    Fault::new(ErrorType::Authentication, format!("{detail} to the task's authentication"))
}

/// Headers as an object; the values of a repeated one are joined as HTTP allows.
fn header_map(headers: &HeaderMap, masked: impl Fn(&str) -> bool) -> Value {
    let text = |name: &HeaderName| {
        if masked(name.as_str()) {
            return MASK.to_owned();
        }
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        values.join(", ")
    };
    object(headers.keys().map(|name| (name.as_str(), string(&text(name)))))
}
