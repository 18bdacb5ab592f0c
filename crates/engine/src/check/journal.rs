//! Where a run's journal begins, and what is taken for granted before that. The only place of the
//! checker that knows.

use std::sync::Arc;

use spec::tree::Workflow;
use store::{RunRow, Sequence, Snapshot, Store};

use crate::driver::{LoadError, snapshot_machine};
use crate::machine::Machine;

/// A run before the first record that is there to be replayed.
pub(super) struct Beginning {
    pub(super) machine: Machine,
    pub(super) last: Sequence,
    /// The snapshot to compare with on the way, where there is one ahead.
    pub(super) ahead: Option<Snapshot>,
}

/// A journal is whole: it begins with the first record.
pub(super) async fn beginning(
    store: &dyn Store,
    row: &RunRow,
    workflow: Arc<Workflow>,
) -> Result<Beginning, LoadError> {
    let ahead = store.snapshot_get(row.run).await?;
    Ok(Beginning { machine: Machine::new(workflow), last: Sequence::ZERO, ahead })
}

/// The run as a snapshot has it.
pub(super) async fn taken(
    store: &dyn Store,
    workflow: Arc<Workflow>,
    snapshot: &Snapshot,
) -> Result<Machine, LoadError> {
    snapshot_machine(store, workflow, snapshot).await
}
