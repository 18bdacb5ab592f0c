//! Other engines under the same workloads, each driven by its own script, which lies beside this
//! repository and is not part of it. What they need comes from their package registries.
//!
//! A script says how fast it went; what that cost is read from outside, of the same processes and in
//! the same way as for our own server.

mod fsyncs;
pub mod langgraph;
pub mod notes;
mod phys;
pub mod restate;
mod said;
pub mod steps;
mod table;
mod watch;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::test::cargo;
use crate::tree;

pub const RESTATE: &str = "Restate";
pub const LANGGRAPH: &str = "LangGraph";
pub const OURS: &str = "Isonomy";
pub const SQLITE: &str = "SQLite alone";

/// Ports in a row that Restate's script takes.
const PORTS: u16 = 5;

/// Below the range from which systems hand out ports of clients.
const PORT_FIRST: u16 = 21_110;
const PORT_LAST: u16 = 29_110;

/// What the measurements need, all of it there.
pub struct Peers {
    /// The folder of the scripts.
    scripts: PathBuf,
    /// For what they install and write, on the disk that is measured.
    folder: PathBuf,
    /// Restate's service, made with its Rust SDK.
    service: PathBuf,
    /// The SDK's version.
    sdk: String,
    /// An interpreter that finds LangGraph.
    python: PathBuf,
}

/// Whose figures stand side by side.
#[must_use]
pub fn engines(peers: Option<&Peers>) -> Vec<&'static str> {
    match peers {
        Some(_) => vec![OURS, RESTATE, LANGGRAPH],
        None => vec![OURS],
    }
}

/// What the measurements read of the folder of the scripts.
const SCRIPTS: [&str; 5] = [
    "restate/run.sh",
    "restate/rust-service/Cargo.toml",
    "langgraph_bench.py",
    "load.mjs",
    "phys.py",
];

/// The folder of the scripts, or why there is none.
pub fn scripts() -> anyhow::Result<PathBuf> {
    scripts_beside(&tree::root())
}

fn scripts_beside(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.with_file_name("shared").join("bench").join("engines");
    for name in SCRIPTS {
        if !folder.join(name).is_file() {
            bail!(
                "`--peers` runs scripts that are not part of this repository, and `{name}` is not in `{}`: put the folder there, or leave `--peers` out",
                folder.display(),
            );
        }
    }
    Ok(folder)
}

impl Peers {
    /// Installs and builds what is not there yet, which takes minutes the first time.
    pub fn prepare(scripts: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("peers");
        let (service, sdk) = service(&scripts, &folder.join("rust-service"))?;
        server(&folder.join("restate"))?;
        let python = langgraph(&folder.join("langgraph"))?;
        Ok(Self { scripts, folder, service, sdk, python })
    }
}

/// Builds Restate's service where it can be written.
fn service(scripts: &Path, folder: &Path) -> anyhow::Result<(PathBuf, String)> {
    let from = scripts.join("restate/rust-service");
    std::fs::create_dir_all(folder.join("src")).context("cannot make a folder for a peer")?;
    for name in ["Cargo.toml", "src/main.rs"] {
        let text =
            std::fs::read(from.join(name)).with_context(|| format!("cannot read `{name}`"))?;
        let to = folder.join(name);
        // An older time would have cargo build again.
        if std::fs::read(&to).ok().as_ref() != Some(&text) {
            std::fs::write(&to, text).with_context(|| format!("cannot write `{name}`"))?;
        }
    }
    let mut command = cargo();
    command.args(["build", "--release", "--target-dir", "target"]).current_dir(folder);
    succeed(&mut command, "cannot build the service of Restate")?;
    let lock = std::fs::read_to_string(folder.join("Cargo.lock")).context("cannot read a lock")?;
    let sdk = locked(&lock, "restate-sdk").unwrap_or("unknown").to_owned();
    Ok((folder.join("target/release/rsvc"), sdk))
}

/// The script would install it, too, but silently, and then wait for ever for what is not there.
fn server(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).context("cannot make a folder for a peer")?;
    if folder.join("node_modules/@restatedev/restate-server").is_dir() {
        return Ok(());
    }
    let mut command = Command::new("npm");
    command.args(["install", "--prefix", ".", "--no-save"]);
    command.args(["@restatedev/restate-server", "@restatedev/restate-sdk"]).current_dir(folder);
    succeed(&mut command, "cannot install Restate with npm")
}

fn langgraph(folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).context("cannot make a folder for a peer")?;
    let python = folder.join("venv/bin/python");
    let mut import = Command::new(&python);
    import.args(["-c", "import langgraph.graph, langgraph.checkpoint.sqlite"]);
    let found = import.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Ok(python);
    }
    let mut command = Command::new("python3");
    command.args(["-m", "venv", "venv"]).current_dir(folder);
    succeed(&mut command, "cannot make a virtual environment")?;
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--quiet", "langgraph", "langgraph-checkpoint-sqlite"]);
    succeed(&mut command, "cannot install LangGraph with pip")?;
    Ok(python)
}

fn succeed(command: &mut Command, what: &str) -> anyhow::Result<()> {
    // What installers say is talk, and the table alone goes to stdout.
    let output = command.stdin(Stdio::null()).output().with_context(|| what.to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}", said.trim());
    Ok(())
}

/// The version of a package in a lock file of cargo's.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"\nversion = \"");
    lock.split_once(&name)?.1.split('"').next()
}

/// The first of some free ports in a row.
fn free_ports() -> anyhow::Result<u16> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut starts = (PORT_FIRST..=PORT_LAST).step_by(usize::from(PORTS));
    let start = starts.find(|start| (*start..*start + PORTS).all(is_free));
    start.with_context(|| format!("no {PORTS} free ports from {PORT_FIRST} to {PORT_LAST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a package whose name only begins alike.
    #[test]
    fn a_version_is_that_of_the_package_itself() {
        let lock = "[[package]]\nname = \"restate-sdk-macros\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"restate-sdk\"\nversion = \"0.13.0\"\n";
        assert_eq!(locked(lock, "restate-sdk"), Some("0.13.0"));
        assert_eq!(locked(lock, "restate"), None);
    }

    /// Mutation: look for the scripts in the repository, or go on without one of them.
    #[test]
    fn without_the_scripts_the_command_says_what_is_missing() {
        let root = tree::root().join("docs");
        let refused = scripts_beside(&root).expect_err("no scripts lie in the repository");
        let text = refused.to_string();
        assert!(text.contains("`restate/run.sh` is not in `"), "{text}");
        assert!(text.contains("leave `--peers` out"), "{text}");
    }

    /// Mutation: look at the first port only.
    #[test]
    fn free_ports_are_all_free() {
        let held = TcpListener::bind(("127.0.0.1", PORT_FIRST + 1));
        let first = free_ports().expect("some are free");
        if held.is_ok() {
            assert!(first >= PORT_FIRST + PORTS, "{first}");
        }
    }
}
