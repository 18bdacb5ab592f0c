//! Operators that look at one element at a time, of arrays whose shapes are stretched to each other.

use super::{Element, Fault, Inputs, Refusal, Run, array, made, pick, room, unfit};
use crate::onnx::format::Node;
use crate::tensor::{Array, Data};

pub(super) fn build(node: &Node<'_>) -> Result<Run, Refusal> {
    Ok(match node.operator {
        // Dropping out is for training.
        "Identity" => Box::new(|inputs| Ok(vec![inputs.need(0)?.clone()])),
        "Dropout" => {
            node.without_effect(&["ratio", "seed"]);
            Box::new(|inputs| match inputs.get(2).map(Array::list::<bool>).transpose()? {
                Some([true, ..]) => Err(Fault::of_the_model("it is exported for training")),
                _ => Ok(vec![inputs.need(0)?.clone()]),
            })
        }
        "Cast" => cast(node)?,
        "Where" => Box::new(|inputs| choose(inputs).map(|it| vec![it])),
        "Clip" => clip(node)?,
        "Add" => fold(|a, b| a + b, |a, b| a + b, i64::wrapping_add),
        "Sum" => fold(|a, b| a + b, |a, b| a + b, i64::wrapping_add),
        "Sub" => fold(|a, b| a - b, |a, b| a - b, i64::wrapping_sub),
        "Mul" => fold(|a, b| a * b, |a, b| a * b, i64::wrapping_mul),
        // Nothing says what a division by nothing gives; it must not end the process.
        "Div" => fold(|a, b| a / b, |a, b| a / b, |a, b| a.checked_div(b).unwrap_or(0)),
        "Mod" => modulo(node)?,
        "Max" => fold(most, most, i64::max),
        "Min" => fold(least, least, i64::min),
        "Pow" => fold(f32::powf, f64::powf, |a, b| (a as f64).powf(b as f64) as i64),
        "Equal" => Box::new(|inputs| equal(inputs).map(|it| vec![it])),
        "Greater" => compare(|a, b| a > b, |a, b| a > b, |a, b| a > b),
        "GreaterOrEqual" => compare(|a, b| a >= b, |a, b| a >= b, |a, b| a >= b),
        "Less" => compare(|a, b| a < b, |a, b| a < b, |a, b| a < b),
        "LessOrEqual" => compare(|a, b| a <= b, |a, b| a <= b, |a, b| a <= b),
        "And" => logic(|a, b| a & b),
        "Or" => logic(|a, b| a | b),
        "Xor" => logic(|a, b| a ^ b),
        "Not" => Box::new(|inputs| {
            let input = inputs.need(0)?;
            let list = input.list::<bool>()?.iter().map(|it| !it).collect();
            Ok(vec![made(input.shape().to_vec(), list)?])
        }),
        _ => return one(node),
    })
}

/// The larger of two. What is no number stays none, which `f32::max` would drop.
fn most<T: PartialOrd>(a: T, b: T) -> T {
    if a > b || is_none(&a) { a } else { b }
}

fn least<T: PartialOrd>(a: T, b: T) -> T {
    if a < b || is_none(&a) { a } else { b }
}

fn is_none<T: PartialOrd>(it: &T) -> bool {
    it.partial_cmp(it).is_none()
}

/// The rest has the sign of the divisor, or with `fmod` of the dividend.
fn modulo(node: &Node<'_>) -> Result<Run, Refusal> {
    if node.int("fmod", 0)? != 0 {
        return Ok(fold(|a, b| a % b, |a, b| a % b, |a, b| a.checked_rem(b).unwrap_or(0)));
    }
    let whole = |a: i64, b: i64| match a.checked_rem(b) {
        Some(rest) if rest != 0 && (rest < 0) != (b < 0) => rest + b,
        rest => rest.unwrap_or(0),
    };
    Ok(fold(|a, b| a - b * (a / b).floor(), |a, b| a - b * (a / b).floor(), whole))
}

/// Operators of one number.
fn one(node: &Node<'_>) -> Result<Run, Refusal> {
    let alpha = |otherwise| node.float("alpha", otherwise);
    Ok(match node.operator {
        "Neg" => each(|it| -it, |it| -it),
        "Abs" => each(f32::abs, f64::abs),
        "Sqrt" => each(f32::sqrt, f64::sqrt),
        "Reciprocal" => each(|it| 1.0 / it, |it| 1.0 / it),
        "Exp" => each(f32::exp, f64::exp),
        "Log" => each(f32::ln, f64::ln),
        "Floor" => each(f32::floor, f64::floor),
        "Ceil" => each(f32::ceil, f64::ceil),
        "Round" => each(f32::round_ties_even, f64::round_ties_even),
        "Tanh" => each(f32::tanh, f64::tanh),
        "Relu" => each(|it| if it < 0.0 { 0.0 } else { it }, |it| if it < 0.0 { 0.0 } else { it }),
        "Sigmoid" => each(logistic, |it| 1.0 / (1.0 + (-it).exp())),
        "Softplus" => each(
            |it| it.max(0.0) + (-it.abs()).exp().ln_1p(),
            |it| it.max(0.0) + (-it.abs()).exp().ln_1p(),
        ),
        "LeakyRelu" => {
            let slope = alpha(0.01)?;
            float(move |it| if it < 0.0 { slope * it } else { it })
        }
        "Elu" => {
            let slope = alpha(1.0)?;
            float(move |it| if it < 0.0 { slope * it.exp_m1() } else { it })
        }
        "Erf" => each(libm::erff, libm::erf),
        "Gelu" => gelu(node)?,
        _ => return Err(Refusal::Unknown),
    })
}

pub(super) fn logistic(it: f32) -> f32 {
    1.0 / (1.0 + (-it).exp())
}

fn gelu(node: &Node<'_>) -> Result<Run, Refusal> {
    use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
    Ok(match node.text("approximate", "none")? {
        "none" => each(
            |it| 0.5 * it * (1.0 + libm::erff(it * FRAC_1_SQRT_2 as f32)),
            |it| 0.5 * it * (1.0 + libm::erf(it * FRAC_1_SQRT_2)),
        ),
        "tanh" => {
            const ROOT: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
            each(
                |it| 0.5 * it * (1.0 + (ROOT as f32 * (it + 0.044_715 * it * it * it)).tanh()),
                |it| 0.5 * it * (1.0 + (ROOT * (it + 0.044_715 * it * it * it)).tanh()),
            )
        }
        _ => return Err("it cannot do what `approximate` asks for".into()),
    })
}

fn each(
    small: impl Fn(f32) -> f32 + Send + Sync + 'static,
    large: impl Fn(f64) -> f64 + Send + Sync + 'static,
) -> Run {
    Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let data = match input.data() {
            Data::Fp32(list) => Data::Fp32(list.iter().map(|&it| small(it)).collect()),
            Data::Fp64(list) => Data::Fp64(list.iter().map(|&it| large(it)).collect()),
            // Whole numbers as far as they are exact; `Neg` and `Abs` are all that take them.
            Data::Int64(list) => {
                Data::Int64(list.iter().map(|&it| large(it as f64) as i64).collect())
            }
            Data::Int32(list) => {
                Data::Int32(list.iter().map(|&it| large(it.into()) as i32).collect())
            }
            _ => return Err(unfit(input.datatype())),
        };
        Ok(vec![array(input.shape().to_vec(), data)?])
    })
}

fn float(f: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Run {
    Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let list = input.list::<f32>()?.iter().map(|&it| f(it)).collect();
        Ok(vec![made(input.shape().to_vec(), list)?])
    })
}

/// Two arrays or more, one after another.
fn fold(small: fn(f32, f32) -> f32, large: fn(f64, f64) -> f64, whole: fn(i64, i64) -> i64) -> Run {
    Box::new(move |inputs| {
        let mut sum = inputs.need(0)?.clone();
        for next in inputs.0.iter().skip(1).flatten() {
            sum = match (sum.data(), next.data()) {
                (Data::Fp32(_), Data::Fp32(_)) => both(&sum, next, small)?,
                (Data::Fp64(_), Data::Fp64(_)) => both(&sum, next, large)?,
                (Data::Int64(_), Data::Int64(_)) => both(&sum, next, whole)?,
                (Data::Int32(_), Data::Int32(_)) => {
                    both(&sum, next, |a: i32, b: i32| whole(a.into(), b.into()) as i32)?
                }
                // `Pow` may have an exponent of another type.
                (Data::Fp32(_), _) => {
                    let next =
                        array(next.shape().to_vec(), Data::Fp32(next.floats()?.into_owned()))?;
                    both(&sum, &next, small)?
                }
                _ => return Err(unfit(next.datatype())),
            };
        }
        Ok(vec![sum])
    })
}

fn compare(
    small: fn(f32, f32) -> bool,
    large: fn(f64, f64) -> bool,
    whole: fn(i64, i64) -> bool,
) -> Run {
    Box::new(move |inputs| {
        let (a, b) = (inputs.need(0)?, inputs.need(1)?);
        let answer = match a.data() {
            Data::Fp32(_) => both(a, b, small),
            Data::Fp64(_) => both(a, b, large),
            Data::Int64(_) => both(a, b, whole),
            Data::Int32(_) => both(a, b, |a: i32, b: i32| whole(a.into(), b.into())),
            _ => Err(unfit(a.datatype())),
        };
        Ok(vec![answer?])
    })
}

fn equal(inputs: &Inputs<'_>) -> Result<Array, Fault> {
    let (a, b) = (inputs.need(0)?, inputs.need(1)?);
    match (a.data(), b.data()) {
        (Data::Fp32(_), _) => both(a, b, |a: f32, b| a == b),
        (Data::Fp64(_), _) => both(a, b, |a: f64, b| a == b),
        (Data::Int64(_), _) => both(a, b, |a: i64, b| a == b),
        (Data::Int32(_), _) => both(a, b, |a: i32, b| a == b),
        (Data::Bool(_), _) => both(a, b, |a: bool, b| a == b),
        (Data::Bytes(left), Data::Bytes(right)) => {
            let stretch = Stretch::of(a.shape(), b.shape())?;
            let list = stretch.places().map(|(a, b)| left[a] == right[b]).collect();
            made(stretch.shape, list)
        }
        _ => Err(unfit(a.datatype())),
    }
}

fn logic(f: fn(bool, bool) -> bool) -> Run {
    Box::new(move |inputs| Ok(vec![both(inputs.need(0)?, inputs.need(1)?, f)?]))
}

/// One of two values at each place.
fn choose(inputs: &Inputs<'_>) -> Result<Array, Fault> {
    let (condition, yes, no) = (inputs.need(0)?, inputs.need(1)?, inputs.need(2)?);
    if yes.datatype() != no.datatype() {
        return Err(unfit(no.datatype()));
    }
    let values = Stretch::of(yes.shape(), no.shape())?;
    let shape = Stretch::of(condition.shape(), &values.shape)?.shape;
    // Both kinds of values in one list, so that whatever their type a place is picked.
    let all = joined(yes.data(), no.data())?;
    let given = condition.list::<bool>()?;
    let offset = yes.data().len();
    let asked = Stretch::of(condition.shape(), &shape)?;
    let of_yes = Stretch::of(yes.shape(), &shape)?;
    let of_no = Stretch::of(no.shape(), &shape)?;
    let places = asked.places().zip(of_yes.places()).zip(of_no.places());
    let picked: Vec<usize> = places
        .map(|(((asked, _), (yes, _)), (no, _))| if given[asked] { yes } else { offset + no })
        .collect();
    array(shape, pick(&all, &picked))
}

/// Elements of two arrays of the same type, one after another.
pub(super) fn joined(a: &Data, b: &Data) -> Result<Data, Fault> {
    let mut both = a.clone();
    match (&mut both, b) {
        (Data::Bool(a), Data::Bool(b)) => a.extend(b),
        (Data::Uint8(a), Data::Uint8(b)) => a.extend(b),
        (Data::Uint16(a), Data::Uint16(b)) => a.extend(b),
        (Data::Uint32(a), Data::Uint32(b)) => a.extend(b),
        (Data::Uint64(a), Data::Uint64(b)) => a.extend(b),
        (Data::Int8(a), Data::Int8(b)) => a.extend(b),
        (Data::Int16(a), Data::Int16(b)) => a.extend(b),
        (Data::Int32(a), Data::Int32(b)) => a.extend(b),
        (Data::Int64(a), Data::Int64(b)) => a.extend(b),
        (Data::Fp32(a), Data::Fp32(b)) => a.extend(b),
        (Data::Fp64(a), Data::Fp64(b)) => a.extend(b),
        (Data::Bytes(a), Data::Bytes(b)) => a.extend(b.iter().cloned()),
        _ => return Err(unfit(b.datatype())),
    }
    Ok(both)
}

fn clip(node: &Node<'_>) -> Result<Run, Refusal> {
    let (low, high) = (node.float("min", f32::NEG_INFINITY)?, node.float("max", f32::INFINITY)?);
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let data = match input.data() {
            Data::Fp64(list) => Data::Fp64(clipped(inputs, list, low.into(), high.into())?),
            Data::Int64(list) => Data::Int64(clipped(inputs, list, i64::MIN, i64::MAX)?),
            Data::Int32(list) => Data::Int32(clipped(inputs, list, i32::MIN, i32::MAX)?),
            _ => Data::Fp32(clipped(inputs, input.list::<f32>()?, low, high)?),
        };
        Ok(vec![array(input.shape().to_vec(), data)?])
    }))
}

/// Not by `clamp`, which panics where the bounds are the wrong way round: then all become the upper one.
fn clipped<T: Element + PartialOrd>(
    inputs: &Inputs<'_>,
    list: &[T],
    low: T,
    high: T,
) -> Result<Vec<T>, Fault> {
    let bound = |place, otherwise| -> Result<T, Fault> {
        match inputs.get(place) {
            None => Ok(otherwise),
            Some(bound) => Ok(bound.list::<T>()?.first().copied().unwrap_or(otherwise)),
        }
    };
    let (low, high) = (bound(1, low)?, bound(2, high)?);
    let within = |&it: &T| {
        let raised = if it < low { low } else { it };
        if raised > high { high } else { raised }
    };
    Ok(list.iter().map(within).collect())
}

fn cast(node: &Node<'_>) -> Result<Run, Refusal> {
    let to = node.int("to", 0)?;
    // Both are about numbers of 8 bits, which are refused.
    node.without_effect(&["saturate", "round_mode"]);
    if !matches!(to, 1 | 6 | 7 | 8 | 9 | 11) {
        return Err("it cannot make numbers of that type".into());
    }
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let data = match (to, input.data()) {
            (8, Data::Bytes(_)) => input.data().clone(),
            (8, Data::Int64(list)) => {
                Data::Bytes(list.iter().map(|it| it.to_string().into_bytes()).collect())
            }
            (7, Data::Int64(_)) => input.data().clone(),
            (1, _) => Data::Fp32(wide(input)?.into_iter().map(|it| it as f32).collect()),
            (6, _) => Data::Int32(wide(input)?.into_iter().map(|it| it as i32).collect()),
            (7, _) => Data::Int64(wide(input)?.into_iter().map(|it| it as i64).collect()),
            (9, _) => Data::Bool(wide(input)?.into_iter().map(|it| it != 0.0).collect()),
            (11, _) => Data::Fp64(wide(input)?),
            _ => return Err(unfit(input.datatype())),
        };
        Ok(vec![array(input.shape().to_vec(), data)?])
    }))
}

fn wide(input: &Array) -> Result<Vec<f64>, Fault> {
    Ok(match input.data() {
        Data::Fp32(list) => list.iter().map(|&it| it.into()).collect(),
        Data::Fp64(list) => list.clone(),
        Data::Int64(list) => list.iter().map(|&it| it as f64).collect(),
        Data::Int32(list) => list.iter().map(|&it| it.into()).collect(),
        Data::Uint8(list) => list.iter().map(|&it| it.into()).collect(),
        Data::Bool(list) => list.iter().map(|&it| f64::from(u8::from(it))).collect(),
        _ => return Err(unfit(input.datatype())),
    })
}

fn both<T: Element, U: Element>(
    a: &Array,
    b: &Array,
    f: impl Fn(T, T) -> U,
) -> Result<Array, Fault> {
    let (left, right) = (a.list::<T>()?, b.list::<T>()?);
    if a.shape() == b.shape() {
        let list = left.iter().zip(right).map(|(&a, &b)| f(a, b)).collect();
        return made(a.shape().to_vec(), list);
    }
    // A row, such as a bias, beside many of them.
    if let [width] = *b.shape()
        && a.shape().last() == Some(&width)
        && width > 0
    {
        let rows = left.chunks_exact(width);
        let list = rows.flat_map(|row| row.iter().zip(right).map(|(&a, &b)| f(a, b))).collect();
        return made(a.shape().to_vec(), list);
    }
    let stretch = Stretch::of(a.shape(), b.shape())?;
    let list = stretch.places().map(|(a, b)| f(left[a], right[b])).collect();
    made(stretch.shape, list)
}

/// Two shapes that are stretched to one: axes of length one are repeated.
pub(super) struct Stretch {
    pub shape: Vec<usize>,
    /// For each axis of the shape, how far one step along it is in each of the two.
    steps: Vec<(usize, usize)>,
}

impl Stretch {
    pub(super) fn of(a: &[usize], b: &[usize]) -> Result<Self, Fault> {
        let axes = a.len().max(b.len());
        let length = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(axes) {
            Some(own) => shape[own],
            None => 1,
        };
        let mut shape = vec![0; axes];
        let mut steps = vec![(0, 0); axes];
        let (mut step_a, mut step_b) = (1, 1);
        for axis in (0..axes).rev() {
            let (of_a, of_b) = (length(a, axis), length(b, axis));
            shape[axis] = match (of_a, of_b) {
                (a, b) if a == b => a,
                (1, other) | (other, 1) => other,
                _ => return Err(format!("the shapes {a:?} and {b:?} do not fit").into()),
            };
            steps[axis] = (if of_a == 1 { 0 } else { step_a }, if of_b == 1 { 0 } else { step_b });
            step_a *= of_a;
            step_b *= of_b;
        }
        room(&shape)?;
        Ok(Self { shape, steps })
    }

    /// For each element of the shape, its place in each of the two.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut counter = vec![0; self.shape.len()];
        let mut place = (0, 0);
        let elements = self.shape.iter().product();
        (0..elements).map(move |_| {
            let now = place;
            for axis in (0..counter.len()).rev() {
                let (a, b) = self.steps[axis];
                counter[axis] += 1;
                if counter[axis] < self.shape[axis] {
                    place = (place.0 + a, place.1 + b);
                    break;
                }
                let back = self.shape[axis] - 1;
                place = (place.0 - back * a, place.1 - back * b);
                counter[axis] = 0;
            }
            now
        })
    }
}
