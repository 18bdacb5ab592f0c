//! What is sent of a request: in one piece, or as it comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};

/// Why the rest of a request does not come.
pub(crate) type SendError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) enum Sent {
    Whole(Full<Bytes>),
    Piecewise(UnsyncBoxBody<Bytes, SendError>),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                let never = |it: Infallible| match it {};
                Pin::new(body).poll_frame(cx).map_err(never)
            }
            Self::Piecewise(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Piecewise(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Piecewise(body) => body.size_hint(),
        }
    }
}
