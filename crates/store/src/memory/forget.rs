//! Forgetting, in memory.

use base::stream::{Head, Stream};
use base::{RunId, Timestamp};
use bytes::Bytes;

use super::{Kept, Run};
use crate::{
    BlobId, CommitError, EndedQuery, JOURNAL_FORGET_MAX, JournalKept, LongRow, RunRow, Sequence,
    Snapshot, StretchRow,
};

impl Kept {
    pub(super) fn admit_forget(&self, run: RunId, through: Sequence) -> Result<(), CommitError> {
        let kept = CommitError::JournalKept { run, through };
        let Some(found) = self.runs.get(&run) else { return Err(kept) };
        let first = found.forgotten().max(Sequence(1)).next();
        if through < first {
            return Ok(());
        }
        let many = through.0 - first.0 >= JOURNAL_FORGET_MAX;
        let followed = found.starts.range(through..).next().is_some();
        if many || !followed { Err(kept) } else { Ok(()) }
    }

    pub(super) fn journal_forget(&mut self, run: RunId, through: Sequence, stretch: Bytes) {
        let found = self.run_mut(run);
        let first = found.forgotten().max(Sequence(1)).next();
        if through < first {
            return;
        }
        found.journal.retain(|sequence, _| *sequence < first || *sequence > through);
        found.stretches.push(StretchRow { first, last: through, stretch });
        found.starts.retain(|sequence, _| *sequence >= through);
        let is_old = |sequence: Sequence| sequence > Sequence(1) && sequence < through;
        let old = found.refers.extract_if(.., |(sequence, _)| is_old(*sequence));
        let blobs: Vec<BlobId> = old.map(|(_, blob)| blob).collect();
        self.release(blobs);
    }

    pub(super) fn run_forget(&mut self, run: RunId) {
        let base = self.outboxes.get(&Stream::Outcome).map_or(u64::MAX, |row| row.base.position);
        self.outcomes.retain(|outcome| outcome.run != run || outcome.position > base);
        let gone = self.runs.remove(&run).expect("admitted only where the run exists");
        self.release(gone.refers.into_iter().map(|(_, blob)| blob));
    }

    /// An outcome stays as long as its run.
    pub(super) fn outbox_forget(&mut self, stream: Stream, base: Head) {
        let row = self.outboxes.get_mut(&stream).expect("admitted only where there is one");
        if base.position <= row.base.position {
            return;
        }
        row.base = base;
        match stream {
            Stream::Outcome => self.outcomes.retain(|outcome| {
                outcome.position > base.position || self.runs.contains_key(&outcome.run)
            }),
            Stream::Receipt => self.receipts.retain(|receipt| receipt.position > base.position),
        }
    }

    /// Blobs that nothing refers to any more go.
    pub(super) fn release(&mut self, blobs: impl IntoIterator<Item = BlobId>) {
        for blob in blobs {
            let mut refers = self.runs.values().flat_map(|run| &run.refers);
            if !self.pinned.contains(&blob) && refers.all(|(_, kept)| *kept != blob) {
                self.blobs.remove(&blob);
            }
        }
    }

    pub(super) fn run_ended(&self, query: &EndedQuery) -> Vec<RunRow> {
        let rows = self.runs.values().map(|run| &run.row).filter(|row| row.key == query.key);
        let ended = rows.filter_map(|row| Some((row.ended_at?, row)));
        let mut ended: Vec<(Timestamp, &RunRow)> = ended
            .filter(|(at, row)| {
                *at <= query.until && query.after.is_none_or(|after| (*at, row.run) > after)
            })
            .collect();
        ended.sort_by_key(|(at, row)| (*at, row.run));
        ended.into_iter().take(query.limit as usize).map(|(_, row)| row.clone()).collect()
    }
}

impl Run {
    pub(super) fn start(&mut self) {
        if let Some(Snapshot { sequence, snapshot }) = self.snapshot.clone() {
            self.starts.insert(sequence, snapshot);
        }
    }

    fn forgotten(&self) -> Sequence {
        self.stretches.last().map_or(Sequence::ZERO, |stretch| stretch.last)
    }

    pub(super) fn kept(&self) -> JournalKept {
        let forgotten = self.forgotten();
        let start = self.starts.range(forgotten..).next().filter(|_| forgotten > Sequence::ZERO);
        let start = start.map(|(sequence, snapshot)| Snapshot {
            sequence: *sequence,
            snapshot: snapshot.clone(),
        });
        JournalKept { forgotten, start }
    }

    pub(super) fn long(&self, records: u64) -> Option<LongRow> {
        let snapshot = self.snapshot.as_ref()?.sequence;
        let start = self.starts.last_key_value().map_or(Sequence::ZERO, |(start, _)| *start);
        let is_long = snapshot.0 - start.0 >= records;
        is_long.then_some(LongRow {
            run: self.row.run,
            snapshot,
            start,
            forgotten: self.forgotten(),
        })
    }
}
