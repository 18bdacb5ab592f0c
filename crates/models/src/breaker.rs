//! Whether a lane may be gone: a machine that is told what came of each try.
//!
//! Who is to blame decides. What is the upstream's own fault opens the lane after a few in a row; what is
//! the secret's benches it for a while at once; what is the caller's changes nothing. After a cool-down
//! one call tries the lane, and only one. Which lanes share one of these is in `health`.

use base::{Duration, Timestamp};

/// Faults in a row after which a lane is open. One may be chance, two a restart.
pub const FAULTS_MAX: u32 = 3;

/// How long a lane stays open before one call tries it. As long as a server takes to restart.
pub const COOL_DOWN: Duration = Duration::from_secs(10);

/// The same after many probes in vain. Longer would make people wait for what is there again.
pub const COOL_DOWN_MAX: Duration = Duration::from_secs(120);

/// How long a secret that was refused rests: somebody must replace it.
pub const BENCH_REFUSED: Duration = Duration::from_secs(60);

/// How long a secret rests that was told to come later, and not when.
pub const BENCH_BUSY: Duration = Duration::from_secs(5);

/// The longest rest that an upstream can ask for.
pub const BENCH_MAX: Duration = Duration::from_secs(3600);

/// How long a probe may be under way before another one goes: its caller may have died with it.
pub const PROBE_MAX: Duration = Duration::from_secs(60);

/// A try that is given up is the upstream's fault where it has said nothing for so long: longer than clients that
/// are in a hurry wait, and no longer than a call goes on whose client has left.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    /// Faults since the last answer.
    faults: u32,
    cool_down: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Timestamp, why: Why },
    Probing { since: Timestamp, why: Why },
}

/// Why a lane is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It fails, or says nothing.
    Outage,
    /// It fails, and has said when to come again.
    Overload,
    /// It has said when to come again with this secret.
    RateLimit,
    /// Its secret is not taken.
    Credentials,
    /// Nobody has paid.
    Payment,
}

/// What the lane says to a call that wants to go it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Free,
    /// Go, and say by all means what came of it.
    Probe,
    Shut {
        until: Timestamp,
        why: Why,
    },
}

/// Whose fault the end of a try was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// It has answered to the end, whatever it said to the caller.
    Nobody,
    /// It was sent, and nothing is known: the caller has left, or we have.
    Unknown,
    /// Nothing was sent.
    Unsent,
    Upstream,
    /// The upstream's, which says when to come again.
    Overloaded {
        after: Duration,
    },
    RateLimit {
        after: Option<Duration>,
    },
    Credentials,
    Payment,
    /// The secret could not be had, so that nothing was sent.
    Unopened,
}

impl Blame {
    /// What a status of HTTP says.
    #[must_use]
    pub const fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            401 | 403 => Self::Credentials,
            402 => Self::Payment,
            429 => Self::RateLimit { after: retry_after },
            408 | 500..=599 => match retry_after {
                Some(after) if after.as_millis() > 0 => Self::Overloaded { after },
                Some(_) | None => Self::Upstream,
            },
            200..=299 | 400..=499 => Self::Nobody,
            // A redirect, or what is no status of an answer.
            _ => Self::Upstream,
        }
    }

    /// What it says that a try was given up that had said nothing for so long, and had so long to say it.
    #[must_use]
    pub fn of_silence(silent: Duration, given: Duration) -> Self {
        if silent >= given.min(SILENCE_MAX) { Self::Upstream } else { Self::Unknown }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, faults: 0, cool_down: COOL_DOWN }
    }
}

impl Breaker {
    /// Whether a call may go now. One that gets [`Way::Probe`] must report.
    pub fn ask(&mut self, now: Timestamp) -> Way {
        match self.state {
            State::Closed => Way::Free,
            State::Open { until, why } if now < until => Way::Shut { until, why },
            State::Probing { since, why } if now < since.plus(self.cool_down.max(PROBE_MAX)) => {
                Way::Shut { until: since.plus(self.cool_down.max(PROBE_MAX)), why }
            }
            State::Open { why, .. } | State::Probing { why, .. } => {
                self.state = State::Probing { since: now, why };
                Way::Probe
            }
        }
    }

    /// What it would say, without going.
    #[must_use]
    pub fn look(&self, now: Timestamp) -> Way {
        let mut copy = *self;
        copy.ask(now)
    }

    /// Whether it has answered since its last fault, as far as is known.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.faults == 0 && matches!(self.state, State::Closed)
    }

    /// The first part of a probe's answer has come, and the end may be far away: others may go. The next fault shuts
    /// the lane again, with the rest that has grown, unless an answer has come to its end before.
    pub fn begun(&mut self, was_probe: bool) {
        if was_probe && matches!(self.state, State::Probing { .. }) {
            self.state = State::Closed;
            self.faults = FAULTS_MAX - 1;
        }
    }

    /// What came of a try. `was_probe` where it was told to be one.
    pub fn report(&mut self, blame: Blame, was_probe: bool, now: Timestamp) {
        match blame {
            // What was asked before the lane was shut says nothing of it now.
            Blame::Nobody if was_probe || matches!(self.state, State::Closed) => {
                *self = Self::default();
            }
            Blame::Nobody => {}
            Blame::Unknown | Blame::Unsent => {
                if let (true, State::Probing { since, why }) = (was_probe, self.state) {
                    let is_unsent = blame == Blame::Unsent;
                    // One that was sent was the probe of this cool-down, though nobody knows what it has found.
                    let until = if is_unsent { now } else { since.plus(self.cool_down) };
                    self.state = State::Open { until, why };
                }
            }
            Blame::Upstream => self.fault(was_probe, now),
            Blame::Overloaded { after } => {
                self.fault(was_probe, now);
                self.open(now.plus(after.min(BENCH_MAX)), Why::Overload);
            }
            Blame::RateLimit { after } => {
                let rest = after.unwrap_or(BENCH_BUSY).min(BENCH_MAX);
                self.open(now.plus(rest), Why::RateLimit);
            }
            Blame::Credentials | Blame::Unopened => {
                self.open(now.plus(BENCH_REFUSED), Why::Credentials);
            }
            Blame::Payment => self.open(now.plus(BENCH_REFUSED), Why::Payment),
        }
    }

    fn fault(&mut self, was_probe: bool, now: Timestamp) {
        self.faults = self.faults.saturating_add(1);
        if was_probe {
            self.cool_down = self.cool_down.saturating_mul(2).min(COOL_DOWN_MAX);
        }
        // Calls that were under way when it opened come back late: they do not make it longer.
        let is_open = matches!(self.state, State::Open { until, .. } if now < until);
        if was_probe || (self.faults >= FAULTS_MAX && !is_open) {
            self.open(now.plus(self.cool_down), Why::Outage);
        }
    }

    fn open(&mut self, until: Timestamp, why: Why) {
        let before = match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::Probing { .. } => None,
        };
        // The later of two wishes to be left alone.
        self.state = match before {
            Some(before) if before > until => return,
            _ => State::Open { until, why },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(seconds))
    }

    fn faulty(faults: u32) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..faults {
            breaker.report(Blame::Upstream, false, at(0));
        }
        breaker
    }

    /// Mutation: open one fault later, or forget that an answer came between.
    #[test]
    fn three_faults_in_a_row_open_a_lane() {
        assert_eq!(faulty(FAULTS_MAX - 1).ask(at(0)), Way::Free);
        let shut = Way::Shut { until: at(10), why: Why::Outage };
        assert_eq!(faulty(FAULTS_MAX).ask(at(9)), shut);
        let mut breaker = faulty(FAULTS_MAX - 1);
        breaker.report(Blame::Nobody, false, at(0));
        breaker.report(Blame::Upstream, false, at(0));
        assert_eq!(breaker.ask(at(0)), Way::Free);
    }

    /// Mutation: let a second call go beside the probe, or none after a probe that nobody heard of.
    #[test]
    fn one_probe_goes_after_each_cool_down() {
        let mut breaker = faulty(FAULTS_MAX);
        assert_eq!(breaker.ask(at(10)), Way::Probe);
        assert!(matches!(breaker.ask(at(10)), Way::Shut { .. }));
        breaker.report(Blame::Upstream, true, at(11));
        assert!(matches!(breaker.ask(at(30)), Way::Shut { .. }), "the next rest is longer");
        assert_eq!(breaker.ask(at(31)), Way::Probe);
        assert_eq!(breaker.ask(at(31 + 60)), Way::Probe, "its caller has died");
        breaker.report(Blame::Nobody, true, at(93));
        assert_eq!(breaker.ask(at(93)), Way::Free);
    }

    /// Mutation: close a lane by an answer that was asked for before it was shut.
    #[test]
    fn an_answer_of_before_does_not_open_a_lane_again() {
        let mut breaker = faulty(FAULTS_MAX);
        breaker.report(Blame::Nobody, false, at(1));
        assert!(matches!(breaker.ask(at(9)), Way::Shut { .. }));
        let mut resting = Breaker::default();
        resting.report(Blame::Overloaded { after: Duration::from_secs(30) }, false, at(0));
        resting.report(Blame::Nobody, false, at(3));
        assert!(matches!(resting.ask(at(29)), Way::Shut { why: Why::Overload, .. }));
        assert_eq!(resting.ask(at(30)), Way::Probe);
        resting.report(Blame::Nobody, false, at(31));
        resting.report(Blame::Nobody, true, at(32));
        assert!(resting.is_well());
    }

    /// Mutation: keep others away until the end of a long answer, wait for three faults again, or begin with a short
    /// rest again.
    #[test]
    fn a_probe_that_begins_to_answer_lets_others_go_until_the_next_fault() {
        let mut begun = faulty(FAULTS_MAX);
        begun.begun(true);
        assert!(matches!(begun.ask(at(9)), Way::Shut { .. }), "it was no probe of this rest");
        assert_eq!(begun.ask(at(10)), Way::Probe);
        begun.begun(false);
        assert!(matches!(begun.ask(at(10)), Way::Shut { .. }), "its probe has not begun");
        begun.begun(true);
        assert_eq!(begun.ask(at(10)), Way::Free);
        assert!(!begun.is_well(), "nothing has come to its end");
        let mut ended = begun;
        ended.report(Blame::Nobody, true, at(11));
        assert_eq!(ended, Breaker::default());
        let mut other = begun;
        other.report(Blame::Upstream, false, at(12));
        assert_eq!(other.look(at(12)), Way::Shut { until: at(22), why: Why::Outage });
        begun.report(Blame::Upstream, true, at(12));
        assert_eq!(begun.look(at(12)), Way::Shut { until: at(32), why: Why::Outage });
    }

    /// Mutation: let the next probe go at once after one that nobody knows the end of, make it wait after one that
    /// was never sent, or let what was no probe end one.
    #[test]
    fn a_probe_that_says_nothing_was_the_one_of_its_cool_down() {
        let probing = || {
            let mut breaker = faulty(FAULTS_MAX);
            assert_eq!(breaker.ask(at(10)), Way::Probe);
            breaker
        };
        let mut unknown = probing();
        unknown.report(Blame::Unknown, true, at(11));
        assert_eq!(unknown.look(at(19)), Way::Shut { until: at(20), why: Why::Outage });
        assert_eq!(unknown.look(at(20)), Way::Probe);
        let mut unsent = probing();
        unsent.report(Blame::Unsent, true, at(11));
        assert_eq!(unsent.look(at(11)), Way::Probe);
        let mut other = probing();
        other.report(Blame::Unknown, false, at(11));
        assert!(matches!(other.look(at(20)), Way::Shut { .. }), "its probe is under way");
        let mut late = Breaker::default();
        late.report(Blame::Unknown, true, at(11));
        assert_eq!(late.look(at(11)), Way::Free);
    }

    /// Mutation: blame nobody for a silence of a minute, or the upstream for a client that was in a hurry.
    #[test]
    fn what_says_nothing_for_long_is_at_fault_though_nobody_waits_any_longer() {
        for (silent, given, expected) in [
            (59, 120, Blame::Unknown),
            (60, 120, Blame::Upstream),
            (60, 3_600, Blame::Upstream),
            (5, 5, Blame::Upstream),
            (4, 5, Blame::Unknown),
        ] {
            let (silent, given) = (Duration::from_secs(silent), Duration::from_secs(given));
            assert_eq!(Blame::of_silence(silent, given), expected, "{silent:?} of {given:?}");
        }
    }

    /// Mutation: count what is the caller's fault, forget when an overloaded server wants to be asked again, or wait longer than anybody may ask for.
    #[test]
    fn who_is_to_blame_decides() {
        for (status, after, expected) in [
            (200, None, Way::Free),
            (400, None, Way::Free),
            (404, None, Way::Free),
            (422, None, Way::Free),
            (401, None, Way::Shut { until: at(60), why: Why::Credentials }),
            (402, None, Way::Shut { until: at(60), why: Why::Payment }),
            (429, None, Way::Shut { until: at(5), why: Why::RateLimit }),
            (429, Some(7), Way::Shut { until: at(7), why: Why::RateLimit }),
            (429, Some(999_999), Way::Shut { until: at(3600), why: Why::RateLimit }),
            (500, None, Way::Free),
            (503, Some(7), Way::Shut { until: at(7), why: Why::Overload }),
            (529, Some(999_999), Way::Shut { until: at(3600), why: Why::Overload }),
            (500, Some(0), Way::Free),
        ] {
            let mut breaker = Breaker::default();
            let after = after.map(Duration::from_secs);
            breaker.report(Blame::of_status(status, after), false, at(0));
            assert_eq!(breaker.ask(at(0)), expected, "{status}");
        }
        for status in [101, 302, 308, 408, 500, 600, 999] {
            assert_eq!(Blame::of_status(status, None), Blame::Upstream, "{status}");
        }
    }

    /// Mutation: let a late fault make the rest longer, or a short wish end a long one.
    #[test]
    fn what_comes_late_does_not_move_the_end() {
        let mut breaker = faulty(FAULTS_MAX);
        breaker.report(Blame::Upstream, false, at(8));
        assert_eq!(breaker.look(at(9)), Way::Shut { until: at(10), why: Why::Outage });
        breaker.report(Blame::RateLimit { after: Some(Duration::from_secs(1)) }, false, at(0));
        assert_eq!(breaker.look(at(9)), Way::Shut { until: at(10), why: Why::Outage });
    }
}
