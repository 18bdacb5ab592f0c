//! `cargo xtask clients`: installs the packages of `testing/clients` below the target directory, in the versions
//! and with the digests that lie there, so that the tests of the command line can run real clients.
//!
//! A machine without Python, Node or a registry builds and tests everything else: there, those tests say that
//! they are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::tree;

const FOLDER: &str = "testing/clients";

/// Says for what it was installed; without it a folder is not whole.
const INSTALLED: &str = "installed";

/// Tries of a registry that does not answer, after the first.
const RETRIES: &str = "1";

struct Kind {
    what: &'static str,
    /// Below [`folder`]
    folder: &'static str,
    /// What is to be installed.
    files: &'static [&'static str],
    install: fn(&Path) -> anyhow::Result<()>,
}

const KINDS: [Kind; 2] = [
    Kind {
        what: "clients in Python",
        folder: "venv",
        files: &["requirements.txt"],
        install: install_for_python,
    },
    Kind {
        what: "clients in Node",
        folder: "node_modules",
        files: &["package.json", "package-lock.json"],
        install: install_for_node,
    },
];

/// Where the tests look for them.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    tree::root().join(target.unwrap_or_else(|| "target".into())).join("clients")
}

/// Installs what is missing or of other versions.
pub fn run() -> anyhow::Result<()> {
    let folder = folder();
    fs::create_dir_all(&folder).context("cannot make the folder of the clients")?;
    for kind in KINDS {
        kind.bring(&folder).with_context(|| format!("cannot install the {}", kind.what))?;
    }
    Ok(())
}

/// As [`run`], where the tests go on without them.
pub fn try_run() -> anyhow::Result<()> {
    if let Err(wrong) = run() {
        eprintln!("warning: {wrong:#}\nthe tests that need them are skipped");
    }
    Ok(())
}

impl Kind {
    fn bring(&self, folder: &Path) -> anyhow::Result<()> {
        let text = |name: &&str| {
            let path = Path::new(FOLDER).join(name);
            tree::text(&path).with_context(|| format!("cannot read `{}`", path.display()))
        };
        let wanted = self.files.iter().map(text).collect::<anyhow::Result<String>>()?;
        let installed = folder.join(self.folder).join(INSTALLED);
        if fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
            return Ok(());
        }
        // A half of two versions is neither.
        let _ = fs::remove_dir_all(folder.join(self.folder));
        for name in self.files {
            let from = tree::root().join(FOLDER).join(name);
            fs::copy(from, folder.join(name)).with_context(|| format!("cannot copy `{name}`"))?;
        }
        eprintln!("installing {}", self.what);
        (self.install)(folder)?;
        fs::write(&installed, wanted).context("cannot say that they are there")
    }
}

fn install_for_python(folder: &Path) -> anyhow::Result<()> {
    succeed(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder))?;
    let mut pip = Command::new(folder.join("venv/bin/python"));
    // Nothing is built, and nothing runs while it is installed.
    pip.args(["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]);
    pip.args(["--retries", RETRIES, "-r", "requirements.txt"]);
    succeed(pip.current_dir(folder))
}

fn install_for_node(folder: &Path) -> anyhow::Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]);
    npm.args(["--fetch-retries", RETRIES]);
    succeed(npm.current_dir(folder))
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start `{program}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program}` ended with {}: {}", output.status, said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: let a version be chosen on the day of the test, or a package come without its digest.
    #[test]
    fn every_package_has_one_version_and_a_digest() {
        let python = tree::text(&Path::new(FOLDER).join("requirements.txt")).expect("a text");
        for line in python.lines().filter(|line| !line.starts_with(' ')) {
            assert!(line.contains("==") && line.ends_with('\\'), "{line}");
        }
        let node = tree::text(&Path::new(FOLDER).join("package-lock.json")).expect("a text");
        let node: serde_json::Value = serde_json::from_str(&node).expect("JSON");
        let packages = node["packages"].as_object().expect("packages");
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].is_string(), "{name}");
        }
    }
}
