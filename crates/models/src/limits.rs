//! `spec.limits` of a route: how much may be asked of it, whoever asks.

use serde::{Deserialize, Serialize};

use crate::definition::CONCURRENCY_MAX;
use crate::rate::PerMinute;

/// Of requests or tokens in a minute: more than any machine answers.
pub const RATE_MAX: u64 = 1_000_000_000_000;

/// In the words of keys, and of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// Which of them is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`limits.{name}` is from 1 to {limit}")]
pub struct RouteLimitsError {
    name: &'static str,
    limit: u64,
}

impl RouteLimits {
    pub fn check(&self) -> Result<(), RouteLimitsError> {
        let all = [
            ("requestsPerMinute", self.requests_per_minute, RATE_MAX),
            ("tokensPerMinute", self.tokens_per_minute, RATE_MAX),
            ("concurrency", self.concurrency.map(u64::from), u64::from(CONCURRENCY_MAX)),
        ];
        match all.into_iter().find(|(_, said, most)| said.is_some_and(|it| it == 0 || it > *most)) {
            Some((name, _, limit)) => Err(RouteLimitsError { name, limit }),
            None => Ok(()),
        }
    }

    #[must_use]
    pub const fn per_minute(&self) -> PerMinute {
        PerMinute { requests: self.requests_per_minute, tokens: self.tokens_per_minute }
    }

    /// Whether anything is limited.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: serde_json::Value) -> Result<RouteLimits, String> {
        let limits: RouteLimits = serde_json::from_value(json).map_err(|it| it.to_string())?;
        limits.check().map(|()| limits).map_err(|it| it.to_string())
    }

    /// Mutation: take a limit of nothing, which no call passes, or one that says nothing of its place.
    #[test]
    fn limits_are_numbers_that_a_call_can_pass() {
        let all = json!({"requestsPerMinute": 60, "tokensPerMinute": 90_000, "concurrency": 8});
        assert_eq!(serde_json::to_value(read(all.clone()).expect("limits")).expect("JSON"), all);
        assert!(!read(json!({})).expect("none").is_any());
        for (wrong, said) in [
            (
                json!({"requestsPerMinute": 0}),
                "`limits.requestsPerMinute` is from 1 to 1000000000000",
            ),
            (json!({"tokensPerMinute": RATE_MAX + 1}), "`limits.tokensPerMinute` is from 1 to"),
            (json!({"concurrency": 8_193}), "`limits.concurrency` is from 1 to 8192"),
            (json!({"requests": 1}), "unknown field `requests`"),
        ] {
            let error = read(wrong).expect_err(said);
            assert!(error.starts_with(said), "{error}");
        }
    }
}
