//! Requests and tokens in a minute: a bucket that fills by itself.

use base::{Duration, Timestamp};

/// Rates are said by the minute, as providers do.
const MINUTE_MS: u64 = 60_000;

/// What one key may do in a minute. Tokens are counted by the bound of a call before it, and corrected
/// when they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    per_minute: u64,
    /// In units of one `MINUTE_MS`th, so that nothing is rounded away.
    level: i128,
    since: Timestamp,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(per_minute: u64, now: Timestamp) -> Self {
        Self { per_minute, level: units(per_minute), since: now }
    }

    #[must_use]
    pub const fn per_minute(&self) -> u64 {
        self.per_minute
    }

    /// Takes so many out, or says when they would be there. More than a minute holds are never there at
    /// once: they are let through when the bucket is full, and what is missing is filled first.
    pub fn take(&mut self, count: u64, now: Timestamp) -> Result<(), Duration> {
        self.fill(now);
        let needed = units(count).min(units(self.per_minute));
        if self.level >= needed {
            self.level -= units(count);
            return Ok(());
        }
        let missing = u128::try_from(needed - self.level).unwrap_or(0);
        let wait = missing.div_ceil(u128::from(self.per_minute.max(1)));
        Err(Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// What was taken and not used.
    pub fn give_back(&mut self, count: u64) {
        self.level = (self.level + units(count)).min(units(self.per_minute));
    }

    /// What is left now, in whole ones.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> u64 {
        let mut copy = *self;
        copy.fill(now);
        u64::try_from(copy.level / i128::from(MINUTE_MS)).unwrap_or(0)
    }

    fn fill(&mut self, now: Timestamp) {
        let passed = i128::from(now.since(self.since).as_millis());
        let more = passed.saturating_mul(i128::from(self.per_minute));
        self.level = self.level.saturating_add(more).min(units(self.per_minute));
        self.since = self.since.max(now);
    }
}

fn units(count: u64) -> i128 {
    i128::from(count) * i128::from(MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Mutation: let one more through, fill beyond the brim, or lose parts of one.
    #[test]
    fn as_many_go_as_a_minute_has_and_then_one_by_one() {
        let mut bucket = Bucket::new(3, at(0));
        for _ in 0..3 {
            assert_eq!(bucket.take(1, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(1, at(0)), Err(Duration::from_secs(20)));
        for step in 1..2_000 {
            bucket.fill(at(step * 10));
        }
        assert_eq!(bucket.take(1, at(19_999)), Err(Duration::from_millis(1)));
        assert_eq!(bucket.take(1, at(20_000)), Ok(()));
        assert_eq!(bucket.left(at(10_000_000)), 3);
    }

    /// Mutation: refuse for ever what is larger than the bucket, or forget that it was taken.
    #[test]
    fn a_large_one_waits_for_a_full_bucket_and_empties_it() {
        let mut bucket = Bucket::new(60, at(0));
        assert_eq!(bucket.take(1_000, at(0)), Ok(()));
        let debt = Duration::from_secs(1_000 - 30);
        assert_eq!(bucket.take(1_000, at(30_000)), Err(debt));
        bucket.give_back(960);
        assert_eq!(bucket.left(at(30_000)), 50);
    }

    /// Mutation: fill twice for a clock that was set back.
    #[test]
    fn a_clock_that_goes_back_fills_nothing() {
        let mut bucket = Bucket::new(60, at(60_000));
        assert_eq!(bucket.take(60, at(60_000)), Ok(()));
        assert!(bucket.take(1, at(0)).is_err());
        assert_eq!(bucket.left(at(60_000)), 0);
    }
}
