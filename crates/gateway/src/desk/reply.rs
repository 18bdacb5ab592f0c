//! What a call gives back.

use std::pin::Pin;
use std::task::{Context, Poll};

use base::CallId;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Body, Frame, SizeHint};
use models::{CallRefusal, ModelName, Operation, Used};
use pricing::Money;

use super::stream::StreamBody;
use crate::lane::LaneError;

/// How clients of OpenAI and Anthropic are told that to try again by themselves is in vain.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How OpenAI and Anthropic name a request.
const REQUEST_IDS: [HeaderName; 2] =
    [HeaderName::from_static("x-request-id"), HeaderName::from_static("request-id")];

/// Which call it was, to find it again.
pub const CALL: HeaderName = HeaderName::from_static("x-isonomy-call");

/// Which model has answered.
pub const MODEL: HeaderName = HeaderName::from_static("x-isonomy-model");

/// There where the answer is not from the model that was to be first.
pub const DEGRADED: HeaderName = HeaderName::from_static("x-isonomy-degraded");

/// How many models before it had answers that were not good enough, by the route.
pub const ESCALATED: HeaderName = HeaderName::from_static("x-isonomy-escalated");

/// There where the answer was given before.
pub const CACHE: HeaderName = HeaderName::from_static("x-isonomy-cache");

/// What an answer says of how it came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    pub degraded: Option<&'static str>,
    pub escalated: usize,
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: ReplyBody,
    /// There where it is a whole answer.
    pub paid: Option<Paid>,
    /// Why there is no answer, where that is our own word.
    pub refusal: Option<CallRefusal>,
    /// Whether a process of this site has refused: what it says has names and shapes, and nothing that
    /// was asked.
    pub is_of_the_site: bool,
}

/// What an answer has used, and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    pub used: Option<Used>,
    /// With legs before it that may have to be paid. None where nobody has a price, or nothing has one.
    pub cost: Option<Money>,
    /// Nobody was asked who wants to be paid.
    pub is_free: bool,
    /// Not what was used, but the most that it may have been, or so for a leg before it.
    pub is_bound: bool,
}

#[derive(Debug)]
pub enum ReplyBody {
    Whole(Full<Bytes>),
    Stream(Box<StreamBody>),
}

impl Reply {
    pub(super) fn whole(
        status: StatusCode,
        content_type: Option<HeaderValue>,
        body: Bytes,
    ) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let body = ReplyBody::Whole(Full::new(body));
        Self { status, headers, body, paid: None, refusal: None, is_of_the_site: false }
    }

    /// The whole body; nothing of a stream.
    pub async fn bytes(self) -> Option<Bytes> {
        match self.body {
            ReplyBody::Whole(body) => body.collect().await.ok().map(Collected::to_bytes),
            ReplyBody::Stream(_) => None,
        }
    }

    #[must_use]
    pub fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self::whole(status, Some(json), body.to_string().into())
    }

    #[must_use]
    pub fn refused(refusal: &CallRefusal, operation: Option<Operation>) -> Self {
        let status = StatusCode::from_u16(refusal.status()).expect("a status of ours");
        let json = HeaderValue::from_static("application/json");
        let mut reply = Self::whole(status, Some(json), refusal.body(operation).into());
        reply.refusal = Some(refusal.clone());
        if let Some(after) = refusal.retry_after() {
            let seconds = after.as_millis().div_ceil(1_000);
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if refusal.is_lasting() {
            reply.headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        reply
    }

    /// By which names the upstream finds it again, as clients read them.
    pub(super) fn found_there(mut self, upstream: &HeaderMap) -> Self {
        for name in REQUEST_IDS {
            if let Some(value) = upstream.get(&name) {
                self.headers.insert(name, value.clone());
            }
        }
        self
    }

    pub(super) fn of(mut self, call: CallId, model: Option<&ModelName>, marks: Marks) -> Self {
        let mut put = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                self.headers.insert(name, value);
            }
        };
        put(CALL, &call.to_string());
        if let Some(model) = model {
            put(MODEL, model.as_str());
        }
        if let Some(degraded) = marks.degraded {
            put(DEGRADED, degraded);
        }
        if marks.escalated > 0 {
            put(ESCALATED, &marks.escalated.to_string());
        }
        self
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = LaneError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, LaneError>>> {
        match self.get_mut() {
            Self::Whole(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            },
            Self::Stream(body) => body.poll(cx).map(|piece| piece.map(|it| it.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
