//! What the desk is handed: where entries are kept, and what opens an upstream.

use base::{Namespace, SecretName};
use futures::future::BoxFuture;
use models::{Alarm, Entry, Holder, Line};
use pricing::Budget;
use tokio::sync::watch;

/// Keeps what is decided of calls.
pub trait Record: Send + Sync + 'static {
    /// When this returns, the entry outlives the end of the process; when the ticket says so, that of
    /// the machine as well.
    fn write(&self, entry: Entry) -> Result<Ticket, NotWritten>;

    /// What this budget has spent so far, where a run brings it along.
    fn spent(&self, _holder: &Holder, _budget: Budget) -> Option<Line> {
        None
    }

    /// Shares of budgets that are reached.
    fn alarm(&self, alarms: &[Alarm]);
}

/// The entry is not kept, and nothing may follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is decided of a call cannot be written down")]
pub struct NotWritten;

/// How the page of an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    #[default]
    Open,
    Durable,
    Lost,
}

/// Says when an entry is durable.
#[derive(Debug)]
pub struct Ticket(Option<watch::Receiver<Page>>);

impl Ticket {
    #[must_use]
    pub const fn of(page: watch::Receiver<Page>) -> Self {
        Self(Some(page))
    }

    /// For whoever keeps nothing.
    #[must_use]
    pub const fn done() -> Self {
        Self(None)
    }

    pub async fn durable(self) -> Result<(), NotWritten> {
        let Some(mut page) = self.0 else { return Ok(()) };
        match page.wait_for(|page| *page != Page::Open).await {
            Ok(page) if *page == Page::Durable => Ok(()),
            _ => Err(NotWritten),
        }
    }
}

/// What opens an upstream.
pub trait Credentials: Send + Sync + 'static {
    /// The secret as text. The error says what is wrong with it, never what is in it.
    fn open(
        &self,
        namespace: &Namespace,
        secret: &SecretName,
    ) -> BoxFuture<'_, Result<String, String>>;
}
