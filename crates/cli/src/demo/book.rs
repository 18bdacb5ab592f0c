//! The book of the clinic's referral service: who asked for what, what was done, what was answered.
//!
//! It stands for the world outside: it keeps no promise but the one that makes repeating harmless,
//! that a key which it has seen is answered from the book. Sockets are in `service`.

use std::collections::BTreeMap;

/// Every so many requests are refused with 503, and nothing is done.
pub const REFUSED_EVERY: u32 = 7;

/// Every so many requests are done and not answered.
pub const UNANSWERED_EVERY: u32 = 11;

/// Referrals and their requests.
#[derive(Debug, Clone, Default)]
pub struct Book {
    keys: BTreeMap<String, Entry>,
    requests: u32,
    refused: u32,
    unanswered: u32,
    /// The request at which the caller is to be killed.
    hold_at: Option<u32>,
    held: Option<Held>,
}

/// What the book has under one idempotency key.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub requests: u32,
    /// Rows of the intake for which a referral was made under this key.
    pub effects: Vec<u64>,
}

/// The request that was not answered until its caller was dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub request: u32,
    pub key: String,
    pub row: u64,
}

/// What the caller gets to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Booked {
        referral: String,
    },
    Refused,
    Nothing,
    /// Nothing, and the connection stays open until the caller is gone.
    Held,
}

impl Book {
    #[must_use]
    pub fn new(hold_at: Option<u32>) -> Self {
        Self { hold_at, ..Self::default() }
    }

    /// Takes one request: a referral of the case in that row.
    pub fn take(&mut self, key: &str, row: u64) -> Answer {
        self.requests += 1;
        let number = self.requests;
        let entry = self.keys.entry(key.to_owned()).or_default();
        entry.requests += 1;
        // The first one that finds its effect not yet done, so that it is done and unanswered.
        let hold = self.held.is_none()
            && entry.effects.is_empty()
            && self.hold_at.is_some_and(|at| number >= at);
        if !hold && number.is_multiple_of(REFUSED_EVERY) {
            self.refused += 1;
            return Answer::Refused;
        }
        if entry.effects.is_empty() {
            entry.effects.push(row);
        }
        if hold {
            self.held = Some(Held { request: number, key: key.to_owned(), row });
            return Answer::Held;
        }
        if number.is_multiple_of(UNANSWERED_EVERY) {
            self.unanswered += 1;
            return Answer::Nothing;
        }
        Answer::Booked { referral: format!("referral-{row}") }
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.keys.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.keys.get(key)
    }

    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    #[must_use]
    pub fn refused(&self) -> u32 {
        self.refused
    }

    #[must_use]
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn booked(row: u64) -> Answer {
        Answer::Booked { referral: format!("referral-{row}") }
    }

    /// Mutation: do the effect of a refused request, or do one again whose key is known.
    #[test]
    fn a_key_is_done_once_however_often_it_is_asked_for() {
        let mut book = Book::default();
        for row in 1..=6 {
            assert_eq!(book.take(&format!("k{row}"), row), booked(row));
        }
        assert_eq!(book.take("k7", 7), Answer::Refused);
        assert_eq!(book.entry("k7").expect("it was asked for").effects, Vec::<u64>::new());
        assert_eq!(book.take("k7", 7), booked(7));
        assert_eq!(book.take("k8", 8), booked(8));
        assert_eq!(book.take("k9", 9), booked(9));
        assert_eq!(book.take("k10", 10), Answer::Nothing);
        assert_eq!(book.take("k10", 10), booked(10));
        let entry = book.entry("k10").expect("it was asked for");
        assert_eq!((entry.requests, &*entry.effects), (2, &[10][..]));
        assert_eq!((book.requests(), book.refused(), book.unanswered()), (12, 1, 1));
    }

    /// Mutation: hold twice, hold a request whose effect is long done, or answer a held one.
    #[test]
    fn one_request_is_held_after_its_effect() {
        let mut book = Book::new(Some(2));
        assert_eq!(book.take("a", 1), booked(1));
        assert_eq!(book.take("a", 1), booked(1));
        assert_eq!(book.take("b", 2), Answer::Held);
        assert_eq!(book.held(), Some(&Held { request: 3, key: "b".into(), row: 2 }));
        assert_eq!(book.entry("b").expect("it was asked for").effects, [2]);
        assert_eq!(book.take("b", 2), booked(2));
        assert_eq!(book.take("c", 3), booked(3));
        assert_eq!(book.entry("b").expect("it was asked for").effects, [2]);
    }
}
