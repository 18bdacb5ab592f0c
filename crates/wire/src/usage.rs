//! What calls of models at a site have used and cost, summed up by the hour, for its hub. In prose:
//! `docs/spec/link.md`. No contents, no names of keys, no runs.
//!
//! Each says what an hour comes to in all, so that of two of them the later one counts, however often either
//! comes. Amounts are as money is written, to the last digit.

use base::{Digest, IncarnationId, OrderId, Timestamp, document};
use serde::{Deserialize, Serialize};

const TYPE: &str = "isonomy.usage";
const VERSION: u32 = 1;

/// Sums in one entry: each has at most some 500 bytes, and an entry has room for 128 KiB.
pub const USAGE_SUMS_MAX: usize = 200;

/// Entries for one hour: more kinds of calls than this are told of no site.
pub const USAGE_PAGES_MAX: u32 = 50;

/// Currencies that one sum is told in.
const CURRENCIES_MAX: usize = 16;

/// The longest name in a sum: those of models are the longest.
const NAME_BYTES_MAX: usize = 512;

/// One hour of one site in one of its lives, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageWord {
    pub life: IncarnationId,
    /// When the hour began.
    pub hour: Timestamp,
    /// Of the words of one hour, the larger is the later.
    pub number: u64,
    /// From 0.
    pub page: u32,
    pub pages: u32,
    pub at: Timestamp,
    pub sums: Vec<UsageSum>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageSum {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub operation: String,
    pub calls: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub degraded: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub millis: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpriced: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cost: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_bound: Vec<String>,
}

/// Why a word cannot be read. Never with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a word of usage that this version reads")]
pub struct UsageUnreadable;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl UsageWord {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(TYPE, VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, UsageUnreadable> {
        let word: Self =
            document::read_closed(bytes, TYPE, VERSION).map_err(|_| UsageUnreadable)?;
        let is_sane = word.sums.len() <= USAGE_SUMS_MAX
            && word.page < word.pages
            && word.pages <= USAGE_PAGES_MAX
            && word.sums.iter().all(UsageSum::is_sane);
        is_sane.then_some(word).ok_or(UsageUnreadable)
    }

    /// By which it is taken once of its site.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        let parts = (self.life, self.hour.as_millis(), self.page, self.number);
        let parts = serde_json::to_vec(&parts).expect("our own types have JSON text");
        [b"usage ".as_slice(), Digest::of(&parts).as_bytes()].concat()
    }

    /// In whose place it lies among a site's receipts.
    #[must_use]
    pub fn place(&self) -> OrderId {
        self.life.order(&[b"usage", &self.key()])
    }
}

impl UsageSum {
    fn is_sane(&self) -> bool {
        let names = [Some(&self.namespace), self.workflow.as_ref(), self.model.as_ref()];
        names.into_iter().flatten().all(|name| name.len() <= NAME_BYTES_MAX)
            && self.cost.len() <= CURRENCIES_MAX
            && self.at_bound.len() <= CURRENCIES_MAX
    }
}

/// Whether an entry of the stream is such a word: for counts, so by its beginning alone.
#[must_use]
pub fn is_usage(text: &str) -> bool {
    text.starts_with(r#"{"type":"isonomy.usage","#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> UsageWord {
        let sum = UsageSum {
            namespace: "sales".to_owned(),
            model: Some("chat".to_owned()),
            operation: "chat".to_owned(),
            calls: 3,
            input: 30,
            cost: vec!["0.00003 EUR".to_owned()],
            ..UsageSum::default()
        };
        UsageWord {
            life: IncarnationId::from_uuid(uuid::Uuid::from_u128(7)),
            hour: Timestamp::from_millis(1_800_000_000_000),
            number: 2,
            page: 0,
            pages: 1,
            at: Timestamp::from_millis(1_800_000_900_000),
            sums: vec![sum],
        }
    }

    /// Mutation: take a field that is not on the list, another version, more than there may be, or a page beyond the
    /// last.
    #[test]
    fn a_word_of_usage_is_a_closed_struct() {
        let bytes = word().encode();
        assert_eq!(UsageWord::decode(&bytes), Ok(word()));
        let text = String::from_utf8(bytes).expect("text");
        assert!(is_usage(&text));
        let sums = |count: usize| UsageWord { sums: vec![word().sums[0].clone(); count], ..word() };
        assert!(UsageWord::decode(&sums(USAGE_SUMS_MAX).encode()).is_ok());
        for wrong in [
            text.replacen('{', r#"{"later":1,"#, 1).into_bytes(),
            text.replace(r#""calls":3"#, r#""calls":3,"key":"bot""#).into_bytes(),
            text.replace(r#""v":1"#, r#""v":2"#).into_bytes(),
            sums(USAGE_SUMS_MAX + 1).encode(),
            UsageWord { page: 1, ..word() }.encode(),
            UsageWord { pages: USAGE_PAGES_MAX + 1, ..word() }.encode(),
        ] {
            assert_eq!(UsageWord::decode(&wrong), Err(UsageUnreadable));
        }
    }

    /// Mutation: leave one of what makes it another out of a word's key.
    #[test]
    fn each_word_of_usage_is_one_of_its_own() {
        let life = IncarnationId::from_uuid(uuid::Uuid::from_u128(8));
        let hour = Timestamp::from_millis(1_800_003_600_000);
        for other in [
            UsageWord { life, ..word() },
            UsageWord { hour, ..word() },
            UsageWord { number: 3, ..word() },
            UsageWord { page: 1, ..word() },
        ] {
            assert_ne!((other.key(), other.place()), (word().key(), word().place()));
        }
    }
}
