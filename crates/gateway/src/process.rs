//! Foreign processes: whether one may run, and what it asked for while it did.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::RunId;
use base::name::Namespace;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

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

/// Writes down what a process is let out for, before it goes. `false` where that could not be done.
type Witness = dyn Fn(Ruling) -> BoxFuture<'static, bool> + Send + Sync;

/// Whoever comes meanwhile waits for the same; one who leaves leaves it to the others.
type Writing = Shared<BoxFuture<'static, bool>>;

/// What the gate said to one process, each thing once with how often it was said.
pub struct Crossings {
    said: Mutex<Vec<(Ruling, u64)>>,
    /// What is written down, or is about to be.
    written: Mutex<Vec<(Ruling, Writing)>>,
    witness: Box<Witness>,
}

impl fmt::Debug for Crossings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Crossings").field(&self.said).finish()
    }
}

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
    #[must_use]
    pub fn new(
        witness: impl Fn(Ruling) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        Self { said: Mutex::default(), written: Mutex::default(), witness: Box::new(witness) }
    }

    /// Whether what was ruled may be done: it is written down that the process was let out. What is
    /// written down already is not written again.
    pub(crate) async fn admit(&self, ruling: &Ruling) -> bool {
        let (ruling, writing) = self.writing(ruling);
        let is_written = writing.await;
        if !is_written {
            locked(&self.written).retain(|(known, _)| *known != ruling);
        }
        is_written
    }

    fn writing(&self, ruling: &Ruling) -> (Ruling, Writing) {
        let mut written = locked(&self.written);
        let ruling = bounded(ruling, written.iter().map(|(known, _)| known));
        if let Some((_, writing)) = written.iter().find(|(known, _)| *known == ruling) {
            return (ruling, writing.clone());
        }
        let writing = (self.witness)(ruling.clone()).shared();
        written.push((ruling.clone(), writing.clone()));
        (ruling, writing)
    }

    /// Counts it. What was refused is written down as well.
    pub(crate) async fn note(&self, ruling: &Ruling) {
        {
            let mut said = locked(&self.said);
            let ruling = bounded(ruling, said.iter().map(|(known, _)| known));
            match said.iter_mut().find(|(known, _)| *known == ruling) {
                Some((_, count)) => *count += 1,
                None => said.push((ruling, 1)),
            }
        }
        if !ruling.allowed {
            self.admit(ruling).await;
        }
    }

    /// In the order in which they were first asked for.
    #[must_use]
    pub fn take(&self) -> Vec<(Ruling, u64)> {
        std::mem::take(&mut *locked(&self.said))
    }
}

/// One for all in place of what is new when enough is known.
fn bounded<'a>(ruling: &Ruling, mut known: impl ExactSizeIterator<Item = &'a Ruling>) -> Ruling {
    if known.len() < CROSSINGS_MAX || known.any(|known| known == ruling) {
        return ruling.clone();
    }
    let destination = format!("more than {CROSSINGS_MAX} destinations");
    Ruling { destination, rule: String::new(), ..ruling.clone() }
}

fn locked<T>(all: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one push or one number.
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::future::ready;

    use super::*;

    /// Mutation: keep every one, or forget what was said after the limit.
    #[tokio::test]
    async fn a_process_that_asks_for_everything_does_not_fill_the_record() {
        let crossings = Crossings::new(|_| ready(true).boxed());
        for round in 0..3 {
            for number in 0..CROSSINGS_MAX + 50 {
                let ruling = Ruling {
                    allowed: false,
                    rule: format!("rule {}", number % 2),
                    destination: format!("http://10.0.0.{number}"),
                };
                crossings.note(&ruling).await;
            }
            assert!(locked(&crossings.said).len() == CROSSINGS_MAX + 1, "round {round}");
        }
        let all = crossings.take();
        assert_eq!((all[0].0.destination.as_str(), all[0].1), ("http://10.0.0.0", 3));
        let (last, count) = all.last().expect("the rest");
        assert_eq!((last.destination.as_str(), *count), ("more than 100 destinations", 150));
    }

    /// Mutation: write each one each time, let one out that could not be written, or take what could
    /// not be for written.
    #[tokio::test]
    async fn what_is_let_out_is_written_down_once() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (kept, works) = (Arc::clone(&written), Arc::new(Mutex::new(false)));
        let is_working = Arc::clone(&works);
        let crossings = Crossings::new(move |ruling| {
            let is_written = *locked(&is_working);
            if is_written {
                locked(&kept).push(ruling.destination);
            }
            ready(is_written).boxed()
        });
        let ruling = |number| Ruling {
            allowed: true,
            rule: "rule 1".to_owned(),
            destination: format!("http://10.0.0.{number}"),
        };
        assert!(!crossings.admit(&ruling(0)).await);
        *locked(&works) = true;
        for number in (0..CROSSINGS_MAX + 50).chain(0..CROSSINGS_MAX + 50) {
            assert!(crossings.admit(&ruling(number)).await);
        }
        let written = locked(&written).clone();
        assert_eq!(written.len(), CROSSINGS_MAX + 1);
        assert_eq!(
            (&*written[0], &*written[CROSSINGS_MAX]),
            ("http://10.0.0.0", "more than 100 destinations")
        );
    }
    /// Mutation: write once for each asker, count a refusal only when it is written, or forget what an
    /// asker who has left began to write.
    #[tokio::test]
    async fn who_leaves_early_is_counted_and_written_once() {
        let asked = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&asked);
        let (open, opened) = tokio::sync::oneshot::channel::<()>();
        let opened = opened.map(|_| ()).boxed().shared();
        let crossings = Crossings::new(move |_| {
            *locked(&counted) += 1;
            opened.clone().map(|()| true).boxed()
        });
        let destination = "http://10.0.0.1".to_owned();
        let ruling = Ruling { allowed: false, rule: "rule 1".to_owned(), destination };
        assert!(crossings.note(&ruling).now_or_never().is_none());
        assert!(crossings.admit(&ruling).now_or_never().is_none());
        assert_eq!(crossings.take(), [(ruling.clone(), 1)]);
        open.send(()).expect("it is waited for");
        assert!(crossings.admit(&ruling).await);
        assert_eq!(*locked(&asked), 1);
    }
}
