//! LangGraph with its SQLite checkpointer, a library in the process of its application, by
//! `langgraph_bench.py`, with a checkpoint before each next step.

use std::process::Command;

use anyhow::Context;

use super::super::process::Usage;
use super::super::{fork, rest};
use super::Peers;
use super::restate::prefixed;
use super::said::{is_load, load, number_after};
use super::steps::{Cost, Measured, Steps};
use super::watch::{Line, place, watch};

const PROCESS: &str = "python";

pub const ONE: &str = "\"W1 c=1\"";
pub const CROWD: &str = "\"W1 threads c=64\"";

pub fn steps(peers: &Peers, seconds: u64) -> anyhow::Result<Steps> {
    read_steps(&watch(command(peers, seconds)?, |text| text.contains(CROWD))?)
}

pub fn steps_lines(peers: &Peers, seconds: u64, through: &[String]) -> anyhow::Result<Vec<Line>> {
    watch(prefixed(through, &command(peers, seconds)?), |text| text.contains(CROWD))
}

/// W2: p50 and p99 of a fork of 100, one at a time.
pub fn fork(peers: &Peers) -> anyhow::Result<fork::Figures> {
    let is_fork = |text: &str| text.contains("\"W2 fan 100\"");
    let lines = watch(command(peers, 1)?, is_fork)?;
    let said = load(&lines[place(&lines, "W2", is_fork)?].text)?;
    Ok(fork::Figures { p50_ms: said.p50_ms, p99_ms: said.p99_ms })
}

/// W3: until it could be called, and its memory then.
pub fn rest(peers: &Peers) -> anyhow::Result<rest::Figures> {
    let is_ready = |text: &str| text.contains("ready ms");
    let lines = watch(command(peers, 1)?, is_ready)?;
    let ready = &lines[place(&lines, "when it was ready", is_ready)?];
    let ready_ms = number_after(&ready.text, "ready ms")?;
    Ok(rest::Figures { ready_ms, fresh: ready.memory(PROCESS), ..rest::Figures::default() })
}

/// W4, as far as it goes: the application calls a thousand stopped threads again. Nothing is killed.
pub fn resume(peers: &Peers) -> anyhow::Result<f64> {
    let is_done = |text: &str| text.starts_with("W4-like");
    let lines = watch(command(peers, 1)?, is_done)?;
    number_after(&lines[place(&lines, "when all were done", is_done)?].text, ": ms")
}

fn command(peers: &Peers, seconds: u64) -> anyhow::Result<Command> {
    let folder = peers.folder.join("langgraph");
    for name in ["bench.db", "bench.db-wal", "bench.db-shm"] {
        let file = folder.join(name);
        if file.exists() {
            std::fs::remove_file(&file)
                .with_context(|| format!("cannot remove `{}`", file.display()))?;
        }
    }
    let mut command = Command::new(&peers.python);
    command.arg(peers.scripts.join("langgraph_bench.py"));
    command.arg(format!("sqlite:{}", folder.join("bench.db").display()));
    // Lines are where phases begin and end, so they must come when they are printed.
    command.env("PYTHONUNBUFFERED", "1").env("SECS", seconds.to_string());
    Ok(command)
}

/// The phase whose figures stand in this line begins at the line before.
pub fn phase(lines: &[Line], what: &str) -> anyhow::Result<(usize, usize)> {
    let end = place(lines, what, |text| is_load(text) && text.contains(what))?;
    Ok((end.checked_sub(1).context("nothing comes before the first load")?, end))
}

fn read_steps(lines: &[Line]) -> anyhow::Result<Steps> {
    let measured = |what: &str| -> anyhow::Result<Measured> {
        let (start, end) = phase(lines, what)?;
        let usage = Usage::between(lines[start].usage(PROCESS), lines[end].usage(PROCESS));
        // Steps, store and load are one process here.
        let cost = Cost {
            server: usage.map(|usage| usage.processor),
            worker: None,
            generator: None,
            written: usage.map(|usage| usage.written),
        };
        Ok(Measured::new(load(&lines[end].text)?, cost))
    };
    let last = lines.last().context("the script says nothing")?;
    let ready = &lines[place(lines, "its version", |text| text.starts_with("langgraph "))?].text;
    let version = ready.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(Steps {
        one: measured(ONE)?,
        crowd: measured(CROWD)?,
        memory: last.memory(PROCESS),
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::super::watch::tests::line;
    use super::*;

    /// Mutation: count from the beginning of the process, where it imports its libraries.
    #[test]
    fn a_phase_lasts_from_the_line_before_to_its_figures() {
        let json = |what: &str, runs: u64| {
            format!(
                "{{\"test\": {what}, \"wf\": {runs}, \"steps_s\": 50, \"p50_ms\": 1.5, \"p99_ms\": 2.5}}"
            )
        };
        let lines = [
            line("langgraph 1.2.22 sqlite ready ms 887 rss KiB 71476", &[(PROCESS, 800, 0)]),
            line("pragmas ('wal',) (2,)", &[(PROCESS, 900, 1_000)]),
            line(&json(ONE, 10), &[(PROCESS, 1_000, 3_000)]),
            line(&json(CROWD, 100), &[(PROCESS, 3_000, 13_000)]),
        ];
        let steps = read_steps(&lines).expect("a whole script");
        assert_eq!(steps.version, "langgraph 1.2.22");
        assert_eq!(steps.one.server_us(), Some(1_000.0));
        assert_eq!((steps.crowd.server_us(), steps.crowd.written()), (Some(2_000.0), Some(10.0)));
        assert_eq!(steps.crowd.generator_us(), None);
        assert!(read_steps(&lines[..3]).is_err());
    }
}
