//! Reading workflows and revisions.

use base::name::WorkflowKey;
use base::{Digest, Namespace};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use store::{RevisionRow, WorkflowRow};

use crate::convert;

fn workflow_row(row: &Row<'_>) -> rusqlite::Result<WorkflowRow> {
    Ok(WorkflowRow {
        key: convert::key(row, 0)?,
        revision: convert::digest(row, 2)?,
        version: row.get(3)?,
        updated_at: convert::time(row, 4)?,
        deleted_at: convert::time_or_none(row, 5)?,
    })
}

fn revision_row(row: &Row<'_>) -> rusqlite::Result<RevisionRow> {
    Ok(RevisionRow {
        key: convert::key(row, 0)?,
        revision: convert::digest(row, 2)?,
        version: row.get(3)?,
        created_at: convert::time(row, 4)?,
        text: convert::bytes(row, 5)?,
        resolved: convert::bytes(row, 6)?,
    })
}

pub(crate) fn get(db: &Connection, key: &WorkflowKey) -> rusqlite::Result<Option<WorkflowRow>> {
    let mut query = db.prepare_cached(include_str!("sql/workflow_get.sql"))?;
    query.query_row([key.namespace.as_str(), key.name.as_str()], workflow_row).optional()
}

pub(crate) fn list(
    db: &Connection,
    namespace: Option<&Namespace>,
    after: Option<&WorkflowKey>,
    limit: u32,
) -> rusqlite::Result<Vec<WorkflowRow>> {
    let (after_namespace, after_name) =
        after.map_or(("", ""), |key| (key.namespace.as_str(), key.name.as_str()));
    let Some(namespace) = namespace else {
        let mut query = db.prepare_cached(include_str!("sql/workflow_list.sql"))?;
        let params = params![after_namespace, after_name, limit];
        return query.query_map(params, workflow_row)?.collect();
    };
    let mut query = db.prepare_cached(include_str!("sql/workflow_list_by_namespace.sql"))?;
    let params = params![after_namespace, after_name, limit, namespace.as_str()];
    query.query_map(params, workflow_row)?.collect()
}

pub(crate) fn revision(
    db: &Connection,
    key: &WorkflowKey,
    revision: Digest,
) -> rusqlite::Result<Option<RevisionRow>> {
    let mut query = db.prepare_cached(include_str!("sql/revision_get.sql"))?;
    let params = params![key.namespace.as_str(), key.name.as_str(), revision.as_bytes()];
    query.query_row(params, revision_row).optional()
}

pub(crate) fn revision_list(
    db: &Connection,
    key: &WorkflowKey,
    limit: u32,
) -> rusqlite::Result<Vec<RevisionRow>> {
    let mut query = db.prepare_cached(include_str!("sql/revision_list.sql"))?;
    let params = params![key.namespace.as_str(), key.name.as_str(), limit];
    query.query_map(params, revision_row)?.collect()
}
