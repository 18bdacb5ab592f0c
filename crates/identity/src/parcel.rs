//! What is carried from one to another by hand: messages in one file, sealed to who shall read them and
//! signed by who wrote them. Described in `docs/spec/exchange.md`.
//!
//! ```text
//!   label: a line in clear │ enc: 32 bytes │ sealed pieces
//!                                              └► messages, the last of them a signature of all before
//! ```

use std::sync::Arc;

use base::digest::Digester;
use base::{Digest, DocumentError, SiteName, document};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::IdentityError;
use crate::authority::Authority;
use crate::key::{Key, Pin, PublicKey};
use crate::seal::{
    PIECE_BYTES, PIECE_HEAD_BYTES, PieceHead, SEALING_KEY_BYTES, SealError, SealReader, SealWriter,
    SealingKey, SealingPublic,
};
use crate::sign::is_signed_text;

/// The largest file. It is held in memory, since nothing of it is taken before all of it was checked.
pub const PARCEL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest line in clear: names and digests.
pub const LABEL_BYTES_MAX: usize = 1024;

/// One message: a frame of the line, and some.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// What a signature needs, with its chain.
const SIGNATURE_BYTES_MAX: usize = 16 * 1024;

const LABEL_TYPE: &str = "isonomy.exchange";
const SIGNATURE_TYPE: &str = "isonomy.signature";
const VERSION: u32 = 1;

/// Before each message: whether it is one, or the signature, and how many bytes it has.
const MESSAGE: u8 = 0;
const SIGNATURE: u8 = 1;
const MESSAGE_HEAD_BYTES: usize = 5;

/// Before what is sealed, and before what is signed.
const INFO: &[u8] = b"exchange v1 ";
const SIGNED: &[u8] = b"isonomy exchange v1\n";

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From a site to its hub.
    Up,
    /// From the hub to a site.
    Down,
}

/// What everybody may read: whose file this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub way: Way,
    pub site: SiteName,
    /// The fleet.
    pub root: Pin,
    /// Digest of the key that opens it.
    pub to: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    #[error("this is not a file of an exchange")]
    Form,
    #[error("this file was written by a newer version: use that program or a later one")]
    Newer,
    #[error("this file is larger than {PARCEL_BYTES_MAX} bytes, which is the most that one has")]
    TooLarge,
    #[error("this file is cut off: copy it again, and wait until the stick may be taken out")]
    Cut,
    #[error("this file was changed on its way: copy it again, or have it made again")]
    Changed,
    #[error("it is sealed to another key: have it made again")]
    Another,
    #[error("its signature is not of whom it should be: {0}")]
    Signature(IdentityError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<SealError> for ParcelError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Form => Self::Form,
            SealError::Newer => Self::Newer,
            SealError::Another => Self::Another,
            SealError::Changed => Self::Changed,
            SealError::Cut => Self::Cut,
            SealError::Key => Self::Identity(IdentityError::SealingKey),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Signature {
    /// Ed25519, base64.
    signature: String,
    #[serde(flatten)]
    by: SignedBy,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SignedBy {
    /// SubjectPublicKeyInfo in DER, base64.
    Key(String),
    /// From the authority to the root: DER, base64.
    Chain(Vec<String>),
}

impl Label {
    fn line(&self) -> Vec<u8> {
        let mut line = document::write(LABEL_TYPE, VERSION, self);
        line.push(b'\n');
        line
    }

    /// What a file begins with, and how many bytes that is.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), ParcelError> {
        let start = &bytes[..bytes.len().min(LABEL_BYTES_MAX)];
        let end = start.iter().position(|byte| *byte == b'\n').ok_or(ParcelError::Form)?;
        let label = document::read(&start[..end], LABEL_TYPE, VERSION);
        let label = label.map_err(|error| match error {
            DocumentError::Newer { .. } => ParcelError::Newer,
            DocumentError::Syntax(_) | DocumentError::Type { .. } => ParcelError::Form,
        })?;
        Ok((label, end + 1))
    }
}

/// Writes one.
pub struct ParcelWriter {
    out: Vec<u8>,
    sealing: SealWriter,
    /// What is not sealed yet.
    plain: Vec<u8>,
    digest: Digester,
    bytes_max: usize,
}

impl ParcelWriter {
    pub fn new(
        way: Way,
        site: SiteName,
        root: Pin,
        to: &SealingPublic,
    ) -> Result<Self, ParcelError> {
        let line = Label { way, site, root, to: to.digest() }.line();
        let (sealing, enc) = SealWriter::new(to, &[INFO, &line].concat())?;
        let out = [&line[..], &enc].concat();
        let mut digest = Digester::default();
        digest.update(&out);
        let bytes_max = PARCEL_BYTES_MAX;
        Ok(Self { out, sealing, plain: Vec::new(), digest, bytes_max })
    }

    /// Whether a message of so many bytes still fits.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        // Each piece of 64 KiB gets 21 bytes more.
        let sealed = |plain: usize| plain + (plain / PIECE_BYTES + 2) * 64;
        let all = self.plain.len() + bytes + MESSAGE_HEAD_BYTES + SIGNATURE_BYTES_MAX;
        bytes <= MESSAGE_BYTES_MAX && self.out.len() + sealed(all) <= self.bytes_max
    }

    pub fn push(&mut self, message: &[u8]) -> Result<(), ParcelError> {
        if !self.has_room(message.len()) {
            return Err(ParcelError::TooLarge);
        }
        self.write(MESSAGE, message)
    }

    fn write(&mut self, kind: u8, message: &[u8]) -> Result<(), ParcelError> {
        let bytes = u32::try_from(message.len()).map_err(|_| ParcelError::TooLarge)?;
        for part in [&[kind][..], &bytes.to_be_bytes(), message] {
            self.digest.update(part);
            self.plain.extend(part);
        }
        while self.plain.len() > PIECE_BYTES {
            let rest = self.plain.split_off(PIECE_BYTES);
            self.out.extend(self.sealing.piece(&self.plain, false)?);
            self.plain = rest;
        }
        Ok(())
    }

    /// By a site.
    pub fn sign_by_key(self, key: &Key) -> Result<Vec<u8>, ParcelError> {
        let signature = key.sign(&signed(&self.digest.finish()))?;
        self.finish(&signature, SignedBy::Key(STANDARD.encode(key.public().as_der())))
    }

    /// By a hub.
    pub fn sign_by_authority(self, authority: &Authority) -> Result<Vec<u8>, ParcelError> {
        let signature = authority.sign(&signed(&self.digest.finish()))?;
        let chain = authority.chain().iter().map(|it| STANDARD.encode(it)).collect();
        self.finish(&signature, SignedBy::Chain(chain))
    }

    fn finish(mut self, signature: &[u8], by: SignedBy) -> Result<Vec<u8>, ParcelError> {
        let signature = Signature { signature: STANDARD.encode(signature), by };
        let text = document::write(SIGNATURE_TYPE, VERSION, &signature);
        self.write(SIGNATURE, &text)?;
        let last = self.sealing.piece(&self.plain, true)?;
        self.out.extend(last);
        Ok(self.out)
    }
}

fn signed(digest: &Digest) -> Vec<u8> {
    [SIGNED, digest.as_bytes()].concat()
}

/// A file that was opened to its end and is signed by whom it says.
pub struct Parcel {
    key: Arc<SealingKey>,
    bytes: Vec<u8>,
    pub label: Label,
    pub signer: Signer,
}

/// Who has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Whoever has this key.
    Key(PublicKey),
    /// An authority below the root that the label names.
    Authority,
}

impl Parcel {
    /// Opens all of it, and keeps nothing: messages are opened again as they are read.
    pub fn open(bytes: Vec<u8>, key: Arc<SealingKey>) -> Result<Self, ParcelError> {
        if bytes.len() > PARCEL_BYTES_MAX {
            return Err(ParcelError::TooLarge);
        }
        let (label, _) = Label::read(&bytes)?;
        if label.to != key.public().digest() {
            return Err(ParcelError::Another);
        }
        let mut messages = Messages::new(&bytes, &key)?;
        while messages.next().transpose()?.is_some() {}
        let Messages { signature, digest, .. } = messages;
        let text = signature.ok_or(ParcelError::Cut)?;
        let wrong = |_| ParcelError::Signature(IdentityError::Signature);
        let read: Signature = document::read(&text, SIGNATURE_TYPE, VERSION).map_err(wrong)?;
        let said = signed(&digest.finish());
        let signer = match read.by {
            SignedBy::Key(der) => {
                let decode =
                    |text: &str| STANDARD.decode(text).map_err(|_| IdentityError::Signature);
                let verify = || {
                    let key = PublicKey::from_der(&decode(&der)?)?;
                    key.verify(&said, &decode(&read.signature)?)?;
                    Ok(key)
                };
                Signer::Key(verify().map_err(ParcelError::Signature)?)
            }
            SignedBy::Chain(chain) => {
                let found = is_signed_text(label.root, &chain, &said, &read.signature);
                found.map_err(ParcelError::Signature)?;
                Signer::Authority
            }
        };
        Ok(Self { key, bytes, label, signer })
    }

    pub fn messages(&self) -> Result<Messages<'_>, ParcelError> {
        Messages::new(&self.bytes, &self.key)
    }
}

/// The messages of a file, one after the other.
pub struct Messages<'a> {
    reader: SealReader,
    /// Sealed still.
    rest: &'a [u8],
    is_last: bool,
    plain: Vec<u8>,
    /// What of `plain` was read.
    read: usize,
    digest: Digester,
    signature: Option<Vec<u8>>,
}

impl<'a> Messages<'a> {
    fn new(bytes: &'a [u8], key: &SealingKey) -> Result<Self, ParcelError> {
        let (_, end) = Label::read(bytes)?;
        let (line, rest) = bytes.split_at(end);
        let (enc, rest) = rest.split_first_chunk::<SEALING_KEY_BYTES>().ok_or(ParcelError::Cut)?;
        let reader = SealReader::new(key, &[INFO, line].concat(), enc)?;
        let mut digest = Digester::default();
        digest.update(line);
        digest.update(enc);
        let (plain, signature) = (Vec::new(), None);
        Ok(Self { reader, rest, is_last: false, plain, read: 0, digest, signature })
    }

    /// So many bytes more, from as many pieces as it takes.
    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, ParcelError> {
        while self.plain.len() - self.read < bytes {
            if self.is_last {
                return Err(ParcelError::Changed);
            }
            self.plain.drain(..self.read);
            self.read = 0;
            let (head, rest) =
                self.rest.split_first_chunk::<PIECE_HEAD_BYTES>().ok_or(ParcelError::Cut)?;
            let head = PieceHead::read(head)?;
            let (body, rest) = rest.split_at_checked(head.bytes).ok_or(ParcelError::Cut)?;
            self.plain.extend(self.reader.piece(head, body)?);
            (self.rest, self.is_last) = (rest, head.is_last);
        }
        let taken = self.plain[self.read..self.read + bytes].to_vec();
        self.read += bytes;
        Ok(taken)
    }

    fn message(&mut self) -> Result<Option<Vec<u8>>, ParcelError> {
        let head = self.take(MESSAGE_HEAD_BYTES)?;
        let (kind, size) = head.split_first().expect("a head has five bytes");
        let bytes = u32::from_be_bytes(size.try_into().expect("four are left")) as usize;
        if bytes > MESSAGE_BYTES_MAX {
            return Err(ParcelError::Changed);
        }
        let message = self.take(bytes)?;
        match *kind {
            MESSAGE => {
                self.digest.update(&head);
                self.digest.update(&message);
                Ok(Some(message))
            }
            // Behind it is nothing, neither open nor sealed.
            SIGNATURE if self.is_last && self.rest.is_empty() && self.read == self.plain.len() => {
                self.signature = Some(message);
                Ok(None)
            }
            _ => Err(ParcelError::Changed),
        }
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<Vec<u8>, ParcelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.signature.is_some() { None } else { self.message().transpose() }
    }
}

#[cfg(test)]
mod tests {
    use base::{Clock as _, SystemClock};

    use super::*;
    use crate::authority::Root;
    use crate::name::Domain;

    struct Ends {
        key: Arc<SealingKey>,
        signing: Key,
        authority: Authority,
        root: Pin,
    }

    fn ends() -> Ends {
        let (now, domain) = (SystemClock.now(), Domain::parse("acme").expect("a name"));
        let make = || Key::generate().expect("a key");
        let root = Root::create(&domain, make(), now).expect("a root");
        let authority = root.authority(&domain, make(), now).expect("an authority");
        let key = Arc::new(SealingKey::generate().expect("a key"));
        Ends { key, signing: make(), authority, root: root.pin() }
    }

    fn writer(ends: &Ends, way: Way, messages: &[Vec<u8>]) -> ParcelWriter {
        let site = SiteName::parse("plant-1").expect("a name");
        let mut writer =
            ParcelWriter::new(way, site, ends.root, &ends.key.public()).expect("a writer");
        messages.iter().for_each(|it| writer.push(it).expect("it fits"));
        writer
    }

    fn read(ends: &Ends, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ParcelError> {
        Parcel::open(bytes.to_vec(), Arc::clone(&ends.key))?.messages()?.collect()
    }

    /// Mutation: lose what lies over the end of a piece, or say another signer.
    #[test]
    fn messages_come_out_as_they_went_in_with_who_has_signed() {
        let ends = ends();
        let large = vec![b'x'; 3 * PIECE_BYTES];
        let messages = vec![b"the first".to_vec(), Vec::new(), large.clone(), b"the last".to_vec()];
        let up = writer(&ends, Way::Up, &messages).sign_by_key(&ends.signing).expect("signed");
        let opened = Parcel::open(up.clone(), Arc::clone(&ends.key)).expect("it opens");
        assert_eq!(opened.signer, Signer::Key(ends.signing.public()));
        assert_eq!((opened.label.way, opened.label.root), (Way::Up, ends.root));
        assert_eq!(read(&ends, &up), Ok(messages.clone()));
        let down = writer(&ends, Way::Down, &messages).sign_by_authority(&ends.authority);
        let down = down.expect("signed");
        let opened = Parcel::open(down, Arc::clone(&ends.key)).expect("it opens");
        assert_eq!(opened.signer, Signer::Authority);
        for readable in
            [&b"the first"[..], b"the last", &large[..100], ends.signing.public().as_der()]
        {
            assert!(!up.windows(readable.len()).any(|it| it == readable), "{readable:?}");
        }
    }

    /// Mutation: leave the label out of what is sealed, or a part out of what is signed; stop at the
    /// signature though something is behind it.
    #[test]
    fn a_file_that_was_changed_or_cut_at_any_byte_is_refused() {
        let ends = ends();
        let messages = vec![b"one".to_vec(), b"two".to_vec()];
        let whole = writer(&ends, Way::Up, &messages).sign_by_key(&ends.signing).expect("signed");
        assert!(read(&ends, &whole).is_ok());
        let (_, label) = Label::read(&whole).expect("a label");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(read(&ends, &changed).is_err(), "changed at {at}");
            let cut = read(&ends, &whole[..at]).expect_err("cut");
            let expected = if at < label { ParcelError::Form } else { ParcelError::Cut };
            assert_eq!(cut, expected, "cut at {at}");
        }
        let longer = [&whole[..], b"\0"].concat();
        assert_eq!(read(&ends, &longer), Err(ParcelError::Changed));
        assert_eq!(read(&ends, &[0; 100_000]), Err(ParcelError::Form));
        assert_eq!(read(&ends, &vec![0; PARCEL_BYTES_MAX + 1]), Err(ParcelError::TooLarge));
        let newer = String::from_utf8_lossy(&whole[..label]).replace("\"v\":1", "\"v\":2");
        let newer = [newer.as_bytes(), &whole[label..]].concat();
        assert_eq!(read(&ends, &newer), Err(ParcelError::Newer));
    }

    /// Mutation: take a signature of anybody, or of another fleet's authority.
    #[test]
    fn only_who_has_written_it_signs_a_file_and_only_its_receiver_opens_it() {
        let (ours, others) = (ends(), ends());
        let whole = writer(&ours, Way::Up, &[]).sign_by_key(&ours.signing).expect("signed");
        assert_eq!(read(&others, &whole), Err(ParcelError::Another));
        let foreign = writer(&ours, Way::Down, &[]).sign_by_authority(&others.authority);
        let foreign = read(&ours, &foreign.expect("signed"));
        assert!(matches!(foreign, Err(ParcelError::Signature(_))), "{foreign:?}");
        let by = SignedBy::Key(STANDARD.encode(ours.signing.public().as_der()));
        let forged = writer(&ours, Way::Up, &[]);
        let signature = others.signing.sign(&signed(&forged.digest.finish())).expect("signed");
        let forged = read(&ours, &forged.finish(&signature, by).expect("written"));
        assert!(matches!(forged, Err(ParcelError::Signature(_))), "{forged:?}");
    }

    /// A file that was written when there were first any, and the key that opens it: both of nobody.
    /// `UPDATE_SAMPLES=1` writes it anew.
    ///
    /// Mutation: change anything of how a file is laid out, sealed or signed.
    #[test]
    fn a_file_of_the_first_version_is_read() {
        let sample =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/samples/v1/exchange-file.bin");
        let text = format!("isonomy-sealing-key-{}", STANDARD.encode([0x42; 32]));
        let key = Arc::new(SealingKey::from_text(&text).expect("32 bytes"));
        let messages = vec![br#"{"type":"isonomy.exchange-up","v":1}"#.to_vec(), b"\0{}".to_vec()];
        let ends = Ends { key, ..ends() };
        if std::env::var_os("UPDATE_SAMPLES").is_some() {
            let written = writer(&ends, Way::Up, &messages).sign_by_key(&ends.signing);
            std::fs::write(sample, written.expect("signed")).expect("written");
        }
        let bytes = std::fs::read(sample).expect("the sample");
        let opened = Parcel::open(bytes.clone(), Arc::clone(&ends.key)).expect("it opens");
        assert_eq!((opened.label.way, opened.label.site.as_str()), (Way::Up, "plant-1"));
        assert!(matches!(opened.signer, Signer::Key(_)));
        assert_eq!(read(&ends, &bytes), Ok(messages));
    }

    /// Mutation: write a file that nobody takes.
    #[test]
    fn a_file_is_full_before_it_is_too_large() {
        let ends = ends();
        let mut writer = ParcelWriter { bytes_max: 4 << 20, ..writer(&ends, Way::Up, &[]) };
        let message = vec![b'x'; MESSAGE_BYTES_MAX / 4];
        while writer.has_room(message.len()) {
            writer.push(&message).expect("there is room");
        }
        assert_eq!(writer.push(&message), Err(ParcelError::TooLarge));
        let whole = writer.sign_by_authority(&ends.authority).expect("signed");
        assert!(whole.len() <= 4 << 20 && whole.len() > 3 << 20, "{}", whole.len());
        assert!(read(&ends, &whole).is_ok());
    }
}
