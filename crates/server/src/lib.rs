//! What the HTTP APIs of hub and site do alike: who may ask at all, what a request must look like, how
//! it is refused, and how one listens and stops.

mod caller;
mod extract;
mod guard;
mod refusal;
mod serve;

pub use caller::{Caller, reason_of};
pub use extract::{Body, PageQuery, Path, Query, body_broken, cursor, limit};
pub use guard::{ANSWER_TIMEOUT, Guarded, guard};
pub use refusal::{Refusal, finished, internal};
pub use serve::{ServeError, serve};
