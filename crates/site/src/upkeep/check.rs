//! The check of a store, told line by line.

use std::sync::Arc;

use base::RunId;
use engine::check::{Checker, Told, Totals};
use server::{Out, Unread};
use store::Finding;
use tokio::sync::mpsc;
use wire::{StoreCheckLine, StoreFailure, StoreFinding, StoreTotals};

use super::Inner;

/// Things that wait to be told.
const TOLD_WAITING_MAX: usize = 16;

pub(super) async fn check(inner: Arc<Inner>, out: Out) {
    let (tell, mut told) = mpsc::channel(TOLD_WAITING_MAX);
    let attends = {
        let driver = inner.driver.clone();
        move |run: RunId| driver.as_ref().is_none_or(|driver| driver.attends(run))
    };
    let checker = Checker::new(&*inner.store, &*inner.catalog, inner.pace).at_work(&attends);
    let saying = out.clone();
    let hear = async move {
        while let Some(told) = told.recv().await {
            let line = match told {
                Told::Finding(finding) => StoreCheckLine::Finding(view(&finding)),
                Told::Progress(totals) => StoreCheckLine::Progress(totals_view(&totals)),
            };
            // Dropping `told` ends the check.
            let Ok(()) = saying.line(&line).await else { return };
        }
    };
    let (done, ()) = tokio::join!(checker.all(inner.upkeep.as_deref(), tell), hear);
    let last = match done {
        Ok(totals) => StoreCheckLine::Done(totals_view(&totals)),
        Err(wrong) => StoreCheckLine::Failed(StoreFailure { detail: wrong.to_string() }),
    };
    let (Ok(()) | Err(Unread)) = out.line(&last).await;
}

fn view(finding: &Finding) -> StoreFinding {
    StoreFinding {
        code: finding.code.to_string(),
        run: finding.run.map(|run| run.to_string()),
        detail: finding.what.clone(),
        advice: finding.code.advice().to_owned(),
        note: finding.code.is_note(),
    }
}

fn totals_view(totals: &Totals) -> StoreTotals {
    let Totals { runs, unfinished, records, moving, files, findings, notes } = *totals;
    let store::Verified { rows, blobs, events } = files;
    StoreTotals { runs, unfinished, moving, records, rows, blobs, events, findings, notes }
}
