//! The repository checks: rules of this project that the compiler does not know.
//!
//! Each file is one rule. A rule is a function from what is in the tree to a list of offences, so
//! that it can be shown to find one; the list is compared with nothing.

mod codes;
mod edges;
mod evidence;
mod examples;
mod formats;
mod leftovers;
mod limits;
mod links;
mod names;
mod network;
mod sleep;
mod speech;
mod weight;

/// Fails with all offences, one a line, and the way out.
fn none(offences: &[String], way_out: &str) {
    assert!(
        offences.is_empty(),
        "{} found:\n  {}\nhint: {way_out}",
        offences.len(),
        offences.join("\n  "),
    );
}
