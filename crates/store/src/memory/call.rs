//! Pages of calls, in memory.

use base::Timestamp;

use super::{Kept, MemoryStore, page};
use crate::{Answer, CallPage, CallStore};

impl Kept {
    pub(super) fn call_last(&self) -> u64 {
        self.calls.back().map_or(0, |newest| newest.last)
    }

    pub(super) fn call_append(&mut self, page: CallPage) {
        let at = self.calls.back().map_or(page.at, |newest| newest.at.max(page.at));
        self.calls.push_back(CallPage { at, ..page });
    }

    /// The newest one stays, and the number with it.
    pub(super) fn call_forget(&mut self, before: u64, rows: u32) {
        for _ in 0..rows {
            let is_newest = self.calls.len() == 1;
            if self.calls.pop_front_if(|oldest| !is_newest && oldest.last < before).is_none() {
                return;
            }
        }
    }
}

impl CallStore for MemoryStore {
    fn call_page_list(&self, after: u64, limit: u32) -> Answer<'_, Vec<CallPage>> {
        self.ask(|kept| {
            let from = kept.calls.partition_point(|page| page.last <= after);
            page(kept.calls.range(from..).cloned(), limit)
        })
    }

    fn call_page_newest(&self, before: Option<u64>, limit: u32) -> Answer<'_, Vec<CallPage>> {
        self.ask(|kept| {
            let is_before = |page: &CallPage| before.is_none_or(|before| page.first < before);
            let until = kept.calls.partition_point(is_before);
            page(kept.calls.range(..until).rev().cloned(), limit)
        })
    }

    fn call_page_at(&self, at: Timestamp) -> Answer<'_, Option<u64>> {
        self.ask(|kept| {
            let behind = kept.calls.partition_point(|page| page.at <= at);
            Some(kept.calls.get(behind.checked_sub(1)?)?.first)
        })
    }

    fn call_last(&self) -> Answer<'_, u64> {
        self.ask(Kept::call_last)
    }
}
