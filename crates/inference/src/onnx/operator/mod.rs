//! Operators: a node of the graph becomes a function from arrays to arrays when the model is loaded.
//!
//! What can be checked without values (attributes, their lengths, trees) is checked then; the
//! function checks only what depends on its inputs. Both are about a file from outside: nothing
//! here may panic, whatever the file says.

mod classic;
mod label;
mod linear;
mod network;
mod pointwise;
mod reduce;
mod shape;
mod tree;
mod vector_machine;

use std::borrow::Cow;

use super::format::{Attribute, Named, Node};
use crate::tensor::{Array, Data, Datatype, elements, map};

/// What is wrong with a node, for a person. No values.
#[derive(Debug)]
pub(super) struct Fault {
    pub what: Cow<'static, str>,
    pub from: Follows,
}

/// What it follows from, and so whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// The file alone, since it says the types: whatever the model is asked.
    File,
    /// How many columns its input has. Where the file says that, too, it is the file's.
    Columns,
    /// Shapes and values, which its caller chooses.
    Call,
}

impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Self { what: what.into(), from: Follows::Call }
    }
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self { what: what.into(), from: Follows::Call }
    }
}

impl Fault {
    pub(super) fn of_the_model(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), from: Follows::File }
    }

    fn of_columns(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), from: Follows::Columns }
    }
}

/// What a node does. Gives as many arrays as the node has outputs, or more.
pub(super) type Run = Box<dyn Fn(&Inputs<'_>) -> Result<Vec<Array>, Fault> + Send + Sync>;

/// How an operator refuses when the model is loaded.
pub(super) enum Refusal {
    Unknown,
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<&'static str> for Refusal {
    fn from(what: &'static str) -> Self {
        Self::Fault(what.into())
    }
}

/// The function of a node, whose operators are of the given version.
pub(super) fn build(node: &Node<'_>, version: i64) -> Result<Run, Refusal> {
    let build = match node.domain {
        "" | "ai.onnx" => standard,
        "ai.onnx.ml" => learned,
        _ => return Err(Refusal::Unknown),
    };
    let run = build(node, version)?;
    let most = match node.operator {
        "Split" => node.outputs.len(),
        other if other.ends_with("Classifier") => 2,
        _ => 1,
    };
    if node.outputs.iter().skip(most).any(|name| !name.is_empty()) {
        return Err("it has more outputs than are supported".into());
    }
    match node.unread() {
        None => Ok(run),
        Some(name) => Err(Refusal::Fault(
            format!("its attribute `{name}` is not supported; export it without").into(),
        )),
    }
}

fn standard(node: &Node<'_>, version: i64) -> Result<Run, Refusal> {
    match node.operator {
        "MatMul" | "Gemm" => linear::build(node),
        "Reshape" | "Flatten" | "Transpose" | "Squeeze" | "Unsqueeze" | "Concat" | "Gather"
        | "Constant" | "Shape" | "Slice" | "Split" | "Expand" => shape::build(node),
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1"
        | "ReduceL2" | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" | "ArgMax"
        | "ArgMin" | "Softmax" | "LogSoftmax" => reduce::build(node, version),
        "Conv" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "BatchNormalization"
        | "LayerNormalization" => network::build(node),
        _ => pointwise::build(node),
    }
}

fn learned(node: &Node<'_>, _version: i64) -> Result<Run, Refusal> {
    match node.operator {
        "TreeEnsembleClassifier" => tree::classifier(node),
        "TreeEnsembleRegressor" => tree::regressor(node),
        "SVMClassifier" => vector_machine::classifier(node),
        "SVMRegressor" => vector_machine::regressor(node),
        "LabelEncoder" => label::encoder(node),
        "OneHotEncoder" => label::one_hot(node),
        _ => classic::build(node),
    }
}

/// The arrays that go into a node.
pub(super) struct Inputs<'a>(pub &'a [Option<&'a Array>]);

impl<'a> Inputs<'a> {
    fn get(&self, place: usize) -> Option<&'a Array> {
        self.0.get(place).copied().flatten()
    }

    fn need(&self, place: usize) -> Result<&'a Array, Fault> {
        self.get(place).ok_or_else(|| "an input is missing".into())
    }

    /// Whole numbers of an input, such as axes.
    fn ints(&self, place: usize) -> Result<Option<&'a [i64]>, Fault> {
        match self.get(place) {
            None => Ok(None),
            Some(array) => array.list::<i64>().map(Some),
        }
    }
}

impl Node<'_> {
    fn attribute(&self, name: &str) -> Option<&Attribute<'_>> {
        let found = self.attributes.iter().find(|it| it.name == name)?;
        found.is_read.set(true);
        Some(&found.value)
    }

    /// Attributes that change nothing of what is answered here.
    fn without_effect(&self, names: &[&str]) {
        for name in names {
            let _ = self.attribute(name);
        }
    }

    /// An attribute that no code has asked for. Passing one over would answer with other numbers than
    /// the model has; an empty list says nothing.
    fn unread(&self) -> Option<&str> {
        let unread = |it: &&Named<'_>| !it.is_read.get() && !it.value.is_empty();
        self.attributes.iter().find(unread).map(|it| it.name)
    }

    fn float(&self, name: &str, otherwise: f32) -> Result<f32, Fault> {
        match self.attribute(name) {
            None => Ok(otherwise),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(_) => Err(wrong(name)),
        }
    }

    fn int(&self, name: &str, otherwise: i64) -> Result<i64, Fault> {
        match self.attribute(name) {
            None => Ok(otherwise),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(wrong(name)),
        }
    }

    fn text(&self, name: &str, otherwise: &'static str) -> Result<&str, Fault> {
        match self.attribute(name) {
            None => Ok(otherwise),
            Some(Attribute::Text(text)) => std::str::from_utf8(text).map_err(|_| wrong(name)),
            Some(_) => Err(wrong(name)),
        }
    }

    fn floats(&self, name: &str) -> Result<&[f32], Fault> {
        match self.attribute(name) {
            None => Ok(&[]),
            Some(Attribute::Floats(list)) => Ok(list),
            Some(_) => Err(wrong(name)),
        }
    }

    fn ints(&self, name: &str) -> Result<&[i64], Fault> {
        match self.attribute(name) {
            None => Ok(&[]),
            Some(Attribute::Ints(list)) => Ok(list),
            Some(_) => Err(wrong(name)),
        }
    }

    fn texts(&self, name: &str) -> Result<&[&[u8]], Fault> {
        match self.attribute(name) {
            None => Ok(&[]),
            Some(Attribute::Texts(list)) => Ok(list),
            Some(_) => Err(wrong(name)),
        }
    }

    fn tensor(&self, name: &str) -> Result<Option<&Array>, Fault> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Tensor(array)) => Ok(Some(array)),
            Some(_) => Err(wrong(name)),
        }
    }
}

fn wrong(attribute: &str) -> Fault {
    format!("the attribute `{attribute}` has the wrong type").into()
}

/// What a number in an array can be.
trait Element: Copy + Send + Sync + 'static {
    fn list(data: &Data) -> Option<&[Self]>;
    fn wrap(list: Vec<Self>) -> Data;
}

macro_rules! element {
    ($($type:ty => $kind:ident),*) => {$(
        impl Element for $type {
            fn list(data: &Data) -> Option<&[Self]> {
                match data {
                    Data::$kind(list) => Some(list),
                    _ => None,
                }
            }
            fn wrap(list: Vec<Self>) -> Data {
                Data::$kind(list)
            }
        }
    )*};
}
element!(f32 => Fp32, f64 => Fp64, i64 => Int64, i32 => Int32, u8 => Uint8, bool => Bool);

impl Array {
    fn list<T: Element>(&self) -> Result<&[T], Fault> {
        T::list(self.data()).ok_or_else(|| unfit(self.datatype()))
    }

    /// Rows and columns of what classic models read; a single axis is one row.
    fn rows(&self) -> Result<(usize, usize), Fault> {
        match *self.shape() {
            [columns] => Ok((1, columns)),
            [rows, columns] => Ok((rows, columns)),
            _ => Err(Fault::of_columns("it takes rows and columns")),
        }
    }

    /// Numbers of any type as those that classic models count in.
    fn floats(&self) -> Result<Cow<'_, [f32]>, Fault> {
        match self.data() {
            Data::Fp32(list) => Ok(Cow::Borrowed(list)),
            Data::Fp64(list) => Ok(list.iter().map(|&it| it as f32).collect()),
            Data::Int64(list) => Ok(list.iter().map(|&it| it as f32).collect()),
            Data::Int32(list) => Ok(list.iter().map(|&it| it as f32).collect()),
            _ => Err(unfit(self.datatype())),
        }
    }
}

fn misfit(features: usize, columns: usize) -> Fault {
    Fault::of_columns(format!("it takes {features} features, not {columns}"))
}

fn unfit(datatype: Datatype) -> Fault {
    Fault::of_the_model(format!("it does not take {datatype} here"))
}

fn array(shape: Vec<usize>, data: Data) -> Result<Array, Fault> {
    Array::new(shape, data).map_err(|error| error.to_string().into())
}

fn made<T: Element>(shape: Vec<usize>, list: Vec<T>) -> Result<Array, Fault> {
    array(shape, T::wrap(list))
}

/// Room for the elements of a shape, if it is within the limits.
fn room(shape: &[usize]) -> Result<usize, Fault> {
    elements(shape).map_err(|error| error.to_string().into())
}

/// An axis counted from the front, or with a minus sign from the back.
fn axis(given: i64, axes: usize) -> Result<usize, Fault> {
    let counted = if given < 0 { given.saturating_add_unsigned(axes as u64) } else { given };
    match usize::try_from(counted) {
        Ok(axis) if axis < axes => Ok(axis),
        _ => Err(format!("there is no axis {given} of {axes}").into()),
    }
}

/// The elements at some places, each of which exists.
fn pick(data: &Data, places: &[usize]) -> Data {
    fn of<T: Clone>(list: &[T], places: &[usize]) -> Vec<T> {
        places.iter().map(|&it| list[it].clone()).collect()
    }
    map!(data, list => of(list, places))
}
