//! When runs of a workflow begin by themselves.

use base::{Duration, Value};

use crate::cron::Cron;

/// What starts runs, and what becomes of times at which nobody was there to start them.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// At least one, each kind at most once.
    pub triggers: Vec<Trigger>,
    pub missed: Missed,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// At a steady beat, whether the run before has ended or not.
    Every(Duration),
    /// At these times, whether the run before has ended or not.
    Cron(Cron),
    /// So long after the run before has ended.
    After(Duration),
    /// When events have come.
    On(On),
}

impl Trigger {
    /// As the document calls it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Every(_) => "every",
            Self::Cron(_) => "cron",
            Self::After(_) => "after",
            Self::On(_) => "on",
        }
    }
}

/// Events that start a run. Which ones is kept as the document has it: matching belongs to the room
/// that knows events.
#[derive(Debug, Clone, PartialEq)]
pub struct On {
    /// An object with one of `one`, `any` and `all`.
    pub events: Value,
    pub read: ReadAs,
}

/// What of an event becomes the run's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadAs {
    #[default]
    Data,
    Envelope,
    Raw,
}

/// What becomes of times at which the site was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// One run for all of them.
    Once,
    /// A run for each.
    All,
}

impl Missed {
    pub const NAMES: [&'static str; 3] = ["skip", "once", "all"];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => Self::NAMES[0],
            Self::Once => Self::NAMES[1],
            Self::All => Self::NAMES[2],
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Skip, Self::Once, Self::All].into_iter().find(|missed| missed.name() == name)
    }
}
