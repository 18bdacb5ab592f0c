//! Small models written here, byte by byte: what exporters do not show.

use inference::{Data, LoadError, Model, Onnx, Stop, Tensor};

/// A field with a number.
pub fn int(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

/// A field with a text or a message.
pub fn bytes(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [&varint(number << 3 | 2), &varint(content.len() as u64), content].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A model of FP32 inputs with `axes` free axes and one output `y`.
pub fn model(inputs: &[&str], axes: usize, nodes: &[Vec<u8>]) -> Vec<u8> {
    let value = |name: &str, axes: usize| {
        let shape = bytes(1, b"").repeat(axes);
        let tensor = [int(1, 1), bytes(2, shape)].concat();
        [bytes(1, name), bytes(2, bytes(1, tensor))].concat()
    };
    let mut graph: Vec<u8> = nodes.iter().flat_map(|it| bytes(1, it)).collect();
    for name in inputs {
        graph.extend(bytes(11, value(name, axes)));
    }
    graph.extend(bytes(12, value("y", axes)));
    let opset = |domain: &str, version| bytes(8, [bytes(1, domain), int(2, version)].concat());
    [int(1, 8), bytes(7, graph), opset("", 17), opset("ai.onnx.ml", 3)].concat()
}

pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|it| bytes(1, it)).collect();
    node.extend(bytes(2, output));
    node.extend(bytes(4, operator));
    node.extend(attributes.iter().flat_map(|it| bytes(5, it)));
    node
}

fn ints(name: &str, list: &[i64]) -> Vec<u8> {
    let list: Vec<u8> = list.iter().flat_map(|it| int(8, *it)).collect();
    [bytes(1, name), list, int(20, 7)].concat()
}

fn floats(name: &str, list: &[f32]) -> Vec<u8> {
    let list: Vec<u8> = list.iter().flat_map(|it| it.to_le_bytes()).collect();
    [bytes(1, name), bytes(7, list), int(20, 6)].concat()
}

fn texts(name: &str, list: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = list.iter().flat_map(|it| bytes(9, it)).collect();
    [bytes(1, name), list, int(20, 8)].concat()
}

fn learned(operator: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    [node(operator, &["x"], "y", attributes), bytes(7, "ai.onnx.ml")].concat()
}

/// One tree: is the first feature at most 1? `children` are the numbers of yes and no.
fn tree(children: [i64; 2]) -> Vec<u8> {
    let nodes = [
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        floats("nodes_values", &[1.0, 0.0, 0.0]),
        texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        ints("nodes_truenodeids", &[children[0], 0, 0]),
        ints("nodes_falsenodeids", &[children[1], 0, 0]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[10.0, 20.0]),
    ];
    model(&["x"], 2, &[learned("TreeEnsembleRegressor", &nodes)])
}

fn answer(model: &Onnx, x: &[f32], shape: &[usize]) -> Result<Vec<f32>, String> {
    let input = Tensor::new("x", shape.to_vec(), Data::Fp32(x.to_vec())).unwrap();
    let mut outputs =
        model.infer(vec![input], &Stop::default()).map_err(|error| error.to_string())?;
    match outputs.remove(0).values.into_data() {
        Data::Fp32(list) => Ok(list),
        other => panic!("{other:?}"),
    }
}

/// Mutation: leave out the check for a circle in `Forest::grow`.
#[test]
fn a_tree_branches_and_one_that_never_ends_is_refused() {
    let whole = Onnx::load(&tree([1, 2])).unwrap();
    assert_eq!(answer(&whole, &[1.0, 1.5], &[2, 1]), Ok(vec![10.0, 20.0]));
    assert_eq!(
        answer(&whole, &[], &[2, 0]),
        Err("node 0 (`TreeEnsembleRegressor`) of the model: it takes 1 features, not 0".to_owned())
    );
    let refused = |children| Onnx::load(&tree(children)).unwrap_err().to_string();
    let begin = "node 0 (`TreeEnsembleRegressor`) of the model: ";
    assert_eq!(refused([0, 2]), format!("{begin}a tree goes in a circle"));
    assert_eq!(refused([1, 7]), format!("{begin}a tree has a branch to nowhere"));
}

/// Mutation: take an unknown operator as `Identity`.
#[test]
fn an_operator_that_we_do_not_know_is_refused_by_name() {
    let refused = |node| Onnx::load(&model(&["x"], 1, &[node])).unwrap_err().to_string();
    let unknown = node("Einsum", &["x"], "y", &[]);
    assert_eq!(
        refused(unknown),
        "the operator `Einsum` of the model is not supported; see docs/reference/local-models.md"
    );
    let from_nowhere = node("Relu", &["z"], "y", &[]);
    assert_eq!(refused(from_nowhere), "node 0 (`Relu`) of the model: nothing before it makes `z`");
    let elsewhere = node("Relu", &["x"], "z", &[]);
    assert_eq!(refused(elsewhere), "the output `y` of the model comes from nowhere");
}

/// Mutation: do not check the room before a product in `batched`, or in `Stretch::of`.
#[test]
fn a_result_beyond_the_limit_is_refused_before_it_is_made() {
    let square = model(
        &["x"],
        2,
        &[node("Transpose", &["x"], "t", &[]), node("MatMul", &["x", "t"], "y", &[])],
    );
    let square = Onnx::load(&square).unwrap();
    assert_eq!(answer(&square, &[2.0, 3.0], &[2, 1]), Ok(vec![4.0, 6.0, 6.0, 9.0]));
    let long = vec![0.0; 100_000];
    let refused = answer(&square, &long, &[100_000, 1]).unwrap_err();
    assert!(refused.contains("more than 16777216 elements"), "{refused}");
    let added = node("Add", &["x", "t"], "y", &[]);
    let added =
        Onnx::load(&model(&["x"], 2, &[node("Transpose", &["x"], "t", &[]), added])).unwrap();
    assert!(answer(&added, &long, &[100_000, 1]).is_err());
}

/// Mutation: keep every value until the end, or count none of them.
#[test]
fn values_between_nodes_have_a_limit_and_go_when_nobody_reads_them() {
    let wide = |keeps: bool| {
        // Each value is 64 MiB; a chain needs two of them at once, a sum of all needs all.
        let name = |at: usize| format!("v{at}");
        let mut nodes = vec![node("Identity", &["x"], "v0", &[])];
        for at in 1..12 {
            let from = if keeps { "x".to_owned() } else { name(at - 1) };
            nodes.push(node("Neg", &[&from], &name(at), &[]));
        }
        let names: Vec<String> = (0..12).map(name).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        nodes.push(node("Max", if keeps { &all } else { &all[11..] }, "y", &[]));
        Onnx::load(&model(&["x"], 1, &nodes)).unwrap()
    };
    let long = vec![1.0; 16 * 1024 * 1024];
    assert!(answer(&wide(false), &long, &[long.len()]).is_ok());
    let refused = answer(&wide(true), &long, &[long.len()]).unwrap_err();
    assert_eq!(refused, "values between the nodes of the model need more than 512 MiB");
}

/// Mutation: skip the check of versions in `versions`.
#[test]
fn a_file_that_is_no_model_is_refused() {
    assert_eq!(Onnx::load(b"").unwrap_err(), LoadError::NotOnnx);
    let foreign = Onnx::load(b"PK\x03\x04 an archive").unwrap_err();
    assert!(matches!(foreign, LoadError::Foreign { .. }), "{foreign}");
    let whole = model(&["x"], 1, &[node("Relu", &["x"], "y", &[])]);
    assert_eq!(Onnx::load(&whole[..whole.len() - 20]).unwrap_err(), LoadError::Cut);
    let future = [whole, bytes(8, [bytes(1, ""), int(2, 99)].concat())].concat();
    let refused = Onnx::load(&future).unwrap_err().to_string();
    assert_eq!(
        refused,
        "version 99 of the operators `ai.onnx` is not supported; export with opset 7 to 26"
    );
}
