//! Tensors, with the types and names of the Open Inference Protocol v2.

use std::fmt;

/// Numbers or texts in one tensor. 128 MiB of numbers; larger ones are for a server of their own.
pub const ELEMENTS_MAX: usize = 16 * 1024 * 1024;

/// Axes of a tensor. Real models stay below eight.
pub const AXES_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp32,
    Fp64,
    Bytes,
}

/// Every type, in the order of its number in frames.
pub(crate) const DATATYPES: [Datatype; 12] = [
    Datatype::Bool,
    Datatype::Uint8,
    Datatype::Uint16,
    Datatype::Uint32,
    Datatype::Uint64,
    Datatype::Int8,
    Datatype::Int16,
    Datatype::Int32,
    Datatype::Int64,
    Datatype::Fp32,
    Datatype::Fp64,
    Datatype::Bytes,
];

impl Datatype {
    /// As the protocol writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        DATATYPES.into_iter().find(|it| it.as_str() == text)
    }

    /// Memory of one element; of a text, what it takes without its letters.
    #[must_use]
    pub fn element_bytes(self) -> usize {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 => 2,
            Self::Uint32 | Self::Int32 | Self::Fp32 => 4,
            Self::Uint64 | Self::Int64 | Self::Fp64 => 8,
            Self::Bytes => size_of::<Vec<u8>>(),
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Elements in the order of the last axis first, as everybody has them.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
}

/// Does the same with the elements, whatever their type.
macro_rules! each {
    ($data:expr, $list:ident => $what:expr) => {
        match $data {
            $crate::tensor::Data::Bool($list) => $what,
            $crate::tensor::Data::Uint8($list) => $what,
            $crate::tensor::Data::Uint16($list) => $what,
            $crate::tensor::Data::Uint32($list) => $what,
            $crate::tensor::Data::Uint64($list) => $what,
            $crate::tensor::Data::Int8($list) => $what,
            $crate::tensor::Data::Int16($list) => $what,
            $crate::tensor::Data::Int32($list) => $what,
            $crate::tensor::Data::Int64($list) => $what,
            $crate::tensor::Data::Fp32($list) => $what,
            $crate::tensor::Data::Fp64($list) => $what,
            $crate::tensor::Data::Bytes($list) => $what,
        }
    };
}

/// Does with the elements what gives elements of the same type.
macro_rules! map {
    ($data:expr, $list:ident => $what:expr) => {
        match $data {
            $crate::tensor::Data::Bool($list) => $crate::tensor::Data::Bool($what),
            $crate::tensor::Data::Uint8($list) => $crate::tensor::Data::Uint8($what),
            $crate::tensor::Data::Uint16($list) => $crate::tensor::Data::Uint16($what),
            $crate::tensor::Data::Uint32($list) => $crate::tensor::Data::Uint32($what),
            $crate::tensor::Data::Uint64($list) => $crate::tensor::Data::Uint64($what),
            $crate::tensor::Data::Int8($list) => $crate::tensor::Data::Int8($what),
            $crate::tensor::Data::Int16($list) => $crate::tensor::Data::Int16($what),
            $crate::tensor::Data::Int32($list) => $crate::tensor::Data::Int32($what),
            $crate::tensor::Data::Int64($list) => $crate::tensor::Data::Int64($what),
            $crate::tensor::Data::Fp32($list) => $crate::tensor::Data::Fp32($what),
            $crate::tensor::Data::Fp64($list) => $crate::tensor::Data::Fp64($what),
            $crate::tensor::Data::Bytes($list) => $crate::tensor::Data::Bytes($what),
        }
    };
}
pub(crate) use map;

impl Data {
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, list => list.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Uint8(_) => Datatype::Uint8,
            Self::Uint16(_) => Datatype::Uint16,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Int8(_) => Datatype::Int8,
            Self::Int16(_) => Datatype::Int16,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("the shape {shape:?} does not fit {elements} elements")]
    Elements { shape: Vec<usize>, elements: usize },
    #[error("more than {ELEMENTS_MAX} elements or {AXES_MAX} axes; send smaller batches")]
    TooLarge,
}

/// Elements and their shape, which always fit each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Data,
}

impl Array {
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, ShapeError> {
        let elements = elements(&shape)?;
        if elements != data.len() {
            return Err(ShapeError::Elements { shape, elements: data.len() });
        }
        Ok(Self { shape, data })
    }

    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    #[must_use]
    pub fn into_data(self) -> Data {
        self.data
    }

    #[must_use]
    pub fn datatype(&self) -> Datatype {
        self.data.datatype()
    }

    /// Memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let letters = match &self.data {
            Data::Bytes(texts) => texts.iter().map(Vec::len).sum(),
            _ => 0,
        };
        self.data.len() * self.datatype().element_bytes() + letters
    }
}

/// What a shape holds, if that is within the limits.
pub fn elements(shape: &[usize]) -> Result<usize, ShapeError> {
    if shape.len() > AXES_MAX {
        return Err(ShapeError::TooLarge);
    }
    // An axis of nothing must not hide axes whose product is none.
    let whole = shape.iter().try_fold(1_usize, |all, &axis| all.checked_mul(axis.max(1)));
    match whole {
        Some(whole) if whole <= ELEMENTS_MAX => Ok(shape.iter().product()),
        _ => Err(ShapeError::TooLarge),
    }
}

/// What goes into a model or comes out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub name: String,
    pub values: Array,
}

impl Tensor {
    pub fn new(name: impl Into<String>, shape: Vec<usize>, data: Data) -> Result<Self, ShapeError> {
        Ok(Self { name: name.into(), values: Array::new(shape, data)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: leave out the check in `Array::new`.
    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let refused = Tensor::new("x", vec![2, 2], Data::Fp32(vec![0.0; 3]));
        assert!(matches!(refused, Err(ShapeError::Elements { elements: 3, .. })));
        assert!(Tensor::new("x", vec![], Data::Fp32(vec![0.0])).is_ok());
    }

    /// Mutation: multiply the axes as they are, or without a check for overflow.
    #[test]
    fn no_shape_is_too_large_to_be_refused() {
        for shape in [vec![usize::MAX, 2], vec![0, usize::MAX, 2], vec![1; AXES_MAX + 1]] {
            assert_eq!(elements(&shape), Err(ShapeError::TooLarge));
        }
        assert_eq!(elements(&[0, 30]), Ok(0));
    }

    /// Mutation: swap two names.
    #[test]
    fn every_type_is_found_by_its_name() {
        for datatype in DATATYPES {
            assert_eq!(Datatype::parse(datatype.as_str()), Some(datatype));
        }
        assert_eq!(Datatype::parse("FP16"), None);
    }
}
