//! Sends spans to the collector that the site's owner has named: by OTLP over HTTP, through the gate as
//! everything that leaves. A call never waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::value::as_str;
use base::{Namespace, SecretName};
use engine::secret::Secrets;
use gateway::{Caller, Gate, OutError, OutRequest};
use http::StatusCode;
use http::header::RETRY_AFTER;
use models::genai::Span;
use prost::Message as _;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::otlp;
use crate::model::book::Book;

/// A span is sent at the latest so long after its call, or with a whole batch.
const EVERY: Duration = Duration::from_secs(1);

/// How long the collector may take for one request, as the protocol has it by default.
const WITHIN: Duration = Duration::from_secs(10);

/// How long the site's end waits for what is left.
const AT_THE_END: Duration = Duration::from_secs(3);

/// Between two attempts: at first.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// At last: a collector that is back is told of calls within a minute, before more wait than are kept.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Where spans go, by the word of the site's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// With the path of traces.
    pub url: String,
    /// By header, the secret that is its value.
    pub headers: BTreeMap<String, SecretName>,
    /// Whose secrets these are.
    pub namespace: Namespace,
}

/// What an exporter is made of.
pub(crate) struct ExporterParts {
    pub collector: Collector,
    /// What the site is called.
    pub site: String,
    pub gate: Arc<Gate>,
    pub secrets: Arc<dyn Secrets>,
    pub book: Book,
}

pub(crate) struct Exporter {
    parts: ExporterParts,
    full: Arc<Notify>,
}

/// What came of one request.
enum Sent {
    /// Of which so many were not taken.
    Taken {
        refused: u64,
    },
    /// It may come again, after so long if the collector says so.
    Later {
        after: Option<Duration>,
        why: String,
    },
    Refused {
        why: String,
    },
}

impl Exporter {
    /// Spans are kept from now on.
    pub(crate) fn new(parts: ExporterParts) -> Self {
        let full = Arc::new(Notify::new());
        parts.book.observing(|it| it.keep_spans(Arc::clone(&full)));
        Self { parts, full }
    }

    /// Sends until `closing`, and then once more what is left. What is broken off by that is sent twice, as
    /// the same spans.
    pub(crate) async fn run(self, closing: CancellationToken) {
        let (mut batch, mut is_failing, mut pause) = (Vec::new(), false, PAUSE_MIN);
        let mut rest = None;
        while self.wait(rest.take(), &closing).await {
            loop {
                if batch.is_empty() {
                    batch = self.take();
                }
                if batch.is_empty() {
                    break;
                }
                let sending = self.send(&batch, &mut is_failing);
                match closing.run_until_cancelled(sending).await {
                    None => break,
                    Some(Sent::Taken { .. } | Sent::Refused { .. }) => {
                        batch.clear();
                        pause = PAUSE_MIN;
                    }
                    Some(Sent::Later { after, .. }) => {
                        rest = Some(after.unwrap_or(pause).min(PAUSE_MAX));
                        pause = (pause * 2).min(PAUSE_MAX);
                        break;
                    }
                }
            }
        }
        let left = async {
            if batch.is_empty() {
                batch = self.take();
            }
            while !batch.is_empty() {
                if matches!(self.send(&batch, &mut is_failing).await, Sent::Later { .. }) {
                    return;
                }
                batch = self.take();
            }
        };
        timeout(AT_THE_END, left).await.ok();
    }

    /// Until something is due; after a failure for so long. False where the site ends.
    async fn wait(&self, rest: Option<Duration>, closing: &CancellationToken) -> bool {
        tokio::select! {
            () = closing.cancelled() => return false,
            () = self.full.notified(), if rest.is_none() => {}
            () = sleep(rest.unwrap_or(EVERY)) => {}
        }
        true
    }

    fn take(&self) -> Vec<Span> {
        self.parts.book.observing(super::Observing::take)
    }

    async fn send(&self, batch: &[Span], is_failing: &mut bool) -> Sent {
        let sent = timeout(WITHIN, self.request(batch)).await;
        let sent = sent.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", WITHIN.as_secs());
            Sent::Later { after: None, why }
        });
        let all = batch.len() as u64;
        match &sent {
            Sent::Taken { refused } => {
                *is_failing = false;
                let refused = (*refused).min(all);
                self.parts.book.observing(|it| {
                    it.count(|counts| {
                        counts.sent += all - refused;
                        counts.refused += refused;
                    });
                });
            }
            Sent::Refused { why } => {
                tell(is_failing, why);
                self.parts.book.observing(|it| it.count(|counts| counts.refused += all));
            }
            Sent::Later { why, .. } => tell(is_failing, why),
        }
        sent
    }

    async fn request(&self, batch: &[Span]) -> Sent {
        let request = match self.made(batch).await {
            Ok(request) => request,
            Err(why) => return Sent::Later { after: None, why },
        };
        let namespace = &self.parts.collector.namespace;
        let caller = Caller { namespace, run: None, activation: "", labels: &[] };
        let answer = self.parts.gate.request(caller, request).await;
        let response = match answer.result {
            Ok(response) => response,
            Err(error @ (OutError::NotSent { .. } | OutError::NoAnswer { .. })) => {
                return Sent::Later { after: None, why: error.to_string() };
            }
            Err(
                error @ (OutError::Denied(_)
                | OutError::Invalid(_)
                | OutError::TooLarge { .. }
                | OutError::TooManyRedirects { .. }
                | OutError::BadRedirect { .. }),
            ) => return Sent::Refused { why: error.to_string() },
        };
        if response.status.is_success() {
            let read = otlp::Response::decode(response.body).unwrap_or_default();
            let refused = read.partial_success.map_or(0, |it| it.rejected_spans);
            return Sent::Taken { refused: u64::try_from(refused).unwrap_or(0) };
        }
        let why = format!("it answers {}", response.status.as_u16());
        if !may_come_again(response.status) {
            return Sent::Refused { why };
        }
        let after = response.headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
        let after = after.and_then(|it| it.trim().parse().ok()).map(Duration::from_secs);
        Sent::Later { after, why }
    }

    async fn made(&self, batch: &[Span]) -> Result<OutRequest, String> {
        let Collector { url, headers, namespace } = &self.parts.collector;
        let made = |error: OutError| error.to_string();
        let mut request = OutRequest::new("POST", url, &[]).map_err(made)?;
        request.header("content-type", "application/x-protobuf").map_err(made)?;
        for (name, secret) in headers {
            let value = self.parts.secrets.open(namespace, &(secret.clone(), None)).await;
            let value = value.map_err(|fault| fault.detail.unwrap_or_default())?;
            let text = as_str(&value).ok_or("a header's secret is not a text")?;
            request.header(name, text.trim()).map_err(made)?;
        }
        Ok(request.with_body(otlp::request(&self.parts.site, batch).into()))
    }
}

/// Said once, until it is well again.
fn tell(is_failing: &mut bool, why: &str) {
    if !std::mem::replace(is_failing, true) {
        tracing::warn!(why, "spans of calls do not reach the collector");
    }
}

/// As the protocol has it.
fn may_come_again(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}
