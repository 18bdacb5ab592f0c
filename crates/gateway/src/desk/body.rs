//! The rest of an answer, piece by piece: from a lane, or from a process of the site's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::lane::{LaneBody, LaneError};

/// An answer that has begun.
#[derive(Debug)]
pub(super) enum AnswerBody {
    Lane(LaneBody),
    Spoken(Spoken),
    /// It was waited for. None when it is passed on.
    Whole(Option<Bytes>),
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
            Self::Spoken(spoken) => spoken.pieces.recv().await.transpose().map_err(Spoken::error),
        }
    }

    /// All of it, no more than `limit`.
    pub(super) async fn whole(self, limit: usize, within: Duration) -> Result<Bytes, LaneError> {
        let mut spoken = match self {
            Self::Lane(body) => return body.whole(limit, within).await,
            Self::Whole(whole) => return Ok(whole.unwrap_or_default()),
            Self::Spoken(spoken) => spoken,
        };
        let mut whole = BytesMut::new();
        while let Some(piece) = spoken.pieces.recv().await {
            let piece = piece.map_err(Spoken::error)?;
            if whole.len() + piece.len() > limit {
                let to = "the model on the site's disk".to_owned();
                return Err(LaneError::TooLarge { to, limit });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}
