//! The rounds of one call of the Messages API, which its report lists beside its counts.

use serde::{Deserialize, Deserializer};

use super::count::Count;

/// What the rounds of one call have used that are in no other count: those that made the conversation shorter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rounds {
    pub is_there: bool,
    pub input: Count,
    pub output: Count,
    pub cache_read: Count,
    pub cache_write: Count,
}

#[derive(Deserialize)]
struct Round {
    #[serde(default, rename = "type")]
    kind: RoundKind,
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    cache_read_input_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RoundKind {
    Compaction,
    #[default]
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Rounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rounds: Option<Vec<Round>> = Option::deserialize(deserializer)?;
        let mut all = Self { is_there: rounds.is_some(), ..Self::default() };
        let compacted = rounds.into_iter().flatten().filter(|it| it.kind == RoundKind::Compaction);
        for round in compacted {
            all.input = all.input.plus(round.input_tokens);
            all.output = all.output.plus(round.output_tokens);
            all.cache_read = all.cache_read.plus(round.cache_read_input_tokens);
            all.cache_write = all.cache_write.plus(round.cache_creation_input_tokens);
        }
        Ok(all)
    }
}
