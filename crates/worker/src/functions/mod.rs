//! The functions of the `default` catalog, one file each, with its manifest beside it.
//!
//! A function is given its arguments and a `Reach`: all that it may touch. The reach is made from
//! the manifest, so that what is not written there cannot be done.

use base::{Fault, Value};
use engine::effect::Certainty;
use futures::future::BoxFuture;
use gateway::{Permit, Ruling};

pub mod csv;
pub mod dataset;
pub mod dispatch;
pub mod echo;
pub mod infer;
pub mod notify;
pub mod now;
pub mod random;
mod reach;
pub(crate) mod reading;
pub mod uuid;

pub(crate) use reach::{Granted, Reach, World};

/// One function of the catalog.
pub(crate) trait Function: Send + Sync {
    /// JSON; see [`crate::catalog::FunctionManifest`].
    fn manifest(&self) -> &'static str;

    /// Labels of the data that a call with these arguments reads.
    fn labels(&self, _input: &Value, _reach: &Reach) -> Vec<String> {
        Vec::new()
    }

    /// The permit shows that the gate was asked. The arguments fit the manifest's schema.
    fn call(
        &self,
        permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done>;
}

/// All functions of this binary.
pub(crate) const SHIPPED: [&dyn Function; 9] = [
    &csv::Csv,
    &dataset::Dataset,
    &dispatch::Dispatch,
    &echo::Echo,
    &infer::Infer,
    &notify::Notify,
    &now::Now,
    &random::Random,
    &uuid::Uuid,
];

/// What came of a function.
#[derive(Debug)]
pub(crate) enum Done {
    Ended {
        result: Result<Value, Fault>,
        /// What allowed it beside the catalog, in the words of the configuration.
        rule: Option<String>,
    },
    /// The site's configuration, or the function's manifest, does not allow what the arguments ask
    /// for.
    Denied { fault: Fault, rule: String },
    /// It has sent something, and the gate has said this about it.
    Sent { result: Result<Value, Fault>, certainty: Certainty, ruling: Option<Ruling> },
}

impl Done {
    fn ended(result: Result<Value, Fault>) -> Self {
        Self::Ended { result, rule: None }
    }
}
