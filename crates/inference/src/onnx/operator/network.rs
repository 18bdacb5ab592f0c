//! Layers of networks on images and series: convolutions, pools, normalisation.
//!
//! A series is an image of one row.

use super::linear::multiply;
use super::{Fault, Inputs, Refusal, Run, made, room};
use crate::onnx::format::Node;
use crate::tensor::Array;

pub(super) fn build(node: &Node<'_>) -> Result<Run, Refusal> {
    match node.operator {
        "Conv" => {
            let window = Window::of(node)?;
            let groups = positive(node.int("group", 1)?)?;
            Ok(Box::new(move |inputs| Ok(vec![convolve(inputs, &window, groups)?])))
        }
        "MaxPool" => {
            // It is about a second output, which there is not.
            node.without_effect(&["storage_order"]);
            pool(node, |values, _| values.fold(f32::NEG_INFINITY, f32::max))
        }
        "AveragePool" => {
            let padding_counts = node.int("count_include_pad", 0)? != 0;
            pool(node, move |values, all| {
                let (count, sum) = values.fold((0, 0.0), |(n, sum), it| (n + 1, sum + it));
                sum / (if padding_counts { all } else { count }) as f32
            })
        }
        "GlobalAveragePool" => Ok(Box::new(|inputs| {
            let input = inputs.need(0)?;
            let [n, channels, ref rest @ ..] = *input.shape() else { return Err(NO_IMAGE.into()) };
            let size = rest.iter().product::<usize>().max(1);
            let means = input.list::<f32>()?.chunks_exact(size).map(mean);
            let shape = [&[n, channels][..], &vec![1; rest.len()]].concat();
            Ok(vec![made(shape, means.collect::<Vec<_>>())?])
        })),
        "BatchNormalization" => {
            let epsilon = node.float("epsilon", 1e-5)?;
            node.without_effect(&["momentum"]);
            if node.int("training_mode", 0)? != 0 || node.int("spatial", 1)? != 1 {
                return Err("it is exported for training, or not by channel".into());
            }
            Ok(Box::new(move |inputs| Ok(vec![by_channel(inputs, epsilon)?])))
        }
        "LayerNormalization" => {
            let (axis, epsilon) = (node.int("axis", -1)?, node.float("epsilon", 1e-5)?);
            if node.int("stash_type", 1)? != 1 {
                return Err("it calculates in FP32 only".into());
            }
            Ok(Box::new(move |inputs| Ok(vec![by_layer(inputs, axis, epsilon)?])))
        }
        _ => Err(Refusal::Unknown),
    }
}

const NO_IMAGE: &str = "it takes images or series: [batch, channels, …]";

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

fn positive(number: i64) -> Result<usize, Fault> {
    let fits = u16::try_from(number).ok().filter(|it| *it > 0);
    fits.map(usize::from).ok_or_else(|| "it wants a size that cannot be".into())
}

/// How a window goes over an image; each pair is down and across.
#[derive(Debug, Clone, Copy)]
struct Window {
    size: Option<[usize; 2]>,
    step: [usize; 2],
    spread: [usize; 2],
    before: [usize; 2],
    after: [usize; 2],
    round_up: bool,
}

impl Window {
    fn of(node: &Node<'_>) -> Result<Self, Fault> {
        let two = |name: &str, series: i64| match *node.ints(name)? {
            [] => Ok(None),
            [across] => Ok(Some([positive(series)?, positive(across)?])),
            [down, across] => Ok(Some([positive(down)?, positive(across)?])),
            _ => Err(Fault::from("it takes images and series only")),
        };
        let pads = node
            .ints("pads")?
            .iter()
            .map(|&it| {
                u16::try_from(it).map(usize::from).map_err(|_| "it wants a padding that cannot be")
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (before, after) = match *pads.as_slice() {
            [] => ([0; 2], [0; 2]),
            [left, right] => ([0, left], [0, right]),
            [up, left, down, right] => ([up, left], [down, right]),
            _ => return Err("it takes images and series only".into()),
        };
        let padding = node.text("auto_pad", "NOTSET")?;
        if !matches!(padding, "NOTSET" | "VALID") || padding == "VALID" && !pads.is_empty() {
            return Err("it needs its padding in numbers; export with a newer opset".into());
        }
        Ok(Self {
            size: two("kernel_shape", 1)?,
            step: two("strides", 1)?.unwrap_or([1; 2]),
            spread: two("dilations", 1)?.unwrap_or([1; 2]),
            before,
            after,
            round_up: node.int("ceil_mode", 0)? != 0,
        })
    }

    /// How often the window fits along each axis.
    fn times(&self, image: [usize; 2], size: [usize; 2]) -> Result<[usize; 2], Fault> {
        let along = |axis: usize| {
            let (window, step) = ((size[axis] - 1) * self.spread[axis] + 1, self.step[axis]);
            let all = image[axis] + self.before[axis] + self.after[axis];
            let rest = all.checked_sub(window).ok_or("its window is larger than the image")?;
            let mut times = rest / step + 1;
            // One that begins in the padding at the end is none.
            if self.round_up && rest % step != 0 && times * step < image[axis] + self.before[axis] {
                times += 1;
            }
            Ok::<_, Fault>(times)
        };
        Ok([along(0)?, along(1)?])
    }

    /// Where on an axis the window looks, unless that is padding.
    fn look(&self, axis: usize, time: usize, at: usize, length: usize) -> Option<usize> {
        let place = time * self.step[axis] + at * self.spread[axis];
        place.checked_sub(self.before[axis]).filter(|it| *it < length)
    }
}

/// Batch, channels, and the two lengths of an image.
fn image(shape: &[usize]) -> Result<(usize, usize, [usize; 2]), Fault> {
    match *shape {
        [n, channels, across] => Ok((n, channels, [1, across])),
        [n, channels, down, across] => Ok((n, channels, [down, across])),
        _ => Err(NO_IMAGE.into()),
    }
}

/// As the input, but with other channels and lengths.
fn shape_like(input: &[usize], channels: usize, lengths: [usize; 2]) -> Vec<usize> {
    match input.len() {
        3 => vec![input[0], channels, lengths[1]],
        _ => vec![input[0], channels, lengths[0], lengths[1]],
    }
}

/// Every window becomes a column, so that all of them are one product of matrices.
fn convolve(inputs: &Inputs<'_>, window: &Window, groups: usize) -> Result<Array, Fault> {
    let (input, weights) = (inputs.need(0)?, inputs.need(1)?);
    let three = |_| Fault::of_the_model("it takes images and series only");
    let (filters, deep, size) = image(weights.shape()).map_err(three)?;
    let (_, channels, lengths) = image(input.shape())?;
    if window.size.is_some_and(|wanted| wanted != size)
        || deep * groups != channels
        || !filters.is_multiple_of(groups)
        || size.contains(&0)
    {
        return Err("its filters do not fit the channels".into());
    }
    let times = window.times(lengths, size)?;
    let shape = shape_like(input.shape(), filters, times);
    let mut product = vec![0.0; room(&shape)?];
    let spots = times[0] * times[1];
    let inner = deep * size[0] * size[1];
    let mut columns = vec![0.0; room(&[inner, spots])?];
    let (values, weights) = (input.list::<f32>()?, weights.list::<f32>()?);
    let per_group = filters / groups;
    let pixels = lengths[0] * lengths[1];
    for (part, product) in product.chunks_exact_mut((per_group * spots).max(1)).enumerate() {
        let (batch, group) = (part / groups, part % groups);
        let from = (batch * channels + group * deep) * pixels;
        spread_out(&values[from..][..deep * pixels], lengths, window, size, times, &mut columns);
        let weights = &weights[group * per_group * inner..][..per_group * inner];
        if let Some(bias) = inputs.get(2) {
            let bias = bias.list::<f32>()?.get(group * per_group..(group + 1) * per_group);
            let bias = bias.ok_or("its bias does not fit its filters")?;
            product
                .chunks_exact_mut(spots.max(1))
                .zip(bias)
                .for_each(|(row, bias)| row.fill(*bias));
        }
        multiply(weights, &columns, inner, spots, product);
    }
    made(shape, product)
}

fn spread_out(
    channels: &[f32],
    lengths: [usize; 2],
    window: &Window,
    size: [usize; 2],
    times: [usize; 2],
    columns: &mut [f32],
) {
    let mut rows = columns.chunks_exact_mut((times[0] * times[1]).max(1));
    for channel in channels.chunks_exact((lengths[0] * lengths[1]).max(1)) {
        for (y, x) in (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x))) {
            let Some(row) = rows.next() else { return };
            for (down, line) in row.chunks_exact_mut(times[1].max(1)).enumerate() {
                let Some(y) = window.look(0, down, y, lengths[0]) else {
                    line.fill(0.0);
                    continue;
                };
                let pixels = &channel[y * lengths[1]..][..lengths[1]];
                for (across, value) in line.iter_mut().enumerate() {
                    *value = window.look(1, across, x, lengths[1]).map_or(0.0, |x| pixels[x]);
                }
            }
        }
    }
}

/// `of` gets what is under the window, and how much that is with the padding.
fn pool(
    node: &Node<'_>,
    of: impl Fn(&mut dyn Iterator<Item = f32>, usize) -> f32 + Send + Sync + 'static,
) -> Result<Run, Refusal> {
    let window = Window::of(node)?;
    let size = window.size.ok_or("it has no size")?;
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (_, channels, lengths) = image(input.shape())?;
        let times = window.times(lengths, size)?;
        let shape = shape_like(input.shape(), channels, times);
        let mut list = Vec::with_capacity(room(&shape)?);
        for channel in input.list::<f32>()?.chunks_exact((lengths[0] * lengths[1]).max(1)) {
            for (down, across) in (0..times[0]).flat_map(|y| (0..times[1]).map(move |x| (y, x))) {
                let lines = (0..size[0]).filter_map(|y| window.look(0, down, y, lengths[0]));
                let mut seen = lines.flat_map(|y| {
                    let places = (0..size[1]).filter_map(|x| window.look(1, across, x, lengths[1]));
                    places.map(move |x| channel[y * lengths[1] + x])
                });
                list.push(of(&mut seen, size[0] * size[1]));
            }
        }
        Ok(vec![made(shape, list)?])
    }))
}

/// Inputs: values, then scale, bias, mean and variance of each channel.
fn by_channel(inputs: &Inputs<'_>, epsilon: f32) -> Result<Array, Fault> {
    let input = inputs.need(0)?;
    let [_, channels, ref rest @ ..] = *input.shape() else { return Err(NO_IMAGE.into()) };
    let of = |place| match inputs.need(place)?.list::<f32>()? {
        list if list.len() == channels => Ok(list),
        _ => Err(Fault::from("its numbers do not fit the channels")),
    };
    let (scale, bias, mean, variance) = (of(1)?, of(2)?, of(3)?, of(4)?);
    let mut list = input.list::<f32>()?.to_vec();
    let size = rest.iter().product::<usize>().max(1);
    for (place, values) in list.chunks_exact_mut(size).enumerate() {
        let channel = place % channels;
        let factor = scale[channel] / (variance[channel] + epsilon).sqrt();
        let shift = bias[channel] - mean[channel] * factor;
        values.iter_mut().for_each(|it| *it = *it * factor + shift);
    }
    made(input.shape().to_vec(), list)
}

/// Each row, from an axis on, has mean 0 and variance 1 before it is scaled and moved.
fn by_layer(inputs: &Inputs<'_>, axis: i64, epsilon: f32) -> Result<Array, Fault> {
    let input = inputs.need(0)?;
    let axis = super::axis(axis, input.shape().len())?;
    let size = input.shape()[axis..].iter().product::<usize>();
    let scale = inputs.need(1)?.list::<f32>()?;
    let bias = inputs.get(2).map(|it| it.list::<f32>()).transpose()?;
    if scale.len() != size || bias.is_some_and(|it| it.len() != size) {
        return Err("its numbers do not fit the row".into());
    }
    let mut list = input.list::<f32>()?.to_vec();
    for row in list.chunks_exact_mut(size.max(1)) {
        let mean = mean(row);
        row.iter_mut().for_each(|it| *it -= mean);
        let variance = row.iter().map(|it| it * it).sum::<f32>() / size as f32;
        let factor = 1.0 / (variance + epsilon).sqrt();
        row.iter_mut().zip(scale).for_each(|(it, scale)| *it *= factor * scale);
        if let Some(bias) = bias {
            row.iter_mut().zip(bias).for_each(|(it, bias)| *it += bias);
        }
    }
    made(input.shape().to_vec(), list)
}
