//! How fast background work goes: in small steps with a rest after each, so that nobody's commit waits
//! for more than one of them.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest rest between two steps: some fifty steps a second keep up with as many thousand
/// records.
const REST_MIN: Duration = Duration::from_millis(10);

/// A rest lasts this many times as long as the step before, so that at most a third of a slow disk's
/// time goes here.
const REST_TIMES: u32 = 2;

/// Work that is so late rests half as long: what comes in faster than it is worked off would fill the
/// disk.
const LATE: Duration = Duration::from_secs(5);

/// However late it is, a rest is not shorter than this part of its step: after a month without power the
/// work of the day still comes first.
const REST_SHARE_MIN: f64 = 0.75;

/// The pace of one piece of background work.
#[derive(Debug)]
pub struct Pacer {
    rests: bool,
    late: Duration,
    /// When the next step may begin.
    next: Option<Instant>,
}

impl Pacer {
    /// Beside work that must not wait.
    #[must_use]
    pub fn gentle() -> Self {
        Self { rests: true, late: Duration::ZERO, next: None }
    }

    /// For somebody who waits for the end. Even so, one step at a time.
    #[must_use]
    pub fn swift() -> Self {
        Self { rests: false, ..Self::gentle() }
    }

    /// From here on, what is done should have been done so long ago.
    pub fn late(&mut self, by: Duration) {
        self.late = by;
    }

    /// Takes a step when the rest from the one before is over. Whatever is done between two steps, such
    /// as to look for what comes next, is part of the rest.
    pub async fn step<T>(&mut self, step: impl Future<Output = T>) -> T {
        if let Some(next) = self.next {
            tokio::time::sleep_until(next).await;
        }
        let began = Instant::now();
        let outcome = step.await;
        if self.rests {
            self.next = Some(Instant::now() + rest(began.elapsed(), self.late));
        } else {
            tokio::task::yield_now().await;
        }
        outcome
    }
}

fn rest(step: Duration, late: Duration) -> Duration {
    let rest = (step * REST_TIMES).max(REST_MIN).div_f64(1.0 + late.div_duration_f64(LATE));
    rest.max(step.mul_f64(REST_SHARE_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: rest as long however late it is, not at all when it is very late, or for a fixed time.
    #[test]
    fn a_rest_is_longer_than_its_step_unless_the_work_is_late() {
        let rests = |step_ms, late_s| {
            rest(Duration::from_millis(step_ms), Duration::from_secs(late_s)).as_millis()
        };
        assert_eq!((rests(1, 0), rests(20, 0), rests(500, 0)), (10, 40, 1_000));
        assert_eq!((rests(1, 5), rests(20, 5), rests(20, 5_000)), (5, 20, 15));
    }

    /// Mutation: rest from what is done between two steps, or in addition to it.
    #[tokio::test(start_paused = true)]
    async fn what_is_done_between_two_steps_is_part_of_the_rest() {
        let sleep = async |ms| tokio::time::sleep(Duration::from_millis(ms)).await;
        let began = Instant::now();
        let mut pace = Pacer::gentle();
        for between in [0, 30, 100] {
            pace.step(sleep(20)).await;
            sleep(between).await;
        }
        pace.step(sleep(20)).await;
        assert_eq!(began.elapsed().as_millis(), 4 * 20 + 40 + 40 + 100);
    }
}
