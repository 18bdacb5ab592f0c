//! What every room needs and no room owns: ids, names, time, values, faults, limits.
//!
//! Nothing here reads a clock, a disk or a random number; such things come in as arguments
//! or through the ports in `clock` and `random`.

pub mod by;
pub mod clock;
pub mod digest;
pub mod document;
pub mod fault;
pub mod id;
pub mod limits;
pub mod name;
pub mod outcome;
pub mod secret;
pub mod state;
pub mod stream;
pub mod tag;
pub mod time;
pub mod trace;
pub mod value;

pub use by::By;
pub use clock::{Clock, Random, SystemClock, SystemRandom};
pub use digest::{Digest, Digester};
pub use document::{DocumentError, Unreadable};
pub use fault::{ErrorType, Fault};
pub use id::{CallId, DispatchId, EventId, IncarnationId, OrderId, RequestId, RunId};
pub use name::{
    DatasetName, FunctionRef, KeyName, Label, Namespace, SiteName, WorkflowKey, WorkflowName,
};
pub use outcome::Outcome;
pub use secret::{SecretName, SecretVersion};
pub use state::{RunState, RunStateError};
pub use tag::tags_wrong;
pub use time::{Duration, Timestamp};
pub use trace::{TraceParent, TraceParentError};
pub use value::Value;
