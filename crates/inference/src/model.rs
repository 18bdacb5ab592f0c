//! What every runtime of a model offers, and how it refuses.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::foreign::SERVE;
use crate::tensor::{Datatype, ShapeError, Tensor};
use crate::weights::{Kind, Language};
use crate::words::{Embed, Generate, Said, Vectors};

/// A model file. Larger ones are language models, which have servers of their own.
pub const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Whether this build answers with weights of models of language.
pub const HAS_CANDLE: bool = cfg!(feature = "candle");

/// Gets an answer piece by piece, and says whether it is to go on.
pub type Say<'a> = dyn FnMut(&str) -> Result<(), InferError> + 'a;

/// A model in memory. Unloading is dropping it.
///
/// It keeps no state between calls and takes whole batches: the first axis of each input, where the
/// model leaves it free, is as long as the caller likes, and as many texts become vectors as there
/// are. What a model is not for, it refuses.
pub trait Model: Send + Sync {
    fn metadata(&self) -> &Metadata;

    /// Memory that it holds while nobody asks it, in bytes.
    fn memory_bytes(&self) -> usize;

    /// Answers. Looks at `stop` between its steps; a single step is not interrupted, so whoever
    /// must be sure lets a process of its own do this and kills it.
    fn infer(&self, inputs: Vec<Tensor>, stop: &Stop) -> Result<Vec<Tensor>, InferError>;

    /// Goes on with a text. Looks at `stop` between tokens.
    fn generate(&self, _: &Generate, _: &mut Say<'_>, _: &Stop) -> Result<Said, InferError> {
        Err(InferError::NotFor { what: "text" })
    }

    /// Makes vectors of texts. Looks at `stop` between them.
    fn embed(&self, _: &Embed, _: &Stop) -> Result<Vectors, InferError> {
        Err(InferError::NotFor { what: "vectors of texts" })
    }

    /// Touches everything that the first real call would: one row of zeros through the model.
    fn warm(&self) -> Result<(), InferError> {
        let inputs = self.metadata().inputs.iter().map(TensorInfo::zeros).collect::<Result<_, _>>();
        self.infer(inputs?, &Stop::default()).map(drop)
    }
}

/// Reads a model's file, of whichever kind it is.
pub fn load(file: &[u8]) -> Result<Box<dyn Model>, LoadError> {
    match Kind::of(file) {
        Kind::Onnx => Ok(Box::new(crate::Onnx::load(file)?)),
        #[cfg(feature = "candle")]
        Kind::Gguf => Ok(Box::new(crate::candle::Chat::load(file)?)),
        #[cfg(feature = "candle")]
        Kind::Folder => Ok(Box::new(crate::candle::Bert::load(file)?)),
        #[cfg(not(feature = "candle"))]
        Kind::Gguf | Kind::Folder => Err(match crate::weights::describe(file)? {
            Some(language) => LoadError::NotBuilt { what: language.to_string() },
            None => LoadError::NotOnnx,
        }),
    }
}

/// What a model takes and gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pub inputs: Vec<TensorInfo>,
    pub outputs: Vec<TensorInfo>,
    /// Whose operators it is made of, and of which version.
    pub opsets: Vec<(String, i64)>,
    /// Of a model of language, which takes and gives no tensors.
    pub language: Option<Language>,
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
    #[error(
        "these are weights of a model of language ({what}), and this site's program was built \
         without the feature `candle`, which answers with them; build it with \
         `cargo build --release --features candle`, or {SERVE}"
    )]
    NotBuilt { what: String },
    #[error("the {format} file cannot be read: {what}")]
    Weights { format: &'static str, what: String },
    #[error("`{name}` of the folder: {what}")]
    Part { name: &'static str, what: &'static str },
    #[error("the architecture `{name}` is not supported; {SERVE}")]
    Architecture { name: String },
    #[error("the file ends in the middle; copy it again")]
    Cut,
    #[error("the file is larger than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLarge,
    #[error("the model has too many {what}")]
    TooMany { what: &'static str },
    #[error("the model has {what}, which are not supported; export it without")]
    Unsupported { what: &'static str },
    #[error(
        "the model's numbers are in another file; export it as one (PyTorch: `external_data=False`)"
    )]
    External,
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
    Node { node: usize, operator: String, what: String, of_the_model: bool },
    #[error("values between the nodes of the model need more than {} MiB", LIVE_BYTES_MAX >> 20)]
    Memory,
    #[error("the caller no longer waits")]
    Stopped,
    #[error("this model is not for {what}")]
    NotFor { what: &'static str },
    #[error("{what} has {given} tokens, and the model takes {most} at most, answer included")]
    TooLong { what: String, given: u64, most: u64 },
    #[error(
        "the file has no form of conversations that is known here; ask it by `/v1/completions`"
    )]
    NoTemplate,
    #[error("there is nothing to go on from: the text is empty")]
    Empty,
    /// The model's own fault: whoever asks cannot help it.
    #[error("the model answers with numbers that are none")]
    NotNumbers,
    /// So is this, of what the file says of itself.
    #[error("the model cannot be calculated: {what}")]
    Calculation { what: String },
}

impl InferError {
    /// Whether another question may be answered, and this one by another model.
    #[must_use]
    pub const fn is_of_the_model(&self) -> bool {
        matches!(
            self,
            Self::NotNumbers | Self::Calculation { .. } | Self::Node { of_the_model: true, .. }
        )
    }
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
