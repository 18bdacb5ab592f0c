//! `kind: Model`: a name that answers calls, and what is known of it.

use std::collections::{BTreeMap, BTreeSet};

use base::{Digest, Duration, Namespace};
use dialects::Translation;
use pricing::{
    Amount, Class, Currency, OWN, Offer, PerClass, Price, PriceError, Service, Sheet, Span,
};
use serde::{Deserialize, Serialize};

use crate::name::ModelName;
use crate::operation::Operation;
use crate::protect::{ProtectError, ProtectSpec, Protection};
use crate::route::CacheSpec;
use crate::source::{Artifact, Dialect, Source, Upstream, address};

/// Calls of one model at once, where its definition does not say: what a server with one card takes.
pub const CONCURRENCY_USUAL: u32 = 256;

/// More are more sockets than a process has.
pub const CONCURRENCY_MAX: u32 = 8_192;

/// Processes of one artifact, where its definition does not say: more than cores make no sense, and few
/// models are asked that much.
pub const PROCESSES_USUAL: u32 = 2;

/// More processes than the cores of a large machine only take memory from each other.
pub const PROCESSES_MAX: u32 = 128;

/// Calls of one artifact that wait, where its definition does not say. At a millisecond each, the last one
/// waits a second.
pub const QUEUE_USUAL: u32 = 1_000;

/// Each holds its request in memory.
pub const QUEUE_MAX: u32 = 100_000;

/// How long a call of an artifact may take: what runs on a site's disk answers in milliseconds, or is
/// loaded in seconds.
pub const DEADLINE_USUAL: Duration = Duration::from_secs(30);

/// How long an upstream may think before its first byte: longer than any model that streams takes.
pub const FIRST_BYTE_USUAL: Duration = Duration::from_secs(120);

/// How long it may then say nothing.
pub const SILENCE_USUAL: Duration = Duration::from_secs(60);

/// An hour is a batch, and no answer.
pub const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Tokens that a limit can name: more than any model takes or gives.
const TOKENS_MAX: u64 = 100_000_000;

/// Namespaces that one model can be shared with by name.
const SHARED_MAX: usize = 1_000;

/// A model as its owner has written it down. What is not said is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ModelSpec {
    pub source: Source,
    pub region: Option<String>,
    pub share: BTreeSet<String>,
    pub operations: BTreeSet<Operation>,
    /// What it takes beside words, as far as anybody has said so.
    pub takes: BTreeSet<Takes>,
    pub limits: Limits,
    pub price: Option<PriceSpec>,
    pub protect: Option<ProtectSpec>,
    /// Whether the same question gets the same answer for a while.
    pub cache: Option<CacheSpec>,
}

/// As it stands in a document, where its source is one of two members.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Upstream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact: Option<Artifact>,
    /// Where it computes, for routes and policies: `eu`, `us-east`, `here`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// Namespaces that may call it beside its own; `*` is all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    share: BTreeSet<String>,
    /// What its upstream has; all that its dialect has, by default. The rest is translated.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    operations: BTreeSet<Operation>,
    /// What it takes beside words. Calls are sent to it whatever is said here; what could be answered at the
    /// site is judged by it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    takes: BTreeSet<Takes>,
    #[serde(default, skip_serializing_if = "Limits::is_usual")]
    limits: Limits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<PriceSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protect: Option<ProtectSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache: Option<CacheSpec>,
}

/// What a model may take beside words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    Tools,
    Images,
    /// Answers in a form that the question gives.
    Schema,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Of one answer. A request that asks for more, or says nothing, gets this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
    /// Calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Calls of an artifact that wait for their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Of one call of an artifact, with its waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence_seconds: Option<u64>,
}

/// What it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum PriceSpec {
    /// Nothing: each call costs 0.
    Free,
    /// As the catalogue says of this model: `openai/gpt-4o-mini`.
    Catalogue(String),
    Own(OwnPrice),
}

/// Amounts as price lists write them, in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnPrice {
    pub currency: String,
    /// By class, each for as many as lists are written in: tokens by the million.
    pub rates: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("a model has an `upstream` or an `artifact`, and not both")]
    Source,
    #[error("`upstream.url` is not an address such as `https://api.openai.com/v1`: {0}")]
    Url(&'static str),
    #[error("`{name}` is {limit} at most, and more than nothing")]
    Limit { name: &'static str, limit: u64 },
    #[error("`share` names at most {SHARED_MAX} namespaces, or `*`: `{0}` is none")]
    Share(String),
    #[error("`region` has 1 to 63 letters, digits, `-` and `.`")]
    Region,
    #[error("`price.own.currency` has three capital letters, such as `EUR`")]
    Currency,
    #[error("`price.own.rates` has no `{0}`: it takes {known}", known = classes())]
    Class(String),
    #[error("`price.own.rates.{class}` is no amount: {why}")]
    Amount { class: String, why: String },
    #[error("the price is none: {0}")]
    Price(#[from] PriceError),
    #[error("a model of this kind has no `{0}`")]
    Operation(&'static str),
    #[error(transparent)]
    Protect(#[from] ProtectError),
    #[error(
        "a server is given no time for a whole call, so it has no `limits.deadlineSeconds`: say `limits.firstByteSeconds` and `limits.silenceSeconds`"
    )]
    Deadline,
    #[error(
        "`price.own.rates.second` is for tensors and for the site's own files: how long this server works is not seen"
    )]
    Second,
    #[error("`upstream.model` and `upstream.outputParameter` are 1 to 200 printable characters")]
    Text,
}

impl TryFrom<Written> for ModelSpec {
    type Error = SpecError;

    fn try_from(written: Written) -> Result<Self, SpecError> {
        let Written {
            upstream,
            artifact,
            region,
            share,
            operations,
            takes,
            limits,
            price,
            protect,
            cache,
        } = written;
        let source = match (upstream, artifact) {
            (Some(upstream), None) => Source::Upstream(upstream),
            (None, Some(artifact)) => Source::Artifact(artifact),
            (Some(_), Some(_)) | (None, None) => return Err(SpecError::Source),
        };
        Ok(Self { source, region, share, operations, takes, limits, price, protect, cache })
    }
}

impl From<ModelSpec> for Written {
    fn from(spec: ModelSpec) -> Self {
        let ModelSpec { source, region, share, operations, takes, limits, price, protect, cache } =
            spec;
        let (upstream, artifact) = match source {
            Source::Upstream(upstream) => (Some(upstream), None),
            Source::Artifact(artifact) => (None, Some(artifact)),
        };
        Self { upstream, artifact, region, share, operations, takes, limits, price, protect, cache }
    }
}

impl ModelSpec {
    /// Refuses what is no model, before it is written down.
    pub fn check(&self) -> Result<(), SpecError> {
        self.source.check()?;
        let is_region = |text: &String| {
            let is_in = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
            (1..=63).contains(&text.len()) && text.bytes().all(is_in)
        };
        if !self.region.iter().all(is_region) {
            return Err(SpecError::Region);
        }
        let mut shared = self.share.iter();
        let wrong = shared.find(|name| *name != "*" && Namespace::parse(name).is_err());
        if let Some(wrong) = wrong {
            return Err(SpecError::Share(wrong.chars().take(80).collect()));
        }
        if self.share.len() > SHARED_MAX {
            return Err(SpecError::Share(format!("one of {}", self.share.len())));
        }
        let known = self.source.operations();
        if let Some(other) = self.operations.iter().find(|it| !known.contains(it)) {
            return Err(SpecError::Operation(other.as_str()));
        }
        self.limits.check(&self.source)?;
        if let Some(PriceSpec::Own(own)) = &self.price {
            own.price(OWN, OWN)?;
            let upstream = self.source.upstream();
            let speaks = upstream.is_some_and(|it| it.dialect != Dialect::OpenInference);
            if speaks && own.rates.contains_key("second") {
                return Err(SpecError::Second);
            }
        }
        self.protect.as_ref().map_or(Ok(()), ProtectSpec::check)?;
        Ok(())
    }

    /// Whether it computes at the site: at this machine, or at one of these origins.
    #[must_use]
    pub fn is_here(&self, here: &BTreeSet<String>) -> bool {
        self.source.upstream().is_none_or(|upstream| is_here(&upstream.url, here))
    }

    #[must_use]
    pub fn answers(&self, operation: Operation) -> bool {
        self.asked_as(operation).is_some()
    }

    /// In which words it is asked what is asked in these: the same, where it has them.
    #[must_use]
    pub fn asked_as(&self, operation: Operation) -> Option<Operation> {
        let (known, said) = (self.source.operations(), &self.operations);
        let has = |it: &Operation| known.contains(it) && (said.is_empty() || said.contains(it));
        let is_known = |it: &Operation| match (operation.dialect(), it.dialect()) {
            (Some(client), Some(model)) => Translation::is_known(client, model),
            _ => false,
        };
        let mut ways = [operation, Operation::Chat, Operation::Messages].into_iter();
        ways.find(|it| has(it) && (*it == operation || is_known(it)))
    }

    /// Whether somebody of this namespace may call it.
    #[must_use]
    pub fn is_shared_with(&self, namespace: &Namespace) -> bool {
        self.share.contains("*") || self.share.contains(namespace.as_str())
    }
}

/// Whether an address is of the site: of this machine, or of one of these origins.
#[must_use]
pub fn is_here(url: &str, here: &BTreeSet<String>) -> bool {
    let Ok((origin, _)) = address(url) else { return false };
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    is_loopback(host) || here.contains(origin)
}

/// Of a host with its port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
}

impl Limits {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self, source: &Source) -> Result<(), SpecError> {
        let wait = WAIT_MAX.as_millis() / 1_000;
        let calls = match source {
            Source::Upstream(_) => CONCURRENCY_MAX,
            Source::Artifact(_) => PROCESSES_MAX,
        };
        if self.deadline_seconds.is_some() && matches!(source, Source::Upstream(_)) {
            return Err(SpecError::Deadline);
        }
        let all = [
            ("limits.contextTokens", self.context_tokens, TOKENS_MAX),
            ("limits.outputTokens", self.output_tokens, TOKENS_MAX),
            ("limits.imageTokens", self.image_tokens, TOKENS_MAX),
            ("limits.concurrency", self.concurrency.map(u64::from), u64::from(calls)),
            ("limits.queue", self.queue.map(u64::from), u64::from(QUEUE_MAX)),
            ("limits.deadlineSeconds", self.deadline_seconds, wait),
            ("limits.firstByteSeconds", self.first_byte_seconds, wait),
            ("limits.silenceSeconds", self.silence_seconds, wait),
        ];
        match all.into_iter().find(|(_, said, most)| said.is_some_and(|it| it == 0 || it > *most)) {
            Some((name, _, limit)) => Err(SpecError::Limit { name, limit }),
            None => Ok(()),
        }
    }

    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(CONCURRENCY_USUAL)
    }

    /// Processes of an artifact, each with one call.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.concurrency.unwrap_or(PROCESSES_USUAL) as usize
    }

    #[must_use]
    pub fn queue(&self) -> usize {
        self.queue.unwrap_or(QUEUE_USUAL) as usize
    }

    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline_seconds.map_or(DEADLINE_USUAL, Duration::from_secs)
    }

    #[must_use]
    pub fn first_byte(&self) -> Duration {
        self.first_byte_seconds.map_or(FIRST_BYTE_USUAL, Duration::from_secs)
    }

    #[must_use]
    pub fn silence(&self) -> Duration {
        self.silence_seconds.map_or(SILENCE_USUAL, Duration::from_secs)
    }
}

impl OwnPrice {
    /// As a row of a price list that somebody here has written.
    pub fn price(&self, provider: &str, model: &str) -> Result<Price, SpecError> {
        let currency: Currency = self.currency.parse().map_err(|_| SpecError::Currency)?;
        let mut rates: PerClass<Option<Amount>> = PerClass::default();
        for (name, text) in &self.rates {
            let class = Class::named(name)
                .ok_or_else(|| SpecError::Class(name.chars().take(80).collect()))?;
            let wrong = |why: String| SpecError::Amount { class: name.clone(), why };
            let written = Amount::parse(text).map_err(|error| wrong(error.to_string()))?;
            if !written.pico().is_multiple_of(class.per()) {
                return Err(wrong("it is finer than what is reckoned with".to_owned()));
            }
            rates[class] = Some(Amount::from_pico(written.pico() / class.per()));
        }
        let sheet = Sheet { service: Service::Standard, above: 0, span: Span::Whole, rates };
        let offer = Offer {
            provider: provider.to_owned(),
            model: model.to_owned(),
            region: None,
            currency,
            from: None,
            to: None,
            source: pricing::Source {
                url: "the model's definition".to_owned(),
                via: None,
                dated: String::new(),
            },
        };
        let written = serde_json::to_vec(self).expect("texts have JSON");
        Ok(Price::new(offer, vec![sheet])?.listed(Digest::of(&written)))
    }
}

fn classes() -> String {
    Class::ALL.map(|class| format!("`{}`", class.column())).join(", ")
}

/// A model where it is: its name in its namespace, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub namespace: Namespace,
    pub name: ModelName,
    pub spec: ModelSpec,
}

impl Model {
    /// What it is protected by, where the site's owner asks this of all that compute elsewhere.
    #[must_use]
    pub fn protection(&self, least: Option<&ProtectSpec>, here: &BTreeSet<String>) -> Protection {
        Protection::of(self.spec.protect.as_ref(), least, self.spec.is_here(here))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ModelSpec, String> {
        let spec: ModelSpec = serde_json::from_str(json).map_err(|error| error.to_string())?;
        spec.check().map_err(|error| error.to_string())?;
        Ok(spec)
    }

    /// Mutation: take any of these, or lose what was said.
    #[test]
    fn what_is_no_model_is_refused_with_its_place() {
        let url = |url: &str| format!(r#"{{"upstream":{{"url":"{url}"}}}}"#);
        assert!(read(&url("https://api.openai.com/v1")).is_ok());
        let digest = base::Digest::of(b"a file");
        let artifact = format!(r#""artifact":{{"digest":"{digest}","format":"onnx"}}"#);
        assert!(read(&format!("{{{artifact}}}")).is_ok());
        let words = artifact.replace("onnx", "gguf");
        let words = read(&format!("{{{words}}}")).expect("a model of words");
        assert!(words.answers(Operation::Messages) && !words.answers(Operation::Infer));
        let more = |more: &str| format!(r#"{{"upstream":{{"url":"http://h/v1"}},{more}}}"#);
        for (json, expected) in [
            (url("ftp://h"), "`https://`"),
            (url("https://user:secret@h/v1"), "somebody's name"),
            (url("https://h/v1?key=x"), "query"),
            (url("https:///v1"), "no host"),
            (more(r#""limits":{"concurrency":0}"#), "`limits.concurrency` is 8192 at most"),
            (more(r#""limits":{"firstByteSeconds":99999}"#), "`limits.firstByteSeconds`"),
            (more(r#""share":["a b"]"#), "`a b` is none"),
            (more(r#""region":"e u""#), "`region`"),
            (more(r#""operations":["messages"]"#), "no `messages`"),
            (more(r#""price":{"own":{"currency":"euro","rates":{}}}"#), "three capital letters"),
            (more(r#""price":{"own":{"currency":"EUR","rates":{"inputs":"1"}}}"#), "it takes"),
            (more(r#""price":{"own":{"currency":"EUR","rates":{"input":"x"}}}"#), "no amount"),
            (more(r#""prices":"free""#), "unknown field"),
            (more(&artifact), "and not both"),
            (r#"{"price":"free"}"#.to_owned(), "and not both"),
            (format!(r#"{{{artifact},"operations":["chat"]}}"#), "no `chat`"),
            (format!(r#"{{{artifact},"limits":{{"concurrency":129}}}}"#), "128 at most"),
            (r#"{"artifact":{"digest":"b3:x"}}"#.to_owned(), "digest"),
            (format!(r#"{{{}}}"#, artifact.replace("onnx", "pickle")), "unknown variant"),
        ] {
            let said = read(&json).expect_err(&json);
            assert!(said.contains(expected), "{json}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    /// Mutation: reckon a price for one as if it were for a million.
    #[test]
    fn an_own_price_is_written_as_lists_are() {
        let json = r#"{"upstream":{"url":"http://h/v1"},"price":{"own":{"currency":"USD","rates":{"input":"0.15","output":"0.60"}}}}"#;
        let spec = read(json).expect("a model");
        let Some(PriceSpec::Own(own)) = &spec.price else { panic!("{spec:?}") };
        let price = own.price("own", "m").expect("a price");
        let used = pricing::Totals { input: 1_000, output: 10, ..pricing::Totals::default() };
        let usage = pricing::Usage::of(&used).expect("usage");
        assert_eq!(price.cost(&usage).expect("a cost").exact(), "0.000156 USD");
    }

    /// Mutation: take a name that begins like this machine for it, or a port for another machine.
    #[test]
    fn what_computes_at_the_site_is_known_by_its_address() {
        let here = BTreeSet::from(["http://gpu.plant:8000".to_owned()]);
        let is_here = |url: &str| {
            let spec = read(&format!(r#"{{"upstream":{{"url":"{url}"}}}}"#)).expect(url);
            spec.is_here(&here)
        };
        for url in ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:8000/v1"] {
            assert!(is_here(url), "{url}");
        }
        assert!(is_here("http://gpu.plant:8000/v1"));
        for url in ["http://gpu.plant:8001/v1", "https://localhost.example/v1", "http://10.0.0.1"] {
            assert!(!is_here(url), "{url}");
        }
        let digest = base::Digest::of(b"a file");
        let file = format!(r#"{{"artifact":{{"digest":"{digest}"}}}}"#);
        assert!(read(&file).expect("a file").is_here(&BTreeSet::new()));
    }

    /// Mutation: share with everybody what is shared with some, or offer what a dialect lacks.
    #[test]
    fn who_may_call_it_for_what() {
        let json = r#"{"upstream":{"url":"http://h/v1"},"share":["lab"],"operations":["chat"]}"#;
        let spec = read(json).expect("a model");
        let name = |text: &str| Namespace::parse(text).expect("a name");
        assert!(spec.is_shared_with(&name("lab")) && !spec.is_shared_with(&name("shop")));
        assert!(spec.answers(Operation::Chat) && !spec.answers(Operation::Embeddings));
        let all = ModelSpec { operations: BTreeSet::new(), ..spec };
        assert!(all.answers(Operation::Embeddings));
    }

    /// Mutation: ask in words that the upstream has not, or in others than the client's where it has those.
    #[test]
    fn what_an_upstream_lacks_is_asked_in_other_words() {
        use Operation::{Chat, Completions, Embeddings, Messages, Responses};
        let asked = |more: &str| {
            let json = format!(r#"{{"upstream":{{"url":"http://h/v1"{more}}}"#);
            let spec = read(&json).expect(more);
            [Chat, Responses, Messages, Embeddings, Completions].map(|it| spec.asked_as(it))
        };
        let (chat, messages) = (Some(Chat), Some(Messages));
        let all = [chat, Some(Responses), chat, Some(Embeddings), Some(Completions)];
        assert_eq!(asked("}"), all);
        assert_eq!(asked(r#"},"operations":["chat"]"#), [chat, chat, chat, None, None]);
        assert_eq!(
            asked(r#"},"operations":["responses"]"#),
            [None, Some(Responses), None, None, None]
        );
        assert_eq!(asked(r#","dialect":"anthropic"}"#), [messages, messages, messages, None, None]);
    }
}
