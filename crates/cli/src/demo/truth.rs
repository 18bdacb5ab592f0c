//! What the run must come to, worked out without it: from the cases, the intake and the model alone.

use std::collections::BTreeSet;

use inference::{Data, Model as _, Onnx, Stop, Tensor};
use serde::Deserialize;
use serde_json::Value;

use super::bundle;

/// What is true of the intake.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    pub rows: u64,
    /// Numbers of the rows that are no cases. The first row is 1.
    pub broken: BTreeSet<u64>,
    pub cases: u64,
    /// Rows whose case is at the threshold or above.
    pub referred: BTreeSet<u64>,
    pub held_out: HeldOut,
}

/// Right and wrong on the half of the cases on which the model was not fitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldOut {
    pub cases: u64,
    pub true_positives: u64,
    pub false_positives: u64,
    pub true_negatives: u64,
    pub false_negatives: u64,
    #[serde(default)]
    pub accuracy: f64,
}

#[derive(Deserialize)]
struct Weights {
    bias: f64,
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    mean: f64,
    scale: f64,
    weight: f64,
}

/// `risks` are those of the cases, in their order.
#[must_use]
pub fn truth(cases: &str, intake: &[u8], risks: &[f64], threshold: f64) -> Truth {
    let mut cases = cases.lines().skip(1).zip(risks).peekable();
    let mut truth = Truth {
        rows: 0,
        broken: BTreeSet::new(),
        cases: 0,
        referred: BTreeSet::new(),
        held_out: HeldOut::default(),
    };
    let lines = intake.strip_suffix(b"\n").unwrap_or(intake).split(|byte| *byte == b'\n');
    for line in lines.skip(1) {
        truth.rows += 1;
        match cases.next_if(|(case, _)| case.as_bytes() == line) {
            None => {
                truth.broken.insert(truth.rows);
            }
            Some((case, risk)) => truth.count(case, *risk >= threshold),
        }
    }
    truth.held_out.reckon();
    truth
}

/// What the run of the first act must come to: how often the model is right is what the script that trained it
/// has written down.
#[must_use]
pub fn of_the_example() -> Truth {
    let risks = onnx_risks(bundle::CASES, bundle::RISK);
    let truth = truth(bundle::CASES, bundle::INTAKE, &risks, bundle::THRESHOLD);
    Truth { held_out: reference(bundle::EXPECTED), ..truth }
}

/// Of logistic weights. They are an example's own, so a form that does not fit is a mistake of ours.
#[must_use]
pub fn risks(cases: &str, model: &Value) -> Vec<f64> {
    let model = Weights::deserialize(model).expect("the example's model has this form");
    cases.lines().skip(1).map(|case| model.risk(&numbers(case))).collect()
}

/// Of a model that is asked here, in one batch and without a site.
fn onnx_risks(cases: &str, model: &[u8]) -> Vec<f64> {
    let rows: Vec<Vec<f32>> = cases.lines().skip(1).map(features).collect();
    let (height, width) = (rows.len(), rows.first().map_or(0, Vec::len));
    let features = Tensor::new("features", vec![height, width], Data::Fp32(rows.concat()));
    let features = features.expect("rows of one length");
    let model = Onnx::load(model).expect("a test loads it");
    let outputs = model.infer(vec![features], &Stop::default()).expect("it takes such rows");
    let chances = outputs.into_iter().find(|it| it.name == "probabilities");
    let Some(Data::Fp32(chances)) = chances.map(|it| it.values.into_data()) else {
        return Vec::new();
    };
    chances.chunks(2).map(|row| f64::from(row[1])).collect()
}

fn features(case: &str) -> Vec<f32> {
    let mut numbers: Vec<f32> = case.split(',').filter_map(|field| field.parse().ok()).collect();
    numbers.pop();
    numbers
}

fn numbers(case: &str) -> Vec<f64> {
    case.split(',').filter_map(|field| field.parse().ok()).collect()
}

/// Classes and answers, by the script.
fn reference(expected: &str) -> HeldOut {
    let mut held_out = HeldOut::default();
    for line in expected.lines().skip(1) {
        let mut fields = line.split(',').skip(1).map(|word| word == "malignant");
        if let (Some(class), Some(label)) = (fields.next(), fields.next()) {
            held_out.count(class, label);
        }
    }
    held_out.reckon();
    held_out
}

impl Truth {
    fn count(&mut self, case: &str, positive: bool) {
        let malignant = numbers(case).last() == Some(&0.0);
        self.cases += 1;
        if positive {
            self.referred.insert(self.rows);
        }
        // Models were fitted on the odd-numbered cases.
        if self.cases.is_multiple_of(2) {
            self.held_out.count(malignant, positive);
        }
    }
}

impl HeldOut {
    fn count(&mut self, malignant: bool, positive: bool) {
        self.cases += 1;
        *match (malignant, positive) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (false, false) => &mut self.true_negatives,
            (true, false) => &mut self.false_negatives,
        } += 1;
    }

    fn reckon(&mut self) {
        self.accuracy = (self.true_positives + self.true_negatives) as f64 / self.cases as f64;
    }
}

impl Weights {
    fn risk(&self, values: &[f64]) -> f64 {
        let terms = self.features.iter().zip(values);
        let sum: f64 = terms
            .map(|(feature, value)| feature.weight * (value - feature.mean) / feature.scale)
            .sum();
        1.0 / (1.0 + (-self.bias - sum).exp())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Mutation: count a spoiled row as a case, take the odd half, or class 1 for malignant.
    #[test]
    fn rows_cases_and_halves_are_told_apart() {
        let model =
            json!({ "bias": 0.0, "features": [{ "mean": 10.0, "scale": 2.0, "weight": 1.0 }] });
        let cases = "head\n12,0\n8,1\n11,1\n14,0\n";
        let intake = b"head\n12,0\n-8,1\n8,1\n11,1\n\xff\n14,0\n";
        let truth = truth(cases, intake, &risks(cases, &model), 0.5);
        assert_eq!((truth.rows, truth.cases), (6, 4));
        assert_eq!(truth.broken, BTreeSet::from([2, 5]));
        assert_eq!(truth.referred, BTreeSet::from([1, 4, 6]));
        let HeldOut { cases, true_positives, true_negatives, accuracy, .. } = truth.held_out;
        assert_eq!((cases, true_positives, true_negatives, accuracy), (2, 1, 1, 1.0));
    }

    /// Mutation: drop a case from the intake, spoil a real one, or take another answer of the model for the risk.
    #[test]
    fn the_example_has_all_real_cases_and_twelve_broken_rows() {
        let truth = of_the_example();
        assert_eq!((truth.rows, truth.cases, truth.broken.len()), (581, 569, 12));
        assert_eq!(truth.held_out.true_positives + truth.held_out.true_negatives, 272);
        let risks = onnx_risks(bundle::CASES, bundle::RISK);
        let by_us = super::truth(bundle::CASES, bundle::INTAKE, &risks, bundle::THRESHOLD);
        assert_eq!(by_us.held_out, truth.held_out);
    }
}
