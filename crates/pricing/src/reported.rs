//! Usage as providers report it: the `usage` object of an answer, read where it lies.
//!
//! Unknown fields are passed over, and so are fields that are `null`; a known field with nonsense in it
//! is an error, so that the caller charges what it had held back. Nothing of an answer is kept or told.

mod count;
mod item;
mod round;

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use self::count::Count;
use self::item::Item;
use self::round::Rounds;
use crate::usage::{Service, Totals, Usage, UsageError};

/// Whose words a report uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Chat completions, completions, responses, images: `prompt_tokens` or `input_tokens` holds the
    /// cached ones too.
    OpenAi,
    /// Embeddings and rankings: some providers say `total_tokens` alone, and all of it is input.
    Embeddings,
    /// The Messages API, and Bedrock's Converse: `input_tokens` are those that no cache had to do with.
    Messages,
}

/// Reads the body of a whole answer, or of one event of a stream. None where it reports no usage.
pub fn read(dialect: Dialect, body: &[u8]) -> Result<Option<Usage>, UsageError> {
    let answer = Answer::read(body)?;
    answer.reported().map(|reported| reported.usage(dialect)).transpose()
}

/// The parts of an answer or event that may hold usage.
#[derive(Deserialize)]
pub(crate) struct Answer {
    #[serde(default, rename = "type")]
    pub(crate) event: Event,
    #[serde(default)]
    usage: Option<Reported>,
    #[serde(default)]
    service_tier: Option<Service>,
    /// Of events of the Responses API.
    #[serde(default)]
    response: Option<Inner>,
    /// Of the first event of the Messages API. In other answers a text may have this name.
    #[serde(default)]
    message: Within,
    /// Where Groq's streams have it.
    #[serde(default)]
    x_groq: Option<Inner>,
    /// Items of the Responses API.
    #[serde(default)]
    output: Item,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    finish_reason: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    usage: Option<Reported>,
    #[serde(default)]
    service_tier: Option<Service>,
    #[serde(default)]
    output: Item,
}

impl Inner {
    fn reported(self) -> Option<Reported> {
        Some(self.usage?.served(self.service_tier).searched(self.output.searches))
    }
}

/// An object that may be something else.
#[derive(Default)]
struct Within(Option<Inner>);

/// What kind of event this is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Event {
    MessageStart,
    MessageDelta,
    MessageStop,
    ResponseEnd,
    #[default]
    Other,
}

impl Answer {
    pub(crate) fn read(body: &[u8]) -> Result<Self, UsageError> {
        // What serde says may quote the answer.
        serde_json::from_slice(body)
            .map_err(|error| UsageError::Syntax { line: error.line(), column: error.column() })
    }

    pub(crate) fn reported(self) -> Option<Reported> {
        let (usage, service_tier, output) = (self.usage, self.service_tier, self.output);
        let outer = Inner { usage, service_tier, output };
        let all = [Some(outer), self.response, self.message.0, self.x_groq];
        all.into_iter().flatten().find_map(Inner::reported)
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    cache_creation_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct ServerTools {
    web_search_requests: Count,
}

/// The union of all `usage` objects.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reported {
    prompt_tokens: Count,
    completion_tokens: Count,
    #[serde(alias = "totalTokens")]
    total_tokens: Count,
    #[serde(alias = "inputTokens")]
    input_tokens: Count,
    #[serde(alias = "outputTokens")]
    output_tokens: Count,
    prompt_tokens_details: Option<InputDetails>,
    input_tokens_details: Option<InputDetails>,
    completion_tokens_details: Option<OutputDetails>,
    output_tokens_details: Option<OutputDetails>,
    /// What others call `cached_tokens`.
    prompt_cache_hit_tokens: Count,
    num_cached_tokens: Count,
    cached_tokens: Count,
    #[serde(alias = "cacheReadInputTokens")]
    cache_read_input_tokens: Count,
    #[serde(alias = "cacheWriteInputTokens")]
    cache_creation_input_tokens: Count,
    cache_creation: Option<CacheCreation>,
    server_tool_use: Option<ServerTools>,
    service_tier: Option<Service>,
    speed: Option<Speed>,
    /// Of the Messages API: rounds of one call.
    iterations: Rounds,
    /// Of the Responses API, counted in its items: searches are in no report there.
    #[serde(skip)]
    searched: u64,
}

/// Of the Messages API: what is served faster costs more, and no list here says how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speed {
    Standard,
    #[serde(other)]
    Other,
}

impl Answer {
    /// Whether no choice goes on behind this event.
    pub(crate) fn is_last(&self) -> bool {
        let choices = self.choices.as_deref();
        choices.is_some_and(|all| all.iter().all(|it| it.finish_reason.is_some()))
    }
}

impl Reported {
    fn served(self, service: Option<Service>) -> Self {
        Self { service_tier: self.service_tier.or(service), ..self }
    }

    const fn searched(self, searched: u64) -> Self {
        Self { searched, ..self }
    }

    fn service(&self) -> Service {
        match self.speed {
            Some(Speed::Other) => Service::Other,
            Some(Speed::Standard) | None => self.service_tier.unwrap_or_default(),
        }
    }

    pub(crate) fn usage(&self, dialect: Dialect) -> Result<Usage, UsageError> {
        let totals = match dialect {
            Dialect::OpenAi => self.whole()?,
            Dialect::Embeddings => self.embedded()?,
            Dialect::Messages => self.message()?,
        };
        Usage::of(&totals)
    }

    /// The later report of one stream of the Messages API, which repeats only what has changed.
    pub(crate) fn grown(self, later: &Self) -> Self {
        let creation = match (self.cache_creation, later.cache_creation) {
            (Some(before), Some(after)) => Some(CacheCreation {
                ephemeral_5m_input_tokens: before
                    .ephemeral_5m_input_tokens
                    .grown(after.ephemeral_5m_input_tokens),
                ephemeral_1h_input_tokens: before
                    .ephemeral_1h_input_tokens
                    .grown(after.ephemeral_1h_input_tokens),
            }),
            (before, after) => after.or(before),
        };
        Self {
            input_tokens: self.input_tokens.grown(later.input_tokens),
            output_tokens: self.output_tokens.grown(later.output_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .grown(later.cache_read_input_tokens),
            cache_creation_input_tokens: self
                .cache_creation_input_tokens
                .grown(later.cache_creation_input_tokens),
            cache_creation: creation,
            server_tool_use: later.server_tool_use.or(self.server_tool_use),
            service_tier: later.service_tier.or(self.service_tier),
            speed: later.speed.or(self.speed),
            iterations: if later.iterations.is_there { later.iterations } else { self.iterations },
            ..self
        }
    }

    /// The later report of one stream, where each says all: some servers end with one that says nothing, or less.
    pub(crate) fn or_more(self, later: Self, dialect: Dialect) -> Self {
        let all = |usage: &Usage| usage.input_tokens() + usage.output_tokens();
        match (self.usage(dialect), later.usage(dialect)) {
            (Ok(before), Ok(after)) if all(&before) > all(&after) => self,
            (Ok(_), Err(UsageError::Missing { .. })) => self,
            _ => later,
        }
    }

    fn whole(&self) -> Result<Totals, UsageError> {
        let prompt = self.prompt_tokens.grown(self.input_tokens).read("prompt_tokens")?;
        let shown = self.completion_tokens.grown(self.output_tokens).read("completion_tokens")?;
        let input = prompt.ok_or(UsageError::Missing { field: "prompt_tokens" })?;
        let inputs = self.prompt_tokens_details.or(self.input_tokens_details).unwrap_or_default();
        let outputs = self.completion_tokens_details.or(self.output_tokens_details);
        let outputs = outputs.unwrap_or_default();
        let shown = shown.unwrap_or_default();
        // Gemini and xAI count thinking in the total alone.
        let total = self.total_tokens.or_zero("total_tokens")?;
        let hidden = total.saturating_sub(input + shown);
        let reasoning = outputs.reasoning_tokens.or_zero("reasoning_tokens")?;
        Ok(Totals {
            input,
            cache_read: self.cached(&inputs)?,
            cache_write_5m: self.cache_written(&inputs)?,
            audio_in: inputs.audio_tokens.or_zero("audio_tokens")?,
            image_in: inputs.image_tokens.or_zero("image_tokens")?,
            output: shown + hidden,
            reasoning: reasoning.max(hidden),
            audio_out: outputs.audio_tokens.or_zero("audio_tokens")?,
            image_out: outputs.image_tokens.or_zero("image_tokens")?,
            searches: self.searches()?.saturating_add(self.searched),
            service: self.service(),
            ..Totals::default()
        })
    }

    fn cached(&self, details: &InputDetails) -> Result<u64, UsageError> {
        let same = [
            self.prompt_cache_hit_tokens,
            self.num_cached_tokens,
            self.cached_tokens,
            self.cache_read_input_tokens,
        ];
        let cached = same.into_iter().fold(details.cached_tokens, Count::grown);
        cached.or_zero("cached_tokens")
    }

    fn cache_written(&self, details: &InputDetails) -> Result<u64, UsageError> {
        let same = [details.cache_creation_tokens, self.cache_creation_input_tokens];
        let written = same.into_iter().fold(details.cache_write_tokens, Count::grown);
        written.or_zero("cache_write_tokens")
    }

    fn embedded(&self) -> Result<Totals, UsageError> {
        let counts = [self.input_tokens, self.total_tokens];
        let input = counts.into_iter().fold(self.prompt_tokens, Count::grown);
        let input = input.read("prompt_tokens")?;
        let input = input.ok_or(UsageError::Missing { field: "prompt_tokens" })?;
        let service = self.service();
        let details = self.prompt_tokens_details.or(self.input_tokens_details).unwrap_or_default();
        let image_in = details.image_tokens.or_zero("image_tokens")?;
        Ok(Totals { input, image_in, service, ..Totals::default() })
    }

    fn message(&self) -> Result<Totals, UsageError> {
        let missing = |field| UsageError::Missing { field };
        let plain = self.input_tokens.read("input_tokens")?;
        let plain = plain.ok_or(missing("input_tokens"))?;
        let output = self.output_tokens.read("output_tokens")?;
        let output = output.ok_or(missing("output_tokens"))?;
        let cache_read = self.cache_read_input_tokens.or_zero("cache_read_input_tokens")?;
        let (cache_write_5m, cache_write_1h) = self.created()?;
        let outputs = self.output_tokens_details.unwrap_or_default();
        // What a conversation was made shorter with is billed, and in none of the counts above.
        let round = |count: Count| count.or_zero("iterations");
        let compacted = self.iterations;
        let cache_read = cache_read + round(compacted.cache_read)?;
        let cache_write_5m = cache_write_5m + round(compacted.cache_write)?;
        let plain = plain + round(compacted.input)?;
        let output = output + round(compacted.output)?;
        Ok(Totals {
            input: plain + cache_read + cache_write_5m + cache_write_1h,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning: outputs.reasoning_tokens.or_zero("reasoning_tokens")?,
            searches: self.searches()?,
            service: self.service(),
            ..Totals::default()
        })
    }

    /// Written to the cache for minutes, and for an hour. Where nothing says for how long, for minutes.
    fn created(&self) -> Result<(u64, u64), UsageError> {
        let all = self.cache_creation_input_tokens.read("cache_creation_input_tokens")?;
        let details = self.cache_creation.unwrap_or_default();
        let short = details.ephemeral_5m_input_tokens.or_zero("ephemeral_5m_input_tokens")?;
        let long = details.ephemeral_1h_input_tokens.or_zero("ephemeral_1h_input_tokens")?;
        let all = all.unwrap_or(short + long);
        if short + long > all {
            let (part, whole) = ("cache_creation", "cache_creation_input_tokens");
            return Err(UsageError::MoreThan { part, whole });
        }
        Ok((all - long, long))
    }

    fn searches(&self) -> Result<u64, UsageError> {
        self.server_tool_use.unwrap_or_default().web_search_requests.or_zero("web_search_requests")
    }
}

/// Reads a name without keeping it.
pub(crate) struct ServiceNamed;

impl Visitor<'_> for ServiceNamed {
    type Value = Service;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a service tier")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Service, E> {
        Ok(Service::named(text))
    }
}

struct EventNamed;

impl Visitor<'_> for EventNamed {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an event")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Event, E> {
        Ok(match text {
            "message_start" => Event::MessageStart,
            "message_delta" => Event::MessageDelta,
            "message_stop" => Event::MessageStop,
            "response.completed" | "response.incomplete" | "response.failed" => Event::ResponseEnd,
            _ => Event::Other,
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Event, E> {
        Ok(Event::Other)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventNamed)
    }
}

struct WithinRead;

impl<'de> Visitor<'de> for WithinRead {
    type Value = Within;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a text")
    }

    fn visit_unit<E: Error>(self) -> Result<Within, E> {
        Ok(Within(None))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Within, E> {
        Ok(Within(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Within, A::Error> {
        Inner::deserialize(serde::de::value::MapAccessDeserializer::new(map))
            .map(|it| Within(Some(it)))
    }
}

impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithinRead)
    }
}
