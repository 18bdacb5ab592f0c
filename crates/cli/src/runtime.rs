//! The two shapes of process: one that asks, and one that serves.

use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, Outcome};

/// Threads of a site. The store has its own; what is left fits two, and an idle site stays small.
const SITE_THREADS: usize = 2;

/// For a command that only talks to a site.
pub fn client() -> Outcome<Runtime> {
    build(Builder::new_current_thread())
}

/// For a command that is a site.
pub fn site() -> Outcome<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(SITE_THREADS);
    build(builder)
}

fn build(mut builder: Builder) -> Outcome<Runtime> {
    builder
        .enable_all()
        .build()
        .map_err(|cause| Failure::internal(format!("cannot start the runtime: {cause}")))
}
