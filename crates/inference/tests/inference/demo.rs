//! The model that the repository ships, beside what scikit-learn and onnxruntime said of each case.

use inference::{Data, InferError, Model, Onnx, Stop, Tensor};

use crate::repository;

fn model() -> Onnx {
    let file = std::fs::read(repository("testing/models/tumour-risk/tumour-risk.onnx")).unwrap();
    Onnx::load(&file).unwrap()
}

fn cases() -> Vec<Vec<f32>> {
    let text = std::fs::read_to_string(repository("examples/tumour-screening/cases.csv")).unwrap();
    let row = |line: &str| line.split(',').take(30).map(|it| it.parse().unwrap()).collect();
    text.lines().skip(1).map(row).collect()
}

/// Label and probability of the second class, `malignant`, for each row.
fn ask(model: &Onnx, rows: &[Vec<f32>]) -> Vec<(String, f32)> {
    let features = Data::Fp32(rows.concat());
    let input = Tensor::new("features", vec![rows.len(), 30], features).unwrap();
    let outputs = model.infer(vec![input], &Stop::default()).unwrap();
    let [labels, chances] = outputs.try_into().unwrap();
    let (Data::Bytes(labels), Data::Fp32(chances)) =
        (labels.values.into_data(), chances.values.into_data())
    else {
        panic!("other types");
    };
    let labels = labels.into_iter().map(|it| String::from_utf8(it).unwrap());
    labels.zip(chances.chunks(2).map(|it| it[1])).collect()
}

/// Mutation: subtract the mean in `scaler` after scaling, or give the scores of `LinearClassifier`
/// without their transform.
#[test]
fn it_answers_as_scikit_learn_and_onnxruntime_do_and_is_as_often_right() {
    let path = repository("testing/models/tumour-risk/expected.csv");
    let expected = std::fs::read_to_string(path).unwrap();
    let expected: Vec<Vec<&str>> =
        expected.lines().skip(1).map(|it| it.split(',').collect()).collect();
    let cases = cases();
    let rows: Vec<_> =
        expected.iter().map(|it| cases[it[0].parse::<usize>().unwrap() - 1].clone()).collect();
    let (mut right, mut right_there) = (0, 0);
    for (found, expected) in ask(&model(), &rows).iter().zip(&expected) {
        let [case, class, label, double, single] = expected.as_slice() else { panic!() };
        assert_eq!(found.0, *label, "case {case}");
        for theirs in [double, single] {
            let theirs: f32 = theirs.parse().unwrap();
            assert!((found.1 - theirs).abs() <= 1e-6, "case {case}: {} and {theirs}", found.1);
        }
        right += usize::from(found.0 == *class);
        right_there += usize::from(label == class);
    }
    assert_eq!((expected.len(), right), (284, right_there));
    assert_eq!(right, 272);
}

/// Mutation: keep something of one row for the next, such as the scores.
#[test]
fn a_batch_answers_as_its_rows_do_one_by_one() {
    let (model, cases) = (model(), cases());
    let together = ask(&model, &cases);
    let apart: Vec<_> = cases.chunks(1).flat_map(|row| ask(&model, row)).collect();
    assert_eq!(together, apart);
}

/// Mutation: `unwrap` a comparison of floats in `winner`.
#[test]
fn what_is_no_number_hurts_only_its_own_row() {
    let model = model();
    let mut rows = cases()[..3].to_vec();
    let before = ask(&model, &rows);
    rows[1] = vec![f32::NAN; 30];
    let after = ask(&model, &rows);
    assert!(after[1].1.is_nan());
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
}

/// Mutation: leave out a check in `Metadata::accept`, or in `TensorInfo::check`.
#[test]
fn inputs_that_do_not_fit_are_refused_by_name() {
    let model = model();
    let ask = |inputs: Vec<Tensor>| model.infer(inputs, &Stop::default()).unwrap_err().to_string();
    let tensor =
        |name: &str, shape: &[usize], data| Tensor::new(name, shape.to_vec(), data).unwrap();
    let floats = |count| Data::Fp32(vec![0.0; count]);
    assert_eq!(ask(vec![]), "the input `features` is missing");
    let other = tensor("feature", &[1, 30], floats(30));
    assert_eq!(ask(vec![other]), "the model has no input `feature`");
    let wide = tensor("features", &[1, 30], Data::Fp64(vec![0.0; 30]));
    assert_eq!(ask(vec![wide]), "the input `features` is FP64, the model takes FP32");
    let short = tensor("features", &[2, 29], floats(58));
    assert_eq!(
        ask(vec![short]),
        "the input `features` has the shape [2, 29], the model takes [-1, 30]"
    );
    let row = tensor("features", &[30], floats(30));
    assert_eq!(ask(vec![row]), "the input `features` has the shape [30], the model takes [-1, 30]");
}

/// Mutation: do not look at `stop` in `Onnx::infer`.
#[test]
fn whoever_no_longer_waits_stops_it() {
    let stop = Stop::default();
    stop.set();
    let input = Tensor::new("features", vec![1, 30], Data::Fp32(vec![0.0; 30])).unwrap();
    assert_eq!(model().infer(vec![input], &stop), Err(InferError::Stopped));
    model().warm().unwrap();
}
