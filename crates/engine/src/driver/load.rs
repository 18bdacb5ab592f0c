//! A run from its journal: the newest snapshot, and every record after it. Whoever walks through a
//! journal begins with its first record, and passes over what is forgotten.

use std::collections::VecDeque;
use std::sync::Arc;

use base::Digest;
use base::name::WorkflowKey;
use spec::tree::Workflow;
use store::{BlobId, Entry, RunRow, RunState, Sequence, Snapshot, Store, StoreError};

use super::Parts;
use super::revision::Revisions;
use crate::format::{Blobs, FormatError, RecordDoc, blob_value};
use crate::list::{BlobError, Piece, read_again};
use crate::machine::{Machine, SnapshotError, Step};
use crate::record::{Happened, Record, Started};
use crate::replay::{Diverged, replay};

/// Records read from the store at once.
const PAGE: u32 = 100;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("revision {1} of {0} is not stored")]
    RevisionMissing(WorkflowKey, Digest),
    #[error("this binary cannot read revision {1} of {0}: {2}")]
    RevisionUnreadable(WorkflowKey, Digest, String),
    #[error("record {sequence}: {cause}")]
    Record { sequence: Sequence, cause: FormatError },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Diverged(#[from] Diverged),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LoadError {
    /// In the run's own words, for its row: why it does not go on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Diverged(_) => "replay-diverged",
            Self::RevisionMissing(..) | Self::RevisionUnreadable(..) => "revision-unreadable",
            Self::Record { .. } | Self::Snapshot(_) => "journal-unreadable",
            Self::Blob(_) => "blob-unreadable",
            Self::Store(_) => "store-unreadable",
        }
    }
}

/// A run as it stands.
#[derive(Debug)]
pub struct Loaded {
    pub machine: Machine,
    pub last: Sequence,
    /// Records since the newest snapshot.
    pub since_snapshot: u64,
}

pub(super) async fn load(
    parts: &Parts,
    revisions: &Revisions,
    row: &RunRow,
) -> Result<Loaded, LoadError> {
    let workflow = revisions.get(parts, &row.key, row.revision).await?;
    let snapshot = parts.store.snapshot_get(row.run).await?;
    let (mut machine, mut last) = match snapshot {
        None => (Machine::new(workflow), Sequence::ZERO),
        Some(snapshot) => {
            (snapshot_machine(&*parts.store, workflow, &snapshot).await?, snapshot.sequence)
        }
    };
    let from = last;
    let mut records = Records::after(&*parts.store, row, last);
    while let Some(record) = records.next().await? {
        replay(&mut machine, last, &record)?;
        last = record.sequence;
    }
    Ok(Loaded { machine, last, since_snapshot: last.0 - from.0 })
}

/// The run as a snapshot has it.
pub(crate) async fn snapshot_machine(
    store: &dyn Store,
    workflow: Arc<Workflow>,
    snapshot: &Snapshot,
) -> Result<Machine, LoadError> {
    let wanted = Machine::snapshot_blobs(&snapshot.snapshot)?;
    let pieces = Machine::snapshot_pieces(&snapshot.snapshot)?;
    let blobs = blobs(store, wanted, pieces, snapshot.sequence).await?;
    Ok(Machine::from_snapshot(workflow, &snapshot.snapshot, &blobs)?)
}

/// A walk through a run's journal, record by record, as far as it is kept.
pub struct Walk<'a> {
    records: Records<'a>,
    pub machine: Machine,
    pub last: Sequence,
}

/// What a walk comes by.
pub enum Passed {
    Record(Box<Walked>),
    /// Records behind the first one are forgotten. The walk's machine stands as it was after `last`,
    /// and the next record is the one behind.
    Forgotten {
        last: Sequence,
    },
}

/// A record, and what followed from it.
pub struct Walked {
    pub record: Record,
    pub step: Step,
    /// The run's state after it.
    pub state: RunState,
}

impl<'a> Walk<'a> {
    pub(super) async fn open(
        parts: &'a Parts,
        revisions: &Revisions,
        row: &'a RunRow,
    ) -> Result<Self, LoadError> {
        let machine = Machine::new(revisions.get(parts, &row.key, row.revision).await?);
        let records = Records::after(&*parts.store, row, Sequence::ZERO);
        Ok(Self { records, machine, last: Sequence::ZERO })
    }

    /// The next record; `None` at the journal's end. What is forgotten before the walk comes there is
    /// passed over.
    pub async fn next(&mut self) -> Result<Option<Passed>, LoadError> {
        match self.records.next_sequence().await? {
            None => return Ok(None),
            Some(next) if next > self.last.next() => return self.pass_over().await.map(Some),
            Some(_) => {}
        }
        let Some(record) = self.records.next().await? else { return Ok(None) };
        let step = replay(&mut self.machine, self.last, &record)?;
        self.last = record.sequence;
        let state = self.machine.state();
        Ok(Some(Passed::Record(Box::new(Walked { record, step, state }))))
    }

    async fn pass_over(&mut self) -> Result<Passed, LoadError> {
        let Records { store, row, .. } = self.records;
        let kept = store.journal_kept(row.run).await?;
        let found = kept.start.filter(|start| start.sequence > self.last);
        let wanted = self.last.next();
        let start = found.ok_or(Diverged::Order { wanted, found: kept.forgotten.next() })?;
        self.machine = snapshot_machine(store, self.machine.workflow().clone(), &start).await?;
        self.last = start.sequence;
        self.records = Records::after(store, row, start.sequence);
        Ok(Passed::Forgotten { last: start.sequence })
    }
}

/// The records of a journal, one at a time: many are read at once, but only one holds its values.
struct Records<'a> {
    store: &'a dyn Store,
    row: &'a RunRow,
    last: Sequence,
    read: VecDeque<Entry>,
}

impl<'a> Records<'a> {
    fn after(store: &'a dyn Store, row: &'a RunRow, last: Sequence) -> Self {
        Self { store, row, last, read: VecDeque::new() }
    }

    async fn next_sequence(&mut self) -> Result<Option<Sequence>, LoadError> {
        if self.read.is_empty() {
            self.read = self.store.journal_read(self.row.run, self.last, PAGE).await?.into();
        }
        Ok(self.read.front().map(|entry| entry.sequence))
    }

    async fn next(&mut self) -> Result<Option<Record>, LoadError> {
        self.next_sequence().await?;
        let Some(entry) = self.read.pop_front() else { return Ok(None) };
        self.last = entry.sequence;
        record(self.store, &entry).await.map(Some)
    }
}

/// One entry of a journal, with its blobs.
pub async fn record(store: &dyn Store, entry: &Entry) -> Result<Record, LoadError> {
    let sequence = entry.sequence;
    let wrong = |cause| LoadError::Record { sequence, cause };
    let doc = RecordDoc::parse(&entry.record).map_err(wrong)?;
    let pieces = doc.piece().into_iter().collect();
    let blobs = blobs(store, doc.blobs(), pieces, sequence).await?;
    doc.into_record(&blobs).map_err(wrong)
}

async fn blobs(
    store: &dyn Store,
    wanted: Vec<BlobId>,
    pieces: Vec<Piece>,
    sequence: Sequence,
) -> Result<Blobs, LoadError> {
    let mut blobs = Blobs::new();
    for blob in wanted {
        let wrong = |cause| LoadError::Record { sequence, cause };
        let read = store.blob_get(blob).await.map_err(|cause| BlobError::Unreadable { cause })?;
        let bytes = read.ok_or(wrong(FormatError::BlobMissing(blob)))?;
        blobs.insert(blob, blob_value(blob, &bytes).map_err(wrong)?);
    }
    for piece in pieces {
        blobs.insert_piece(piece, read_again(store, piece).await?);
    }
    Ok(blobs)
}

/// What a run was started with: its first record.
pub async fn started(store: &dyn Store, row: &RunRow) -> Result<Started, LoadError> {
    let first = store.journal_read(row.run, Sequence::ZERO, 1).await?;
    let missing = Diverged::Order { wanted: Sequence(1), found: Sequence::ZERO };
    let entry = first.first().ok_or(missing.clone())?;
    match record(store, entry).await?.happened {
        Happened::Started(started) => Ok(*started),
        _ => Err(missing.into()),
    }
}
