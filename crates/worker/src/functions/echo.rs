//! `echo`: gives back its arguments. For examples, tests, and measuring everything around it.

use base::Value;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::Permit;

use super::{Done, Function, Reach};

pub const MANIFEST: &str = include_str!("echo.json");

pub(crate) struct Echo;

impl Function for Echo {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        _reach: Reach,
    ) -> BoxFuture<'static, Done> {
        ready(Done::ended(Ok(input.clone()))).boxed()
    }
}
