//! Reading schedules.

use base::name::WorkflowKey;
use base::{RunId, Timestamp};
use rusqlite::{Connection, Row, params};
use store::ScheduleRow;

use crate::convert;

fn schedule_row(row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
    let run: Option<[u8; 16]> = row.get(7)?;
    Ok(ScheduleRow {
        key: convert::key(row, 0)?,
        trigger: row.get(2)?,
        definition: convert::bytes(row, 3)?,
        since: convert::time(row, 4)?,
        next_at: convert::time_or_none(row, 5)?,
        fired_at: convert::time_or_none(row, 6)?,
        run: run.map(|bytes| RunId::from_uuid(uuid::Uuid::from_bytes(bytes))),
    })
}

pub(crate) fn get(db: &Connection, key: &WorkflowKey) -> rusqlite::Result<Vec<ScheduleRow>> {
    let mut query = db.prepare_cached(include_str!("sql/schedule_get.sql"))?;
    query.query_map([key.namespace.as_str(), key.name.as_str()], schedule_row)?.collect()
}

pub(crate) fn list(
    db: &Connection,
    after: Option<&(WorkflowKey, String)>,
    limit: u32,
) -> rusqlite::Result<Vec<ScheduleRow>> {
    let (namespace, name, trigger) = after.map_or(("", "", ""), |(key, trigger)| {
        (key.namespace.as_str(), key.name.as_str(), trigger.as_str())
    });
    let mut query = db.prepare_cached(include_str!("sql/schedule_list.sql"))?;
    query.query_map(params![namespace, name, trigger, limit], schedule_row)?.collect()
}

pub(crate) fn due(
    db: &Connection,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<ScheduleRow>> {
    let mut query = db.prepare_cached(include_str!("sql/schedule_due.sql"))?;
    query.query_map(params![now.as_millis(), limit], schedule_row)?.collect()
}

pub(crate) fn next(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let mut query = db.prepare_cached(include_str!("sql/schedule_next.sql"))?;
    query.query_row([], |row| convert::time_or_none(row, 0))
}
