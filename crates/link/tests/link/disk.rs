//! Stores in memory, as disks: what is asked of them is answered at once.

use base::{Duration, IncarnationId, Timestamp};
use futures::FutureExt as _;
use store::memory::MemoryStore;
use store::{Op, Preconditions, Store as _};

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Any time after [`NOW`].
pub fn later() -> Timestamp {
    NOW.plus(Duration::from_secs(1))
}

/// What a store in memory answers.
pub fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("nobody else holds the store")
}

pub fn commit(store: &MemoryStore, ops: Vec<Op>) {
    now(store.commit(ops, Preconditions::none())).expect("nothing is wrong with these ops");
}

/// As it is at this moment, in the same life.
pub fn copy(store: &MemoryStore) -> MemoryStore {
    store.copy(store.incarnation())
}

pub fn empty(incarnation: IncarnationId) -> MemoryStore {
    MemoryStore::new(incarnation)
}
