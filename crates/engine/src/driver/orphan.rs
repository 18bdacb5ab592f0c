//! Children whose parents turned away from them just before a crash: the parent's journal says that it
//! does not wait any more, and the child has not heard of it. Looked for once, at the start; while the
//! driver runs, the parent's actor cancels them itself.

use std::collections::BTreeMap;

use base::RunId;

use super::{Driver, child};
use crate::record::Parent;

/// Compares every unfinished child with what its parent waits for.
pub(super) async fn run(driver: Driver, children: Vec<(RunId, Parent)>) {
    let mut by_parent: BTreeMap<RunId, Vec<(RunId, Parent)>> = BTreeMap::new();
    for (run, parent) in children.into_iter().filter(|(_, parent)| parent.awaited) {
        by_parent.entry(parent.run).or_default().push((run, parent));
    }
    for (parent, children) in by_parent {
        tokio::select! {
            () = driver.0.stopping.cancelled() => return,
            () = settle(&driver, parent, &children) => {}
        }
    }
}

async fn settle(driver: &Driver, parent: RunId, children: &[(RunId, Parent)]) {
    let loaded = {
        let Ok(_turn) = driver.0.loading.acquire().await else { return };
        driver.load(parent).await
    };
    // Whoever cannot be read may still be waiting.
    let Ok(loaded) = loaded else { return };
    for (run, place) in children {
        if !loaded.machine.awaits_child(&place.activation) {
            child::cancel(driver, *run, parent).await;
        }
    }
}
