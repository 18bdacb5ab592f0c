//! Reading certificates.

use base::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::IdentityError;
use crate::authority::certificate_of;
use crate::key::PublicKey;
use crate::name::Name;

/// What a certificate of ours says. That it is signed by whom it should be, TLS finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub name: Name,
    pub key: PublicKey,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Certificate {
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let wrong = IdentityError::Certificate;
        let (rest, found) = parse_x509_certificate(der).map_err(|_| wrong("not X.509"))?;
        if !rest.is_empty() {
            return Err(wrong("something is behind it"));
        }
        let names = found.subject_alternative_name().map_err(|_| wrong("two lists of names"))?;
        let mut names = names.iter().flat_map(|names| &names.value.general_names);
        let mut ids = names.by_ref().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let (Some(id), None) = (ids.next(), ids.next()) else {
            return Err(wrong("it has not one SPIFFE id"));
        };
        let time = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
        let (from, to) = (found.validity().not_before, found.validity().not_after);
        let (not_before, not_after) = (time(from.timestamp()), time(to.timestamp()));
        if not_before > not_after {
            return Err(wrong("it ends before it begins"));
        }
        Ok(Self {
            name: Name::parse(id).ok_or(wrong("its SPIFFE id is none of ours"))?,
            key: PublicKey::from_der(found.public_key().raw)?,
            not_before,
            not_after,
        })
    }
}

/// What the certificate of an authority says. Who has signed it, is found out elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityCertificate {
    pub key: PublicKey,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Reads PEM.
pub fn authority_read(text: &str) -> Result<AuthorityCertificate, IdentityError> {
    let der = certificate_of(text)?;
    let wrong = IdentityError::Certificate;
    let (_, found) = parse_x509_certificate(&der).map_err(|_| wrong("not X.509"))?;
    if !found.is_ca() {
        return Err(wrong("it is not an authority's"));
    }
    let time = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    Ok(AuthorityCertificate {
        key: PublicKey::from_der(found.public_key().raw)?,
        not_before: time(found.validity().not_before.timestamp()),
        not_after: time(found.validity().not_after.timestamp()),
    })
}

/// The public key of any certificate.
pub(crate) fn public_key(der: &CertificateDer<'_>) -> Option<PublicKey> {
    let (_, found) = parse_x509_certificate(der).ok()?;
    PublicKey::from_der(found.public_key().raw).ok()
}

/// When any certificate begins.
pub(crate) fn not_before(der: &CertificateDer<'_>) -> Result<Timestamp, IdentityError> {
    let wrong = |_| IdentityError::Certificate("not X.509");
    let (_, found) = parse_x509_certificate(der).map_err(wrong)?;
    let seconds = found.validity().not_before.timestamp();
    Ok(Timestamp::from_millis(seconds.saturating_mul(1000)))
}
