//! The usage of a stream: fed with the `data:` of each event, it keeps what was said last.

use memchr::memmem;

use crate::reported::{Answer, Dialect, Event, Reported};
use crate::usage::{Usage, UsageError};

/// An event that ends a stream is short, so that no long one need be looked through for its name.
const LAST_EVENT_BYTES_MAX: usize = 128;

/// What a stream has said of its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metered {
    Nothing,
    /// The stream has not said that it ended: what it used is this or more.
    SoFar(Usage),
    Whole(Usage),
}

/// Gathers the usage of one stream.
#[derive(Debug, Clone)]
pub struct Stream {
    dialect: Dialect,
    reported: Option<Reported>,
    is_counted: bool,
    /// What was reported last came with the end of each choice.
    is_last: bool,
    is_ended: bool,
    /// A report that could not be read: whatever others say, nobody knows what it was.
    broken: Option<UsageError>,
}

impl Stream {
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            reported: None,
            is_counted: false,
            is_last: false,
            is_ended: false,
            broken: None,
        }
    }

    /// Takes the data of one event. Events without usage cost one search for the word.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), UsageError> {
        if data == b"[DONE]" {
            self.is_ended = true;
            return Ok(());
        }
        // In a text the quotes of this would have backslashes.
        if memmem::find(data, b"\"usage\"").is_some() {
            let answer = Answer::read(data).inspect_err(|why| self.broken = Some(why.clone()))?;
            return self.take(answer);
        }
        if data.len() <= LAST_EVENT_BYTES_MAX && memmem::find(data, b"\"message_stop\"").is_some() {
            self.is_ended |= Answer::read(data)?.event == Event::MessageStop;
        }
        Ok(())
    }

    fn take(&mut self, answer: Answer) -> Result<(), UsageError> {
        let (event, is_last) = (answer.event, answer.is_last());
        let Some(reported) = answer.reported() else { return Ok(()) };
        self.is_ended |= event == Event::ResponseEnd;
        self.reported = match (self.dialect, self.reported) {
            (_, None) => Some(reported),
            (Dialect::Messages, Some(before)) => Some(before.grown(&reported)),
            (Dialect::OpenAi | Dialect::Embeddings, Some(before)) => {
                Some(before.or_more(reported, self.dialect))
            }
        };
        // The first event of the Messages API knows the input, and of the output one token.
        self.is_counted |= event != Event::MessageStart;
        self.is_last = is_last;
        Ok(())
    }

    /// The connection has ended as HTTP would have it. Not every server says `[DONE]` before.
    pub const fn end(&mut self) {
        self.is_ended |= self.is_last;
    }

    /// What is known at the end of the connection, however it ended.
    pub fn metered(&self) -> Result<Metered, UsageError> {
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        let Some(reported) = self.reported else { return Ok(Metered::Nothing) };
        let usage = reported.usage(self.dialect)?;
        let is_whole = self.is_ended && self.is_counted;
        Ok(if is_whole { Metered::Whole(usage) } else { Metered::SoFar(usage) })
    }
}
