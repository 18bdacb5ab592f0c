//! The rest of an answer, piece by piece: from a lane, or from a process of the site's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::lane::{LaneBody, LaneError};

/// An answer that has begun.
#[derive(Debug)]
pub(super) enum AnswerBody {
    Lane(LaneBody),
    Spoken(Spoken),
    /// It was waited for. None when it is passed on.
    Whole(Option<Bytes>),
    /// Its first pieces were waited for, and the rest comes. None when they are passed on.
    Begun(Option<Bytes>, Box<Self>),
}

/// What a model of the site's own says.
#[derive(Debug)]
pub struct Spoken {
    /// The last one may say why there is no more.
    pub pieces: mpsc::Receiver<Result<Bytes, String>>,
    pub busy: Busy,
}

/// How long a process has worked on an answer so far. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<AtomicU64>);

impl Busy {
    pub fn set(&self, busy: Duration) {
        self.0.store(u64::try_from(busy.as_micros()).unwrap_or(u64::MAX), Ordering::Release);
    }

    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Acquire))
    }
}

impl Spoken {
    fn error(why: String) -> LaneError {
        LaneError::NoAnswer { to: "the model on the site's disk".to_owned(), why }
    }
}

impl AnswerBody {
    /// How long a process of the site works on it.
    pub(super) fn busy(&self) -> Option<Busy> {
        match self {
            Self::Lane(_) | Self::Whole(_) => None,
            Self::Begun(_, rest) => rest.busy(),
            Self::Spoken(spoken) => Some(spoken.busy.clone()),
        }
    }

    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LaneError>>> {
        match self {
            Self::Lane(body) => body.poll_chunk(cx),
            Self::Whole(whole) => Poll::Ready(whole.take().map(Ok)),
            Self::Begun(first, rest) => match first.take() {
                Some(first) => Poll::Ready(Some(Ok(first))),
                None => rest.poll_chunk(cx),
            },
            Self::Spoken(spoken) => {
                spoken.pieces.poll_recv(cx).map(|piece| Some(piece?.map_err(Spoken::error)))
            }
        }
    }

    /// The next piece. A process has its deadline, and needs no other.
    pub(super) async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, LaneError> {
        match self {
            Self::Lane(body) => body.chunk(within).await,
            Self::Whole(whole) => Ok(whole.take()),
            Self::Begun(first, rest) => match first.take() {
                Some(first) => Ok(Some(first)),
                None => Box::pin(rest.chunk(within)).await,
            },
            Self::Spoken(spoken) => spoken.pieces.recv().await.transpose().map_err(Spoken::error),
        }
    }
}
