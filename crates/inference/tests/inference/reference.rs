//! Exported models answer as onnxruntime did when `testing/models/export.py` wrote them down.

use std::path::{Path, PathBuf};

use inference::{Data, Model, Onnx, Stop, Tensor};
use serde_json::Value;

fn read(value: &Value, name: &str) -> Tensor {
    let shape = value["shape"].as_array().unwrap();
    let shape = shape.iter().map(|it| it.as_u64().unwrap() as usize).collect();
    let list = value["data"].as_array().unwrap();
    let data = match value["dtype"].as_str().unwrap() {
        "float32" => {
            Data::Fp32(list.iter().map(|it| it.as_f64().unwrap_or(f64::NAN) as f32).collect())
        }
        "float64" => Data::Fp64(list.iter().map(|it| it.as_f64().unwrap_or(f64::NAN)).collect()),
        "int64" => Data::Int64(list.iter().map(|it| it.as_i64().unwrap()).collect()),
        "object" | "<U9" => {
            Data::Bytes(list.iter().map(|it| it.as_str().unwrap().as_bytes().to_vec()).collect())
        }
        other => panic!("no type {other}"),
    };
    Tensor::new(name, shape, data).unwrap()
}

/// The largest difference of two tensors, relative where the numbers are large.
fn apart(ours: &Tensor, theirs: &Tensor) -> f64 {
    assert_eq!(ours.values.shape(), theirs.values.shape(), "{}", ours.name);
    let wide = |values: &Data| match values {
        Data::Fp32(list) => Some(list.iter().map(|&it| f64::from(it)).collect::<Vec<_>>()),
        Data::Fp64(list) => Some(list.clone()),
        _ => None,
    };
    assert_eq!(ours.values.datatype(), theirs.values.datatype(), "{}", ours.name);
    match (wide(ours.values.data()), wide(theirs.values.data())) {
        (Some(ours), Some(theirs)) => ours
            .iter()
            .zip(&theirs)
            .map(|(ours, theirs)| (ours - theirs).abs() / theirs.abs().max(1.0))
            .fold(0.0, |most, it| if it > most || it.is_nan() { it } else { most }),
        _ if ours.values == theirs.values => 0.0,
        _ => f64::INFINITY,
    }
}

fn compare(path: &Path) -> Result<f64, String> {
    let model = Onnx::load(&std::fs::read(path).unwrap()).map_err(|error| error.to_string())?;
    let text = std::fs::read(path.with_extension("json")).unwrap();
    let said: Value = serde_json::from_slice(&text).unwrap();
    let inputs = said["inputs"].as_object().unwrap();
    let inputs = inputs.iter().map(|(name, value)| read(value, name)).collect();
    let outputs = model.infer(inputs, &Stop::default()).map_err(|error| error.to_string())?;
    let mut most: f64 = 0.0;
    for ours in &outputs {
        let theirs = &said["outputs"][&ours.name];
        if !theirs.is_null() {
            most = most.max(apart(ours, &read(theirs, &ours.name)));
        }
    }
    Ok(most)
}

/// Mutation: leave out the classes of one kind in `tree::classifier`, or the axis in `Softmax`.
#[test]
fn exported_models_answer_as_in_onnxruntime() {
    let Some(folder) = std::env::var_os("ISONOMY_MODELS").map(PathBuf::from) else {
        println!("skipped: set ISONOMY_MODELS to a folder made by testing/models/export.py");
        return;
    };
    let paths = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in paths.filter(|it| it.extension().is_some_and(|it| it == "onnx")) {
        match compare(&path) {
            Ok(apart) if apart <= 2e-6 => compared += 1,
            said => wrong.push(format!("{}: {said:?}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 0, "the folder has no models");
}
