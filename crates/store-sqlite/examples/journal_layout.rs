//! Measures where the journal of many interleaved runs is best kept. The figures and the choice
//! are in `docs/adr/0003-journal-layout.md`.
//!
//! `cargo run --release -p isonomy-store-sqlite --example journal_layout [rows] [folder]`
//!
//! Each layout takes the same rows in the same order: 64 runs in turn, 300 bytes a record, one
//! commit a row or one commit for 64 rows, WAL with `synchronous=FULL`. The store itself is not
//! measured here: this is SQLite alone, so that layouts differ in nothing else.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const RUNS: i64 = 64;
const RECORD_BYTES: usize = 300;
/// Rows between two foldings of the appended journal's index.
const FOLD_ROWS: i64 = 4096;

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    /// Rowid table, unique index over (run, sequence).
    Indexed,
    /// `WITHOUT ROWID`, clustered by (run, sequence).
    Clustered,
    /// Rowid table whose rowid is run << 32 | sequence: clustered by an integer.
    Packed,
    /// Rowid table in order of arrival and nothing else: the bound that no layout can beat.
    Append,
    /// Rowid table in order of arrival; every `FOLD_ROWS` rows, the positions that came since are
    /// written as one index row for each run.
    Folded,
}

const LAYOUTS: [(Layout, &str); 5] = [
    (Layout::Indexed, "(a) rowid + index(run, seq)"),
    (Layout::Clustered, "(b) without rowid"),
    (Layout::Packed, "(b') rowid = run<<32|seq"),
    (Layout::Append, "(c) append, no index"),
    (Layout::Folded, "(d) append + folded index"),
];

impl Layout {
    const fn schema(self) -> &'static str {
        match self {
            Self::Indexed => {
                "CREATE TABLE journal (run INTEGER NOT NULL, sequence INTEGER NOT NULL, record BLOB NOT NULL);
                 CREATE UNIQUE INDEX journal_by_run ON journal (run, sequence);"
            }
            Self::Clustered => {
                "CREATE TABLE journal (run INTEGER NOT NULL, sequence INTEGER NOT NULL, record BLOB NOT NULL,
                 PRIMARY KEY (run, sequence)) WITHOUT ROWID;"
            }
            Self::Packed => {
                "CREATE TABLE journal (position INTEGER PRIMARY KEY, record BLOB NOT NULL);"
            }
            Self::Append | Self::Folded => {
                "CREATE TABLE journal (position INTEGER PRIMARY KEY, run INTEGER NOT NULL,
                 sequence INTEGER NOT NULL, record BLOB NOT NULL);
                 CREATE TABLE journal_index (run INTEGER NOT NULL, sequence INTEGER NOT NULL,
                 positions BLOB NOT NULL, PRIMARY KEY (run, sequence)) WITHOUT ROWID;"
            }
        }
    }
}

fn open(file: &Path, layout: Layout) -> Outcome<Connection> {
    let db = Connection::open(file)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", 4000)?;
    db.pragma_update(None, "cache_size", -16_384)?;
    db.execute_batch(layout.schema())?;
    Ok(db)
}

/// Positions of the rows that are not in the index yet: run to (first sequence, positions).
type Tail = HashMap<i64, (i64, Vec<u8>)>;

fn insert(
    db: &Connection,
    layout: Layout,
    tail: &mut Tail,
    row: i64,
    record: &[u8],
) -> Outcome<()> {
    let (run, sequence) = (row % RUNS + 1, row / RUNS + 1);
    match layout {
        Layout::Indexed | Layout::Clustered => {
            db.prepare_cached("INSERT INTO journal (run, sequence, record) VALUES (?1, ?2, ?3)")?
                .execute(params![run, sequence, record])?;
        }
        Layout::Packed => {
            db.prepare_cached("INSERT INTO journal (position, record) VALUES (?1, ?2)")?
                .execute(params![run << 32 | sequence, record])?;
        }
        Layout::Append | Layout::Folded => {
            db.prepare_cached(
                "INSERT INTO journal (position, run, sequence, record) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![row + 1, run, sequence, record])?;
        }
    }
    if layout == Layout::Folded {
        let entry = tail.entry(run).or_insert_with(|| (sequence, Vec::new()));
        entry.1.extend_from_slice(&(row + 1).to_be_bytes());
        if row % FOLD_ROWS == FOLD_ROWS - 1 {
            for (run, (sequence, positions)) in tail.drain() {
                db.prepare_cached(
                    "INSERT INTO journal_index (run, sequence, positions) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![run, sequence, positions])?;
            }
        }
    }
    Ok(())
}

/// Reads one run's journal as after a cold start and counts its rows.
fn read(file: &Path, layout: Layout) -> Outcome<(usize, f64)> {
    let db = Connection::open(file)?;
    let run = RUNS / 2;
    let start = Instant::now();
    let mut rows = 0;
    let mut bytes = 0;
    let mut count = |record: Vec<u8>| {
        rows += 1;
        bytes += record.len();
    };
    match layout {
        Layout::Indexed | Layout::Clustered => {
            let mut query =
                db.prepare("SELECT record FROM journal WHERE run = ?1 ORDER BY sequence")?;
            let found = query.query_map([run], |row| row.get::<_, Vec<u8>>(0))?;
            for record in found {
                count(record?);
            }
        }
        Layout::Packed => {
            let mut query =
                db.prepare("SELECT record FROM journal WHERE position BETWEEN ?1 AND ?2")?;
            let found = query.query_map([run << 32, run << 32 | 0xffff_ffff], |row| row.get(0))?;
            for record in found {
                count(record?);
            }
        }
        Layout::Append => {
            let mut query = db.prepare("SELECT record FROM journal WHERE run = ?1")?;
            for record in query.query_map([run], |row| row.get(0))? {
                count(record?);
            }
        }
        Layout::Folded => {
            let mut extents =
                db.prepare("SELECT positions FROM journal_index WHERE run = ?1 ORDER BY sequence")?;
            let mut query = db.prepare("SELECT record FROM journal WHERE position = ?1")?;
            for positions in extents.query_map([run], |row| row.get::<_, Vec<u8>>(0))? {
                for position in positions?.chunks_exact(8) {
                    let position = i64::from_be_bytes(position.try_into()?);
                    count(query.query_row([position], |row| row.get(0))?);
                }
            }
        }
    }
    let spent = start.elapsed().as_secs_f64();
    assert!(bytes == rows * RECORD_BYTES, "every record has its length");
    Ok((rows, spent))
}

/// Bytes that this process has written so far (Linux; zero elsewhere).
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 10.0
}

fn measure(folder: &Path, layout: Layout, name: &str, rows: i64, batch: i64) -> Outcome<()> {
    let file = folder.join("layout.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("layout.db{suffix}")));
    }
    let db = open(&file, layout)?;
    let record = vec![0x5a; RECORD_BYTES];
    let mut tail = Tail::new();
    let (start, cpu, wrote) = (Instant::now(), cpu_ms(), written());
    let mut row = 0;
    while row < rows {
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in 0..batch {
            if batch > 1 {
                db.prepare_cached("SAVEPOINT command")?.execute([])?;
            }
            insert(&db, layout, &mut tail, row, &record)?;
            if batch > 1 {
                db.prepare_cached("RELEASE command")?.execute([])?;
            }
            row += 1;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
    }
    let spent = start.elapsed().as_secs_f64();
    let (cpu, wrote) = (cpu_ms() - cpu, written() - wrote);
    drop(db);
    let size = std::fs::metadata(&file)?.len();
    let (found, reading) = read(&file, layout)?;
    println!(
        "{name:<28} batch {batch:>3}: {:>8.0} rows/s, {:>5.1} µs cpu/row, {:>6.0} B written/row, {:>5.0} B kept/row, read {:>6.2} µs/row ({found} rows)",
        row as f64 / spent,
        cpu * 1000.0 / row as f64,
        wrote as f64 / row as f64,
        size as f64 / row as f64,
        reading * 1e6 / found as f64,
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().map_or(Ok(262_144), |text| text.parse())?;
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let folder = tempfile::tempdir_in(parent)?;
    for batch in [1, RUNS] {
        // One commit a row costs one fsync a row: fewer rows tell as much.
        let rows = if batch == 1 { rows / 16 } else { rows };
        for (layout, name) in LAYOUTS {
            measure(folder.path(), layout, name, rows, batch)?;
        }
    }
    Ok(())
}
