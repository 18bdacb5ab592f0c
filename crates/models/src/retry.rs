//! How many calls of a route may be tried again at a model that fails, too: a share of all, so that an outage does
//! not multiply what its models are asked.

use base::Timestamp;

/// Of a hundred calls of a route, so many may be sent once more to a server that fails.
pub const RETRIES_PERCENT: u64 = 20;

/// So many may be in any case, for routes with few calls: as many as open the lanes of three upstreams.
pub const RETRIES_FREE: u64 = 10;

/// What is counted: the last minute, in steps.
const STEPS: usize = 12;
const STEP_MS: i64 = 5_000;

/// Calls of one route, and how many of them were tried again, in the last minute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retries {
    steps: [Step; STEPS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    number: i64,
    calls: u64,
    retries: u64,
}

impl Retries {
    /// A call has come.
    pub fn call(&mut self, now: Timestamp) {
        self.step(now).calls += 1;
    }

    /// Whether a call may be sent once more. It is counted then.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let number = number(now);
        let oldest = number - i64::try_from(STEPS).expect("few");
        let recent = self.steps.iter().filter(|step| step.number > oldest);
        let (calls, retries) = recent
            .fold((0, 0), |(calls, retries), step| (calls + step.calls, retries + step.retries));
        if retries >= RETRIES_FREE + calls * RETRIES_PERCENT / 100 {
            return false;
        }
        self.step(now).retries += 1;
        true
    }

    fn step(&mut self, now: Timestamp) -> &mut Step {
        let number = number(now);
        let at = number.rem_euclid(i64::try_from(STEPS).expect("few"));
        let step = &mut self.steps[usize::try_from(at).expect("it is one of them")];
        if step.number != number {
            *step = Step { number, ..Step::default() };
        }
        step
    }
}

fn number(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(STEP_MS)
}

#[cfg(test)]
mod tests {
    use base::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn taken(retries: &mut Retries, now: Timestamp) -> u64 {
        (0..1_000).filter(|_| retries.take(now)).count() as u64
    }

    /// Mutation: count the share of the retries themselves, of all calls since the start, or never forget.
    #[test]
    fn a_share_of_the_calls_of_the_last_minute_may_be_tried_again() {
        let mut retries = Retries::default();
        assert_eq!(taken(&mut retries, at(0)), RETRIES_FREE);
        for _ in 0..500 {
            retries.call(at(30));
        }
        assert_eq!(taken(&mut retries, at(31)), 100, "the first ten are taken");
        assert_eq!(taken(&mut retries, at(61)), RETRIES_FREE, "they are forgotten");
        assert_eq!(taken(&mut retries, at(200)), RETRIES_FREE, "so are the calls");
    }
}
