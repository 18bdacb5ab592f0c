//! What texts, documents and streams look like when they leave, and that they come back as they were.

mod conformance;
mod protect;
mod splits;
