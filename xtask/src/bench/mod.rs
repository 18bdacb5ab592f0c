//! `cargo xtask bench engine`: W1, durable steps per second through the HTTP API of a real server
//! process, beside what SQLite alone does on the same disk in the same run.
//!
//! W1: runs of a workflow with ten steps, each the function `echo:1.0.0@default`, each with one
//! fsynced commit before the next. One run at a time, and 64 at once. Figures of one machine say
//! little; ratios within one run say more, so everything is repeated in turn.

mod connection;
mod floor;
mod load;
mod process;
mod report;
mod server;
pub mod validate;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use self::floor::Floor;
use self::load::{Load, Measured};
use self::report::{Memory, Report, Round, W1};
use self::server::Server;
use crate::test::cargo;
use crate::tree;

/// Steps of the workflow; a step is one call of `echo`.
pub const STEPS: u64 = 10;

/// Long enough for connections, caches and the write-ahead log to have settled.
const WARM_UP: Duration = Duration::from_secs(1);

/// Runs at once.
const CROWD: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Of every measurement.
    seconds: u64,
    repeats: u64,
    /// Between the last load and the look at the memory.
    idle_seconds: u64,
    /// Whether the site's own count of fsyncs is compared with that of `strace`.
    has_strace: bool,
}

impl Options {
    pub fn parse(flags: &[&str]) -> Result<Self, String> {
        let mut options = Self { seconds: 5, repeats: 3, idle_seconds: 60, has_strace: false };
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let mut number = || {
                let text = flags.next().ok_or_else(|| format!("`{flag}` wants a number"))?;
                text.parse().map_err(|_| format!("`{flag}` wants a number, not `{text}`"))
            };
            match *flag {
                "--secs" => options.seconds = number()?,
                "--repeats" => options.repeats = number()?,
                "--idle" => options.idle_seconds = number()?,
                "--strace" => options.has_strace = true,
                "--peers" => {
                    return Err("`--peers` is not there yet: no other engine is started, and no figure of one is printed".to_owned());
                }
                _ => return Err(format!("`bench engine` does not know `{flag}`")),
            }
        }
        if options.seconds == 0 || options.repeats == 0 {
            return Err("`--secs` and `--repeats` are at least 1".to_owned());
        }
        Ok(options)
    }
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let built = build()?;
    let folder = built.target.join("bench");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make `{}`", folder.display()))?;
    let time = Duration::from_secs(options.seconds);
    let mut rounds = Vec::new();
    let mut memory = None;
    let mut counted = None;
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}", options.repeats);
        let alone = floor::measure(&built.floor, &folder, 1, time)?;
        let batched = floor::measure(&built.floor, &folder, CROWD, time)?;
        let mut server = Server::start(&built.isonomy, &folder.join("data"))?;
        server.prepare()?;
        let one = w1(&server, 1, time)?;
        let crowd = w1(&server, CROWD, time)?;
        rounds.push(round(alone, batched, one, crowd));
        if number == options.repeats {
            eprintln!("idle for {} s", options.idle_seconds);
            std::thread::sleep(Duration::from_secs(options.idle_seconds));
            memory = process::memory(server.pid())
                .map(|figures| Memory { seconds_after: options.idle_seconds, figures });
            if options.has_strace {
                counted = Some(server::count_fsyncs(&server, &folder, &load(CROWD, time))?);
            }
        }
        server.stop()?;
    }
    let report = Report { seconds: options.seconds, rounds, memory, counted };
    print!("{}", report.markdown());
    let file = folder.join("engine.json");
    let json = serde_json::to_string_pretty(&report.json()).context("a report is JSON")?;
    std::fs::write(&file, json).with_context(|| format!("cannot write `{}`", file.display()))?;
    eprintln!("written to {}", file.display());
    Ok(())
}

fn round(alone: Floor, batched: Floor, one: W1, crowd: W1) -> Round {
    eprintln!(
        "  sqlite {:.0}/s, with {CROWD} rows a commit {:.0}/s; steps {:.0}/s, with {CROWD} runs {:.0}/s",
        alone.rows_per_second,
        batched.rows_per_second,
        one.steps_per_second(),
        crowd.steps_per_second(),
    );
    Round { alone, batched, one, crowd }
}

const fn load(connections: usize, time: Duration) -> Load {
    Load { connections, warm_up: WARM_UP, time }
}

/// One measurement, with what the server spent on it.
fn w1(server: &Server, connections: usize, time: Duration) -> anyhow::Result<W1> {
    let measured: Measured = load(connections, time).run(server)?;
    let steps = measured.latencies.len() as u64 * STEPS;
    ensure!(steps > 0, "no run ended within {} s", time.as_secs());
    Ok(W1::new(connections, time, measured))
}

struct Built {
    isonomy: PathBuf,
    floor: PathBuf,
    target: PathBuf,
}

/// Both programs in one go, so that they share every dependency.
fn build() -> anyhow::Result<Built> {
    let status = Command::new(cargo())
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
    Ok(Built { isonomy: program("isonomy"), floor: program("examples/sqlite_floor"), target })
}

fn target_folder() -> anyhow::Result<PathBuf> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(tree::root())
        .output()
        .context("cannot start `cargo metadata`")?;
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` gave no JSON")?;
    let folder = json["target_directory"].as_str().context("`cargo metadata` names no folder")?;
    Ok(PathBuf::from(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a flag that is not known, or zero seconds, or print peers that were not run.
    #[test]
    fn flags_are_read_or_refused() {
        let parsed = Options::parse(&["--secs", "2", "--idle", "0", "--strace"]);
        let expected = Options { seconds: 2, repeats: 3, idle_seconds: 0, has_strace: true };
        assert_eq!(parsed, Ok(expected));
        for wrong in
            [&["--secs"] as &[&str], &["--secs", "x"], &["--secs", "0"], &["--what"], &["--peers"]]
        {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
