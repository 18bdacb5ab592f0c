//! An answer of a model of language, as it comes out of its process.

use std::sync::Arc;
use std::time::Duration;

use inference::frame::{Answer, FRAME_BYTES_MAX};
use inference::words::{Said, Vectors};
use tokio::time::{Instant, timeout_at};

use crate::lane::{Entry, Inner, Lane, Slot};
use crate::models::ModelError;

/// What came of a question for vectors.
#[derive(Debug)]
pub struct Embedded {
    /// How long processes have worked on it, whatever came of that.
    pub busy: Duration,
    pub vectors: Result<Vectors, ModelError>,
}

/// What came of a question for text.
#[derive(Debug)]
pub struct Generated {
    /// How long processes have worked on it so far.
    pub busy: Duration,
    pub speech: Result<Speech, ModelError>,
}

/// An answer that has begun. Dropped before its end, it kills the process that works on it.
#[derive(Debug)]
pub struct Speech {
    pub(crate) name: String,
    pub(crate) deadline: Duration,
    pub(crate) end: Instant,
    pub(crate) busy: Duration,
    /// What has come already.
    pub(crate) first: Option<Answer>,
    /// Until the end.
    pub(crate) lane: Option<Working>,
    pub(crate) _slot: Slot,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// The last one.
    End(Said),
}

impl Speech {
    /// How long a process has worked on it so far.
    #[must_use]
    pub const fn busy(&self) -> Duration {
        self.busy
    }

    /// The next part; none behind the last one, or behind an error.
    pub async fn next(&mut self) -> Option<Result<Part, ModelError>> {
        let answer = match self.first.take() {
            Some(first) => Ok(first),
            None => self.listen().await?,
        };
        Some(match answer {
            Ok(Answer::Piece(text)) => Ok(Part::Text(text)),
            Ok(Answer::Said(said)) => {
                if let Some(lane) = self.lane.take() {
                    lane.rests();
                }
                Ok(Part::End(said))
            }
            Ok(other) => {
                if let Some(lane) = self.lane.take() {
                    lane.rests();
                }
                Err(no_answer(&self.name, other))
            }
            Err(error) => Err(error),
        })
    }

    async fn listen(&mut self) -> Option<Result<Answer, ModelError>> {
        let mut working = self.lane.take()?;
        let began = Instant::now();
        let heard = timeout_at(self.end, working.lane.process.next(FRAME_BYTES_MAX)).await;
        self.busy += began.elapsed();
        Some(match heard {
            Ok(Ok(frame)) => {
                self.lane = Some(working);
                decoded(&frame)
            }
            Ok(Err(_)) => {
                working.died();
                Err(ModelError::Died(self.name.clone()))
            }
            Err(_) => {
                working.died();
                let (name, deadline) = (self.name.clone(), self.deadline);
                Err(ModelError::Deadline { name, deadline })
            }
        })
    }
}

/// A process at work.
#[derive(Debug)]
pub(crate) struct Working {
    pub(crate) lane: Lane,
    pub(crate) entry: Arc<Entry>,
    pub(crate) inner: Arc<Inner>,
}

impl Working {
    /// It has answered, and waits for the next call.
    pub(crate) fn rests(self) {
        let Self { lane, entry, inner } = self;
        entry.rests(&inner, lane);
    }

    /// It is killed, if it lives.
    fn died(self) {
        self.inner.note_death(&self.entry);
    }
}

pub(crate) fn decoded(answer: &[u8]) -> Result<Answer, ModelError> {
    Answer::decode(answer).ok_or_else(|| ModelError::Unavailable("its answer is none".to_owned()))
}

/// What was said in place of an answer.
pub(crate) fn no_answer(name: &str, said: Answer) -> ModelError {
    match said {
        Answer::Refused(why) => ModelError::Refused(why),
        Answer::Failed(why) => ModelError::Failed { name: name.to_owned(), why },
        Answer::Loaded { .. }
        | Answer::Outputs(_)
        | Answer::Piece(_)
        | Answer::Said(_)
        | Answer::Vectors(_) => ModelError::Unavailable("its answer is none".to_owned()),
    }
}
