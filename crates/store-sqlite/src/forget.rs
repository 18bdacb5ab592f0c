//! Forgetting: old records of long runs, and runs whose time is over, with what only they need.
//!
//! Runs inside the writer's transaction, like `apply`. Statements are rare here, and so prepared when
//! they are needed.

use base::RunId;
use base::stream::Stream;
use rusqlite::{Connection, OptionalExtension as _, params};
use store::{
    BlobId, CommitError, EndedQuery, JOURNAL_FORGET_MAX, JournalKept, LongRow, RunRow, Sequence,
    Snapshot, StretchRow,
};

use crate::apply::{Applier, Refusal};
use crate::convert::{self, Damaged, bytes, int, uint};
use crate::heads::Head;
use crate::tail::{self, Span, decode, encode};

/// What a run has left is cleared away at once up to so many rows: a row to remember it by would cost as
/// much as some of them.
pub(crate) const CLEAR_AT_ONCE_ROWS: usize = 32;

/// The smallest number of a state that is an end.
const STATE_ENDED_MIN: i64 = 4;

impl Applier<'_> {
    pub(crate) fn blob_refer(
        &mut self,
        run: RunId,
        sequence: Sequence,
        blob: BlobId,
    ) -> Result<(), Refusal> {
        let id = self.existing(run)?.id;
        let put = "INSERT INTO blob_refers VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        let mut put = self.db.prepare_cached(put)?;
        put.execute(params![id, int(sequence.0), blob.as_bytes()])?;
        Ok(())
    }

    /// No run has the number 0.
    pub(crate) fn blob_pin(&self, blob: BlobId) -> Result<(), Refusal> {
        let put = "INSERT INTO blob_refers VALUES (0, 1, ?1) ON CONFLICT DO NOTHING";
        self.db.prepare_cached(put)?.execute([blob.as_bytes()])?;
        Ok(())
    }

    pub(crate) fn blob_unpin(&mut self, blob: BlobId) -> Result<(), Refusal> {
        let delete = "DELETE FROM blob_refers WHERE run = 0 AND sequence = 1 AND blob = ?1
            RETURNING blob";
        self.blobs_release(delete, [blob.as_bytes()])?;
        Ok(())
    }

    pub(crate) fn journal_start(&mut self, run: RunId) -> Result<(), Refusal> {
        let id = self.existing(run)?.id;
        self.db.prepare_cached(include_str!("sql/journal_start_put.sql"))?.execute([id])?;
        Ok(())
    }

    pub(crate) fn journal_forget(
        &mut self,
        run: RunId,
        through: Sequence,
        stretch: &[u8],
    ) -> Result<(), Refusal> {
        let id = self.existing(run)?.id;
        let one = |sql: &str, number: u64| -> rusqlite::Result<Option<i64>> {
            self.db.prepare_cached(sql)?.query_row(params![id, int(number)], |row| row.get(0))
        };
        let forgotten =
            one("SELECT max(last) FROM journal_stretches WHERE run = ?1 AND last > ?2", 0)?;
        let forgotten = forgotten.map_or(0, i64::unsigned_abs);
        let first = forgotten.max(1) + 1;
        if through.0 < first {
            return Ok(());
        }
        let kept = || Refusal::from(CommitError::JournalKept { run, through });
        let start = "SELECT max(sequence) FROM journal_starts WHERE run = ?1 AND sequence >= ?2";
        if through.0 - first >= JOURNAL_FORGET_MAX || one(start, through.0)?.is_none() {
            return Err(kept());
        }
        if self.records_delete(id, first, through.0)? < through.0 {
            // The newest rows have no index on the disk yet.
            return Err(kept());
        }
        let put =
            "INSERT INTO journal_stretches (run, last, first, stretch) VALUES (?1, ?2, ?3, ?4)";
        let put =
            self.db.prepare_cached(put)?.execute(params![id, int(through.0), int(first), stretch]);
        put?;
        let starts = "DELETE FROM journal_starts WHERE run = ?1 AND sequence < ?2";
        self.db.prepare_cached(starts)?.execute(params![id, int(through.0)])?;
        // What the snapshot at `through` refers to was put down under that sequence.
        let refers = "DELETE FROM blob_refers WHERE run = ?1 AND sequence > 1 AND sequence < ?2 RETURNING blob";
        self.blobs_release(refers, params![id, int(through.0)])?;
        Ok(())
    }

    /// Deletes the records in a stretch, and what their index says of them. Gives the last sequence
    /// that the index has.
    fn records_delete(&mut self, id: i64, first: u64, through: u64) -> Result<u64, Refusal> {
        let mut covered = 0;
        for extent in extents(self.db, id, first - 1, through)? {
            covered = extent.last();
            let inside = |sequence: u64| (first..=through).contains(&sequence);
            let numbered = || (extent.first..).zip(&extent.positions);
            let gone = numbered().filter(|(sequence, _)| inside(*sequence));
            rows_delete(self.db, id, gone.map(|(_, position)| *position))?;
            let delete = "DELETE FROM journal_extents WHERE run = ?1 AND last = ?2";
            self.db.prepare_cached(delete)?.execute(params![id, int(extent.last())])?;
            // The first record stays, and so do those behind the stretch.
            let mut put = self.db.prepare_cached(include_str!("sql/journal_extent_put.sql"))?;
            for rest in [1..first, through + 1..u64::MAX] {
                let rest: Vec<(u64, i64)> = numbered()
                    .filter(|(sequence, _)| rest.contains(sequence))
                    .map(|(sequence, position)| (sequence, *position))
                    .collect();
                if let (Some((first, _)), Some((last, _))) = (rest.first(), rest.last()) {
                    let positions: Vec<i64> = rest.iter().map(|(_, position)| *position).collect();
                    put.execute(params![id, int(*last), int(*first), encode(&positions)])?;
                }
            }
        }
        Ok(covered)
    }

    /// Takes references away by `delete`, which gives them back, and the blobs with them that nothing
    /// refers to any more.
    fn blobs_release(&mut self, delete: &str, of: impl rusqlite::Params) -> Result<usize, Refusal> {
        let mut deleted = self.db.prepare_cached(delete)?;
        let blobs: rusqlite::Result<Vec<BlobId>> =
            deleted.query_map(of, |row| convert::digest(row, 0))?.collect();
        let blobs = blobs?;
        let gone = "DELETE FROM blobs WHERE blob = ?1
            AND NOT EXISTS (SELECT 1 FROM blob_refers WHERE blob_refers.blob = ?1)
            RETURNING bytes IS NULL";
        let mut gone = self.db.prepare_cached(gone)?;
        for blob in &blobs {
            let is_file: Option<bool> =
                gone.query_row([blob.as_bytes()], |row| row.get(0)).optional()?;
            if is_file == Some(true) {
                self.discarded.push(*blob);
            }
        }
        Ok(blobs.len())
    }

    pub(crate) fn run_forget(&mut self, run: RunId) -> Result<(), Refusal> {
        let Head { id, last } = self.existing(run)?;
        let state = "SELECT state FROM runs WHERE id = ?1";
        let state: i64 = self.db.prepare_cached(state)?.query_row([id], |row| row.get(0))?;
        if state < STATE_ENDED_MIN {
            return Err(CommitError::RunGoesOn(run).into());
        }
        self.tail_write(id)?;
        for delete in [
            "DELETE FROM runs WHERE id = ?1",
            "DELETE FROM snapshots WHERE run = ?1",
            "DELETE FROM journal_starts WHERE run = ?1",
        ] {
            self.db.prepare_cached(delete)?.execute([id])?;
        }
        let waits = self.outcomes_release(id)?;
        let is_small = last <= CLEAR_AT_ONCE_ROWS as u64;
        let is_cleared =
            is_small && self.clear_run(id, CLEAR_AT_ONCE_ROWS + 1)? <= CLEAR_AT_ONCE_ROWS;
        if waits || !is_cleared {
            let put = "INSERT INTO forgotten VALUES (?1, ?2, 0)";
            self.db.prepare_cached(put)?.execute(params![id, run.as_uuid().as_bytes()])?;
        }
        self.heads.remove(run);
        self.gone.push(id);
        Ok(())
    }

    /// Deletes the outcomes of a run but for those that wait in the outbox. Gives whether some do.
    fn outcomes_release(&self, id: i64) -> Result<bool, Refusal> {
        let outbox = crate::link::outbox_get(self.db, Stream::Outcome)?;
        let base = outbox.map_or(u64::MAX, |outbox| outbox.base.position);
        let delete = "DELETE FROM outcomes WHERE run = ?1 AND position <= ?2";
        self.db.prepare_cached(delete)?.execute(params![id, int(base)])?;
        let left = "SELECT 1 FROM outcomes WHERE run = ?1";
        Ok(outbox.is_some() && self.db.prepare_cached(left)?.exists([id])?)
    }

    /// Writes the index of a run's newest rows, which nobody will fold any more.
    fn tail_write(&mut self, id: i64) -> Result<(), Refusal> {
        let last = self.db.prepare_cached(include_str!("sql/journal_extent_last.sql"))?;
        let last = { last }.query_row([id], |row| uint(row, 0)).optional()?.unwrap_or(0);
        let tail = self.tail.lock();
        let mut span = tail.span(id, last, usize::MAX);
        drop(tail);
        for row in self.appended.iter().filter(|row| row.run == id && row.sequence > last) {
            let span = span.get_or_insert_with(|| Span { first: row.sequence, positions: vec![] });
            span.positions.push(row.position);
        }
        let spans: Vec<(i64, Span)> = span.into_iter().map(|span| (id, span)).collect();
        tail::fold(&mut self.db.prepare(include_str!("sql/journal_extent_put.sql"))?, &spans)?;
        Ok(())
    }

    /// Clears away what forgotten runs have left, one after the other, until about `rows` are gone.
    pub(crate) fn clear(&mut self, rows: u32) -> Result<(), Refusal> {
        let mut left = rows as usize;
        while left > 0 {
            let Some(id) = clear_next(self.db)? else { return Ok(()) };
            let cleared = self.clear_run(id, left)?;
            if cleared < left {
                let done = "UPDATE forgotten SET cleared = 1 WHERE run = ?1";
                self.db.prepare_cached(done)?.execute([id])?;
                self.name_forget(id)?;
            }
            left = left.saturating_sub(cleared + 1);
        }
        Ok(())
    }

    /// Gives how many rows went: fewer than `limit` where nothing is left.
    fn clear_run(&mut self, id: i64, limit: usize) -> Result<usize, Refusal> {
        let mut cleared = 0;
        while cleared < limit {
            let Some(extent) = extents(self.db, id, 0, 0)?.pop() else { break };
            rows_delete(self.db, id, extent.positions.iter().copied())?;
            let delete = "DELETE FROM journal_extents WHERE run = ?1 AND last = ?2";
            self.db.prepare_cached(delete)?.execute(params![id, int(extent.last())])?;
            cleared += extent.positions.len();
        }
        for delete in [
            "DELETE FROM logs WHERE position IN
                (SELECT position FROM logs WHERE run = ?1 ORDER BY position LIMIT ?2)",
            "DELETE FROM journal_stretches WHERE run = ?1 AND last IN
                (SELECT last FROM journal_stretches WHERE run = ?1 ORDER BY last LIMIT ?2)",
        ] {
            let room = int(limit.saturating_sub(cleared) as u64);
            cleared += self.db.prepare_cached(delete)?.execute(params![id, room])?;
        }
        let refers = "DELETE FROM blob_refers WHERE run = ?1 AND (sequence, blob) IN
            (SELECT sequence, blob FROM blob_refers WHERE run = ?1 LIMIT ?2) RETURNING blob";
        let room = int(limit.saturating_sub(cleared) as u64);
        cleared += self.blobs_release(refers, params![id, room])?;
        Ok(cleared)
    }
}

/// The forgotten run that is cleared next.
pub(crate) fn clear_next(db: &Connection) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT min(run) FROM forgotten WHERE cleared = 0")?
        .query_row([], |row| row.get(0))
}

/// The extents of a run behind sequence `after`, until one reaches `through`.
pub(crate) fn extents(
    db: &Connection,
    id: i64,
    after: u64,
    through: u64,
) -> Result<Vec<Span>, Refusal> {
    let mut query = db.prepare_cached(include_str!("sql/journal_extent_list.sql"))?;
    let mut rows = query.query(params![id, int(after)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, last) = (uint(row, 0)?, uint(row, 1)?);
        let positions = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let positions = decode(positions).filter(|positions| !positions.is_empty());
        let Some(positions) = positions else {
            let damaged = Damaged("the index of a journal is damaged");
            return Err(CommitError::Write(damaged.to_string()).into());
        };
        found.push(Span { first, positions });
        if last >= through {
            break;
        }
    }
    Ok(found)
}

/// Deletes rows of the journal; those that lie side by side in one go.
fn rows_delete(
    db: &Connection,
    id: i64,
    positions: impl Iterator<Item = i64>,
) -> rusqlite::Result<()> {
    let mut delete =
        db.prepare_cached("DELETE FROM journal WHERE position BETWEEN ?1 AND ?2 AND run = ?3")?;
    let mut side_by_side: Option<(i64, i64)> = None;
    for position in positions {
        match &mut side_by_side {
            Some((_, last)) if *last + 1 == position => *last = position,
            other => {
                if let Some((first, last)) = other.replace((position, position)) {
                    delete.execute(params![first, last, id])?;
                }
            }
        }
    }
    if let Some((first, last)) = side_by_side {
        delete.execute(params![first, last, id])?;
    }
    Ok(())
}

pub(crate) fn kept(db: &Connection, run: RunId) -> rusqlite::Result<JournalKept> {
    let run = run.as_uuid().as_bytes();
    let mut query = db.prepare_cached(include_str!("sql/journal_kept.sql"))?;
    let forgotten = query.query_row([run], |row| uint(row, 0))?;
    if forgotten == 0 {
        return Ok(JournalKept::default());
    }
    let mut query = db.prepare_cached(include_str!("sql/journal_start_get.sql"))?;
    let start = query.query_row(params![run, int(forgotten)], |row| {
        Ok(Snapshot { sequence: Sequence(uint(row, 0)?), snapshot: bytes(row, 1)? })
    });
    Ok(JournalKept { forgotten: Sequence(forgotten), start: start.optional()? })
}

pub(crate) fn stretches(
    db: &Connection,
    run: RunId,
    after: Sequence,
    limit: u32,
) -> rusqlite::Result<Vec<StretchRow>> {
    let mut query = db.prepare_cached(include_str!("sql/stretch_list.sql"))?;
    let of = params![run.as_uuid().as_bytes(), int(after.0), limit];
    let rows = query.query_map(of, |row| {
        Ok(StretchRow {
            first: Sequence(uint(row, 0)?),
            last: Sequence(uint(row, 1)?),
            stretch: bytes(row, 2)?,
        })
    })?;
    rows.collect()
}

pub(crate) fn long(db: &Connection, records: u64, limit: u32) -> rusqlite::Result<Vec<LongRow>> {
    let mut query = db.prepare_cached(include_str!("sql/journal_long.sql"))?;
    let rows = query.query_map(params![int(records), limit], |row| {
        Ok(LongRow {
            run: convert::run(row, 0)?,
            snapshot: Sequence(uint(row, 1)?),
            start: Sequence(uint(row, 2)?),
            forgotten: Sequence(uint(row, 3)?),
        })
    })?;
    rows.collect()
}

pub(crate) fn ended(db: &Connection, query: &EndedQuery) -> rusqlite::Result<Vec<RunRow>> {
    let (at, run) = match &query.after {
        Some((at, run)) => (at.as_millis(), run.as_uuid().as_bytes().as_slice()),
        None => (i64::MIN, &[][..]),
    };
    let mut found = db.prepare_cached(include_str!("sql/run_ended.sql"))?;
    let rows = found.query_map(
        params![
            query.key.namespace.as_str(),
            query.key.name.as_str(),
            query.until.as_millis(),
            at,
            run,
            query.limit
        ],
        crate::run::run_row,
    )?;
    rows.collect()
}

pub(crate) fn ended_key(
    db: &Connection,
    after: Option<&base::name::WorkflowKey>,
) -> rusqlite::Result<Option<base::name::WorkflowKey>> {
    let (namespace, name) =
        after.map_or(("", ""), |after| (after.namespace.as_str(), after.name.as_str()));
    let mut query = db.prepare_cached(include_str!("sql/run_ended_key.sql"))?;
    query.query_row([namespace, name], |row| convert::key(row, 0)).optional()
}

pub(crate) fn clear_is_due(db: &Connection) -> rusqlite::Result<bool> {
    Ok(clear_next(db)?.is_some())
}
