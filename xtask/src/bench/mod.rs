//! `cargo xtask bench engine`: durable steps through the HTTP API of a real server process, beside
//! what SQLite alone does on the same disk in the same run, and beside other engines.
//!
//! Figures of one machine say little; ratios within one run say more, so everything is repeated in
//! turn. Each workload is a module; what is asked for is in `options`.

mod calls;
mod comparison;
mod connection;
mod due;
pub mod fleet;
mod flood;
mod floor;
mod fork;
mod gate;
pub mod gateway;
mod list;
mod load;
mod long;
mod machine;
mod options;
mod peers;
mod process;
mod report;
mod rest;
mod resume;
mod server;
mod soak;
mod steps;
pub mod validate;
mod workflow;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use self::comparison::Comparison;
pub use self::options::Options;
use self::options::Workload;
use self::peers::Peers;
use crate::test::cargo;
use crate::tree;

/// Long enough for connections, caches and the write-ahead log to have settled.
const WARM_UP: Duration = Duration::from_secs(1);

/// Runs at once.
const CROWD: usize = 64;

/// What is printed, and what is written into the file.
struct Outcome {
    text: String,
    json: Value,
}

impl From<Comparison> for Outcome {
    fn from(comparison: Comparison) -> Self {
        Self { text: comparison.markdown(), json: comparison.json() }
    }
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    // First, since it is what may be missing.
    let scripts = if options.has_peers { Some(peers::scripts()?) } else { None };
    let built = build()?;
    let peers = scripts.map(|scripts| Peers::prepare(scripts, &built.folder)).transpose()?;
    let outcome = match (options.workload, &peers) {
        (Workload::Steps, None) => steps::run(&built, options)?,
        (Workload::Steps, Some(peers)) => peers::steps::run(&built, peers, options)?,
        (Workload::Calls, _) => calls::run(&built, options)?,
        (Workload::Fork, peers) => fork::run(&built, peers.as_ref(), options)?,
        (Workload::Rest, peers) => rest::run(&built, peers.as_ref(), options)?,
        (Workload::Resume, peers) => resume::run(&built, peers.as_ref(), options)?,
        (Workload::Long, _) => long::run(&built, options)?,
        (Workload::Due, _) => due::run(&built, options)?,
        (Workload::List, _) => list::run(&built, options)?,
        (Workload::Soak, _) => soak::run(&built, options)?,
    };
    print!("{}", outcome.text);
    let file = built.folder.join(options.file_name());
    let json = serde_json::to_string_pretty(&outcome.json).context("a report is JSON")?;
    std::fs::write(&file, json).with_context(|| format!("cannot write `{}`", file.display()))?;
    eprintln!("written to {}", file.display());
    Ok(())
}

struct Built {
    isonomy: PathBuf,
    floor: PathBuf,
    /// For everything that a measurement leaves behind.
    folder: PathBuf,
}

/// Both programs in one go, so that they share every dependency.
fn build() -> anyhow::Result<Built> {
    let status = cargo()
        .args(["build", "--release", "--locked"])
        .args(["-p", "isonomy-cli", "--bin", "isonomy"])
        .args(["-p", "isonomy-store-sqlite", "--example", "sqlite_floor"])
        .current_dir(tree::root())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cannot build the programs to measure: cargo ended with {status}");
    let target = target_folder()?;
    let release = target.join("release");
    let program = |path: &str| -> PathBuf {
        release.join(Path::new(path)).with_extension(std::env::consts::EXE_EXTENSION)
    };
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make `{}`", folder.display()))?;
    Ok(Built { isonomy: program("isonomy"), floor: program("examples/sqlite_floor"), folder })
}

fn target_folder() -> anyhow::Result<PathBuf> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(tree::root())
        .output()
        .context("cannot start `cargo metadata`")?;
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` gave no JSON")?;
    let folder = json["target_directory"].as_str().context("`cargo metadata` names no folder")?;
    Ok(PathBuf::from(folder))
}
