//! Operators that make one number of many along axes, or weigh many against each other.

use std::iter::Sum;

use num_traits::Float;

use super::{Element, Fault, Inputs, Refusal, Run, axis, made};
use crate::onnx::format::Node;
use crate::tensor::{Array, Data};

pub(super) fn build(node: &Node<'_>, version: i64) -> Result<Run, Refusal> {
    match node.operator {
        "ArgMax" => index(node, |new, best| new > best),
        "ArgMin" => index(node, |new, best| new < best),
        "Softmax" => soft(node, version, softmax::<f32>, softmax::<f64>),
        "LogSoftmax" => soft(node, version, log_softmax::<f32>, log_softmax::<f64>),
        _ => reduce(node),
    }
}

/// A number of either width.
pub(super) trait Real: Element + Float + Sum {}
impl Real for f32 {}
impl Real for f64 {}

/// What several classic operators do with the scores of a row, too.
pub(super) fn softmax<T: Real>(row: &mut [T]) {
    let most = largest(row);
    row.iter_mut().for_each(|it| *it = (*it - most).exp());
    let sum: T = row.iter().copied().sum();
    row.iter_mut().for_each(|it| *it = *it / sum);
}

fn log_softmax<T: Real>(row: &mut [T]) {
    let most = largest(row);
    let sum: T = row.iter().map(|&it| (it - most).exp()).sum();
    row.iter_mut().for_each(|it| *it = *it - (most + sum.ln()));
}

fn largest<T: Real>(row: &[T]) -> T {
    row.iter().copied().fold(T::neg_infinity(), T::max)
}

/// Along one axis: an array as (turns, length, run), where elements of the axis are `run` apart.
fn along(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn soft(
    node: &Node<'_>,
    version: i64,
    small: fn(&mut [f32]),
    large: fn(&mut [f64]),
) -> Result<Run, Refusal> {
    let given = node.int("axis", if version < 13 { 1 } else { -1 })?;
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let place = axis(given, input.shape().len())?;
        let (turns, length, run) = along(input.shape(), place);
        let lines = match version {
            // Until version 12 all axes from the given one on are one.
            ..13 => (turns, length * run, 1),
            _ => (turns, length, run),
        };
        let shape = input.shape().to_vec();
        Ok(vec![match input.data() {
            Data::Fp64(list) => made(shape, by_lines(list, lines, large))?,
            _ => made(shape, by_lines(input.list::<f32>()?, lines, small))?,
        }])
    }))
}

/// What `change` makes of each line along an axis.
fn by_lines<T: Real>(
    list: &[T],
    (turns, length, run): (usize, usize, usize),
    change: fn(&mut [T]),
) -> Vec<T> {
    let mut list = list.to_vec();
    if run == 1 && length > 0 {
        list.chunks_exact_mut(length).for_each(change);
        return list;
    }
    let mut line = vec![T::zero(); length];
    for start in (0..turns).flat_map(|turn| (0..run).map(move |at| turn * length * run + at)) {
        line.iter_mut().enumerate().for_each(|(at, it)| *it = list[start + at * run]);
        change(&mut line);
        line.iter().enumerate().for_each(|(at, it)| list[start + at * run] = *it);
    }
    list
}

fn index(node: &Node<'_>, better: fn(f32, f32) -> bool) -> Result<Run, Refusal> {
    let (given, keep) = (node.int("axis", 0)?, node.int("keepdims", 1)? != 0);
    let last = node.int("select_last_index", 0)? != 0;
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let place = axis(given, input.shape().len())?;
        let (turns, length, run) = along(input.shape(), place);
        if length == 0 {
            return Err("it looks for the best of none".into());
        }
        let list = input.floats()?;
        let best_of = |start: usize| {
            let mut best = (0, list[start]);
            for at in 1..length {
                let value = list[start + at * run];
                if better(value, best.1) || (last && value == best.1) {
                    best = (at as i64, value);
                }
            }
            best.0
        };
        let starts = (0..turns).flat_map(|turn| (0..run).map(move |at| turn * length * run + at));
        let shape = reduced(input.shape(), &[place], keep);
        Ok(vec![made(shape, starts.map(best_of).collect::<Vec<i64>>())?])
    }))
}

fn reduced(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let kept = |(place, &length)| match axes.contains(&place) {
        true => keep.then_some(1),
        false => Some(length),
    };
    shape.iter().enumerate().filter_map(kept).collect()
}

/// Made of all values along the axes, in double width as a careful sum.
fn reduce(node: &Node<'_>) -> Result<Run, Refusal> {
    let keep = node.int("keepdims", 1)? != 0;
    let none_is_none = node.int("noop_with_empty_axes", 0)? != 0;
    let written = node.ints("axes")?.to_vec();
    let of: fn(&[f64]) -> f64 = match node.operator {
        "ReduceSum" => |it| it.iter().sum(),
        "ReduceMean" => |it| it.iter().sum::<f64>() / it.len() as f64,
        "ReduceMax" => |it| it.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "ReduceMin" => |it| it.iter().copied().fold(f64::INFINITY, f64::min),
        "ReduceProd" => |it| it.iter().product(),
        "ReduceL1" => |it| it.iter().map(|it| it.abs()).sum(),
        "ReduceL2" => |it| it.iter().map(|it| it * it).sum::<f64>().sqrt(),
        "ReduceSumSquare" => |it| it.iter().map(|it| it * it).sum(),
        "ReduceLogSum" => |it| it.iter().sum::<f64>().ln(),
        _ => |it| {
            let most = it.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            most + it.iter().map(|it| (it - most).exp()).sum::<f64>().ln()
        },
    };
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let axes = axes_of(inputs, &written, input.shape().len(), none_is_none)?;
        Ok(vec![reduce_along(input, &axes, keep, of)?])
    }))
}

fn axes_of(
    inputs: &Inputs<'_>,
    written: &[i64],
    axes: usize,
    none_is_none: bool,
) -> Result<Vec<usize>, Fault> {
    let given = inputs.ints(1)?.unwrap_or(written);
    if given.is_empty() {
        return Ok(if none_is_none { vec![] } else { (0..axes).collect() });
    }
    given.iter().map(|&it| axis(it, axes)).collect()
}

fn reduce_along(
    input: &Array,
    axes: &[usize],
    keep: bool,
    of: fn(&[f64]) -> f64,
) -> Result<Array, Fault> {
    let values: Vec<f64> = match input.data() {
        Data::Fp64(list) => list.clone(),
        Data::Int64(list) => list.iter().map(|&it| it as f64).collect(),
        _ => input.list::<f32>()?.iter().map(|&it| it.into()).collect(),
    };
    let shape = reduced(input.shape(), axes, keep);
    let mut groups = vec![Vec::new(); shape.iter().product()];
    // The place in the result: that of the element with the reduced axes left out.
    let mut counter = vec![0; input.shape().len()];
    for value in values {
        let place = counter
            .iter()
            .enumerate()
            .filter(|(axis, _)| !axes.contains(axis))
            .fold(0, |place, (axis, at)| place * input.shape()[axis] + at);
        groups[place].push(value);
        for axis in (0..counter.len()).rev() {
            counter[axis] += 1;
            if counter[axis] < input.shape()[axis] {
                break;
            }
            counter[axis] = 0;
        }
    }
    let results = groups.iter().map(|group| of(group));
    match input.data() {
        Data::Fp64(_) => made(shape, results.collect::<Vec<f64>>()),
        Data::Int64(_) => made(shape, results.map(|it| it as i64).collect::<Vec<_>>()),
        _ => made(shape, results.map(|it| it as f32).collect::<Vec<_>>()),
    }
}
