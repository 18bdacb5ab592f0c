//! `cargo xtask fit`: writes what the example `tumour-screening` is given, from its real cases alone.
//!
//! The spoiled rows of the intake are in `fit/intake`, the model in `fit/regression`. The results are
//! committed; a test makes both again and compares.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

mod intake;
mod regression;

use regression::Fitted;

/// The columns of `cases.csv`, which has no line with their names: of every case the mean, the
/// standard error and the worst of ten properties of its cell nuclei.
const FEATURES: [&str; 30] = [
    "mean_radius",
    "mean_texture",
    "mean_perimeter",
    "mean_area",
    "mean_smoothness",
    "mean_compactness",
    "mean_concavity",
    "mean_concave_points",
    "mean_symmetry",
    "mean_fractal_dimension",
    "error_radius",
    "error_texture",
    "error_perimeter",
    "error_area",
    "error_smoothness",
    "error_compactness",
    "error_concavity",
    "error_concave_points",
    "error_symmetry",
    "error_fractal_dimension",
    "worst_radius",
    "worst_texture",
    "worst_perimeter",
    "worst_area",
    "worst_smoothness",
    "worst_compactness",
    "worst_concavity",
    "worst_concave_points",
    "worst_symmetry",
    "worst_fractal_dimension",
];

/// One real case.
struct Case {
    features: Vec<f64>,
    malignant: bool,
}

/// Writes `intake.csv` and `model.json` beside the cases.
pub fn run() -> Result<()> {
    let text = fs::read_to_string(folder().join("cases.csv")).context("cannot read the cases")?;
    let cases = parse(&text)?;
    let (learned, held_out) = halves(&cases);
    let fitted = regression::fit(&learned);
    let right =
        held_out.iter().filter(|case| (fitted.risk(&case.features) >= 0.5) == case.malignant);
    let (right, of) = (right.count(), held_out.len());

    write("model.json", format!("{:#}\n", model(&fitted, learned.len())).as_bytes())?;
    write("intake.csv", &intake::with_spoiled_rows(&text)?)?;
    println!("fitted on {} cases; right on {right} of the other {of}", learned.len());
    Ok(())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/tumour-screening")
}

fn write(name: &str, bytes: &[u8]) -> Result<()> {
    fs::write(folder().join(name), bytes).with_context(|| format!("cannot write `{name}`"))?;
    println!("wrote examples/tumour-screening/{name}, {} bytes", bytes.len());
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Case>> {
    text.lines()
        .skip(1)
        .enumerate()
        .map(|(at, line)| {
            let numbers: Result<Vec<f64>, _> = line.split(',').map(str::parse).collect();
            let mut features = numbers
                .with_context(|| format!("case {} holds a field that is no number", at + 1))?;
            ensure!(
                features.len() == FEATURES.len() + 1,
                "case {} has {} fields",
                at + 1,
                features.len()
            );
            let malignant = features.pop() == Some(0.0);
            Ok(Case { features, malignant })
        })
        .collect()
}

/// The odd-numbered cases (1st, 3rd, …), on which the model is fitted, and the others.
fn halves(cases: &[Case]) -> (Vec<&Case>, Vec<&Case>) {
    (cases.iter().step_by(2).collect(), cases.iter().skip(1).step_by(2).collect())
}

fn model(fitted: &Fitted, cases: usize) -> Value {
    let features = FEATURES.iter().zip(fitted.terms()).map(|(name, term)| {
        json!({
            "name": name,
            "mean": readable(term.mean),
            "scale": readable(term.scale),
            "weight": readable(term.weight),
        })
    });
    let model = json!({
        "predicts": "malignant",
        "fitted": {
            "on": "the odd-numbered cases of cases.csv (1st, 3rd, ...)",
            "cases": cases,
            "penalty": regression::PENALTY,
        },
        "bias": readable(fitted.bias()),
        "features": features.collect::<Vec<_>>(),
    });
    // As it stands in the input of a run.
    json!({ "model": model })
}

/// Nine decimals: far finer than the data, and the same text whatever the last bits are.
fn readable(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Vec<u8> {
        fs::read(folder().join(name)).expect("the example is complete")
    }

    fn cases() -> String {
        String::from_utf8(read("cases.csv")).expect("the cases are text")
    }

    /// Mutation: fit on the even-numbered cases, drop the penalty, or stop after two steps.
    #[test]
    fn the_model_of_the_example_is_the_one_that_follows_from_its_cases() {
        let cases = parse(&cases()).expect("the cases are good");
        assert_eq!(cases.len(), 569);
        let (learned, held_out) = halves(&cases);
        assert_eq!((learned.len(), held_out.len()), (285, 284));
        let again = model(&regression::fit(&learned), learned.len());
        let committed: Value =
            serde_json::from_slice(&read("model.json")).expect("the model is JSON");
        assert_close(&committed, &again, "");
    }

    fn assert_close(left: &Value, right: &Value, place: &str) {
        match (left, right) {
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (a.as_f64().expect("a float"), b.as_f64().expect("a float"));
                assert!((a - b).abs() <= 1e-6, "{place}: {a} and {b}");
            }
            (Value::Array(a), Value::Array(b)) => {
                assert_eq!(a.len(), b.len(), "{place}");
                for (at, (a, b)) in a.iter().zip(b).enumerate() {
                    assert_close(a, b, &format!("{place}/{at}"));
                }
            }
            (Value::Object(a), Value::Object(b)) => {
                assert_eq!(a.len(), b.len(), "{place}");
                for (name, a) in a {
                    assert_close(a, &b[name], &format!("{place}/{name}"));
                }
            }
            (a, b) => assert_eq!(a, b, "{place}"),
        }
    }

    /// Mutation: change the sign of a weight, or leave the standardisation out.
    #[test]
    fn the_model_is_right_on_the_half_that_it_has_not_seen() {
        let cases = parse(&cases()).expect("the cases are good");
        let (learned, held_out) = halves(&cases);
        let fitted = regression::fit(&learned);
        let right = held_out
            .iter()
            .filter(|case| (fitted.risk(&case.features) >= 0.5) == case.malignant)
            .count();
        assert!(right * 100 >= held_out.len() * 95, "{right} of {}", held_out.len());
    }

    /// Mutation: exchange a spoiled row for a good one, or let it replace the case that it spoils.
    #[test]
    fn the_intake_is_the_cases_and_the_spoiled_rows() {
        let again = intake::with_spoiled_rows(&cases()).expect("the cases are good");
        assert_eq!(again, read("intake.csv"));
        let kept: Vec<&[u8]> = cases_within(&again);
        let all = cases();
        assert_eq!(kept, all.lines().skip(1).map(str::as_bytes).collect::<Vec<_>>());
    }

    /// The rows of the intake that are cases of the real file, in order.
    fn cases_within(intake: &[u8]) -> Vec<&[u8]> {
        let all = cases();
        let mut rest = all.lines().skip(1).peekable();
        let lines = intake.split(|byte| *byte == b'\n').skip(1);
        lines.filter(|line| rest.next_if(|case| case.as_bytes() == *line).is_some()).collect()
    }
}
