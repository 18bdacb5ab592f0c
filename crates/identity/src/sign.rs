//! Signing what sites must believe without the hub's being there, and finding out who has signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

use crate::IdentityError;
use crate::authority::Authority;
use crate::certificate::public_key;
use crate::key::Pin;

/// Certificates between whoever signs and the root, both included.
const CHAIN_MAX: usize = 4;

/// Whether this chain leads from an authority, which it begins with, to this root.
pub(crate) fn is_below(root: Pin, chain: &[CertificateDer<'_>]) -> Result<(), IdentityError> {
    let wrong = IdentityError::Certificate;
    let Some(last) = chain.last() else { return Err(wrong("there is none")) };
    let is_root = public_key(last).is_some_and(|key| key.pin() == root);
    if chain.len() > CHAIN_MAX || !is_root {
        return Err(wrong("it is not below the root of this fleet"));
    }
    for pair in chain.windows(2) {
        let (_, below) = parse_x509_certificate(&pair[0]).map_err(|_| wrong("not X.509"))?;
        let (_, above) = parse_x509_certificate(&pair[1]).map_err(|_| wrong("not X.509"))?;
        let signed = below.verify_signature(Some(above.public_key()));
        // Neither a site nor the hub's door can sign for the hub.
        if signed.is_err() || !below.is_ca() || !above.is_ca() {
            return Err(wrong("it is not signed by the one above it"));
        }
    }
    Ok(())
}

/// Whether an authority below this root has signed these bytes. `chain` begins with the authority and
/// ends with the root. When its certificate ends does not matter: what was signed stays so.
fn is_signed(
    root: Pin,
    chain: &[CertificateDer<'_>],
    bytes: &[u8],
    signature: &[u8],
) -> Result<(), IdentityError> {
    let wrong = IdentityError::Certificate;
    is_below(root, chain)?;
    let signer = chain.first().ok_or_else(|| wrong("there is none"))?;
    let (_, signer) = parse_x509_certificate(signer).map_err(|_| wrong("not X.509"))?;
    let key = UnparsedPublicKey::new(&ED25519, &signer.public_key().subject_public_key.data);
    key.verify(bytes, signature).map_err(|_| wrong("its signature does not fit"))
}

/// The same of what was written down as base64.
pub fn is_signed_text(
    root: Pin,
    chain: &[String],
    bytes: &[u8],
    signature: &str,
) -> Result<(), IdentityError> {
    let decode = |text: &str| {
        STANDARD.decode(text).map_err(|_| IdentityError::Certificate("it is no base64"))
    };
    let chain: Result<Vec<_>, _> =
        chain.iter().map(|it| decode(it).map(CertificateDer::from)).collect();
    is_signed(root, &chain?, bytes, &decode(signature)?)
}

/// Whose keys a chain goes through, as it was written down. What cannot be read signs nothing.
#[must_use]
pub fn keys_of_text(chain: &[String]) -> Vec<Pin> {
    let der = chain.iter().filter_map(|it| STANDARD.decode(it).ok());
    der.filter_map(|it| public_key(&it.into()).map(|key| key.pin())).collect()
}

impl Authority {
    /// For those who know the root.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, IdentityError> {
        use rcgen::SigningKey as _;
        self.key().sign(bytes).map_err(|error| IdentityError::Issue(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use base::Clock as _;
    use base::{SiteName, SystemClock};

    use super::*;
    use crate::authority::Root;
    use crate::key::Key;
    use crate::name::Domain;

    fn key() -> Key {
        Key::generate().expect("a key")
    }

    /// Mutation: take another root, bytes that were changed, or a site's own signature.
    #[test]
    fn only_an_authority_below_the_root_signs_for_the_hub() {
        let (now, domain) = (SystemClock.now(), Domain::parse("acme").expect("a name"));
        let root = Root::create(&domain, key(), now).expect("a root");
        let authority = root.authority(&domain, key(), now).expect("an authority");
        let signature = authority.sign(b"said").expect("signed");
        let chain = authority.chain();
        let pin = root.pin();
        assert_eq!(is_signed(pin, &chain, b"said", &signature), Ok(()));
        assert!(is_signed(pin, &chain, b"Said", &signature).is_err());
        assert!(is_signed(key().public().pin(), &chain, b"said", &signature).is_err());
        assert!(is_signed(pin, &chain[1..], b"said", &signature).is_err());
        assert!(is_signed(pin, &chain[..1], b"said", &signature).is_err());
        assert!(is_signed(pin, &[], b"said", &signature).is_err());
        let other = Root::create(&domain, key(), now).expect("a root");
        let foreign = other.authority(&domain, key(), now).expect("an authority");
        let mixed = [foreign.chain()[0].clone(), chain[1].clone()];
        let by_foreign = foreign.sign(b"said").expect("signed");
        assert!(is_signed(pin, &mixed, b"said", &by_foreign).is_err());
        // A site has a certificate of the authority, and a key.
        let site = SiteName::parse("plant-1").expect("a name");
        let held = key();
        let certificate = authority.site(&site, &held.public(), now).expect("a certificate");
        use rcgen::SigningKey as _;
        let by_site = held.0.sign(b"said").expect("signed");
        let chain = [vec![certificate], chain].concat();
        assert!(is_signed(pin, &chain, b"said", &by_site).is_err());
    }
}
