//! Where a run's journal begins, and what is taken for granted before that. The only place of the
//! checker that knows.

use std::sync::Arc;

use base::RunId;
use spec::tree::Workflow;
use store::{RunRow, Sequence, Snapshot, Store};

use crate::driver::{LoadError, snapshot_machine};
use crate::machine::Machine;
use crate::replay::Diverged;

/// A run before the first record that is there to be replayed.
pub(super) struct Beginning {
    pub(super) machine: Machine,
    pub(super) last: Sequence,
    /// The snapshot to compare with on the way, where there is one ahead.
    pub(super) ahead: Option<Snapshot>,
}

/// A journal begins with its first record, always.
pub(super) async fn beginning(
    store: &dyn Store,
    row: &RunRow,
    workflow: Arc<Workflow>,
) -> Result<Beginning, LoadError> {
    let ahead = store.snapshot_get(row.run).await?;
    Ok(Beginning { machine: Machine::new(workflow), last: Sequence::ZERO, ahead })
}

/// Where a journal goes on behind `after`, where what comes next is forgotten.
pub(super) async fn behind_forgotten(
    store: &dyn Store,
    run: RunId,
    after: Sequence,
) -> Result<Snapshot, LoadError> {
    let kept = store.journal_kept(run).await?;
    let missing = Diverged::Order { wanted: after.next(), found: kept.forgotten.next() };
    Ok(kept.start.filter(|start| start.sequence > after).ok_or(missing)?)
}

/// The run as a snapshot has it.
pub(super) async fn taken(
    store: &dyn Store,
    workflow: Arc<Workflow>,
    snapshot: &Snapshot,
) -> Result<Machine, LoadError> {
    snapshot_machine(store, workflow, snapshot).await
}
