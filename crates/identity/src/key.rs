//! Keys: Ed25519, for certificates and signatures alike.

use std::fmt;
use std::str::FromStr;

use base::Digest;
use base::digest::DigestError;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _, SubjectPublicKeyInfo};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::IdentityError;

/// A private key. Nothing prints it.
pub struct Key(pub(crate) KeyPair);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.public().pin())
    }
}

/// A public key: SubjectPublicKeyInfo in DER.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(Vec<u8>);

/// Names a public key: what one can write down and compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pin(Digest);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Pin {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

impl Pin {
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl Key {
    pub fn generate() -> Result<Self, IdentityError> {
        KeyPair::generate_for(&PKCS_ED25519).map(Self).map_err(|_| IdentityError::Random)
    }

    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::from_pem(text).map_err(|_| IdentityError::Key)?;
        if *key.algorithm() == PKCS_ED25519 { Ok(Self(key)) } else { Err(IdentityError::Key) }
    }

    /// PKCS #8. For a file that only its owner reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.subject_public_key_info())
    }

    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, IdentityError> {
        self.0.sign(bytes).map_err(|error| IdentityError::Issue(error.to_string()))
    }
}

impl PublicKey {
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let key = SubjectPublicKeyInfo::from_der(der).map_err(|_| IdentityError::PublicKey)?;
        if *key.algorithm() != PKCS_ED25519 {
            return Err(IdentityError::PublicKey);
        }
        Ok(Self(der.to_vec()))
    }

    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin(Digest::of(&self.0))
    }

    /// Whether the holder of this key has signed these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), IdentityError> {
        let key = UnparsedPublicKey::new(&ED25519, self.info()?.der_bytes().to_vec());
        key.verify(bytes, signature).map_err(|_| IdentityError::Signature)
    }

    pub(crate) fn info(&self) -> Result<SubjectPublicKeyInfo, IdentityError> {
        SubjectPublicKeyInfo::from_der(&self.0).map_err(|_| IdentityError::PublicKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: print the key, or give every key the same name.
    #[test]
    fn a_key_comes_back_from_its_file_and_is_never_shown() {
        let (key, other) = (Key::generate().expect("a key"), Key::generate().expect("a key"));
        let text = key.to_pem();
        let back = Key::from_pem(&text).expect("what was written");
        assert_eq!(back.public(), key.public());
        assert_ne!(key.public().pin(), other.public().pin());
        let body = text.lines().nth(1).expect("a line of the key");
        assert!(!format!("{key:?}").contains(body));
        let public = PublicKey::from_der(key.public().as_der()).expect("what was written");
        assert_eq!(public.pin(), key.public().pin());
    }

    /// Mutation: take any kind of key.
    #[test]
    fn what_is_no_key_of_ours_is_refused() {
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        for text in ["", "-----BEGIN PRIVATE KEY-----", &other.serialize_pem()] {
            assert_eq!(Key::from_pem(text).map(|_| ()), Err(IdentityError::Key));
        }
        for der in [&b""[..], b"x", &other.subject_public_key_info()] {
            assert_eq!(PublicKey::from_der(der), Err(IdentityError::PublicKey));
        }
    }
}
