//! What parent and child say to each other: frames of JSON over the child's stdin and stdout.
//!
//! A frame is its length (four bytes, little endian) and that many bytes. The child says one empty
//! frame when it is ready, and then one answer for each request. The two are the same binary, so
//! there is no version.

use std::io::{self, Read, Write};

use base::value::Json;
use serde::{Deserialize, Serialize};

/// An expression with all that it reads. More would not fit into the child's memory as values.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A result. The parent holds it twice while it reads it, so this also bounds the parent's memory.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub text: String,
    pub variables: Vec<(String, Json)>,
    pub input: Json,
    /// Compile only; the values do not matter.
    pub check: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer<T = Json> {
    Value(T),
    Failed(String),
    Syntax { what: String, offset: usize },
}

/// The length of a frame as its first four bytes.
pub(crate) fn header(length: usize) -> io::Result<[u8; 4]> {
    u32::try_from(length)
        .map(u32::to_le_bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame of more than 4 GiB"))
}

/// Reads one frame, or nothing where the other side has closed.
pub(crate) fn read_frame(from: &mut impl Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    match from.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame beyond its limit"));
    }
    let mut frame = Vec::new();
    from.take(length as u64).read_to_end(&mut frame)?;
    Ok((frame.len() == length).then_some(frame))
}

pub(crate) fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    to.write_all(&header(frame.len())?)?;
    to.write_all(frame)?;
    to.flush()
}
