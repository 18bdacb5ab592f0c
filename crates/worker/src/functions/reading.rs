//! What the functions that read rows share: where rows go, and a source that ends when nobody waits.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::value::array;
use base::{ErrorType, Fault, Value};
use engine::list::{ListWriter, Lists};

/// Bad rows that are listed where good ones are not held in memory: enough to see what is wrong.
pub(crate) const BAD_LISTED_MAX: usize = 1_000;

/// Fields of all rows in one result: at about 100 bytes each this is 1 GB, as much as a value may have.
pub const CELLS_MAX: usize = 10_000_000;

/// Rows in one result: a loop over more is better a loop over a list, or over files.
pub const ROWS_MAX: u64 = 1_000_000;

/// Where good rows go.
pub(crate) enum Rows {
    Here(Vec<Value>),
    Away(ListWriter),
}

impl Rows {
    pub(crate) fn begin(stream: bool, lists: &Lists) -> Result<Self, Fault> {
        if stream { lists.begin().map(Self::Away) } else { Ok(Self::default()) }
    }

    pub(crate) fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    pub(crate) fn push(&mut self, row: Value) -> Result<(), Fault> {
        match self {
            Self::Here(rows) => {
                rows.push(row);
                Ok(())
            }
            Self::Away(writer) => writer.push(&row),
        }
    }

    /// The rows themselves, or the reference to their list.
    pub(crate) fn into_value(self) -> Result<Value, Fault> {
        match self {
            Self::Here(rows) => Ok(array(rows)),
            Self::Away(writer) => writer.finish(),
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

/// Tells the thread that reads when nobody waits for the rows any more.
#[derive(Default)]
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl CancelOnDrop {
    pub(crate) fn flag(&self) -> Cancelled {
        Cancelled(Arc::clone(&self.0))
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether nobody waits any more.
#[derive(Clone)]
pub(crate) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The same source, which ends in an error once nobody waits.
    pub(crate) fn over<R>(&self, source: R) -> Cancellable<R> {
        Cancellable { source, cancelled: Arc::clone(&self.0) }
    }
}

/// A source that ends in an error once it is cancelled.
pub(crate) struct Cancellable<R> {
    source: R,
    cancelled: Arc<AtomicBool>,
}

impl<R: Read> Read for Cancellable<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        self.source.read(into)
    }
}

pub(crate) fn too_large(detail: String) -> Fault {
    Fault::new(ErrorType::Runtime, detail).with_status(413).with_title("File too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: hold the whole file before the first row.
    #[test]
    fn a_cancelled_file_is_not_read_to_its_end() {
        let guard = CancelOnDrop::default();
        let mut source = guard.flag().over(io::repeat(b'1'));
        assert!(source.read(&mut [0; 10]).is_ok() && !guard.flag().is_so());
        drop(guard);
        assert!(source.read(&mut [0; 10]).is_err());
    }
}
