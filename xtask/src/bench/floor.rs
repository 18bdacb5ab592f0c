//! What SQLite alone does on the same disk: the program `sqlite_floor` of `store-sqlite`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    pub rows_per_second: f64,
    pub commits_per_second: f64,
}

pub fn measure(
    program: &Path,
    folder: &Path,
    batch: usize,
    time: Duration,
) -> anyhow::Result<Floor> {
    let output = Command::new(program)
        .args([time.as_secs().to_string(), batch.to_string()])
        .arg(folder)
        .output()
        .with_context(|| format!("cannot start `{}`", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}` failed: {}", program.display(), said.trim());
    let json: Value = serde_json::from_slice(&output.stdout).context("it printed no JSON")?;
    let number =
        |name: &str| json[name].as_f64().with_context(|| format!("it printed no `{name}`"));
    let seconds = number("seconds")?;
    Ok(Floor {
        rows_per_second: number("rows")? / seconds,
        commits_per_second: number("commits")? / seconds,
    })
}
