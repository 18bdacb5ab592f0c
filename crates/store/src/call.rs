//! The record of calls to models: pages of entries, one for all that came at once (ADR 18).
//!
//! The store numbers pages and knows nothing of the entries in them.

use base::Timestamp;
use bytes::Bytes;

use crate::{Answer, CommitError};

/// Entries that were written together. Their numbers begin with 1 and have no gaps, from page to page
/// neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPage {
    /// Numbers of its entries.
    pub first: u64,
    pub last: u64,
    /// Never before that of the page before it: see [`Op::CallAppend`](crate::Op::CallAppend).
    pub at: Timestamp,
    pub record: Bytes,
}

impl CallPage {
    /// Refuses a page that does not go on behind the entry `last`, or has no entry.
    pub fn follow(&self, last: u64) -> Result<(), CommitError> {
        let expected = last.saturating_add(1);
        if self.first != expected {
            return Err(CommitError::CallGap { expected, found: self.first });
        }
        if self.last < expected {
            return Err(CommitError::CallGap { expected, found: self.last });
        }
        Ok(())
    }
}

pub trait CallStore {
    /// Pages with entries behind `after`, oldest first.
    fn call_page_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<CallPage>>;
    /// Pages that begin before `before`, newest first; all of them are before nothing.
    fn call_page_newest(&self, before: Option<u64>, limit: u32) -> Answer<'_, Vec<CallPage>>;
    /// Where the newest page of this time or before begins.
    fn call_page_at(&self, at: Timestamp) -> Answer<'_, Option<u64>>;
    /// The number of the newest entry; 0 where there never was one.
    fn call_last(&self) -> Answer<'_, u64>;
}
