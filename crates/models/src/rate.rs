//! Requests and tokens in a minute: a bucket that fills by itself.

use base::{Duration, Timestamp};

/// Rates are said by the minute, as providers do.
const MINUTE_MS: u64 = 60_000;

/// So many minutes of its own a call takes at most beyond what was taken for it: the number is an upstream's, and one
/// that is nonsense shuts nobody out for longer than this.
const DEBT_MINUTES_MAX: i128 = 60;

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

    /// Another number in a minute: what was taken of the old one is taken of this.
    pub fn fit(&mut self, per_minute: u64, now: Timestamp) {
        self.fill(now);
        let taken = units(self.per_minute) - self.level;
        (self.per_minute, self.level) = (per_minute, units(per_minute) - taken);
    }

    /// What was taken and not used.
    pub fn give_back(&mut self, count: u64) {
        self.level = (self.level + units(count)).min(units(self.per_minute));
    }

    /// So many were taken, and so many were used. What was used beyond is filled first, but no more than
    /// `DEBT_MINUTES_MAX` of it.
    pub fn correct(&mut self, taken: u64, used: u64, now: Timestamp) {
        self.fill(now);
        self.give_back(taken.saturating_sub(used));
        let deepest = -units(self.per_minute).saturating_mul(DEBT_MINUTES_MAX);
        // One that was let in with more is as deep as it is.
        let floor = deepest.min(self.level);
        self.level = self.level.saturating_sub(units(used.saturating_sub(taken))).max(floor);
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

/// What may be had in a minute; as much as anybody likes, where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerMinute {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
}

/// There is no room in the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// `requests` or `tokens`.
    pub what: &'static str,
    pub limit: u64,
    /// When there is.
    pub after: Duration,
}

/// The minute of whoever has one: a key, or a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl Rates {
    #[must_use]
    pub fn new(limits: PerMinute, now: Timestamp) -> Self {
        let mut rates = Self::default();
        rates.fit(limits, now);
        rates
    }

    /// Limits that were said anew. What was taken stays taken.
    pub fn fit(&mut self, limits: PerMinute, now: Timestamp) {
        let fit = |bucket: &mut Option<Bucket>, limit: Option<u64>| match (bucket, limit) {
            (bucket, None) => *bucket = None,
            (Some(bucket), Some(limit)) if bucket.per_minute() == limit => {}
            (Some(bucket), Some(limit)) => bucket.fit(limit, now),
            (bucket @ None, Some(limit)) => *bucket = Some(Bucket::new(limit, now)),
        };
        fit(&mut self.requests, limits.requests);
        fit(&mut self.tokens, limits.tokens);
    }

    /// Takes one request and so many tokens, or nothing.
    pub fn take(&mut self, tokens: u64, now: Timestamp) -> Result<(), Spent> {
        let take = |bucket: &mut Option<Bucket>, what, count| match bucket {
            Some(bucket) => {
                let taken = bucket.take(count, now);
                taken.map_err(|after| Spent { what, limit: bucket.per_minute(), after })
            }
            None => Ok(()),
        };
        take(&mut self.requests, "requests", 1)?;
        take(&mut self.tokens, "tokens", tokens).inspect_err(|_| {
            if let Some(requests) = &mut self.requests {
                requests.give_back(1);
            }
        })
    }

    /// What was taken and not used.
    pub fn give_back(&mut self, requests: u64, tokens: u64) {
        for (bucket, count) in [(&mut self.requests, requests), (&mut self.tokens, tokens)] {
            if let Some(bucket) = bucket {
                bucket.give_back(count);
            }
        }
    }

    /// So many tokens were taken before a call, and so many has it used.
    pub fn correct(&mut self, taken: u64, used: u64, now: Timestamp) {
        if let Some(tokens) = &mut self.tokens {
            tokens.correct(taken, used, now);
        }
    }

    /// What is left now, where there is a limit.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> PerMinute {
        let left = |bucket: &Option<Bucket>| bucket.as_ref().map(|it| it.left(now));
        PerMinute { requests: left(&self.requests), tokens: left(&self.tokens) }
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

    /// Mutation: give back only, let the time before the end of a call fill what it has used, or shut a bucket for
    /// ever by one number.
    #[test]
    fn what_was_used_beyond_what_was_taken_is_filled_first() {
        let mut bucket = Bucket::new(60, at(0));
        assert_eq!(bucket.take(10, at(0)), Ok(()));
        // It has been full for long when the call ends.
        bucket.correct(10, 190, at(600_000));
        assert_eq!((bucket.left(at(600_000)), bucket.left(at(720_000))), (0, 0));
        assert_eq!(bucket.take(1, at(720_000)), Err(Duration::from_secs(1)));
        bucket.correct(100, 40, at(720_000));
        assert_eq!(bucket.left(at(720_000)), 60);
        bucket.correct(0, u64::MAX, at(720_000));
        let hour = 60 * 60_000;
        assert_eq!(bucket.left(at(720_000 + hour)), 0);
        assert_eq!(bucket.left(at(720_000 + hour + 60_000)), 60);
        let mut deep = Bucket::new(60, at(0));
        assert_eq!(deep.take(60 * 100, at(0)), Ok(()));
        deep.correct(60 * 100, 60 * 101, at(0));
        assert_eq!(deep.left(at(99 * 60_000)), 0, "what was taken stays taken");
    }

    /// Mutation: fill twice for a clock that was set back.
    #[test]
    fn a_clock_that_goes_back_fills_nothing() {
        let mut bucket = Bucket::new(60, at(60_000));
        assert_eq!(bucket.take(60, at(60_000)), Ok(()));
        assert!(bucket.take(1, at(0)).is_err());
        assert_eq!(bucket.left(at(60_000)), 0);
    }

    /// Mutation: count the request of a call whose tokens have no room, or forget on new limits what was taken.
    #[test]
    fn a_minute_has_requests_and_tokens_and_keeps_what_was_taken() {
        let limits = |requests, tokens| PerMinute { requests, tokens };
        let mut rates = Rates::new(limits(Some(3), Some(100)), at(0));
        assert_eq!(rates.take(90, at(0)), Ok(()));
        let after = Duration::from_secs(6);
        assert_eq!(rates.take(20, at(0)), Err(Spent { what: "tokens", limit: 100, after }));
        assert_eq!(rates.left(at(0)), limits(Some(2), Some(10)));
        rates.fit(limits(Some(2), Some(1_000)), at(0));
        assert_eq!(rates.left(at(0)), limits(Some(1), Some(910)));
        assert_eq!(rates.take(0, at(0)), Ok(()));
        let after = Duration::from_secs(30);
        assert_eq!(rates.take(0, at(0)), Err(Spent { what: "requests", limit: 2, after }));
        rates.give_back(1, 90);
        assert_eq!(rates.left(at(0)), limits(Some(1), Some(1_000)));
        rates.fit(PerMinute::default(), at(0));
        assert_eq!(rates.take(u64::MAX, at(0)), Ok(()));
    }
}
