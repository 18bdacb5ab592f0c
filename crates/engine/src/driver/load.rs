//! A run from its journal: the newest snapshot, and every record after it.

use base::Digest;
use base::name::WorkflowKey;
use store::{BlobId, Entry, RunRow, RunState, Sequence, Store, StoreError};

use super::Parts;
use super::revision::Revisions;
use crate::format::{Blobs, FormatError, RecordDoc, blob_value};
use crate::machine::{Machine, SnapshotError, Step};
use crate::record::{Happened, Record, Started};
use crate::replay::{Diverged, replay};

/// Records read from the store at once.
const PAGE: u32 = 500;

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
            let wanted = Machine::snapshot_blobs(&snapshot.snapshot)?;
            let blobs = blobs(&*parts.store, wanted, snapshot.sequence).await?;
            let machine = Machine::from_snapshot(workflow, &snapshot.snapshot, &blobs)?;
            (machine, snapshot.sequence)
        }
    };
    let from = last;
    while let Some(page) = page(&*parts.store, row, last).await? {
        for record in page {
            replay(&mut machine, last, &record)?;
            last = record.sequence;
        }
    }
    Ok(Loaded { machine, last, since_snapshot: last.0 - from.0 })
}

/// A walk through a run's whole journal, from its first record.
pub struct Walk<'a> {
    parts: &'a Parts,
    row: &'a RunRow,
    pub machine: Machine,
    pub last: Sequence,
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
        Ok(Self { parts, row, machine, last: Sequence::ZERO })
    }

    /// Some more records; `None` at the journal's end.
    pub async fn next(&mut self) -> Result<Option<Vec<Walked>>, LoadError> {
        let Some(page) = page(&*self.parts.store, self.row, self.last).await? else {
            return Ok(None);
        };
        let mut walked = Vec::with_capacity(page.len());
        for record in page {
            let step = replay(&mut self.machine, self.last, &record)?;
            self.last = record.sequence;
            walked.push(Walked { record, step, state: self.machine.state() });
        }
        Ok(Some(walked))
    }
}

async fn page(
    store: &dyn Store,
    row: &RunRow,
    after: Sequence,
) -> Result<Option<Vec<Record>>, LoadError> {
    let entries = store.journal_read(row.run, after, PAGE).await?;
    if entries.is_empty() {
        return Ok(None);
    }
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        records.push(record(store, &entry).await?);
    }
    Ok(Some(records))
}

/// One entry of a journal, with its blobs.
pub async fn record(store: &dyn Store, entry: &Entry) -> Result<Record, LoadError> {
    let sequence = entry.sequence;
    let wrong = |cause| LoadError::Record { sequence, cause };
    let doc = RecordDoc::parse(&entry.record).map_err(wrong)?;
    let blobs = blobs(store, doc.blobs(), sequence).await?;
    doc.into_record(&blobs).map_err(wrong)
}

async fn blobs(
    store: &dyn Store,
    wanted: Vec<BlobId>,
    sequence: Sequence,
) -> Result<Blobs, LoadError> {
    let mut blobs = Blobs::new();
    for blob in wanted {
        let wrong = |cause| LoadError::Record { sequence, cause };
        let bytes = store.blob_get(blob).await?.ok_or(wrong(FormatError::BlobMissing(blob)))?;
        blobs.insert(blob, blob_value(blob, &bytes).map_err(wrong)?);
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
