//! W3C trace context: to which trace something belongs, and what in it has caused it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A `traceparent` of version 00. Neither of its ids is zero, which would mean "none" to the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a `traceparent` of version 00, such as `00-4bf9…4736-00f0…02b7-01`")]
pub struct TraceParentError;

impl TraceParent {
    /// A trace that begins, which is recorded. A zero becomes a one.
    #[must_use]
    pub fn new(trace: u128, span: u64) -> Self {
        Self { trace: trace.max(1), span: span.max(1), flags: 1 }
    }

    #[must_use]
    pub const fn trace(self) -> u128 {
        self.trace
    }

    #[must_use]
    pub const fn span(self) -> u64 {
        self.span
    }

    /// Whether whoever began it records it.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            u128::from_str_radix(part, 16).ok().filter(|_| is_hex)
        };
        let (version, trace, span, flags) = (hex(2), hex(32), hex(16), hex(2));
        let (Some(0), Some(trace), Some(span), Some(flags), None) =
            (version, trace, span, flags, parts.next())
        else {
            return Err(TraceParentError);
        };
        let (Ok(span), Ok(flags)) = (u64::try_from(span), u8::try_from(flags)) else {
            return Err(TraceParentError);
        };
        if trace == 0 || span == 0 {
            Err(TraceParentError)
        } else {
            Ok(Self { trace, span, flags })
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take any text as trace context, or write another one than was read.
    #[test]
    fn a_trace_context_is_taken_on_only_if_it_is_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read: TraceParent = good.parse().expect("a trace context");
        assert_eq!(read.to_string(), good);
        assert!(read.is_sampled());
        let kept = good.replace("-01", "-00").parse::<TraceParent>();
        assert!(!kept.expect("a trace context").is_sampled());
        assert_eq!(TraceParent::new(0, 0).to_string().parse(), Ok(TraceParent::new(1, 1)));
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace("4bf9", "+bf9"),
            &good.replacen("00-", "ff-", 1),
            &format!("{good}-00"),
            &good[..54],
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(TraceParentError), "{bad}");
        }
    }
}
