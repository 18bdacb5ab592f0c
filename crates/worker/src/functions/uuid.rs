//! `uuid`: an identifier that nobody else has.

use base::value::{as_i64, get, string};
use base::{Random, Timestamp, Value};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::Permit;

use super::{Done, Function, Reach};

pub const MANIFEST: &str = include_str!("uuid.json");

pub(crate) struct Uuid;

impl Function for Uuid {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done> {
        let version = get(input, "version").and_then(as_i64).unwrap_or(4);
        let uuid = match version {
            7 => ordered(reach.now(), reach.random()),
            _ => unordered(reach.random()),
        };
        ready(Done::ended(Ok(string(&uuid)))).boxed()
    }
}

fn unordered(random: &dyn Random) -> String {
    text((u128::from(random.u64()) << 64) | u128::from(random.u64()), 4)
}

/// One that sorts by when it was made: 48 bits of time first.
fn ordered(now: Timestamp, random: &dyn Random) -> String {
    let time = u128::from(u64::try_from(now.as_millis()).unwrap_or(0)) << 80;
    let rest = ((u128::from(random.u64()) << 64) | u128::from(random.u64())) & ((1 << 80) - 1);
    text(time | rest, 7)
}

/// With the bits that say which kind of UUID it is (RFC 9562).
fn text(bits: u128, version: u128) -> String {
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (version << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones;

    impl Random for Ones {
        fn u64(&self) -> u64 {
            u64::MAX
        }
    }

    /// Mutation: leave out the version or the variant, or put the time behind.
    #[test]
    fn a_uuid_says_its_version_and_sorts_by_time() {
        assert_eq!(unordered(&Ones), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let at = |millis| ordered(Timestamp::from_millis(millis), &Ones);
        assert_eq!(at(0x0123_4567_89ab), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert!(at(1) < at(2) && at(2) < at(1_700_000_000_000));
    }
}
