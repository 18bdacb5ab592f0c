//! What a process of its own costs: the demo's model asked in this process, and in a child.
//!
//! `cargo run --release -p isonomy-sandbox --example model_latency`

use std::error::Error;
use std::time::{Duration, Instant};

use inference::{Data, Model, Onnx, Stop, Tensor};
use isonomy_sandbox::{Models, ModelsConfig, Share};

const CALLS: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    // The child is this program, too.
    if isonomy_sandbox::child_main().is_some() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for rows in [1, 64] {
        println!("{rows} rows, in this process: {}", told(here(rows)?));
        println!("{rows} rows, in a child: {}", told(runtime.block_on(child(rows))?));
    }
    Ok(())
}

fn input(rows: usize) -> Result<Vec<Tensor>, Box<dyn Error>> {
    Ok(vec![Tensor::new("features", vec![rows, 30], Data::Fp32(vec![1.0; rows * 30]))?])
}

fn path() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../testing/models/tumour-risk/tumour-risk.onnx")
}

fn here(rows: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let model = Onnx::load(&std::fs::read(path())?)?;
    let input = input(rows)?;
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        model.infer(input.clone(), &Stop::default())?;
        times.push(start.elapsed());
    }
    Ok(times)
}

async fn child(rows: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let models = Models::new(ModelsConfig::new(std::env::current_exe()?));
    models.add("risk", std::path::PathBuf::from(path()), Share { processes: 2, queue: 1_000 })?;
    let start = Instant::now();
    models.load("risk").await?;
    println!("started and loaded in {:?}", start.elapsed());
    let input = input(rows)?;
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        models.infer("risk", &input, Duration::from_secs(1)).await.outputs?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 1_000];
    format!("p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999))
}
