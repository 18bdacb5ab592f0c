//! Why a run is here, what it waits for, and what has left the site about it.

use base::name::Namespace;
use base::stream::Stream;
use base::{By, OrderId, RunId};
use server::{HUB_ACTOR, KEY_ACTOR, SITE_ACTOR};
use store::{RunRow, RunState};
use wire::{
    LeftField, LeftView, RunExplained, RunView, StartedHow, StartedView, WaitView, WaitsFor,
};

use crate::refusal::Refusal;
use crate::run::Runs;
use crate::schedule::ACTOR as SCHEDULE_ACTOR;
use crate::view::run_view;

/// Outcomes of one run that are shown: each but the first is a retry by a person.
const OUTCOMES_SHOWN_MAX: u32 = 20;

impl Runs {
    pub(crate) async fn explain(
        &self,
        namespace: &Namespace,
        run: RunId,
    ) -> Result<RunExplained, Refusal> {
        let row = self.row(namespace, run).await?;
        let (mut walker, _) = self.walked(&row).await?;
        let view = run_view(&row);
        let started = self.started(&view, walker.take_by(&row), run).await?;
        let waits = waits(&row, &view, walker.waits());
        Ok(RunExplained { run: view, started, waits, left: self.left(run).await? })
    }

    async fn started(&self, view: &RunView, by: By, run: RunId) -> Result<StartedView, Refusal> {
        let how = if view.parent.is_some() {
            StartedHow::Run
        } else if by.actor.starts_with(HUB_ACTOR) || by.actor.starts_with(SITE_ACTOR) {
            StartedHow::Order
        } else if by.actor == SCHEDULE_ACTOR {
            StartedHow::Schedule
        } else if by.actor.starts_with(KEY_ACTOR) {
            StartedHow::Key
        } else {
            StartedHow::Folder
        };
        // A hub gives an order and its run one number.
        let order = match how {
            StartedHow::Order => self.store.order_get(order_of(run)).await?,
            _ => None,
        };
        let order = order.as_ref();
        Ok(StartedView {
            how,
            by: wire::By { actor: by.actor, reason: by.reason },
            order: order.map(|row| row.order.to_string()),
            ordered_at: order.map(|row| row.at.to_string()),
            order_until: order.map(|row| row.until.to_string()),
            parent: view.parent.clone(),
        })
    }

    /// What was written down for the hub, as far as it is kept: the order's receipt, and how the run has ended.
    async fn left(&self, run: RunId) -> Result<Vec<LeftView>, Refusal> {
        let mut left = Vec::new();
        if let Some(row) = self.store.receipt_get(order_of(run)).await? {
            let at = row.at.to_string();
            left.push(self.left_of(Stream::Receipt, row.position, at, &row.receipt).await?);
        }
        for row in self.store.outcome_of(run, 0, OUTCOMES_SHOWN_MAX).await? {
            let at = row.at.to_string();
            left.push(self.left_of(Stream::Outcome, row.position, at, &row.outcome).await?);
        }
        Ok(left)
    }

    async fn left_of(
        &self,
        stream: Stream,
        position: u64,
        at: String,
        entry: &[u8],
    ) -> Result<LeftView, Refusal> {
        let outbox = self.store.outbox_get(stream).await?;
        Ok(LeftView {
            stream: stream.name().to_owned(),
            position: Some(position),
            at,
            bytes: entry.len() as u64,
            acknowledged: outbox.map(|row| position <= row.mark.position),
            fields: LeftField::all_of(entry),
        })
    }
}

const fn order_of(run: RunId) -> OrderId {
    OrderId::from_uuid(*run.as_uuid())
}

/// Of the whole run, where it stands still, and else of its tasks.
fn waits(row: &RunRow, view: &RunView, tasks: Vec<WaitView>) -> Vec<WaitView> {
    let whole = |what, detail: &Option<String>| WaitView {
        what,
        task: None,
        location: None,
        since: Some(row.updated_at.to_string()),
        until: None,
        detail: detail.clone(),
    };
    match row.state {
        RunState::Pending => vec![whole(WaitsFor::Turn, &view.queued)],
        RunState::Suspended => vec![whole(WaitsFor::Person, &view.suspended)],
        RunState::Running | RunState::Waiting => tasks,
        RunState::Cancelled | RunState::Faulted | RunState::Completed => Vec::new(),
    }
}
