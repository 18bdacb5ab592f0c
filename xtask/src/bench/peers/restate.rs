//! Restate: its server, and a service in a process of its own, by `restate/run.sh` with eight
//! partitions. W1 and W3 with the Rust SDK; W2 and W4 with the TypeScript SDK, since the script's
//! service in Rust has only the row of steps.

use std::process::Command;

use anyhow::Context;

use super::super::process::{Resident, Usage};
use super::super::{fork, rest};
use super::Peers;
use super::said::{load, number_after};
use super::steps::{Cost, Measured, Steps};
use super::watch::{Line, place, watch};

pub const SERVER: &str = "restate-server";
const SERVICE: &str = "rsvc";

/// With the Rust SDK, or else with the TypeScript SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sdk {
    Rust,
    TypeScript,
}

/// W1, and what the script says of its versions.
pub fn steps(peers: &Peers, seconds: u64) -> anyhow::Result<Steps> {
    read_steps(&watch(command(peers, Sdk::Rust, seconds)?, |text| text.starts_with("W2"))?)
}

/// The script's lines of W1, for whoever looks at more than its figures.
pub fn steps_lines(peers: &Peers, seconds: u64, through: &[String]) -> anyhow::Result<Vec<Line>> {
    let command = prefixed(through, &command(peers, Sdk::Rust, seconds)?);
    watch(command, |text| text.starts_with("W2"))
}

/// W2: p50 and p99 of a fork of 100, one at a time.
pub fn fork(peers: &Peers) -> anyhow::Result<fork::Figures> {
    let is_last = |text: &str| text.contains("RSS after load");
    let lines = watch(command(peers, Sdk::TypeScript, 1)?, is_last)?;
    let at = place(&lines, "W2", |text| text.starts_with("W2"))?;
    let said = load(&lines.get(at + 1).context("the script ends at W2")?.text)?;
    Ok(fork::Figures { p50_ms: said.p50_ms, p99_ms: said.p99_ms })
}

/// W3: until the server is ready, and its memory and its service's five seconds later.
pub fn rest(peers: &Peers) -> anyhow::Result<rest::Figures> {
    let is_idle = |text: &str| text.starts_with("idle RSS");
    let lines = watch(command(peers, Sdk::Rust, 1)?, is_idle)?;
    let ready = place(&lines, "when it was ready", |text| text.starts_with("server ready"))?;
    let idle = &lines[place(&lines, "what it holds", is_idle)?];
    let ready_ms = number_after(&lines[ready].text, "ready ms:")?;
    Ok(rest::Figures { ready_ms, fresh: together(idle), ..rest::Figures::default() })
}

/// W4: milliseconds from the start of everything until all runs have completed.
pub fn resume(peers: &Peers) -> anyhow::Result<f64> {
    let is_done = |text: &str| text.contains("all done ms:");
    let lines = watch(command(peers, Sdk::TypeScript, 1)?, is_done)?;
    let done = &lines[place(&lines, "when all were done", is_done)?].text;
    anyhow::ensure!(done.contains("\"c\":1000"), "not all runs have completed: `{done}`");
    number_after(done, "all done ms:")
}

/// Of the server and its service.
fn together(line: &Line) -> Option<Resident> {
    Some(line.memory(SERVER)? + line.memory(SERVICE)?)
}

fn command(peers: &Peers, sdk: Sdk, seconds: u64) -> anyhow::Result<Command> {
    let mut command = Command::new("bash");
    command.arg(peers.scripts.join("restate/run.sh"));
    command.env("WORK", peers.folder.join("restate")).env("PART", "8");
    command.env("P", super::free_ports()?.to_string()).env("SECS", seconds.to_string());
    // What the script would take for a wish, were it set here.
    command.env_remove("NOFSYNC").env_remove("NOW4").env_remove("SVCBIN");
    if sdk == Sdk::Rust {
        command.env("SVCBIN", &peers.service);
    }
    Ok(command)
}

/// The same command, through another one.
pub fn prefixed(through: &[String], command: &Command) -> Command {
    let Some((first, rest)) = through.split_first() else { unreachable!("a program has a name") };
    let mut prefixed = Command::new(first);
    prefixed.args(rest).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => prefixed.env(name, value),
            None => prefixed.env_remove(name),
        };
    }
    prefixed
}

/// Where a load begins and where it has been paid for, in lines.
pub fn phase(lines: &[Line], what: &str) -> anyhow::Result<(usize, usize)> {
    let start = place(lines, what, |text| text == what)?;
    // Behind the figures comes a line for which the script has waited for its load generator.
    anyhow::ensure!(lines.len() > start + 2, "the script ends at {what}");
    Ok((start, start + 2))
}

fn read_steps(lines: &[Line]) -> anyhow::Result<Steps> {
    let measured = |what: &str| -> anyhow::Result<Measured> {
        let (start, end) = phase(lines, what)?;
        let (before, after) = (&lines[start], &lines[end]);
        let between = |name: &str| Usage::between(before.usage(name), after.usage(name));
        let generator = before.ended().zip(after.ended());
        let (server, service) = (between(SERVER), between(SERVICE));
        let cost = Cost {
            server: server.map(|usage| usage.processor),
            worker: service.map(|usage| usage.processor),
            generator: generator.and_then(|(before, after)| after.checked_sub(before)),
            written: server.map(|usage| usage.written),
        };
        Ok(Measured::new(load(&lines[start + 1].text)?, cost))
    };
    let last = lines.last().context("the script says nothing")?;
    let version = place(lines, "its version", |text| text.starts_with("restate-server "))?;
    Ok(Steps {
        one: measured("W1 c=1")?,
        crowd: measured("W1 c=64")?,
        memory: together(last),
        version: lines[version].text.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::watch::tests::line;
    use super::*;

    /// Mutation: count the load generator or the service with the server, or take the memory of the
    /// beginning.
    #[test]
    fn server_service_and_load_are_told_apart() {
        let json = |runs: u64| {
            format!("{{\"wf\":{runs},\"err\":0,\"steps_s\":50,\"p50_ms\":1.5,\"p99_ms\":2.5}}")
        };
        let at = |bash, server, service, written| {
            [("bash", bash, 0), (SERVER, server, written), (SERVICE, service, 0), ("node", 9, 9)]
        };
        let lines = [
            line("restate-server 1.7.12", &at(0, 0, 0, 0)),
            line("W1 c=1", &at(10, 100, 10, 1_000)),
            line(&json(10), &at(10, 200, 20, 2_000)),
            line("  cpu ticks", &at(40, 210, 20, 3_000)),
            line("W1 c=64", &at(40, 210, 20, 3_000)),
            line(&json(100), &at(40, 900, 70, 9_000)),
            line("  cpu ticks", &at(80, 1_210, 120, 13_000)),
            line("W2 fan 100, c=1", &at(80, 1_210, 120, 13_000)),
        ];
        let steps = read_steps(&lines).expect("a whole script");
        assert_eq!(steps.version, "restate-server 1.7.12");
        assert_eq!(steps.one.server_us(), Some(1_100.0));
        assert_eq!(steps.crowd.server_us(), Some(1_000.0));
        assert_eq!(steps.crowd.worker_us(), Some(100.0));
        assert_eq!(steps.crowd.generator_us(), Some(40.0));
        assert_eq!(steps.crowd.written(), Some(10.0));
        assert_eq!(steps.memory.expect("both").whole, 4 << 20);
        assert!(read_steps(&lines[..5]).is_err());
    }
}
