//! Personal and secret data in texts: finding it, protecting it, restoring it in answers.
//!
//! `Rules` say what is done with which class, a `Shield` does it, a `Vault` holds the stand-ins of one
//! exchange. All is pure: what texts are protected, when, and where answers go is the gate's business.
//! What cannot be decided is refused or redacted, never let through, and no error holds any text.

mod check;
mod class;
mod context;
mod detect;
mod edit;
mod finding;
mod json;
mod known;
mod names;
mod refusal;
mod restore;
mod rules;
mod scan;
mod shield;
mod steps;
mod stream;
mod text;
mod utf8;
mod vault;

pub use class::Class;
pub use finding::{Confidence, Finding, code_points};
pub use json::{
    DATA_URL_BYTES_MAX, EXEMPT_PATHS_MAX, Exempt, ExemptError, JSON_DEPTH_MAX, JSON_NESTED_MAX,
};
pub use names::{NAME_BYTES_MAX, NAMES_MAX, Names, NamesError};
pub use refusal::Refusal;
pub use restore::{Form, Restorer};
pub use rules::{Action, Rules, RulesError};
pub use shield::{FINDING_BYTES_MAX, REDACTED, Shield, TEXT_BYTES_MAX, candidates};
pub use stream::{Guard, HOLD_BYTES_MAX};
pub use utf8::Utf8;
pub use vault::{ALIAS_BYTES_MAX, ALIASES_MAX, Hidden, Vault};
