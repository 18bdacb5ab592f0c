//! Why a text is not let through. No error holds any of the text.

use crate::class::Class;

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("it holds a finding of class `{class}`, which the rules block")]
    Blocked { class: Class },
    #[error("it is no UTF-8: byte {at} cannot be read")]
    NotUtf8 { at: usize },
    #[error("it is no JSON: byte {at} does not fit")]
    NotJson { at: usize },
    #[error("it has {bytes} bytes, more than the {most} that are looked through at once")]
    TooLarge { bytes: usize, most: usize },
    #[error("it is nested deeper than {most}")]
    TooDeep { most: usize },
    #[error("more values are to be pseudonymised than one exchange may hold")]
    VaultFull,
    #[error("the stream has ended or was refused before")]
    Ended,
}
