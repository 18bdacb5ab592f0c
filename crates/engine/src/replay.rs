//! A run rebuilt from its journal.
//!
//! Each record is fed to the core again; what the core decides now must be what was decided then,
//! down to the digest of the control state. If it is not, the run is suspended as
//! `replay-diverged`: it never goes on with a guess.

use store::Sequence;

use crate::machine::{Machine, Misfit, Step};
use crate::record::Record;

/// The run's journal does not lead where it says it led.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Diverged {
    #[error("record {sequence} does not fit what came before: {cause}")]
    Misfit { sequence: Sequence, cause: Misfit },
    #[error("record {sequence} decided something else when it was written")]
    Decided { sequence: Sequence },
    #[error("record {sequence} left another state when it was written")]
    Control { sequence: Sequence },
    #[error("record {found} stands where {wanted} belongs")]
    Order { wanted: Sequence, found: Sequence },
}

/// Feeds one record of the journal, and says what it had led to.
pub fn replay(machine: &mut Machine, after: Sequence, record: &Record) -> Result<Step, Diverged> {
    let sequence = record.sequence;
    if sequence != after.next() {
        return Err(Diverged::Order { wanted: after.next(), found: sequence });
    }
    if let Some(event_last) = record.event_last() {
        machine.knows(event_last);
    }
    let step = machine
        .handle(record.at, &record.happened)
        .map_err(|cause| Diverged::Misfit { sequence, cause })?;
    if step.decided != record.decided {
        return Err(Diverged::Decided { sequence });
    }
    if step.control != record.control {
        return Err(Diverged::Control { sequence });
    }
    Ok(step)
}
