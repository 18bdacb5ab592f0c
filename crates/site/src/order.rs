//! Orders of the hub: each is judged once, and what became of it goes back.
//!
//! ```text
//!   open ──► judged: the run's first record, the receipt and the judgement are one commit
//!     ▲        │
//!     └────────┴── not now (a full disk, too many at once, a workflow or a text of it that comes): again,
//!                  until its time is over
//! ```
//!
//! A reconciler: it looks at what is open, does what can be done, and can be run again at any time.

use std::sync::Arc;
use std::time::Duration;

use base::name::WorkflowKey;
use base::{By, Clock, OrderId, SiteName, Timestamp, WorkflowName};
use link::site::Saying;
use server::Caller;
use store::{CommitError, Op, OrderRow, Preconditions, ReceiptRow, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wire::dispatch::{AnswerState, Dispatched};
use wire::lease::SignedLease;
use wire::link::Failed;
use wire::order::{Act, Order, Receipt, ReceiptState};
use wire::{ProblemCode, RunStart};

use crate::config::Refused;
use crate::dispatch::{Bench, DispatchError, Dispatches, Judged};
use crate::edition;
use crate::model::lease::{Leases, Taking};
use crate::refusal::Refusal;
use crate::run::Runs;
use crate::start::{Beside, RunOrder};

/// Rows that are read at once.
const PAGE: u32 = 100;

/// After something that could not be done now.
const RETRY: Duration = Duration::from_secs(5);

/// The longest sleep: orders whose time is over are told so, though nobody comes.
const SLEEP_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Orders {
    pub site: SiteName,
    pub store: Arc<dyn Store>,
    pub runs: Runs,
    /// What the site's owner does not take.
    pub refused: Refused,
    /// What it does for others, and has them do.
    pub dispatches: Dispatches,
    /// What it may spend of the hub's budgets.
    pub leases: Leases,
    /// The hub's time, as far as the site knows.
    pub clock: Arc<dyn Clock>,
    /// Told when orders have come.
    pub came: Arc<Notify>,
    /// How far the site is with what the hub wants to be here.
    pub saying: watch::Receiver<Saying>,
    /// To tell when receipts are there.
    pub grown: Arc<Notify>,
    /// To tell when an order waits for what the hub wants to be here: what somebody has changed is put back.
    pub edited: Arc<Notify>,
}

impl Orders {
    /// Judges what comes, until `closing`.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        loop {
            let sleep = tokio::select! {
                () = closing.cancelled() => return,
                judged = self.judge_all() => match judged {
                    Ok(true) => SLEEP_MAX,
                    Ok(false) => RETRY,
                    Err(refusal) => {
                        tracing::error!(?refusal, "cannot judge the hub's orders");
                        RETRY
                    }
                },
            };
            tokio::select! {
                () = closing.cancelled() => return,
                () = self.came.notified() => {}
                // What an order was waiting for may be here now.
                Ok(()) = self.saying.changed() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Gives whether all that were open are judged.
    async fn judge_all(&self) -> Result<bool, Refusal> {
        let (mut after, mut is_done) = (0, true);
        loop {
            let page = self.store.order_open(self.site.clone(), after, PAGE).await?;
            for row in &page {
                is_done &= self.judge(row).await?;
                after = row.position;
            }
            if page.len() < PAGE as usize {
                return Ok(is_done);
            }
        }
    }

    /// Gives whether it is judged now.
    async fn judge(&self, row: &OrderRow) -> Result<bool, Refusal> {
        let now = self.clock.now();
        let Ok(Order { by, act, .. }) = Order::decode(&row.body) else {
            return self.close(row, ReceiptState::Refused, Some("unreadable"), now).await;
        };
        // Before its time: what has begun is not called expired.
        let is_over = now > row.until;
        let Ok(caller) = Caller::by_order(&by.actor) else {
            return self.close(row, ReceiptState::Refused, Some("invalid"), now).await;
        };
        let (namespace, run, start) = match act {
            Act::Run { namespace, run, start } => (namespace, run, start),
            Act::Dispatched(it) => return self.dispatched(row, by, &it, now).await,
            Act::Sites(said) => {
                let taking = ops(row.order, ReceiptState::Taken, None, now);
                return self.written(self.dispatches.found(*said, taking).await);
            }
            Act::Lease(lease) => return self.leased(row, &lease, now).await,
            Act::News(news) => {
                let taking = ops(row.order, ReceiptState::Taken, None, now);
                return self.written(self.dispatches.heard(*news, taking).await);
            }
        };
        let has_begun = self.store.run_get(run).await?.is_some();
        if is_over && !has_begun {
            return self.close(row, ReceiptState::Expired, None, now).await;
        }
        let start = RunStart { run: Some(run.to_string()), reason: by.reason, ..*start };
        let name = WorkflowName::parse(&start.workflow).ok();
        let key = name.map(|name| WorkflowKey { namespace: namespace.clone(), name });
        if key.as_ref().is_some_and(|key| self.refused.contain(key)) {
            return self.close(row, ReceiptState::Refused, Some("refused-by-owner"), now).await;
        }
        // Before the start, which may find it missing while it comes.
        let is_coming = match &key {
            Some(key) if !has_begun => self.is_coming(key).await?,
            _ => false,
        };
        // One that names its revision needs no other.
        if is_coming && start.revision.is_none() {
            return Ok(self.waits(row));
        }
        let Ok(order) = RunOrder::parse(namespace, start, None) else {
            return self.close(row, ReceiptState::Refused, Some("invalid"), now).await;
        };
        let beside = Beside::Ops(ops(row.order, ReceiptState::Taken, None, now));
        match self.runs.start(&caller, RunOrder { beside, ..order }).await {
            Ok(begun) if begun.is_new => {
                self.grown.notify_one();
                Ok(true)
            }
            // By an earlier order, or a life of this site whose commit nobody heard of.
            Ok(_) => self.close(row, ReceiptState::Taken, None, now).await,
            Err(refusal)
                if is_coming
                    && matches!(
                        refusal.code(),
                        ProblemCode::WorkflowMissing | ProblemCode::RevisionMissing
                    ) =>
            {
                Ok(self.waits(row))
            }
            Err(refusal) => self.refused(row, &refusal, now).await,
        }
    }

    /// It is not judged now, since it is for a text that is not here yet.
    fn waits(&self, row: &OrderRow) -> bool {
        tracing::info!(order = %row.order, "an order waits for the text that the hub wants to be here");
        self.edited.notify_one();
        false
    }

    /// Whether the edition that is here wants another text of this workflow than there is, or one of it at
    /// all. One that cannot be here is not waited for: what is there goes on as before.
    async fn is_coming(&self, key: &WorkflowKey) -> Result<bool, Refusal> {
        let Some((head, leaf)) = edition::wanted(self.store.as_ref()).await? else {
            return Ok(false);
        };
        let mut wanted = leaf.content.workflows.iter();
        let Some(placed) = wanted.find(|placed| edition::key(placed) == *key) else {
            return Ok(false);
        };
        let has_failed = self.saying.borrow().health.as_ref().is_some_and(|health| {
            let is_it = |it: &Failed| it.namespace == key.namespace && it.name == key.name;
            health.edition == Some(head.number) && health.failed.iter().any(is_it)
        });
        Ok(!has_failed && !edition::is_there(self.store.as_ref(), placed).await?)
    }

    /// A run that another site asks for.
    async fn dispatched(
        &self,
        row: &OrderRow,
        by: By,
        it: &Dispatched,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        let key = WorkflowKey { namespace: it.namespace.clone(), name: it.workflow.clone() };
        if now <= row.until
            && !self.refused.contain(&key)
            && self.store.run_get(it.bond(&self.site).run()).await?.is_none()
            && self.is_coming(&key).await?
        {
            return Ok(self.waits(row));
        }
        let taking = ops(row.order, ReceiptState::Taken, None, now);
        let bench = Bench { runs: &self.runs, refused: &self.refused, taking, now };
        let (state, code, beside) = match self.dispatches.judge(row, by, it, bench).await? {
            Judged::Begun => {
                self.grown.notify_one();
                return Ok(true);
            }
            Judged::Closed { state, code, beside } => (state, code, beside),
            Judged::Refused(refusal) => {
                let (state, code) = match code(refusal.code()) {
                    Some(code) => (AnswerState::Refused, Some(code)),
                    None if now > row.until => (AnswerState::Expired, None),
                    None => {
                        tracing::warn!(order = %row.order, ?refusal, "an order waits");
                        return Ok(false);
                    }
                };
                (state, code, self.dispatches.told(it, state, code, now)?)
            }
        };
        let receipt = match state {
            AnswerState::Refused => ReceiptState::Refused,
            AnswerState::Expired => ReceiptState::Expired,
            AnswerState::Taken
            | AnswerState::Completed
            | AnswerState::Faulted
            | AnswerState::Cancelled => ReceiptState::Taken,
        };
        let closing = [ops(row.order, receipt, code, now), beside].concat();
        let closed = self.store.commit(closing, Preconditions::none()).await;
        self.written(closed.map_err(DispatchError::from))
    }

    /// A lease, which is taken only while the line is up to the hub that gave it.
    async fn leased(
        &self,
        row: &OrderRow,
        lease: &SignedLease,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        let taking = ops(row.order, ReceiptState::Taken, None, now);
        match self.leases.take(lease, &taking).await? {
            Ok(Taking::Taken) => self.written(Ok(())),
            Ok(Taking::Refused(code)) => {
                self.close(row, ReceiptState::Refused, Some(code), now).await
            }
            Ok(Taking::NotNow) if now > row.until => {
                self.close(row, ReceiptState::Expired, None, now).await
            }
            Ok(Taking::NotNow) => Ok(false),
            Err(error) => self.written(Err(error.into())),
        }
    }

    async fn refused(
        &self,
        row: &OrderRow,
        refusal: &Refusal,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        match code(refusal.code()) {
            Some(code) => self.close(row, ReceiptState::Refused, Some(code), now).await,
            None if now > row.until => self.close(row, ReceiptState::Expired, None, now).await,
            None => {
                tracing::warn!(order = %row.order, ?refusal, "an order waits");
                Ok(false)
            }
        }
    }

    async fn close(
        &self,
        row: &OrderRow,
        state: ReceiptState,
        code: Option<&'static str>,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        let closed = self.store.commit(ops(row.order, state, code, now), Preconditions::none());
        self.written(closed.await.map_err(DispatchError::from))
    }

    /// Gives that it is judged, where it is.
    fn written(&self, closed: Result<(), DispatchError>) -> Result<bool, Refusal> {
        match closed {
            // It was judged meanwhile: once is enough.
            Ok(())
            | Err(DispatchError::Commit(
                CommitError::OrderClosed(_) | CommitError::ReceiptExists(_),
            )) => {
                self.grown.notify_one();
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What is written when an order is judged.
fn ops(order: OrderId, state: ReceiptState, code: Option<&'static str>, at: Timestamp) -> Vec<Op> {
    let receipt = Receipt::new(order, state, code, at).encode().into();
    vec![
        Op::OrderJudge { order, at },
        Op::ReceiptPut(ReceiptRow { position: 0, order, at, receipt }),
    ]
}

/// Why an order is refused for good, in a word; nothing where it may be done later.
const fn code(problem: ProblemCode) -> Option<&'static str> {
    match problem {
        ProblemCode::WorkflowMissing => Some("workflow-missing"),
        ProblemCode::RevisionMissing => Some("revision-missing"),
        ProblemCode::WorkflowInvalid | ProblemCode::WorkflowMismatch => Some("workflow-invalid"),
        ProblemCode::BodyInvalid | ProblemCode::ParameterInvalid | ProblemCode::TooLarge => {
            Some("invalid")
        }
        ProblemCode::RunExists => Some("run-exists"),
        ProblemCode::Overloaded
        | ProblemCode::Stopping
        | ProblemCode::TooSlow
        | ProblemCode::RunBusy
        | ProblemCode::DiskFull
        | ProblemCode::StoreFailed
        | ProblemCode::Internal
        | ProblemCode::SecretsUnreadable => None,
        ProblemCode::NoSuchOperation
        | ProblemCode::ForeignOrigin
        | ProblemCode::MethodNotAllowed
        | ProblemCode::NotJson
        | ProblemCode::RunMissing
        | ProblemCode::RunEnded
        | ProblemCode::RunNotFaulted
        | ProblemCode::RunSuspended
        | ProblemCode::RunNotSuspended
        | ProblemCode::SecretMissing
        | ProblemCode::SecretElsewhere
        | ProblemCode::SecretLimit
        | ProblemCode::SecretsOff
        | ProblemCode::EventInvalid
        | ProblemCode::EventMediaType
        | ProblemCode::SiteMissing
        | ProblemCode::SiteJoined
        | ProblemCode::OrderMissing
        | ProblemCode::PlacementMissing
        | ProblemCode::SiteCordoned
        | ProblemCode::Recovering
        | ProblemCode::RequestExists
        | ProblemCode::AuthorityOverlap
        | ProblemCode::KeyRequired
        | ProblemCode::RoleMissing
        | ProblemCode::KeyMissing
        | ProblemCode::KeyExists
        | ProblemCode::KeyLimit
        | ProblemCode::ModelMissing
        | ProblemCode::ModelExists
        | ProblemCode::BudgetMissing
        | ProblemCode::CallMissing
        | ProblemCode::CallKnown
        | ProblemCode::QuestionOver
        | ProblemCode::ExchangeRefused => Some("refused"),
    }
}
