//! Operators that move elements, or only call them otherwise.

use super::pointwise::{Stretch, joined};
use super::{Fault, Inputs, Refusal, Run, array, axis, made, pick, room};
use crate::onnx::format::{Attribute, Node};
use crate::tensor::{AXES_MAX, Array, Data};

pub(super) fn build(node: &Node<'_>) -> Result<Run, Refusal> {
    match node.operator {
        "Constant" => constant(node),
        "Concat" => concat(node),
        "Transpose" => transpose(node),
        "Gather" => gather(node),
        "Flatten" => {
            let given = node.int("axis", 1)?;
            Ok(one(move |input| flatten(input, given)))
        }
        "Shape" => {
            let (start, end) = (node.int("start", 0)?, node.int("end", i64::MAX)?);
            Ok(one(move |input| lengths(input, start, end)))
        }
        "Slice" => slice(node),
        "Split" => split(node),
        "Expand" => Ok(Box::new(|inputs| Ok(vec![expanded(inputs.need(0)?, inputs)?]))),
        _ => reshape(node),
    }
}

fn one(f: impl Fn(&Array) -> Result<Array, Fault> + Send + Sync + 'static) -> Run {
    Box::new(move |inputs| Ok(vec![f(inputs.need(0)?)?]))
}

/// The lengths of the axes from one to before another, both counted from the back where they are
/// negative, and clamped.
fn lengths(input: &Array, start: i64, end: i64) -> Result<Array, Fault> {
    let shape = input.shape();
    let (start, end) = (clamped(start, shape.len()), clamped(end, shape.len()));
    let some = shape.get(start..end).unwrap_or_default();
    made(vec![some.len()], some.iter().map(|&it| it as i64).collect())
}

/// A place on an axis, from its back where it is negative, but never beyond its ends.
fn clamped(given: i64, length: usize) -> usize {
    match given {
        0.. => usize::try_from(given).unwrap_or(length).min(length),
        _ => usize::try_from(given.saturating_add_unsigned(length as u64)).unwrap_or(0),
    }
}

fn shaped(input: &Array, shape: Vec<usize>) -> Result<Array, Fault> {
    array(shape, input.data().clone())
}

fn constant(node: &Node<'_>) -> Result<Run, Refusal> {
    let whole = |list: &[i64]| made(vec![list.len()], list.to_vec());
    let name = node.attributes.first().map(|it| it.name).unwrap_or_default();
    let value = match (name, node.attribute(name)) {
        ("value", Some(Attribute::Tensor(value))) => value.clone(),
        ("value_float", Some(Attribute::Float(value))) => made(vec![], vec![*value])?,
        ("value_int", Some(Attribute::Int(value))) => made(vec![], vec![*value])?,
        ("value_floats", Some(Attribute::Floats(list))) => made(vec![list.len()], list.clone())?,
        ("value_ints", Some(Attribute::Ints(list))) => whole(list)?,
        _ => return Err("it has no value of a type that is supported".into()),
    };
    Ok(Box::new(move |_| Ok(vec![value.clone()])))
}

/// `Reshape`, `Squeeze` and `Unsqueeze`, whose numbers are an input or, in old models, an attribute.
fn reshape(node: &Node<'_>) -> Result<Run, Refusal> {
    let is_reshape = node.operator == "Reshape";
    let written = node.ints(if is_reshape { "shape" } else { "axes" })?.to_vec();
    let zero_is_zero = is_reshape && node.int("allowzero", 0)? != 0;
    let shape_of = match node.operator {
        "Squeeze" => |shape: &[usize], axes: &[i64], _| squeezed(shape, axes),
        "Unsqueeze" => |shape: &[usize], axes: &[i64], _| unsqueezed(shape, axes),
        _ => reshaped,
    };
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let numbers = inputs.ints(1)?.unwrap_or(&written);
        Ok(vec![shaped(input, shape_of(input.shape(), numbers, zero_is_zero)?)?])
    }))
}

fn reshaped(shape: &[usize], wanted: &[i64], zero_is_zero: bool) -> Result<Vec<usize>, Fault> {
    let mut free = None;
    let mut lengths = Vec::with_capacity(wanted.len());
    for (axis, &length) in wanted.iter().enumerate() {
        lengths.push(match length {
            0 if !zero_is_zero => *shape.get(axis).ok_or("it keeps an axis that there is not")?,
            -1 if free.replace(axis).is_none() => 1,
            length => usize::try_from(length).map_err(|_| "it wants a negative length")?,
        });
    }
    if let Some(free) = free {
        let others = room(&lengths)?.max(1);
        lengths[free] = room(shape)? / others;
    }
    Ok(lengths)
}

fn squeezed(shape: &[usize], axes: &[i64]) -> Result<Vec<usize>, Fault> {
    let axes: Vec<usize> =
        axes.iter().map(|&it| axis(it, shape.len())).collect::<Result<_, _>>()?;
    let goes = |place: usize, length: usize| {
        if axes.is_empty() { length == 1 } else { axes.contains(&place) }
    };
    let kept = shape.iter().enumerate().filter(|&(place, &length)| !goes(place, length));
    Ok(kept.map(|it| *it.1).collect())
}

fn unsqueezed(shape: &[usize], axes: &[i64]) -> Result<Vec<usize>, Fault> {
    let all = shape.len() + axes.len();
    if all > AXES_MAX {
        return Err("it makes too many axes".into());
    }
    let axes: Vec<usize> = axes.iter().map(|&it| axis(it, all)).collect::<Result<_, _>>()?;
    let mut rest = shape.iter();
    let lengths = (0..all).map(|place| if axes.contains(&place) { Some(&1) } else { rest.next() });
    lengths.map(|it| it.copied().ok_or_else(|| "it names an axis twice".into())).collect()
}

fn flatten(input: &Array, given: i64) -> Result<Array, Fault> {
    let axes = input.shape().len();
    let at = if given == axes as i64 { axes } else { axis(given, axes)? };
    let (outer, inner) = input.shape().split_at(at);
    shaped(input, vec![outer.iter().product(), inner.iter().product()])
}

fn concat(node: &Node<'_>) -> Result<Run, Refusal> {
    let along = node.int("axis", 0)?;
    Ok(Box::new(move |inputs| {
        let first = inputs.need(0)?;
        let along = axis(along, first.shape().len())?;
        let mut all = first.data().clone();
        let mut parts = Vec::new();
        let mut shape = first.shape().to_vec();
        shape[along] = 0;
        let mut start = 0;
        for (place, part) in inputs.0.iter().flatten().enumerate() {
            let fits = part.shape().len() == shape.len()
                && (0..shape.len()).all(|axis| axis == along || part.shape()[axis] == shape[axis]);
            if !fits {
                return Err("the shapes of its inputs do not fit".into());
            }
            shape[along] += part.shape()[along];
            room(&shape)?;
            if place > 0 {
                all = joined(&all, part.data())?;
            }
            // How much of a part comes before it is the next one's turn.
            parts.push((start, part.shape()[along..].iter().product::<usize>()));
            start += part.data().len();
        }
        let turns: usize = shape[..along].iter().product();
        let places = (0..turns).flat_map(|turn| {
            parts.iter().flat_map(move |&(start, run)| start + turn * run..start + (turn + 1) * run)
        });
        Ok(vec![array(shape.clone(), pick(&all, &places.collect::<Vec<_>>()))?])
    }))
}

fn transpose(node: &Node<'_>) -> Result<Run, Refusal> {
    let order = node.ints("perm")?.to_vec();
    Ok(one(move |input| {
        let axes = input.shape().len();
        let order: Vec<usize> = match order.len() {
            0 => (0..axes).rev().collect(),
            _ => order.iter().map(|&it| axis(it, axes)).collect::<Result<_, _>>()?,
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..axes) {
            return Err("it does not name every axis once".into());
        }
        let mut steps = vec![1; axes];
        for axis in (1..axes).rev() {
            steps[axis - 1] = steps[axis] * input.shape()[axis];
        }
        let shape: Vec<usize> = order.iter().map(|&axis| input.shape()[axis]).collect();
        let steps: Vec<usize> = order.iter().map(|&axis| steps[axis]).collect();
        let places = walk(&shape, &steps);
        array(shape, pick(input.data(), &places))
    }))
}

/// For each element of a shape, its place where one step along each axis is so far.
fn walk(shape: &[usize], steps: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (&length, &step) in shape.iter().zip(steps) {
        places =
            places.iter().flat_map(|&place| (0..length).map(move |at| place + at * step)).collect();
    }
    places
}

fn gather(node: &Node<'_>) -> Result<Run, Refusal> {
    let along = node.int("axis", 0)?;
    Ok(Box::new(move |inputs| {
        let (input, wanted) = (inputs.need(0)?, inputs.need(1)?);
        let along = axis(along, input.shape().len())?;
        let length = input.shape()[along];
        let indices: Vec<usize> =
            whole(inputs, 1, &[])?.iter().map(|&it| axis(it, length)).collect::<Result<_, _>>()?;
        Ok(vec![taken(input, along, &indices, wanted.shape())?])
    }))
}

/// `Slice`, whose numbers (starts, ends, axes, steps) are inputs or, until opset 9, attributes.
fn slice(node: &Node<'_>) -> Result<Run, Refusal> {
    let list = |name| node.ints(name).map(<[i64]>::to_vec);
    let written = [list("starts")?, list("ends")?, list("axes")?];
    Ok(Box::new(move |inputs| Ok(vec![sliced(inputs, &written)?])))
}

fn sliced(inputs: &Inputs<'_>, written: &[Vec<i64>; 3]) -> Result<Array, Fault> {
    let input = inputs.need(0)?;
    let [starts, ends, axes] = written;
    let (starts, ends) = (whole(inputs, 1, starts)?, whole(inputs, 2, ends)?);
    let (mut axes, mut steps) = (whole(inputs, 3, axes)?, whole(inputs, 4, &[])?);
    if axes.is_empty() {
        axes = (0..starts.len() as i64).collect();
    }
    if steps.is_empty() {
        steps = vec![1; starts.len()];
    }
    if starts.len() > AXES_MAX
        || ends.len() != starts.len()
        || axes.len() != starts.len()
        || steps.len() != starts.len()
    {
        return Err("its inputs do not fit".into());
    }
    let mut input = input.clone();
    for (((start, end), along), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let along = axis(along, input.shape().len())?;
        let kept = stepped(input.shape()[along], start, end, step)?;
        input = taken(&input, along, &kept, &[kept.len()])?;
    }
    Ok(input)
}

/// `Split`, whose lengths are an input, an attribute until opset 12, or as alike as can be.
fn split(node: &Node<'_>) -> Result<Run, Refusal> {
    let (along, written) = (node.int("axis", 0)?, node.ints("split")?.to_vec());
    let parts = usize::try_from(node.int("num_outputs", node.outputs.len() as i64)?).unwrap_or(0);
    if parts == 0 || parts != node.outputs.len() {
        return Err("it has not as many outputs as it says".into());
    }
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let along = axis(along, input.shape().len())?;
        let length = input.shape()[along];
        let even = length.div_ceil(parts);
        let mut lengths = whole(inputs, 1, &written)?;
        if lengths.is_empty() {
            let rest = |part| length.saturating_sub(part * even).min(even) as i64;
            lengths = (0..parts).map(rest).collect();
        }
        let mut start = 0;
        let mut made = Vec::with_capacity(parts);
        for part in lengths {
            let end = usize::try_from(part).ok().and_then(|it| it.checked_add(start));
            let end = end.filter(|it| *it <= length).ok_or("its parts do not fit")?;
            let kept: Vec<usize> = (start..end).collect();
            made.push(taken(input, along, &kept, &[kept.len()])?);
            start = end;
        }
        if made.len() != parts || start != length {
            return Err("its parts do not fit".into());
        }
        Ok(made)
    }))
}

/// Axes of length one are repeated until the shape is reached, which may be the input's own.
fn expanded(input: &Array, inputs: &Inputs<'_>) -> Result<Array, Fault> {
    let wanted: Vec<usize> = whole(inputs, 1, &[])?
        .into_iter()
        .map(|it| usize::try_from(it).map_err(|_| "it wants a negative length"))
        .collect::<Result<_, _>>()?;
    if wanted.len() > AXES_MAX {
        return Err("it makes too many axes".into());
    }
    let stretch = Stretch::of(input.shape(), &wanted)?;
    let places: Vec<usize> = stretch.places().map(|it| it.0).collect();
    array(stretch.shape, pick(input.data(), &places))
}

/// What is at some places of an axis, each of which exists; `shape` comes in its stead.
pub(super) fn taken(
    input: &Array,
    along: usize,
    kept: &[usize],
    shape: &[usize],
) -> Result<Array, Fault> {
    let length = input.shape()[along];
    let (outer, inner) = (&input.shape()[..along], &input.shape()[along + 1..]);
    let shape = [outer, shape, inner].concat();
    room(&shape)?;
    let run: usize = inner.iter().product();
    let places = (0..outer.iter().product::<usize>()).flat_map(|turn| {
        kept.iter().flat_map(move |index| {
            let start = (turn * length + index) * run;
            start..start + run
        })
    });
    let places: Vec<usize> = places.collect();
    array(shape, pick(input.data(), &places))
}

/// Whole numbers of an input of either width, or those that are written in the file.
fn whole(inputs: &Inputs<'_>, place: usize, written: &[i64]) -> Result<Vec<i64>, Fault> {
    Ok(match inputs.get(place).map(|it| it.data()) {
        None => written.to_vec(),
        Some(Data::Int32(list)) => list.iter().map(|&it| it.into()).collect(),
        Some(_) => inputs.ints(place)?.unwrap_or_default().to_vec(),
    })
}

/// Places from one on, and before another, `step` apart; backwards where that is negative.
fn stepped(length: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>, Fault> {
    let by = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    match step {
        0 => Err("it takes steps of nothing".into()),
        1.. => Ok((clamped(start, length)..clamped(end, length)).step_by(by).collect()),
        _ if length == 0 => Ok(Vec::new()),
        _ => {
            let last = length as i64 - 1;
            let signed = |it: i64| if it < 0 { it.saturating_add(last + 1) } else { it };
            // It may end before the first place, but not begin there.
            let (start, end) = (signed(start).clamp(0, last), signed(end).clamp(-1, last));
            Ok((end + 1..start + 1).rev().step_by(by).map(|it| it as usize).collect())
        }
    }
}
