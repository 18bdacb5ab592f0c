//! Reading runs.

use base::{RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use store::{RunQuery, RunRow, RunState, WakeCursor};

use crate::convert;

/// Larger than any id: the cursor of the first page.
const ABOVE_ALL_IDS: [u8; 17] = [0xff; 17];

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

pub(crate) fn list(db: &Connection, query: &RunQuery) -> rusqlite::Result<Vec<RunRow>> {
    let before = match &query.after {
        Some(run) => run.as_uuid().as_bytes().as_slice(),
        None => &ABOVE_ALL_IDS,
    };
    let name = query.workflow.as_ref().map(|name| name.as_str());
    let since = query.created_since.map(Timestamp::as_millis);
    let namespace = query.namespace.as_ref().map(|namespace| namespace.as_str());
    if query.states.is_empty() {
        let Some(namespace) = namespace else {
            let sql = include_str!("sql/run_list.sql");
            return rows(db, sql, params![before, name, since, query.limit]);
        };
        let sql = include_str!("sql/run_list_by_namespace.sql");
        return rows(db, sql, params![before, name, since, query.limit, namespace]);
    }
    // A page of each state, then the first page of their union: each through the index.
    let mut states = query.states.clone();
    states.sort_unstable();
    states.dedup();
    let mut found = Vec::new();
    for state in states {
        let state = convert::code(state);
        let sql = include_str!("sql/run_list_by_state.sql");
        let params = params![before, name, since, query.limit, namespace, state];
        found.extend(rows(db, sql, params)?);
    }
    found.sort_by_key(|row| std::cmp::Reverse(row.run));
    found.truncate(query.limit as usize);
    Ok(found)
}

pub(crate) fn unfinished(
    db: &Connection,
    after: Option<RunId>,
    limit: u32,
) -> rusqlite::Result<Vec<RunRow>> {
    let after = after.as_ref().map_or(&[][..], |run| run.as_uuid().as_bytes());
    rows(db, include_str!("sql/run_unfinished.sql"), params![after, limit])
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
