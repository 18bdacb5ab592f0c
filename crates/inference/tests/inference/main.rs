//! The runtime as its callers see it.

mod broken;
mod demo;
#[cfg(feature = "candle")]
mod language;
mod operators;
mod reference;
mod weights;
mod written;

use std::path::PathBuf;

/// A file of this repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
