//! Long jobs beside the daily work. Each has a thread and a connection of its own, so that nobody
//! waits behind it.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::future::FutureExt as _;
use rusqlite::Connection;
use store::{Answer, BlobId, Copied, Finding, Pace, StoreError, Upkeep, Verified};

use crate::open::{self, DATABASE_FILE};
use crate::verify::Verifier;
use crate::{SqliteStore, backup, verify};

/// In the data folder: what is made in passing.
pub(crate) const SCRATCH: &str = "scratch";

/// The longest rest between two pieces of work, whatever the piece took.
const REST_MAX: Duration = Duration::from_secs(1);

/// Who holds the write-ahead log for long. The log cannot be begun anew meanwhile, so the writer must
/// not wait for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LongReads(Arc<AtomicUsize>);

impl LongReads {
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    pub(crate) fn begin(&self) -> LongRead {
        self.0.fetch_add(1, Ordering::AcqRel);
        LongRead(self.clone())
    }
}

/// While this is there, the log is held.
#[derive(Debug)]
pub(crate) struct LongRead(LongReads);

impl Drop for LongRead {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Says when to rest, and whether anybody still waits.
pub(crate) struct Pacer {
    pace: Pace,
    since: Instant,
    unwanted: Arc<AtomicBool>,
}

impl Pacer {
    pub(crate) fn new(pace: Pace, unwanted: Arc<AtomicBool>) -> Self {
        Self { pace, since: Instant::now(), unwanted }
    }

    /// A piece of work is done. Whether there is a reason to do the next.
    pub(crate) fn rest(&mut self) -> bool {
        if self.pace == Pace::Half {
            std::thread::sleep(self.since.elapsed().min(REST_MAX));
        }
        self.since = Instant::now();
        !self.unwanted.load(Ordering::Acquire)
    }
}

/// Whoever waited has gone.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl SqliteStore {
    /// Does a job on a thread of its own, with a connection that only reads. `what` completes
    /// "cannot …".
    pub(crate) fn job<T: Send + 'static>(
        &self,
        what: &'static str,
        pace: Pace,
        job: impl FnOnce(Connection, Pacer) -> Result<T, String> + Send + 'static,
    ) -> Answer<'_, T> {
        let file = self.data.join(DATABASE_FILE);
        let failed = move |cause: String| StoreError { what, cause };
        let (answer, answered) = oneshot::channel();
        let waits = Unwanted(Arc::default());
        let pacer = Pacer::new(pace, Arc::clone(&waits.0));
        let work = move || {
            let db = open::reader(&file).map_err(|cause| cause.to_string());
            let done = db.and_then(|db| job(db, pacer));
            // Whoever asked may have gone.
            let _ = answer.send(done);
        };
        let thread = std::thread::Builder::new().name("store-upkeep".to_owned()).spawn(work);
        let wait = async move {
            let _waits = waits;
            thread.map_err(|cause| failed(format!("no thread for it: {cause}")))?;
            let answer = answered.await.map_err(|_| failed("it broke off".to_owned()))?;
            answer.map_err(failed)
        };
        wait.boxed()
    }
}

impl Upkeep for SqliteStore {
    fn verify(
        &self,
        pace: Pace,
        tell: Box<dyn FnMut(Finding) -> bool + Send>,
    ) -> Answer<'_, Verified> {
        let (blobs, long_reads) = (Arc::clone(&self.blobs), self.long_reads.clone());
        self.job("check the store's files", pace, move |db, pacer| {
            let mut verifier = Verifier::new(&db, &blobs, long_reads, pacer, tell);
            match verifier.all() {
                Ok(()) | Err(verify::Halt::Unheard) => Ok(verifier.seen),
                Err(verify::Halt::Sql(cause)) => Err(cause.to_string()),
            }
        })
    }

    fn copy(&self, to: PathBuf, pace: Pace) -> Answer<'_, Copied> {
        let long_reads = self.long_reads.clone();
        self.job("copy the store", pace, move |db, pacer| {
            let _held = long_reads.begin();
            let copied = backup::copy(&db, &to, pacer);
            copied.inspect_err(|_| {
                // Half a copy is worth nothing and takes room.
                let _ = std::fs::remove_file(&to);
            })
        })
    }

    fn hold_files(&self) -> Box<dyn Any + Send + Sync> {
        Box::new(self.blobs.hold_all())
    }

    fn blob_file(&self, blob: BlobId) -> PathBuf {
        self.blobs.file(blob)
    }

    fn scratch(&self) -> PathBuf {
        self.data.join(SCRATCH)
    }
}
