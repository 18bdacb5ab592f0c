//! The tap of one call: keeps what is needed to write it down, and has it read when the call is over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base::{CallId, Timestamp};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use models::{End, Missed, Operation};

use super::copy::Copy;
use super::{Watch, Watches};
use crate::lane::LaneError;

/// Dropped before the end, it is of a call whose client has gone.
pub(super) struct Tap {
    watches: Watches,
    /// Until it is over.
    heard: Option<Overheard>,
    started: Instant,
    sent: Instant,
}

/// What is known of a call, and the copies of what was said.
pub(super) struct Overheard {
    pub watch: Arc<Watch>,
    pub call: CallId,
    pub at: Timestamp,
    pub operation: Operation,
    pub path: String,
    pub client: Option<String>,
    pub asked: Arc<Mutex<Copy>>,
    pub asked_packed: Option<HeaderValue>,
    pub answer: Copy,
    pub answer_packed: Option<HeaderValue>,
    pub is_stream: bool,
    pub status: Option<StatusCode>,
    pub end: End,
    pub why: Option<Missed>,
    pub micros: u64,
    /// Until it was sent on.
    pub own_micros: u64,
    pub first_micros: Option<u64>,
}

/// What a call is, before it is sent on.
pub(super) struct Arrival {
    pub watch: Arc<Watch>,
    pub operation: Operation,
    pub path: String,
    pub client: Option<String>,
    pub asked: Arc<Mutex<Copy>>,
    pub asked_packed: Option<HeaderValue>,
    pub started: Instant,
}

impl Tap {
    pub(super) fn new(watches: &Watches, arrival: Arrival) -> Self {
        let Arrival { watch, operation, path, client, asked, asked_packed, started } = arrival;
        let (call, at) = watches.begins();
        let heard = Overheard {
            watch,
            call,
            at,
            operation,
            path,
            client,
            asked,
            asked_packed,
            answer: watches.copy(),
            answer_packed: None,
            is_stream: false,
            status: None,
            end: End::Left,
            why: None,
            micros: 0,
            own_micros: 0,
            first_micros: None,
        };
        Self { watches: watches.clone(), heard: Some(heard), started, sent: Instant::now() }
    }

    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let Some(heard) = &mut self.heard else { return };
        heard.status = Some(status);
        heard.answer_packed = headers.get(CONTENT_ENCODING).cloned();
        let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        heard.is_stream = kind.starts_with("text/event-stream");
    }

    /// The next piece of the answer.
    pub(super) fn answers(&mut self, piece: &[u8]) {
        let Some(heard) = &mut self.heard else { return };
        heard.first_micros.get_or_insert_with(|| micros(self.started));
        heard.answer.push(piece);
    }

    /// No answer came.
    pub(super) fn failed(mut self, error: &LaneError) {
        if let Some(heard) = &mut self.heard {
            heard.why = Some(match error {
                LaneError::Denied(_) => Missed::Denied,
                LaneError::NotSent { .. } => Missed::Unreachable,
                LaneError::NoAnswer { .. } => Missed::Broken,
                LaneError::Silent { .. } => Missed::Silent,
                LaneError::TooLarge { .. } => Missed::TooLarge,
            });
        }
        self.ended(End::Failed);
    }

    pub(super) fn ended(mut self, end: End) {
        self.end(end);
    }

    fn end(&mut self, end: End) {
        let Some(mut heard) = self.heard.take() else { return };
        let (of_status, why) = of_status(heard.status);
        heard.end = match (end, of_status) {
            (_, Some(said)) => said,
            (end, None) => end,
        };
        heard.why = heard.why.or(why);
        if heard.end == End::Failed && heard.status.is_some_and(|it| it.is_success()) {
            heard.why = Some(Missed::Broken);
        }
        heard.micros = micros(self.started);
        let own = self.sent.duration_since(self.started);
        heard.own_micros = u64::try_from(own.as_micros()).unwrap_or(u64::MAX);
        self.watches.over(heard);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.end(End::Left);
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What a status that is no success says of the call, whether all of its body has come or not.
fn of_status(status: Option<StatusCode>) -> (Option<End>, Option<Missed>) {
    let Some(status) = status.filter(|it| !it.is_success()) else { return (None, None) };
    match status.as_u16() {
        401 | 403 => (Some(End::Refused), Some(Missed::Credentials)),
        402 => (Some(End::Refused), Some(Missed::Payment)),
        429 => (Some(End::Refused), Some(Missed::RateLimit)),
        400..500 => (Some(End::Refused), None),
        _ => (Some(End::Failed), Some(Missed::Status)),
    }
}

impl Overheard {
    /// What was asked, as it came.
    pub(super) fn asked<T>(&self, with: impl FnOnce(&Copy) -> T) -> T {
        with(&self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
