//! What the desk is handed: where entries are kept, what opens an upstream, and what runs a model's file.

use std::time::Duration;

use base::{CallId, Digest, Namespace, SecretName, Timestamp};
use bytes::Bytes;
use futures::future::BoxFuture;
use models::{Alarm, By, Entry, Holder, Line, Model, ModelName, Operation};
use pricing::Budget;
use tokio::sync::watch;

use super::body::Spoken;

/// Keeps what is decided of calls.
pub trait Record: Send + Sync + 'static {
    /// When this returns, the entry outlives the end of the process; when the ticket says so, that of
    /// the machine as well.
    fn write(&self, entry: Entry) -> Result<Ticket, NotWritten>;

    /// What this budget has spent so far, where a run brings it along.
    fn spent(&self, _holder: &Holder, _budget: Budget) -> Option<Line> {
        None
    }

    /// Shares of budgets that are reached, by a call of this namespace.
    fn alarm(&self, namespace: &Namespace, alarms: &[Alarm]);
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

/// A request or an answer of the Open Inference Protocol: JSON, and where `head` says how long that is, the
/// bytes of tensors behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensors {
    pub body: Bytes,
    pub head: Option<usize>,
}

/// A request in `OpenAI`'s words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    pub operation: Operation,
    pub body: Bytes,
    /// Whether the answer is to come event by event.
    pub is_streamed: bool,
}

/// Runs the models whose files the site has.
pub trait Runner: Send + Sync + 'static {
    /// Asks one of them, to the end of the deadline, waiting included. Dropped, it stops the work.
    fn run(&self, model: &Model, ask: Tensors, deadline: Duration) -> BoxFuture<'_, Ran>;

    /// Asks one of language, up to the first piece of its answer. The deadline is that of the whole.
    fn speak(&self, _model: &Model, _ask: Words, _deadline: Duration) -> BoxFuture<'_, Spoke> {
        let end = Err(NotRun::Unavailable("no models of language are run here".to_owned()));
        Box::pin(std::future::ready(Spoke { busy: Duration::ZERO, end }))
    }
}

/// What came of a request in words.
#[derive(Debug)]
pub struct Spoke {
    /// How long a process has worked on it so far, where there is no answer.
    pub busy: Duration,
    pub end: Result<Spoken, NotRun>,
}

/// What came of it.
#[derive(Debug)]
pub struct Ran {
    /// How long a process has worked on it, whatever came of that.
    pub busy: Duration,
    pub end: Result<Tensors, NotRun>,
}

/// Why a model's file has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRun {
    /// The request is wrong; what to say to whoever has asked.
    Refused(String),
    /// Too many wait for it.
    Busy,
    /// Others hold the memory that models may have.
    Memory,
    /// It has died again and again, and is left alone for so long.
    Resting(Duration),
    /// It has not answered in time.
    Silent,
    /// Its process has died.
    Died,
    /// It answers with what is no answer; what is wrong is for the site's own log.
    Failed(String),
    TooLarge,
    /// Nothing could be run; what is wrong is for the site's own log.
    Unavailable(String),
}

/// People of the site, who answer where no model does.
pub trait People: Send + Sync + 'static {
    /// When this returns, the question lies in the inbox of its namespace and outlives the end of the machine:
    /// this one, or the same one that lies there already.
    fn ask(&self, question: ToPeople) -> BoxFuture<'_, Result<Waiting, NotAsked>>;

    /// The same question, where it was asked and its time is not over.
    fn same(&self, namespace: &Namespace, key: &Digest) -> Option<Waiting>;

    /// Until somebody has said something, or its time is over.
    fn heard(&self, namespace: &Namespace, question: CallId) -> BoxFuture<'_, Heard>;
}

/// What a person is to answer.
#[derive(Debug, Clone)]
pub struct ToPeople {
    /// The call that asks, whose name the question has.
    pub call: CallId,
    pub who: By,
    /// By which the same question is known.
    pub key: Digest,
    pub route: ModelName,
    pub operation: Operation,
    /// As the client has sent it.
    pub body: Bytes,
    pub until: Timestamp,
}

/// A question in the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub question: CallId,
    pub until: Timestamp,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Answer {
        by: String,
        text: String,
    },
    Declined {
        by: String,
        reason: Option<String>,
    },
    /// Its time is over, and nobody has said anything.
    Over,
}

/// Why a question is in no inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    #[error("a person is not asked: the inbox of the namespace is full")]
    Full,
    #[error(
        "a person is not asked: the request has more than {} bytes",
        models::QUESTION_BYTES_MAX
    )]
    TooLarge,
    #[error("a person is not asked: the question cannot be written down")]
    Unwritten,
    #[error("a person is not asked: there is no inbox here")]
    Nobody,
}

/// Where there is no inbox.
#[derive(Debug, Clone, Copy)]
pub struct NoPeople;

impl People for NoPeople {
    fn ask(&self, _question: ToPeople) -> BoxFuture<'_, Result<Waiting, NotAsked>> {
        Box::pin(std::future::ready(Err(NotAsked::Nobody)))
    }

    fn same(&self, _namespace: &Namespace, _key: &Digest) -> Option<Waiting> {
        None
    }

    fn heard(&self, _namespace: &Namespace, _question: CallId) -> BoxFuture<'_, Heard> {
        Box::pin(std::future::ready(Heard::Over))
    }
}
