//! The functions of the closed list that need nothing but values.
//!
//! Each does what jaq's function of the same name does, to the bit, and pays for its work first.
//! Functions that take filters are in `form`, since they need the evaluator.

pub(crate) mod calculate;
pub(crate) mod math;
pub(crate) mod text;
pub(crate) mod value;
