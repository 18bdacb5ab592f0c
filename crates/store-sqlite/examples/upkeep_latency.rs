//! Measures what a check of the files and the copy for a backup cost those who commit meanwhile.
//!
//! `cargo run --release -p isonomy-store-sqlite --example upkeep_latency [rows] [folder]`
//!
//! A store with that many records; 16 runs commit, one record and the run's row each, while nothing
//! else goes on, while the files are checked, and while the tables are copied, in turn. Each part
//! lasts as long as its job, the first one as long as the others did before.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use isonomy_store_sqlite::{OpenOptions, SqliteStore};
use store::suite::{at, row, run_id};
use store::{Op, Pace, Preconditions, RunRow, Sequence, Store, Upkeep};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const RECORD_BYTES: usize = 300;
const RUNS: u64 = 16;
/// Records in one commit while the store is filled.
const FILL_BATCH: u64 = 500;
const REPEATS: u32 = 3;
/// The shortest part, so that percentiles mean something.
const PART_MIN: Duration = Duration::from_secs(3);

async fn fill(store: &SqliteStore, records: u64) -> Outcome<()> {
    for n in 1..=RUNS {
        store.commit(vec![Op::RunCreate(row(n))], Preconditions::none()).await?;
    }
    let record = Bytes::from(vec![0x5a; RECORD_BYTES]);
    let mut last = 0;
    while last * RUNS < records {
        for n in 1..=RUNS {
            let append = |sequence| Op::JournalAppend {
                run: run_id(n),
                sequence: Sequence(sequence),
                record: record.clone(),
            };
            let ops = (last + 1..=last + FILL_BATCH).map(append).collect();
            store.commit(ops, Preconditions::none()).await?;
        }
        last += FILL_BATCH;
    }
    Ok(())
}

/// Commits of one run until it is told to stop, and how long each took.
async fn steps(store: Arc<SqliteStore>, n: u64, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let record = Bytes::from(vec![0x5a; RECORD_BYTES]);
    let mut last = 0;
    // Whatever an earlier part has written.
    loop {
        let read = store.journal_read(run_id(n), Sequence(last), u32::MAX).await.expect("reads");
        match read.last() {
            Some(entry) => last = entry.sequence.0,
            None => break,
        }
    }
    let mut took = Vec::new();
    while !stop.load(Ordering::Acquire) {
        let (run, sequence) = (run_id(n), Sequence(last + 1));
        let append = Op::JournalAppend { run, sequence, record: record.clone() };
        let update = Op::RunUpdate(RunRow { updated_at: at(last as i64), ..row(n) });
        let start = Instant::now();
        store.commit(vec![append, update], Preconditions::none()).await.expect("nobody else");
        took.push(start.elapsed());
        last += 1;
    }
    took
}

/// Commits while the job goes on. Gives how long that was.
async fn beside(
    store: &Arc<SqliteStore>,
    what: &str,
    job: impl Future<Output = ()>,
) -> Outcome<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> =
        (1..=RUNS).map(|n| tokio::spawn(steps(Arc::clone(store), n, Arc::clone(&stop)))).collect();
    let start = Instant::now();
    job.await;
    let lasted = start.elapsed();
    stop.store(true, Ordering::Release);
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await?);
    }
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{what:<14} {:>6.1} s  {:>8.0} commits/s  p50 {:>7.2} ms  p99 {:>7.2} ms  p99.9 {:>7.2} ms  max {:>7.2} ms",
        lasted.as_secs_f64(),
        took.len() as f64 / lasted.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );
    Ok(lasted)
}

async fn parts(store: &Arc<SqliteStore>, folder: &Path, idle: Duration) -> Outcome<Duration> {
    let nothing = async {
        // The time is over, and that is all.
        tokio::time::timeout(idle, std::future::pending::<()>()).await.unwrap_or_default();
    };
    beside(store, "nothing else", nothing).await?;
    let hear = Box::new(|finding| {
        println!("{finding}");
        true
    });
    let check = async {
        store.verify(Pace::Half, hear).await.expect("checks");
    };
    let first = beside(store, "check of files", check).await?;
    let copy =
        async { drop(store.copy(folder.join("copy.db"), Pace::Half).await.expect("copies")) };
    let second = beside(store, "copy", copy).await?;
    std::fs::remove_file(folder.join("copy.db"))?;
    Ok(first.max(second).max(PART_MIN))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(500_000), |text| text.parse())?;
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let folder = tempfile::tempdir_in(&parent)?;
    let store = Arc::new(SqliteStore::open(&folder.path().join("data"), OpenOptions::default())?);
    fill(&store, rows).await?;
    let bytes = std::fs::metadata(folder.path().join("data/isonomy.db"))?.len();
    println!("{rows} records, {} MiB", bytes >> 20);
    let mut idle = PART_MIN;
    for repeat in 1..=REPEATS {
        println!("{repeat}:");
        idle = parts(&store, folder.path(), idle).await?;
    }
    Ok(())
}
