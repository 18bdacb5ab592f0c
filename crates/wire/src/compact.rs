//! Making a store small.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What `POST /api/v1/store/compact` has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreCompacted {
    /// Runs whose time was over.
    pub runs_forgotten: u64,
    /// Old records of long runs.
    pub records_forgotten: u64,
    /// Given back to the disk.
    pub bytes_given_back: u64,
    /// Room inside the store that is free for what comes next.
    pub bytes_free: u64,
    /// There is more to do: ask again.
    pub more: bool,
}
