//! What an answer has used, told again in the client's words. It is for the client to see: what is charged
//! is read from the upstream's own answer.

use serde_json::{Value, json};

/// Counted once each: OpenAI's `prompt_tokens` hold the cached ones too, Anthropic's `input_tokens` do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// With which no cache had to do.
    plain: u64,
    cached: u64,
    written: u64,
    output: u64,
    reasoning: u64,
}

impl Tokens {
    pub(crate) fn of_chat(usage: &Value) -> Self {
        let inputs = &usage["prompt_tokens_details"];
        let cached = first(&[&inputs["cached_tokens"], &usage["prompt_cache_hit_tokens"]]);
        let written = first(&[&inputs["cache_write_tokens"], &inputs["cache_creation_tokens"]]);
        let prompt = count(&usage["prompt_tokens"]);
        Self {
            plain: prompt.saturating_sub(cached).saturating_sub(written),
            cached,
            written,
            output: count(&usage["completion_tokens"]),
            reasoning: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
        }
    }

    /// Later events of a stream repeat what has changed, and some say zero for what they do not know.
    pub(crate) fn messages_say(&mut self, usage: &Value) {
        let grow = |known: &mut u64, name: &str| *known = (*known).max(count(&usage[name]));
        grow(&mut self.plain, "input_tokens");
        grow(&mut self.cached, "cache_read_input_tokens");
        grow(&mut self.written, "cache_creation_input_tokens");
        grow(&mut self.output, "output_tokens");
    }

    fn input(&self) -> u64 {
        self.plain.saturating_add(self.cached).saturating_add(self.written)
    }

    pub(crate) fn as_chat(&self) -> Value {
        json!({
            "prompt_tokens": self.input(),
            "completion_tokens": self.output,
            "total_tokens": self.input().saturating_add(self.output),
            "prompt_tokens_details": {
                "cached_tokens": self.cached, "cache_write_tokens": self.written,
            },
        })
    }

    pub(crate) fn as_messages(&self) -> Value {
        json!({
            "input_tokens": self.plain,
            "cache_creation_input_tokens": self.written,
            "cache_read_input_tokens": self.cached,
            "output_tokens": self.output,
        })
    }

    pub(crate) fn as_responses(&self) -> Value {
        json!({
            "input_tokens": self.input(),
            "input_tokens_details": {
                "cached_tokens": self.cached, "cache_write_tokens": self.written,
            },
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input().saturating_add(self.output),
        })
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn first(values: &[&Value]) -> u64 {
    values.iter().find_map(|value| value.as_u64()).unwrap_or(0)
}
