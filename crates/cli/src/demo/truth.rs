//! What the run must come to, worked out without it: from the cases, the intake and the model alone.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

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
struct Model {
    bias: f64,
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    mean: f64,
    scale: f64,
    weight: f64,
}

/// `cases` and `model` are the example's own, so a form that does not fit is a mistake of ours.
#[must_use]
pub fn truth(cases: &str, intake: &[u8], model: &Value, threshold: f64) -> Truth {
    let model = Model::deserialize(model).expect("the example's model has this form");
    let mut cases = cases.lines().skip(1).peekable();
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
        match cases.next_if(|case| case.as_bytes() == line) {
            None => {
                truth.broken.insert(truth.rows);
            }
            Some(case) => truth.count(case, &model, threshold),
        }
    }
    let held_out = &mut truth.held_out;
    held_out.accuracy =
        (held_out.true_positives + held_out.true_negatives) as f64 / held_out.cases as f64;
    truth
}

impl Truth {
    fn count(&mut self, case: &str, model: &Model, threshold: f64) {
        let mut numbers: Vec<f64> =
            case.split(',').filter_map(|field| field.parse().ok()).collect();
        let malignant = numbers.pop() == Some(0.0);
        let positive = model.risk(&numbers) >= threshold;
        self.cases += 1;
        if positive {
            self.referred.insert(self.rows);
        }
        // The model was fitted on the odd-numbered cases.
        if self.cases.is_multiple_of(2) {
            let held_out = &mut self.held_out;
            held_out.cases += 1;
            *match (malignant, positive) {
                (true, true) => &mut held_out.true_positives,
                (false, true) => &mut held_out.false_positives,
                (false, false) => &mut held_out.true_negatives,
                (true, false) => &mut held_out.false_negatives,
            } += 1;
        }
    }
}

impl Model {
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

    use super::super::bundle;
    use super::*;

    /// Mutation: count a spoiled row as a case, take the odd half, or class 1 for malignant.
    #[test]
    fn rows_cases_and_halves_are_told_apart() {
        let model =
            json!({ "bias": 0.0, "features": [{ "mean": 10.0, "scale": 2.0, "weight": 1.0 }] });
        let cases = "head\n12,0\n8,1\n11,1\n14,0\n";
        let intake = b"head\n12,0\n-8,1\n8,1\n11,1\n\xff\n14,0\n";
        let truth = truth(cases, intake, &model, 0.5);
        assert_eq!((truth.rows, truth.cases), (6, 4));
        assert_eq!(truth.broken, BTreeSet::from([2, 5]));
        assert_eq!(truth.referred, BTreeSet::from([1, 4, 6]));
        let HeldOut { cases, true_positives, true_negatives, accuracy, .. } = truth.held_out;
        assert_eq!((cases, true_positives, true_negatives, accuracy), (2, 1, 1, 1.0));
    }

    /// Mutation: drop a case from the intake, or spoil a real one.
    #[test]
    fn the_example_has_all_real_cases_and_twelve_broken_rows() {
        let truth = truth(bundle::CASES, bundle::INTAKE, &bundle::model(), bundle::THRESHOLD);
        assert_eq!((truth.rows, truth.cases, truth.broken.len()), (581, 569, 12));
        assert!(truth.held_out.accuracy >= 0.95, "{:?}", truth.held_out);
    }
}
