//! Reading outcomes.

use base::RunId;
use rusqlite::{Connection, params};
use store::OutcomeRow;

use crate::convert::{self, int, uint};

pub(crate) fn list(db: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<OutcomeRow>> {
    let mut query = db.prepare_cached(include_str!("sql/outcome_list.sql"))?;
    let rows = query.query_map(params![int(after), limit], |row| {
        Ok(OutcomeRow {
            position: uint(row, 0)?,
            run: convert::run(row, 1)?,
            number: row.get(2)?,
            at: convert::time(row, 3)?,
            outcome: convert::bytes(row, 4)?,
        })
    })?;
    rows.collect()
}

pub(crate) fn of_run(
    db: &Connection,
    run: RunId,
    after: u32,
    limit: u32,
) -> rusqlite::Result<Vec<OutcomeRow>> {
    let mut query = db.prepare_cached(include_str!("sql/outcome_of.sql"))?;
    let rows = query.query_map(params![run.as_uuid().as_bytes(), after, limit], |row| {
        Ok(OutcomeRow {
            position: uint(row, 0)?,
            run,
            number: row.get(1)?,
            at: convert::time(row, 2)?,
            outcome: convert::bytes(row, 3)?,
        })
    })?;
    rows.collect()
}
