//! Foreign processes: whether one may run, and what it asked for while it did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::RunId;
use base::name::Namespace;

use crate::decide::{Caller, Ruling};

/// Different things that are remembered of one process. A script that tries all addresses of a
/// network is no longer interesting in detail.
const CROSSINGS_MAX: usize = 100;

/// To run one foreign process.
#[derive(Debug)]
pub struct Process {
    ruling: Ruling,
}

/// Whoever a process asks for, for as long as it runs.
#[derive(Debug, Clone)]
pub struct Asker {
    pub namespace: Namespace,
    pub run: RunId,
    pub activation: String,
    pub labels: Arc<[String]>,
}

/// What the gate said to one process, each thing once with how often it was said.
#[derive(Debug, Default)]
pub struct Crossings(Mutex<Vec<(Ruling, u64)>>);

impl Process {
    pub(crate) fn new(ruling: Ruling) -> Self {
        Self { ruling }
    }

    pub(crate) fn ruling(&self) -> &Ruling {
        &self.ruling
    }

    pub(crate) fn into_ruling(self) -> Ruling {
        self.ruling
    }
}

impl Asker {
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            namespace: &self.namespace,
            run: Some(self.run),
            activation: &self.activation,
            labels: &self.labels,
        }
    }
}

impl Crossings {
    pub(crate) fn note(&self, ruling: &Ruling) {
        let mut all = self.all();
        if let Some((_, count)) = all.iter_mut().find(|(known, _)| known == ruling) {
            *count += 1;
            return;
        }
        if all.len() < CROSSINGS_MAX {
            all.push((ruling.clone(), 1));
            return;
        }
        let destination = format!("more than {CROSSINGS_MAX} destinations");
        let more = Ruling { destination, rule: String::new(), ..ruling.clone() };
        match all.iter_mut().find(|(known, _)| *known == more) {
            Some((_, count)) => *count += 1,
            None => all.push((more, 1)),
        }
    }

    /// In the order in which they were first asked for.
    #[must_use]
    pub fn take(&self) -> Vec<(Ruling, u64)> {
        std::mem::take(&mut *self.all())
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Ruling, u64)>> {
        // Every change is one push or one number.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: keep every one, or forget what was said after the limit.
    #[test]
    fn a_process_that_asks_for_everything_does_not_fill_the_record() {
        let crossings = Crossings::default();
        for round in 0..3 {
            for number in 0..CROSSINGS_MAX + 50 {
                let ruling = Ruling {
                    allowed: false,
                    rule: format!("rule {}", number % 2),
                    destination: format!("http://10.0.0.{number}"),
                };
                crossings.note(&ruling);
            }
            assert!(crossings.all().len() == CROSSINGS_MAX + 1, "round {round}");
        }
        let all = crossings.take();
        assert_eq!((all[0].0.destination.as_str(), all[0].1), ("http://10.0.0.0", 3));
        let (last, count) = all.last().expect("the rest");
        assert_eq!((last.destination.as_str(), *count), ("more than 100 destinations", 150));
    }
}
