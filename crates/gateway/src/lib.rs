//! The gate: the one door out of a site, and the only network client of the workspace.
//!
//! [`decide()`] is pure; [`Gate`] asks it, makes the [`Permit`] without which nothing happens, and
//! does what was permitted. What a request means to a workflow is in `worker`; listening is in
//! `site`. Policy, data protection, budgets and routing join the decision later: a crossing already
//! says who asks and with which labels.

pub mod code;
pub mod decide;
pub mod desk;
pub mod destination;
pub mod destinations;
mod door;
pub mod egress;
pub mod gate;
pub mod header;
pub mod incoming;
mod lane;
pub mod left;
pub mod operator;
pub mod out;
mod pace;
pub mod permit;
pub mod process;
pub mod sse;
pub mod uplink;
pub mod watch;

mod client;
mod guard;
mod redirect;

pub use code::Code;
pub use decide::{Caller, Crossing, Denial, Grant, Ruling, What, decide};
pub use desk::Desk;
pub use destination::{Destination, Host, Scheme};
pub use destinations::Destinations;
pub use egress::{EgressError, EgressMap, EgressRule};
pub use gate::{Counts, Gate, Limits};
pub use incoming::Incoming;
pub use lane::{Lane, LaneAnswer, LaneBody, LaneError, LaneRequest};
pub use left::{Amount, Amounts, Left};
pub use out::{Answer, OutError, OutRequest, OutResponse};
pub use pace::{Pace, Paced};
pub use permit::{Function, Permit};
pub use process::{Asker, Crossings, Process};
pub use watch::Watches;
