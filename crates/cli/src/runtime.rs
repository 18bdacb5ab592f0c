//! The two shapes of process: one that asks, and one that serves.

use std::num::NonZero;
use std::pin::Pin;

use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, Outcome};

/// Threads of a site, where the machine has as many cores. The store has its own; what is left fits two, and an
/// idle site stays small. On one core, two would only wait for each other.
const SITE_THREADS_MAX: usize = 2;

/// For a command that only talks to a site.
pub fn client<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    until_done(&build(Builder::new_current_thread())?, Box::pin(work))
}

/// For a command that is a site.
pub fn site<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    until_done(&threads()?, Box::pin(work))
}

pub fn threads() -> Outcome<Runtime> {
    let cores = std::thread::available_parallelism().map_or(SITE_THREADS_MAX, NonZero::get);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(cores.min(SITE_THREADS_MAX));
    build(builder)
}

/// Compiled once, and not for each command.
fn until_done<T>(
    runtime: &Runtime,
    work: Pin<Box<dyn Future<Output = Outcome<T>> + '_>>,
) -> Outcome<T> {
    runtime.block_on(work)
}

fn build(mut builder: Builder) -> Outcome<Runtime> {
    builder
        .enable_all()
        .build()
        .map_err(|cause| Failure::internal(format!("cannot start the runtime: {cause}")))
}
