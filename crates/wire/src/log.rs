//! What child processes have written.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A piece of what one process of a run has written to one of its streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogView {
    /// Pass it as `after` for what comes behind.
    pub position: u64,
    pub activation: String,
    pub effect: u64,
    /// Changes when the site was started anew; the process was too, then.
    pub life: u64,
    /// `stdout` or `stderr`.
    pub stream: String,
    pub at: String,
    /// Bytes that the process had written before, to both streams. More than the piece before ends
    /// with means that what lies between was not kept.
    pub start: u64,
    /// How many bytes the piece has; bytes that are no UTF-8 are replaced in `text`.
    pub bytes: u64,
    pub text: String,
}
