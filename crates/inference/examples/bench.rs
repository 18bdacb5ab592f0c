//! How long an answer takes: `bench FOLDER`, with models that `testing/models/export.py` wrote.
//!
//! One JSON object a line: model, rows, median and 99th percentile in microseconds. It is called by
//! `testing/models/bench.py`, which asks onnxruntime for the same in turn.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use inference::{Data, Model, Onnx, Stop, Tensor};
use serde_json::Value;

const LONG_ENOUGH: Duration = Duration::from_millis(300);

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let mut paths = std::fs::read_dir(folder)?
        .map(|it| it.map(|it| it.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths.iter().filter(|it| it.extension().is_some_and(|it| it == "onnx")) {
        measure(path)?;
    }
    Ok(())
}

fn measure(path: &Path) -> Result<(), Box<dyn Error>> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let start = Instant::now();
    let model = Onnx::load(&std::fs::read(path)?)?;
    let load_us = start.elapsed().as_secs_f64() * 1e6;
    let said: Value = serde_json::from_slice(&std::fs::read(path.with_extension("json"))?)?;
    for rows in [1, 64] {
        let input = input(&said, rows)?;
        let mut times = Vec::new();
        let end = Instant::now() + LONG_ENOUGH;
        while Instant::now() < end {
            let input = input.clone();
            let start = Instant::now();
            let answer = model.infer(vec![input], &Stop::default())?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
            std::hint::black_box(answer);
        }
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!(
            "{}",
            serde_json::json!({"model": name, "rows": rows, "p50": p50, "p99": p99, "load": load_us})
        );
    }
    Ok(())
}

fn input(said: &Value, rows: usize) -> Result<Tensor, Box<dyn Error>> {
    let (name, value) =
        said["inputs"].as_object().and_then(|it| it.iter().next()).ok_or("no input")?;
    let list = value["data"].as_array().ok_or("no data")?;
    let shape = value["shape"].as_array().ok_or("no shape")?.iter().filter_map(Value::as_u64);
    let mut shape: Vec<usize> = shape.map(|it| it as usize).collect();
    shape[0] = rows;
    let count = shape.iter().product();
    let list = list.iter().take(count);
    let data = match value["dtype"].as_str() {
        Some("int64") => Data::Int64(list.filter_map(Value::as_i64).collect()),
        _ => Data::Fp32(list.filter_map(Value::as_f64).map(|it| it as f32).collect()),
    };
    Ok(Tensor::new(name, shape, data)?)
}
