//! Files of an exchange, as they come and go over an API.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http_body_util::{BodyExt as _, Limited};
use identity::PARCEL_BYTES_MAX;
use wire::ProblemCode;
use wire::exchange::{FILE_TYPE, REST_HEADER};

use crate::extract::body_broken;
use crate::refusal::Refusal;

/// Taking a file: a commit for each page of its entries, some thousands on a slow disk.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(600);

/// A file, as the body of a request.
pub struct ExchangeFile(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for ExchangeFile {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        // A page of another site can send a form without asking first, but not this.
        if request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != FILE_TYPE) {
            let detail = format!("send the header `content-type: {FILE_TYPE}`");
            return Err(Refusal::new(ProblemCode::NotJson, detail));
        }
        let body = Limited::new(request.into_body(), PARCEL_BYTES_MAX).collect().await;
        let body = body.map_err(|wrong| body_broken(&*wrong, PARCEL_BYTES_MAX))?;
        Ok(Self(body.to_bytes()))
    }
}

/// A file, as an answer. `is_whole` says that nothing waits for the next one.
#[must_use]
pub fn exchange_file(file: Vec<u8>, is_whole: bool) -> Response {
    let rest = (HeaderName::from_static(REST_HEADER), if is_whole { "none" } else { "more" });
    ([(CONTENT_TYPE, FILE_TYPE)], [rest], Body::from(file)).into_response()
}
