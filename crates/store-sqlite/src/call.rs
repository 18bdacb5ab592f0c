//! Pages of calls.

use base::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use store::CallPage;

use crate::apply::{Applier, Refusal};
use crate::convert::{self, int, uint};

/// Where the newest page ends.
struct End {
    last: u64,
    at: Timestamp,
}

fn end(db: &Connection) -> rusqlite::Result<Option<End>> {
    let mut query = db.prepare_cached(include_str!("sql/call_end.sql"))?;
    query
        .query_row([], |row| Ok(End { last: uint(row, 0)?, at: convert::time(row, 1)? }))
        .optional()
}

pub(crate) fn last(db: &Connection) -> rusqlite::Result<u64> {
    Ok(end(db)?.map_or(0, |end| end.last))
}

impl Applier<'_> {
    pub(crate) fn call_append(&self, page: &CallPage) -> Result<(), Refusal> {
        let end = end(self.db)?;
        page.follow(end.as_ref().map_or(0, |end| end.last))?;
        let at = end.map_or(page.at, |end| end.at.max(page.at));
        let mut append = self.db.prepare_cached(include_str!("sql/call_append.sql"))?;
        let record = page.record.as_ref();
        append.execute(params![int(page.first), int(page.last), at.as_millis(), record])?;
        Ok(())
    }

    pub(crate) fn call_forget(&self, before: u64, rows: u32) -> Result<(), Refusal> {
        let mut forget = self.db.prepare_cached(include_str!("sql/call_forget.sql"))?;
        forget.execute(params![int(before), rows])?;
        Ok(())
    }
}

pub(crate) fn list(db: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<CallPage>> {
    let mut query = db.prepare_cached(include_str!("sql/call_list.sql"))?;
    query.query_map(params![int(after), limit], page)?.collect()
}

pub(crate) fn newest(
    db: &Connection,
    before: Option<u64>,
    limit: u32,
) -> rusqlite::Result<Vec<CallPage>> {
    let mut query = db.prepare_cached(include_str!("sql/call_list_newest.sql"))?;
    query.query_map(params![int(before.unwrap_or(u64::MAX)), limit], page)?.collect()
}

/// Times ascend with the numbers, so the numbers are halved until it is found: an index of the times
/// would be one more page of the file for each append.
pub(crate) fn page_at(db: &Connection, at: Timestamp) -> rusqlite::Result<Option<u64>> {
    let Some(End { last, .. }) = end(db)? else { return Ok(None) };
    let mut query = db.prepare_cached(include_str!("sql/call_of.sql"))?;
    let mut found = None;
    // Pages that begin before `low` are old enough, those that begin at `high` or behind are not.
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let of = query.query_row([int(middle)], |row| Ok((uint(row, 0)?, convert::time(row, 1)?)));
        match of.optional()? {
            Some((first, time)) if time > at => high = first,
            of => {
                found = of.map(|(first, _)| first);
                low = middle + 1;
            }
        }
    }
    Ok(found)
}

fn page(row: &Row<'_>) -> rusqlite::Result<CallPage> {
    Ok(CallPage {
        first: uint(row, 0)?,
        last: uint(row, 1)?,
        at: convert::time(row, 2)?,
        record: convert::bytes(row, 3)?,
    })
}
