//! Content on its way into the store, for whoever does not want to hold it whole.

use crate::{BlobRef, CommitError};

/// Writes one blob piece by piece. Dropped before its end, it leaves nothing behind.
///
/// Writing blocks: whoever has much to write does it on a thread that may.
pub trait BlobWrite: Send {
    fn write(&mut self, bytes: &[u8]) -> Result<(), CommitError>;

    /// The content is durable, and has its name. It is a blob when a commit with
    /// [`Op::BlobKeep`](crate::Op::BlobKeep) has said so; until then a crash may lose it.
    fn finish(self: Box<Self>) -> Result<BlobRef, CommitError>;
}
