//! From where somebody comes who has not said who he is: so that one place does not take what is there
//! for all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// An address; of IPv6 the half that one customer is given, who chooses the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

/// How many are there from each source. As large as what is counted.
#[derive(Default)]
pub(crate) struct Crowd(Mutex<HashMap<Source, usize>>);

/// One of them, as long as it is kept.
pub(crate) struct Visit {
    crowd: Arc<Crowd>,
    source: Source,
}

impl Crowd {
    /// Nothing where there are so many from there already.
    pub(crate) fn enter(self: &Arc<Self>, source: Source, most: usize) -> Option<Visit> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Visit { crowd: Arc::clone(self), source })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut counts = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().expect("an address"))
    }

    /// Mutation: count each address of IPv6 apart, or take IPv4 in IPv6 for another.
    #[test]
    fn a_source_is_what_one_customer_is_given() {
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    /// Mutation: count all together, never count down, or keep who has gone.
    #[test]
    fn one_source_does_not_take_every_place() {
        let crowd = Arc::new(Crowd::default());
        let (one, other) = (source("192.0.2.1"), source("192.0.2.2"));
        let visits: Vec<_> = (0..3).map(|_| crowd.enter(one, 3).expect("a place")).collect();
        assert!(crowd.enter(one, 3).is_none());
        let of_other = crowd.enter(other, 3).expect("a place");
        drop(visits);
        assert!(crowd.enter(one, 3).is_some());
        drop(of_other);
        assert!(crowd.0.lock().expect("whole").is_empty());
    }
}
