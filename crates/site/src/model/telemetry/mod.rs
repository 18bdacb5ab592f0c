//! What is told of calls to those who watch the site: metrics for whoever scrapes, and spans for a collector
//! that the owner names (ADR 30). Which names and what of an entry they are is in `models::genai`.
//!
//! Both come from the entries that the book keeps, under the book's own lock.

mod export;
mod otlp;
mod text;

use std::collections::HashMap;
use std::sync::Arc;

use base::Namespace;
use models::genai::{Observed, Provider, Span};
use models::{Admitted, Meters, ModelName, Settled};
use tokio::sync::Notify;

pub use export::Collector;
pub(super) use export::{Exporter, ExporterParts};
pub(crate) use text::write;

/// Spans in one request: some 300 kB, of which collectors take megabytes.
const BATCH_SPANS: usize = 512;

/// Spans that wait for the collector: at half a kilobyte each, 4 MB, and half a second of the fastest site
/// between two requests. What is beyond is dropped and counted.
const WAITING_SPANS_MAX: usize = 8_192;

/// Whose models are, by namespace.
pub(crate) type Providers = HashMap<Namespace, HashMap<ModelName, Provider>>;

/// What has been seen of calls.
#[derive(Default)]
pub(crate) struct Observing {
    meters: Meters,
    providers: Providers,
    /// Where nobody collects them, none are kept.
    spans: Option<Waiting>,
}

struct Waiting {
    spans: Vec<Span>,
    counts: SpanCounts,
    /// A whole batch waits.
    full: Arc<Notify>,
}

/// What has become of spans since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SpanCounts {
    /// The collector has taken them.
    pub sent: u64,
    /// There were too many, or the site ended while the collector was away.
    pub dropped: u64,
    /// The collector, or the site's own rules, did not take them.
    pub refused: u64,
}

/// What is shown of it.
pub(crate) struct Seen {
    pub meters: Meters,
    pub spans: Option<SpanCounts>,
}

impl Observing {
    /// Keeps spans from now on, and tells `full` of each whole batch.
    pub(crate) fn keep_spans(&mut self, full: Arc<Notify>) {
        let (spans, counts) = (Vec::new(), SpanCounts::default());
        self.spans = Some(Waiting { spans, counts, full });
    }

    pub(crate) fn know(&mut self, providers: Providers) {
        self.providers = providers;
    }

    pub(crate) fn note(&mut self, admitted: &Admitted, settled: &Settled) {
        let of = |model: &ModelName| {
            let known = self.providers.get(&admitted.who.namespace);
            known.and_then(|known| known.get(model)).copied().unwrap_or(Provider::OTHER)
        };
        let Some(observed) = Observed::of(admitted, settled, of) else { return };
        self.meters.note(&observed);
        let Some(waiting) = &mut self.spans else { return };
        let Some(span) = Span::of(admitted, settled, &observed) else { return };
        if waiting.spans.len() >= WAITING_SPANS_MAX {
            waiting.counts.dropped += 1;
            return;
        }
        waiting.spans.push(span);
        if waiting.spans.len() == BATCH_SPANS {
            waiting.full.notify_one();
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        let spans = self.spans.as_ref().map(|it| it.counts);
        Seen { meters: self.meters.clone(), spans }
    }

    /// The next batch, the oldest first.
    fn take(&mut self) -> Vec<Span> {
        let Some(waiting) = &mut self.spans else { return Vec::new() };
        let count = waiting.spans.len().min(BATCH_SPANS);
        waiting.spans.drain(..count).collect()
    }

    fn count(&mut self, change: impl FnOnce(&mut SpanCounts)) {
        if let Some(waiting) = &mut self.spans {
            change(&mut waiting.counts);
        }
    }
}
