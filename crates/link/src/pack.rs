//! Frames as messages: a byte that says how, then JSON, compressed where that helps.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// A frame as JSON. Entries and orders come in pages far below it; one order may be as large.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// A frame with the byte before it, which is compressed only where it gets smaller.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX + 1;

/// Below, a message fits one packet as it is.
const COMPRESS_BYTES_MIN: usize = 1024;

const PLAIN: u8 = 0;
const DEFLATE: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    #[error("a message of no known kind")]
    Kind,
    #[error("a message that cannot be unpacked")]
    Damaged,
    #[error("a frame of more than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
}

#[must_use]
pub fn pack(json: &[u8]) -> Vec<u8> {
    if json.len() >= COMPRESS_BYTES_MIN {
        let mut encoder = DeflateEncoder::new(vec![DEFLATE], Compression::fast());
        let packed = encoder.write_all(json).and_then(|()| encoder.finish());
        if let Some(packed) = packed.ok().filter(|packed| packed.len() <= json.len()) {
            return packed;
        }
    }
    let mut message = Vec::with_capacity(json.len() + 1);
    message.push(PLAIN);
    message.extend(json);
    message
}

pub fn unpack(message: &[u8]) -> Result<Cow<'_, [u8]>, PackError> {
    let (kind, body) = message.split_first().ok_or(PackError::Kind)?;
    let json = match *kind {
        PLAIN => Cow::Borrowed(body),
        DEFLATE => {
            let mut json = Vec::new();
            // One more than is allowed, to see that it is too much.
            let mut decoder = DeflateDecoder::new(body).take(FRAME_BYTES_MAX as u64 + 1);
            decoder.read_to_end(&mut json).map_err(|_| PackError::Damaged)?;
            Cow::Owned(json)
        }
        _ => return Err(PackError::Kind),
    };
    if json.len() > FRAME_BYTES_MAX { Err(PackError::TooLarge) } else { Ok(json) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: never compress, or forget how a message was packed.
    #[test]
    fn a_frame_comes_back_from_its_message() {
        let small = br#"{"type":"ready","session":7}"#.to_vec();
        let large = small.repeat(100);
        for json in [Vec::new(), small.clone(), large.clone()] {
            let message = pack(&json);
            assert_eq!(unpack(&message).expect("what was packed").as_ref(), json);
        }
        assert_eq!(pack(&small).len(), small.len() + 1);
        assert!(pack(&large).len() < large.len() / 5);
    }

    /// Mutation: unpack without a limit, or take a message of another kind.
    #[test]
    fn what_is_too_large_or_no_message_is_refused() {
        let bomb = {
            let mut encoder = DeflateEncoder::new(vec![DEFLATE], Compression::best());
            encoder.write_all(&vec![b' '; 100 * FRAME_BYTES_MAX]).expect("memory");
            encoder.finish().expect("memory")
        };
        assert!(bomb.len() < FRAME_BYTES_MAX);
        assert_eq!(unpack(&bomb), Err(PackError::TooLarge));
        let mut plain = vec![PLAIN; FRAME_BYTES_MAX + 2];
        assert_eq!(unpack(&plain), Err(PackError::TooLarge));
        plain.truncate(MESSAGE_BYTES_MAX);
        assert!(unpack(&plain).is_ok());
        assert_eq!(unpack(b""), Err(PackError::Kind));
        assert_eq!(unpack(b"\x02{}"), Err(PackError::Kind));
        assert_eq!(unpack(b"\x01\xff\xff"), Err(PackError::Damaged));
    }
}
