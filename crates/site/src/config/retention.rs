//! `retention`: how long a site keeps what is over.

use base::Duration;
use serde::Deserialize;
use serde_saphyr::Spanned;
use spec::Keep;

use super::{ConfigError, Reader};

/// A month. Long enough to look at what happened, and to retry what faulted, after a holiday; and a disk
/// does not fill up by itself. Whoever must keep runs longer says so.
pub(super) const KEEP: Keep = Keep::For(Duration::from_secs(30 * 24 * 3600));

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
}

impl Reader<'_> {
    pub(super) fn keep(&self, retention: &Retention) -> Result<Keep, ConfigError> {
        let Some(found) = &retention.keep else { return Ok(KEEP) };
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
