//! Fsyncs of a peer, counted by `strace` in a run of its own. With `--seccomp-bpf` only these two
//! system calls stop, so that the run goes on almost as fast; how fast is printed beside the count.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;

use super::said::{is_load, load};
use super::watch::Line;
use super::{Peers, langgraph, restate};

/// Of a run that is counted, not measured.
const SECONDS: u64 = 2;

const STEPS: f64 = super::super::workflow::STEPS as f64;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    pub fsyncs_per_step: f64,
    /// While they were counted.
    pub steps_per_second: f64,
}

/// One run at a time, and 64 at once.
pub struct Both {
    pub one: Counted,
    pub crowd: Counted,
}

/// Of Restate and LangGraph; without `strace`, or where it is not allowed, of none.
pub fn count(peers: &Peers) -> Option<[Both; 2]> {
    let counted = of_restate(peers).and_then(|restate| Ok([restate, of_langgraph(peers)?]));
    let left_out = |wrong: &anyhow::Error| eprintln!("  left out: {wrong:#}");
    counted.inspect_err(left_out).ok()
}

fn of_restate(peers: &Peers) -> anyhow::Result<Both> {
    let (through, log) = through(peers, "restate.strace");
    let lines = restate::steps_lines(peers, SECONDS, &through)?;
    both(&lines, &read(&log)?, ["W1 c=1", "W1 c=64"], restate::phase)
}

fn of_langgraph(peers: &Peers) -> anyhow::Result<Both> {
    let (through, log) = through(peers, "langgraph.strace");
    let lines = langgraph::steps_lines(peers, SECONDS, &through)?;
    both(&lines, &read(&log)?, [langgraph::ONE, langgraph::CROWD], langgraph::phase)
}

fn through(peers: &Peers, log: &str) -> (Vec<String>, std::path::PathBuf) {
    let log = peers.folder.join(log);
    let words = ["strace", "--seccomp-bpf", "-f", "-ttt", "-e", "trace=fsync,fdatasync", "-o"];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.push(log.display().to_string());
    (words, log)
}

type Phase = fn(&[Line], &str) -> anyhow::Result<(usize, usize)>;

fn read(log: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(log).context("`strace` wrote nothing")
}

fn both(lines: &[Line], log: &str, names: [&str; 2], phase: Phase) -> anyhow::Result<Both> {
    let counted = |name: &str| -> anyhow::Result<Counted> {
        let (start, end) = phase(lines, name)?;
        // The line that begins a phase may hold the figures of the one before.
        let mut behind = lines[start + 1..=end].iter();
        let figures = behind.find(|line| is_load(&line.text));
        let figures = figures.with_context(|| format!("no figures behind {name}"))?;
        let said = load(&figures.text)?;
        let since = |line: &Line| line.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let calls = calls(log, since(&lines[start]), since(figures));
        let fsyncs_per_step = calls as f64 / (said.runs as f64 * STEPS);
        Ok(Counted { fsyncs_per_step, steps_per_second: said.steps_per_second })
    };
    Ok(Both { one: counted(names[0])?, crowd: counted(names[1])? })
}

/// Calls that began within the time. A call that another thread interrupts has a second line, on
/// which it is `resumed`.
fn calls(log: &str, from: Duration, to: Duration) -> usize {
    let within = |line: &&str| {
        let mut words = line.split_whitespace();
        let time = words.nth(1).and_then(|word| word.parse().ok()).map(Duration::from_secs_f64);
        let is_call = words
            .next()
            .is_some_and(|word| word.starts_with("fsync(") || word.starts_with("fdatasync("));
        is_call && time.is_some_and(|time| from <= time && time < to)
    };
    log.lines().filter(within).count()
}

#[cfg(test)]
mod tests {
    use super::super::watch::tests::line;
    use super::*;

    /// Mutation: count the line on which a call is resumed, or calls of another phase.
    #[test]
    fn each_call_counts_once_and_in_its_phase() {
        let log = "7 99.5 fsync(3) = 0\n7 100.0 fsync(3) = 0\n8 100.5 fdatasync(4 <unfinished ...>\n7 100.6 fsync(3) = 0\n8 100.7 <... fdatasync resumed>) = 0\n7 101.0 fsync(3) = 0\n7 101.5 +++ exited with 0 +++\n";
        let second = Duration::from_secs;
        assert_eq!(calls(log, second(100), second(101)), 3);
        assert_eq!(calls(log, second(0), second(200)), 5);
    }

    /// Mutation: take the figures of the line with which a phase begins.
    #[test]
    fn a_phase_is_counted_by_its_own_figures() {
        let at = |seconds: u64, text: &str| Line {
            at: UNIX_EPOCH + Duration::from_secs(seconds),
            ..line(text, &[])
        };
        let json = |what: &str, speed: u64| {
            format!(
                "{{\"test\": {what}, \"wf\": 1, \"steps_s\": {speed}, \"p50_ms\": 1, \"p99_ms\": 1}}"
            )
        };
        let names = [langgraph::ONE, langgraph::CROWD];
        let lines = [at(10, "pragmas"), at(20, &json(names[0], 7)), at(30, &json(names[1], 8))];
        let log = "7 9 fsync(3) = 0\n7 11 fsync(3) = 0\n7 21 fsync(3) = 0\n7 22 fsync(3) = 0\n";
        let both = both(&lines, log, names, langgraph::phase).expect("two phases");
        let counted =
            |fsyncs_per_step, steps_per_second| Counted { fsyncs_per_step, steps_per_second };
        assert_eq!((both.one, both.crowd), (counted(0.1, 7.0), counted(0.2, 8.0)));
    }
}
