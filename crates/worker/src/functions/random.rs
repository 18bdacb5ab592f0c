//! `random`: a number, some bytes, or one of a list, by the system's source of randomness.

use base::Value;
use base::value::{as_array, as_i64, get, int, string};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::Permit;

use super::{Done, Function, Reach};

pub const MANIFEST: &str = include_str!("random.json");

pub(crate) struct Random;

impl Function for Random {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done> {
        ready(Done::ended(Ok(random(input, reach.random())))).boxed()
    }
}

fn random(input: &Value, random: &dyn base::Random) -> Value {
    if let Some(items) = get(input, "of").and_then(as_array) {
        let at = below(items.len() as u64, random);
        return usize::try_from(at)
            .ok()
            .and_then(|at| items.get(at).cloned())
            .unwrap_or(Value::Null);
    }
    if let Some(count) = get(input, "bytes").and_then(as_i64) {
        return string(&hex(usize::try_from(count).unwrap_or(0), random));
    }
    let bound = |name| get(input, name).and_then(as_i64);
    if let (Some(min), Some(max)) = (bound("min"), bound("max")) {
        // Either order says the same range.
        let (min, max) = (min.min(max), min.max(max));
        let span = max.abs_diff(min);
        let step = if span == u64::MAX { random.u64() } else { below(span + 1, random) };
        return int(min.wrapping_add_unsigned(step));
    }
    // The 53 bits of a double, from 0 to just below 1.
    #[allow(clippy::cast_precision_loss)]
    let number = (random.u64() >> 11) as f64 / (1_u64 << 53) as f64;
    Value::from(number)
}

/// Evenly from 0 to `count` - 1: what would favour the lower numbers is drawn again.
fn below(count: u64, random: &dyn base::Random) -> u64 {
    if count == 0 {
        return 0;
    }
    /// Each draw fails with less than one half, so 64 failures do not happen.
    const DRAWS_MAX: u32 = 64;
    let fair = u64::MAX - u64::MAX % count;
    let mut drawn = random.u64();
    for _ in 0..DRAWS_MAX {
        if drawn < fair {
            break;
        }
        drawn = random.u64();
    }
    drawn % count
}

fn hex(count: usize, random: &dyn base::Random) -> String {
    let mut text = String::with_capacity(count * 2 + 16);
    while text.len() < count * 2 {
        text.push_str(&format!("{:016x}", random.u64()));
    }
    text.truncate(count * 2);
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Fixed(u64);

    impl base::Random for Fixed {
        fn u64(&self) -> u64 {
            self.0
        }
    }

    fn said(input: &str, drawn: u64) -> String {
        let input = base::value::parse(input.as_bytes()).expect("json");
        base::value::to_json_string(&random(&input, &Fixed(drawn)))
    }

    /// Mutation: leave the upper bound out, give 1, or count nibbles for bytes.
    #[test]
    fn every_bound_is_kept() {
        for (input, drawn, expected) in [
            (r#"{"min":1,"max":6}"#, 0, "1"),
            (r#"{"min":1,"max":6}"#, 5, "6"),
            (r#"{"min":6,"max":1}"#, 6, "1"),
            (
                r#"{"min":-9223372036854775808,"max":9223372036854775807}"#,
                u64::MAX,
                "9223372036854775807",
            ),
            (r#"{"of":["a","b"]}"#, 3, "\"b\""),
            (r#"{"of":[]}"#, 3, "null"),
            (r#"{"bytes":3}"#, 0x0102_0304_0506_0708, "\"010203\""),
            (r#"{"bytes":9}"#, 0x0102_0304_0506_0708, "\"010203040506070801\""),
            ("{}", 0, "0.0"),
        ] {
            assert_eq!(said(input, drawn), expected, "{input}");
        }
        assert!(said("{}", u64::MAX).starts_with("0.999999"));
    }

    /// First what must be drawn again, then 1.
    #[derive(Default)]
    struct Late(AtomicU64);

    impl base::Random for Late {
        fn u64(&self) -> u64 {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 { u64::MAX } else { 1 }
        }
    }

    /// Mutation: take the remainder of whatever is drawn.
    #[test]
    fn no_number_is_favoured() {
        let random = Late::default();
        assert_eq!(below(3, &random), 1);
        assert_eq!(random.0.load(Ordering::Relaxed), 2);
    }
}
