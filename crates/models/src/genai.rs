//! A call in the names of OpenTelemetry's semantic conventions for generative AI: the one place where they
//! stand, and what of an entry is which of them.
//!
//! What was asked and answered is in no entry, so that it is in nothing of this.

use base::{CallId, KeyName, Namespace, RunId, Timestamp, TraceParent};

use crate::entry::{Admitted, End, Missed, Settled, Used};
use crate::name::ModelName;
use crate::operation::Operation;
use crate::source::{Dialect, Source, address};

/// The version of the conventions whose names these are.
pub const SEMCONV_VERSION: &str = "1.41.1";

pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.1";

/// Metrics.
pub const TOKEN_USAGE: &str = "gen_ai.client.token.usage";
pub const OPERATION_DURATION: &str = "gen_ai.client.operation.duration";
pub const TIME_TO_FIRST_CHUNK: &str = "gen_ai.client.operation.time_to_first_chunk";

/// Attributes of metrics and spans.
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub const TOKEN_TYPE: &str = "gen_ai.token.type";
pub const ERROR_TYPE: &str = "error.type";

/// Attributes of spans alone.
pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub const USAGE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub const USAGE_REASONING_OUTPUT_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";

/// Attributes of spans for which the conventions have no name.
pub const CALL: &str = "isonomy.call";
pub const NAMESPACE: &str = "isonomy.namespace";
pub const KEY: &str = "isonomy.key";
pub const WORKFLOW: &str = "isonomy.workflow";
pub const RUN: &str = "isonomy.run";
pub const DEGRADED: &str = "isonomy.degraded";

/// Bounds of buckets, as the conventions ask for them: tokens, and seconds.
pub const TOKEN_BOUNDS: [u64; 14] = [
    1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    67_108_864,
];
/// In millionths of a second.
pub const DURATION_BOUNDS: [u64; 14] = [
    10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000, 2_560_000, 5_120_000,
    10_240_000, 20_480_000, 40_960_000, 81_920_000,
];

/// Hosts of providers that have a name of their own, and those below them.
const HOSTS: [(&str, Provider); 12] = [
    ("api.openai.com", Provider("openai")),
    ("api.anthropic.com", Provider("anthropic")),
    ("openai.azure.com", Provider("azure.ai.openai")),
    ("api.mistral.ai", Provider("mistral_ai")),
    ("api.groq.com", Provider("groq")),
    ("api.deepseek.com", Provider("deepseek")),
    ("api.x.ai", Provider("x_ai")),
    ("api.perplexity.ai", Provider("perplexity")),
    ("api.cohere.com", Provider("cohere")),
    ("generativelanguage.googleapis.com", Provider("gcp.gemini")),
    ("aiplatform.googleapis.com", Provider("gcp.vertex_ai")),
    ("amazonaws.com", Provider("aws.bedrock")),
];

/// Who answers, as far as the definition of a model says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Provider(&'static str);

impl Provider {
    /// Of a model that there is no more.
    pub const OTHER: Self = Self("_OTHER");

    /// By the upstream's host, where it is a known one; else by the dialect that it speaks, which servers of
    /// many makers do.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let Source::Upstream(upstream) = source else { return Self("isonomy") };
        let host = address(&upstream.url).map_or("", |(origin, _)| host(origin));
        let is_its = |known: &str| {
            host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let known = HOSTS.into_iter().find(|(known, _)| is_its(known)).map(|(_, it)| it);
        known.unwrap_or(match upstream.dialect {
            Dialect::OpenAi => Self("openai"),
            Dialect::Anthropic => Self("anthropic"),
            Dialect::OpenInference => Self("open_inference"),
        })
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

fn host(origin: &str) -> &str {
    let rest = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    rest.split_once(':').map_or(rest, |(host, _)| host)
}

/// A class of errors that an operation may end with. There are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// What the upstream has answered.
    Status(u16),
    Named(&'static str),
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// One call that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub operation: &'static str,
    pub provider: Provider,
    /// The name that was asked for, which may be a route's.
    pub asked: ModelName,
    /// Whose answer the client has got.
    pub answered: Option<ModelName>,
    pub error: Option<ErrorKind>,
    pub micros: u64,
    /// Of an answer that came as a stream.
    pub first_micros: Option<u64>,
    /// Over all models that were paid.
    pub used: Option<Used>,
}

impl Observed {
    /// None where nobody knows how long it took: its program ended before the call did. `provider` says whose
    /// a model is.
    #[must_use]
    pub fn of(
        admitted: &Admitted,
        settled: &Settled,
        provider: impl FnOnce(&ModelName) -> Provider,
    ) -> Option<Self> {
        let error = match settled.end {
            End::Answered => None,
            End::Unknown => return None,
            End::Refused | End::Failed => Some(missed(settled)),
            End::Withheld => Some(ErrorKind::Named("withheld")),
            End::Left => Some(ErrorKind::Named("left")),
        };
        let last = settled.legs.last().map(|leg| &leg.model);
        let answering = settled.answering().map(|leg| leg.model.clone());
        let answered = answering.filter(|_| matches!(settled.end, End::Answered | End::Left));
        let of = answered.as_ref().or(last).or(admitted.plan.first()).unwrap_or(&admitted.asked);
        let mut used = settled.bills.iter().filter_map(|bill| bill.usage);
        let used = used.next().map(|first| {
            used.fold(first, |mut sum, more| {
                sum.add(&more);
                sum
            })
        });
        Some(Self {
            operation: operation(admitted.operation),
            provider: provider(of),
            asked: admitted.asked.clone(),
            answered,
            error,
            micros: settled.micros,
            first_micros: settled.first_micros.filter(|_| admitted.streamed),
            used,
        })
    }
}

/// One call for a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub observed: Observed,
    pub call: CallId,
    pub at: Timestamp,
    pub parent: Option<TraceParent>,
    pub namespace: Namespace,
    pub key: Option<KeyName>,
    pub workflow: Option<String>,
    pub run: Option<RunId>,
    pub streamed: bool,
    pub degraded: bool,
}

impl Span {
    /// None where whoever began the trace does not record it.
    #[must_use]
    pub fn of(admitted: &Admitted, settled: &Settled, observed: &Observed) -> Option<Self> {
        if admitted.trace.is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        Some(Self {
            observed: observed.clone(),
            call: admitted.call,
            at: admitted.at,
            parent: admitted.trace,
            namespace: admitted.who.namespace.clone(),
            key: admitted.who.key.clone(),
            workflow: admitted.who.workflow.clone(),
            run: admitted.who.run,
            streamed: admitted.streamed,
            degraded: settled.degraded,
        })
    }

    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.observed.operation, self.observed.asked)
    }

    /// Its place, by the call's own id: one that is sent twice is the same span.
    #[must_use]
    pub fn place(&self) -> TraceParent {
        let id = self.call.as_uuid().as_u128();
        let trace = self.parent.map_or(id, TraceParent::trace);
        // The half that is random.
        TraceParent::new(trace, u64::try_from(id & u128::from(u64::MAX)).unwrap_or(1))
    }
}

const fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat | Operation::Responses | Operation::Messages => "chat",
        Operation::Completions => "text_completion",
        Operation::Embeddings => "embeddings",
        // The conventions have none for tensors.
        Operation::Infer => "infer",
    }
}

/// Why the last leg gave no answer: the status, where there was one.
fn missed(settled: &Settled) -> ErrorKind {
    let Some(leg) = settled.legs.last() else { return ErrorKind::Named("_OTHER") };
    match (leg.status, leg.why) {
        (Some(status), _) if status >= 400 => ErrorKind::Status(status),
        (_, Some(why)) => ErrorKind::Named(name(why)),
        (_, None) => ErrorKind::Named("_OTHER"),
    }
}

/// As in the entry.
const fn name(why: Missed) -> &'static str {
    match why {
        Missed::Outage => "outage",
        Missed::RateLimit => "rate-limit",
        Missed::Credentials => "credentials",
        Missed::Payment => "payment",
        Missed::Busy => "busy",
        Missed::Denied => "denied",
        Missed::Unreachable => "unreachable",
        Missed::Silent => "silent",
        Missed::Broken => "broken",
        Missed::TooLarge => "too-large",
        Missed::Status => "status",
        Missed::NotFound => "not-found",
        Missed::Redirected => "redirected",
        Missed::Budget => "budget",
        Missed::Memory => "memory",
        Missed::Protected => "protected",
        Missed::Dialect => "dialect",
        Missed::Unsure => "unsure",
        Missed::Unjudged => "unjudged",
        Missed::Retries => "retries",
        Missed::Slower => "slower",
        Missed::Absent => "absent",
        Missed::Left => "left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Bill, By, ENTRY_VERSION, Given, Leg};

    fn named(name: &str) -> ModelName {
        ModelName::parse(name).expect("a name")
    }

    fn source(url: &str, dialect: &str) -> Source {
        let upstream = serde_json::json!({ "url": url, "dialect": dialect });
        Source::Upstream(serde_json::from_value(upstream).expect("an upstream"))
    }

    fn admitted() -> Admitted {
        Admitted {
            v: ENTRY_VERSION,
            call: CallId::from_uuid(uuid::Uuid::from_u128(
                0x0123_4567_89ab_7def_8000_0000_0000_0007,
            )),
            at: Timestamp::from_millis(1_000),
            who: By {
                namespace: Namespace::parse("sales").expect("a name"),
                key: None,
                workflow: None,
                run: None,
            },
            operation: Operation::Messages,
            asked: named("writer"),
            plan: vec![named("first"), named("second")],
            streamed: true,
            held: Vec::new(),
            bound: None,
            effect: None,
            trace: None,
            needs: crate::Needs::default(),
            watched: None,
        }
    }

    fn leg(model: &str, status: Option<u16>, why: Option<Missed>) -> Leg {
        Leg { model: named(model), status, why, cause: None, micros: 1, hidden: None }
    }

    fn settled(end: End, legs: Vec<Leg>) -> Settled {
        let used = |input, output| Some(Used { input, output, ..Used::default() });
        let bill = |usage| Bill {
            model: named("m"),
            usage,
            cost: None,
            is_free: false,
            is_bound: false,
            lines: Vec::new(),
            price: None,
        };
        let first_micros = Some(5);
        let bills = vec![bill(used(3, 4)), bill(None), bill(used(10, 20))];
        Settled {
            end,
            legs,
            bills,
            first_micros,
            micros: 9,
            ..Settled::unknown(&admitted(), admitted().at)
        }
    }

    fn observed(end: End, legs: Vec<Leg>) -> Option<Observed> {
        Observed::of(&admitted(), &settled(end, legs), |model| {
            if model.as_str() == "second" {
                Provider::of(&source("http://h/v1", "anthropic"))
            } else {
                Provider::OTHER
            }
        })
    }

    /// Mutation: take whoever was tried last for whoever has answered.
    #[test]
    fn who_was_tried_last_need_not_have_answered() {
        let legs = || {
            vec![
                leg("first", Some(200), Some(Missed::Unsure)),
                leg("second", None, Some(Missed::Silent)),
            ]
        };
        let answered = |resort| {
            let settled = Settled { resort, ..settled(End::Answered, legs()) };
            settled.answering().map(|leg| leg.model.clone())
        };
        assert_eq!(answered(Some(Given::Unsure)), Some(named("first")));
        assert_eq!((answered(Some(Given::Rule)), answered(None)), (None, None));
        let by_rule = Settled { resort: Some(Given::Rule), ..settled(End::Answered, legs()) };
        let seen = Observed::of(&admitted(), &by_rule, |_| Provider::OTHER).expect("it has ended");
        assert_eq!(seen.answered, None);
    }

    /// Mutation: take a server's maker by its dialect where its host says another, or a host that only ends alike.
    #[test]
    fn a_provider_is_known_by_its_host() {
        for (url, dialect, expected) in [
            ("https://api.openai.com/v1", "open-ai", "openai"),
            ("https://api.mistral.ai/v1", "open-ai", "mistral_ai"),
            ("https://eu.openai.azure.com:443/v1", "open-ai", "azure.ai.openai"),
            ("https://api.groq.com.example/v1", "open-ai", "openai"),
            ("https://notapi.x.ai", "anthropic", "anthropic"),
            ("http://127.0.0.1:8000", "open-inference", "open_inference"),
        ] {
            assert_eq!(Provider::of(&source(url, dialect)).as_str(), expected, "{url}");
        }
    }

    /// Mutation: name the model that was asked for as the one that answered, count one bill alone, or give a call
    /// without a stream a first piece.
    #[test]
    fn a_call_is_told_by_who_answered_it() {
        let legs = vec![leg("first", None, Some(Missed::Outage)), leg("second", Some(200), None)];
        let found = observed(End::Answered, legs.clone()).expect("observed");
        assert_eq!((found.operation, found.provider.as_str()), ("chat", "anthropic"));
        assert_eq!((found.asked, found.answered), (named("writer"), Some(named("second"))));
        assert_eq!((found.error, found.micros, found.first_micros), (None, 9, Some(5)));
        assert_eq!(found.used.map(|it| (it.input, it.output)), Some((13, 24)));
        let whole = Admitted { streamed: false, ..admitted() };
        let found = Observed::of(&whole, &settled(End::Answered, legs), |_| Provider::OTHER);
        assert_eq!(found.expect("observed").first_micros, None);
        assert_eq!(observed(End::Unknown, Vec::new()), None);
    }

    /// Mutation: tell an upstream's status as ours, or the error of another leg than the last.
    #[test]
    fn an_error_is_of_a_closed_list() {
        let error = |end, legs| {
            let found = observed(end, legs).expect("observed");
            assert_eq!(found.answered.is_some(), end == End::Left);
            found.error.expect("an error").to_string()
        };
        let [gone, refused] = [
            leg("first", None, Some(Missed::Unreachable)),
            leg("second", Some(429), Some(Missed::RateLimit)),
        ];
        assert_eq!(error(End::Failed, vec![gone.clone(), refused.clone()]), "429");
        assert_eq!(error(End::Failed, vec![refused, gone]), "unreachable");
        assert_eq!(error(End::Failed, vec![leg("m", Some(200), Some(Missed::Broken))]), "broken");
        assert_eq!(error(End::Failed, Vec::new()), "_OTHER");
        assert_eq!(error(End::Refused, vec![leg("m", Some(400), None)]), "400");
        assert_eq!(error(End::Left, vec![leg("m", Some(200), None)]), "left");
        assert_eq!(error(End::Withheld, vec![leg("m", Some(200), None)]), "withheld");
    }

    /// Mutation: begin a trace of its own under somebody's, give each telling another id, or tell what is not
    /// recorded.
    #[test]
    fn a_span_has_its_place_by_the_calls_id() {
        let span = |trace: Option<&str>| {
            let trace = trace.map(|text| text.parse().expect("a trace"));
            let admitted = Admitted { trace, ..admitted() };
            let settled = settled(End::Answered, vec![leg("second", Some(200), None)]);
            let observed =
                Observed::of(&admitted, &settled, |_| Provider::OTHER).expect("observed");
            Span::of(&admitted, &settled, &observed)
        };
        let own = span(None).expect("a span");
        assert_eq!(own.name(), "chat writer");
        assert_eq!(
            own.place().to_string(),
            "00-0123456789ab7def8000000000000007-8000000000000007-01"
        );
        let traced = span(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        let place = traced.expect("a span").place();
        assert_eq!(place.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-8000000000000007-01");
        assert_eq!(span(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")), None);
    }

    /// Mutation: tell a reason in other words than the entry has.
    #[test]
    fn reasons_are_called_as_in_the_entry() {
        for why in [
            Missed::Outage,
            Missed::RateLimit,
            Missed::Credentials,
            Missed::Payment,
            Missed::Busy,
            Missed::Denied,
            Missed::Unreachable,
            Missed::Silent,
            Missed::Broken,
            Missed::TooLarge,
            Missed::Status,
            Missed::Budget,
            Missed::Memory,
            Missed::Protected,
            Missed::Dialect,
            Missed::Unsure,
            Missed::Unjudged,
            Missed::Retries,
            Missed::Slower,
            Missed::Absent,
        ] {
            let written = serde_json::to_value(why).expect("a text");
            assert_eq!(written, name(why));
        }
    }
}
