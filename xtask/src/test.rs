//! `cargo xtask test`: everything that must pass before a change goes in, in one order, each step
//! under its own heading and with the time it took.
//!
//! What the steps check is elsewhere: in the tests of each room, in `tests/repository`, in
//! `licence`. Everything is built in one profile, and with the same features in every step, so that
//! each package is checked once and built once.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::{clients, length, licence, source, tree};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Without documentation and licences: for the time between two edits.
    pub is_fast: bool,
}

impl Options {
    pub fn parse(flags: &[&str]) -> Result<Self, String> {
        match flags {
            [] => Ok(Self::default()),
            ["--fast"] => Ok(Self { is_fast: true }),
            _ => Err(format!("`test` takes `--fast` and nothing else, not `{}`", flags.join(" "))),
        }
    }
}

enum Step {
    Cargo { title: &'static str, arguments: Vec<&'static str>, environment: Vec<Setting> },
    Own { title: &'static str, repeat: &'static str, run: fn() -> anyhow::Result<()> },
}

type Setting = (&'static str, &'static str);

/// What a program that cargo runs is told of its own package.
const OURS: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Cargo as it started us, so that every step uses one toolchain. Without what it has told us of our own
/// package: a build script that looks at that (`ring`'s does) would have everything above it built again.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let is_ours = |name: &str| OURS.iter().any(|prefix| name.starts_with(prefix));
        if name.to_str().is_some_and(is_ours) {
            cargo.env_remove(name);
        }
    }
    cargo
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    prepare()?;
    let steps = steps(options, has("nextest"));
    let start = Instant::now();
    let mut times = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        eprintln!("\n== {}/{} {} ==", number + 1, steps.len(), step.title());
        let start = Instant::now();
        step.run().with_context(|| {
            format!("{} failed; repeat it with:\n  {}", step.title(), step.repeat())
        })?;
        times.push((step.title(), start.elapsed()));
        eprintln!("-- {} took {}", step.title(), seconds(start.elapsed()));
    }
    warn_of_long_ones();
    eprintln!("\n== all passed in {} ==", seconds(start.elapsed()));
    for (title, time) in times {
        eprintln!("{:>10}  {title}", seconds(time));
    }
    Ok(())
}

fn steps(options: &Options, has_nextest: bool) -> Vec<Step> {
    let cargo = |title, arguments: &[&'static str], environment: &[Setting]| Step::Cargo {
        title,
        arguments: arguments.to_vec(),
        environment: environment.to_vec(),
    };
    let mut steps = vec![
        cargo("format", &["fmt", "--all", "--check"], &[]),
        cargo(
            "clippy",
            &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
            &[],
        ),
        Step::Own { title: "real clients", repeat: "cargo xtask clients", run: clients::try_run },
    ];
    if has_nextest {
        let tests = ["nextest", "run", "--workspace", "--locked", "--profile", "ci"];
        let others = [tests.as_slice(), &["-E", "not binary(repository)"]].concat();
        let repository = [tests.as_slice(), &["--test", "repository"]].concat();
        steps.push(cargo("tests", &others, &[]));
        // nextest runs no examples in documentation.
        steps.push(cargo(
            "tests in documentation",
            &["test", "--workspace", "--locked", "--quiet", "--doc"],
            &[],
        ));
        steps.push(cargo("repository checks", &repository, &[]));
    } else {
        let tests = ["test", "--workspace", "--locked", "--no-fail-fast"];
        steps.push(cargo("tests and repository checks", &tests, &[]));
    }
    if !options.is_fast {
        let doc = ["doc", "--workspace", "--no-deps", "--locked"];
        steps.push(cargo("documentation", &doc, &[("RUSTDOCFLAGS", "-D warnings")]));
        steps.push(Step::Own {
            title: "licences",
            repeat: "cargo xtask licences",
            run: licence::run,
        });
        // With a feature that no other step has: only what it changes is built again.
        let with = ["--features", "isonomy-sandbox/candle", "--locked"];
        let rooms = ["-p", "isonomy-inference", "-p", "isonomy-sandbox"];
        let run: &[&str] =
            if has_nextest { &["nextest", "run", "--profile", "ci"] } else { &["test"] };
        steps.push(cargo("models of language", &[run, &rooms, &with].concat(), &[]));
    }
    steps
}

impl Step {
    const fn title(&self) -> &'static str {
        match self {
            Self::Cargo { title, .. } | Self::Own { title, .. } => title,
        }
    }

    /// The command to type.
    fn repeat(&self) -> String {
        match self {
            Self::Own { repeat, .. } => (*repeat).to_owned(),
            Self::Cargo { arguments, environment, .. } => {
                let quoted = |text: &str| {
                    if text.contains(' ') { format!("'{text}'") } else { text.to_owned() }
                };
                let settings =
                    environment.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
                let words = std::iter::once("cargo".to_owned())
                    .chain(arguments.iter().map(|it| quoted(it)));
                settings.chain(words).collect::<Vec<_>>().join(" ")
            }
        }
    }

    fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Own { run, .. } => run(),
            Self::Cargo { arguments, environment, .. } => {
                let status = cargo()
                    .args(arguments)
                    .envs(environment.iter().copied())
                    .current_dir(tree::root())
                    .status()
                    .context("cannot start cargo")?;
                ensure!(status.success(), "cargo ended with {status}");
                Ok(())
            }
        }
    }
}

/// Finds out before anything is built whether the machine has what the steps need, and installs
/// what rustup can install.
fn prepare() -> anyhow::Result<()> {
    ensure!(
        ["cc", "gcc", "clang"].iter().any(|compiler| on_path(compiler)),
        "no C compiler found: the store builds SQLite from its source\nhint: install one, such as the package `gcc` or `build-essential`",
    );
    for component in ["rustfmt", "clippy"] {
        let command = if component == "rustfmt" { "fmt" } else { component };
        if has(command) {
            continue;
        }
        eprintln!("{component} is missing; asking rustup for it");
        let added = Command::new("rustup").args(["component", "add", component]).status();
        if !added.is_ok_and(|status| status.success()) || !has(command) {
            bail!(
                "{component} is missing\nhint: `rustup component add {component}`, or your system's package of it"
            );
        }
    }
    if !has("nextest") {
        eprintln!("cargo-nextest is not installed: the tests run under plain `cargo test`");
    }
    Ok(())
}

fn has(subcommand: &str) -> bool {
    let asked = cargo()
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

fn on_path(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

fn warn_of_long_ones() {
    let long = length::longer_than(&source::all(), length::FILE_LINES, length::FUNCTION_LINES);
    if !long.is_empty() {
        eprintln!("\nwarning: {} long files or functions:\n  {}", long.len(), long.join("\n  "));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(is_fast: bool, has_nextest: bool) -> Vec<&'static str> {
        steps(&Options { is_fast }, has_nextest).iter().map(Step::title).collect()
    }

    /// Mutation: hand on what cargo has told us of our own package.
    #[test]
    fn cargo_is_not_told_of_our_own_package() {
        let told = |name: &str| std::env::var_os(name).is_some();
        let command = cargo();
        let removed = |name: &str| command.get_envs().any(|it| it == (name.as_ref(), None));
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(told(name) && removed(name), "{name}");
        }
        assert!(told("CARGO") && !removed("CARGO"));
    }

    /// Mutation: drop a step, with or without nextest.
    #[test]
    fn every_step_is_there_with_and_without_nextest() {
        let all = [
            "format",
            "clippy",
            "real clients",
            "tests",
            "tests in documentation",
            "repository checks",
            "documentation",
            "licences",
            "models of language",
        ];
        assert_eq!(titles(false, true), all);
        let plain = [
            "format",
            "clippy",
            "real clients",
            "tests and repository checks",
            "documentation",
            "licences",
            "models of language",
        ];
        assert_eq!(titles(false, false), plain);
        assert_eq!(titles(true, false), plain[..4]);
    }

    /// Mutation: leave the quotes or the environment out of `repeat`.
    #[test]
    fn the_command_to_repeat_a_step_can_be_typed() {
        let steps = steps(&Options::default(), true);
        assert_eq!(
            steps[3].repeat(),
            "cargo nextest run --workspace --locked --profile ci -E 'not binary(repository)'"
        );
        assert_eq!(
            steps[6].repeat(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked"
        );
    }

    /// Mutation: ignore a flag that is not known.
    #[test]
    fn unknown_flags_are_refused() {
        assert_eq!(Options::parse(&["--fast"]), Ok(Options { is_fast: true }));
        assert!(Options::parse(&["--quick"]).is_err());
    }
}
