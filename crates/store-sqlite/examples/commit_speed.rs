//! Measures durable commits through the store, beside SQLite with one row a commit on the same
//! disk in the same run. Figures: `docs/adr/0003-journal-layout.md`.
//!
//! `cargo run --release -p isonomy-store-sqlite --example commit_speed [seconds] [folder]`
//!
//! A commit here is what one step of a run writes: a record of 300 bytes and the run's row.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use isonomy_store_sqlite::{OpenOptions, SqliteStore};
use rusqlite::{Connection, params};
use store::suite::{at, row, run_id};
use store::{Op, Preconditions, RunRow, Sequence, Store};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const RECORD_BYTES: usize = 300;
/// Times that each measurement is repeated, in turn with the others.
const REPEATS: u32 = 3;

/// The most that one committer can get from SQLite: one row, one commit, one fsync.
fn bare(folder: &Path, time: Duration) -> Outcome<f64> {
    let db = Connection::open(folder.join("bare.db"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch("CREATE TABLE journal (position INTEGER PRIMARY KEY, record BLOB NOT NULL)")?;
    let record = vec![0x5a_u8; RECORD_BYTES];
    let mut insert = db.prepare("INSERT INTO journal (record) VALUES (?1)")?;
    let start = Instant::now();
    let mut commits = 0;
    while start.elapsed() < time {
        insert.execute(params![record])?;
        commits += 1;
    }
    Ok(f64::from(commits) / start.elapsed().as_secs_f64())
}

struct Measured {
    commits: f64,
    fsyncs: f64,
    cpu_us: f64,
}

async fn through_the_store(folder: &Path, runs: u64, time: Duration) -> Outcome<Measured> {
    let store = Arc::new(SqliteStore::open(folder, OpenOptions::default())?);
    for n in 1..=runs {
        store.commit(vec![Op::RunCreate(row(n))], Preconditions::none()).await?;
    }
    let (before, cpu, start) = (store.stats(), cpu_ms(), Instant::now());
    let commits = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (1..=runs)
        .map(|n| tokio::spawn(steps(Arc::clone(&store), n, start + time, Arc::clone(&commits))))
        .collect();
    for task in tasks {
        task.await?;
    }
    let (spent, after) = (start.elapsed().as_secs_f64(), store.stats());
    let commits = commits.load(Relaxed) as f64;
    Ok(Measured {
        commits: commits / spent,
        fsyncs: (after.fsyncs - before.fsyncs) as f64 / spent,
        cpu_us: (cpu_ms() - cpu) * 1000.0 / commits,
    })
}

async fn steps(store: Arc<SqliteStore>, n: u64, end: Instant, commits: Arc<AtomicU64>) {
    let record = Bytes::from(vec![0x5a; RECORD_BYTES]);
    let mut last = 0;
    while Instant::now() < end {
        let append = Op::JournalAppend {
            run: run_id(n),
            sequence: Sequence(last + 1),
            record: record.clone(),
        };
        let update = Op::RunUpdate(RunRow { updated_at: at(last as i64), ..row(n) });
        let owner =
            Preconditions { run: Some((run_id(n), Sequence(last))), epoch: Some(store.epoch()) };
        store.commit(vec![append, update], owner).await.expect("nobody else writes this run");
        last += 1;
    }
    commits.fetch_add(last, Relaxed);
}

/// Processor time of this process so far (Linux; zero elsewhere).
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 10.0
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let time = Duration::from_secs(seconds);
    for repeat in 1..=REPEATS {
        let folder = tempfile::tempdir_in(&parent)?;
        let bare = bare(folder.path(), time)?;
        println!("{repeat}: sqlite, one row a commit {bare:>9.0}/s");
        for runs in [1, 8, 64, 512] {
            let data = folder.path().join(runs.to_string());
            let found = through_the_store(&data, runs, time).await?;
            println!(
                "{repeat}: store, {runs:>3} runs at once  {:>9.0}/s, {:.2} of sqlite, {:>6.0} fsyncs/s, {:>5.1} µs cpu a commit",
                found.commits,
                found.commits / bare,
                found.fsyncs,
                found.cpu_us,
            );
        }
    }
    Ok(())
}
