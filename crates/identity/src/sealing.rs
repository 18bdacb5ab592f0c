//! Whose sealing key is whose: what a site has said of its own, and a hub of its own, with what makes it
//! believed below the root of the fleet.

use base::{SiteName, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::parse_x509_certificate;

use crate::authority::Authority;
use crate::certificate::Certificate;
use crate::key::{Key, Pin, PublicKey};
use crate::name::Name;
use crate::seal::SealingPublic;
use crate::sign::{is_below, is_signed_text};
use crate::{GRACE, IdentityError};

/// What a site has said: what is sealed to this key, it reads. Signed by the key that its certificates
/// are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingWord {
    pub key: SealingPublic,
    /// Who has signed: SubjectPublicKeyInfo in DER, base64.
    pub signer: String,
    /// Ed25519, base64.
    pub signature: String,
}

/// The same, with what makes whoever trusts the fleet's root believe it. A hub hands it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSealing {
    pub key: SealingPublic,
    pub signature: String,
    /// The site's: DER, base64.
    pub certificate: String,
    /// From whoever has signed the certificate to the root: DER, base64.
    pub chain: Vec<String>,
}

/// What a hub says of its own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubSealing {
    pub key: SealingPublic,
    /// Of two, the later one counts: a hub that has lost its key makes another.
    pub at: Timestamp,
    pub signature: String,
    /// From the authority that has signed to the root: DER, base64.
    pub chain: Vec<String>,
}

fn site_text(root: Pin, site: &SiteName, key: &SealingPublic) -> Vec<u8> {
    format!("isonomy sealing key v1\nroot {root}\nsite {site}\nkey {key}\n").into_bytes()
}

fn hub_text(root: Pin, key: &SealingPublic, at: Timestamp) -> Vec<u8> {
    format!("isonomy sealing key v1\nroot {root}\nhub\nkey {key}\nat {}\n", at.as_millis())
        .into_bytes()
}

fn decode(text: &str) -> Result<Vec<u8>, IdentityError> {
    STANDARD.decode(text).map_err(|_| IdentityError::Certificate("it is no base64"))
}

impl SealingWord {
    /// Of this site, by the key that it has joined with.
    pub fn new(
        root: Pin,
        site: &SiteName,
        key: SealingPublic,
        by: &Key,
    ) -> Result<Self, IdentityError> {
        let signature = STANDARD.encode(by.sign(&site_text(root, site, &key))?);
        Ok(Self { key, signer: STANDARD.encode(by.public().as_der()), signature })
    }

    /// Whose word it is, where it is one.
    pub fn verify(&self, root: Pin, site: &SiteName) -> Result<PublicKey, IdentityError> {
        let signer = PublicKey::from_der(&decode(&self.signer)?)?;
        signer.verify(&site_text(root, site, &self.key), &decode(&self.signature)?)?;
        Ok(signer)
    }
}

impl SiteSealing {
    /// What others need to believe it, for as long as a certificate is good for.
    pub fn of(
        authority: &Authority,
        site: &SiteName,
        word: SealingWord,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let signer = PublicKey::from_der(&decode(&word.signer)?)?;
        let certificate = STANDARD.encode(authority.site(site, &signer, now)?);
        let chain = authority.chain().iter().map(|it| STANDARD.encode(it)).collect();
        Ok(Self { key: word.key, signature: word.signature, certificate, chain })
    }

    /// The key of this site, where an authority below this root has named it and it has said so itself.
    pub fn verify(
        &self,
        root: Pin,
        site: &SiteName,
        now: Timestamp,
    ) -> Result<SealingPublic, IdentityError> {
        let wrong = IdentityError::Certificate;
        let chain: Result<Vec<_>, _> =
            self.chain.iter().map(|it| decode(it).map(CertificateDer::from)).collect();
        let chain = chain?;
        is_below(root, &chain)?;
        let der = CertificateDer::from(decode(&self.certificate)?);
        let certificate = Certificate::read(&der)?;
        let (_, own) = parse_x509_certificate(&der).map_err(|_| wrong("not X.509"))?;
        let (_, above) = parse_x509_certificate(&chain[0]).map_err(|_| wrong("not X.509"))?;
        if own.is_ca() || own.verify_signature(Some(above.public_key())).is_err() {
            return Err(wrong("it is not signed by the one above it"));
        }
        if !matches!(&certificate.name, Name::Site(_, of) if of == site) {
            return Err(wrong("it is another site's"));
        }
        if now > certificate.not_after.plus(GRACE) {
            return Err(wrong("it ended too long ago"));
        }
        let text = site_text(root, site, &self.key);
        certificate.key.verify(&text, &decode(&self.signature)?)?;
        Ok(self.key)
    }
}

impl HubSealing {
    pub fn new(
        authority: &Authority,
        root: Pin,
        key: SealingPublic,
        at: Timestamp,
    ) -> Result<Self, IdentityError> {
        let signature = STANDARD.encode(authority.sign(&hub_text(root, &key, at))?);
        let chain = authority.chain().iter().map(|it| STANDARD.encode(it)).collect();
        Ok(Self { key, at, signature, chain })
    }

    pub fn verify(&self, root: Pin) -> Result<SealingPublic, IdentityError> {
        is_signed_text(root, &self.chain, &hub_text(root, &self.key, self.at), &self.signature)?;
        Ok(self.key)
    }
}

#[cfg(test)]
mod tests {
    use base::Duration;

    use super::*;
    use crate::authority::{Root, SITE_CERTIFICATE_LIFE};
    use crate::name::Domain;
    use crate::seal::SealingKey;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    struct Fleet {
        pin: Pin,
        authority: Authority,
    }

    fn key() -> Key {
        Key::generate().expect("a key")
    }

    fn sealing() -> SealingPublic {
        SealingKey::generate().expect("a key").public()
    }

    fn fleet() -> Fleet {
        let domain = Domain::parse("acme").expect("a name");
        let root = Root::create(&domain, key(), NOW).expect("a root");
        let authority = root.authority(&domain, key(), NOW).expect("an authority");
        Fleet { pin: root.pin(), authority }
    }

    fn site(name: &str) -> SiteName {
        SiteName::parse(name).expect("a name")
    }

    /// Mutation: leave the name, the root or the key out of what is signed, take a certificate of another
    /// site or of nobody, or one that ended before the grace.
    #[test]
    fn a_sites_sealing_key_is_believed_below_the_root_alone() {
        let (ours, foreign) = (fleet(), fleet());
        let (held, plant, other) = (key(), site("plant-1"), site("plant-2"));
        let word = SealingWord::new(ours.pin, &plant, sealing(), &held).expect("signed");
        assert_eq!(word.verify(ours.pin, &plant), Ok(held.public()));
        assert!(word.verify(ours.pin, &other).is_err());
        assert!(word.verify(foreign.pin, &plant).is_err());
        let of = |fleet: &Fleet, name: &SiteName, word: &SealingWord| {
            SiteSealing::of(&fleet.authority, name, word.clone(), NOW).expect("a certificate")
        };
        let proof = of(&ours, &plant, &word);
        assert_eq!(proof.verify(ours.pin, &plant, NOW), Ok(word.key));
        let late = NOW.plus(SITE_CERTIFICATE_LIFE).plus(GRACE);
        assert!(proof.verify(ours.pin, &plant, late).is_ok());
        assert!(proof.verify(ours.pin, &plant, late.plus(Duration::from_secs(2))).is_err());
        assert!(proof.verify(ours.pin, &other, NOW).is_err());
        assert!(proof.verify(foreign.pin, &plant, NOW).is_err());
        // A certificate of another site over the same key, of another fleet, and one that the site has
        // made itself.
        let of_other = of(&ours, &other, &word);
        assert!(of_other.verify(ours.pin, &plant, NOW).is_err());
        assert!(of_other.verify(ours.pin, &other, NOW).is_err());
        let of_foreign = of(&foreign, &plant, &word);
        assert!(of_foreign.verify(ours.pin, &plant, NOW).is_err());
        let mixed = SiteSealing { chain: proof.chain.clone(), ..of_foreign };
        assert!(mixed.verify(ours.pin, &plant, NOW).is_err());
        let without = SiteSealing { chain: proof.chain[1..].to_vec(), ..proof.clone() };
        assert!(without.verify(ours.pin, &plant, NOW).is_err());
        let beneath = SiteSealing {
            chain: [vec![proof.certificate.clone()], proof.chain.clone()].concat(),
            ..proof.clone()
        };
        assert!(beneath.verify(ours.pin, &plant, NOW).is_err());
        // Another key in its place, and what another has said of his.
        let changed = SiteSealing { key: sealing(), ..proof.clone() };
        assert!(changed.verify(ours.pin, &plant, NOW).is_err());
        let by_thief = SealingWord::new(ours.pin, &plant, sealing(), &key()).expect("signed");
        let stolen =
            SiteSealing { key: by_thief.key, signature: by_thief.signature, ..proof.clone() };
        assert!(stolen.verify(ours.pin, &plant, NOW).is_err());
    }

    /// Mutation: leave the time, the key or the root out of what is signed.
    #[test]
    fn a_hubs_sealing_key_is_believed_below_the_root_alone() {
        let (ours, foreign) = (fleet(), fleet());
        let said = HubSealing::new(&ours.authority, ours.pin, sealing(), NOW).expect("signed");
        assert_eq!(said.verify(ours.pin), Ok(said.key));
        assert!(said.verify(foreign.pin).is_err());
        let later = HubSealing { at: NOW.plus(GRACE), ..said.clone() };
        assert!(later.verify(ours.pin).is_err());
        assert!(HubSealing { key: sealing(), ..said.clone() }.verify(ours.pin).is_err());
        // What a site has said is not what the hub says.
        let held = key();
        let word = SealingWord::new(ours.pin, &site("hub"), sealing(), &held).expect("signed");
        let as_hub = HubSealing { key: word.key, signature: word.signature, ..said };
        assert!(as_hub.verify(ours.pin).is_err());
    }
}
