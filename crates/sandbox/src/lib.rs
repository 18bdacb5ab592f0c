//! Foreign code, away from the engine's process: the pool that evaluates expressions, the models of
//! a site, and the jail in which scripts and commands run.
//!
//! [`pool`] and [`models`] are the parent's side, [`evaluate_child_main`] and [`model_child_main`]
//! the child's; [`jail`] has both of its own. A child is our own binary, started again with a word such as [`EVALUATE`] as its first
//! argument, so nothing has to be installed beside it.

mod child;
mod confine;
pub mod jail;
mod lane;
pub mod models;
pub mod pool;
mod process;
mod protocol;
mod speech;

pub use child::{EVALUATE, MODEL, evaluate_child_main, model_child_main};
pub use jail::{Ending, Jail, Job, LaunchError, Running};
pub use models::{
    Answered, Inferred, Loaded, ModelError, ModelFile, Models, ModelsConfig, ModelsStats, Share,
};
pub use pool::{Evaluation, Pool, PoolConfig, PoolError, PoolStats};
pub use speech::{Embedded, Generated, Part, Speech};

/// What `main` does, before anything else, where this process is one of ours.
#[must_use]
pub fn child_main() -> Option<std::process::ExitCode> {
    let first = std::env::args_os().nth(1)?;
    if first == EVALUATE {
        return Some(evaluate_child_main());
    }
    if first == MODEL {
        return Some(model_child_main());
    }
    if first == jail::JAIL {
        return Some(jail::jail_child_main());
    }
    jail::is_probe(&first).then(jail::probe_child_main)
}
