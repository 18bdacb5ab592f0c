//! The runtime as its callers see it.

mod reference;
