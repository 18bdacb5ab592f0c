//! Who goes next: which run may begin or go on, and which effect may be performed.
//!
//! ```text
//!  new run ──► its workflow has room? ──► ready, by weight of its namespace, ──► active ──► ended
//!                 │ no                       priority and age           ▲          │
//!                 └─► waits for its workflow ───────────────────────────┘ a place  │
//!  woken, resumed, taken up after a crash ──► ready                     └──────────┘ is free
//! ```
//!
//! | word | meaning |
//! |---|---|
//! | slot | leave to be active: in memory and at work. A run that only waits has none |
//! | place | one of those that a workflow has for its runs at once (`concurrency.limit`). A run has it from its beginning to its end, asleep or not |
//! | turn | one of those that a pool, or the site, has for effects at once |
//! | queue | whoever waits for one of these |
//!
//! This module decides. It knows no clock and no lock; who asks, and what comes of it, is in `driver`.

mod fair;
mod runs;

pub use fair::{AGEING, FairQueue, PRIORITY_MAX, Rank, WEIGHT_MAX, Weights};
pub use runs::{Arrival, Limits, Runs, Waiter, Why};
