//! Resources.

use rusqlite::{Connection, OptionalExtension as _, params};
use store::{ResourceKind, ResourceRow};

use crate::apply::{Applier, Refusal};
use crate::convert;

/// The number of a kind in the tables. Never changes: files carry it.
const fn code(kind: ResourceKind) -> i64 {
    match kind {
        ResourceKind::Key => 1,
        ResourceKind::Placement => 2,
        ResourceKind::Edition => 3,
        ResourceKind::Piece => 4,
        ResourceKind::Text => 5,
        ResourceKind::Managed => 6,
        ResourceKind::Recovery => 7,
        ResourceKind::Left => 8,
        ResourceKind::Exchange => 9,
        ResourceKind::Request => 10,
        ResourceKind::Dispatch => 12,
        ResourceKind::Time => 13,
        ResourceKind::Model => 14,
        ResourceKind::Route => 15,
        ResourceKind::Budget => 16,
        ResourceKind::Calls => 17,
        ResourceKind::Lease => 18,
        ResourceKind::Artifact => 20,
        ResourceKind::Question => 22,
        ResourceKind::Watch => 21,
    }
}

impl Applier<'_> {
    pub(crate) fn resource_put(&self, row: &ResourceRow) -> Result<(), Refusal> {
        let mut put = self.db.prepare_cached(include_str!("sql/resource_put.sql"))?;
        put.execute(params![code(row.kind), row.name, row.record.as_ref()])?;
        Ok(())
    }

    pub(crate) fn resource_delete(&self, kind: ResourceKind, name: &str) -> Result<(), Refusal> {
        let mut delete = self.db.prepare_cached(include_str!("sql/resource_delete.sql"))?;
        delete.execute(params![code(kind), name])?;
        Ok(())
    }
}

pub(crate) fn resource_get(
    db: &Connection,
    kind: ResourceKind,
    name: String,
) -> rusqlite::Result<Option<ResourceRow>> {
    let mut query = db.prepare_cached(include_str!("sql/resource_get.sql"))?;
    let found = query.query_row(params![code(kind), name], |row| convert::bytes(row, 0));
    Ok(found.optional()?.map(|record| ResourceRow { kind, name, record }))
}

pub(crate) fn resource_list(
    db: &Connection,
    kind: ResourceKind,
    after: Option<&str>,
    limit: u32,
) -> rusqlite::Result<Vec<ResourceRow>> {
    let mut query = db.prepare_cached(include_str!("sql/resource_list.sql"))?;
    // No name is empty.
    let rows = query.query_map(params![code(kind), after.unwrap_or_default(), limit], |row| {
        Ok(ResourceRow { kind, name: row.get(0)?, record: convert::bytes(row, 1)? })
    })?;
    rows.collect()
}
