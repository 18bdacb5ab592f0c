//! `retention`: how long a site keeps what is over.

use std::ops::RangeInclusive;

use base::Duration;
use serde::Deserialize;
use serde_saphyr::Spanned;
use spec::Keep;
use store::EventLimits;

use super::{ConfigError, Reader};

/// A month. Long enough to look at what happened, and to retry what faulted, after a holiday; and a disk
/// does not fill up by itself. Whoever must keep runs longer says so.
pub(super) const KEEP: Keep = Keep::For(Duration::from_secs(30 * 24 * 3600));

/// A quarter. Providers bill by the month, and somebody has to find the time to compare. What calls have used
/// and cost is kept beyond that, hour by hour.
pub(super) const KEEP_CALLS: Keep = Keep::For(Duration::from_secs(90 * 24 * 3600));

/// What becomes of the old records of long runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Journals {
    /// They are forgotten but for the decisions in them.
    #[default]
    Compact,
    /// They are kept as long as their run.
    Whole,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retention {
    keep: Option<Spanned<String>>,
    journals: Option<Spanned<String>>,
    events: Option<Spanned<u32>>,
    calls: Option<Spanned<String>>,
}

/// What may be asked for: enough to look at, and no more than a store holds at all.
const EVENTS: RangeInclusive<u32> = 100..=1_000_000;

impl Reader<'_> {
    /// As many bytes for each as there are by default.
    pub(super) fn event_limits(&self, retention: &Retention) -> Result<EventLimits, ConfigError> {
        let usual = EventLimits::history();
        let events = self.number(retention.events.as_ref(), EVENTS, usual.events as usize)? as u64;
        Ok(EventLimits { events, bytes: usual.bytes / usual.events * events })
    }

    pub(super) fn keep(&self, retention: &Retention) -> Result<Keep, ConfigError> {
        let Some(found) = &retention.keep else { return Ok(KEEP) };
        Keep::parse(&found.value).map_err(|why| self.wrong(found, why))
    }

    pub(super) fn keep_calls(&self, retention: &Retention) -> Result<Keep, ConfigError> {
        let Some(found) = &retention.calls else { return Ok(KEEP_CALLS) };
        Keep::parse(&found.value).map_err(|why| self.wrong(found, why))
    }

    pub(super) fn journals(&self, retention: &Retention) -> Result<Journals, ConfigError> {
        let Some(found) = &retention.journals else { return Ok(Journals::default()) };
        match found.value.as_str() {
            "compact" => Ok(Journals::Compact),
            "whole" => Ok(Journals::Whole),
            _ => Err(self.wrong(found, "`journals` is `compact` or `whole`")),
        }
    }
}
