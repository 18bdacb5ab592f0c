//! What a call used. How providers report it is in `reported`.

use serde::{Deserialize, Deserializer, Serialize};

use crate::class::{Class, PerClass};

/// A hundred times the widest context that any model has. More is no count of one call.
pub const UNITS_MAX: u64 = 1_000_000_000;

/// Why a report of usage cannot be billed. The caller charges what it had held back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("the report of usage is not JSON of the expected form (line {line}, column {column})")]
    Syntax { line: usize, column: usize },
    #[error("`{field}` is not a whole number of zero or more")]
    NotACount { field: &'static str },
    #[error("`{field}` is missing from the report of usage")]
    Missing { field: &'static str },
    #[error("`{field}` is over {UNITS_MAX}, which no call uses")]
    TooMany { field: &'static str },
    #[error("`{part}` is more than `{whole}`, which it is part of")]
    MoreThan { part: &'static str, whole: &'static str },
}

/// In which manner a provider served a call; each may have prices of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    #[default]
    Standard,
    Batch,
    Flex,
    Priority,
    /// One that has no name here. It has no price.
    Other,
}

impl Service {
    /// Those that can have a price.
    pub const PRICED: [Self; 4] = [Self::Standard, Self::Batch, Self::Flex, Self::Priority];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Other => "other",
        }
    }

    /// By the names that providers use.
    #[must_use]
    pub fn named(text: &str) -> Self {
        match text {
            "standard" | "default" | "auto" | "on_demand" | "standard_only" => Self::Standard,
            "batch" => Self::Batch,
            "flex" => Self::Flex,
            "priority" => Self::Priority,
            _ => Self::Other,
        }
    }
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(crate::reported::ServiceNamed)
    }
}

/// Counts as providers make them: `input` and `output` are wholes, what stands below each is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub audio_in: u64,
    pub image_in: u64,
    pub output: u64,
    pub reasoning: u64,
    pub audio_out: u64,
    pub image_out: u64,
    pub images: u64,
    pub searches: u64,
    pub requests: u64,
    pub milliseconds: u64,
    pub service: Service,
}

impl Default for Totals {
    /// One request that used nothing.
    fn default() -> Self {
        Self {
            input: 0,
            cache_read: 0,
            cache_write_5m: 0,
            cache_write_1h: 0,
            audio_in: 0,
            image_in: 0,
            output: 0,
            reasoning: 0,
            audio_out: 0,
            image_out: 0,
            images: 0,
            searches: 0,
            requests: 1,
            milliseconds: 0,
            service: Service::Standard,
        }
    }
}

/// What one call used, each unit in one class, and no class over [`UNITS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Usage {
    counts: PerClass<u64>,
    service: Service,
}

impl Usage {
    pub fn of(totals: &Totals) -> Result<Self, UsageError> {
        totals.check()?;
        let mut counts = PerClass::default();
        totals.split_input(&mut counts)?;
        totals.split_output(&mut counts)?;
        counts[Class::Image] = totals.images;
        counts[Class::Search] = totals.searches;
        counts[Class::Request] = totals.requests;
        counts[Class::Millisecond] = totals.milliseconds;
        Ok(Self { counts, service: totals.service })
    }

    #[must_use]
    pub fn count(&self, class: Class) -> u64 {
        self.counts[class]
    }

    #[must_use]
    pub const fn service(&self) -> Service {
        self.service
    }

    /// All tokens of input, cached ones included.
    #[must_use]
    pub fn input_tokens(&self) -> u64 {
        Class::INPUT.into_iter().map(|class| self.counts[class]).sum()
    }

    #[must_use]
    pub fn output_tokens(&self) -> u64 {
        Class::OUTPUT.into_iter().map(|class| self.counts[class]).sum()
    }

    /// For what no report of usage says: images are counted in the answer, searches in its items, and
    /// time by the caller's clock.
    pub fn with(self, class: Class, count: u64) -> Result<Self, UsageError> {
        if class.is_token() {
            return Err(UsageError::NotACount { field: class.column() });
        }
        let mut counts = self.counts;
        counts[class] = within(class.column(), count)?;
        Ok(Self { counts, ..self })
    }

    /// Where the caller asked for a manner of service that the report does not repeat.
    #[must_use]
    pub const fn served(self, service: Service) -> Self {
        Self { service, ..self }
    }
}

pub(crate) const fn within(field: &'static str, count: u64) -> Result<u64, UsageError> {
    if count > UNITS_MAX { Err(UsageError::TooMany { field }) } else { Ok(count) }
}

impl Totals {
    fn check(&self) -> Result<(), UsageError> {
        let wholes = [("input", self.input), ("output", self.output)];
        let alone = [
            ("images", self.images),
            ("searches", self.searches),
            ("requests", self.requests),
            ("milliseconds", self.milliseconds),
        ];
        for (field, count) in wholes.into_iter().chain(alone) {
            within(field, count)?;
        }
        let of_input = [
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
            ("audio_in", self.audio_in),
            ("image_in", self.image_in),
        ];
        let of_output = [
            ("reasoning", self.reasoning),
            ("audio_out", self.audio_out),
            ("image_out", self.image_out),
        ];
        for (part, count) in of_input {
            at_most(part, count, "input", self.input)?;
        }
        for (part, count) in of_output {
            at_most(part, count, "output", self.output)?;
        }
        Ok(())
    }

    /// Cached audio is counted by providers as cached and as audio. It is billed as audio, which is the
    /// dearer reading.
    fn split_input(&self, counts: &mut PerClass<u64>) -> Result<(), UsageError> {
        let fixed = self.cache_write_5m + self.cache_write_1h + self.audio_in + self.image_in;
        let rest = self.input.checked_sub(fixed);
        let rest = rest.ok_or(UsageError::MoreThan { part: "cache_write", whole: "input" })?;
        if self.cache_read > rest && self.audio_in + self.image_in == 0 {
            return Err(UsageError::MoreThan { part: "cache_read", whole: "input" });
        }
        let cache_read = self.cache_read.min(rest);
        counts[Class::CacheRead] = cache_read;
        counts[Class::CacheWrite5m] = self.cache_write_5m;
        counts[Class::CacheWrite1h] = self.cache_write_1h;
        counts[Class::AudioIn] = self.audio_in;
        counts[Class::ImageIn] = self.image_in;
        counts[Class::Input] = rest - cache_read;
        Ok(())
    }

    fn split_output(&self, counts: &mut PerClass<u64>) -> Result<(), UsageError> {
        let rest = self.output.checked_sub(self.reasoning + self.audio_out + self.image_out);
        counts[Class::Output] =
            rest.ok_or(UsageError::MoreThan { part: "reasoning", whole: "output" })?;
        counts[Class::Reasoning] = self.reasoning;
        counts[Class::AudioOut] = self.audio_out;
        counts[Class::ImageOut] = self.image_out;
        Ok(())
    }
}

const fn at_most(
    part: &'static str,
    count: u64,
    whole: &'static str,
    limit: u64,
) -> Result<(), UsageError> {
    if count > limit { Err(UsageError::MoreThan { part, whole }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals() -> Totals {
        Totals { input: 100, output: 50, ..Totals::default() }
    }

    /// Mutation: count cached tokens twice, or leave the overlap of audio and cache to the cache.
    #[test]
    fn every_token_falls_into_one_class() {
        let given = Totals { cache_read: 60, cache_write_1h: 10, reasoning: 20, ..totals() };
        let usage = Usage::of(&given).expect("sane");
        assert_eq!((usage.input_tokens(), usage.output_tokens()), (100, 50));
        assert_eq!(usage.count(Class::Input), 30);
        assert_eq!(usage.count(Class::Output), 30);
        let heard = Usage::of(&Totals { cache_read: 70, audio_in: 60, ..totals() }).expect("sane");
        assert_eq!((heard.count(Class::AudioIn), heard.count(Class::CacheRead)), (60, 40));
        assert_eq!(heard.input_tokens(), 100);
    }

    /// Mutation: drop a check, or clip a part to its whole instead.
    #[test]
    fn nonsense_is_refused() {
        let check = |totals: Totals, expected| assert_eq!(Usage::of(&totals), Err(expected));
        let more = |part, whole| UsageError::MoreThan { part, whole };
        check(Totals { cache_read: 101, ..totals() }, more("cache_read", "input"));
        check(Totals { audio_in: 101, ..totals() }, more("audio_in", "input"));
        check(
            Totals { cache_write_5m: 60, cache_write_1h: 60, ..totals() },
            more("cache_write", "input"),
        );
        check(
            Totals { cache_read: 60, cache_write_5m: 60, ..totals() },
            more("cache_read", "input"),
        );
        check(Totals { reasoning: 51, ..totals() }, more("reasoning", "output"));
        check(Totals { reasoning: 30, audio_out: 30, ..totals() }, more("reasoning", "output"));
        let many = UNITS_MAX + 1;
        check(Totals { input: many, ..totals() }, UsageError::TooMany { field: "input" });
        check(Totals { cache_read: u64::MAX, ..totals() }, more("cache_read", "input"));
        check(Totals { images: many, ..totals() }, UsageError::TooMany { field: "images" });
    }

    /// Mutation: let tokens be set past the check of the wholes.
    #[test]
    fn what_no_report_says_can_be_added() {
        let usage = Usage::of(&totals()).expect("sane");
        assert_eq!(usage.with(Class::Image, 3).expect("a count").count(Class::Image), 3);
        assert!(usage.with(Class::Input, 3).is_err());
        assert!(usage.with(Class::Millisecond, UNITS_MAX + 1).is_err());
        assert_eq!(usage.served(Service::Batch).service(), Service::Batch);
    }
}
