//! Local model runtimes: what is asked of one, and ONNX in plain Rust.
//!
//! Pure: bytes in, numbers out, no clock, no threads, no files. Which process does it, how long it
//! may take and what becomes of a model that nobody asks is decided in `sandbox`
//! ([ADR 20](../../../docs/adr/0020-local-inference.md)).

mod foreign;
pub mod frame;
mod model;
pub mod onnx;
pub mod protocol;
mod tensor;

pub use model::{
    FILE_BYTES_MAX, InferError, LIVE_BYTES_MAX, LoadError, Metadata, Model, Stop, TensorInfo,
};
pub use onnx::Onnx;
pub use tensor::{AXES_MAX, Array, Data, Datatype, ELEMENTS_MAX, ShapeError, Tensor, elements};
