//! Protocol buffers: the fields of a message, one after another, borrowed from the file.

use super::LoadError;

#[derive(Debug, Clone, Copy)]
pub(super) enum Field<'f> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'f [u8]),
}

#[derive(Debug, Clone)]
pub(super) struct Message<'f>(&'f [u8]);

impl<'f> Message<'f> {
    pub(super) fn new(bytes: &'f [u8]) -> Self {
        Self(bytes)
    }

    /// Number and content of the next field.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Field<'f>)>, LoadError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.fixed()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| LoadError::Cut)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(LoadError::Cut)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Fixed32(self.fixed()?),
            _ => return Err(LoadError::NotOnnx),
        };
        Ok(Some((key >> 3, field)))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(LoadError::Cut)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn varint(&mut self) -> Result<u64, LoadError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(LoadError::Cut)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(LoadError::NotOnnx)
    }
}

impl<'f> Field<'f> {
    pub(super) fn bytes(self) -> Result<&'f [u8], LoadError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(LoadError::NotOnnx),
        }
    }

    pub(super) fn message(self) -> Result<Message<'f>, LoadError> {
        self.bytes().map(Message)
    }

    pub(super) fn text(self) -> Result<&'f str, LoadError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| LoadError::NotOnnx)
    }

    pub(super) fn int(self) -> Result<i64, LoadError> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            _ => Err(LoadError::NotOnnx),
        }
    }

    pub(super) fn float(self) -> Result<f32, LoadError> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(LoadError::NotOnnx),
        }
    }

    /// One of a repeated field of integers, or all of them where they are packed.
    pub(super) fn ints_into(self, list: &mut Vec<i64>) -> Result<(), LoadError> {
        match self {
            Self::Bytes(packed) => {
                let mut packed = Message(packed);
                while !packed.0.is_empty() {
                    list.push(packed.varint()?.cast_signed());
                }
                Ok(())
            }
            one => one.int().map(|value| list.push(value)),
        }
    }

    /// As [`Self::ints_into`], of numbers with four bytes.
    pub(super) fn floats_into(self, list: &mut Vec<f32>) -> Result<(), LoadError> {
        match self {
            Self::Bytes(packed) => {
                let (floats, []) = packed.as_chunks::<4>() else { return Err(LoadError::Cut) };
                list.extend(floats.iter().map(|it| f32::from_le_bytes(*it)));
                Ok(())
            }
            one => one.float().map(|value| list.push(value)),
        }
    }

    /// As [`Self::ints_into`], of numbers with eight bytes.
    pub(super) fn doubles_into(self, list: &mut Vec<f64>) -> Result<(), LoadError> {
        match self {
            Self::Bytes(packed) => {
                let (doubles, []) = packed.as_chunks::<8>() else { return Err(LoadError::Cut) };
                list.extend(doubles.iter().map(|it| f64::from_le_bytes(*it)));
                Ok(())
            }
            Self::Fixed64(bytes) => {
                list.push(f64::from_le_bytes(bytes));
                Ok(())
            }
            Self::Varint(_) | Self::Fixed32(_) => Err(LoadError::NotOnnx),
        }
    }
}
