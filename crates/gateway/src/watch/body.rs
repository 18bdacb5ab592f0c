//! What passes: bytes as they come, with a copy beside them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use models::End;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use super::PASSED_BYTES_MAX;
use super::copy::Copy;
use super::tap::Tap;
use crate::lane::{LaneBody, LaneError, SendError};

/// A question on its way.
pub(super) struct Asking<B> {
    body: Pin<Box<B>>,
    copy: Option<Arc<Mutex<Copy>>>,
    passed: u64,
}

impl<B> Asking<B> {
    pub(super) fn new(body: B, copy: Option<Arc<Mutex<Copy>>>) -> Self {
        Self { body: Box::pin(body), copy, passed: 0 }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a watch passes {PASSED_BYTES_MAX} bytes of one request at most")]
struct TooMuch;

impl<B> Body for Asking<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<SendError>,
{
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let frame = match self.body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        if let Some(data) = frame.data_ref() {
            self.passed += data.len() as u64;
            if self.passed > PASSED_BYTES_MAX {
                return Poll::Ready(Some(Err(TooMuch.into())));
            }
            if let Some(copy) = &self.copy {
                copy.lock().unwrap_or_else(PoisonError::into_inner).push(data);
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer on its way. Dropped before its end, it closes the connection to whoever gave it, as the client's
/// own would have been.
pub struct PassedBody(Inner);

enum Inner {
    /// A text of ours.
    Own(Option<Bytes>),
    Passing(Box<Passing>),
}

struct Passing {
    /// Until its end.
    body: Option<LaneBody>,
    /// None where nobody looks.
    tap: Option<Tap>,
    /// Why there is no more. Said when what came before is on its way.
    broken: Option<PassError>,
    timer: Pin<Box<Sleep>>,
    silence: Duration,
    _place: OwnedSemaphorePermit,
}

impl PassedBody {
    pub(super) const fn own(text: Bytes) -> Self {
        Self(Inner::Own(Some(text)))
    }

    pub(super) fn passing(
        body: LaneBody,
        tap: Option<Tap>,
        place: OwnedSemaphorePermit,
        silence: Duration,
    ) -> Self {
        let timer = Box::pin(sleep(silence));
        let (body, broken) = (Some(body), None);
        let mut passing = Passing { body, tap, broken, timer, silence, _place: place };
        passing.look();
        Self(Inner::Passing(Box::new(passing)))
    }
}

impl Passing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PassError>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(self.broken.take().map(Err));
        };
        let piece = match body.poll_chunk(cx) {
            Poll::Ready(piece) => piece,
            Poll::Pending => {
                if self.timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                return self.breaks(PassError::Silent(self.silence), cx);
            }
        };
        match piece {
            Some(Ok(piece)) => {
                self.timer.as_mut().reset(Instant::now() + self.silence);
                if let Some(tap) = &mut self.tap {
                    tap.answers(&piece);
                }
                self.look();
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(error)) => self.breaks(error.into(), cx),
            None => {
                self.end(End::Answered);
                Poll::Ready(None)
            }
        }
    }

    /// Whether that was the last piece: a server asks for no more than the head has said.
    fn look(&mut self) {
        if self.body.as_mut().is_some_and(LaneBody::is_over) {
            self.end(End::Answered);
        }
    }

    /// A server drops what it has not sent yet when its body fails, so it has a turn to send that before.
    fn breaks(
        &mut self,
        why: PassError,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, PassError>>> {
        self.end(End::Failed);
        self.broken = Some(why);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn end(&mut self, end: End) {
        self.body = None;
        if let Some(tap) = self.tap.take() {
            tap.ended(end);
        }
    }
}

/// Why an answer ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Lane(#[from] LaneError),
    #[error("nothing has come for {} seconds", .0.as_secs())]
    Silent(Duration),
}

impl Body for PassedBody {
    type Data = Bytes;
    type Error = PassError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        match &mut self.get_mut().0 {
            Inner::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Inner::Passing(passing) => {
                passing.poll(cx).map(|piece| piece.map(|it| it.map(Frame::data)))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Own(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Inner::Passing(_) => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for PassedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PassedBody").finish_non_exhaustive()
    }
}
