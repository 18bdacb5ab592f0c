//! Sealing: whoever has a receiver's public key writes what that receiver alone reads.
//!
//! HPKE (RFC 9180) in base mode, with X25519, HKDF-SHA256 and ChaCha20-Poly1305. Who has sealed is not
//! in it: that is what signatures are for.

use std::fmt;
use std::str::FromStr;

use base::{Digest, DocumentError, document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::IdentityError;

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapped = <X25519HkdfSha256 as Kem>::EncappedKey;
type Writing = AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;
type Reading = AeadCtxR<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;

/// Of a key, and of what is handed to a receiver beside what is sealed.
pub const SEALING_KEY_BYTES: usize = 32;

/// What sealing adds to each piece.
pub const SEAL_BYTES: usize = 16;

/// A piece of a long text: what is opened is known to be whole before the next is read, and memory stays
/// flat.
pub const PIECE_BYTES: usize = 64 * 1024;

const SEALED_TYPE: &str = "isonomy.sealed";
const SEALED_VERSION: u32 = 1;

/// Before whatever the two have agreed upon, so that what is sealed here opens nowhere else.
const INFO: &[u8] = b"isonomy sealed v1 ";

/// What a sealing key's file begins with, so that people and scanners for secrets recognise one.
const KEY_PREFIX: &str = "isonomy-sealing-key-";

/// The private half. Nothing prints it but [`SealingKey::to_text`].
pub struct SealingKey(Private);

/// The half that everybody may have: 32 bytes, base64 on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealingPublic([u8; SEALING_KEY_BYTES]);

/// Something small that is sealed. Described in `docs/spec/exchange.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// For whom: digest of the key.
    pub to: Digest,
    /// What the receiver makes the key of this text from; base64.
    enc: String,
    /// Base64.
    body: String,
}

/// Why something is not opened, or not sealed. Never with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("this is not something that was sealed here")]
    Form,
    #[error("it was sealed by a newer version: use that program or a later one")]
    Newer,
    #[error("it is sealed to another key")]
    Another,
    #[error("it was changed on its way, or was sealed for something else")]
    Changed,
    #[error("it is cut off")]
    Cut,
    #[error("the key that it shall be sealed to is none")]
    Key,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.public().digest())
    }
}

impl fmt::Debug for SealingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublic({})", self.digest())
    }
}

impl SealingKey {
    pub fn generate() -> Result<Self, IdentityError> {
        let mut bytes = [0; SEALING_KEY_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| IdentityError::Random)?;
        Private::from_bytes(&bytes).map(Self).map_err(|_| IdentityError::Random)
    }

    /// For a file that only its owner reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{KEY_PREFIX}{}", STANDARD.encode(self.0.to_bytes()))
    }

    pub fn from_text(text: &str) -> Result<Self, IdentityError> {
        let body = text.trim().strip_prefix(KEY_PREFIX).ok_or(IdentityError::SealingKey)?;
        let bytes = STANDARD.decode(body).map_err(|_| IdentityError::SealingKey)?;
        Private::from_bytes(&bytes).map(Self).map_err(|_| IdentityError::SealingKey)
    }

    #[must_use]
    pub fn public(&self) -> SealingPublic {
        SealingPublic(X25519HkdfSha256::sk_to_pk(&self.0).to_bytes().into())
    }

    /// What was sealed to this key with the same `info` and `aad`.
    pub fn open(&self, info: &[u8], aad: &[u8], sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        if sealed.to != self.public().digest() {
            return Err(SealError::Another);
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| SealError::Form);
        let enc = decode(&sealed.enc)?.try_into().map_err(|_| SealError::Form)?;
        let mut reading = self.reading(info, &enc)?;
        reading.open(&decode(&sealed.body)?, aad).map_err(|_| SealError::Changed)
    }

    fn reading(&self, info: &[u8], enc: &[u8; SEALING_KEY_BYTES]) -> Result<Reading, SealError> {
        let enc = Encapped::from_bytes(enc).map_err(|_| SealError::Form)?;
        let info = [INFO, info].concat();
        hpke::setup_receiver(&OpModeR::Base, &self.0, &enc, &info).map_err(|_| SealError::Changed)
    }
}

impl SealingPublic {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SEALING_KEY_BYTES]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SEALING_KEY_BYTES] {
        &self.0
    }

    /// Names it: what one can write down and compare.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Seals something small. `info` says what for, `aad` what it belongs to; neither is in it, and both
    /// are needed to open it.
    pub fn seal(&self, info: &[u8], aad: &[u8], plain: &[u8]) -> Result<Sealed, SealError> {
        let (enc, mut writing) = self.writing(info)?;
        let body = writing.seal(plain, aad).map_err(|_| SealError::Key)?;
        Ok(Sealed { to: self.digest(), enc: STANDARD.encode(enc), body: STANDARD.encode(body) })
    }

    fn writing(&self, info: &[u8]) -> Result<([u8; SEALING_KEY_BYTES], Writing), SealError> {
        let public = Public::from_bytes(&self.0).map_err(|_| SealError::Key)?;
        let info = [INFO, info].concat();
        let (enc, writing): (Encapped, Writing) =
            hpke::setup_sender(&OpModeS::Base, &public, &info).map_err(|_| SealError::Key)?;
        Ok((enc.to_bytes().into(), writing))
    }
}

impl fmt::Display for SealingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl FromStr for SealingPublic {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let bytes = STANDARD.decode(text).map_err(|_| SealError::Key)?;
        bytes.try_into().map(Self).map_err(|_| SealError::Key)
    }
}

impl Serialize for SealingPublic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SealingPublic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Sealed {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(SEALED_TYPE, SEALED_VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        document::read(bytes, SEALED_TYPE, SEALED_VERSION).map_err(|error| match error {
            DocumentError::Newer { .. } => SealError::Newer,
            DocumentError::Syntax(_) | DocumentError::Type { .. } => SealError::Form,
        })
    }
}

/// Seals a long text piece by piece. Pieces open in their order alone, and the last one says that it is.
pub struct SealWriter(Writing);

/// Before each sealed piece: whether more come, and how many bytes it has.
pub const PIECE_HEAD_BYTES: usize = 5;

const MORE: u8 = 0;
const LAST: u8 = 1;

impl SealWriter {
    /// Gives what the receiver needs to begin with.
    pub fn new(
        to: &SealingPublic,
        info: &[u8],
    ) -> Result<(Self, [u8; SEALING_KEY_BYTES]), SealError> {
        let (enc, writing) = to.writing(info)?;
        Ok((Self(writing), enc))
    }

    /// A piece with its head.
    ///
    /// # Panics
    /// Where it has more than [`PIECE_BYTES`].
    pub fn piece(&mut self, plain: &[u8], is_last: bool) -> Result<Vec<u8>, SealError> {
        assert!(plain.len() <= PIECE_BYTES, "a piece is cut by whoever calls");
        let mark = if is_last { LAST } else { MORE };
        let body = self.0.seal(plain, &[mark]).map_err(|_| SealError::Key)?;
        let bytes = u32::try_from(body.len()).expect("a piece is small");
        Ok([&[mark][..], &bytes.to_be_bytes(), &body].concat())
    }
}

/// What the head of a piece says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceHead {
    pub is_last: bool,
    /// Of the sealed piece.
    pub bytes: usize,
}

impl PieceHead {
    pub fn read(head: &[u8; PIECE_HEAD_BYTES]) -> Result<Self, SealError> {
        let [mark, bytes @ ..] = head;
        let bytes = u32::from_be_bytes(*bytes) as usize;
        let is_one = (SEAL_BYTES..=PIECE_BYTES + SEAL_BYTES).contains(&bytes);
        match *mark {
            MORE | LAST if is_one => Ok(Self { is_last: *mark == LAST, bytes }),
            _ => Err(SealError::Changed),
        }
    }
}

/// Opens what a [`SealWriter`] has sealed.
pub struct SealReader(Reading);

impl SealReader {
    pub fn new(
        key: &SealingKey,
        info: &[u8],
        enc: &[u8; SEALING_KEY_BYTES],
    ) -> Result<Self, SealError> {
        key.reading(info, enc).map(Self)
    }

    /// The next piece.
    pub fn piece(&mut self, head: PieceHead, body: &[u8]) -> Result<Vec<u8>, SealError> {
        let mark = if head.is_last { LAST } else { MORE };
        self.0.open(body, &[mark]).map_err(|_| SealError::Changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SealingKey {
        SealingKey::generate().expect("a key")
    }

    fn hex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
        pairs.map(|pair| byte(pair).expect("hexadecimal")).collect()
    }

    /// RFC 9180, appendix A.2.1: X25519, HKDF-SHA256, ChaCha20-Poly1305, base mode; two texts of one
    /// context.
    /// Mutation: take another suite.
    #[test]
    fn what_others_have_sealed_by_the_standard_is_opened() {
        let private = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let key = SealingKey(Private::from_bytes(&private).expect("a key"));
        let public = hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        assert_eq!(key.public().as_bytes().as_slice(), public);
        let enc = hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let enc = Encapped::from_bytes(&enc).expect("a point");
        let info = hex("4f6465206f6e2061204772656369616e2055726e");
        let mut reading: Reading =
            hpke::setup_receiver(&OpModeR::Base, &key.0, &enc, &info).expect("a context");
        for (aad, sealed) in [
            (
                "436f756e742d30",
                "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
            ),
            (
                "436f756e742d31",
                "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c",
            ),
        ] {
            let plain = reading.open(&hex(sealed), &hex(aad)).expect("it opens");
            assert_eq!(plain, b"Beauty is truth, truth beauty");
        }
    }

    /// Mutation: leave `info` or `aad` out, or open what is sealed to another key.
    #[test]
    fn only_the_receiver_opens_what_is_sealed_and_only_as_it_was() {
        let (key, other) = (key(), key());
        let sealed = key.public().seal(b"orders", b"7", b"what nobody reads").expect("sealed");
        let sealed = Sealed::decode(&sealed.encode()).expect("its text");
        assert_eq!(key.open(b"orders", b"7", &sealed), Ok(b"what nobody reads".to_vec()));
        assert_eq!(key.open(b"others", b"7", &sealed), Err(SealError::Changed));
        assert_eq!(key.open(b"orders", b"8", &sealed), Err(SealError::Changed));
        assert_eq!(other.open(b"orders", b"7", &sealed), Err(SealError::Another));
        let as_his = Sealed { to: other.public().digest(), ..sealed.clone() };
        assert_eq!(other.open(b"orders", b"7", &as_his), Err(SealError::Changed));
        let body = STANDARD.decode(&sealed.body).expect("base64");
        for n in 0..body.len() {
            let mut body = body.clone();
            body[n] ^= 1;
            let changed = Sealed { body: STANDARD.encode(body), ..sealed.clone() };
            assert_eq!(key.open(b"orders", b"7", &changed), Err(SealError::Changed), "byte {n}");
        }
        let again = key.public().seal(b"orders", b"7", b"what nobody reads").expect("sealed");
        assert_ne!(again.body, sealed.body, "the same text is sealed alike twice");
        assert_eq!(Sealed::decode(br#"{"type":"isonomy.sealed","v":2}"#), Err(SealError::Newer));
        assert_eq!(Sealed::decode(b"{}"), Err(SealError::Form));
        // Of small order: the secret would be known to everybody.
        let zero = SealingPublic::from_bytes([0; SEALING_KEY_BYTES]);
        assert_eq!(zero.seal(b"", b"", b"x"), Err(SealError::Key));
    }

    /// Mutation: print the key.
    #[test]
    fn a_sealing_key_comes_back_from_its_text_and_is_never_shown() {
        let key = key();
        let text = key.to_text();
        let back = SealingKey::from_text(&format!("{text}\n")).expect("what was written");
        assert_eq!(back.public(), key.public());
        let body = text.strip_prefix(KEY_PREFIX).expect("it is recognised");
        assert!(!format!("{key:?}").contains(body));
        for text in ["", KEY_PREFIX, "isonomy-sealing-key-AAAA", body] {
            assert_eq!(SealingKey::from_text(text).map(|_| ()), Err(IdentityError::SealingKey));
        }
        let public = key.public();
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!("AAAA".parse::<SealingPublic>(), Err(SealError::Key));
    }

    /// Mutation: leave the mark of the last piece out of what is sealed.
    #[test]
    fn pieces_open_in_their_order_and_the_last_one_is_known() {
        let key = key();
        let (mut writer, enc) = SealWriter::new(&key.public(), b"file").expect("a writer");
        let plain = [&b"one"[..], b"two", b""];
        let pieces: Vec<Vec<u8>> = plain
            .iter()
            .enumerate()
            .map(|(n, it)| writer.piece(it, n == 2).expect("a piece"))
            .collect();
        let open = |pieces: &[Vec<u8>]| {
            let mut reader = SealReader::new(&key, b"file", &enc).expect("a reader");
            let open = |piece: &Vec<u8>| {
                let (head, body) = piece.split_first_chunk().expect("a head");
                reader.piece(PieceHead::read(head)?, body)
            };
            pieces.iter().map(open).collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(open(&pieces).expect("as they were"), plain);
        let [one, two, last] = &pieces[..] else { panic!("three") };
        for wrong in [
            vec![two.clone()],
            vec![one.clone(), one.clone()],
            vec![one.clone(), last.clone()],
            vec![[&[LAST], &one[1..]].concat()],
            vec![one.clone(), two.clone(), [&[MORE], &last[1..]].concat()],
        ] {
            assert_eq!(open(&wrong), Err(SealError::Changed));
        }
        for head in [[2, 0, 0, 0, 16], [0, 0, 0, 0, 15], [0, 0, 1, 0, 17]] {
            assert_eq!(PieceHead::read(&head), Err(SealError::Changed), "{head:?}");
        }
    }
}
