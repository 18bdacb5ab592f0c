//! Reading ahead: what forgetting is about to delete is fetched from the disk by a reader.
//!
//! ```text
//!   reader │ look at runs 1..32 │                  │ look at runs 33..64 │
//!   writer │      commits       │ forget 1..32 ... │       commits       │ forget 33..64 ...
//! ```
//!
//! Old pages are cold: a small machine, or one that takes unused memory back, has them on the disk
//! alone. There is one writer, and while it waits for the disk, so does everybody's commit. A reader may
//! wait as long as it takes. What it has read stays in the cache of the system for the moment until the
//! writer comes.
//!
//! Nothing here is relied on: what is missed is read by the writer. So what is rare is left out: the
//! newest rows, whose index is in memory, and the indexes of snapshots.

use base::RunId;
use rusqlite::{CachedStatement, Connection, params};
use store::Op;

use crate::convert::int;
use crate::forget::{CLEAR_AT_ONCE_ROWS, clear_next, extents};

/// Tables that hold what a run leaves, but for its journal: all of its own row is looked at and, by way
/// of the join, its place in each index.
const OF_RUN: [&str; 6] = [
    include_str!("sql/ahead_run.sql"),
    include_str!("sql/ahead_outcome.sql"),
    include_str!("sql/ahead_blob.sql"),
    "SELECT snapshot FROM snapshots WHERE run = ?1 LIMIT ?2",
    "SELECT bytes FROM logs WHERE run = ?1 ORDER BY position LIMIT ?2",
    "SELECT stretch FROM journal_stretches WHERE run = ?1 ORDER BY last LIMIT ?2",
];

/// Looks at what the operations will delete.
pub(crate) fn read(db: &Connection, ops: &[Op]) -> rusqlite::Result<()> {
    for op in ops {
        match op {
            Op::RunForget { run } => of_run(db, *run)?,
            Op::Clear { rows } => of_next(db, *rows as usize)?,
            Op::EventForget { rows, .. } => {
                let events = db.prepare_cached(include_str!("sql/ahead_event.sql"))?;
                fetch(events, params![rows])?;
            }
            Op::CallForget { rows, .. } => {
                let calls = db.prepare_cached(include_str!("sql/ahead_call.sql"))?;
                fetch(calls, params![rows])?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn of_run(db: &Connection, run: RunId) -> rusqlite::Result<()> {
    let mut id = db.prepare_cached(include_str!("sql/run_id.sql"))?;
    match id.query_row([run.as_uuid().as_bytes()], |row| row.get(0)) {
        Ok(id) => left(db, id, CLEAR_AT_ONCE_ROWS),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Of the run that is cleared next.
fn of_next(db: &Connection, rows: usize) -> rusqlite::Result<()> {
    clear_next(db)?.map_or(Ok(()), |id| left(db, id, rows))
}

/// What a run has, up to so many rows of each kind.
fn left(db: &Connection, id: i64, rows: usize) -> rusqlite::Result<()> {
    for sql in OF_RUN {
        fetch(db.prepare_cached(sql)?, params![id, int(rows as u64)])?;
    }
    let record = "SELECT record FROM journal WHERE position = ?1";
    let (mut after, mut left) = (0, rows);
    while left > 0 {
        // An index that is damaged is found by whoever needs it.
        let Ok(Some(extent)) = extents(db, id, after, after + 1).map(|mut found| found.pop())
        else {
            return Ok(());
        };
        for position in extent.positions.iter().take(left) {
            fetch(db.prepare_cached(record)?, [position])?;
        }
        (after, left) = (extent.last(), left.saturating_sub(extent.positions.len()));
    }
    Ok(())
}

/// Reads every column to its end: a long one lies on pages of its own.
fn fetch(mut statement: CachedStatement<'_>, of: impl rusqlite::Params) -> rusqlite::Result<()> {
    let columns = statement.column_count();
    let mut rows = statement.query(of)?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            row.get_ref(column)?;
        }
    }
    Ok(())
}
