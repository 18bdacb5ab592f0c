//! What a call to a model is: what it asks for, what it may cost, which ways it may go, and what is written
//! down of it.
//!
//! Everything here is a plain function or a machine: it reads no clock, no disk, no network. The one that
//! drives a call is in `gateway`; who keeps what is written down is in `site` (ADR 18).

mod alarms;
mod ask;
mod breaker;
mod budget;
mod correction;
mod definition;
mod entry;
pub mod genai;
mod lease;
mod meters;
mod name;
mod protect;
mod purse;
mod rate;
mod rates;
mod reference;
mod refusal;
mod route;
mod source;
mod tally;

pub use alarms::{ALARMS, ALARMS_MAX, Alarms, AlarmsError};
pub use ask::{Ask, AskError, Change, Operation, spliced};
pub use breaker::{BENCH_MAX, Blame, Breaker, COOL_DOWN, COOL_DOWN_MAX, FAULTS_MAX, Way, Why};
pub use budget::{Account, Alarm, Books, Holder, Line, Refused, SettleError, Standing};
pub use correction::{Corrected, CorrectionError, Known, Rebill, Recharge};
pub use definition::{
    CONCURRENCY_MAX, Limits, Model, ModelSpec, OwnPrice, PROCESSES_MAX, PriceSpec, QUEUE_MAX,
    SpecError, WAIT_MAX,
};
pub use entry::{
    Admitted, Bill, By, Charge, ENTRY_VERSION, End, Entry, Hidden, Leg, Missed, Settled, Used,
};
pub use lease::{Grant, Ledger, Share, Word};
pub use meters::{Histogram, Labels, Measures, Meters, SERIES_MAX};
pub use name::{MODEL_NAME_CHARS_MAX, ModelName, ModelNameError};
pub use protect::{Media, NamesOf, ProtectError, ProtectSpec, Protection, RuleSet};
pub use purse::{Facts, Missing, Purse, PurseId, PurseStanding, Purses};
pub use rate::Bucket;
pub use rates::{Exchange, ExchangeError};
pub use refusal::CallRefusal;
pub use route::{LEGS_USUAL, RouteError, RouteSpec, Sticky, TARGETS_MAX, Target};
pub use source::{Artifact, Dialect, Format, Source, Upstream, address};
pub use tally::{Checkpoint, Group, Part, SUMS_MAX, Sum, Tally};
