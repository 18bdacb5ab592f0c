//! Bytes that come in pieces, as text: a character that is cut waits for its rest.

use crate::refusal::Refusal;

/// Turns pieces of bytes into pieces of text.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character: three bytes at most.
    begun: Vec<u8>,
    /// Bytes that became text.
    read: usize,
}

impl Utf8 {
    /// The text that is whole.
    pub fn push(&mut self, piece: &[u8]) -> Result<String, Refusal> {
        self.begun.extend_from_slice(piece);
        let valid = match std::str::from_utf8(&self.begun) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => {
                let at = self.read + error.valid_up_to();
                self.begun.clear();
                return Err(Refusal::NotUtf8 { at });
            }
        };
        let rest = self.begun.split_off(valid);
        let whole = std::mem::replace(&mut self.begun, rest);
        self.read += valid;
        String::from_utf8(whole).map_err(|_| Refusal::NotUtf8 { at: self.read })
    }

    /// Refuses a stream that ends within a character.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        if self.begun.is_empty() { Ok(()) } else { Err(Refusal::NotUtf8 { at: self.read }) }
    }
}
