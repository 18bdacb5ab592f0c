//! Long jobs on the store of a site: what they say while they go on, a line of JSON each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StoreCheckLine {
    Finding(StoreFinding),
    Progress(StoreTotals),
    /// The last line: everything was looked at.
    Done(StoreTotals),
    /// The last line: it could not go on.
    Failed(StoreFailure),
}

/// Something that must not be, or, as a note, is only worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreFinding {
    /// Stable; `docs/reference/store-check.md` explains it.
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    pub detail: String,
    /// What to do about it.
    pub advice: String,
    /// Nothing is wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub note: bool,
}

/// What a check has looked at so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreTotals {
    pub runs: u64,
    pub unfinished: u64,
    /// Runs whose rows could not be compared, since they never stood still.
    pub moving: u64,
    pub records: u64,
    pub rows: u64,
    pub blobs: u64,
    pub events: u64,
    pub findings: u64,
    pub notes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreFailure {
    pub detail: String,
}

/// A line of a backup. Behind `file` come its bytes, as many as it says, and then the next line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BackupLine {
    Store(BackupStore),
    File(BackupFile),
    /// The last line: nothing is missing.
    Done(BackupDone),
    /// The last line: it could not go on.
    Failed(StoreFailure),
}

/// Which store it is, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStore {
    pub at: String,
    /// Version of the program that wrote it.
    pub program: String,
    pub incarnation: String,
    pub epoch: u64,
    /// Version of the tables.
    pub schema: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupFile {
    /// Below the backup's folder, with `/`.
    pub file: String,
    pub bytes: u64,
    pub digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupDone {
    pub files: u64,
}
