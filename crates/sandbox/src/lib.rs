//! Foreign code, away from the engine's process: the pool that evaluates expressions.
//!
//! [`pool`] is the parent's side and [`evaluate_child_main`] the child's. The child is our own binary,
//! started again with [`EVALUATE`] as its first argument, so nothing has to be installed beside it.
//! Scripts and tools get their own sandbox later; nothing of them is here.

mod child;
mod confine;
pub mod pool;
mod process;
mod protocol;

pub use child::{EVALUATE, evaluate_child_main};
pub use pool::{Evaluation, Pool, PoolConfig, PoolError, PoolStats};
