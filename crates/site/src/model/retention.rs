//! Retention: pages of calls whose time is over are forgotten. What they come to (sums, what budgets have
//! spent, calls under way) is in a checkpoint first, and stays.
//!
//! A reconciler: it reads how long calls are kept and which pages there are, and forgets in small steps.

use std::time::{Duration, Instant};

use base::{CallId, Timestamp};
use engine::pace::Pacer;
use spec::Keep;
use store::{CommitError, Op, Preconditions, ResourceKind, ResourceRow, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::Models;
use super::correction;

/// Pages that are forgotten in one step. Each has up to half a mebibyte: so a step is some milliseconds of the
/// writer's time.
const PAGES: u32 = 8;

/// Corrections that are looked at at once.
const CORRECTIONS: u32 = 100;

/// How much older than its page a call may be: it waited for the store.
const LATE: base::Duration = base::Duration::from_secs(60);

/// Between two looks: nobody waits for the room of a page.
const SLEEP: Duration = Duration::from_secs(600);

/// One look, before it rests.
const TURN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgetError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Models {
    /// Forgets what is due, again and again, until `closing`.
    pub(crate) async fn keep_calls(self, keep: Keep, closing: CancellationToken) {
        let Keep::For(keep) = keep else { return };
        let mut pace = Pacer::gentle();
        loop {
            let until = Instant::now() + TURN;
            let forgotten = tokio::select! {
                () = closing.cancelled() => return,
                forgotten = self.forget_calls(keep, &mut pace, until) => forgotten,
            };
            if let Err(error) = forgotten {
                tracing::error!(%error, "cannot forget calls whose time is over");
            }
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(SLEEP) => {}
            }
        }
    }

    /// All that is due now, or as much of it as can be done by `until`.
    pub(crate) async fn forget_calls(
        &self,
        keep: base::Duration,
        pace: &mut Pacer,
        until: Instant,
    ) -> Result<(), ForgetError> {
        let store = self.0.store.as_ref();
        let over = self.0.clock.now().minus(keep);
        let before = self.before(over).await?;
        if oldest(store).await?.is_none_or(|first| first >= before) {
            return Ok(());
        }
        // A start must find in the checkpoint what it does not find in pages.
        self.book().checkpoint(before - 1).await;
        while Instant::now() < until {
            let there = oldest(store).await?;
            let forget = vec![Op::CallForget { before, rows: PAGES }];
            store.read_ahead(forget.clone()).await?;
            pace.step(store.commit(forget, self.owned())).await?;
            if oldest(store).await? == there {
                break;
            }
        }
        self.forget_corrections(over, pace).await
    }

    /// The first entry that stays: that of the page of this time, or of the oldest call that goes on.
    async fn before(&self, over: Timestamp) -> Result<u64, StoreError> {
        let open = self.book().tally(|tally| tally.open().map(|call| call.at).min());
        let kept = open.map_or(over, |open| open.minus(LATE).min(over));
        Ok(self.0.store.call_page_at(kept).await?.unwrap_or(0))
    }

    /// What was said of calls that are no longer there.
    async fn forget_corrections(
        &self,
        over: Timestamp,
        pace: &mut Pacer,
    ) -> Result<(), ForgetError> {
        let mut after = Some(correction::ROWS.to_owned());
        loop {
            let list = self.0.store.resource_list(ResourceKind::Calls, after, CORRECTIONS);
            let rows = list.await?;
            let of = |row: &&ResourceRow| row.name.starts_with(correction::ROWS);
            let due = rows.iter().filter(of).filter_map(|row| past(row, over));
            let forget: Vec<Op> = due.map(correction::forget_op).collect();
            if !forget.is_empty() {
                pace.step(self.0.store.commit(forget, self.owned())).await?;
            }
            match rows.last().filter(of).filter(|_| rows.len() == CORRECTIONS as usize) {
                Some(last) => after = Some(last.name.clone()),
                None => return Ok(()),
            }
        }
    }

    fn owned(&self) -> Preconditions {
        Preconditions { run: None, epoch: Some(self.0.store.epoch()) }
    }
}

/// The call of a correction, where its time is over. One that cannot be read stays.
fn past(row: &ResourceRow, over: Timestamp) -> Option<CallId> {
    let read = correction::read(row)?;
    (read.admitted.plus(LATE) < over).then_some(read.call)
}

/// The first entry of the oldest page.
async fn oldest(store: &dyn Store) -> Result<Option<u64>, StoreError> {
    Ok(store.call_page_list(0, 1).await?.first().map(|page| page.first))
}
