//! When runs of a workflow begin by themselves.

use std::sync::Arc;

use base::{Duration, Value};

use crate::cron::Cron;

use super::{ReadAs, Strategy};

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

/// Events that start a run.
#[derive(Debug, Clone)]
pub struct On {
    /// As the document has it: an object with one of `one`, `any` and `all`.
    pub events: Value,
    /// The same, read.
    pub to: Arc<Strategy>,
    /// What of an event stands in the run's input.
    pub read: ReadAs,
}

impl PartialEq for On {
    /// The strategy follows from the events.
    fn eq(&self, other: &Self) -> bool {
        self.events == other.events && self.read == other.read
    }
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
