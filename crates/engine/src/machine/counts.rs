//! How many definite responses were recorded for each effect that may be asked for again, as another
//! node: within a `try` that retries, or around an extended task.
//!
//! A key must stay the same until there is a definite response, and must be another one after it;
//! which number it carries is all the same. So a loop of a million iterations within one `try` does not
//! need a million counts: those that were answered are forgotten from time to time, and what is not
//! known counts from the highest of them, a number that no forgotten one has used.

use std::collections::BTreeMap;

/// Answered places before they are forgotten, and unanswered ones before the first of them are. 64 KiB
/// of a snapshot at most.
const PLACES_MAX: usize = 1_024;

/// By a digest of the activation without its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// What a place has that is not known.
    pub floor: u32,
    /// Places whose last response was definite.
    pub answered: BTreeMap<u64, u32>,
    /// Places that were asked and have had no definite response since: their number must stay.
    pub asked: BTreeMap<u64, u32>,
}

impl Counts {
    /// The number of the key with which this place is asked now.
    pub fn ask(&mut self, place: u64) -> u32 {
        if let Some(count) = self.asked.get(&place) {
            return *count;
        }
        let count = self.answered.remove(&place).unwrap_or(self.floor);
        self.asked.insert(place, count);
        if self.asked.len() > PLACES_MAX {
            // Each of them was given up without an answer. If one is asked again after a thousand others,
            // its key may be a new one.
            self.asked.retain(|kept, _| *kept == place);
        }
        count
    }

    /// A definite response has come.
    pub fn answer(&mut self, place: u64) {
        let count = self.asked.remove(&place).or_else(|| self.answered.get(&place).copied());
        self.answered.insert(place, count.unwrap_or(self.floor) + 1);
        if self.answered.len() > PLACES_MAX {
            let highest = self.answered.values().copied().max().unwrap_or(0);
            self.floor = self.floor.max(highest);
            self.answered.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: keep all counts, give a forgotten place a number that it has used, or change the number
    /// of a place that was not answered.
    #[test]
    fn a_long_loop_needs_few_counts_and_uses_no_number_twice() {
        let mut counts = Counts::default();
        let open = u64::MAX;
        assert_eq!(counts.ask(open), 0);
        let mut used = vec![Vec::new(); 5_000];
        for _attempt in 0..3 {
            for (place, used) in (0_u64..).zip(&mut used) {
                let number = counts.ask(place);
                assert_eq!(counts.ask(place), number, "the same until it is answered");
                assert!(!used.contains(&number), "{place} has used {number}");
                used.push(number);
                counts.answer(place);
                assert!(counts.answered.len() + counts.asked.len() <= 2 * PLACES_MAX);
            }
        }
        assert_eq!(counts.ask(open), 0, "never answered");
    }

    /// Mutation: count from one, or the same after an answer.
    #[test]
    fn a_short_one_counts_from_zero() {
        let mut counts = Counts::default();
        assert_eq!([counts.ask(7), counts.ask(7)], [0, 0]);
        counts.answer(7);
        assert_eq!([counts.ask(7), counts.ask(8)], [1, 0]);
    }
}
