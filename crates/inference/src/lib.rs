//! Local model runtimes: what is asked of one, ONNX in plain Rust, and with the feature `candle` models of
//! language.
//!
//! Pure: bytes in, numbers out, no clock, no threads, no files. Which process does it, how long it
//! may take and what becomes of a model that nobody asks is decided in `sandbox`
//! ([ADR 20](../../../docs/adr/0020-local-inference.md)).

#[cfg(feature = "candle")]
pub mod candle;
mod foreign;
pub mod frame;
mod model;
pub mod onnx;
pub mod protocol;
mod tensor;
pub mod weights;
pub mod words;

pub use model::{
    FILE_BYTES_MAX, HAS_CANDLE, InferError, LIVE_BYTES_MAX, LoadError, Metadata, Model, Say, Stop,
    TensorInfo, load,
};
pub use onnx::Onnx;
pub use tensor::{AXES_MAX, Array, Data, Datatype, ELEMENTS_MAX, ShapeError, Tensor, elements};
