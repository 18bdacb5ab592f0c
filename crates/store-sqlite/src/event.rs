//! Reading events.

use base::{Namespace, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, params_from_iter};
use store::{EventQuery, EventRow, EventsKept};

use crate::convert::{self, int, uint};

/// The newest event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Newest {
    pub(crate) position: u64,
    /// Bytes of all events up to it.
    pub(crate) total: u64,
}

pub(crate) fn newest(db: &Connection) -> rusqlite::Result<Newest> {
    let newest = db.query_row(include_str!("sql/event_newest.sql"), [], |row| {
        Ok(Newest { position: uint(row, 0)?, total: uint(row, 1)? })
    });
    newest.optional().map(Option::unwrap_or_default)
}

pub(crate) fn kept(db: &Connection) -> rusqlite::Result<EventsKept> {
    let Newest { position, total } = newest(db)?;
    let oldest = db.query_row(include_str!("sql/event_oldest.sql"), [], |row| {
        Ok((uint(row, 0)?, uint(row, 1)?))
    });
    // Bytes are counted with each event, so that nobody has to add up what is kept.
    let (oldest, before) = oldest.optional()?.unwrap_or((position, total));
    Ok(EventsKept { oldest, newest: position, bytes: total.saturating_sub(before) })
}

pub(crate) fn list(db: &Connection, query: &EventQuery) -> rusqlite::Result<Vec<EventRow>> {
    if query.kinds.is_empty() {
        let sql = if query.newest_first {
            include_str!("sql/event_list_newest.sql")
        } else {
            include_str!("sql/event_list.sql")
        };
        return rows(db, sql, query, None);
    }
    let sql = if query.newest_first {
        include_str!("sql/event_list_by_type_newest.sql")
    } else {
        include_str!("sql/event_list_by_type.sql")
    };
    // A page of each type, then the first page of their union: each through the index.
    let mut kinds = query.kinds.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let mut found = Vec::new();
    for kind in kinds {
        found.extend(rows(db, sql, query, Some(&kind))?);
    }
    found.sort_by_key(|row| row.position);
    if query.newest_first {
        found.reverse();
    }
    found.truncate(query.limit as usize);
    Ok(found)
}

pub(crate) fn emitted(
    db: &Connection,
    run: RunId,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<EventRow>> {
    let mut query = db.prepare_cached(include_str!("sql/event_emitted.sql"))?;
    let asked = params![run.as_uuid().as_bytes(), int(after), limit];
    query.query_map(asked, event_row)?.collect()
}

pub(crate) fn named(
    db: &Connection,
    namespace: &Namespace,
    source: &str,
    id: &str,
) -> rusqlite::Result<Option<EventRow>> {
    let mut query = db.prepare_cached(include_str!("sql/event_named.sql"))?;
    query.query_row(params![namespace.as_str(), source, id], event_row).optional()
}

fn rows(
    db: &Connection,
    sql: &str,
    query: &EventQuery,
    kind: Option<&str>,
) -> rusqlite::Result<Vec<EventRow>> {
    let namespace = query.namespace.as_str();
    let (after, before) = (int(query.after), int(query.before.unwrap_or(u64::MAX)));
    let run = query.run.as_ref().map(|run| run.as_uuid().as_bytes().as_slice());
    let since = query.since.map(Timestamp::as_millis);
    let mut values: Vec<&dyn ToSql> = vec![
        &namespace,
        &after,
        &before,
        &query.kind_prefix,
        &query.source,
        &query.subject,
        &run,
        &since,
        &query.limit,
    ];
    if let Some(kind) = &kind {
        values.push(kind);
    }
    db.prepare_cached(sql)?.query_map(params_from_iter(values), event_row)?.collect()
}

fn event_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let run: Option<[u8; 16]> = row.get(6)?;
    let namespace: String = row.get(1)?;
    let namespace = Namespace::parse(&namespace)
        .map_err(|_| convert::damaged(1, rusqlite::types::Type::Text, "not a namespace"))?;
    Ok(EventRow {
        position: uint(row, 0)?,
        namespace,
        source: row.get(2)?,
        id: row.get(3)?,
        kind: row.get(4)?,
        subject: row.get(5)?,
        run: run.map(|bytes| RunId::from_uuid(uuid::Uuid::from_bytes(bytes))),
        number: uint(row, 7)?,
        at: convert::time(row, 8)?,
        event: convert::bytes(row, 9)?,
    })
}
