//! A file that is there to be deleted: when the disk is full, its room is what lets runs end.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use store::Op;

use crate::folder;

/// Room for some hundred last commits with their pages and a checkpoint.
pub(crate) const BALLAST_BYTES: u64 = 4 * 1024 * 1024;

const BALLAST_FILE: &str = "ballast";

/// Free space below which the ballast is not put back: taking the last room would fill the disk
/// that we wait for to be emptied.
pub(crate) const FREE_BYTES_MIN: u64 = 3 * BALLAST_BYTES;

#[derive(Debug)]
pub(crate) struct Ballast {
    file: PathBuf,
    /// The disk was full and the room of the ballast is in use.
    tight: bool,
}

impl Ballast {
    /// Puts the ballast there where there is room for it.
    pub(crate) fn open(folder: &Path) -> Self {
        let mut ballast = Self { file: folder.join(BALLAST_FILE), tight: true };
        ballast.restore();
        ballast
    }

    pub(crate) const fn is_tight(&self) -> bool {
        self.tight
    }

    /// Gives the room away.
    pub(crate) fn release(&mut self) {
        if let Err(cause) = fs::remove_file(&self.file) {
            tracing::warn!(%cause, "cannot remove the ballast file");
        }
        self.tight = true;
        tracing::error!(
            "the disk is full: only commits that end a run are accepted until there is room"
        );
    }

    /// Takes the room back where the disk has it.
    pub(crate) fn restore(&mut self) {
        let size = fs::metadata(&self.file).map_or(0, |found| found.len());
        if size == BALLAST_BYTES {
            self.tight = false;
            return;
        }
        if self.free_bytes() < FREE_BYTES_MIN {
            return;
        }
        match self.fill() {
            Ok(()) => self.tight = false,
            Err(cause) => {
                tracing::warn!(%cause, "cannot write the ballast file");
                // A ballast that is not whole is worth nothing and takes room.
                let _ = fs::remove_file(&self.file);
            }
        }
    }

    /// What the disk has left for us; zero where it does not say.
    pub(crate) fn free_bytes(&self) -> u64 {
        free_bytes(&self.file.with_file_name("."))
    }

    fn fill(&self) -> io::Result<()> {
        let mut file: File = folder::create(&self.file)?;
        // Not zeros: some file systems give those no room.
        let chunk = [0x5a; 64 * 1024];
        for _ in 0..BALLAST_BYTES / chunk.len() as u64 {
            file.write_all(&chunk)?;
        }
        file.sync_all()
    }
}

/// What the disk of this folder has left for us; zero where it does not say.
pub(crate) fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Removes the ballast of a store that cannot even be opened. `false` where there was none.
pub(crate) fn give_away(folder: &Path) -> bool {
    fs::remove_file(folder.join(BALLAST_FILE)).is_ok()
}

/// Whether the commit may use the last room: it ends or suspends a run and begins none.
pub(crate) fn may_use_ballast(ops: &[Op]) -> bool {
    let ends = |op: &Op| match op {
        Op::RunUpdate(row) => row.state.has_ended() || row.state == store::RunState::Suspended,
        _ => false,
    };
    ops.iter().any(ends) && !ops.iter().any(|op| matches!(op, Op::RunCreate(_)))
}

#[cfg(test)]
mod tests {
    use store::suite::{append, row, run_id};
    use store::{RunRow, RunState};

    use super::*;

    /// Mutation: accept any update, or one that begins a run as well.
    #[test]
    fn the_last_room_is_for_runs_that_end() {
        let update = |state| Op::RunUpdate(RunRow { state, ..row(1) });
        let ended = update(RunState::Completed);
        assert!(may_use_ballast(&[append(run_id(1), 2), ended.clone()]));
        assert!(may_use_ballast(&[update(RunState::Suspended)]));
        assert!(!may_use_ballast(&[append(run_id(1), 2), update(RunState::Running)]));
        assert!(!may_use_ballast(&[ended, Op::RunCreate(row(2))]));
        assert!(!may_use_ballast(&[]));
    }
}
