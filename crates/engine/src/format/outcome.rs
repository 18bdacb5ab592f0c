//! What of a run may stand in its outcome.

use base::outcome::OutcomeError;
use base::{Digest, Fault};

use crate::record::Seed;

/// A revision that the hub did not issue: the key stays in the run's own journal.
#[must_use]
pub fn revision_keyed(seed: &Seed, revision: &Digest) -> String {
    let key = blake3::derive_key("isonomy 2026 outcome revision", seed.as_bytes());
    format!("keyed:{}", blake3::keyed_hash(&key, revision.as_bytes()).to_hex())
}

/// An author may set `instance` to any text; only numbers pass.
#[must_use]
pub fn fault_closed(fault: &Fault) -> OutcomeError {
    let location = fault.instance.as_deref().unwrap_or_default();
    let path = location.split('/').filter_map(|part| part.parse().ok()).collect();
    OutcomeError { kind: fault.kind(), path }
}
