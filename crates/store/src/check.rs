//! What must hold in a store, and what is told where it does not.
//!
//! Tables and files are looked at by the store itself ([`crate::Upkeep`]), runs by the engine. Every
//! code is described in `docs/reference/store-check.md`.

use std::fmt;

use base::RunId;

/// Something in a store that must not be. It never holds a value of somebody's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub code: FindingCode,
    /// Whose it is, where it is a run's.
    pub run: Option<RunId>,
    pub what: String,
}

impl Finding {
    #[must_use]
    pub fn new(code: FindingCode, what: impl Into<String>) -> Self {
        Self { code, run: None, what: what.into() }
    }

    #[must_use]
    pub fn of(run: RunId, code: FindingCode, what: impl Into<String>) -> Self {
        Self { code, run: Some(run), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if let Some(run) = self.run {
            write!(f, "{run}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// How much of the machine a long job takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes: nobody else uses the store.
    Whole,
    /// After each piece of work it rests as long as the work took, so that others come first.
    Half,
}

macro_rules! codes {
    ($($(#[$about:meta])* $code:ident $text:literal $advice:literal)*) => {
        /// What is wrong. The text form is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingCode { $($(#[$about])* $code,)* }

        impl FindingCode {
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$code => $advice,)* }
            }
        }
    };
}

codes! {
    /// SQLite finds its own file wrong.
    FileDamaged "file-damaged" "restore a backup; look at the disk that the file is on"
    /// A table or an index is not as this version makes it.
    SchemaDiffers "schema-differs" "somebody has changed the file: restore a backup"
    /// A row holds what no version writes.
    RowUnreadable "row-unreadable" "restore a backup"
    /// A row belongs to a run that is not there.
    RowOrphaned "row-orphaned" "harmless to other runs; restore a backup if the run is missed"
    /// A record that the index of the journal does not know, or knows elsewhere.
    JournalUnindexed "journal-unindexed" "the run has lost records: restore a backup"
    /// Positions or sums of the events do not follow each other.
    EventsDisordered "events-disordered" "restore a backup if listeners are missing events"
    /// Two events with the same number of one run.
    EventTwice "event-twice" "listeners may have acted twice; report it with the run's journal"
    /// Numbers or times of the pages of calls do not follow each other.
    CallsDisordered "calls-disordered" "calls are missing, and what was spent on them: restore a backup"
    /// A blob that is referred to is not there.
    BlobMissing "blob-missing" "bring its file back from a backup, or restore the backup"
    /// A blob is not what its name says.
    BlobChanged "blob-changed" "bring its file back from a backup, or restore the backup"
    /// A blob file without a row. A crash leaves such files, and nothing refers to them.
    BlobFileUnknown "blob-file-unknown" "harmless: it is used if the same content comes again"
    /// A run without a record.
    JournalEmpty "journal-empty" "restore a backup"
    /// A record cannot be read, or is not where the index says.
    JournalUnreadable "journal-unreadable" "restore a backup, or start the workflow anew"
    /// The journal does not lead where it says it led.
    JournalDiverged "journal-diverged" "keep the store, and report it with the run's journal"
    /// The revision is not there, or not readable any more.
    RevisionUnreadable "revision-unreadable" "apply the same text again, or use the older program"
    /// The newest snapshot is not the state after its record.
    SnapshotDiffers "snapshot-differs" "keep the store, and report it with the run's journal"
    /// The run's row does not say what its journal says.
    RowDiffers "row-differs" "keep the store, and report it; the journal is what counts"
    /// The run has not ended, and nothing would ever move it.
    RunStuck "run-stuck" "cancel it and start it anew; report it with the run's journal"
    /// The run should go on by itself, and nobody in the site takes care of it.
    RunUnattended "run-unattended" "restart the site, which takes it up again; report it"
    /// An end of the run has no outcome.
    OutcomeMissing "outcome-missing" "report it with the run's journal"
    /// An outcome that belongs to no end of the run.
    OutcomeUnknown "outcome-unknown" "report it with the run's journal"
    /// An outcome does not say how the run ended.
    OutcomeDiffers "outcome-differs" "report it with the run's journal"
    /// The journal has begun a child run that is not there.
    ChildMissing "child-missing" "restore a backup, or cancel the run"
    /// A child run whose parent should wait for it and is not there.
    ParentMissing "parent-missing" "cancel it, or restore a backup"
    /// An event that the journal has emitted is not there.
    EventMissing "event-missing" "listeners have missed it: send it again, and report it"
    /// An event that names a run whose journal does not know of it.
    EventUnknown "event-unknown" "report it with the run's journal"
    /// An event is not the one that the journal has emitted.
    EventDiffers "event-differs" "report it with the run's journal"
    /// A schedule waits for a run that is not there.
    ScheduleRunMissing "schedule-run-missing" "apply the workflow again, which renews its schedule"
}

impl FindingCode {
    /// Worth telling, and nothing is wrong.
    #[must_use]
    pub const fn is_note(self) -> bool {
        matches!(self, Self::BlobFileUnknown)
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
