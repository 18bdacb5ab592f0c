//! The report: one table for people, one JSON file for whoever compares.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::floor::Floor;
use super::load::Measured;
use super::process::{Resident, Usage, mebibytes};
use super::server::Counted;
use super::workflow::STEPS;

pub struct Report {
    pub seconds: u64,
    pub rounds: Vec<Round>,
    pub memory: Option<Memory>,
    pub counted: Option<Counted>,
}

/// Everything once, in turn.
pub struct Round {
    pub alone: Floor,
    pub batched: Floor,
    pub one: W1,
    pub crowd: W1,
}

pub struct Memory {
    pub seconds_after: u64,
    pub figures: Resident,
}

/// One measurement of W1.
pub struct W1 {
    connections: usize,
    time: Duration,
    measured: Measured,
}

impl W1 {
    #[must_use]
    pub const fn new(connections: usize, time: Duration, measured: Measured) -> Self {
        Self { connections, time, measured }
    }

    #[must_use]
    pub fn steps_per_second(&self) -> f64 {
        (self.measured.latencies.len() as u64 * STEPS) as f64 / self.time.as_secs_f64()
    }

    /// Of a whole run.
    #[must_use]
    pub fn latency_ms(&self, share: f64) -> f64 {
        self.measured.latency_ms(share)
    }

    #[must_use]
    pub fn runs_measured(&self) -> u64 {
        self.measured.latencies.len() as u64
    }

    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.measured.server.usage
    }

    /// Processor time of the load generator.
    #[must_use]
    pub const fn own_processor(&self) -> Option<Duration> {
        self.measured.own
    }

    /// Steps of all runs that the server's figures cover.
    #[must_use]
    pub fn steps(&self) -> f64 {
        (self.measured.runs * STEPS) as f64
    }

    fn processor_us_per_step(&self) -> Option<f64> {
        let usage = self.measured.server.usage?;
        Some(usage.processor.as_secs_f64() * 1e6 / self.steps())
    }

    fn own_processor_us_per_step(&self) -> Option<f64> {
        Some(self.measured.own?.as_secs_f64() * 1e6 / self.steps())
    }

    fn written_per_step(&self) -> Option<f64> {
        Some(self.measured.server.usage?.written as f64 / self.steps())
    }

    #[must_use]
    pub fn commits_per_step(&self) -> f64 {
        self.measured.server.counters.commits as f64 / self.steps()
    }

    #[must_use]
    pub fn fsyncs_per_step(&self) -> f64 {
        self.measured.server.counters.fsyncs as f64 / self.steps()
    }

    fn commits_per_fsync(&self) -> f64 {
        let counters = self.measured.server.counters;
        counters.commits as f64 / counters.fsyncs.max(1) as f64
    }

    fn json(&self) -> Value {
        json!({
            "connections": self.connections,
            "runs": self.measured.latencies.len(),
            "stepsPerSecond": self.steps_per_second(),
            "runMsP50": self.latency_ms(0.5),
            "runMsP99": self.latency_ms(0.99),
            "serverProcessorUsPerStep": self.processor_us_per_step(),
            "loadProcessorUsPerStep": self.own_processor_us_per_step(),
            "bytesWrittenPerStep": self.written_per_step(),
            "commitsPerStep": self.commits_per_step(),
            "fsyncsPerStep": self.fsyncs_per_step(),
            "fsyncs": self.measured.server.counters.fsyncs,
        })
    }
}

impl Report {
    #[must_use]
    pub fn markdown(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut text = format!(
            "W1: {STEPS} durable steps a run, {} rounds of {} s in turn, {cores} cores; least to most\n\n| what | one at a time | 64 at once |\n|---|---|---|\n",
            self.rounds.len(),
            self.seconds,
        );
        let floors = (
            self.span(0, |it| it.alone.rows_per_second),
            self.span(0, |it| it.batched.rows_per_second),
        );
        row(&mut text, "SQLite alone, rows/s (1, 64 rows a commit)", &floors.0, &floors.1);
        self.both(&mut text, "steps/s", 0, |it| Some(it.steps_per_second()));
        let ratio = (
            self.span(2, |it| it.one.steps_per_second() / it.alone.rows_per_second),
            self.span(2, |it| it.crowd.steps_per_second() / it.batched.rows_per_second),
        );
        row(&mut text, "of SQLite alone", &ratio.0, &ratio.1);
        self.both(&mut text, "run, p50 ms", 2, |it| Some(it.latency_ms(0.5)));
        self.both(&mut text, "run, p99 ms", 2, |it| Some(it.latency_ms(0.99)));
        self.both(&mut text, "server's processor time, µs/step", 0, W1::processor_us_per_step);
        self.both(&mut text, "load generator's, µs/step", 0, W1::own_processor_us_per_step);
        self.both(&mut text, "commits/step", 2, |it| Some(it.commits_per_step()));
        self.both(&mut text, "fsyncs/step", 3, |it| Some(it.fsyncs_per_step()));
        self.both(&mut text, "commits/fsync", 1, |it| Some(it.commits_per_fsync()));
        self.both(&mut text, "bytes written/step", 0, W1::written_per_step);
        if let Some(memory) = &self.memory {
            let _ = writeln!(
                text,
                "\nMemory {} s after the load: {:.1} MiB resident, {:.1} MiB of it anonymous.",
                memory.seconds_after,
                mebibytes(memory.figures.whole),
                mebibytes(memory.figures.anonymous),
            );
        }
        if let Some(counted) = self.counted {
            let _ = writeln!(
                text,
                "\nFsyncs of one more load: {} as the site counts them, {} as strace does.",
                counted.by_site, counted.by_strace,
            );
        }
        text
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let rounds = self.rounds.iter().map(|round| {
            json!({
                "sqliteRowsPerSecond": round.alone.rows_per_second,
                "sqliteRowsPerSecondBatched": round.batched.rows_per_second,
                "sqliteCommitsPerSecondBatched": round.batched.commits_per_second,
                "one": round.one.json(),
                "crowd": round.crowd.json(),
            })
        });
        json!({
            "workload": "W1",
            "steps": STEPS,
            "seconds": self.seconds,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "rounds": rounds.collect::<Vec<_>>(),
            "memory": self.memory.as_ref().map(|memory| json!({
                "secondsAfter": memory.seconds_after,
                "residentBytes": memory.figures.whole,
                "anonymousBytes": memory.figures.anonymous,
            })),
            "fsyncsCounted": self.counted.map(|counted| json!({
                "bySite": counted.by_site,
                "byStrace": counted.by_strace,
            })),
        })
    }

    fn both(&self, text: &mut String, what: &str, digits: usize, of: impl Fn(&W1) -> Option<f64>) {
        let one = span(self.rounds.iter().map(|round| of(&round.one)), digits);
        let crowd = span(self.rounds.iter().map(|round| of(&round.crowd)), digits);
        row(text, what, &one, &crowd);
    }

    fn span(&self, digits: usize, of: impl Fn(&Round) -> f64) -> String {
        span(self.rounds.iter().map(|round| Some(of(round))), digits)
    }
}

fn row(text: &mut String, what: &str, one: &str, crowd: &str) {
    let _ = writeln!(text, "| {what} | {one} | {crowd} |");
}

/// Least and most; a dash where the system does not say.
fn span(values: impl Iterator<Item = Option<f64>>, digits: usize) -> String {
    let Some(values) = values.collect::<Option<Vec<f64>>>() else { return "–".to_owned() };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (least, most) = (format!("{least:.digits$}"), format!("{most:.digits$}"));
    if least == most { least } else { format!("{least} to {most}") }
}

#[cfg(test)]
mod tests {
    use super::super::load::Spent;
    use super::super::server::Counters;
    use super::*;

    fn w1(connections: usize, runs: u64) -> W1 {
        let latencies = (1..=runs).map(Duration::from_millis).collect();
        let usage = Usage { processor: Duration::from_millis(100), written: 400_000 };
        let counters = Counters { commits: runs * 20, batches: runs * 10, fsyncs: runs * 10 };
        let server = Spent { usage: Some(usage), counters };
        let measured = Measured { latencies, runs: runs * 2, server, own: None };
        W1::new(connections, Duration::from_secs(2), measured)
    }

    fn round(runs: u64) -> Round {
        let floor = Floor { rows_per_second: 1000.0, commits_per_second: 1000.0 };
        Round { alone: floor, batched: floor, one: w1(1, runs), crowd: w1(64, runs) }
    }

    /// Mutation: divide by the runs of the measured time where the warm-up's are meant, or show the
    /// mean of the rounds.
    #[test]
    fn the_table_shows_least_and_most_of_the_rounds() {
        let report =
            Report { seconds: 2, rounds: vec![round(100), round(50)], memory: None, counted: None };
        let text = report.markdown();
        for line in [
            "| steps/s | 250 to 500 | 250 to 500 |",
            "| of SQLite alone | 0.25 to 0.50 | 0.25 to 0.50 |",
            "| run, p50 ms | 26.00 to 51.00 | 26.00 to 51.00 |",
            "| run, p99 ms | 50.00 to 100.00 | 50.00 to 100.00 |",
            "| server's processor time, µs/step | 50 to 100 | 50 to 100 |",
            "| load generator's, µs/step | – | – |",
            "| commits/step | 1.00 | 1.00 |",
            "| fsyncs/step | 0.500 | 0.500 |",
            "| bytes written/step | 200 to 400 | 200 to 400 |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(report.json()["rounds"][1]["crowd"]["runs"], 50);
    }
}
