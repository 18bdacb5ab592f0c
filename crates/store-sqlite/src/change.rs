//! Reading the record of changes.

use rusqlite::{Connection, params};
use store::ChangeRow;

use crate::convert::{self, int, uint};

pub(crate) fn list(db: &Connection, after: u64, limit: u32) -> rusqlite::Result<Vec<ChangeRow>> {
    let mut query = db.prepare_cached(include_str!("sql/change_list.sql"))?;
    let rows = query.query_map(params![int(after), limit], |row| {
        Ok(ChangeRow {
            position: uint(row, 0)?,
            at: convert::time(row, 1)?,
            actor: row.get(2)?,
            change: convert::bytes(row, 3)?,
        })
    })?;
    rows.collect()
}
