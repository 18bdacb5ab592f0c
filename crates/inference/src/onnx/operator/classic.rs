//! Classic models that are lines, and what prepares rows for them (`ai.onnx.ml`).

use super::linear::multiply;
use super::pointwise::logistic;
use super::reduce::softmax;
use super::shape::taken;
use super::{Fault, Refusal, Run, array, made, misfit, pick, room};
use crate::onnx::format::Node;
use crate::tensor::{Array, Data};

pub(super) fn build(node: &Node<'_>) -> Result<Run, Refusal> {
    match node.operator {
        "LinearClassifier" => linear_classifier(node),
        "LinearRegressor" => linear_regressor(node),
        "Scaler" => scaler(node),
        "Normalizer" => normalizer(node),
        "Imputer" => imputer(node),
        "Binarizer" => {
            let threshold = node.float("threshold", 0.0)?;
            Ok(numbers(move |it| f32::from(u8::from(it > threshold))))
        }
        "ArrayFeatureExtractor" => {
            Ok(Box::new(|inputs| Ok(vec![extract(inputs.need(0)?, inputs.need(1)?)?])))
        }
        "FeatureVectorizer" => {
            let widths = node.ints("inputdimensions")?.to_vec();
            Ok(Box::new(move |inputs| Ok(vec![side_by_side(inputs, &widths)?])))
        }
        // Maps from class to probability are no tensors; the probabilities, in the order of the
        // classes, are.
        "ZipMap" => {
            node.without_effect(&["classlabels_strings", "classlabels_int64s"]);
            Ok(Box::new(|inputs| Ok(vec![inputs.need(0)?.clone()])))
        }
        _ => Err(Refusal::Unknown),
    }
}

/// The names of classes, which are numbers or texts.
#[derive(Debug, Clone)]
pub(super) struct Labels(Data);

impl Labels {
    pub(super) fn of(node: &Node<'_>, texts: &str, ints: &str) -> Result<Self, Fault> {
        let (texts, ints) = (node.texts(texts)?, node.ints(ints)?);
        Ok(Self(if texts.is_empty() {
            Data::Int64(ints.to_vec())
        } else {
            Data::Bytes(texts.iter().map(|it| it.to_vec()).collect())
        }))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The labels of rows, by the places of their classes, each of which must exist.
    pub(super) fn of_rows(&self, classes: &[usize]) -> Result<Array, Fault> {
        array(vec![classes.len()], pick(&self.0, classes))
    }
}

/// What is done with scores in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
}

impl Transform {
    pub(super) fn of(node: &Node<'_>) -> Result<Self, Fault> {
        match node.text("post_transform", "NONE")? {
            "NONE" => Ok(Self::None),
            "LOGISTIC" => Ok(Self::Logistic),
            "SOFTMAX" => Ok(Self::Softmax),
            "SOFTMAX_ZERO" => Ok(Self::SoftmaxZero),
            _ => Err("it cannot do what `post_transform` asks for".into()),
        }
    }

    pub(super) fn apply(self, row: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => row.iter_mut().for_each(|it| *it = logistic(*it)),
            Self::Softmax => softmax(row),
            Self::SoftmaxZero => {
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let raised = |it: f32| if it == 0.0 { 0.0 } else { (it - most).exp() };
                row.iter_mut().for_each(|it| *it = raised(*it));
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|it| *it /= sum);
            }
        }
    }
}

/// The place of the first of the largest. Nothing is larger than a first one that is no number.
pub(super) fn winner(scores: &[f32]) -> usize {
    let mut best = 0;
    for (place, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = place;
        }
    }
    best
}

/// Rows times the lines of a model: `lines` sums for each row.
#[derive(Debug)]
struct Lines {
    /// By features, then lines, so that a row of features walks along memory.
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    features: usize,
    lines: usize,
}

impl Lines {
    fn of(node: &Node<'_>, lines: usize) -> Result<Self, Fault> {
        let (given, intercepts) = (node.floats("coefficients")?, node.floats("intercepts")?);
        if lines == 0 || given.is_empty() || given.len() % lines != 0 {
            return Err("its coefficients do not fit its lines".into());
        }
        if !intercepts.is_empty() && intercepts.len() != lines {
            return Err("its intercepts do not fit its lines".into());
        }
        let features = given.len() / lines;
        let turned = (0..given.len()).map(|it| given[it % lines * features + it / lines]);
        let mut intercepts = intercepts.to_vec();
        intercepts.resize(lines, 0.0);
        Ok(Self { coefficients: turned.collect(), intercepts, features, lines })
    }

    fn scores(&self, input: &Array) -> Result<(usize, Vec<f32>), Fault> {
        let (rows, columns) = input.rows()?;
        if columns != self.features {
            return Err(misfit(self.features, columns));
        }
        let mut scores = Vec::with_capacity(room(&[rows, self.lines])?);
        (0..rows).for_each(|_| scores.extend(&self.intercepts));
        multiply(&input.floats()?, &self.coefficients, columns, self.lines, &mut scores);
        Ok((rows, scores))
    }
}

fn linear_classifier(node: &Node<'_>) -> Result<Run, Refusal> {
    let labels = Labels::of(node, "classlabels_strings", "classlabels_ints")?;
    let transform = Transform::of(node)?;
    // What the classes have to do with each other is in `post_transform`.
    node.without_effect(&["multi_class"]);
    let count = node.floats("intercepts")?.len();
    let lines = Lines::of(node, if count == 0 { labels.len() } else { count })?;
    if lines.lines == 1 && labels.len() == 2 {
        if transform != Transform::Logistic {
            return Err("one line for two classes is supported with LOGISTIC only".into());
        }
    } else if lines.lines != labels.len() {
        return Err("its lines do not fit its classes".into());
    }
    Ok(Box::new(move |inputs| {
        let (rows, mut scores) = lines.scores(inputs.need(0)?)?;
        if lines.lines == 1 && labels.len() == 2 {
            scores = scores.into_iter().flat_map(|score| [-score, score]).collect();
        }
        let classes: Vec<usize> = scores.chunks_exact(labels.len()).map(winner).collect();
        scores.chunks_exact_mut(labels.len()).for_each(|row| transform.apply(row));
        Ok(vec![labels.of_rows(&classes)?, made(vec![rows, labels.len()], scores)?])
    }))
}

fn linear_regressor(node: &Node<'_>) -> Result<Run, Refusal> {
    let transform = Transform::of(node)?;
    let targets = usize::try_from(node.int("targets", 1)?).map_err(|_| "it has no targets")?;
    let lines = Lines::of(node, targets)?;
    Ok(Box::new(move |inputs| {
        let (rows, mut scores) = lines.scores(inputs.need(0)?)?;
        scores.chunks_exact_mut(lines.lines).for_each(|row| transform.apply(row));
        Ok(vec![made(vec![rows, lines.lines], scores)?])
    }))
}

fn numbers(f: impl Fn(f32) -> f32 + Send + Sync + 'static) -> Run {
    Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let list = input.floats()?.iter().map(|&it| f(it)).collect();
        Ok(vec![made(input.shape().to_vec(), list)?])
    })
}

/// One value for all columns, or one for each.
fn by_column(values: &[f32], columns: usize) -> Result<impl Fn(usize) -> f32 + '_, Fault> {
    if values.len() != 1 && values.len() != columns {
        return Err(Fault::of_columns(format!("it takes {} columns, not {columns}", values.len())));
    }
    Ok(move |column: usize| if values.len() == 1 { values[0] } else { values[column] })
}

fn scaler(node: &Node<'_>) -> Result<Run, Refusal> {
    let (offset, scale) = (node.floats("offset")?.to_vec(), node.floats("scale")?.to_vec());
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (_, columns) = input.rows()?;
        let (offset, scale) = (by_column(&offset, columns)?, by_column(&scale, columns)?);
        let mut list = input.floats()?.into_owned();
        for row in list.chunks_exact_mut(columns.max(1)) {
            for (column, value) in row.iter_mut().enumerate() {
                *value = (*value - offset(column)) * scale(column);
            }
        }
        Ok(vec![made(input.shape().to_vec(), list)?])
    }))
}

fn normalizer(node: &Node<'_>) -> Result<Run, Refusal> {
    let norm: fn(&[f32]) -> f32 = match node.text("norm", "MAX")? {
        "MAX" => |row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        "L1" => |row| row.iter().map(|it| it.abs()).sum(),
        "L2" => |row| row.iter().map(|it| it * it).sum::<f32>().sqrt(),
        _ => return Err("it does not know its `norm`".into()),
    };
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (_, columns) = input.rows()?;
        let mut list = input.floats()?.into_owned();
        for row in list.chunks_exact_mut(columns.max(1)) {
            let by = norm(row);
            if by != 0.0 {
                row.iter_mut().for_each(|it| *it /= by);
            }
        }
        Ok(vec![made(input.shape().to_vec(), list)?])
    }))
}

fn imputer(node: &Node<'_>) -> Result<Run, Refusal> {
    let instead = node.floats("imputed_value_floats")?.to_vec();
    if instead.is_empty() {
        return Err("it fills in floats only".into());
    }
    let missing = node.float("replaced_value_float", f32::NAN)?;
    // It is about whole numbers.
    node.without_effect(&["replaced_value_int64"]);
    let is_missing = move |it: f32| it == missing || (it.is_nan() && missing.is_nan());
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (_, columns) = input.rows()?;
        let instead = by_column(&instead, columns)?;
        let mut list = input.floats()?.into_owned();
        for (place, value) in list.iter_mut().enumerate() {
            if is_missing(*value) {
                *value = instead(place % columns.max(1));
            }
        }
        Ok(vec![made(input.shape().to_vec(), list)?])
    }))
}

/// Some places of the last axis, by their numbers.
fn extract(input: &Array, wanted: &Array) -> Result<Array, Fault> {
    let Some(last) = input.shape().len().checked_sub(1) else {
        return Err(Fault::of_columns("it takes rows and columns"));
    };
    let columns = input.shape()[last];
    let wanted: Vec<usize> = wanted
        .list::<i64>()?
        .iter()
        .map(|&it| usize::try_from(it).ok().filter(|it| *it < columns))
        .collect::<Option<_>>()
        .ok_or_else(|| Fault::of_columns("it takes a column that there is not"))?;
    let found = taken(input, last, &wanted, &[wanted.len()])?;
    match last {
        // A single axis is one row.
        0 => array(vec![1, wanted.len()], found.data().clone()),
        _ => Ok(found),
    }
}

/// The columns of several arrays in one.
fn side_by_side(inputs: &super::Inputs<'_>, widths: &[i64]) -> Result<Array, Fault> {
    let parts: Vec<&Array> = inputs.0.iter().copied().flatten().collect();
    let shapes = parts.iter().map(|it| it.rows()).collect::<Result<Vec<_>, _>>()?;
    let rows = shapes.first().ok_or("it has no inputs")?.0;
    if shapes.iter().any(|it| it.0 != rows) {
        return Err("its inputs have different numbers of rows".into());
    }
    let fits = |(shape, &width): (&(usize, usize), &i64)| usize::try_from(width) == Ok(shape.1);
    if !widths.is_empty() && (widths.len() != shapes.len() || !shapes.iter().zip(widths).all(fits))
    {
        let what = format!("its inputs have not the {widths:?} columns that it takes");
        return Err(Fault::of_columns(what));
    }
    let lists = parts.iter().map(|it| it.floats()).collect::<Result<Vec<_>, _>>()?;
    let shape = vec![rows, shapes.iter().map(|it| it.1).sum()];
    let mut list = Vec::<f32>::with_capacity(room(&shape)?);
    for row in 0..rows {
        for (part, (_, columns)) in lists.iter().zip(&shapes) {
            list.extend(&part[row * columns..][..*columns]);
        }
    }
    made(shape, list)
}
