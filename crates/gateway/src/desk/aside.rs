//! Work on long texts. The runtime has few threads, which serve everybody: what takes long leaves its thread to
//! the others first.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// What is shorter is worked on where it is: a matter of milliseconds.
const LARGE_BYTES_MIN: usize = 64 * 1024;

/// Works on a text of so many bytes.
pub(super) fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes < LARGE_BYTES_MIN {
        return work();
    }
    // A runtime of one thread has none to leave to others.
    match Handle::try_current().map(|it| it.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}
