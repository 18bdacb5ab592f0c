//! Is a store what it says: every run's row, snapshot, outcomes, events and children are compared
//! with what its journal leads to.
//!
//! ```text
//!  row ──────┐                                     ┌─ state, times, fault, usage
//!  journal ──┼─► replay from the beginning ─► judge┼─ outcomes, one for each end
//!  snapshot ─┘   (equal to the snapshot            ├─ events emitted, children begun
//!                 where it was taken)              └─ something is awaited, or it has ended
//! ```
//!
//! The journal is what counts; all else follows from it. Nothing is written, and memory does not grow
//! with the store: one run is looked at after the other. Runs may go on meanwhile: what looks wrong is
//! told only if nothing has moved since. `run` follows one journal, `judge` compares, `journal` knows
//! where a journal begins. Tables and files by themselves are the store's business
//! ([`store::Upkeep::verify`]). Codes: `docs/reference/store-check.md`.

mod journal;
mod judge;
mod run;

use std::time::Instant;

use base::RunId;
use spec::Catalog;
use store::{Finding, FindingCode, Pace, RunQuery, Store, StoreError, Upkeep, Verified};
use tokio::sync::mpsc;

use crate::driver::Revisions;

/// Runs that are listed at once.
const PAGE: u32 = 200;

/// Findings that are told one by one. A store with more is beyond a list; all are counted.
pub const FINDINGS_TOLD_MAX: u64 = 1_000;

/// Findings that wait for whoever listens.
const TOLD_WAITING_MAX: usize = 64;

/// The longest rest after a run, whatever it took.
const REST_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// What a check has looked at, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub runs: u64,
    /// Runs that had not ended.
    pub unfinished: u64,
    pub records: u64,
    /// Runs that never stood still long enough: their journals were followed, their rows not compared.
    pub moving: u64,
    /// What the store has looked at by itself.
    pub files: Verified,
    pub findings: u64,
    /// Worth telling, and nothing is wrong.
    pub notes: u64,
}

/// What is told while a check goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Finding(Finding),
    Progress(Totals),
}

/// Looks at the runs of a store.
pub struct Checker<'a> {
    store: &'a dyn Store,
    catalog: &'a (dyn Catalog + Send + Sync),
    revisions: Revisions,
    pace: Pace,
    attends: Option<&'a (dyn Fn(RunId) -> bool + Send + Sync)>,
    totals: Totals,
    /// The store has found rows that it cannot read.
    unreadable: bool,
}

/// Nobody listens any more.
struct Unheard;

impl<'a> Checker<'a> {
    #[must_use]
    pub fn new(store: &'a dyn Store, catalog: &'a (dyn Catalog + Send + Sync), pace: Pace) -> Self {
        let (revisions, totals) = (Revisions::default(), Totals::default());
        Self { store, catalog, revisions, pace, attends: None, totals, unreadable: false }
    }

    /// In a site at work: `attends` says whether somebody takes care of a run that should go on.
    #[must_use]
    pub fn at_work(self, attends: &'a (dyn Fn(RunId) -> bool + Send + Sync)) -> Self {
        Self { attends: Some(attends), ..self }
    }

    /// Everything: tables and files first, where the store lies on a disk, then the runs and schedules.
    /// Tells what is found to `tell`, and ends early where nobody listens.
    pub async fn all(
        mut self,
        upkeep: Option<&dyn Upkeep>,
        tell: mpsc::Sender<Told>,
    ) -> Result<Totals, StoreError> {
        let done = self.parts(upkeep, &tell).await?;
        if done.is_err() {
            tracing::debug!("nobody waits for the check any more");
        }
        Ok(self.totals)
    }

    async fn parts(
        &mut self,
        upkeep: Option<&dyn Upkeep>,
        tell: &mpsc::Sender<Told>,
    ) -> Result<Result<(), Unheard>, StoreError> {
        if let Some(upkeep) = upkeep {
            let (found, mut findings) = mpsc::channel(TOLD_WAITING_MAX);
            let hear = Box::new(move |finding| found.blocking_send(finding).is_ok());
            let mut verify = upkeep.verify(self.pace, hear);
            let mut verified = None;
            // The last findings may still lie in the channel when the job has ended.
            loop {
                let finding = tokio::select! {
                    () = tell.closed() => return Ok(Err(Unheard)),
                    done = &mut verify, if verified.is_none() => {
                        verified = Some(done?);
                        continue;
                    }
                    finding = findings.recv() => finding,
                };
                let Some(finding) = finding else { break };
                if self.found(finding, tell).await.is_err() {
                    return Ok(Err(Unheard));
                }
            }
            if verified.is_none() {
                verified = Some(verify.await?);
            }
            self.totals.files = verified.unwrap_or_default();
        }
        if self.runs(tell).await?.is_err() {
            return Ok(Err(Unheard));
        }
        self.schedules(tell).await
    }

    async fn runs(&mut self, tell: &mpsc::Sender<Told>) -> Result<Result<(), Unheard>, StoreError> {
        let mut after = None;
        loop {
            let query = RunQuery { after, limit: PAGE, ..RunQuery::default() };
            let page = match self.store.run_list(query).await {
                // What stands behind it cannot be listed.
                Err(wrong) if self.unreadable => {
                    let what = format!("{wrong}: the runs from there on were not looked at");
                    return Ok(self
                        .found(Finding::new(FindingCode::RowUnreadable, what), tell)
                        .await);
                }
                page => page?,
            };
            for row in &page {
                let since = Instant::now();
                let findings = self.run(row).await?;
                for finding in findings {
                    if self.found(finding, tell).await.is_err() {
                        return Ok(Err(Unheard));
                    }
                }
                if self.pace == Pace::Half {
                    tokio::time::sleep(since.elapsed().min(REST_MAX)).await;
                }
            }
            if tell.send(Told::Progress(self.totals)).await.is_err() {
                return Ok(Err(Unheard));
            }
            match page.last() {
                Some(last) => after = Some(last.run),
                None => return Ok(Ok(())),
            }
        }
    }

    async fn schedules(
        &mut self,
        tell: &mpsc::Sender<Told>,
    ) -> Result<Result<(), Unheard>, StoreError> {
        let mut after = None;
        loop {
            let page = self.store.schedule_list(after, PAGE).await?;
            // One that is due by the clock only remembers its last run, which may be gone.
            for row in page.iter().filter(|row| row.next_at.is_none()) {
                let Some(run) = row.run else { continue };
                if self.store.run_get(run).await?.is_none() {
                    let what = format!("`{}` of {} waits for it", row.trigger, row.key);
                    let finding = Finding::of(run, FindingCode::ScheduleRunMissing, what);
                    if self.found(finding, tell).await.is_err() {
                        return Ok(Err(Unheard));
                    }
                }
            }
            match page.last() {
                Some(last) => after = Some((last.key.clone(), last.trigger.clone())),
                None => return Ok(Ok(())),
            }
        }
    }

    async fn found(&mut self, finding: Finding, tell: &mpsc::Sender<Told>) -> Result<(), Unheard> {
        let told = self.totals.findings + self.totals.notes;
        self.unreadable |= finding.code == FindingCode::RowUnreadable && finding.run.is_none();
        if finding.code.is_note() {
            self.totals.notes += 1;
        } else {
            self.totals.findings += 1;
        }
        if told >= FINDINGS_TOLD_MAX {
            return Ok(());
        }
        tell.send(Told::Finding(finding)).await.map_err(|_| Unheard)
    }
}
