//! What a route takes for a good answer, and whether one is: else the next model is asked.
//!
//! Here is what is asked for and the verdict. What an answer says is read in `heard`.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::heard::Heard;
use crate::operation::Operation;

/// Of a pattern: one that is longer is a program.
pub const PATTERN_CHARS_MAX: usize = 1_000;

/// A pattern in memory. A class of letters of all scripts has some 50 kB.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Of the name of a tensor.
const OUTPUT_CHARS_MAX: usize = 200;

/// All that is said must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accept {
    /// How sure the model must be, of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Of tensors: the output whose greatest value says how sure it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What the text of the answer must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
}

/// From 0 to 1, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confidence(u32);

/// A regular expression, which takes no more time than the text is long.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    #[error("`accept` has a `confidence` or a `pattern`")]
    Empty,
    #[error(
        "`accept.output` is the name of a tensor, of 1 to {OUTPUT_CHARS_MAX} characters, and goes with `accept.confidence`"
    )]
    Output,
}

impl Accept {
    pub fn check(&self) -> Result<(), AcceptError> {
        if self.confidence.is_none() && self.pattern.is_none() {
            return Err(AcceptError::Empty);
        }
        match &self.output {
            Some(_) if self.confidence.is_none() => Err(AcceptError::Output),
            Some(name) if !(1..=OUTPUT_CHARS_MAX).contains(&name.chars().count()) => {
                Err(AcceptError::Output)
            }
            _ => Ok(()),
        }
    }

    /// Whether an answer in these words can be judged. How sure a model of language is, Chat alone says.
    #[must_use]
    pub const fn can_judge(&self, spoken: Operation) -> bool {
        let by_confidence = match spoken {
            Operation::Chat => true,
            Operation::Infer => self.output.is_some(),
            Operation::Completions
            | Operation::Embeddings
            | Operation::Responses
            | Operation::Messages => false,
        };
        let by_pattern = match spoken {
            Operation::Chat
            | Operation::Completions
            | Operation::Responses
            | Operation::Messages => true,
            Operation::Embeddings | Operation::Infer => false,
        };
        (self.confidence.is_none() || by_confidence) && (self.pattern.is_none() || by_pattern)
    }

    /// Whether the model must be asked how sure it is of each of its words.
    #[must_use]
    pub fn asks_logprobs(&self, spoken: Operation) -> bool {
        self.confidence.is_some() && spoken == Operation::Chat
    }

    /// Whether this is a good answer. One that says nothing of what is asked for is none.
    #[must_use]
    pub fn takes(&self, heard: &Heard) -> bool {
        let is_sure = self
            .confidence
            .is_none_or(|least| heard.confidence().is_some_and(|sure| sure >= least.share()));
        let fits = self.pattern.as_ref().is_none_or(|pattern| {
            let mut texts = heard.texts().peekable();
            texts.peek().is_some() && texts.all(|text| pattern.matches(text.trim()))
        });
        is_sure && fits && !heard.is_broken()
    }
}

impl Confidence {
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1_000_000.0
    }
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > PATTERN_CHARS_MAX {
            return Err(format!("a pattern has {PATTERN_CHARS_MAX} characters at most"));
        }
        let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
        let regex = built.map_err(|wrong| format!("the pattern is none: {wrong}"))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Confidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.share())
    }
}

impl<'de> Deserialize<'de> for Confidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(serde::de::Error::custom("`confidence` is a number from 0 to 1"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to 1"
        )]
        Ok(Self((share * 1_000_000.0).round() as u32))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accept(value: serde_json::Value) -> Accept {
        serde_json::from_value(value).expect("it is one")
    }

    fn chat(text: &str, logprobs: &[f64]) -> Heard {
        let tokens: Vec<_> = logprobs.iter().map(|it| json!({ "logprob": it })).collect();
        let choice =
            json!({"index": 0, "message": {"content": text}, "logprobs": {"content": tokens}});
        let body = json!({ "choices": [choice] }).to_string();
        Heard::whole(Operation::Chat, body.as_bytes())
    }

    /// Mutation: take the mean of shares for that of logarithms, an answer that says nothing for a sure one, or
    /// one condition for both.
    #[test]
    fn an_answer_is_good_where_all_that_is_asked_for_holds() {
        // e^-0.1 is 0.905, and e^-0.3 is 0.741.
        let sure = accept(json!({"confidence": 0.9}));
        assert!(sure.takes(&chat("a", &[-0.05, -0.15])));
        assert!(!sure.takes(&chat("a", &[-0.0, -0.6])), "shares would give 0.77, and not 0.74");
        assert!(!accept(json!({"confidence": 0.75})).takes(&chat("a", &[-0.0, -0.6])));
        assert!(accept(json!({"confidence": 0.74})).takes(&chat("a", &[-0.0, -0.6])));
        assert!(!sure.takes(&chat("a", &[])), "nobody knows");
        let word = accept(json!({"pattern": "^(yes|no)$"}));
        assert!(word.takes(&chat(" yes\n", &[])));
        assert!(!word.takes(&chat("yes, but", &[])));
        assert!(!word.takes(&Heard::whole(Operation::Chat, b"{}")));
        let both = accept(json!({"confidence": 0.9, "pattern": "^yes$"}));
        assert!(both.takes(&chat("yes", &[-0.01])));
        assert!(!both.takes(&chat("no", &[-0.01])) && !both.takes(&chat("yes", &[-1.0])));
    }

    /// Mutation: judge what has no text by its text, or tensors without a name by all of them.
    #[test]
    fn what_cannot_be_judged_is_known_before_it_is_asked() {
        use Operation::{Chat, Completions, Embeddings, Infer, Messages, Responses};
        let all = [Chat, Completions, Responses, Messages, Embeddings, Infer];
        let judged = |value| {
            let accept = accept(value);
            all.map(|spoken| accept.can_judge(spoken))
        };
        assert_eq!(judged(json!({"pattern": "a"})), [true, true, true, true, false, false]);
        assert_eq!(judged(json!({"confidence": 1})), [true, false, false, false, false, false]);
        let named = json!({"confidence": 1, "output": "p"});
        assert_eq!(judged(named), [true, false, false, false, false, true]);
    }

    /// Mutation: take any of these.
    #[test]
    fn what_is_no_condition_is_refused() {
        for wrong in [
            json!({"confidence": 1.1}),
            json!({"confidence": -0.1}),
            json!({"pattern": "("}),
            json!({"pattern": "a".repeat(PATTERN_CHARS_MAX + 1)}),
            json!({"pattern": "(a{1000}){1000}"}),
            json!({"patern": "a"}),
        ] {
            assert!(serde_json::from_value::<Accept>(wrong.clone()).is_err(), "{wrong}");
        }
        for (wrong, expected) in [
            (json!({}), AcceptError::Empty),
            (json!({"pattern": "a", "output": "p"}), AcceptError::Output),
            (json!({"confidence": 0.5, "output": ""}), AcceptError::Output),
        ] {
            assert_eq!(accept(wrong.clone()).check(), Err(expected), "{wrong}");
        }
        let kept = json!({"confidence": 0.8, "pattern": "(?i)ja|oui"});
        assert_eq!(serde_json::to_value(accept(kept.clone())).expect("JSON"), kept);
    }
}
