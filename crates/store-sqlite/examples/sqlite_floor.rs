//! What SQLite alone does on this disk: rows of 200 bytes, WAL, `synchronous=FULL`, one
//! connection, one table without an index. `cargo xtask bench engine` puts the engine beside it.
//!
//! `cargo run --release -p isonomy-store-sqlite --example sqlite_floor SECONDS BATCH FOLDER`
//!
//! Prints one line of JSON: `rows`, `commits`, `seconds`.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROW_BYTES: usize = 200;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, batch, folder] = arguments.as_slice() else {
        return Err("usage: sqlite_floor SECONDS BATCH FOLDER".into());
    };
    let (time, batch) = (Duration::from_secs(seconds.parse()?), batch.parse::<i64>()?);
    // Its own folder on the disk that is asked about, gone afterwards.
    let folder = tempfile::tempdir_in(folder)?;
    let db = Connection::open(folder.path().join("floor.db"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch(
        "CREATE TABLE steps (id INTEGER PRIMARY KEY, workflow TEXT, step INTEGER, output BLOB)",
    )?;
    let mut insert =
        db.prepare("INSERT INTO steps (workflow, step, output) VALUES ('wf', ?1, ?2)")?;
    let output = vec![0x5a_u8; ROW_BYTES];
    let start = Instant::now();
    let mut commits = 0_i64;
    while start.elapsed() < time {
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for step in 0..batch {
            insert.execute(params![step, output])?;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        commits += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{{\"rows\": {}, \"commits\": {commits}, \"seconds\": {seconds:.6}}}",
        commits * batch
    );
    Ok(())
}
