//! An answer that comes event by event.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dialects::Translation;
use memchr::memmem;
use models::{Ask, Blame, End, Missed, Operation, Said, is_end, said_in};
use pricing::{Dialect, Metered, Price, Stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::body::AnswerBody;
use super::disk;
use super::events::{self, Events};
use super::leg::{self, Try};
use super::open::Open;
use super::restore::Restore;
use super::shelf::Shelved;
use super::unsaid::without_secret;
use crate::lane::LaneError;

/// How long a stream is read whose client has gone, to learn what it costs.
const LEFT_TIME_MAX: Duration = Duration::from_secs(60);

/// How much is read of it: more than any answer of words has.
const LEFT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Passes events on, and reads what was used from them.
pub struct StreamBody {
    /// Until it is over.
    state: Option<State>,
}

/// How a stream goes.
pub(super) struct Way {
    pub shelved: Arc<Shelved>,
    pub dialect: Dialect,
    pub price: Option<Arc<Price>>,
    pub silence: Duration,
    /// Whether the client has not asked to see what it used.
    pub hides_usage: bool,
    pub words: Words,
    /// What becomes of its texts; nothing where they come as they are.
    pub restore: Option<Restore>,
}

/// In which words the client is told.
pub(super) struct Words {
    pub operation: Operation,
    /// Where they are not the upstream's.
    pub translation: Option<Box<Translation>>,
}

struct State {
    open: Open,
    body: AnswerBody,
    _place: Option<OwnedSemaphorePermit>,
    events: Events,
    meter: Stream,
    /// Until it is known how it ends.
    attempt: Option<Try>,
    /// Whether it has said that it is whole.
    is_whole: bool,
    /// Whether it has said that it fails.
    has_failed: bool,
    /// It may say again what it was sent: something like an error has come, in whatever form.
    may_repeat: bool,
    way: Way,
    timer: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
}

impl StreamBody {
    pub(super) fn new(
        open: Open,
        body: AnswerBody,
        place: Option<OwnedSemaphorePermit>,
        attempt: Option<Try>,
        way: Way,
    ) -> Self {
        let state = State {
            open,
            body,
            _place: place,
            events: Events::default(),
            meter: Stream::new(way.dialect),
            attempt,
            is_whole: false,
            has_failed: false,
            may_repeat: false,
            timer: Box::pin(sleep(way.silence)),
            way,
            waiting_since: None,
        };
        Self { state: Some(state) }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, LaneError>>> {
        loop {
            let Some(state) = &mut self.state else { return Poll::Ready(None) };
            match state.next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Step::Pass(piece)) if piece.is_empty() => {}
                Poll::Ready(Step::Pass(piece)) => return Poll::Ready(Some(Ok(piece))),
                Poll::Ready(Step::Last(piece, end)) => {
                    let mut state = self.state.take().expect("it was there");
                    state.end(end);
                    return Poll::Ready((!piece.is_empty()).then_some(Ok(piece)));
                }
            }
        }
    }
}

impl Words {
    /// Whole events of the upstream, as the client reads them.
    fn told(&mut self, whole: Bytes, is_last: bool) -> Bytes {
        let Some(translation) = &mut self.translation else { return whole };
        let mut told = Vec::with_capacity(whole.len());
        for event in events::each(&whole) {
            if let Some(data) = events::data(&event) {
                told.extend(translation.event(data));
            }
        }
        if is_last {
            told.extend(translation.end());
        }
        told.into()
    }

    fn broken(&mut self, what: &str) -> Bytes {
        let dialect = self.operation.dialect().unwrap_or(dialects::Dialect::Chat);
        match &mut self.translation {
            Some(translation) => translation.broken(what).into(),
            None => dialects::broken(dialect, what).into(),
        }
    }

    fn withheld(&mut self, what: &str) -> Bytes {
        match &mut self.translation {
            Some(translation) => translation.withheld(what).into(),
            None => self.broken(what),
        }
    }
}

enum Step {
    Pass(Bytes),
    Last(Bytes, End),
}

impl State {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let piece = match self.body.poll_chunk(cx) {
            Poll::Ready(piece) => piece,
            Poll::Pending => {
                self.waiting_since.get_or_insert_with(Instant::now);
                if self.timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                return Poll::Ready(self.broken(Missed::Silent, "the model says nothing more"));
            }
        };
        if let Some(since) = self.waiting_since.take() {
            self.open.waited(since.elapsed());
            self.timer.as_mut().reset(tokio::time::Instant::now() + self.way.silence);
            self.waits();
        }
        self.open.first();
        let whole = match piece {
            Some(Ok(piece)) => self.events.push(piece).map(events::in_one_line),
            Some(Err(error)) => {
                return Poll::Ready(self.broken(leg::why(&error), "the model broke off"));
            }
            None => {
                let rest = events::in_one_line(self.events.rest());
                let rest = self.pass(rest);
                self.meter.end();
                return Poll::Ready(self.last(rest));
            }
        };
        match whole {
            Ok(whole) => {
                let whole = self.pass(whole);
                Poll::Ready(self.shown(whole, false))
            }
            Err(_) => Poll::Ready(self.broken(Missed::TooLarge, "an event is too long")),
        }
    }

    /// As the client may see it, in its own words.
    fn shown(&mut self, whole: Bytes, is_last: bool) -> Step {
        let whole = match self.may_repeat {
            true => without_secret(whole, &self.way.shelved),
            false => whole,
        };
        let whole = self.way.words.told(whole, is_last);
        let shown = match &mut self.way.restore {
            None => Ok(whole),
            Some(restore) => restore.events(&whole).and_then(|shown| {
                if !is_last {
                    return Ok(shown);
                }
                let rest = restore.rest()?;
                Ok([shown, rest].concat().into())
            }),
        };
        match shown {
            Ok(shown) if is_last => Step::Last(shown, End::Answered),
            Ok(shown) => Step::Pass(shown),
            Err(why) => {
                let what = format!("the rest of the answer is withheld: {why}");
                Step::Last(self.way.words.withheld(&what), End::Withheld)
            }
        }
    }

    /// The end, as the upstream has it.
    fn last(&mut self, rest: Bytes) -> Step {
        if self.is_whole && !self.has_failed {
            leg::report(self.attempt.take(), Blame::Nobody);
            return self.shown(rest, true);
        }
        if self.has_failed {
            // The client has read why.
            self.open.broke_off(Missed::Broken, Duration::ZERO);
            leg::report(self.attempt.take(), Blame::Upstream);
            return match self.shown(rest, true) {
                Step::Pass(shown) | Step::Last(shown, End::Answered) => {
                    Step::Last(shown, End::Failed)
                }
                Step::Last(shown, end) => Step::Last(shown, end),
            };
        }
        let shown = match self.shown(rest, false) {
            Step::Pass(shown) => shown,
            last @ Step::Last(..) => return last,
        };
        match self.broken(Missed::Broken, "the model broke off") {
            Step::Pass(why) => Step::Pass([shown, why].concat().into()),
            Step::Last(why, end) => Step::Last([shown, why].concat().into(), end),
        }
    }

    /// The end of a stream that has not ended well.
    fn broken(&mut self, why: Missed, what: &str) -> Step {
        self.open.broke_off(why, Duration::ZERO);
        leg::report(self.attempt.take(), Blame::Upstream);
        Step::Last(self.way.words.broken(what), End::Failed)
    }

    /// Something has come.
    fn waits(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.waits(self.way.silence);
        }
    }

    /// What these events say of the end of all.
    fn listens(&mut self, whole: &Bytes) {
        self.is_whole = self.is_whole || is_end(whole);
        let says = |word: &[u8]| memmem::find(whole, word).is_some();
        let may_have_failed = says(b"error") || says(b"failed");
        self.may_repeat |= may_have_failed || says(b"\"detail\"");
        if !may_have_failed {
            return;
        }
        for event in events::each(whole) {
            let said = events::data(&event).map(said_in);
            self.has_failed |= matches!(said, Some(Said::Error(_)));
        }
    }

    /// Reads what was used, and leaves out what was not asked for.
    fn pass(&mut self, whole: Bytes) -> Bytes {
        self.listens(&whole);
        if memmem::find(&whole, b"\"usage\"").is_none()
            && memmem::find(&whole, b"[DONE]").is_none()
            && memmem::find(&whole, b"message_stop").is_none()
        {
            return whole;
        }
        let mut hidden = None;
        for event in events::each(&whole) {
            let Some(data) = events::data(&event) else { continue };
            if self.meter.feed(data).is_err() {
                tracing::debug!("a model reports its usage in a way that cannot be read");
            }
            if self.way.hides_usage && is_usage_alone(data) {
                hidden = Some(event);
            }
        }
        match hidden {
            None => whole,
            Some(hidden) => {
                let mut left = BytesMut::with_capacity(whole.len());
                for event in events::each(&whole).filter(|event| *event != hidden) {
                    left.extend_from_slice(&event);
                }
                left.freeze()
            }
        }
    }

    fn end(&mut self, end: End) {
        let usage = match self.meter.metered() {
            Ok(Metered::Whole(usage)) => Some(usage),
            Ok(Metered::SoFar(_) | Metered::Nothing) | Err(_) => None,
        };
        let usage = match self.body.busy() {
            Some(busy) => disk::timed(usage, busy.get()),
            None => usage,
        };
        if let Some(restore) = &self.way.restore {
            self.open.hidden = restore.hidden();
        }
        self.open.has_used(usage.as_ref(), self.way.price.as_deref());
        self.open.settle(end);
    }

    /// The client has gone: reads on, to learn what it costs.
    async fn drain(mut self) {
        let reading = async {
            let mut read = 0;
            loop {
                let piece = match self.body.chunk(self.way.silence).await {
                    Ok(Some(piece)) => piece,
                    Ok(None) => {
                        let rest = events::in_one_line(self.events.rest());
                        self.pass(rest);
                        self.meter.end();
                        let is_good = self.is_whole && !self.has_failed;
                        let blame = if is_good { Blame::Nobody } else { Blame::Upstream };
                        leg::report(self.attempt.take(), blame);
                        break;
                    }
                    Err(_) => {
                        leg::report(self.attempt.take(), Blame::Upstream);
                        break;
                    }
                };
                self.waits();
                read += piece.len();
                let Ok(whole) = self.events.push(piece) else { break };
                self.pass(events::in_one_line(whole));
                if read > LEFT_BYTES_MAX {
                    break;
                }
            }
        };
        tokio::time::timeout(LEFT_TIME_MAX, reading).await.ok();
        self.end(End::Left);
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        let left = Arc::clone(&state.open.desk().0.left);
        // Without a place it settles itself at its bound.
        if let Ok(place) = left.try_acquire_owned() {
            tokio::spawn(async move {
                let _place = place;
                state.drain().await;
            });
        }
    }
}

/// A whole answer of a server that has heard nothing of streams, as the stream that the client has asked for. It was
/// looked through, and is in the client's words. `None` where it goes as it is.
pub(super) fn of_whole(ask: &Ask, whole: &[u8]) -> Option<Bytes> {
    let dialect = match ask.operation {
        Operation::Completions => dialects::Dialect::Chat,
        Operation::Chat | Operation::Responses | Operation::Messages => ask.operation.dialect()?,
        Operation::Embeddings | Operation::Infer => return None,
    };
    let whole = ask.is_streamed.then_some(whole)?;
    dialects::streamed(dialect, whole, ask.wants_usage).map(Bytes::from)
}

/// An event that has what was used, and nothing of an answer.
fn is_usage_alone(data: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chunk {
        choices: Option<Vec<serde::de::IgnoredAny>>,
        usage: Option<serde::de::IgnoredAny>,
    }
    let chunk = serde_json::from_slice::<Chunk>(data);
    chunk.is_ok_and(|it| it.usage.is_some() && it.choices.is_some_and(|list| list.is_empty()))
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamBody").field("is_over", &self.state.is_none()).finish()
    }
}

#[cfg(test)]
mod tests {
    use dialects::Terms;

    use super::*;

    const EVENTS: &str = concat!(
        "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\r\n\r\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\u{e9}\u{1f600}\"}}\n\n",
        ": a note\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );

    /// What the client is told of these pieces.
    fn told(pieces: &[&[u8]]) -> Vec<u8> {
        let request = br#"{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"a"}]}"#;
        let terms = Terms { output_name: "", now: 0 };
        let (chat, messages) = (dialects::Dialect::Chat, dialects::Dialect::Messages);
        let made = Translation::of(chat, messages, request, terms).expect("known");
        let translation = Some(Box::new(made.expect("a request")));
        let mut words = Words { operation: Operation::Chat, translation };
        let (mut events, mut out) = (Events::default(), Vec::new());
        for piece in pieces {
            let whole = events.push(Bytes::copy_from_slice(piece)).expect("short");
            out.extend(words.told(whole, false));
        }
        out.extend(words.told(events.rest(), true));
        out
    }

    /// Mutation: translate what has come of an event before the rest of it.
    #[test]
    fn a_stream_is_translated_the_same_however_it_is_cut() {
        let text = EVENTS.as_bytes();
        let whole = told(&[text]);
        let shown = String::from_utf8(whole.clone()).expect("text");
        assert!(shown.contains("\u{e9}\u{1f600}") && shown.ends_with("data: [DONE]\n\n"));
        for at in 0..=text.len() {
            assert_eq!(told(&[&text[..at], &text[at..]]), whole, "{at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(told(&bytes), whole);
    }
}
