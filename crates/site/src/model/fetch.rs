//! Fetching a model's file from an address: by the site itself, through its gate, and only the file that was
//! meant.
//!
//! It is held in memory, as one that is brought, until it is known to be that file: whatever happens meanwhile,
//! nothing of it lies anywhere.

use std::fmt;

use base::{By, Digest, Digester, Namespace};
use bytes::{Bytes, BytesMut};
use gateway::decide::Caller;
use gateway::{Gate, OutError, OutRequest};
use http::header::CONTENT_LENGTH;
use inference::FILE_BYTES_MAX;
use sha2::{Digest as _, Sha256};
use wire::{ArtifactFetch, ArtifactView};

use super::shelf::Models;
use crate::refusal::Refusal;

/// A line that breaks is tried again from the beginning, this often in all. What breaks each time is not mended by
/// waiting.
const FETCHES_MAX: usize = 3;

/// Which file is meant: as its author says it, or as a site does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meant {
    Sha256([u8; 32]),
    Ours(Digest),
}

/// Reads one of them piece by piece.
enum Reading {
    Sha256(Box<Sha256>),
    Ours(Box<Digester>),
}

/// Why there is no file.
enum NoFile {
    /// It may come next time.
    Broken(OutError),
    Refused(Refusal),
}

impl Meant {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            let what = "`sha256:` and 64 hexadecimal digits, or `b3:` and as many";
            Refusal::parameter("digest", what)
        };
        let Some(hex) = text.strip_prefix("sha256:") else {
            return text.parse().map(Self::Ours).map_err(|_| wrong());
        };
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let two = hex.get(2 * at..2 * at + 2).filter(|_| is_hex).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(two, 16).map_err(|_| wrong())?;
        }
        Ok(Self::Sha256(bytes))
    }

    fn reading(&self) -> Reading {
        match self {
            Self::Sha256(_) => Reading::Sha256(Box::default()),
            Self::Ours(_) => Reading::Ours(Box::default()),
        }
    }
}

impl Reading {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(reading) => reading.update(bytes),
            Self::Ours(reading) => reading.update(bytes),
        }
    }

    fn is(self, meant: &Meant) -> bool {
        match (self, meant) {
            (Self::Sha256(reading), Meant::Sha256(meant)) => reading.finalize()[..] == meant[..],
            (Self::Ours(reading), Meant::Ours(meant)) => reading.finish() == *meant,
            (Self::Sha256(_), Meant::Ours(_)) | (Self::Ours(_), Meant::Sha256(_)) => false,
        }
    }
}

impl Models {
    /// Fetches a file that a model of this namespace is to name next, and takes it as one that is brought.
    pub(crate) async fn artifact_fetch(
        &self,
        gate: &Gate,
        by: By,
        namespace: Namespace,
        fetch: ArtifactFetch,
    ) -> Result<ArtifactView, Refusal> {
        let meant = Meant::parse(&fetch.digest)?;
        let request = OutRequest::new("GET", &fetch.url, &[]).map_err(|wrong| address(&wrong))?;
        let request = request.with_redirects(true);
        // Each is held in memory.
        let _one = self.0.fetching.lock().await;
        let mut tries = 1;
        let file = loop {
            match fetched(gate, &namespace, request.clone(), &meant).await {
                Ok(file) => break file,
                Err(NoFile::Refused(refusal)) => return Err(refusal),
                Err(NoFile::Broken(error)) if tries == FETCHES_MAX => {
                    return Err(address(&format!("{error}, {tries} times; nothing of it is kept")));
                }
                Err(NoFile::Broken(_)) => tries += 1,
            }
        };
        self.artifact_take(by, namespace, file.into()).await
    }
}

async fn fetched(
    gate: &Gate,
    namespace: &Namespace,
    request: OutRequest,
    meant: &Meant,
) -> Result<Bytes, NoFile> {
    let caller = Caller { namespace, run: None, activation: "", labels: &[] };
    let (opened, _) = gate.open(caller, request).await;
    let mut incoming = opened.map_err(no_file)?;
    if !incoming.status().is_success() {
        let what = format!("it answers {}", incoming.status().as_u16());
        return Err(NoFile::Refused(address(&what)));
    }
    let said = incoming.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    let said: usize = said.unwrap_or(0);
    let large = || {
        let most = FILE_BYTES_MAX >> 20;
        let what = format!("what is there is larger than {most} MiB; serve it with another server");
        NoFile::Refused(address(&what))
    };
    if said > FILE_BYTES_MAX {
        return Err(large());
    }
    let (mut file, mut reading) = (BytesMut::new(), meant.reading());
    while let Some(piece) = incoming.chunk().await.map_err(no_file)? {
        if file.len() + piece.len() > FILE_BYTES_MAX {
            return Err(large());
        }
        reading.update(&piece);
        file.extend_from_slice(&piece);
    }
    if reading.is(meant) {
        return Ok(file.freeze());
    }
    // The digest of what came is not told: whoever copies it would trust what nobody has looked at.
    let what = "what is at the address is another file; nothing of it is kept. Look up which file its author means, or fetch it yourself and look at it";
    Err(NoFile::Refused(Refusal::parameter("digest", what)))
}

fn no_file(error: OutError) -> NoFile {
    match error {
        OutError::NotSent { .. } | OutError::NoAnswer { .. } => NoFile::Broken(error),
        OutError::Denied(_)
        | OutError::Invalid(_)
        | OutError::TooLarge { .. }
        | OutError::TooManyRedirects { .. }
        | OutError::BadRedirect { .. } => NoFile::Refused(address(&error)),
    }
}

/// The address itself is not repeated: it may open something.
fn address(what: &dyn fmt::Display) -> Refusal {
    Refusal::parameter("url", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a digest that is cut, or compare a part of it alone.
    #[test]
    fn a_file_is_the_one_that_was_meant() {
        let sha = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for meant in [
            sha.to_owned(),
            sha.to_uppercase().replace("SHA256", "sha256"),
            Digest::of(b"abc").to_string(),
        ] {
            let meant = Meant::parse(&meant).expect("a digest");
            for (file, is_it) in [(&b"abc"[..], true), (b"abd", false), (b"", false)] {
                let mut reading = meant.reading();
                file.chunks(2).for_each(|piece| reading.update(piece));
                assert_eq!(reading.is(&meant), is_it, "{meant:?}");
            }
        }
        for wrong in
            ["", "sha256:", &sha[..70], &format!("{sha}0"), &sha.replace('b', "x"), "md5:00"]
        {
            assert!(Meant::parse(wrong).is_err(), "{wrong}");
        }
    }
}
