//! `notify`: posts a message to a webhook.

use base::Value;
use base::value::{as_object, as_str, get, int, object, string};
use engine::effect::Certainty;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{OutError, OutRequest, Permit};
use http::HeaderName;
use http::header::CONTENT_TYPE;

use super::{Done, Function, Reach};
use crate::content;
use crate::http::{certainty_of, certainty_without_answer, fault_of, refusal};

pub const MANIFEST: &str = include_str!("notify.json");

pub(crate) struct Notify;

impl Function for Notify {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done> {
        let request = request(input, &reach);
        async move {
            match request {
                Ok(request) => sent(request, &reach).await,
                Err(error) => Done::ended(Err(fault_of(&error))),
            }
        }
        .boxed()
    }
}

fn request(input: &Value, reach: &Reach) -> Result<OutRequest, OutError> {
    let url = get(input, "url").and_then(as_str).unwrap_or_default();
    let mut out = OutRequest::new("POST", url, &[])?;
    let headers = get(input, "headers").and_then(as_object);
    for (name, value) in headers.into_iter().flat_map(|map| map.iter()) {
        out.header(as_str(name).unwrap_or_default(), as_str(value).unwrap_or_default())?;
    }
    let effect = reach.effect();
    let own = [("idempotency-key", effect.key.as_str()), ("traceparent", &*effect.traceparent)];
    for (name, value) in own {
        out.header_default(HeaderName::from_static(name), value)?;
    }
    let message = get(input, "message").cloned().unwrap_or(Value::Null);
    // What chat services take for plain text.
    let body = match as_str(&message) {
        Some(text) => object([("text", string(text))]),
        None => message,
    };
    let encoded = content::encode(&body);
    let (bytes, _) =
        encoded.map_err(|_| OutError::Invalid("the message is not JSON".to_owned()))?;
    out.header_default(CONTENT_TYPE, "application/json")?;
    Ok(out.with_body(bytes))
}

async fn sent(request: OutRequest, reach: &Reach) -> Done {
    let destination = request.destination().to_string();
    let answer = match reach.request(request).await {
        Ok(answer) => answer,
        Err(fault) => return Done::Denied { fault, rule: "manifest".to_owned() },
    };
    let (result, certainty): (_, Certainty) = match &answer.result {
        Ok(response) if response.status.is_success() => {
            let status = int(response.status.as_u16().into());
            (Ok(object([("status", status)])), Certainty::Definite)
        }
        Ok(response) => {
            (Err(refusal(response.status, &destination)), certainty_of(response.status))
        }
        Err(error) => (Err(fault_of(error)), certainty_without_answer(error)),
    };
    Done::Sent { result, certainty, ruling: answer.ruling }
}
