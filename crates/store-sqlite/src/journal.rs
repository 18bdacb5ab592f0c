//! Reading journals and snapshots.

use base::RunId;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use store::{Entry, Sequence, Snapshot};

use crate::convert::{Damaged, bytes, int, uint};
use crate::tail::{SharedTail, Span, decode};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

pub(crate) fn read(
    db: &Connection,
    tail: &SharedTail,
    run: RunId,
    after: Sequence,
    limit: u32,
) -> Result<Vec<Entry>, ReadError> {
    let mut query = db.prepare_cached(include_str!("sql/run_id.sql"))?;
    let id: Option<i64> =
        query.query_row([run.as_uuid().as_bytes()], |row| row.get(0)).optional()?;
    let (Some(id), Ok(after), true) = (id, i64::try_from(after.0), limit > 0) else {
        return Ok(Vec::new());
    };
    let after = after.unsigned_abs();
    // The tail first: what is folded between the two looks is then seen twice, never missed.
    let mut last = db.prepare_cached(include_str!("sql/journal_last.sql"))?;
    let position: i64 = last.query_row([], |row| row.get(0))?;
    let newest = tail.knowing(position).span(id, after, limit as usize);
    // From here on one look at the file: what is forgotten meanwhile is there still.
    let looking = db.unchecked_transaction()?;
    let id_now: Option<i64> =
        query.query_row([run.as_uuid().as_bytes()], |row| row.get(0)).optional()?;
    if id_now != Some(id) {
        return Ok(Vec::new());
    }
    let forgotten = db
        .prepare_cached(include_str!("sql/journal_kept.sql"))?
        .query_row([run.as_uuid().as_bytes()], |row| uint(row, 0))?;
    let mut reading = Reading {
        get: db.prepare_cached(include_str!("sql/journal_get.sql"))?,
        run: id,
        last: after,
        forgotten,
        limit: limit as usize,
        entries: Vec::new(),
    };
    let mut list = db.prepare_cached(include_str!("sql/journal_extent_list.sql"))?;
    let mut extents = list.query(params![id, int(after)])?;
    while let Some(row) = extents.next()?
        && !reading.is_full()
    {
        let (first, last) = (uint(row, 0)?, uint(row, 1)?);
        let positions = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let positions = decode(positions).ok_or(Damaged("the index of a journal is damaged"))?;
        let span = Span { first, positions };
        if span.positions.is_empty() || span.last() != last {
            return Err(Damaged("the index of a journal is damaged").into());
        }
        reading.span(&span)?;
    }
    if let Some(span) = newest {
        reading.span(&span)?;
    }
    let entries = std::mem::take(&mut reading.entries);
    drop(extents);
    looking.finish()?;
    Ok(entries)
}

struct Reading<'db> {
    get: CachedStatement<'db>,
    run: i64,
    last: u64,
    /// Behind the first record, those up to here are not there any more.
    forgotten: u64,
    limit: usize,
    entries: Vec<Entry>,
}

impl Reading<'_> {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// Reads those rows of the span that come next.
    fn span(&mut self, span: &Span) -> Result<(), ReadError> {
        for (sequence, position) in (span.first..).zip(&span.positions) {
            if sequence <= self.last {
                continue;
            }
            if self.is_full() {
                return Ok(());
            }
            let (run, found, record) = self.get.query_row([position], |row| {
                let run: i64 = row.get(0)?;
                Ok((run, uint(row, 1)?, bytes(row, 2)?))
            })?;
            let follows = sequence == self.last + 1
                || (self.last <= self.forgotten && sequence == self.forgotten + 1);
            if run != self.run || found != sequence || !follows {
                return Err(Damaged("a journal and its index differ").into());
            }
            self.last = sequence;
            self.entries.push(Entry { sequence: Sequence(sequence), record });
        }
        Ok(())
    }
}

pub(crate) fn snapshot(db: &Connection, run: RunId) -> rusqlite::Result<Option<Snapshot>> {
    let mut query = db.prepare_cached(include_str!("sql/snapshot_get.sql"))?;
    let found = query.query_row([run.as_uuid().as_bytes()], |row| {
        Ok(Snapshot { sequence: Sequence(uint(row, 0)?), snapshot: bytes(row, 1)? })
    });
    found.optional()
}
