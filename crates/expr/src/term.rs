//! The tree that is evaluated in this process: jaq's syntax tree made compact.
//!
//! Names are resolved to positions, constants are ready values, and each node knows whether it
//! always has exactly one output, which spares the evaluator the callbacks. Nothing here recurses
//! by itself: a term is evaluated as deep as it is written, so its height bounds the stack.

use base::Value;
use jaq_core::ops::{Cmp, Math};

use crate::fail::Answer;
use crate::fuel::Fuel;

#[derive(Debug)]
pub(crate) struct Term {
    pub kind: Kind,
    /// It has exactly one output, or fails.
    pub single: bool,
    /// At most this many of its descendants are being evaluated at once.
    pub depth: u32,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Input,
    Const(Value),
    /// A variable bound within the expression, counted from the innermost.
    Local(usize),
    /// A variable given from outside, by its place in the sorted list of names.
    Global(usize),
    Path(Box<Term>, Box<[Part]>),
    Recurse,
    Array(Option<Box<Term>>),
    Object(Box<[(Term, Term)]>),
    /// A string with `\( )` in it.
    Format(Box<[Piece]>),
    Negate(Box<Term>, u32),
    Math(Box<Term>, Math, Box<Term>, u32),
    Compare(Box<Term>, Cmp, Box<Term>),
    /// `l and r` stops with false, `l or r` with true.
    Logic(Box<Term>, bool, Box<Term>),
    Alternative(Box<Term>, Box<Term>),
    Pipe(Box<Term>, Box<Term>),
    Comma(Box<Term>, Box<Term>),
    Bind(Box<Term>, Pattern, Box<Term>),
    If(Box<Term>, Box<Term>, Box<Term>),
    /// The handler never reads the error, since that is text with values in it.
    Try(Box<Term>, Option<Box<Term>>),
    Fold(Box<Fold>),
    Assign(Box<Assign>),
    /// A function of the input.
    Plain(PlainFn, u32),
    /// A function of the input and one argument.
    Unary(UnaryFn, Box<Term>, u32),
    Power(Box<Term>, Box<Term>, u32),
    /// A function that takes filters.
    Form(Form, Box<[Term]>, u32),
}

pub(crate) type PlainFn = fn(&Fuel, &Value) -> Answer;
pub(crate) type UnaryFn = fn(&Fuel, &Value, &Value) -> Answer;

#[derive(Debug)]
pub(crate) struct Part {
    pub step: Step,
    /// Followed by `?`.
    pub optional: bool,
    pub at: u32,
}

#[derive(Debug)]
pub(crate) enum Step {
    Key(Value),
    /// Any index with exactly one output.
    Index(Term),
    Slice(Option<Term>, Option<Term>),
    All,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Text(Value),
    /// `@json "\(.)"` writes strings as JSON too.
    Value(Term, Writing),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    Text,
    Json,
}

#[derive(Debug)]
pub(crate) enum Pattern {
    Variable,
    /// Keys are evaluated on the value that is taken apart.
    Parts(Box<[(Term, Pattern, u32)]>),
}

#[derive(Debug)]
pub(crate) struct Fold {
    pub source: Term,
    pub pattern: Pattern,
    pub start: Term,
    pub update: Term,
    /// `reduce` has none: only its last state is an output.
    pub each: Option<Option<Term>>,
    /// How much deeper one update may nest the state.
    pub growth: u32,
}

#[derive(Debug)]
pub(crate) struct Assign {
    /// What is changed: paths from the input, one after the other.
    pub places: Box<[Box<[Part]>]>,
    pub how: How,
    pub right: Term,
    pub at: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum How {
    /// `=`: every output of the right side, on the whole input, makes one output.
    Set,
    /// `|=`: the first output of the right side, on what is changed; none deletes it.
    Update,
    Math(Math),
    Alternative,
}

/// Functions that take filters, and those with any number of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Add,
    All,
    AllOf,
    Any,
    AnyOf,
    Empty,
    Error,
    ErrorOf,
    First,
    GroupBy,
    IsEmpty,
    Last,
    Limit,
    Map,
    MaxBy,
    MinBy,
    NthOf,
    Range1,
    Range2,
    Range3,
    Select,
    Skip,
    SortBy,
    UniqueBy,
    WithEntries,
    Keep(Keep),
}

/// `values`, `strings`, …: the input if it is of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Values,
    Nulls,
    Booleans,
    Numbers,
    Strings,
    Arrays,
    Objects,
    Iterables,
    Scalars,
}

impl Form {
    /// Whether it has exactly one output, whatever its filters do.
    pub(crate) fn is_single(self) -> bool {
        match self {
            Self::Add
            | Self::All
            | Self::AllOf
            | Self::Any
            | Self::AnyOf
            | Self::Error
            | Self::GroupBy
            | Self::IsEmpty
            | Self::Map
            | Self::MaxBy
            | Self::MinBy
            | Self::SortBy
            | Self::UniqueBy
            | Self::WithEntries => true,
            Self::Empty
            | Self::ErrorOf
            | Self::First
            | Self::Last
            | Self::Limit
            | Self::NthOf
            | Self::Range1
            | Self::Range2
            | Self::Range3
            | Self::Select
            | Self::Skip
            | Self::Keep(_) => false,
        }
    }
}

impl Part {
    pub(crate) fn is_single(&self) -> bool {
        !self.optional && !matches!(self.step, Step::All)
    }
}

/// Stack frames of walking a value in depth, in terms.
const WALK_DEPTH: u32 = 20;

impl From<Kind> for Term {
    fn from(kind: Kind) -> Self {
        let single = kind.is_single();
        let depth = kind.depth();
        Self { kind, single, depth }
    }
}

impl Kind {
    fn is_single(&self) -> bool {
        match self {
            Self::Input
            | Self::Const(_)
            | Self::Local(_)
            | Self::Global(_)
            | Self::Array(_)
            | Self::Plain(..) => true,
            Self::Path(base, parts) => base.single && parts.iter().all(Part::is_single),
            Self::Object(entries) => entries.iter().all(|(key, value)| key.single && value.single),
            Self::Format(pieces) => pieces.iter().all(|piece| match piece {
                Piece::Text(_) => true,
                Piece::Value(term, _) => term.single,
            }),
            Self::Negate(term, _) | Self::Unary(_, term, _) => term.single,
            Self::Math(left, _, right, _)
            | Self::Compare(left, _, right)
            | Self::Logic(left, _, right)
            | Self::Alternative(left, right)
            | Self::Pipe(left, right)
            | Self::Bind(left, _, right)
            | Self::Power(left, right, _) => left.single && right.single,
            Self::If(condition, then, otherwise) => {
                condition.single && then.single && otherwise.single
            }
            Self::Assign(assign) => assign.how == How::Update || assign.right.single,
            Self::Form(form, ..) => form.is_single(),
            Self::Recurse | Self::Comma(..) | Self::Try(..) | Self::Fold(_) => false,
        }
    }

    /// What reads the outputs of a term that has several runs on top of it.
    fn depth(&self) -> u32 {
        let one_after_other = |left: &Term, right: &Term| {
            if left.single { left.depth.max(right.depth) } else { left.depth + right.depth }
        };
        let all = |terms: &mut dyn Iterator<Item = &Term>| -> u32 { terms.map(|t| t.depth).sum() };
        1 + match self {
            Self::Input | Self::Const(_) | Self::Local(_) | Self::Global(_) => 0,
            Self::Recurse => WALK_DEPTH,
            Self::Array(items) => items.as_ref().map_or(0, |items| items.depth),
            Self::Plain(..) => 1,
            Self::Path(base, parts) => base.depth + parts.iter().map(Part::depth).sum::<u32>(),
            Self::Object(entries) => {
                if self.is_single() {
                    entries.iter().map(|(k, v)| k.depth.max(v.depth)).max().unwrap_or(0)
                } else {
                    all(&mut entries.iter().flat_map(|(key, value)| [key, value]))
                }
            }
            Self::Format(pieces) => {
                let depths = pieces.iter().map(|piece| match piece {
                    Piece::Text(_) => 1,
                    Piece::Value(term, _) => term.depth,
                });
                if self.is_single() { depths.max().unwrap_or(0) } else { depths.sum() }
            }
            Self::Negate(term, _) | Self::Unary(_, term, _) => 1 + term.depth,
            Self::Math(left, _, right, _)
            | Self::Compare(left, _, right)
            | Self::Logic(left, _, right)
            | Self::Alternative(left, right)
            | Self::Pipe(left, right)
            | Self::Power(left, right, _) => one_after_other(left, right),
            Self::Bind(left, pattern, right) => one_after_other(left, right) + pattern.depth(),
            Self::Comma(left, right) => left.depth.max(right.depth),
            Self::If(condition, then, otherwise) => {
                let branch = then.depth.max(otherwise.depth);
                if condition.single {
                    condition.depth.max(branch)
                } else {
                    condition.depth + branch
                }
            }
            Self::Try(body, handler) => {
                1 + body.depth.max(handler.as_ref().map_or(0, |handler| handler.depth))
            }
            Self::Fold(fold) => {
                let output = fold.each.as_ref().and_then(Option::as_ref).map_or(0, |t| t.depth);
                let inner = fold.update.depth.max(output) + fold.pattern.depth();
                2 + fold.start.depth + fold.source.depth + inner
            }
            Self::Assign(assign) => {
                let place: u32 = assign.places.iter().flatten().map(|part| 2 * part.depth()).sum();
                2 + place + assign.right.depth
            }
            Self::Form(_, arguments, _) => 2 + all(&mut arguments.iter()),
        }
    }
}

impl Part {
    fn depth(&self) -> u32 {
        1 + match &self.step {
            Step::Key(_) | Step::All => 0,
            Step::Index(index) => index.depth,
            Step::Slice(from, upto) => from.iter().chain(upto).map(|bound| bound.depth).sum(),
        }
    }
}

impl Pattern {
    fn depth(&self) -> u32 {
        match self {
            Self::Variable => 1,
            Self::Parts(parts) => {
                1 + parts.iter().map(|(_, pattern, _)| pattern.depth()).sum::<u32>()
            }
        }
    }
}
