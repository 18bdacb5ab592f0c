//! The functions of the `default` catalog, one file each, with its manifest beside it.

use base::{Fault, Value};

pub mod csv;
pub mod echo;

/// What came of a function.
#[derive(Debug)]
pub(crate) enum Done {
    Ended {
        result: Result<Value, Fault>,
        /// What allowed it beside the catalog, in the words of the configuration.
        rule: Option<String>,
    },
    /// The site's configuration does not allow what the arguments ask for.
    Denied { fault: Fault, rule: String },
}
