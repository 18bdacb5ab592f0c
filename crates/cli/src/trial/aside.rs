//! What is real in a test, and what only looks so: time, random numbers, evaluations.

use std::sync::atomic::{AtomicU64, Ordering};

use base::{Clock, Duration, ErrorType, Fault, Random, Timestamp};
use engine::effect::{Evaluate, Evaluator};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use site::Evaluators;
use tokio::runtime::Handle;

use super::rest::Rest;

/// The seed of every run's random choices, so that a case gives the same each time.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// The time of a runtime whose clock is paused.
pub struct Skipped {
    pub start: Timestamp,
    pub from: tokio::time::Instant,
}

impl Clock for Skipped {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.from.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.start.plus(Duration::from_millis(passed))
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
pub struct Fixed(AtomicU64);

impl Default for Fixed {
    fn default() -> Self {
        Self(AtomicU64::new(SEED))
    }
}

impl Random for Fixed {
    fn u64(&self) -> u64 {
        let state = self.0.fetch_add(SEED, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Evaluates in real time. While a blocking task is at work, skipped time stands still.
#[derive(Clone)]
pub struct Aside {
    pub evaluators: Evaluators,
    pub real: Handle,
    pub rest: Rest,
}

impl Evaluator for Aside {
    fn evaluate(&self, expression: Evaluate) -> BoxFuture<'static, Result<base::Value, Fault>> {
        let (evaluators, real) = (self.evaluators.clone(), self.real.clone());
        let busy = self.rest.busy();
        async move {
            let _busy = busy;
            let work = move || {
                let work = real.spawn(evaluators.evaluate(expression));
                real.block_on(work)
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(result)) => result,
                Ok(Err(cause)) | Err(cause) => {
                    Err(Fault::new(ErrorType::Runtime, format!("not evaluated: {cause}")))
                }
            }
        }
        .boxed()
    }
}
