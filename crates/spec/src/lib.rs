//! The workflow language: from text to a typed tree, with everything wrong named at its place.
//!
//! Pure: reads no file, opens no connection. Running a tree is in `engine`.

pub mod schema;
pub mod tree;
