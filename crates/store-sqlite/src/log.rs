//! Reading the logs of processes.

use base::RunId;
use rusqlite::{Connection, params};
use store::{LogRow, LogStream};

use crate::convert::{bytes, int, time, uint};

pub(crate) const STDOUT: i64 = 1;
pub(crate) const STDERR: i64 = 2;

pub(crate) fn list(
    db: &Connection,
    run: RunId,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<LogRow>> {
    let mut query = db.prepare_cached(include_str!("sql/log_list.sql"))?;
    let rows = query.query_map(params![run.as_uuid().as_bytes(), int(after), limit], |row| {
        Ok(LogRow {
            position: uint(row, 0)?,
            run,
            activation: row.get(1)?,
            effect: uint(row, 2)?,
            life: uint(row, 3)?,
            stream: match row.get(4)? {
                STDERR => LogStream::Stderr,
                _ => LogStream::Stdout,
            },
            start: uint(row, 5)?,
            at: time(row, 6)?,
            bytes: bytes(row, 7)?,
        })
    })?;
    rows.collect()
}
