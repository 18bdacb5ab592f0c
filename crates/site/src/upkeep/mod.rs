//! Long jobs on the store: check, backup, export. With the site at work they are asked for over the
//! API, with the site stopped by the command line on the folder itself; both get the same bytes.
//!
//! ```text
//!  api or cli ──► Custodian ──► a task of its own ──► a few pieces wait ──► answer body or command
//!                 (one job at a time)
//! ```
//!
//! A job makes no more than its reader takes, and ends when the reader goes.

mod check;
mod export;

use std::path::PathBuf;
use std::sync::Arc;

use base::Clock;
use engine::driver::Driver;
use server::{BackupSource, Out, Pieces, backup, pieces};
use store::{Pace, Store, Upkeep};
use tokio::sync::Semaphore;
use worker::Catalog;

pub use export::ExportFilter;

/// Does the jobs. Cheap to clone.
#[derive(Clone)]
pub struct Custodian(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    upkeep: Option<Arc<dyn Upkeep>>,
    catalog: Arc<Catalog>,
    /// While the site is at work.
    driver: Option<Driver>,
    clock: Arc<dyn Clock>,
    scratch: Option<PathBuf>,
    pace: Pace,
    /// Each job reads the whole store; two would only make both slow.
    one: Arc<Semaphore>,
}

/// Another job is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Custodian {
    pub(crate) fn at_work(
        store: Arc<dyn Store>,
        upkeep: Option<Arc<dyn Upkeep>>,
        catalog: Arc<Catalog>,
        driver: Driver,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let scratch = upkeep.as_ref().map(|upkeep| upkeep.scratch());
        let (driver, pace, one) = (Some(driver), Pace::Half, Arc::new(Semaphore::new(1)));
        Self(Arc::new(Inner { store, upkeep, catalog, driver, clock, scratch, pace, one }))
    }

    /// Of a store that no site uses. What is made in passing goes to `scratch`.
    #[must_use]
    pub fn of_stopped<S: Store + Upkeep>(
        store: Arc<S>,
        clock: Arc<dyn Clock>,
        scratch: Option<PathBuf>,
    ) -> Self {
        let upkeep = Some(Arc::clone(&store) as Arc<dyn Upkeep>);
        let (catalog, one) = (Arc::new(Catalog::shipped()), Arc::new(Semaphore::new(1)));
        let (driver, pace) = (None, Pace::Whole);
        Self(Arc::new(Inner { store, upkeep, catalog, driver, clock, scratch, pace, one }))
    }

    /// Lines of JSON: [`wire::StoreCheckLine`].
    pub fn check(&self) -> Result<Pieces, Busy> {
        self.job(check::check)
    }

    /// [`wire::BackupLine`]s, with the bytes of files between them.
    pub fn backup(&self) -> Result<Pieces, Busy> {
        self.job(|inner, out| backup(inner.source(), out))
    }

    /// Lines of JSON, as `docs/spec/export.md` has them.
    pub fn export(&self, filter: ExportFilter) -> Result<Pieces, Busy> {
        self.job(move |inner, out| export::export(inner, filter, out))
    }

    fn job<F>(&self, job: impl FnOnce(Arc<Inner>, Out) -> F) -> Result<Pieces, Busy>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let turn = Arc::clone(&self.0.one).try_acquire_owned().map_err(|_| Busy)?;
        let (out, pieces) = pieces();
        let job = job(Arc::clone(&self.0), out);
        tokio::spawn(async move {
            job.await;
            drop(turn);
        });
        Ok(pieces)
    }
}

impl Inner {
    /// Nothing where it lies on no disk.
    fn source(&self) -> Option<BackupSource> {
        let upkeep = Arc::clone(self.upkeep.as_ref()?);
        let (scratch, clock) = (self.scratch.clone()?, Arc::clone(&self.clock));
        Some(BackupSource { upkeep, scratch, clock, pace: self.pace })
    }
}
