//! What the HTTP APIs of hub and site do alike: who may ask at all, what a request must look like, how
//! it is refused, and how one listens and stops.

mod access;
mod backup;
mod caller;
mod change;
mod exchange;
mod extract;
mod guard;
mod key;
mod onward;
mod operation;
mod pieces;
mod refusal;
mod serve;
mod terms;
mod usage;
mod workflow;

pub use access::Roles;
pub use backup::{BACKUP_MEDIA_TYPE, Source as BackupSource, backup};
pub use caller::{Caller, HUB_ACTOR, KEY_ACTOR, SITE_ACTOR, SomeAdmin, reason_of};
pub use change::change_op;
pub use exchange::{EXCHANGE_TIMEOUT, ExchangeFile, exchange_file};
pub use extract::{
    Body, InNamespace, OfWorkflow, PageQuery, Path, Query, ReasonQuery, body_broken, cursor, limit,
};
pub use guard::{ANSWER_TIMEOUT, Guarded, guard};
pub use key::{KeyParts, Keys, KeysError, ModelCaller};
pub use onward::{Onward, PROGRAM_SINCE};
pub use operation::with_keys;
pub use pieces::{Out, Pieces, Unread, pieces, stream};
pub use refusal::{Refusal, finished, internal};
pub use serve::{Ahead, Asked, Listening, ServeError, Served, Shown, serve};
pub use terms::Terms;
pub use usage::{Facet, hour, usage_rows};
pub use workflow::{finding, invalid, remark, revision_view, same_version, workflow_view};
