//! Operators by the words of the standard: what each makes, and what is refused when the file is loaded.
//! The expected numbers are those of onnxruntime 1.32.

use inference::frame::{self, Answer};
use inference::{Data, InferError, Model, Onnx, Stop, Tensor};

use crate::written::{bytes, int, node};

fn attribute_int(name: &str, value: i64) -> Vec<u8> {
    [bytes(1, name), int(3, value), int(20, 2)].concat()
}

fn attribute_ints(name: &str, list: &[i64]) -> Vec<u8> {
    let list: Vec<u8> = list.iter().flat_map(|it| int(8, *it)).collect();
    [bytes(1, name), list, int(20, 7)].concat()
}

fn attribute_floats(name: &str, list: &[f32]) -> Vec<u8> {
    let list: Vec<u8> = list.iter().flat_map(|it| it.to_le_bytes()).collect();
    [bytes(1, name), bytes(7, list), int(20, 6)].concat()
}

/// A constant of whole numbers.
fn whole(name: &str, list: &[i64]) -> Vec<u8> {
    let list: Vec<u8> = list.iter().flat_map(|it| it.to_le_bytes()).collect();
    let length = (list.len() / 8) as i64;
    bytes(5, [int(1, length), int(2, 7), bytes(8, name), bytes(9, list)].concat())
}

/// A constant of zeros with a shape of its own.
fn zeros(name: &str, shape: &[i64]) -> Vec<u8> {
    let shape_: Vec<u8> = shape.iter().flat_map(|it| int(1, *it)).collect();
    let list = vec![0; 4 * shape.iter().product::<i64>() as usize];
    bytes(5, [shape_, int(2, 1), bytes(8, name), bytes(9, list)].concat())
}

/// A model of one node from `x`, of a type and some free axes, to `y`, beside constants.
fn one(opset: i64, (kind, axes): (i64, usize), node: Vec<u8>, constants: &[Vec<u8>]) -> Vec<u8> {
    let value = |name: &str| {
        let tensor = [int(1, kind), bytes(2, bytes(1, b"").repeat(axes))].concat();
        [bytes(1, name), bytes(2, bytes(1, tensor))].concat()
    };
    let graph = [bytes(1, node), constants.concat(), bytes(11, value("x")), bytes(12, value("y"))];
    let version = |domain: &str, version| bytes(8, [bytes(1, domain), int(2, version)].concat());
    let opsets = [version("", opset), version("ai.onnx.ml", 3)].concat();
    [int(1, 8), bytes(7, graph.concat()), opsets].concat()
}

const FP32: i64 = 1;
const UINT8: i64 = 2;
const INT64: i64 = 7;

fn answer(file: &[u8], shape: &[usize], x: Data) -> (Vec<usize>, Data) {
    let x = Tensor::new("x", shape.to_vec(), x).unwrap();
    let output = Onnx::load(file).unwrap().infer(vec![x], &Stop::default()).unwrap().remove(0);
    (output.values.shape().to_vec(), output.values.into_data())
}

/// What it says instead of an answer.
fn fails(file: &[u8], shape: &[usize]) -> InferError {
    let x = Tensor::new("x", shape.to_vec(), counted(shape)).unwrap();
    Onnx::load(file).unwrap().infer(vec![x], &Stop::default()).unwrap_err()
}

/// Numbers from zero on.
fn counted(shape: &[usize]) -> Data {
    Data::Fp32((0..shape.iter().product::<usize>()).map(|it| it as f32).collect())
}

/// What a process says that is asked to load it.
fn refused(file: &[u8]) -> String {
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    frame::write_frame(&mut asked, &frame::load(file)).unwrap();
    frame::serve(&mut asked.as_slice(), &mut said).unwrap();
    let frame = frame::read_frame(&mut said.as_slice()).unwrap().unwrap();
    match Answer::decode(&frame) {
        Some(Answer::Refused(why)) => why,
        other => panic!("it is taken: {other:?}"),
    }
}

/// Mutation: read `start` or `end` of `Shape` no more, or do not clamp them.
#[test]
fn shape_gives_the_lengths_from_one_axis_to_another() {
    let check = |attributes: &[(&str, i64)], expected: &[i64]| {
        let attributes: Vec<_> = attributes.iter().map(|(n, v)| attribute_int(n, *v)).collect();
        let file = one(18, (FP32, 3), node("Shape", &["x"], "y", &attributes), &[]);
        let made = answer(&file, &[2, 3, 4], counted(&[2, 3, 4]));
        assert_eq!(made, (vec![expected.len()], Data::Int64(expected.to_vec())), "{attributes:?}");
    };
    check(&[], &[2, 3, 4]);
    check(&[("start", 0), ("end", 1)], &[2]);
    check(&[("start", 1)], &[3, 4]);
    check(&[("start", -2), ("end", 3)], &[3, 4]);
    check(&[("end", -1)], &[2, 3]);
    check(&[("start", -9), ("end", 9)], &[2, 3, 4]);
    check(&[("start", 2), ("end", 1)], &[]);
    check(&[("start", 7)], &[]);
}

/// Mutation: do not ask for `unread` in `build`, or mark every attribute as read.
#[test]
fn an_attribute_that_no_operator_asks_for_is_refused_by_name() {
    let check = |operator: &str, attribute: Vec<u8>, name: &str| {
        let file = one(18, (FP32, 2), node(operator, &["x"], "y", &[attribute]), &[]);
        let why = format!(
            "node 0 (`{operator}`) of the model: its attribute `{name}` is not supported; export it without"
        );
        assert_eq!(Onnx::load(&file).unwrap_err().to_string(), why);
    };
    check("Relu", attribute_int("ceiling", 6), "ceiling");
    check("Shape", attribute_int("from", 1), "from");
    check("Squeeze", attribute_int("allowzero", 1), "allowzero");
    check("Softmax", attribute_floats("temperature", &[0.5]), "temperature");
    // Of a value only what is not calculated with.
    let dropout = node("Dropout", &["x"], "y", &[attribute_int("seed", 1)]);
    assert!(Onnx::load(&one(18, (FP32, 2), dropout, &[])).is_ok());
    let trained = node("Normalizer", &["x"], "y", &[attribute_ints("axes", &[1])]);
    let trained = one(18, (FP32, 2), [trained, bytes(7, "ai.onnx.ml")].concat(), &[]);
    let why = Onnx::load(&trained).unwrap_err().to_string();
    assert!(why.contains("(`Normalizer`)") && why.contains("`axes`"), "{why}");
}

/// Mutation: ignore the attributes of opset 9, take steps forward only, or clamp the end of a step
/// backwards at zero.
#[test]
fn slice_takes_attributes_and_steps_backwards() {
    let by = |start: i64, end: i64, step: i64| {
        let numbers = [("s", start), ("e", end), ("a", 0), ("t", step)];
        let constants: Vec<_> = numbers.iter().map(|(name, it)| whole(name, &[*it])).collect();
        let slice = node("Slice", &["x", "s", "e", "a", "t"], "y", &[]);
        match answer(&one(17, (FP32, 1), slice, &constants), &[5], counted(&[5])).1 {
            Data::Fp32(list) => list,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(by(-1, -100, -1), [4.0, 3.0, 2.0, 1.0, 0.0]);
    assert_eq!(by(100, 0, -2), [4.0, 2.0]);
    assert_eq!(by(3, 1, -1), [3.0, 2.0]);
    assert_eq!(by(-1, 0, -3), [4.0, 1.0]);
    assert_eq!(by(1, 3, -1), [0.0; 0]);
    assert_eq!(by(0, i64::MIN, -1), [0.0]);
    assert_eq!(by(1, i64::MAX, 2), [1.0, 3.0]);
    let attributes =
        [("starts", [1]), ("ends", [-1]), ("axes", [-1])].map(|(n, it)| attribute_ints(n, &it));
    let old = one(9, (FP32, 2), node("Slice", &["x"], "y", &attributes), &[]);
    let made = answer(&old, &[2, 4], counted(&[2, 4]));
    assert_eq!(made, (vec![2, 2], Data::Fp32(vec![1.0, 2.0, 5.0, 6.0])));
}

/// Mutation: pass over what a tensor says of another file.
#[test]
fn numbers_in_another_file_are_refused_with_the_way_out() {
    let place = [bytes(1, "location"), bytes(2, "model.onnx.data")].concat();
    let beside = bytes(5, [int(1, 1), int(2, 1), bytes(8, "w"), bytes(13, place)].concat());
    let file = one(17, (FP32, 1), node("Add", &["x", "w"], "y", &[]), &[beside]);
    assert_eq!(
        Onnx::load(&file).unwrap_err().to_string(),
        "the model's numbers are in another file; export it as one (PyTorch: `external_data=False`)"
    );
}

/// Mutation: take FP32 only in `clip`.
#[test]
fn clip_takes_whole_numbers() {
    let clip = node("Clip", &["x", "low", "high"], "y", &[]);
    let file = one(17, (INT64, 1), clip, &[whole("low", &[2]), whole("high", &[6])]);
    let made = answer(&file, &[3], Data::Int64(vec![1, 5, 9]));
    assert_eq!(made.1, Data::Int64(vec![2, 5, 6]));
}

/// Mutation: pass over what `warm` says of the model in `frame::answer`.
#[test]
fn what_a_model_can_never_calculate_is_refused_when_it_is_loaded() {
    let uint8 = one(17, (UINT8, 1), node("Add", &["x", "x"], "y", &[]), &[]);
    assert_eq!(refused(&uint8), "node 0 (`Add`) of the model: it does not take UINT8 here");
    let text = one(17, (8, 1), node("Cast", &["x"], "y", &[attribute_int("to", 1)]), &[]);
    assert_eq!(refused(&text), "node 0 (`Cast`) of the model: it does not take BYTES here");
    let deep = one(17, (FP32, 5), node("Conv", &["x", "w"], "y", &[]), &[zeros("w", &[1; 5])]);
    assert_eq!(refused(&deep), "node 0 (`Conv`) of the model: it takes images and series only");
    let mut two = node("Softmax", &["x"], "y", &[]);
    two.extend(bytes(2, "more"));
    assert_eq!(
        refused(&one(17, (FP32, 2), two, &[])),
        "node 0 (`Softmax`) of the model: it has more outputs than are supported"
    );
}

/// Mutation: take the larger of two by `f32::max`.
#[test]
fn what_is_no_number_stays_none() {
    let none = |list: Data| match list {
        Data::Fp32(list) => list.iter().map(|it| it.is_nan()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    for operator in ["Max", "Min"] {
        // The last row beside each: it is stretched.
        let file = one(17, (FP32, 2), node(operator, &["x", "w"], "y", &[]), &[zeros("w", &[2])]);
        let made = answer(&file, &[1, 2], Data::Fp32(vec![f32::NAN, 1.0]));
        assert_eq!(none(made.1), [true, false], "{operator}");
        let file = one(17, (FP32, 2), node(operator, &["w", "x"], "y", &[]), &[zeros("w", &[2])]);
        let made = answer(&file, &[1, 2], Data::Fp32(vec![f32::NAN, 1.0]));
        assert_eq!(none(made.1), [true, false], "{operator} turned");
    }
}

/// A model of one node of `ai.onnx.ml`, whose file fixes how many columns `x` has.
fn of_columns(columns: i64, node: Vec<u8>, constants: &[Vec<u8>]) -> Vec<u8> {
    let axes = [bytes(1, b""), bytes(1, int(1, columns))].concat();
    let tensor = [int(1, FP32), bytes(2, axes)].concat();
    let x = [bytes(1, "x"), bytes(2, bytes(1, tensor))].concat();
    let y = [bytes(1, "y"), bytes(2, bytes(1, int(1, FP32)))].concat();
    let node = bytes(1, [node, bytes(7, "ai.onnx.ml")].concat());
    let graph = [node, constants.concat(), bytes(11, x), bytes(12, y)].concat();
    let version = |domain: &str, version| bytes(8, [bytes(1, domain), int(2, version)].concat());
    [int(1, 8), bytes(7, graph), version("", 18), version("ai.onnx.ml", 3)].concat()
}

/// Mutation: never say in `error` that columns are the file's, or read `is_of_rows` as always true.
#[test]
fn other_columns_than_a_model_has_are_its_own_fault_where_the_file_says_how_many_come() {
    let line = |x: Vec<u8>| [x, bytes(7, "ai.onnx.ml")].concat();
    let three = [attribute_floats("coefficients", &[1.0, 2.0, 3.0])];
    let regressor = node("LinearRegressor", &["x"], "y", &three);
    let why = "node 0 (`LinearRegressor`) of the model: it takes 3 features, not 2";
    assert_eq!(refused(&of_columns(2, regressor.clone(), &[])), why);
    // The caller chooses, so that it is the caller's.
    let free = one(18, (FP32, 2), line(regressor.clone()), &[]);
    let error = fails(&free, &[1, 2]);
    assert_eq!((error.to_string(), error.is_of_the_model()), (why.to_owned(), false));
    let columns = node("ArrayFeatureExtractor", &["x", "c"], "y", &[]);
    assert_eq!(
        refused(&of_columns(2, columns, &[whole("c", &[2])])),
        "node 0 (`ArrayFeatureExtractor`) of the model: it takes a column that there is not"
    );
    let made = answer(&of_columns(3, regressor, &[]), &[1, 3], counted(&[1, 3]));
    assert_eq!(made.1, Data::Fp32(vec![8.0]));
}

/// Mutation: take rows and columns only in `extract`, or a single axis as itself.
#[test]
fn columns_are_taken_of_as_many_axes_as_there_are() {
    let take = |axes: usize, shape: &[usize]| {
        let columns = node("ArrayFeatureExtractor", &["x", "c"], "y", &[]);
        let columns = [columns, bytes(7, "ai.onnx.ml")].concat();
        answer(&one(17, (FP32, axes), columns, &[whole("c", &[2, 0])]), shape, counted(shape))
    };
    assert_eq!(take(1, &[3]), (vec![1, 2], Data::Fp32(vec![2.0, 0.0])));
    assert_eq!(take(2, &[2, 3]), (vec![2, 2], Data::Fp32(vec![2.0, 0.0, 5.0, 3.0])));
    let deep = vec![2.0, 0.0, 5.0, 3.0, 8.0, 6.0, 11.0, 9.0];
    assert_eq!(take(3, &[2, 2, 3]), (vec![2, 2, 2], Data::Fp32(deep)));
}

/// Mutation: leave the rest to the first part, ignore the lengths given, or take parts that leave
/// something over.
#[test]
fn split_takes_lengths_or_makes_parts_alike() {
    let axis = [attribute_int("axis", 1)];
    // `y` is the last part.
    let of = |node: Vec<u8>, constants: &[Vec<u8>]| {
        let file = one(18, (FP32, 2), node, constants);
        answer(&file, &[1, 5], counted(&[1, 5]))
    };
    let last = |inputs: &[&str], attributes: &[Vec<u8>]| {
        let before = [bytes(2, "a"), bytes(2, "y")].concat();
        let inputs: Vec<u8> = inputs.iter().flat_map(|it| bytes(1, it)).collect();
        let attributes: Vec<u8> = attributes.iter().flat_map(|it| bytes(5, it)).collect();
        [inputs, before, bytes(4, "Split"), attributes].concat()
    };
    assert_eq!(of(last(&["x"], &axis), &[]), (vec![1, 2], Data::Fp32(vec![3.0, 4.0])));
    let lengths = [whole("n", &[1, 4])];
    let made = of(last(&["x", "n"], &axis), &lengths);
    assert_eq!(made, (vec![1, 4], Data::Fp32(vec![1.0, 2.0, 3.0, 4.0])));
    let short = one(18, (FP32, 2), last(&["x", "n"], &axis), &[whole("n", &[1, 3])]);
    assert_eq!(
        fails(&short, &[1, 5]).to_string(),
        "node 0 (`Split`) of the model: its parts do not fit"
    );
}

/// Mutation: take the shape wanted as it is, where the input's axis is longer.
#[test]
fn expand_stretches_both_ways() {
    let expand = |wanted: &[i64]| {
        let node = node("Expand", &["x", "s"], "y", &[]);
        answer(&one(18, (FP32, 2), node, &[whole("s", wanted)]), &[2, 1], counted(&[2, 1]))
    };
    assert_eq!(expand(&[2, 3]), (vec![2, 3], Data::Fp32(vec![0.0, 0.0, 0.0, 1.0, 1.0, 1.0])));
    assert_eq!(expand(&[1]), (vec![2, 1], Data::Fp32(vec![0.0, 1.0])));
    assert_eq!(expand(&[2, 1, 1]), (vec![2, 2, 1], Data::Fp32(vec![0.0, 1.0, 0.0, 1.0])));
}

/// Mutation: take the exact form for `tanh`, or calculate doubles in single width.
#[test]
fn gelu_and_softmax_are_calculated_in_the_width_of_their_input() {
    let double = |node: Vec<u8>| {
        let x = Data::Fp64(vec![-1.0, 0.5, 2.0]);
        match answer(&one(20, (11, 2), node, &[]), &[1, 3], x).1 {
            Data::Fp64(list) => list,
            other => panic!("{other:?}"),
        }
    };
    let near = |made: Vec<f64>, expected: [f64; 3]| {
        let apart = made.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-14, "{made:?} for {expected:?}");
    };
    let gelu = node("Gelu", &["x"], "y", &[]);
    near(
        double(gelu),
        [-0.158_655_253_931_457_05, 0.345_731_230_637_006_55, 1.954_499_736_103_641_6],
    );
    let text = [bytes(1, "approximate"), bytes(4, "tanh"), int(20, 3)].concat();
    let gelu = node("Gelu", &["x"], "y", &[text]);
    near(
        double(gelu),
        [-0.158_808_009_391_723_24, 0.345_714_009_825_143_94, 1.954_597_694_087_775],
    );
    let softmax = node("Softmax", &["x"], "y", &[]);
    near(
        double(softmax),
        [0.039_112_573_270_687_456, 0.175_290_392_140_036_7, 0.785_597_034_589_275_9],
    );
}

/// Mutation: take sums that are never negative for shares, whatever becomes of them.
#[test]
fn a_forest_without_negative_leaves_has_margins_where_they_are_transformed() {
    let made = |transform: &str| {
        let text = |name: &str, it: &str| [bytes(1, name), bytes(4, it), int(20, 3)].concat();
        let modes = ["BRANCH_LEQ", "LEAF", "LEAF"].map(|it| bytes(9, it)).concat();
        let attributes = [
            attribute_ints("nodes_treeids", &[0, 0, 0]),
            attribute_ints("nodes_nodeids", &[0, 1, 2]),
            attribute_ints("nodes_featureids", &[0, 0, 0]),
            [bytes(1, "nodes_modes"), modes, int(20, 8)].concat(),
            attribute_floats("nodes_values", &[0.5, 0.0, 0.0]),
            attribute_ints("nodes_truenodeids", &[1, 0, 0]),
            attribute_ints("nodes_falsenodeids", &[2, 0, 0]),
            attribute_ints("class_treeids", &[0, 0]),
            attribute_ints("class_nodeids", &[1, 2]),
            attribute_ints("class_ids", &[0, 0]),
            attribute_floats("class_weights", &[0.2, 0.7]),
            attribute_ints("classlabels_int64s", &[0, 1]),
            text("post_transform", transform),
        ];
        // Its second output is what is asked for.
        let inputs = [bytes(1, "x"), bytes(2, "label"), bytes(2, "y")].concat();
        let attributes: Vec<u8> = attributes.iter().flat_map(|it| bytes(5, it)).collect();
        let trees =
            [inputs, bytes(4, "TreeEnsembleClassifier"), attributes, bytes(7, "ai.onnx.ml")];
        let file = one(17, (FP32, 2), trees.concat(), &[]);
        match answer(&file, &[2, 1], Data::Fp32(vec![0.0, 1.0])).1 {
            Data::Fp32(list) => list.iter().map(|it| (it * 1e4).round()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(made("LOGISTIC"), [4502.0, 5498.0, 3318.0, 6682.0]);
    assert_eq!(made("NONE"), [8000.0, 2000.0, 3000.0, 7000.0]);
}

/// Mutation: go on from a first score that is no number in `winner`.
#[test]
fn a_row_of_no_numbers_is_the_first_class() {
    let attributes = [
        attribute_floats("coefficients", &[1.0, 2.0, 3.0]),
        attribute_floats("intercepts", &[0.0; 3]),
        attribute_ints("classlabels_ints", &[7, 8, 9]),
        attribute_int("multi_class", 1),
    ];
    let lines = node("LinearClassifier", &["x"], "y", &attributes);
    let file = one(17, (FP32, 2), [lines, bytes(7, "ai.onnx.ml")].concat(), &[]);
    let made = answer(&file, &[2, 1], Data::Fp32(vec![f32::NAN, 1.0]));
    assert_eq!(made.1, Data::Int64(vec![7, 9]));
}
