//! What a call to a model is: what it asks for, what it may cost, which ways it may go, and what is written
//! down of it.
//!
//! Everything here is a plain function or a machine: it reads no clock, no disk, no network. The one that
//! drives a call is in `gateway`; who keeps what is written down is in `site` (ADR 18).

mod accept;
mod account;
mod alarms;
mod ask;
mod breaker;
mod budget;
mod cache;
mod correction;
mod definition;
mod entry;
mod fault;
pub mod genai;
mod health;
mod heard;
mod iso;
mod lease;
mod limits;
mod local;
mod meters;
mod name;
mod operation;
mod person;
mod protect;
mod purse;
mod rate;
mod rates;
mod reference;
mod refusal;
mod retry;
mod route;
mod source;
mod tally;
mod unbounded;
mod watch;
mod words;
mod worst;

pub use accept::{Accept, AcceptError, Confidence, PATTERN_CHARS_MAX, Pattern};
pub use account::Account;
pub use alarms::{ALARMS, ALARMS_MAX, Alarms, AlarmsError};
pub use ask::{Ask, AskError, Change, spliced};
pub use breaker::{
    BENCH_BUSY, BENCH_MAX, Blame, Breaker, COOL_DOWN, COOL_DOWN_MAX, FAULTS_MAX, SILENCE_MAX, Way,
    Why,
};
pub use budget::{Alarm, Books, Holder, Line, Refused, SettleError, Standing};
pub use cache::{CACHE_BYTES_MAX, CACHED_BYTES_MAX, Cache, same_question};
pub use correction::{Corrected, CorrectionError, Known, Rebill, Recharge};
pub use definition::{
    CONCURRENCY_MAX, Limits, Model, ModelSpec, OwnPrice, PROCESSES_MAX, PriceSpec, QUEUE_MAX,
    SpecError, Takes, WAIT_MAX, is_here,
};
pub use entry::{
    Admitted, Bill, By, CAUSE_CHARS_MAX, Charge, ENTRY_VERSION, End, Entry, Given, Hidden, Leg,
    Missed, Settled, Used,
};
pub use fault::{Said, error_in, is_answer, is_end, said_in};
pub use health::{Health, Leave, Shut};
pub use heard::Heard;
pub use iso::{IsoDuration, NoIsoDuration};
pub use lease::{Grant, LEASE_AHEAD_MAX, Ledger, Share, Word};
pub use limits::{RATE_MAX, RouteLimits, RouteLimitsError};
pub use local::{
    CONTEXT_ASSUMED, Judged, Lacks, LocalModel, Supposed, local_model, local_share_of,
};
pub use meters::{Histogram, Labels, Measures, Meters, SERIES_MAX};
pub use name::{MODEL_NAME_CHARS_MAX, ModelName, ModelNameError};
pub use operation::Operation;
pub use person::{
    OfPerson, PERSON_AGAIN, PERSON_ANSWER_BYTES_MAX, Person, PersonError, QUESTION_BYTES_MAX,
    QUESTION_KEPT, QUESTIONS_KEPT_MAX, QUESTIONS_OPEN_MAX,
};
pub use protect::{Media, NamesOf, ProtectError, ProtectSpec, Protection, RuleSet};
pub use purse::{Facts, Missing, Purse, PurseId, PurseStanding, Purses};
pub use rate::{PerMinute, Rates, Spent};
pub use rates::{Exchange, ExchangeError};
pub use refusal::{CallRefusal, Remedy};
pub use retry::{RETRIES_FREE, RETRIES_PERCENT, Retries};
pub use route::{
    CacheSpec, Cached, Hedge, LEGS_USUAL, Resort, RouteError, RouteSpec, Rule, Rules, Sticky,
    TARGETS_MAX, Target, When,
};
pub use source::{Artifact, Dialect, Format, Source, Upstream, address};
pub use tally::{Checkpoint, Group, Part, SUMS_MAX, Sum, Tally};
pub use watch::{
    Needs, Unseen, WATCHED_MAX, WATCHED_USUAL, WatchError, WatchSpec, Watched, estimated_tokens,
    watch_of, watched_operation, watched_path,
};
pub use words::last_words;
pub use worst::Worst;
