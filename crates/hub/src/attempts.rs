//! Attempts to join or to renew that fail: each source has so many, and gets another one after a while.
//!
//! Who comes without a certificate is counted by where he comes from, who comes with one of ours by its
//! key: neighbours behind one address do not pay for each other.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identity::Pin;
use tokio::time::Instant;

use crate::source::Source;

/// Failed attempts in a row, before one has to wait. A person who mistypes needs a few, a table of tokens
/// that has ended a few dozen.
const FAILURES_MAX: u32 = 30;

/// After so long there is another one.
const FAILURE_EVERY: Duration = Duration::from_secs(10);

/// Sources whose failures are known, each with some hundred bytes, and as many keys. Those that come when there
/// are so many share what one has.
const SOURCES_MAX: usize = 10_000;

/// Whom an attempt is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    At(Source),
    With(Pin),
}

/// Anybody can come from ten thousand places, and only who has joined with a certificate: so the ones take no
/// room from the others.
#[derive(Default)]
pub(crate) struct Attempts {
    at: Mutex<Table>,
    with: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// When each has all its attempts again; nobody stands for those for whom there is no room.
    whole_at: HashMap<Option<Who>, Instant>,
    swept_at: Option<Instant>,
}

impl Attempts {
    /// Takes one attempt, or says after how long there is one.
    pub(crate) fn take(&self, who: Who, now: Instant) -> Result<(), Duration> {
        let mut table = self.table(who);
        let who = table.place(who, now);
        let whole_at = table.whole_at.get(&who).map_or(now, |at| (*at).max(now)) + FAILURE_EVERY;
        let wait = whole_at.duration_since(now).saturating_sub(FAILURE_EVERY * FAILURES_MAX);
        if !wait.is_zero() {
            return Err(wait);
        }
        table.whole_at.insert(who, whole_at);
        Ok(())
    }

    /// It has not failed.
    pub(crate) fn give_back(&self, who: Who) {
        let mut table = self.table(who);
        let who = Some(who).filter(|who| table.whole_at.contains_key(&Some(*who)));
        if let Some(whole_at) = table.whole_at.get_mut(&who) {
            *whole_at -= FAILURE_EVERY;
        }
    }

    fn table(&self, who: Who) -> MutexGuard<'_, Table> {
        let table = match who {
            Who::At(_) => &self.at,
            Who::With(_) => &self.with,
        };
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn place(&mut self, who: Who, now: Instant) -> Option<Who> {
        let who = Some(who);
        if self.whole_at.len() < SOURCES_MAX || self.whole_at.contains_key(&who) {
            return who;
        }
        // Not at each attempt: it looks at all of them.
        if self.swept_at.is_none_or(|at| now.duration_since(at) >= FAILURE_EVERY) {
            self.swept_at = Some(now);
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
        if self.whole_at.len() < SOURCES_MAX { who } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(n: u32) -> Who {
        Who::At(Source::of(Ipv4Addr::from(n).into()))
    }

    /// Mutation: let any number fail, never give another attempt, or count good ones.
    #[test]
    fn so_many_attempts_may_fail_and_then_one_after_a_while() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            attempts.take(at(1), began).expect("there is one");
        }
        assert_eq!(attempts.take(at(1), began), Err(FAILURE_EVERY));
        attempts.take(at(2), began).expect("another source");
        let later = began + FAILURE_EVERY;
        attempts.take(at(1), later).expect("one more");
        assert_eq!(attempts.take(at(1), later), Err(FAILURE_EVERY));
        for _ in 0..500 {
            attempts.take(at(3), began).expect("those that are good are given back");
            attempts.give_back(at(3));
        }
    }

    /// Mutation: keep every source for ever, or none of those that are there; count sites among strangers.
    #[test]
    fn the_table_is_bounded_and_whoever_has_all_attempts_again_goes() {
        let (attempts, began) = (Attempts::default(), Instant::now());
        let sources = u32::try_from(SOURCES_MAX).expect("it fits");
        for n in 0..sources {
            attempts.take(at(n), began).expect("room");
        }
        for n in 0..FAILURES_MAX {
            attempts.take(at(sources + n), began).expect("what others share");
        }
        attempts.take(at(sources + FAILURES_MAX), began).expect_err("all of it is taken");
        attempts.take(at(0), began).expect("one that is known has its own");
        assert_eq!(attempts.at.lock().expect("whole").whole_at.len(), SOURCES_MAX + 1);
        // Strangers take no room from sites.
        let pins = [(); 2].map(|()| identity::Key::generate().expect("a key").public().pin());
        for pin in pins {
            for _ in 0..FAILURES_MAX {
                attempts.take(Who::With(pin), began).expect("its own");
            }
        }
        let later = began + FAILURE_EVERY;
        attempts.take(at(sources + FAILURES_MAX), later).expect("room again");
        assert!(attempts.at.lock().expect("whole").whole_at.len() < 10);
    }
}
