//! The physical floor: `lite` of `phys.py`, SQLite in WAL mode with `synchronous=FULL` and one
//! row a commit. The script's other measurements take a minute and are not asked for.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Peers;

/// The functions of the script without the calls below them.
const PROGRAM: &str = "\
import ast, sys
tree = ast.parse(open(sys.argv[2]).read())
tree.body = [it for it in tree.body if not isinstance(it, (ast.Expr, ast.For))]
exec(compile(tree, 'phys.py', 'exec'))
lite(1, secs=float(sys.argv[3]))
";

#[derive(Debug, Clone, PartialEq)]
pub struct Floor {
    pub rows_per_second: f64,
    /// What the script calls it, with SQLite's version.
    pub name: String,
}

/// One row a commit.
pub fn measure(peers: &Peers, time: Duration) -> anyhow::Result<Floor> {
    let output = Command::new("python3")
        .args(["-c".as_ref(), PROGRAM.as_ref(), peers.folder.as_os_str()])
        .arg(peers.scripts.join("phys.py"))
        .arg(time.as_secs().to_string())
        .output()
        .context("cannot start python3")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`phys.py` failed: {}", said.trim());
    Floor::parse(&output.stdout)
}

impl Floor {
    #[must_use]
    pub fn faster(self, other: Self) -> Self {
        if self.rows_per_second >= other.rows_per_second { self } else { other }
    }

    fn parse(stdout: &[u8]) -> anyhow::Result<Self> {
        let json: Value = serde_json::from_slice(stdout).context("`phys.py` printed no JSON")?;
        let name = json["test"].as_str().unwrap_or_default().to_owned();
        ensure!(name.contains("WAL FULL"), "`phys.py` measured `{name}`");
        let rows_per_second = json["records_s"].as_f64().context("it printed no `records_s`")?;
        Ok(Self { rows_per_second, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take the figure of another durability, or the slower of two.
    #[test]
    fn the_floor_is_that_of_full_durability() {
        let line =
            r#"{"test": "sqlite 3.40.1 WAL FULL batch 1", "syncs_s": 5030, "records_s": 5031}"#;
        let floor = Floor::parse(line.as_bytes()).expect("a figure");
        assert_eq!((floor.rows_per_second, floor.name.len()), (5031.0, 30));
        let slower = Floor { rows_per_second: 300.0, name: String::new() };
        assert_eq!(slower.faster(floor.clone()), floor);
        assert!(Floor::parse(line.replace("FULL", "NORMAL").as_bytes()).is_err());
    }
}
