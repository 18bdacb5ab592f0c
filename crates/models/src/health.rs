//! What is known of one upstream: of itself, and of each secret that opens it. All models at it share this.
//!
//! Whose fault a try was decides where it counts: an outage is the upstream's, and shuts every lane to it; a
//! secret that is refused, unpaid or asked to come later shuts the lanes that use it, and no other.

use std::collections::BTreeMap;

use base::{SecretName, Timestamp};

use crate::breaker::{Blame, Breaker, Way, Why};

/// The lanes to one upstream.
#[derive(Debug, Clone, Default)]
pub struct Health {
    upstream: Breaker,
    /// Those of which something is known. One that opens its upstream is not among them.
    secrets: BTreeMap<Option<SecretName>, Breaker>,
}

/// Leave to go, and what else the try shall find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leave {
    probes_upstream: bool,
    probes_secret: bool,
}

/// The lane is shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shut {
    pub until: Timestamp,
    pub why: Why,
}

impl Health {
    /// Whether a call with this secret may go now. One that may must report.
    pub fn ask(&mut self, secret: Option<&SecretName>, now: Timestamp) -> Result<Leave, Shut> {
        let mut leave = Leave::default();
        // Nobody may go with a secret that rests, so that it takes nobody's probe.
        if let Some(secret) = self.secret(secret)
            && let Way::Shut { until, why } = secret.look(now)
        {
            return Err(Shut { until, why });
        }
        match self.upstream.ask(now) {
            Way::Free => {}
            Way::Probe => leave.probes_upstream = true,
            Way::Shut { until, why } => return Err(Shut { until, why }),
        }
        if let Some(secret) = self.secret(secret) {
            leave.probes_secret = secret.ask(now) == Way::Probe;
        }
        Ok(leave)
    }

    /// What it would say, without going.
    #[must_use]
    pub fn look(&self, secret: Option<&SecretName>, now: Timestamp) -> Way {
        let mut copy = self.clone();
        match copy.ask(secret, now) {
            Err(Shut { until, why }) => Way::Shut { until, why },
            Ok(leave) if leave == Leave::default() => Way::Free,
            Ok(_) => Way::Probe,
        }
    }

    /// Whether the upstream has answered since its last fault, as far as is known.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.upstream.is_well()
    }

    /// The head of a good answer has come: the secret is taken, whatever comes of the answer. What the try has
    /// still to find out.
    pub fn taken(&mut self, secret: Option<&SecretName>, leave: Leave, now: Timestamp) -> Leave {
        self.opens(secret, leave, now);
        Leave { probes_secret: false, ..leave }
    }

    /// The first part of an answer has come, whose end may be far away.
    pub fn begun(&mut self, leave: Leave) {
        self.upstream.begun(leave.probes_upstream);
    }

    /// What came of a try that had this leave.
    pub fn report(
        &mut self,
        secret: Option<&SecretName>,
        blame: Blame,
        leave: Leave,
        now: Timestamp,
    ) {
        let Leave { probes_upstream, probes_secret } = leave;
        match blame {
            Blame::Nobody => {
                self.upstream.report(blame, probes_upstream, now);
                self.opens(secret, leave, now);
            }
            // Nothing is known of the secret where the upstream has not answered.
            Blame::Upstream | Blame::Overloaded { .. } | Blame::Unknown => {
                self.upstream.report(blame, probes_upstream, now);
                if let Some(secret) = self.secret(secret) {
                    secret.report(Blame::Unknown, probes_secret, now);
                }
            }
            Blame::Unsent => {
                self.upstream.report(blame, probes_upstream, now);
                if let Some(secret) = self.secret(secret) {
                    secret.report(blame, probes_secret, now);
                }
            }
            // It has answered, whatever it thinks of the secret.
            Blame::RateLimit { .. } | Blame::Credentials | Blame::Payment => {
                self.upstream.report(Blame::Nobody, probes_upstream, now);
                self.bench(secret, blame, probes_secret, now);
            }
            Blame::Unopened => {
                self.upstream.report(Blame::Unsent, probes_upstream, now);
                self.bench(secret, blame, probes_secret, now);
            }
        }
    }

    /// There is another secret of this name now, of which nothing is known.
    pub fn forget(&mut self, secret: &SecretName) {
        self.secrets.retain(|known, _| known.as_ref() != Some(secret));
    }

    fn bench(
        &mut self,
        secret: Option<&SecretName>,
        blame: Blame,
        was_probe: bool,
        now: Timestamp,
    ) {
        self.secrets.entry(secret.cloned()).or_default().report(blame, was_probe, now);
    }

    /// A secret was taken. What was asked before it was benched says nothing of it now.
    fn opens(&mut self, secret: Option<&SecretName>, leave: Leave, now: Timestamp) {
        let Some(benched) = self.secret(secret) else { return };
        if leave.probes_secret || !matches!(benched.look(now), Way::Shut { .. }) {
            self.secrets.remove(&secret.cloned());
        }
    }

    /// Most upstreams have none to look for.
    fn secret(&mut self, secret: Option<&SecretName>) -> Option<&mut Breaker> {
        if self.secrets.is_empty() {
            return None;
        }
        self.secrets.iter_mut().find(|(known, _)| known.as_ref() == secret).map(|(_, it)| it)
    }
}

#[cfg(test)]
mod tests {
    use base::Duration;

    use super::*;
    use crate::breaker::{BENCH_REFUSED, COOL_DOWN, FAULTS_MAX};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs(seconds))
    }

    fn name(text: &str) -> SecretName {
        SecretName::parse(text).expect("a name")
    }

    fn shut(seconds: u64, why: Why) -> Way {
        Way::Shut { until: at(seconds), why }
    }

    /// Mutation: keep faults by the secret, or let each secret probe a dead upstream.
    #[test]
    fn an_outage_is_the_upstreams_whichever_secret_found_it() {
        let (one, other) = (name("one"), name("other"));
        let mut health = Health::default();
        for secret in [Some(&one), Some(&other), None].into_iter().cycle().take(FAULTS_MAX as usize)
        {
            let leave = health.ask(secret, at(0)).expect("free");
            health.report(secret, Blame::Upstream, leave, at(0));
        }
        let rest = COOL_DOWN.as_millis() / 1_000;
        for secret in [Some(&one), Some(&other), None] {
            assert_eq!(health.look(secret, at(rest - 1)), shut(rest, Why::Outage));
        }
        let leave = health.ask(Some(&one), at(rest)).expect("a probe");
        assert!(health.ask(Some(&other), at(rest)).is_err(), "one probe in all");
        health.report(Some(&one), Blame::Nobody, leave, at(rest));
        assert_eq!(health.look(Some(&other), at(rest)), Way::Free);
    }

    /// Mutation: bench the upstream for its secret, or forget that it has answered.
    #[test]
    fn what_is_a_secrets_fault_shuts_no_other_secret() {
        let (one, other) = (name("one"), name("other"));
        let later = Blame::RateLimit { after: Some(Duration::from_secs(7)) };
        for (blame, until, why) in [
            (Blame::Credentials, BENCH_REFUSED.as_millis() / 1_000, Why::Credentials),
            (Blame::Payment, BENCH_REFUSED.as_millis() / 1_000, Why::Payment),
            (later, 7, Why::RateLimit),
        ] {
            let mut health = Health::default();
            for _ in 1..FAULTS_MAX {
                health.report(Some(&other), Blame::Upstream, Leave::default(), at(0));
            }
            health.report(Some(&one), blame, Leave::default(), at(0));
            assert_eq!(health.look(Some(&one), at(1)), shut(until, why), "{blame:?}");
            assert_eq!(health.look(Some(&other), at(1)), Way::Free);
            health.report(Some(&other), Blame::Upstream, Leave::default(), at(1));
            assert_eq!(health.look(Some(&other), at(1)), Way::Free, "its answer came between");
            let leave = health.ask(Some(&one), at(until)).expect("a probe");
            assert!(health.ask(Some(&one), at(until)).is_err(), "one probe");
            health.report(Some(&one), Blame::Nobody, leave, at(until));
            assert_eq!(health.look(Some(&one), at(until)), Way::Free);
        }
    }

    /// Mutation: let an answer to a call from before end the rest of a secret.
    #[test]
    fn an_answer_from_before_does_not_end_a_rest() {
        let one = name("one");
        let mut health = Health::default();
        let before = health.ask(Some(&one), at(0)).expect("free");
        let later = Blame::RateLimit { after: Some(Duration::from_secs(60)) };
        health.report(Some(&one), later, Leave::default(), at(1));
        health.report(Some(&one), Blame::Nobody, before, at(2));
        assert_eq!(health.look(Some(&one), at(3)), shut(61, Why::RateLimit));
    }

    /// Mutation: keep a secret that is taken away from others until its answer is whole, take its head for the
    /// answer, or let the end of that answer end a later rest.
    #[test]
    fn the_head_of_an_answer_says_that_the_secret_is_taken_and_no_more() {
        let one = name("one");
        let mut health = Health::default();
        for _ in 1..FAULTS_MAX {
            health.report(None, Blame::Upstream, Leave::default(), at(0));
        }
        health.report(Some(&one), Blame::Credentials, Leave::default(), at(0));
        for _ in 1..FAULTS_MAX {
            health.report(None, Blame::Upstream, Leave::default(), at(0));
        }
        let until = BENCH_REFUSED.as_millis() / 1_000;
        let leave = health.ask(Some(&one), at(until)).expect("a probe");
        let leave = health.taken(Some(&one), leave, at(until));
        assert_eq!(health.look(Some(&one), at(until)), Way::Free);
        let later = Blame::RateLimit { after: Some(Duration::from_secs(60)) };
        let mut limited = health.clone();
        limited.report(Some(&one), later, Leave::default(), at(until));
        limited.report(Some(&one), Blame::Nobody, leave, at(until + 1));
        assert_eq!(limited.look(Some(&one), at(until + 2)), shut(until + 60, Why::RateLimit));
        health.report(Some(&one), Blame::Upstream, leave, at(until));
        let rest = until + COOL_DOWN.as_millis() / 1_000;
        assert_eq!(health.look(Some(&one), at(until)), shut(rest, Why::Outage));
    }

    /// Mutation: take a secret that cannot be read for an answer of the upstream.
    #[test]
    fn what_was_never_sent_says_nothing_of_the_upstream() {
        let (one, other) = (name("one"), name("other"));
        let mut health = Health::default();
        for _ in 0..FAULTS_MAX {
            health.report(Some(&other), Blame::Upstream, Leave::default(), at(0));
        }
        let rest = COOL_DOWN.as_millis() / 1_000;
        let leave = health.ask(Some(&one), at(rest)).expect("a probe");
        health.report(Some(&one), Blame::Unopened, leave, at(rest));
        assert_eq!(health.look(Some(&other), at(rest)), Way::Probe);
        let until = rest + BENCH_REFUSED.as_millis() / 1_000;
        assert_eq!(health.look(Some(&one), at(rest)), shut(until, Why::Credentials));
    }

    /// Mutation: spend the probe of an upstream on a secret that rests.
    #[test]
    fn a_secret_that_rests_takes_nobodys_probe() {
        let (one, other) = (name("one"), name("other"));
        let mut health = Health::default();
        health.report(Some(&one), Blame::Credentials, Leave::default(), at(0));
        for _ in 0..FAULTS_MAX {
            health.report(Some(&other), Blame::Upstream, Leave::default(), at(0));
        }
        let rest = COOL_DOWN.as_millis() / 1_000;
        assert!(health.ask(Some(&one), at(rest)).is_err());
        assert_eq!(health.look(Some(&other), at(rest)), Way::Probe);
    }
}
