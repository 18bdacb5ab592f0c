//! Support vector machines, as libsvm defines them.

use super::classic::Labels;
use super::linear::dot;
use super::{Fault, Refusal, Run, made, misfit, room};
use crate::onnx::format::Node;

/// Classes of one machine. Its pairs are square in number.
const CLASSES_MAX: usize = 256;

#[derive(Debug, Clone, Copy)]
enum Kernel {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

#[derive(Debug)]
struct Vectors {
    list: Vec<f32>,
    features: usize,
    kernel: Kernel,
    gamma: f32,
    offset: f32,
    degree: f32,
}

impl Vectors {
    fn of(node: &Node<'_>, count: usize) -> Result<Self, Fault> {
        let list = node.floats("support_vectors")?.to_vec();
        if count == 0 || list.is_empty() || list.len() % count != 0 {
            return Err("its support vectors do not fit their number".into());
        }
        let kernel = match node.text("kernel_type", "LINEAR")? {
            "LINEAR" => Kernel::Linear,
            "POLY" => Kernel::Poly,
            "RBF" => Kernel::Rbf,
            "SIGMOID" => Kernel::Sigmoid,
            _ => return Err("it does not know its kernel".into()),
        };
        let params = node.floats("kernel_params")?;
        let param = |place: usize| params.get(place).copied().unwrap_or(0.0);
        let (gamma, offset, degree) = (param(0), param(1), param(2));
        Ok(Self { features: list.len() / count, list, kernel, gamma, offset, degree })
    }

    fn kernels(&self, row: &[f32]) -> Vec<f32> {
        let kernel = |vector: &[f32]| match self.kernel {
            Kernel::Linear => dot(row, vector),
            Kernel::Poly => (self.gamma * dot(row, vector) + self.offset).powf(self.degree),
            Kernel::Sigmoid => (self.gamma * dot(row, vector) + self.offset).tanh(),
            Kernel::Rbf => {
                let apart: f32 = row.iter().zip(vector).map(|(a, b)| (a - b) * (a - b)).sum();
                (-self.gamma * apart).exp()
            }
        };
        self.list.chunks_exact(self.features).map(kernel).collect()
    }

    fn check(&self, columns: usize) -> Result<(), Fault> {
        if columns == self.features {
            return Ok(());
        }
        Err(misfit(self.features, columns))
    }
}

/// A line between each two classes.
#[derive(Debug)]
struct Pairs {
    vectors: Vectors,
    /// Where the vectors of each class begin, and where the last ones end.
    starts: Vec<usize>,
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    prob_a: Vec<f32>,
    prob_b: Vec<f32>,
}

impl Pairs {
    fn of(node: &Node<'_>, classes: usize) -> Result<Self, Fault> {
        let per_class = node.ints("vectors_per_class")?;
        if per_class.len() != classes || !(2..=CLASSES_MAX).contains(&classes) {
            return Err("its vectors do not fit its classes".into());
        }
        let mut starts = vec![0_usize];
        for &count in per_class {
            let count = usize::try_from(count).map_err(|_| "a class has a negative number")?;
            let last = starts[starts.len() - 1];
            starts.push(last.checked_add(count).ok_or("a class has too many vectors")?);
        }
        let all = starts[classes];
        let vectors = Vectors::of(node, all)?;
        let pairs = classes * (classes - 1) / 2;
        let list = |name| node.floats(name).map(<[f32]>::to_vec);
        let (coefficients, rho) = (list("coefficients")?, list("rho")?);
        let (prob_a, prob_b) = (list("prob_a")?, list("prob_b")?);
        if prob_a.is_empty() {
            return Err("it gives no probabilities; train it with `probability=True`".into());
        }
        let fits = coefficients.len() == (classes - 1) * all
            && [rho.len(), prob_a.len(), prob_b.len()].iter().all(|it| *it == pairs);
        if !fits {
            return Err("its lists do not fit its classes".into());
        }
        Ok(Self { vectors, starts, coefficients, rho, prob_a, prob_b })
    }

    /// The class with most votes, and the probability of each.
    fn decide(&self, row: &[f32]) -> (usize, Vec<f32>) {
        let classes = self.starts.len() - 1;
        let all = self.starts[classes];
        let kernels = self.vectors.kernels(row);
        let mut votes = vec![0_u32; classes];
        let mut chances = vec![0.0; classes * classes];
        let pairs = (0..classes).flat_map(|a| (a + 1..classes).map(move |b| (a, b)));
        for (pair, (a, b)) in pairs.enumerate() {
            let part = |class: usize, line: usize| {
                let own = self.starts[class]..self.starts[class + 1];
                let coefficients = &self.coefficients[line * all..][own.clone()];
                dot(coefficients, &kernels[own])
            };
            let score = part(a, b - 1) + part(b, a) + self.rho[pair];
            votes[if score > 0.0 { a } else { b }] += 1;
            let exponent = f64::from(score * self.prob_a[pair] + self.prob_b[pair]);
            let chance = (1.0 / (1.0 + exponent.exp())).clamp(1e-7, 1.0 - 1e-7);
            chances[a * classes + b] = chance;
            chances[b * classes + a] = 1.0 - chance;
        }
        let most = votes.iter().max().copied().unwrap_or(0);
        let best = votes.iter().position(|it| *it == most).unwrap_or(0);
        (best, coupled(classes, &chances).into_iter().map(|it| it as f32).collect())
    }
}

/// Probabilities of classes from those of pairs: the second method of Wu, Lin and Weng (2004).
fn coupled(classes: usize, chances: &[f64]) -> Vec<f64> {
    let at = |a: usize, b: usize| chances[a * classes + b];
    let mut q = vec![0.0; classes * classes];
    for a in 0..classes {
        for b in (0..classes).filter(|b| *b != a) {
            q[a * classes + a] += at(b, a) * at(b, a);
            q[a * classes + b] = -at(b, a) * at(a, b);
        }
    }
    let mut p = vec![1.0 / classes as f64; classes];
    for _ in 0..classes.max(100) {
        let mut qp: Vec<f64> = q
            .chunks_exact(classes)
            .map(|row| row.iter().zip(&p).map(|(q, p)| q * p).sum())
            .collect();
        let mut pqp: f64 = qp.iter().zip(&p).map(|(qp, p)| qp * p).sum();
        if qp.iter().all(|it| (it - pqp).abs() < 0.005 / classes as f64) {
            break;
        }
        for class in 0..classes {
            let own = q[class * classes + class];
            let step = (pqp - qp[class]) / own;
            p[class] += step;
            pqp = (pqp + step * (step * own + 2.0 * qp[class])) / ((1.0 + step) * (1.0 + step));
            for other in 0..classes {
                qp[other] = (qp[other] + step * q[class * classes + other]) / (1.0 + step);
                p[other] /= 1.0 + step;
            }
        }
    }
    p
}

pub(super) fn classifier(node: &Node<'_>) -> Result<Run, Refusal> {
    let labels = Labels::of(node, "classlabels_strings", "classlabels_ints")?;
    let classes = labels.len();
    let pairs = Pairs::of(node, classes)?;
    if node.text("post_transform", "NONE")? != "NONE" {
        return Err("it cannot do what `post_transform` asks for".into());
    }
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (rows, columns) = input.rows()?;
        pairs.vectors.check(columns)?;
        let mut scores = Vec::with_capacity(room(&[rows, classes])?);
        let mut winners = Vec::with_capacity(rows);
        for row in input.floats()?.chunks_exact(columns) {
            let (best, chances) = pairs.decide(row);
            winners.push(best);
            scores.extend(chances);
        }
        Ok(vec![labels.of_rows(&winners)?, made(vec![rows, classes], scores)?])
    }))
}

pub(super) fn regressor(node: &Node<'_>) -> Result<Run, Refusal> {
    let coefficients = node.floats("coefficients")?.to_vec();
    let supports = node.int("n_supports", coefficients.len() as i64)?;
    if usize::try_from(supports) != Ok(coefficients.len()) {
        return Err("its coefficients do not fit its support vectors".into());
    }
    if node.text("post_transform", "NONE")? != "NONE" {
        return Err("it cannot do what `post_transform` asks for".into());
    }
    let vectors = Vectors::of(node, coefficients.len())?;
    let rho = node.floats("rho")?.first().copied().unwrap_or(0.0);
    let one_class = node.int("one_class", 0)? != 0;
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (rows, columns) = input.rows()?;
        vectors.check(columns)?;
        let values = input.floats()?;
        let answer = |row: &[f32]| match dot(&vectors.kernels(row), &coefficients) + rho {
            sum if one_class => {
                if sum > 0.0 {
                    1.0
                } else {
                    -1.0
                }
            }
            sum => sum,
        };
        Ok(vec![made(vec![rows, 1], values.chunks_exact(columns).map(answer).collect::<Vec<_>>())?])
    }))
}
