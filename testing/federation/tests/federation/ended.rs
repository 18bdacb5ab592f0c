//! Runs that have ended, as a site writes them down: for the tests, and for the swarm.

use base::outcome::Counts;
use base::{Clock as _, Outcome, RunId, RunState, SystemClock};
use bytes::Bytes;
use store::suite::row;
use store::{Op, OutcomeRow, RunRow};
use uuid::Uuid;

pub fn run(site: u64, number: u64) -> RunId {
    RunId::from_uuid(Uuid::from_u64_pair(site, number))
}

/// What is written when a run ends.
pub fn ended(site: u64, number: u64) -> Vec<Op> {
    let (run, now) = (run(site, number), SystemClock.now());
    let outcome = Outcome {
        run,
        number: 1,
        revision: "keyed:00".to_owned(),
        state: RunState::Completed,
        started_at: now,
        ended_at: now,
        error: None,
        counts: Counts::default(),
    };
    let row = RunRow { run, state: RunState::Completed, ended_at: Some(now), ..row(1) };
    let outcome = Bytes::from(outcome.encode());
    let put = OutcomeRow { position: 0, run, number: 1, at: now, outcome };
    vec![Op::RunCreate(row), Op::OutcomePut(put)]
}
