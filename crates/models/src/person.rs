//! A person as the last resort of a route: how long the question waits for somebody, and how much may be asked.
//!
//! Where questions lie, and who answers them, is in `site`.

use base::{CallId, Duration};
use serde::{Deserialize, Serialize};

use crate::iso::IsoDuration;
use crate::operation::Operation;

/// How long a client waits on its connection, where its route does not say.
const WAIT_USUAL: Duration = Duration::from_secs(60);

/// How long it may wait: clients give up by themselves after ten minutes.
const PERSON_WAIT_MAX: Duration = Duration::from_secs(600);

/// How long a question may wait for somebody: what somebody has written is not kept for longer without reason.
const PERSON_WITHIN_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Of one question: a long conversation, and what one person reads.
pub const QUESTION_BYTES_MAX: usize = 256 * 1024;

/// Of the answer of a person: some twenty pages.
pub const PERSON_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Questions of one namespace that wait for an answer. More is a queue that nobody comes to the end of.
pub const QUESTIONS_OPEN_MAX: usize = 200;

/// Questions of one namespace that are kept at all; those that are over go first.
pub const QUESTIONS_KEPT_MAX: usize = 1_000;

/// How long a question is kept after its time: whoever has answered it may look at it the day after.
pub const QUESTION_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// When a question that waits for somebody is worth asking again.
pub const PERSON_AGAIN: Duration = Duration::from_secs(30);

/// Whoever looks into the inbox of the route's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// How long the question waits for an answer, and the same question gets it.
    pub within: IsoDuration,
    /// How long a client waits on its connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<IsoDuration>,
}

/// Which person was asked, in what is written down of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfPerson {
    /// The call that has put the question into the inbox.
    pub question: CallId,
    /// Who has answered, or declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    #[error("`person.within` is `P30D` at most")]
    Within,
    #[error("`person.wait` is `PT10M` at most, and not longer than `within`")]
    Wait,
}

impl Person {
    pub fn check(&self) -> Result<(), PersonError> {
        let within = self.within.duration();
        if within > PERSON_WITHIN_MAX {
            return Err(PersonError::Within);
        }
        match self.wait {
            Some(wait) if wait.duration() > PERSON_WAIT_MAX.min(within) => Err(PersonError::Wait),
            _ => Ok(()),
        }
    }

    #[must_use]
    pub fn wait(&self) -> Duration {
        let usual = WAIT_USUAL.min(self.within.duration());
        self.wait.map_or(usual, IsoDuration::duration)
    }

    /// Whether a person can answer this: no text is a vector.
    #[must_use]
    pub const fn answers(operation: Operation) -> bool {
        match operation {
            Operation::Chat
            | Operation::Completions
            | Operation::Responses
            | Operation::Messages => true,
            Operation::Embeddings | Operation::Infer => false,
        }
    }
}
