//! Operators on categories: from keys to values, and from a key to a row of zeros with a one.

use std::collections::HashMap;

use super::{Fault, Inputs, Refusal, Run, array, made, pick, room, unfit};
use crate::onnx::format::Node;
use crate::tensor::{Array, Data};

/// A key as something that can be looked up. Floats by their bits, so that even NaN is found.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Text(&'a [u8]),
    Int(i64),
    Float(u32),
}

fn keys(data: &Data) -> Result<Vec<Key<'_>>, Fault> {
    Ok(match data {
        Data::Bytes(list) => list.iter().map(|it| Key::Text(it)).collect(),
        Data::Int64(list) => list.iter().map(|&it| Key::Int(it)).collect(),
        Data::Int32(list) => list.iter().map(|&it| Key::Int(it.into())).collect(),
        Data::Bool(list) => list.iter().map(|&it| Key::Int(it.into())).collect(),
        // Both zeros are one key.
        Data::Fp32(list) => list.iter().map(|&it| Key::Float((it + 0.0).to_bits())).collect(),
        Data::Fp64(list) => {
            list.iter().map(|&it| Key::Float((it as f32 + 0.0).to_bits())).collect()
        }
        _ => return Err(unfit(data.datatype())),
    })
}

/// A list that a node has under one of several names, by its type.
fn written(node: &Node<'_>, name: &str) -> Result<Option<Data>, Fault> {
    if let Some(tensor) = node.tensor(&format!("{name}_tensor"))? {
        return Ok(Some(tensor.data().clone()));
    }
    let texts = node.texts(&format!("{name}_strings"))?;
    let ints = node.ints(&format!("{name}_int64s"))?;
    let floats = node.floats(&format!("{name}_floats"))?;
    Ok(match (texts, ints, floats) {
        ([], [], []) => None,
        (texts, ints, floats)
            if [texts.len(), ints.len(), floats.len()].iter().filter(|it| **it > 0).count() > 1 =>
        {
            return Err(format!("its {name} are of two types").into());
        }
        (texts @ [_, ..], _, _) => Some(Data::Bytes(texts.iter().map(|it| it.to_vec()).collect())),
        (_, ints @ [_, ..], _) => Some(Data::Int64(ints.to_vec())),
        (_, _, floats) => Some(Data::Fp32(floats.to_vec())),
    })
}

/// Values with the one for unknown keys at their end.
fn with_default(node: &Node<'_>, values: Data) -> Result<Data, Fault> {
    if let Some(tensor) = node.tensor("default_tensor")? {
        return super::pointwise::joined(&values, tensor.data());
    }
    Ok(match values {
        Data::Bytes(mut list) => {
            list.push(node.text("default_string", "_Unused")?.as_bytes().to_vec());
            Data::Bytes(list)
        }
        Data::Int64(mut list) => {
            list.push(node.int("default_int64", -1)?);
            Data::Int64(list)
        }
        Data::Fp32(mut list) => {
            list.push(node.float("default_float", -0.0)?);
            Data::Fp32(list)
        }
        other => return Err(unfit(other.datatype())),
    })
}

pub(super) fn encoder(node: &Node<'_>) -> Result<Run, Refusal> {
    let none = "it has no keys and values of a type that is supported";
    let from = written(node, "keys")?.ok_or(none)?;
    let to = written(node, "values")?.ok_or(none)?;
    let count = to.len();
    if from.len() != count {
        return Err("it has more keys than values, or fewer".into());
    }
    let to = with_default(node, to)?;
    // Exporters write those of all types; the one of the values' type counts.
    node.without_effect(&["default_string", "default_int64", "default_float"]);
    if to.len() <= count {
        return Err("it has no value for unknown keys".into());
    }
    let places = Places::of(&from)?;
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let found = places.find(input.data())?;
        let found: Vec<usize> = found.into_iter().map(|it| it.unwrap_or(count)).collect();
        let data = pick(&to, &found);
        Ok(vec![array(input.shape().to_vec(), data)?])
    }))
}

pub(super) fn one_hot(node: &Node<'_>) -> Result<Run, Refusal> {
    let (texts, ints) = (node.texts("cats_strings")?, node.ints("cats_int64s")?);
    let categories = match (texts, ints) {
        ([], []) => return Err("it has no categories".into()),
        ([_, ..], [_, ..]) => return Err("its categories are of two types".into()),
        ([], ints) => Data::Int64(ints.to_vec()),
        (texts, _) => Data::Bytes(texts.iter().map(|it| it.to_vec()).collect()),
    };
    let width = categories.len();
    let places = Places::of(&categories)?;
    let lenient = node.int("zeros", 1)? != 0;
    Ok(Box::new(move |inputs| Ok(vec![hot(inputs, &places, width, lenient)?])))
}

fn hot(inputs: &Inputs<'_>, places: &Places, width: usize, lenient: bool) -> Result<Array, Fault> {
    let input = inputs.need(0)?;
    let shape = [input.shape(), &[width]].concat();
    let mut list = vec![0.0_f32; room(&shape)?];
    for (row, place) in places.find(input.data())?.into_iter().enumerate() {
        match place {
            Some(place) => list[row * width + place] = 1.0,
            None if lenient => {}
            None => return Err("a value is none of its categories".into()),
        }
    }
    made(shape, list)
}

/// Where each key stands in a list.
struct Places {
    texts: HashMap<Vec<u8>, usize>,
    ints: HashMap<i64, usize>,
    floats: HashMap<u32, usize>,
}

impl Places {
    fn of(list: &Data) -> Result<Self, Fault> {
        let mut places =
            Self { texts: HashMap::new(), ints: HashMap::new(), floats: HashMap::new() };
        for (place, key) in keys(list)?.into_iter().enumerate() {
            match key {
                Key::Text(text) => places.texts.entry(text.to_vec()).or_insert(place),
                Key::Int(int) => places.ints.entry(int).or_insert(place),
                Key::Float(bits) => places.floats.entry(bits).or_insert(place),
            };
        }
        Ok(places)
    }

    fn find(&self, wanted: &Data) -> Result<Vec<Option<usize>>, Fault> {
        let find = |key: Key<'_>| match key {
            Key::Text(text) => self.texts.get(text).copied(),
            Key::Int(int) => self.ints.get(&int).copied(),
            // Whole floats are found among whole numbers, too: rows of mixed columns are floats.
            Key::Float(bits) => self.floats.get(&bits).copied().or_else(|| {
                let value = f32::from_bits(bits);
                let whole = (value.fract() == 0.0).then_some(value as i64)?;
                self.ints.get(&whole).copied()
            }),
        };
        Ok(keys(wanted)?.into_iter().map(find).collect())
    }
}
