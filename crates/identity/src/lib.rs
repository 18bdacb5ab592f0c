//! Who is who: the root of a fleet, its hub, its sites.
//!
//! Keys and certificates and the files that they are in, join tokens, what is sealed to whom, and what
//! each end of a TLS connection asks of the other. No socket. Why it is so: ADR 13.

mod authority;
mod certificate;
mod file;
mod key;
mod name;
mod pair;
mod parcel;
mod seal;
mod sealing;
mod sign;
mod tls;
mod token;

pub use authority::{Authority, HUB_CERTIFICATE_LIFE, Root, SITE_CERTIFICATE_LIFE, certificate_of};
pub use certificate::{AuthorityCertificate, Certificate, authority_read};
pub use file::{FileError, file_read, file_remove, file_write};
pub use key::{Key, Pin, PublicKey};
pub use name::{Domain, DomainError, Name};
pub use pair::{PairError, pair_files};
pub use parcel::{
    LABEL_BYTES_MAX, Label, Messages, PARCEL_BYTES_MAX, Parcel, ParcelError, ParcelWriter, Signer,
    Way,
};
pub use seal::{
    PIECE_BYTES, PIECE_HEAD_BYTES, PieceHead, SEALING_KEY_BYTES, SealError, SealReader, SealWriter,
    Sealed, SealingKey, SealingPublic,
};
pub use sealing::{HubSealing, SealingWord, SiteSealing};
pub use sign::{is_signed_text, keys_of_text};
pub use tls::{api_config, hub_config, site_config};
pub use token::{JoinToken, PREFIX as TOKEN_PREFIX, TokenError, TokenSecret};

pub use rustls::pki_types::CertificateDer;
pub use rustls::{ClientConfig, ServerConfig};

use base::Duration;

/// How long after its end a certificate still proves who somebody is, to get a new one; and how far the
/// clock of a site may be off.
pub const GRACE: Duration = Duration::from_secs(45 * 24 * 3600);

/// Why keys or certificates could not be made or read. Never with their content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("this is not a private key: expected PEM of an Ed25519 key")]
    Key,
    #[error("this is not a public key")]
    PublicKey,
    #[error("this is not a sealing key")]
    SealingKey,
    #[error("its signature does not fit")]
    Signature,
    #[error("this is not a certificate of ours: {0}")]
    Certificate(&'static str),
    #[error("the key is not the one that the certificate is for")]
    Mismatch,
    #[error("the system gives no random numbers")]
    Random,
    #[error("cannot make a certificate: {0}")]
    Issue(String),
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}
