//! A request that is passed on as it came, piece by piece: nothing of ours is added to it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};

use super::sent::SendError;
use super::{Lane, LaneAnswer, LaneError, Sent, head_bytes};
use crate::left::Amount;

/// What somebody else has asked.
pub(crate) struct Passed {
    pub method: Method,
    /// With its query.
    pub path: String,
    /// None that speak of the connection, but for the length of the body.
    pub headers: HeaderMap,
    pub body: UnsyncBoxBody<Bytes, SendError>,
}

impl Lane {
    /// Up to the head of the answer, which may take so long.
    pub(crate) async fn pass(
        self: &Arc<Self>,
        passed: Passed,
        within: Duration,
    ) -> Result<LaneAnswer, LaneError> {
        let Passed { method, path, mut headers, body } = passed;
        let bytes = head_bytes(&path, &headers) as u64;
        self.has_left(Amount { times: 1, bytes });
        headers.insert(HOST, self.host.clone());
        let counted = Counted { lane: Arc::clone(self), body, bytes: 0 };
        let mut request = Request::new(Sent::Piecewise(counted.boxed_unsync()));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .map_err(|_| self.not_sent("its path is not one of an address".to_owned()))?;
        *request.headers_mut() = headers;
        self.sent(request, within).await
    }

    fn has_left(&self, amount: Amount) {
        let ruling = &self.permit.kind().grant.ruling;
        self.gate.left().note(&ruling.destination, &ruling.rule, amount);
    }
}

/// Counts what leaves.
struct Counted {
    lane: Arc<Lane>,
    body: UnsyncBoxBody<Bytes, SendError>,
    bytes: u64,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.lane.has_left(Amount { times: 0, bytes: self.bytes });
        }
    }
}
