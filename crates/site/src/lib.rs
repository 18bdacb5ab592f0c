//! A site: configuration, wiring, and the HTTP API. Everything else is in the rooms below.
//!
//! `config` says what the owner allows, `site` puts the rooms together, `workflow` and `run` are the
//! services, one for each noun, `api` turns requests into calls of them.

mod api;
mod change;
mod children;
mod config;
mod dataset;
mod detail;
mod dispatch;
mod edition;
mod evaluate;
mod event;
mod explain;
mod expressions;
mod follow;
mod journal;
mod left;
mod log;
mod metrics;
mod model;
mod order;
mod refusal;
mod resolve;
mod retention;
mod run;
mod schedule;
mod secret;
mod site;
mod start;
mod upkeep;
pub mod uplink;
mod view;
mod workflow;

pub use api::openapi_json;
pub use config::{Config, ConfigError, SCHEMA as CONFIG_SCHEMA};
pub use evaluate::Evaluators;
pub use metrics::StoreFigures;
pub use retention::{Tidied, TidyError, Tidying};
pub use schedule::{Heard, Sets, Taken, Whole};
pub use server::Pieces;
pub use server::ServeError;
pub use site::{Parts, Site, SiteError};
pub use upkeep::{Busy, Custodian, ExportFilter};
