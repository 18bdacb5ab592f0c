//! Watches: calls of programs that go to a provider as they are, and are seen on their way (ADR 31).
//!
//! What passes is not decided about, and nothing of ours is in it. What is read of it is read from copies, when
//! the call is over. Who keeps watches, and what is asked of the book, is in `site`.

mod body;
mod copy;
mod head;
mod read;
mod tap;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base::{CallId, Clock, Namespace, Random, Timestamp};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use models::{ModelName, Unseen, WatchSpec, watch_of, watched_operation, watched_path};
use pricing::{Catalogue, Price};
use privacy::Shield;
use tokio::sync::Semaphore;

pub use body::{PassError, PassedBody};

use crate::desk::Record;
use crate::desk::shelf::provider;
use crate::gate::Gate;
use crate::lane::{Lane, LaneAnswer, LaneError, Passed, SendError};
use copy::{COPIES_BYTES_MAX, Copy, Room};
use tap::{Arrival, Overheard, Tap};

/// The largest request that passes: files that providers take in one piece are half of that.
pub const PASSED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How long an answer may say nothing. Clients give up long before; this ends what nobody waits for.
const SILENCE_MAX: Duration = Duration::from_secs(3_600);

/// Calls that are read at once: each takes a core and what its packed texts become.
const READERS_MAX: usize = 2;

/// Calls that wait to be read. Beyond, they are written down unseen.
const UNREAD_MAX: u32 = 10_000;

/// All watches of a site. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Watches(Arc<Inner>);

struct Inner {
    gate: Arc<Gate>,
    record: Arc<dyn Record>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    catalogue: Arc<Catalogue>,
    /// Of the digests by which clients are told apart.
    digest_key: Vec<u8>,
    watches: RwLock<Known>,
    room: Room,
    readers: Arc<Semaphore>,
    unread: Arc<Semaphore>,
}

type Known = BTreeMap<(Namespace, ModelName), Arc<Watch>>;

/// What watches are made of.
pub struct WatchesParts {
    pub gate: Arc<Gate>,
    pub record: Arc<dyn Record>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub catalogue: Arc<Catalogue>,
    pub digest_key: Vec<u8>,
}

/// One watch, where calls find it.
pub struct Watch {
    namespace: Namespace,
    name: ModelName,
    spec: WatchSpec,
    /// Why there is no way.
    lane: Result<Arc<Lane>, String>,
    places: Arc<Semaphore>,
    shield: Shield,
    catalogue: Arc<Catalogue>,
    /// Requests that were none of the operations that we know.
    others: AtomicU64,
}

/// Why nothing is passed on, or nothing came back. Never with anything of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum NotPassed {
    #[error(
        "there is no watch at this path: `/watch/NAMESPACE/NAME` and what stands behind it is passed on"
    )]
    Missing,
    #[error("a path through a watch has no `.` and no `..` in it, in whichever writing")]
    Path,
    #[error("no rule of the site lets calls out: {0}")]
    Denied(String),
    #[error("{0} calls are under way through this watch, and that is as many as it has room for")]
    Busy(u32),
    #[error(
        "the request has a key of this site, which is not for others: a watch passes on the provider's own key"
    )]
    OwnKey,
    #[error("a watch passes {PASSED_BYTES_MAX} bytes of one request at most")]
    TooLarge,
    #[error("the site cannot reach what this watch is for: {0}")]
    Unreachable(String),
    #[error("{0}")]
    Silent(String),
}

impl Watches {
    #[must_use]
    pub fn new(parts: WatchesParts) -> Self {
        let WatchesParts { gate, record, clock, random, catalogue, digest_key } = parts;
        Self(Arc::new(Inner {
            gate,
            record,
            clock,
            random,
            catalogue,
            digest_key,
            watches: RwLock::default(),
            room: Room::new(COPIES_BYTES_MAX),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            unread: Arc::new(Semaphore::new(UNREAD_MAX as usize)),
        }))
    }

    /// Other watches from now on. Calls under way end with those that they began with.
    pub fn put(&self, all: impl IntoIterator<Item = (Namespace, ModelName, WatchSpec)>) {
        let mut known = self.0.watches.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *known);
        for (namespace, name, spec) in all {
            let key = (namespace, name);
            let same = before.get(&key).filter(|it| it.spec == spec).cloned();
            let watch = same.unwrap_or_else(|| Arc::new(self.watch(&key, spec)));
            known.insert(key, watch);
        }
    }

    fn watch(&self, (namespace, name): &(Namespace, ModelName), spec: WatchSpec) -> Watch {
        let lane = match spec.address() {
            Ok((origin, _)) => Lane::new(&self.0.gate, namespace, origin, None)
                .map(Arc::new)
                .map_err(|why| why.to_string()),
            Err(wrong) => Err(wrong.to_string()),
        };
        Watch {
            namespace: namespace.clone(),
            name: name.clone(),
            lane,
            places: Arc::new(Semaphore::new(spec.concurrency() as usize)),
            shield: Shield::new(spec.rules(), None),
            catalogue: Arc::clone(&self.0.catalogue),
            others: AtomicU64::new(0),
            spec,
        }
    }

    /// The watch of this name, as it is now.
    #[must_use]
    pub fn find(&self, namespace: &Namespace, name: &ModelName) -> Option<Arc<Watch>> {
        let known = self.0.watches.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&(namespace.clone(), name.clone())).cloned()
    }

    /// Passes a request on, and its answer back.
    pub async fn pass<B>(&self, request: Request<B>) -> Response<PassedBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<SendError>,
    {
        self.passed(request).await.unwrap_or_else(|why| why.told())
    }

    async fn passed<B>(&self, request: Request<B>) -> Result<Response<PassedBody>, NotPassed>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<SendError>,
    {
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        let (namespace, name, rest) = watch_of(head.uri.path()).ok_or(NotPassed::Missing)?;
        let watch = self.find(&namespace, &name).ok_or(NotPassed::Missing)?;
        let (_, base) = watch.spec.address().map_err(|_| NotPassed::Missing)?;
        let path = watched_path(base, rest, head.uri.query()).ok_or(NotPassed::Path)?;
        let lane = watch.lane.clone().map_err(NotPassed::Denied)?;
        let target = head.uri.path_and_query().map_or("", |it| it.as_str());
        if head::has_own_key(&head.headers, target) {
            return Err(NotPassed::OwnKey);
        }
        let places = Arc::clone(&watch.places).try_acquire_owned();
        let place = places.map_err(|_| NotPassed::Busy(watch.spec.concurrency()))?;
        let length = head.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > PASSED_BYTES_MAX) {
            return Err(NotPassed::TooLarge);
        }
        head::onward(&mut head.headers);
        let operation = watched_operation(watch.spec.dialect, &format!("{base}{rest}"));
        let operation = operation.filter(|_| head.method == Method::POST);
        if operation.is_none() {
            watch.others.fetch_add(1, Ordering::Relaxed);
        }
        let copy = operation.map(|_| Arc::new(Mutex::new(self.copy())));
        let mut tap = operation.zip(copy.clone()).map(|(operation, asked)| {
            let client = head::client(&head.headers, &self.0.digest_key);
            let asked_packed = head.headers.get(CONTENT_ENCODING).cloned();
            let (watch, path) = (Arc::clone(&watch), path.clone());
            let arrival = Arrival { watch, operation, path, client, asked, asked_packed, started };
            Tap::new(self, arrival)
        });
        let body = body::Asking::new(body, copy).boxed_unsync();
        let passed = Passed { method: head.method, path, headers: head.headers, body };
        let answer = match lane.pass(passed, SILENCE_MAX).await {
            Ok(answer) => answer,
            Err(error) => {
                if let Some(tap) = tap {
                    tap.failed(&error);
                }
                return Err(NotPassed::of(&error));
            }
        };
        let LaneAnswer { status, mut headers, body } = answer;
        if let Some(tap) = &mut tap {
            tap.answered(status, &headers);
        }
        head::onward(&mut headers);
        let mut response = Response::new(PassedBody::passing(body, tap, place, SILENCE_MAX));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn begins(&self) -> (CallId, Timestamp) {
        let now = self.0.clock.now();
        (CallId::new(now, self.0.random.as_ref()), now)
    }

    fn copy(&self) -> Copy {
        Copy::new(&self.0.room)
    }

    /// Has a call read and written down, whose last byte has passed.
    fn over(&self, heard: Overheard) {
        let place = Arc::clone(&self.0.unread).try_acquire_owned();
        let (Ok(place), Ok(runtime)) = (place, tokio::runtime::Handle::try_current()) else {
            return self.write(read::entries_unseen(&heard, Unseen::Full));
        };
        let watches = self.clone();
        runtime.spawn(async move {
            // Never closed.
            let reader = Arc::clone(&watches.0.readers).acquire_owned().await;
            let reading = tokio::task::spawn_blocking(move || {
                let _reader = reader;
                let read = catch_unwind(AssertUnwindSafe(|| read::entries(&heard)));
                let unseen = |_| read::entries_unseen(&heard, Unseen::Unreadable);
                watches.write(read.unwrap_or_else(unseen));
                drop(place);
            });
            // A panic in it is nobody's but its own.
            reading.await.ok();
        });
    }

    /// A call that cannot be written down has passed all the same.
    fn write(&self, entries: [models::Entry; 2]) {
        for entry in entries {
            if self.0.record.write(entry).is_err() {
                tracing::warn!("a watched call cannot be written down");
                return;
            }
        }
    }

    /// Until all calls that are over are written down.
    pub async fn ended(&self) {
        // Never closed.
        let all = self.0.unread.acquire_many(UNREAD_MAX).await;
        drop(all);
    }
}

impl Watch {
    /// Why there is no way to what it is for.
    #[must_use]
    pub fn denied(&self) -> Option<&str> {
        self.lane.as_ref().err().map(String::as_str)
    }

    /// Requests since the site's start that were none of the operations that we know.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }

    /// By the catalogue, at that time.
    fn price(&self, model: &ModelName, at: Timestamp) -> Option<Arc<Price>> {
        let known = || provider(&self.spec.url);
        let provider = self.spec.provider.as_deref().or_else(known)?;
        self.catalogue.price(provider, model.as_str(), self.spec.region.as_deref(), at).cloned()
    }
}

impl NotPassed {
    fn of(error: &LaneError) -> Self {
        let said = error.to_string();
        match error {
            LaneError::Denied(_) => Self::Denied(said),
            LaneError::Silent { .. } => Self::Silent(said),
            LaneError::NotSent { .. } | LaneError::NoAnswer { .. } | LaneError::TooLarge { .. } => {
                Self::Unreachable(said)
            }
        }
    }

    const fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Missing => (StatusCode::NOT_FOUND, "watch_missing"),
            Self::Path => (StatusCode::BAD_REQUEST, "watch_path"),
            Self::Denied(_) => (StatusCode::FORBIDDEN, "watch_denied"),
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "watch_busy"),
            Self::OwnKey => (StatusCode::UNAUTHORIZED, "watch_own_key"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "watch_too_large"),
            Self::Unreachable(_) => (StatusCode::BAD_GATEWAY, "watch_unreachable"),
            Self::Silent(_) => (StatusCode::GATEWAY_TIMEOUT, "watch_silent"),
        }
    }

    /// In a form that clients of OpenAI and of Anthropic read.
    fn told(&self) -> Response<PassedBody> {
        let (status, code) = self.status();
        let text = serde_json::json!({
            "type": "error",
            "error": {"type": "api_error", "code": code, "param": null, "message": self.to_string()},
        });
        let text = Bytes::from(text.to_string());
        let mut response = Response::new(PassedBody::own(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self, Self::Busy(_)) {
            headers.insert(RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}
