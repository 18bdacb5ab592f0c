//! Limits that more than one room needs, each with its reason. A limit of one room lives there.

/// Nesting of any value. The JSON reader stops at 128; ours is a little below, so that a value
/// wrapped into a record can be read back.
pub const VALUE_DEPTH_MAX: usize = 100;

/// Values up to this size stay in their record; larger ones become blobs. SQLite keeps a page of
/// 4 KiB in cache well up to here, and a reader of the journal is spared the payloads.
pub const VALUE_INLINE_BYTES_MAX: usize = 16 * 1024;

/// Blobs up to this size are rows of the store; larger ones are files beside it.
pub const BLOB_ROW_BYTES_MAX: usize = 1024 * 1024;

/// The largest value a task may return or receive.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The largest list that a run holds. It is never in memory; sixteen of the largest values are a long
/// afternoon for a loop, and more is better cut into files that are told apart.
pub const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// A workflow document.
pub const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event, as JSON. Brokers guarantee 64 KiB; a megabyte lets a document travel and keeps a page of
/// events small.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
