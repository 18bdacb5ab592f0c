//! Why there is no line to the hub, in words for whoever looks.

use std::time::Duration;

use gateway::uplink::UplinkError;
use link::site::{Ending, KeepError};
use store::{CommitError, StoreError};
use wire::link::{RefuseCode, RefusedCode};

use super::hours::Hours;
use super::membership::MembershipError;

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error(transparent)]
    Membership(#[from] MembershipError),
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the hub refuses the line: it answers {0}")]
    Door(u16),
    #[error("the hub refuses the line for {} seconds: too much was refused before", .0.as_secs())]
    Later(Duration),
    #[error("the certificate is due to be renewed")]
    Due,
    #[error("the line broke: {0}")]
    Broken(String),
    #[error("outside its hours, which the owner has set: {0} UTC")]
    Hours(Hours),
    #[error("the hub is silent")]
    Silent,
    #[error("the hub says what this version does not understand")]
    Frame,
    #[error("{}", ended(.0))]
    Ended(Ending),
}

fn ended(ending: &Ending) -> String {
    match ending {
        Ending::Refused(refused) => match refused.code {
            RefusedCode::Quarantined => {
                "the hub does not know which of two copies this site is: ask for a token with `--replace`, and join again"
            }
            RefusedCode::RetiredIncarnation => "another machine has taken this site's place",
            RefusedCode::Revoked => "the hub has revoked this site",
            RefusedCode::UnknownSite => "the hub does not know this site",
            RefusedCode::NoCommonVersion => "this program and the hub's are too far apart: update one",
            RefusedCode::Replaced => "another connection of this site has come",
            RefusedCode::Overloaded => "the hub is busy",
            RefusedCode::BadFrame => "the hub does not understand this site",
            RefusedCode::ChainDiffers => "the hub has counted otherwise",
        }
        .to_owned(),
        Ending::Refuse(code) => match code {
            RefuseCode::ChainDiffers => "this site has refused the hub: what the hub counts is not what this site has sent",
            RefuseCode::HubRetired => {
                "this site has refused the hub: it knows another one of its name, which was brought back from a backup later; stop the old one, and start that"
            }
            RefuseCode::BadFrame => "this site does not understand the hub",
            RefuseCode::EditionUnsigned => {
                "this site has refused the hub: its edition is not signed by the hub that this site has joined"
            }
            RefuseCode::EditionForked => {
                "this site has refused the hub: two hubs of its name have made editions of one number; stop one of them"
            }
            RefuseCode::Left => "this site has left its fleet",
        }
        .to_owned(),
        Ending::Damaged(stream) => format!("the outbox of {} is damaged", stream.name()),
    }
}
