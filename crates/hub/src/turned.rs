//! Who was turned away, and why: a line in the log, and where it came in a site's name, what the site's
//! hub says of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{SiteName, Timestamp};
use tokio::time::Instant;

/// Those who have not said who they are, come by the thousand: one line, and how many there were since.
const NAMELESS_EVERY: Duration = Duration::from_secs(60);

/// The same for each site: a line that is cut again and again is no news.
const SITE_EVERY: Duration = Duration::from_secs(10);

/// Reasons that are told apart where nobody has a name; the others share one line.
const NAMELESS_WHYS_MAX: usize = 32;

/// The longest reason that is kept and told, in characters.
const WHY_CHARS_MAX: usize = 200;

/// The last one who came in a site's name and was turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Last {
    pub at: Timestamp,
    pub from: SocketAddr,
    pub why: String,
    /// Since the hub was started.
    pub times: u64,
}

/// As large as the fleet: only sites that there are have something here.
#[derive(Default)]
pub(crate) struct Turned {
    nameless: Mutex<HashMap<String, Pace>>,
    sites: Mutex<HashMap<SiteName, (Last, Pace)>>,
}

/// When the log was told, and how many there were that it was not told of.
#[derive(Default)]
struct Pace {
    told_at: Option<Instant>,
    untold: u64,
}

impl Pace {
    /// How many there were before, where the log is told of this one.
    fn tell(&mut self, now: Instant, every: Duration) -> Option<u64> {
        if self.told_at.is_some_and(|at| now.duration_since(at) < every) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Turned {
    /// Somebody of whom nothing is known but his address.
    pub(crate) fn nameless(&self, from: SocketAddr, why: &str) {
        let mut paces = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = paces.len() < NAMELESS_WHYS_MAX || paces.contains_key(why);
        let pace = paces.entry(if has_room { why } else { "" }.to_owned()).or_default();
        match pace.tell(Instant::now(), NAMELESS_EVERY) {
            Some(before) => tracing::warn!(%from, why, before, "a connection was turned away"),
            None => tracing::debug!(%from, why, "a connection was turned away"),
        }
    }

    /// Somebody who has shown what this site has, or had. The site is in the store.
    pub(crate) fn site(&self, site: &SiteName, from: SocketAddr, why: &str, at: Timestamp) {
        let why: String = why.chars().take(WHY_CHARS_MAX).collect();
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || (Last { at, from, why: String::new(), times: 0 }, Pace::default());
        let (last, pace) = sites.entry(site.clone()).or_insert_with(first);
        let is_new = last.why != why;
        *last = Last { at, from, why, times: last.times + 1 };
        if is_new {
            pace.told_at = None;
        }
        let why = &last.why;
        match pace.tell(Instant::now(), SITE_EVERY) {
            Some(before) => tracing::warn!(%site, %from, why, before, "turned away"),
            None => tracing::debug!(%site, %from, why, "turned away"),
        }
    }

    pub(crate) fn last(&self, site: &SiteName) -> Option<Last> {
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.get(site).map(|(last, _)| last.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: tell the log of each, or never again.
    #[test]
    fn the_log_is_told_of_the_first_and_later_how_many_there_were() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        assert_eq!(pace.tell(began, NAMELESS_EVERY), Some(0));
        for _ in 0..5 {
            assert_eq!(pace.tell(began, NAMELESS_EVERY), None);
        }
        assert_eq!(pace.tell(began + NAMELESS_EVERY, NAMELESS_EVERY), Some(5));
        assert_eq!(pace.tell(began + NAMELESS_EVERY * 2, NAMELESS_EVERY), Some(0));
    }

    /// Mutation: keep the first reason, count anew for each, or keep all of a long one.
    #[test]
    fn of_a_site_the_last_is_known_and_how_many_there_were() {
        let (turned, site) = (Turned::default(), SiteName::parse("clinic-1").expect("a name"));
        let from = SocketAddr::from(([192, 0, 2, 1], 7));
        let at = Timestamp::from_millis;
        assert_eq!(turned.last(&site), None);
        turned.site(&site, from, "one", at(1));
        turned.site(&site, from, &"x".repeat(5000), at(2));
        let last = turned.last(&site).expect("there was one");
        assert_eq!((last.at, last.from, last.times), (at(2), from, 2));
        assert_eq!(last.why, "x".repeat(WHY_CHARS_MAX));
    }
}
