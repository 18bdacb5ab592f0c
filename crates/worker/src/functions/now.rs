//! `now`: the time at which it was done. It is an effect, so every replay sees the same.

use base::value::{int, object, string};
use base::{Timestamp, Value};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::Permit;

use super::{Done, Function, Reach};

pub const MANIFEST: &str = include_str!("now.json");

pub(crate) struct Now;

impl Function for Now {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        _input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done> {
        ready(Done::ended(Ok(moment(reach.now())))).boxed()
    }
}

/// The language's date-time descriptor.
fn moment(at: Timestamp) -> Value {
    let epoch = object([
        ("seconds", int(at.as_millis().div_euclid(1_000))),
        ("milliseconds", int(at.as_millis())),
    ]);
    object([("iso8601", string(&at.to_string())), ("epoch", epoch)])
}
