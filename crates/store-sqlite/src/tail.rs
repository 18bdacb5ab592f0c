//! The index of the journal: which positions belong to a run.
//!
//! Rows of the journal lie in the order of their arrival. The *tail* knows, in memory, the
//! positions of the newest rows; every so often it is *folded*: written as extents, one row for
//! each run that came by. After a crash it is read again from the rows behind the last fold.
//! Why: `docs/adr/0003-journal-layout.md`.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, Statement, params};

use crate::convert::int;

/// Rows after which the tail is folded. More would make the index cheaper still, but after a crash
/// that many rows are read before the store is open: about 4 ms.
pub(crate) const FOLD_ROWS: usize = 4096;

/// Positions in one extent, so that a reader who wants the end of a long journal decodes little.
const EXTENT_ROWS_MAX: usize = 1024;

/// How long a reader waits for the writer to say what it has committed: a moment, unless the writer's
/// thread has ended.
const BEHIND_MAX: Duration = Duration::from_secs(10);

/// Positions of consecutive sequences of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) positions: Vec<i64>,
}

impl Span {
    pub(crate) fn last(&self) -> u64 {
        self.first + self.positions.len() as u64 - 1
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tail {
    rows: usize,
    spans: HashMap<i64, Span>,
    /// The newest row that it has known.
    newest: i64,
}

/// The tail, between the writer and all readers.
#[derive(Debug, Default)]
pub(crate) struct SharedTail {
    tail: Mutex<Tail>,
    grown: Condvar,
}

impl SharedTail {
    pub(crate) fn new(tail: Tail) -> Self {
        Self { tail: Mutex::new(tail), grown: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("nothing panics while it holds the tail")
    }

    /// The tail when it knows this row. A commit can be seen in the file a moment before it is in the
    /// tail: who has seen a run's row there must find the journal that it speaks of.
    pub(crate) fn knowing(&self, position: i64) -> MutexGuard<'_, Tail> {
        let is_behind = |tail: &mut Tail| tail.newest < position;
        let waited = self.grown.wait_timeout_while(self.lock(), BEHIND_MAX, is_behind);
        waited.expect("nothing panics while it holds the tail").0
    }

    /// Changes the tail after a commit.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Tail)) {
        change(&mut self.lock());
        self.grown.notify_all();
    }
}

/// One row of the journal, without what it says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) position: i64,
    pub(crate) run: i64,
    pub(crate) sequence: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("journal row {position} does not follow the row before it")]
pub(crate) struct Broken {
    position: i64,
}

impl Tail {
    /// The tail of a journal whose rows up to `folded` are in the index.
    pub(crate) fn behind(folded: i64) -> Self {
        Self { newest: folded, ..Self::default() }
    }

    /// Adds rows that are committed. `Err` where a sequence is missing or doubled, which only a
    /// damaged file can bring about.
    pub(crate) fn extend(&mut self, rows: &[Appended]) -> Result<(), Broken> {
        for row in rows {
            let span = self
                .spans
                .entry(row.run)
                .or_insert_with(|| Span { first: row.sequence, positions: Vec::new() });
            if span.first + span.positions.len() as u64 != row.sequence {
                return Err(Broken { position: row.position });
            }
            span.positions.push(row.position);
            self.newest = self.newest.max(row.position);
        }
        self.rows += rows.len();
        Ok(())
    }

    /// A run is gone.
    pub(crate) fn remove(&mut self, run: i64) {
        let span = self.spans.remove(&run);
        self.rows -= span.map_or(0, |span| span.positions.len());
    }

    pub(crate) fn clear(&mut self) {
        self.rows = 0;
        self.spans.clear();
    }

    pub(crate) const fn is_due(&self) -> bool {
        self.rows >= FOLD_ROWS
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn last(&self, run: i64) -> Option<u64> {
        self.spans.get(&run).map(Span::last)
    }

    /// The run's positions after sequence `after`, at most `limit`.
    pub(crate) fn span(&self, run: i64, after: u64, limit: usize) -> Option<Span> {
        let span = self.spans.get(&run)?;
        let skip = usize::try_from((after + 1).saturating_sub(span.first)).unwrap_or(usize::MAX);
        let positions = span.positions.get(skip..)?;
        let first = span.first + skip as u64;
        let positions = positions[..limit.min(positions.len())].to_vec();
        (!positions.is_empty()).then_some(Span { first, positions })
    }

    pub(crate) fn spans(&self) -> Vec<(i64, Span)> {
        self.spans.iter().map(|(run, span)| (*run, span.clone())).collect()
    }
}

/// Writes the spans as extents; part of the writer's transaction.
pub(crate) fn fold(put: &mut Statement<'_>, spans: &[(i64, Span)]) -> rusqlite::Result<()> {
    for (run, span) in spans {
        let mut first = span.first;
        for positions in span.positions.chunks(EXTENT_ROWS_MAX) {
            let last = first + positions.len() as u64 - 1;
            put.execute(params![run, int(last), int(first), encode(positions)])?;
            first = last + 1;
        }
    }
    Ok(())
}

/// Reads the rows behind the last fold.
pub(crate) fn load(db: &Connection, folded: i64) -> rusqlite::Result<Vec<Appended>> {
    let mut query = db.prepare(include_str!("sql/journal_tail.sql"))?;
    let rows = query.query_map([folded], |row| {
        let sequence: i64 = row.get(2)?;
        let sequence = u64::try_from(sequence).unwrap_or(0);
        Ok(Appended { position: row.get(0)?, run: row.get(1)?, sequence })
    })?;
    rows.collect()
}

/// Ascending positions as differences, seven bits a byte, the lowest first.
pub(crate) fn encode(positions: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(positions.len() * 2);
    let mut before = 0;
    for position in positions {
        let mut rest = position.abs_diff(before);
        before = *position;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes
}

/// `None` where the bytes are not what [`encode`] makes.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<i64>> {
    let mut positions = Vec::with_capacity(bytes.len());
    let (mut before, mut rest, mut shift) = (0_i64, 0_u64, 0_u32);
    for byte in bytes {
        rest |= u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63)?;
        shift += 7;
        if byte & 0x80 == 0 {
            before = before.checked_add_unsigned(rest)?;
            positions.push(before);
            (rest, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(positions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Mutation: shift by 8, drop the high bit, or count from zero instead of from the one before.
        #[test]
        fn positions_survive_their_bytes(mut positions in prop::collection::vec(1_i64.., 0..50)) {
            positions.sort_unstable();
            prop_assert_eq!(decode(&encode(&positions)), Some(positions));
        }

        /// Mutation: shift without a check, or accept a number that is cut off.
        #[test]
        fn foreign_bytes_are_no_positions_but_never_a_panic(bytes: Vec<u8>) {
            let cut = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
            prop_assert!(decode(&bytes).is_none() || !cut);
        }
    }

    fn row(position: i64, run: i64, sequence: u64) -> Appended {
        Appended { position, run, sequence }
    }

    /// Mutation: start at `after`, or ignore the limit.
    #[test]
    fn a_span_begins_behind_the_sequence_that_is_known() {
        let mut tail = Tail::default();
        let rows = [row(10, 1, 5), row(11, 2, 1), row(12, 1, 6), row(13, 1, 7)];
        tail.extend(&rows).expect("sequences follow each other");
        let check = |after, limit, expected: Option<(u64, &[i64])>| {
            let found = tail.span(1, after, limit);
            let found = found.as_ref().map(|span| (span.first, span.positions.as_slice()));
            assert_eq!(found, expected, "after {after}, {limit} rows");
        };
        check(0, 9, Some((5, &[10, 12, 13])));
        check(4, 9, Some((5, &[10, 12, 13])));
        check(5, 1, Some((6, &[12])));
        check(7, 9, None);
        check(90, 9, None);
        check(4, 0, None);
        assert_eq!(tail.last(1), Some(7));
        assert_eq!(tail.last(3), None);
    }

    /// Mutation: take a row wherever it comes.
    #[test]
    fn a_row_that_does_not_follow_is_an_error() {
        let mut tail = Tail::default();
        assert!(tail.extend(&[row(1, 1, 1), row(2, 1, 3)]).is_err());
    }
}
