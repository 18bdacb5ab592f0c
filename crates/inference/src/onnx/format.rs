//! An ONNX file as a tree of its parts. Nothing here says what an operator does.
//!
//! Field numbers are those of `onnx.proto`, <https://github.com/onnx/onnx>. Graphs inside graphs
//! (`If`, `Loop`, functions) are refused, so nothing recurses.

use std::cell::Cell;

use super::LoadError;
use super::protobuf::{Field, Message};
use crate::model::{FILE_BYTES_MAX, TensorInfo};
use crate::tensor::{Array, Data, Datatype};

/// Nodes of a graph. The largest public models have some ten thousand.
pub const NODES_MAX: usize = 100_000;

/// Names, attributes and texts of a file, together: two bytes of a file make one of them, and each
/// takes a hundred in memory.
pub const ITEMS_MAX: usize = 4_000_000;

#[derive(Debug, Default)]
pub(super) struct Model<'f> {
    /// Domain and version of the operators that it uses.
    pub opsets: Vec<(&'f str, i64)>,
    pub graph: Graph<'f>,
}

#[derive(Debug, Default)]
pub(super) struct Graph<'f> {
    pub nodes: Vec<Node<'f>>,
    pub constants: Vec<(&'f str, Array)>,
    pub inputs: Vec<TensorInfo>,
    pub outputs: Vec<TensorInfo>,
}

#[derive(Debug, Default)]
pub(super) struct Node<'f> {
    pub domain: &'f str,
    pub operator: &'f str,
    pub inputs: Vec<&'f str>,
    pub outputs: Vec<&'f str>,
    pub attributes: Vec<Named<'f>>,
}

#[derive(Debug)]
pub(super) struct Named<'f> {
    pub name: &'f str,
    pub value: Attribute<'f>,
    /// Whether the operator has asked for it.
    pub is_read: Cell<bool>,
}

#[derive(Debug)]
pub(super) enum Attribute<'f> {
    Float(f32),
    Int(i64),
    Text(&'f [u8]),
    Tensor(Array),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<&'f [u8]>),
}

impl Attribute<'_> {
    /// A list of nothing.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Float(_) | Self::Int(_) | Self::Text(_) | Self::Tensor(_) => false,
            Self::Floats(list) => list.is_empty(),
            Self::Ints(list) => list.is_empty(),
            Self::Texts(list) => list.is_empty(),
        }
    }
}

/// Counts what takes memory beyond its bytes in the file.
#[derive(Debug, Default)]
struct Items(usize);

impl Items {
    fn one(&mut self) -> Result<(), LoadError> {
        self.0 += 1;
        if self.0 > ITEMS_MAX { Err(LoadError::TooMany { what: "items" }) } else { Ok(()) }
    }
}

impl<'f> Model<'f> {
    pub(super) fn read(file: &'f [u8]) -> Result<Self, LoadError> {
        if file.len() > FILE_BYTES_MAX {
            return Err(LoadError::TooLarge);
        }
        let mut items = Items::default();
        let mut model = Self::default();
        let mut graph = None;
        let mut message = Message::new(file);
        while let Some((number, field)) = message.next()? {
            match number {
                7 => graph = Some(Graph::read(field.message()?, &mut items)?),
                8 => {
                    items.one()?;
                    model.opsets.push(opset(field.message()?)?);
                }
                25 => return Err(LoadError::Unsupported { what: "functions of its own" }),
                _ => {}
            }
        }
        model.graph = graph.ok_or(LoadError::NotOnnx)?;
        if model.opsets.is_empty() {
            return Err(LoadError::NotOnnx);
        }
        Ok(model)
    }
}

fn opset(mut message: Message<'_>) -> Result<(&str, i64), LoadError> {
    let (mut domain, mut version) = ("", 0);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => domain = field.text()?,
            2 => version = field.int()?,
            _ => {}
        }
    }
    Ok((domain, version))
}

impl<'f> Graph<'f> {
    fn read(mut message: Message<'f>, items: &mut Items) -> Result<Self, LoadError> {
        let mut graph = Self::default();
        while let Some((number, field)) = message.next()? {
            items.one()?;
            match number {
                1 => {
                    if graph.nodes.len() == NODES_MAX {
                        return Err(LoadError::TooMany { what: "nodes" });
                    }
                    graph.nodes.push(Node::read(field.message()?, items)?);
                }
                5 => graph.constants.push(tensor(field.message()?, items)?),
                11 => graph.inputs.push(value_info(field.message()?, items)?),
                12 => graph.outputs.push(value_info(field.message()?, items)?),
                15 => return Err(LoadError::Unsupported { what: "sparse tensors" }),
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'f> Node<'f> {
    fn read(mut message: Message<'f>, items: &mut Items) -> Result<Self, LoadError> {
        let mut node = Self::default();
        while let Some((number, field)) = message.next()? {
            items.one()?;
            match number {
                1 => node.inputs.push(field.text()?),
                2 => node.outputs.push(field.text()?),
                4 => node.operator = field.text()?,
                5 => node.attributes.push(attribute(field.message()?, items)?),
                7 => node.domain = field.text()?,
                _ => {}
            }
        }
        Ok(node)
    }
}

fn attribute<'f>(mut message: Message<'f>, items: &mut Items) -> Result<Named<'f>, LoadError> {
    let mut name = "";
    let mut kind = 0;
    let (mut float, mut int, mut text, mut array) = (0.0, 0, &b""[..], None);
    let (mut floats, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((number, field)) = message.next()? {
        match number {
            1 => name = field.text()?,
            2 => float = field.float()?,
            3 => int = field.int()?,
            4 => text = field.bytes()?,
            5 => array = Some(tensor(field.message()?, items)?.1),
            7 => field.floats_into(&mut floats)?,
            8 => field.ints_into(&mut ints)?,
            9 => {
                items.one()?;
                texts.push(field.bytes()?);
            }
            20 => kind = field.int()?,
            _ => {}
        }
    }
    let value = match kind {
        1 => Attribute::Float(float),
        2 => Attribute::Int(int),
        3 => Attribute::Text(text),
        4 => Attribute::Tensor(array.ok_or(LoadError::NotOnnx)?),
        6 => Attribute::Floats(floats),
        7 => Attribute::Ints(ints),
        8 => Attribute::Texts(texts),
        _ => return Err(LoadError::Unsupported { what: "graphs inside its graph" }),
    };
    Ok(Named { name, value, is_read: Cell::new(false) })
}

/// The lists of a tensor, of which one is filled.
#[derive(Default)]
struct Lists<'f> {
    floats: Vec<f32>,
    ints: Vec<i64>,
    texts: Vec<Vec<u8>>,
    doubles: Vec<f64>,
    raw: Option<&'f [u8]>,
}

fn tensor<'f>(mut message: Message<'f>, items: &mut Items) -> Result<(&'f str, Array), LoadError> {
    let (mut name, mut kind, mut dims) = ("", 0, Vec::new());
    let mut lists = Lists::default();
    while let Some((number, field)) = message.next()? {
        match number {
            1 => field.ints_into(&mut dims)?,
            2 => kind = field.int()?,
            4 => field.floats_into(&mut lists.floats)?,
            5 | 7 | 11 => field.ints_into(&mut lists.ints)?,
            6 => {
                items.one()?;
                lists.texts.push(field.bytes()?.to_vec());
            }
            8 => name = field.text()?,
            9 => lists.raw = Some(field.bytes()?),
            10 => field.doubles_into(&mut lists.doubles)?,
            13 => return Err(LoadError::External),
            _ => {}
        }
    }
    let data = lists.data(datatype(kind)?)?;
    let shape = dims
        .into_iter()
        .map(|axis| usize::try_from(axis).map_err(|_| LoadError::Tensor { name: name.into() }))
        .collect::<Result<Vec<_>, _>>()?;
    let array = Array::new(shape, data).map_err(|_| LoadError::Tensor { name: name.to_owned() })?;
    Ok((name, array))
}

/// Number and type, as ONNX numbers them.
fn datatype(kind: i64) -> Result<Datatype, LoadError> {
    Ok(match kind {
        1 => Datatype::Fp32,
        2 => Datatype::Uint8,
        3 => Datatype::Int8,
        4 => Datatype::Uint16,
        5 => Datatype::Int16,
        6 => Datatype::Int32,
        7 => Datatype::Int64,
        8 => Datatype::Bytes,
        9 => Datatype::Bool,
        11 => Datatype::Fp64,
        12 => Datatype::Uint32,
        13 => Datatype::Uint64,
        _ => return Err(LoadError::Unsupported { what: "numbers of 16, 8 or 4 bits" }),
    })
}

impl Lists<'_> {
    fn data(self, datatype: Datatype) -> Result<Data, LoadError> {
        /// From the raw bytes, or else from the integers.
        macro_rules! integers {
            ($kind:ident, $type:ty) => {
                Data::$kind(match self.raw {
                    Some(raw) => numbers(raw, <$type>::from_le_bytes)?,
                    // ONNX keeps all of them as wide integers, two's complement.
                    None => self.ints.into_iter().map(|it| it as $type).collect(),
                })
            };
        }
        Ok(match datatype {
            Datatype::Fp32 => Data::Fp32(match self.raw {
                Some(raw) => numbers(raw, f32::from_le_bytes)?,
                None => self.floats,
            }),
            Datatype::Fp64 => Data::Fp64(match self.raw {
                Some(raw) => numbers(raw, f64::from_le_bytes)?,
                None => self.doubles,
            }),
            Datatype::Bytes => Data::Bytes(self.texts),
            Datatype::Bool => Data::Bool(match self.raw {
                Some(raw) => raw.iter().map(|&it| it != 0).collect(),
                None => self.ints.into_iter().map(|it| it != 0).collect(),
            }),
            Datatype::Uint8 => integers!(Uint8, u8),
            Datatype::Uint16 => integers!(Uint16, u16),
            Datatype::Uint32 => integers!(Uint32, u32),
            Datatype::Uint64 => integers!(Uint64, u64),
            Datatype::Int8 => integers!(Int8, i8),
            Datatype::Int16 => integers!(Int16, i16),
            Datatype::Int32 => integers!(Int32, i32),
            Datatype::Int64 => integers!(Int64, i64),
        })
    }
}

pub(crate) fn numbers<T, const N: usize>(
    raw: &[u8],
    read: fn([u8; N]) -> T,
) -> Result<Vec<T>, LoadError> {
    let (numbers, []) = raw.as_chunks::<N>() else { return Err(LoadError::Cut) };
    Ok(numbers.iter().map(|it| read(*it)).collect())
}

/// Name, type and shape of an input or output.
fn value_info(mut message: Message<'_>, items: &mut Items) -> Result<TensorInfo, LoadError> {
    // What is no tensor (the sequence of maps of `ZipMap`) is given as numbers.
    let mut info = TensorInfo { name: String::new(), datatype: Datatype::Fp32, shape: vec![] };
    while let Some((number, field)) = message.next()? {
        match number {
            1 => info.name = field.text()?.to_owned(),
            2 => {
                let mut kind = field.message()?;
                while let Some((number, field)) = kind.next()? {
                    if number == 1 {
                        tensor_type(field.message()?, &mut info, items)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(info)
}

fn tensor_type(
    mut message: Message<'_>,
    info: &mut TensorInfo,
    items: &mut Items,
) -> Result<(), LoadError> {
    while let Some((number, field)) = message.next()? {
        match (number, field) {
            (1, field) => info.datatype = datatype(field.int()?)?,
            (2, field) => {
                let mut shape = field.message()?;
                while let Some((number, field)) = shape.next()? {
                    if number == 1 {
                        items.one()?;
                        info.shape.push(dimension(field)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A length, or none where the model leaves it to its caller.
fn dimension(field: Field<'_>) -> Result<Option<usize>, LoadError> {
    let mut message = field.message()?;
    let mut length = None;
    while let Some((number, field)) = message.next()? {
        if number == 1 {
            length = usize::try_from(field.int()?).ok();
        }
    }
    Ok(length)
}
