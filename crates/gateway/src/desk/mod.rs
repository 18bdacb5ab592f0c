//! The desk: where every call to a model is decided, made and written down, whoever asks (ADR 18).
//!
//! What a call may do is decided in `models` and `pricing`; here it is driven. Whose key it is, where
//! entries are kept and what secrets hold is handed in.

mod arrival;
mod aside;
mod body;
mod cached;
pub(crate) mod call;
mod delta;
mod disk;
pub(crate) mod events;
mod hedge;
mod json;
mod judge;
mod leg;
mod open;
mod origin;
mod person;
mod port;
mod reply;
mod resort;
mod restore;
mod routed;
mod run;
mod said;
pub(crate) mod shelf;
mod stream;
mod text;
mod unsaid;
pub(crate) mod veil;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base::{CallId, Clock, KeyName, Namespace, Random, SecretName, Timestamp, TraceParent};
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use models::{
    Admitted, Alarm, Ask, AskError, Books, By, CACHE_BYTES_MAX, Cache, CallRefusal, Exchange,
    Holder, ModelName, Operation, PerMinute, Rates, Spent, Standing, Way,
};
use tokio::sync::{Notify, Semaphore, watch};

pub use body::{Busy, Spoken};
pub use person::ASKED;
pub use port::{
    Credentials, Heard, NoPeople, NotAsked, NotRun, NotWritten, Page, People, Ran, Record, Runner,
    Spoke, Tensors, Ticket, ToPeople, Waiting, Words,
};
pub use reply::{Paid, Reply, ReplyBody};
pub use routed::RouteStanding;
pub use run::OfRun;
pub use shelf::{NameLists, Shelf, ShelfParts, Shelved};
pub use stream::StreamBody;

use crate::gate::Gate;
use cached::Kept;
use call::Calling;

/// The largest request: a conversation with some images in it.
pub const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The largest answer that is not a stream: embeddings of a long list.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Calls whose client has gone, and that go on only to learn what they cost. What is beyond is charged at
/// its bound at once.
const LEFT_MAX: usize = 256;

/// How long the JSON is that tensors' bytes follow.
pub const HEAD: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Keys whose rates are kept. One that was not seen for long begins with a full minute again.
const RATES_MAX: usize = 100_000;

/// Everything that one site knows of its models. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    gate: Arc<Gate>,
    shelf: RwLock<Arc<Shelf>>,
    books: Mutex<Books>,
    rates: Mutex<HashMap<KeyName, Rates>>,
    exchange: Exchange,
    record: Arc<dyn Record>,
    credentials: Arc<dyn Credentials>,
    runner: Arc<dyn Runner>,
    people: Arc<dyn People>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    digest_key: Vec<u8>,
    /// Told when a purse has become low.
    low: Notify,
    /// Counts what the hub has said of leases.
    granted: watch::Sender<u64>,
    left: Arc<Semaphore>,
    /// Of the life before, whose runs may ask again.
    left_calls: Mutex<Vec<Admitted>>,
    /// Answers that may be given again.
    cache: Mutex<Cache<Arc<Kept>>>,
}

/// What a desk is made of.
pub struct DeskParts {
    pub gate: Arc<Gate>,
    pub books: Books,
    pub exchange: Exchange,
    pub record: Arc<dyn Record>,
    pub credentials: Arc<dyn Credentials>,
    pub runner: Arc<dyn Runner>,
    pub people: Arc<dyn People>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// From it follow the letters of stand-ins.
    pub digest_key: Vec<u8>,
}

/// One question, and who asks it.
#[derive(Debug, Clone)]
pub struct Question {
    pub who: Who,
    pub operation: Operation,
    /// Whom it asks, where its body does not say so: with [`Operation::Infer`].
    pub model: Option<ModelName>,
    pub body: Bytes,
    /// Those of the client's headers that an upstream may see.
    pub headers: HeaderMap,
    /// Of a workflow's task.
    pub of_run: Option<OfRun>,
    /// Which trace it belongs to.
    pub trace: Option<TraceParent>,
    pub fresh: Fresh,
}

/// Whether an answer from before will do, where there is a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fresh {
    #[default]
    Any,
    /// A new one, which others may get again: `no-cache`.
    New,
    /// A new one, which nobody gets again: `no-store`.
    Alone,
}

impl Fresh {
    /// What `cache-control` says.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let said = headers.get_all(http::header::CACHE_CONTROL).iter();
        let said = said.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
        said.fold(Self::Any, |fresh, said| match said.trim() {
            it if it.eq_ignore_ascii_case("no-store") => Self::Alone,
            it if it.eq_ignore_ascii_case("no-cache") && fresh == Self::Any => Self::New,
            _ => fresh,
        })
    }
}

/// Who asks, and what they may.
#[derive(Debug, Clone)]
pub struct Who {
    pub by: By,
    pub terms: Arc<Terms>,
}

/// What a key may do with models, beside its budgets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Names that it may ask for; any where there are none. `*` at the end stands for any rest.
    pub models: Vec<String>,
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
}

impl Terms {
    /// Whether this name may be asked for.
    #[must_use]
    pub fn allow(&self, model: &ModelName) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => model.as_str().starts_with(start),
            None => model.as_str() == pattern,
        };
        self.models.is_empty() || self.models.iter().any(fits)
    }

    const fn per_minute(&self) -> PerMinute {
        PerMinute { requests: self.requests_per_minute, tokens: self.tokens_per_minute }
    }
}

impl Desk {
    #[must_use]
    pub fn new(parts: DeskParts) -> Self {
        let DeskParts { gate, books, exchange, record, credentials, .. } = parts;
        let DeskParts { runner, people, clock, random, digest_key, .. } = parts;
        Self(Arc::new(Inner {
            gate,
            shelf: RwLock::default(),
            books: Mutex::new(books),
            rates: Mutex::default(),
            exchange,
            record,
            credentials,
            runner,
            people,
            clock,
            random,
            digest_key,
            low: Notify::new(),
            granted: watch::Sender::new(0),
            left: Arc::new(Semaphore::new(LEFT_MAX)),
            left_calls: Mutex::default(),
            cache: Mutex::new(Cache::new(CACHE_BYTES_MAX)),
        }))
    }

    /// Puts other models on it. Calls under way end with those that they began with.
    pub fn put(&self, parts: ShelfParts) {
        let shelf = Shelf::of(parts, &self.shelf(), &self.0.gate, self.now());
        *self.0.shelf.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shelf);
    }

    #[must_use]
    pub fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.0.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One call, to its end. Dropped, it goes on by itself for a while, to learn what it costs.
    #[must_use]
    pub fn call(&self, question: Question) -> Calling {
        Calling::new(self.clone(), question)
    }

    /// Names that may be asked for in this namespace, with these terms.
    #[must_use]
    pub fn names(&self, namespace: &Namespace, terms: &Terms) -> Vec<ModelName> {
        let mut names = self.shelf().names(namespace);
        names.retain(|name| terms.allow(name));
        names
    }

    /// The model that a call of this name would go to first.
    #[must_use]
    pub fn first(
        &self,
        namespace: &Namespace,
        terms: &Terms,
        name: &ModelName,
    ) -> Option<Arc<Shelved>> {
        let found = self.shelf().find(namespace, name, |_| 0)?;
        found.models.into_iter().next().map(|it| it.shelved).filter(|_| terms.allow(name))
    }

    /// Whether a call of this name would be answered by one of its models, as far as is known.
    #[must_use]
    pub fn is_ready(&self, namespace: &Namespace, name: &ModelName) -> bool {
        let now = self.now();
        let is_ready =
            |it: &Shelved| it.denied().is_none() && matches!(it.way(now), Way::Free | Way::Probe);
        let found = self.shelf().find(namespace, name, |_| 0);
        found.is_some_and(|found| found.models.iter().any(|it| is_ready(&it.shelved)))
    }

    /// A secret of this namespace was set or deleted: the next call reads it, and is not kept from going by
    /// what became of the one before.
    pub fn secret_changed(&self, namespace: &Namespace, secret: &SecretName) {
        self.shelf().secret_changed(namespace, secret);
    }

    /// Changes the budgets.
    pub fn budgets<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        change(&mut self.0.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// By what amounts are told in another currency.
    #[must_use]
    pub fn exchange(&self) -> &Exchange {
        &self.0.exchange
    }

    /// Until more is to be asked of the hub.
    pub async fn is_low(&self) {
        self.0.low.notified().await;
    }

    /// The hub has said something of a lease: whoever waits looks again.
    pub fn has_leased(&self) {
        self.0.granted.send_modify(|count| *count += 1);
    }

    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        self.budgets(|books| books.standings(&self.0.exchange, self.now()))
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn id(&self) -> CallId {
        CallId::new(self.now(), self.0.random.as_ref())
    }

    /// Takes one request and so many tokens out of what the key may have in a minute.
    fn take(&self, who: &Who, tokens: u64) -> Result<(), CallRefusal> {
        let (Some(key), terms) = (&who.by.key, &who.terms) else { return Ok(()) };
        if terms.per_minute() == PerMinute::default() {
            return Ok(());
        }
        let (limits, now) = (terms.per_minute(), self.now());
        let mut rates = self.0.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= RATES_MAX && !rates.contains_key(key) {
            rates.clear();
        }
        let rates = rates.entry(key.clone()).or_insert_with(|| Rates::new(limits, now));
        // A key that was made anew has other limits.
        rates.fit(limits, now);
        rates.take(tokens, now).map_err(|spent| {
            let Spent { what, limit, after } = spent;
            CallRefusal::Rate { what, limit, after }
        })
    }

    /// What was taken out and is not needed.
    fn give_back(&self, who: &Who, tokens: u64) {
        let Some(key) = &who.by.key else { return };
        let mut rates = self.0.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rates) = rates.get_mut(key) {
            rates.give_back(0, tokens);
        }
    }

    /// What a call has used of what was taken out.
    fn correct(&self, who: &Who, taken: u64, used: u64) {
        let Some(key) = &who.by.key else { return };
        let now = self.now();
        let mut rates = self.0.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rates) = rates.get_mut(key) {
            rates.correct(taken, used, now);
        }
    }

    fn alarm(&self, namespace: &Namespace, alarms: &[Alarm]) {
        self.0.record.alarm(namespace, alarms);
    }
}

impl Question {
    /// How long the JSON at the beginning of the body is, where bytes of tensors follow it.
    pub(super) fn head(&self) -> Result<Option<usize>, CallRefusal> {
        let Some(said) = self.headers.get(HEAD).filter(|_| self.operation == Operation::Infer)
        else {
            return Ok(None);
        };
        let head = said.to_str().ok().and_then(|it| it.parse().ok());
        let head = head.filter(|head| *head <= self.body.len());
        let wanted = "as many bytes as the JSON at the beginning of the body has";
        let wrong = AskError::Wrong { name: "inference-header-content-length", wanted };
        head.map(Some).ok_or(CallRefusal::Request(wrong))
    }
}

/// Whose budgets a call falls under.
fn holders(by: &By) -> Vec<Holder> {
    let mut holders = vec![Holder::Namespace(by.namespace.clone())];
    holders.extend(by.key.clone().map(Holder::Key));
    let workflow = by.workflow.as_deref().and_then(|name| base::WorkflowName::parse(name).ok());
    holders.extend(workflow.map(|name| {
        let namespace = by.namespace.clone();
        Holder::Workflow(base::WorkflowKey { namespace, name })
    }));
    holders.extend(by.run.map(Holder::Run));
    holders
}

/// A number by which the same asker gets the same model.
fn chance(text: &[u8]) -> u64 {
    let digest = base::Digest::of(text);
    let bytes = digest.as_bytes();
    u64::from_be_bytes(*bytes.first_chunk().expect("a digest has more bytes"))
}

/// What the client of a call sees of the ask: for the chance of a route.
fn sticky<'a>(by: &'a By, ask: &'a Ask, how: models::Sticky) -> Option<String> {
    match how {
        models::Sticky::User => ask.user.clone(),
        models::Sticky::Key => by.key.as_ref().map(ToString::to_string),
        models::Sticky::Run => by.run.map(|run| run.to_string()),
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
