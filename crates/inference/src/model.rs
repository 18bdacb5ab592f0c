//! What every runtime of a model offers, and how it refuses.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::tensor::{Datatype, ShapeError, Tensor};

/// A model file. Larger ones are language models, which have servers of their own.
pub const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A model in memory. Unloading is dropping it.
///
/// It keeps no state between calls and takes whole batches: the first axis of each input, where the
/// model leaves it free, is as long as the caller likes.
pub trait Model: Send + Sync {
    fn metadata(&self) -> &Metadata;

    /// Memory that it holds while nobody asks it, in bytes.
    fn memory_bytes(&self) -> usize;

    /// Answers. Looks at `stop` between its steps; a single step is not interrupted, so whoever
    /// must be sure lets a process of its own do this and kills it.
    fn infer(&self, inputs: Vec<Tensor>, stop: &Stop) -> Result<Vec<Tensor>, InferError>;

    /// Touches everything that the first real call would: one row of zeros through the model.
    fn warm(&self) -> Result<(), InferError> {
        let inputs = self.metadata().inputs.iter().map(TensorInfo::zeros).collect::<Result<_, _>>();
        self.infer(inputs?, &Stop::default()).map(drop)
    }
}

/// What a model takes and gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pub inputs: Vec<TensorInfo>,
    pub outputs: Vec<TensorInfo>,
    /// Whose operators it is made of, and of which version.
    pub opsets: Vec<(String, i64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    pub datatype: Datatype,
    /// An axis without a length is the caller's to choose.
    pub shape: Vec<Option<usize>>,
}

impl TensorInfo {
    fn zeros(&self) -> Result<Tensor, InferError> {
        use crate::tensor::{Data, elements};
        let shape: Vec<usize> = self.shape.iter().map(|axis| axis.unwrap_or(1)).collect();
        let wrong = |cause| InferError::Shape { name: self.name.clone(), cause };
        let n = elements(&shape).map_err(wrong)?;
        let data = match self.datatype {
            Datatype::Bool => Data::Bool(vec![false; n]),
            Datatype::Uint8 => Data::Uint8(vec![0; n]),
            Datatype::Uint16 => Data::Uint16(vec![0; n]),
            Datatype::Uint32 => Data::Uint32(vec![0; n]),
            Datatype::Uint64 => Data::Uint64(vec![0; n]),
            Datatype::Int8 => Data::Int8(vec![0; n]),
            Datatype::Int16 => Data::Int16(vec![0; n]),
            Datatype::Int32 => Data::Int32(vec![0; n]),
            Datatype::Int64 => Data::Int64(vec![0; n]),
            Datatype::Fp32 => Data::Fp32(vec![0.0; n]),
            Datatype::Fp64 => Data::Fp64(vec![0.0; n]),
            Datatype::Bytes => Data::Bytes(vec![Vec::new(); n]),
        };
        Tensor::new(self.name.clone(), shape, data).map_err(wrong)
    }
}

/// Set by whoever no longer waits.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn check(&self) -> Result<(), InferError> {
        if self.0.load(Ordering::Relaxed) { Err(InferError::Stopped) } else { Ok(()) }
    }
}

/// Why a file is no model for us. Holds names of the model, never its numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("this is no ONNX file; export the model again")]
    NotOnnx,
    #[error("this is a file of {format}, and what runs here is ONNX; {hint}")]
    Foreign { format: &'static str, hint: &'static str },
    #[error("the file ends in the middle; copy it again")]
    Cut,
    #[error("the file is larger than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLarge,
    #[error("the model has too many {what}")]
    TooMany { what: &'static str },
    #[error("the model has {what}, which are not supported; export it without")]
    Unsupported { what: &'static str },
    #[error("the tensor `{name}` of the model does not fit its shape")]
    Tensor { name: String },
    #[error(
        "the operator `{operator}` of the model is not supported; see docs/reference/local-models.md"
    )]
    Operator { operator: String },
    #[error("version {version} of the operators `{domain}` is not supported; export with {hint}")]
    Opset { domain: String, version: i64, hint: &'static str },
    #[error("node {node} (`{operator}`) of the model: {what}")]
    Node { node: usize, operator: String, what: String },
    #[error("the output `{name}` of the model comes from nowhere")]
    Output { name: String },
}

/// Why there is no answer. Holds names and shapes, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    #[error("the input `{name}` is missing")]
    Missing { name: String },
    #[error("the model has no input `{name}`")]
    Unknown { name: String },
    #[error("the input `{name}` is {given}, the model takes {wanted}")]
    Datatype { name: String, given: Datatype, wanted: Datatype },
    #[error("the input `{name}` has the shape {given:?}, the model takes {wanted}")]
    Axes { name: String, given: Vec<usize>, wanted: String },
    #[error("the tensor `{name}`")]
    Shape {
        name: String,
        #[source]
        cause: ShapeError,
    },
    #[error("node {node} (`{operator}`) of the model: {what}")]
    Node { node: usize, operator: String, what: String },
    #[error("values between the nodes of the model need more than {} MiB", LIVE_BYTES_MAX >> 20)]
    Memory,
    #[error("the caller no longer waits")]
    Stopped,
}

/// What the values between nodes may take together. Twice the largest tensor and some more.
pub const LIVE_BYTES_MAX: usize = 512 * 1024 * 1024;

impl Metadata {
    /// Inputs in the order of the model, each of the right type and shape.
    pub(crate) fn accept(&self, given: Vec<Tensor>) -> Result<Vec<Tensor>, InferError> {
        let mut places: Vec<Option<Tensor>> = self.inputs.iter().map(|_| None).collect();
        for tensor in given {
            let Some(place) = self.inputs.iter().position(|it| it.name == tensor.name) else {
                return Err(InferError::Unknown { name: tensor.name });
            };
            self.inputs[place].check(&tensor)?;
            places[place] = Some(tensor);
        }
        let missing = |info: &TensorInfo| InferError::Missing { name: info.name.clone() };
        let named = places.into_iter().zip(&self.inputs);
        named.map(|(tensor, info)| tensor.ok_or_else(|| missing(info))).collect()
    }
}

impl TensorInfo {
    fn check(&self, tensor: &Tensor) -> Result<(), InferError> {
        let given = tensor.values.datatype();
        if given != self.datatype {
            let (name, wanted) = (self.name.clone(), self.datatype);
            return Err(InferError::Datatype { name, given, wanted });
        }
        let shape = tensor.values.shape();
        let fits =
            |(&length, wanted): (&usize, &Option<usize>)| wanted.is_none_or(|it| it == length);
        if shape.len() == self.shape.len() && shape.iter().zip(&self.shape).all(fits) {
            return Ok(());
        }
        let name = self.name.clone();
        Err(InferError::Axes { name, given: shape.to_vec(), wanted: self.shape_text() })
    }

    /// `[-1, 30]`, as the Open Inference Protocol writes it.
    #[must_use]
    pub fn shape_text(&self) -> String {
        let axes = self.shape.iter().map(|axis| axis.map_or("-1".to_owned(), |it| it.to_string()));
        format!("[{}]", axes.collect::<Vec<_>>().join(", "))
    }
}
