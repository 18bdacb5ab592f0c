//! Products of matrices.

use super::pointwise::Stretch;
use super::{Fault, Inputs, Refusal, Run, made, room};
use crate::onnx::format::Node;
use crate::tensor::{Array, Data};

pub(super) fn build(node: &Node<'_>) -> Result<Run, Refusal> {
    match node.operator {
        "MatMul" => Ok(Box::new(|inputs| Ok(vec![matmul(inputs.need(0)?, inputs.need(1)?)?]))),
        _ => gemm(node),
    }
}

fn matmul(a: &Array, b: &Array) -> Result<Array, Fault> {
    match (a.data(), b.data()) {
        (Data::Fp64(left), Data::Fp64(right)) => batched(a, left, b, right),
        _ => batched(a, a.list::<f32>()?, b, b.list::<f32>()?),
    }
}

/// Matrices of the last two axes; the axes before are stretched.
fn batched<T: Number>(a: &Array, left: &[T], b: &Array, right: &[T]) -> Result<Array, Fault> {
    let (outer_a, rows, inner) = match *a.shape() {
        [ref outer @ .., rows, inner] => (outer, rows, inner),
        [inner] => (&[][..], 1, inner),
        [] => return Err("it takes matrices".into()),
    };
    let (outer_b, inner_b, columns) = match *b.shape() {
        [ref outer @ .., inner, columns] => (outer, inner, columns),
        [inner] => (&[][..], inner, 1),
        [] => return Err("it takes matrices".into()),
    };
    if inner != inner_b {
        let (a, b) = (a.shape(), b.shape());
        return Err(format!("the shapes {a:?} and {b:?} do not fit").into());
    }
    let outer = Stretch::of(outer_a, outer_b)?;
    let mut shape = outer.shape.clone();
    shape.extend([rows, columns]);
    let mut product = vec![T::default(); room(&shape)?];
    let size = (rows * columns).max(1);
    for (place, (a, b)) in product.chunks_exact_mut(size).zip(outer.places()) {
        let left = &left[a * rows * inner..][..rows * inner];
        let right = &right[b * inner * columns..][..inner * columns];
        multiply(left, right, inner, columns, place);
    }
    // A single axis was taken as a matrix of one row or column.
    if b.shape().len() == 1 {
        shape.pop();
    }
    if a.shape().len() == 1 {
        let rows = shape.len() - usize::from(b.shape().len() != 1) - 1;
        shape.remove(rows);
    }
    made(shape, product)
}

pub(super) trait Number:
    super::Element + Default + std::ops::Mul<Output = Self> + std::ops::AddAssign
{
}
impl Number for f32 {}
impl Number for f64 {}

/// Adds `left` × `right` to `product`, all by rows.
///
/// The innermost loop goes along rows of `right` and `product`, which compilers turn into vector
/// instructions; four rows of `right` at once spare three of four visits to `product`.
pub(super) fn multiply<T: Number>(
    left: &[T],
    right: &[T],
    inner: usize,
    columns: usize,
    product: &mut [T],
) {
    if inner == 0 || columns == 0 {
        return;
    }
    for (left, product) in left.chunks_exact(inner).zip(product.chunks_exact_mut(columns)) {
        let mut fours = left.chunks_exact(4).zip(right.chunks_exact(4 * columns));
        for (factors, rows) in &mut fours {
            let (one, rest) = rows.split_at(columns);
            let (two, rest) = rest.split_at(columns);
            let (three, four) = rest.split_at(columns);
            let rows = one.iter().zip(two).zip(three).zip(four);
            for (sum, (((one, two), three), four)) in product.iter_mut().zip(rows) {
                let mut more = factors[0] * *one;
                more += factors[1] * *two;
                more += factors[2] * *three;
                more += factors[3] * *four;
                *sum += more;
            }
        }
        let done = inner - inner % 4;
        for (factor, row) in left[done..].iter().zip(right[done * columns..].chunks_exact(columns))
        {
            for (sum, value) in product.iter_mut().zip(row) {
                *sum += *factor * *value;
            }
        }
    }
}

fn gemm(node: &Node<'_>) -> Result<Run, Refusal> {
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let (turn_a, turn_b) = (node.int("transA", 0)? != 0, node.int("transB", 0)? != 0);
    Ok(Box::new(move |inputs| {
        let a = matrix(inputs.need(0)?, turn_a)?;
        let b = inputs.need(1)?;
        let mut product = if turn_b { by_rows(&a, b)? } else { matmul(&a, &*matrix(b, false)?)? };
        if alpha != 1.0 {
            product = scaled(&product, alpha)?;
        }
        Ok(vec![with_bias(product, inputs, beta)?])
    }))
}

/// `a` times `b` turned, as PyTorch writes its layers: row by row, without turning.
fn by_rows(a: &Array, b: &Array) -> Result<Array, Fault> {
    let ([rows, inner], [columns, inner_b]) = (a.shape(), b.shape()) else {
        return Err("it takes matrices".into());
    };
    if inner != inner_b {
        return Err(format!("the shapes {:?} and {:?} do not fit", a.shape(), b.shape()).into());
    }
    let (left, right) = (a.list::<f32>()?, b.list::<f32>()?);
    let mut product = Vec::with_capacity(room(&[*rows, *columns])?);
    let inner = (*inner).max(1);
    for row in left.chunks_exact(inner) {
        product.extend(right.chunks_exact(inner).map(|column| dot(row, column)));
    }
    product.resize(rows * columns, 0.0);
    made(vec![*rows, *columns], product)
}

/// Sums side by side, since the order of one sum of floats may not be changed by a compiler.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (wide_a, rest_a) = a.as_chunks::<LANES>();
    let (wide_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in wide_a.iter().zip(wide_b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

fn matrix(array: &Array, turn: bool) -> Result<std::borrow::Cow<'_, Array>, Fault> {
    use std::borrow::Cow;
    let [rows, columns] = *array.shape() else { return Err("it takes matrices".into()) };
    if !turn {
        return Ok(Cow::Borrowed(array));
    }
    let list = array.list::<f32>()?;
    let mut turned = Vec::with_capacity(list.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| list[row * columns + column]));
    }
    Ok(Cow::Owned(made(vec![columns, rows], turned)?))
}

fn scaled(array: &Array, by: f32) -> Result<Array, Fault> {
    let list = array.list::<f32>()?.iter().map(|it| by * it).collect();
    made(array.shape().to_vec(), list)
}

fn with_bias(product: Array, inputs: &Inputs<'_>, beta: f32) -> Result<Array, Fault> {
    let Some(bias) = inputs.get(2) else { return Ok(product) };
    let bias = if beta == 1.0 { bias.clone() } else { scaled(bias, beta)? };
    let stretch = Stretch::of(product.shape(), bias.shape())?;
    if stretch.shape != product.shape() {
        return Err("the bias does not fit".into());
    }
    let (sums, more) = (product.list::<f32>()?, bias.list::<f32>()?);
    let list = stretch.places().map(|(sum, bias)| sums[sum] + more[bias]).collect();
    made(stretch.shape, list)
}
