//! Making certificates: the root, the hub's authority below it, and whom that names.

use base::{Duration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;

use crate::IdentityError;
use crate::certificate::{not_before, public_key};
use crate::key::{Key, Pin, PublicKey};
use crate::name::{Domain, Name};
use crate::sign::is_below;
use crate::tls::HUB_SERVER_NAME;

const DAY: u64 = 24 * 3600;

/// A root is made once and lies in a safe.
const ROOT_LIFE: Duration = Duration::from_secs(20 * 365 * DAY);

/// Longer than anybody forgets to renew it, and short enough to have done it before.
const AUTHORITY_LIFE: Duration = Duration::from_secs(2 * 365 * DAY);

/// The hub renews its own at each start, and while it runs.
pub const HUB_CERTIFICATE_LIFE: Duration = Duration::from_secs(90 * DAY);

/// Sites renew theirs when half of it is over.
pub const SITE_CERTIFICATE_LIFE: Duration = Duration::from_secs(DAY);

/// Certificates begin a little before they are made: clocks differ.
const BEFORE_MS: i64 = 3_600_000;

/// The root of a fleet: signs authorities, and nothing else.
#[derive(Debug)]
pub struct Root {
    issuer: Issuer<'static, KeyPair>,
    certificate: Issued,
}

/// A certificate in both its forms.
#[derive(Debug, Clone)]
struct Issued {
    der: CertificateDer<'static>,
    pem: String,
}

/// What the hub names its sites with.
#[derive(Debug)]
pub struct Authority {
    domain: Domain,
    issuer: Issuer<'static, KeyPair>,
    certificate: Issued,
    root: Issued,
}

impl Root {
    pub fn create(domain: &Domain, key: Key, now: Timestamp) -> Result<Self, IdentityError> {
        let params = authority(&format!("Isonomy root of {domain}"), 1, now, ROOT_LIFE)?;
        let certificate = Issued::of(params.self_signed(&key.0).map_err(issue)?);
        Ok(Self { issuer: Issuer::new(params, key.0), certificate })
    }

    pub fn read(certificate: &str, key: Key) -> Result<Self, IdentityError> {
        let (issuer, certificate) = read(certificate, key)?;
        Ok(Self { issuer, certificate })
    }

    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate.pem
    }

    #[must_use]
    pub fn pin(&self) -> Pin {
        Key::public_of(self.issuer.key()).pin()
    }

    /// A certificate for an authority of this domain.
    pub fn authority(
        &self,
        domain: &Domain,
        key: Key,
        now: Timestamp,
    ) -> Result<Authority, IdentityError> {
        let certificate = self.certify(domain, &key.public(), now)?;
        Authority::read(domain.clone(), &certificate, key, self.pem())
    }

    /// The same for a key that is elsewhere: PEM. It begins with the root, and not now: where a clock is ahead
    /// that is set right later, nobody waits until then for it to begin.
    pub fn certify(
        &self,
        domain: &Domain,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<String, IdentityError> {
        let name = format!("Isonomy hub of {domain}, {}", key.pin());
        let mut params = authority(&name, 0, now, AUTHORITY_LIFE)?;
        params.not_before = time(not_before(&self.certificate.der)?)?;
        Ok(params.signed_by(&key.info()?, &self.issuer).map_err(issue)?.pem())
    }
}

impl Authority {
    pub fn read(
        domain: Domain,
        certificate: &str,
        key: Key,
        root: &str,
    ) -> Result<Self, IdentityError> {
        let (issuer, certificate) = read(certificate, key)?;
        Ok(Self { domain, issuer, certificate, root: Issued::read(root)? })
    }

    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate.pem
    }

    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate.der
    }

    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root.pem
    }

    /// Whether the root has signed it.
    pub fn is_below_its_root(&self) -> Result<(), IdentityError> {
        let root = self.root_pin().ok_or(IdentityError::Certificate("its root has no key"))?;
        is_below(root, &self.chain())
    }

    #[must_use]
    pub fn root_pin(&self) -> Option<Pin> {
        public_key(&self.root.der).map(|key| key.pin())
    }

    /// Since when it may sign, and so since when there is the fleet: nothing of it is from before.
    pub fn not_before(&self) -> Result<Timestamp, IdentityError> {
        not_before(&self.certificate.der)
    }

    /// Whoever signs, and the root: what is signed is believed with these.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der.clone(), self.root.der.clone()]
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// What the hub shows to its sites: its own certificate, and all up to the root.
    pub fn hub_chain(
        &self,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        let mut params = named(&Name::Hub(self.domain.clone()), now, HUB_CERTIFICATE_LIFE)?;
        let dns = HUB_SERVER_NAME.try_into().map_err(issue)?;
        params.subject_alt_names.push(SanType::DnsName(dns));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = params.signed_by(&key.info()?, &self.issuer).map_err(issue)?;
        Ok(vec![own.into(), self.certificate.der.clone(), self.root.der.clone()])
    }

    /// A certificate for the holder of this key.
    pub fn site(
        &self,
        site: &base::SiteName,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        let name = Name::Site(self.domain.clone(), site.clone());
        let mut params = named(&name, now, SITE_CERTIFICATE_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(&key.info()?, &self.issuer).map_err(issue)?.into())
    }
}

impl Key {
    fn public_of(key: &KeyPair) -> PublicKey {
        use rcgen::PublicKeyData as _;
        PublicKey::from_der(&key.subject_public_key_info()).expect("a key that was made or read")
    }
}

fn issue(error: impl ToString) -> IdentityError {
    IdentityError::Issue(error.to_string())
}

/// X.509 counts seconds.
fn time(at: Timestamp) -> Result<OffsetDateTime, IdentityError> {
    OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1000)).map_err(issue)
}

fn valid(name: &str, now: Timestamp, life: Duration) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = time(Timestamp::from_millis(now.as_millis() - BEFORE_MS))?;
    params.not_after = time(now.plus(life))?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn authority(
    name: &str,
    below: u8,
    now: Timestamp,
    life: Duration,
) -> Result<CertificateParams, IdentityError> {
    let mut params = valid(name, now, life)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn named(name: &Name, now: Timestamp, life: Duration) -> Result<CertificateParams, IdentityError> {
    let uri = name.to_string();
    let mut params = valid(&uri, now, life)?;
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().map_err(issue)?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

impl Issued {
    fn of(certificate: rcgen::Certificate) -> Self {
        Self { pem: certificate.pem(), der: certificate.into() }
    }

    fn read(text: &str) -> Result<Self, IdentityError> {
        let der = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| IdentityError::Certificate("not PEM"))?;
        Ok(Self { der, pem: text.to_owned() })
    }
}

/// A certificate, of PEM.
pub fn certificate_of(text: &str) -> Result<CertificateDer<'static>, IdentityError> {
    Ok(Issued::read(text)?.der)
}

fn read(certificate: &str, key: Key) -> Result<(Issuer<'static, KeyPair>, Issued), IdentityError> {
    let certificate = Issued::read(certificate)?;
    if public_key(&certificate.der).is_none_or(|found| found != key.public()) {
        return Err(IdentityError::Mismatch);
    }
    let issuer = Issuer::from_ca_cert_der(&certificate.der, key.0).map_err(issue)?;
    Ok((issuer, certificate))
}

#[cfg(test)]
mod tests {
    use base::{Clock as _, SystemClock};

    use super::*;

    /// Mutation: have an authority begin when the clock says it is made.
    #[test]
    fn an_authority_that_was_made_while_the_clock_was_ahead_is_good_at_once() {
        let (now, domain) = (SystemClock.now(), Domain::parse("acme").expect("a name"));
        let key = || Key::generate().expect("a key");
        let root = Root::create(&domain, key(), now).expect("a root");
        let year = Duration::from_secs(365 * DAY);
        let authority = root.authority(&domain, key(), now.plus(year)).expect("an authority");
        let read = crate::authority_read(authority.pem()).expect("ours");
        assert!((read.not_before..=read.not_after).contains(&now), "{read:?}");
        assert_eq!(authority.not_before(), not_before(&root.certificate.der));
        assert!(read.not_after > now.plus(year).plus(year));
    }
}
