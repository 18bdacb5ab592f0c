//! Reading runs.

use base::{RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use store::{RunRow, RunState, WakeCursor};

use crate::convert;

pub(crate) fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        run: convert::run(row, 0)?,
        key: convert::key(row, 1)?,
        revision: convert::digest(row, 3)?,
        state: convert::state(row, 4)?,
        created_at: convert::time(row, 5)?,
        updated_at: convert::time(row, 6)?,
        ended_at: convert::time_or_none(row, 7)?,
        wake_at: convert::time_or_none(row, 8)?,
        summary: convert::bytes(row, 9)?,
    })
}

fn rows(db: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<Vec<RunRow>> {
    db.prepare_cached(sql)?.query_map(params, run_row)?.collect()
}

pub(crate) fn get(db: &Connection, run: RunId) -> rusqlite::Result<Option<RunRow>> {
    let mut query = db.prepare_cached(include_str!("sql/run_get.sql"))?;
    query.query_row([run.as_uuid().as_bytes()], run_row).optional()
}

pub(crate) fn due(
    db: &Connection,
    now: Timestamp,
    after: Option<WakeCursor>,
    limit: u32,
) -> rusqlite::Result<Vec<RunRow>> {
    let (at, run) = behind(after.as_ref());
    rows(db, include_str!("sql/run_due.sql"), params![now.as_millis(), limit, at, run])
}

pub(crate) fn wake_next(
    db: &Connection,
    after: Option<WakeCursor>,
) -> rusqlite::Result<Option<Timestamp>> {
    let (at, run) = behind(after.as_ref());
    let mut query = db.prepare_cached(include_str!("sql/run_wake_next.sql"))?;
    query.query_row(params![at, run], |row| convert::time_or_none(row, 0))
}

fn behind(after: Option<&WakeCursor>) -> (i64, &[u8]) {
    after.map_or((i64::MIN, &[]), |(at, run)| (at.as_millis(), run.as_uuid().as_bytes()))
}

pub(crate) fn count(db: &Connection) -> rusqlite::Result<Vec<(RunState, u64)>> {
    let mut query = db.prepare_cached(include_str!("sql/run_count.sql"))?;
    query.query_map([], |row| Ok((convert::state(row, 0)?, convert::uint(row, 1)?)))?.collect()
}
