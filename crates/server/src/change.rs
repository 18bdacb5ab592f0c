//! The record of changes: who changed what, when and why.

use base::{By, Timestamp, document};
use serde::Serialize;
use store::Op;

const CHANGE_TYPE: &str = "isonomy.change";

/// The version that this binary writes.
const CHANGE_VERSION: u32 = 1;

/// What is written down in the same commit as the change itself. `doc` says what, and why.
pub fn change_op(doc: &impl Serialize, by: &By, at: Timestamp) -> Op {
    let change = document::write(CHANGE_TYPE, CHANGE_VERSION, doc).into();
    Op::ChangeAppend { at, actor: by.actor.clone(), change }
}
