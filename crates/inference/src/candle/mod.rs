//! Models of language, calculated by candle.
//!
//! What a file says is read by our own readers (`weights`), which trust nothing in it; candle gets numbers of
//! lengths that fit, and multiplies them. The models themselves are written here, since only a few of the many
//! that candle's own library has are wanted, and that library takes longer to build than all the rest.

mod bert;
mod chat;
mod llama;
mod sample;
mod tail;
mod tokens;

pub use bert::Bert;
pub use chat::Chat;

use candle_core::{D, Tensor};

use crate::model::InferError;

/// What candle says holds shapes, and no values.
fn calculation(error: candle_core::Error) -> InferError {
    let what: String =
        error.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
    InferError::Calculation { what }
}

fn softmax(worth: &Tensor) -> candle_core::Result<Tensor> {
    let most = worth.max_keepdim(D::Minus1)?;
    let chances = worth.broadcast_sub(&most)?.exp()?;
    chances.broadcast_div(&chances.sum_keepdim(D::Minus1)?)
}
