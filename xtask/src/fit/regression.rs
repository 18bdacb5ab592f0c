//! Logistic regression by Newton's method: the same weights on every machine, in a few steps.

use super::{Case, FEATURES};

/// The weights' squares cost this much. Without it the halves can be told apart perfectly, and the
/// weights grow without end.
pub const PENALTY: f64 = 1.0;

/// Newton's method doubles the right digits at each step; this is twice what it takes.
const STEPS: usize = 20;

/// Weights, bias last.
const SIZE: usize = FEATURES.len() + 1;

pub struct Fitted {
    terms: Vec<Term>,
    bias: f64,
}

/// What one feature adds: `weight * (value - mean) / scale`.
pub struct Term {
    pub mean: f64,
    pub scale: f64,
    pub weight: f64,
}

impl Fitted {
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub fn bias(&self) -> f64 {
        self.bias
    }

    /// How likely the case is malignant.
    pub fn risk(&self, features: &[f64]) -> f64 {
        let terms = self.terms.iter().zip(features);
        let sum: f64 =
            terms.map(|(term, value)| term.weight * (value - term.mean) / term.scale).sum();
        logistic(self.bias + sum)
    }
}

pub fn fit(cases: &[&Case]) -> Fitted {
    let scales: Vec<(f64, f64)> = (0..FEATURES.len()).map(|at| mean_and_scale(cases, at)).collect();
    let rows: Vec<([f64; SIZE], f64)> = cases
        .iter()
        .map(|case| {
            let mut row = [1.0; SIZE];
            for (at, (mean, scale)) in scales.iter().enumerate() {
                row[at] = (case.features[at] - mean) / scale;
            }
            (row, f64::from(u8::from(case.malignant)))
        })
        .collect();
    let mut weights = [0.0; SIZE];
    for _ in 0..STEPS {
        let (slope, curvature) = slope_and_curvature(&rows, &weights);
        let step = solve(curvature, slope);
        for (weight, step) in weights.iter_mut().zip(step) {
            *weight -= step;
        }
    }
    let terms =
        scales.iter().zip(weights).map(|(&(mean, scale), weight)| Term { mean, scale, weight });
    Fitted { terms: terms.collect(), bias: weights[SIZE - 1] }
}

fn mean_and_scale(cases: &[&Case], at: usize) -> (f64, f64) {
    let count = cases.len() as f64;
    let mean = cases.iter().map(|case| case.features[at]).sum::<f64>() / count;
    let variance = cases.iter().map(|case| (case.features[at] - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// First and second derivatives of the penalised loss.
fn slope_and_curvature(
    rows: &[([f64; SIZE], f64)],
    weights: &[f64; SIZE],
) -> ([f64; SIZE], [[f64; SIZE]; SIZE]) {
    let (mut slope, mut curvature) = ([0.0; SIZE], [[0.0; SIZE]; SIZE]);
    for (row, truth) in rows {
        let risk = logistic(row.iter().zip(weights).map(|(value, weight)| value * weight).sum());
        for left in 0..SIZE {
            slope[left] += (risk - truth) * row[left];
            for right in 0..SIZE {
                curvature[left][right] += risk * (1.0 - risk) * row[left] * row[right];
            }
        }
    }
    // The bias is not penalised: it only says how common the disease is.
    for at in 0..SIZE - 1 {
        slope[at] += PENALTY * weights[at];
        curvature[at][at] += PENALTY;
    }
    (slope, curvature)
}

/// Gaussian elimination. The matrix is positive definite, so no row needs to be exchanged.
fn solve(mut matrix: [[f64; SIZE]; SIZE], mut right: [f64; SIZE]) -> [f64; SIZE] {
    for pivot in 0..SIZE {
        let above = matrix[pivot];
        for row in pivot + 1..SIZE {
            let factor = matrix[row][pivot] / above[pivot];
            for (value, above) in matrix[row].iter_mut().zip(above).skip(pivot) {
                *value -= factor * above;
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..SIZE).rev() {
        let known: f64 = (row + 1..SIZE).map(|at| matrix[row][at] * right[at]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}
