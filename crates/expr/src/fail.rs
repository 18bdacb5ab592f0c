//! Why an evaluation ends early, and the messages of failures.
//!
//! A message names the position and the kinds of what met there. It never holds a value: that may
//! be somebody's secret. jaq's own error texts do hold values, so none of them comes through here.

use std::fmt;

use base::Value;
use base::value::kind;
use jaq_core::ops::Math;

/// What ends an evaluation before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The expression failed. `try`, `?` can catch this.
    Fail(Fail),
    /// Too much work, or a case that only the whole interpreter covers.
    Outside,
    /// Whoever reads the outputs has seen enough. Only the reader that said so takes it back.
    Enough,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fail {
    /// Byte offset in the expression's text.
    pub at: u32,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    Math(Math, &'static str, &'static str),
    Negate(&'static str),
    Iterate(&'static str),
    Index(&'static str, &'static str),
    Slice(&'static str),
    /// A function cannot take this kind of input.
    Input(&'static str, &'static str),
    /// A function cannot take these kinds of input and argument.
    Argument(&'static str, &'static str, &'static str),
    /// The author's own `error`. Its message is data, so it is not repeated.
    Raised,
}

/// Why a function of values gave none. The position is known to its caller.
#[derive(Debug)]
pub(crate) enum Refused {
    Outside,
    What(What),
}

pub(crate) type Answer = Result<Value, Refused>;

impl Refused {
    pub(crate) fn input(function: &'static str, input: &Value) -> Self {
        Self::What(What::Input(function, kind(input)))
    }

    pub(crate) fn argument(function: &'static str, input: &Value, argument: &Value) -> Self {
        Self::What(What::Argument(function, kind(input), kind(argument)))
    }

    pub(crate) fn at(self, at: u32) -> Halt {
        match self {
            Self::Outside => Halt::Outside,
            Self::What(what) => Halt::Fail(Fail { at, what }),
        }
    }
}

impl Halt {
    pub(crate) fn fail(at: u32, what: What) -> Self {
        Self::Fail(Fail { at, what })
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Math(Math::Add, left, right) => write!(f, "cannot add {left} and {right}")?,
            What::Math(Math::Sub, left, right) => write!(f, "cannot subtract {right} from {left}")?,
            What::Math(Math::Mul, left, right) => write!(f, "cannot multiply {left} and {right}")?,
            What::Math(Math::Div, left, right) => write!(f, "cannot divide {left} by {right}")?,
            What::Math(Math::Rem, left, right) => {
                write!(f, "cannot take the remainder of {left} and {right}")?;
                if (left, right) == ("a number", "a number") {
                    f.write_str(" that is zero")?;
                }
            }
            What::Negate(kind) => write!(f, "cannot negate {kind}")?,
            What::Iterate(kind) => write!(f, "cannot iterate over {kind}")?,
            What::Index(kind, key) => write!(f, "cannot index {kind} with {key}")?,
            What::Slice(kind) => write!(f, "cannot take this slice of {kind}")?,
            What::Input(name, kind) => write!(f, "`{name}` cannot take {kind}")?,
            What::Argument(name, kind, argument) => {
                write!(f, "`{name}` cannot take {kind} with {argument} as argument")?;
            }
            What::Raised => f.write_str("the expression called `error`")?,
        }
        write!(f, " at offset {}", self.at)
    }
}
