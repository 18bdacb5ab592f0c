//! The soak: half of what the machine can do, for hours. Do memory, latency and the store stay flat?
//!
//! For hours, each run that begins is one that is forgotten, and that costs too. So what the machine can
//! do is measured first in two parts: how fast runs go, and how fast they are forgotten.
//!
//! Runs begin by the clock, whether the last one has ended or not, and their latency counts from when
//! they should have begun: a server that stands still for a second is seen by everybody who came in
//! that second.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::connection::beginning;
use super::load::{Load, has_completed, latency_ms};
use super::long;
use super::machine::Machine;
use super::options::Options;
use super::process::{self, Resident, Usage, mebibytes};
use super::server::Server;
use super::workflow::{Workflow, asleep, fork, large, long_listen, ten_steps, ten_steps_forgotten};
use super::{Built, CROWD, Outcome, WARM_UP};

/// Rows of the table.
const INTERVALS: u32 = 24;

/// Before the soak, to know what half of it is.
const FULL_LOAD_TIME: Duration = Duration::from_secs(20);

/// One interval, as it was at its end.
struct Interval {
    minutes: f64,
    /// Of runs of ten steps, in order of length.
    latencies: Vec<Duration>,
    memory: Option<Resident>,
    threads: Option<u64>,
    files: Option<usize>,
    store_bytes: u64,
    usage: Option<Usage>,
    runs_in_store: u64,
}

/// What connections tell whoever writes the table.
#[derive(Default)]
struct Seen {
    latencies: Mutex<Vec<Duration>>,
    is_over: AtomicBool,
}

/// Beside runs of ten steps: each of these replaces one of so many.
struct Rare {
    every: u64,
    workflow: Workflow,
    /// Whether the run's end is waited for.
    is_awaited: bool,
}

pub fn run(built: &Built, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    let (data, config) = (built.folder.join("data"), built.folder.join("site.yaml"));
    // Within the soak, so that what is kept can be flat.
    let keep = format!("PT{}S", (options.seconds / u64::from(INTERVALS)).max(1));
    let text =
        format!("apiVersion: isonomy.dev/v1\nkind: Site\nspec:\n  retention:\n    keep: {keep}\n");
    std::fs::write(&config, text).context("cannot write `site.yaml`")?;
    let server = Server::start_configured(&built.isonomy, &data, &config)?;
    let (steps, rare) = (ten_steps(), rare());
    server.prepare(&steps)?;
    for it in &rare {
        server.apply(&it.workflow)?;
    }
    let full = full_load(&server)?;
    let rate = full.sustained() / 2.0;
    eprintln!("{full}; {rate:.0} from now on");
    let time = Duration::from_secs(options.seconds);
    let intervals = soak(&server, &data, &steps, &rare, rate, time)?;
    server.stop()?;
    let text = format!("{machine}\n\n{}", table(&intervals, &full, rate));
    let intervals: Value = intervals.iter().map(Interval::json).collect();
    let json = json!({
        "machine": machine.json(), "runsPerSecondFull": full.runs, "forgottenPerSecondFull": full.forgotten,
        "runsPerSecond": rate,
        "keep": keep, "intervals": intervals,
    });
    Ok(Outcome { text, json })
}

fn rare() -> [Rare; 4] {
    [
        Rare { every: 200, workflow: fork(), is_awaited: true },
        Rare { every: 101, workflow: large(), is_awaited: true },
        Rare { every: 211, workflow: long_listen(20), is_awaited: true },
        Rare { every: 41, workflow: asleep(30), is_awaited: false },
    ]
}

/// What the machine can do, a second each, one of the two at a time.
struct FullLoad {
    runs: f64,
    forgotten: f64,
}

impl FullLoad {
    /// Runs a second when as many are forgotten.
    fn sustained(&self) -> f64 {
        1.0 / (1.0 / self.runs + 1.0 / self.forgotten)
    }
}

impl fmt::Display for FullLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, forgotten } = self;
        let sustained = self.sustained();
        write!(f, "{runs:.0} runs/s, or {forgotten:.0} forgotten/s: {sustained:.0}/s with both")
    }
}

fn full_load(server: &Server) -> anyhow::Result<FullLoad> {
    let workflow = &ten_steps_forgotten();
    server.prepare(workflow)?;
    let load = Load { workflow, connections: CROWD, warm_up: WARM_UP, time: FULL_LOAD_TIME };
    let runs = load.run(server)?.latencies.len() as f64 / FULL_LOAD_TIME.as_secs_f64();
    // Until all are due: they are kept for a second.
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    let first = long::compact(server)?;
    let forgotten = first.runs as f64 / began.elapsed().as_secs_f64();
    ensure!(forgotten > 0.0, "no run was forgotten");
    while long::compact(server)?.more {}
    Ok(FullLoad { runs, forgotten })
}

fn soak(
    server: &Server,
    data: &Path,
    steps: &Workflow,
    rare: &[Rare],
    rate: f64,
    time: Duration,
) -> anyhow::Result<Vec<Interval>> {
    let seen = Seen::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let connections: Vec<_> = (0..CROWD as u64)
            .map(|first| {
                let turns = Turns { began, rate, first, time };
                let seen = &seen;
                scope.spawn(move || {
                    let outcome = turns.take(server, steps, rare, seen);
                    if outcome.is_err() {
                        seen.is_over.store(true, Ordering::Relaxed);
                    }
                    outcome
                })
            })
            .collect();
        let mut intervals = Vec::new();
        let mut usage = process::usage(server.pid());
        println!("{HEAD}");
        for number in 1..=INTERVALS {
            let end = began + time * number / INTERVALS;
            while Instant::now() < end && !seen.is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
            }
            if seen.is_over.load(Ordering::Relaxed) {
                break;
            }
            let interval = look(server, data, &seen, began, &mut usage)?;
            println!("{}", interval.row());
            intervals.push(interval);
        }
        seen.is_over.store(true, Ordering::Relaxed);
        for connection in connections {
            connection.join().expect("a connection does not panic")?;
        }
        Ok(intervals)
    })
}

/// When one connection's runs begin.
struct Turns {
    began: Instant,
    /// Of all connections together.
    rate: f64,
    first: u64,
    time: Duration,
}

impl Turns {
    fn take(
        &self,
        server: &Server,
        steps: &Workflow,
        rare: &[Rare],
        seen: &Seen,
    ) -> anyhow::Result<()> {
        let mut connection = server.connect()?;
        let usual = server.start_request(&connection, steps);
        let rare: Vec<_> = rare
            .iter()
            .map(|it| match it.is_awaited {
                true => (it, server.start_request(&connection, &it.workflow)),
                false => (it, server.detach_request(&connection, &it.workflow)),
            })
            .collect();
        let mut number = self.first;
        while !seen.is_over.load(Ordering::Relaxed) {
            let due = self.began + Duration::from_secs_f64(number as f64 / self.rate);
            if due >= self.began + self.time {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let other = rare.iter().find(|(it, _)| number % it.every == it.every - 1);
            let request = other.map_or(&usual, |(_, request)| request);
            let body = connection.send(request)?.success("cannot start a run")?;
            if other.is_none_or(|(it, _)| it.is_awaited) {
                ensure!(has_completed(&body), "a run did not complete: {}", beginning(&body));
            }
            if other.is_none() {
                let latencies = &mut *seen.latencies.lock().unwrap_or_else(PoisonError::into_inner);
                latencies.push(due.elapsed());
            }
            number += CROWD as u64;
        }
        Ok(())
    }
}

fn look(
    server: &Server,
    data: &Path,
    seen: &Seen,
    began: Instant,
    usage: &mut Option<Usage>,
) -> anyhow::Result<Interval> {
    let mut latencies =
        std::mem::take(&mut *seen.latencies.lock().unwrap_or_else(PoisonError::into_inner));
    latencies.sort_unstable();
    let now = process::usage(server.pid());
    let used = Usage::between(std::mem::replace(usage, now), now);
    Ok(Interval {
        minutes: began.elapsed().as_secs_f64() / 60.0,
        latencies,
        memory: process::memory(server.pid()),
        threads: process::threads(server.pid()),
        files: process::files(server.pid()),
        store_bytes: long::size(data)?,
        usage: used,
        runs_in_store: server.runs_in("completed")?,
    })
}

const HEAD: &str = "| minute | runs of ten steps | p50, ms | p99, ms | p99.9, ms | most, ms | RssAnon, MiB | VmRSS, MiB | threads | open files | store, MiB | ended runs kept | processor time, s |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

fn table(intervals: &[Interval], full: &FullLoad, rate: f64) -> String {
    let mut text = format!("{full}; {rate:.0} runs/s here\n\n{HEAD}\n");
    for interval in intervals {
        text += &interval.row();
        text.push('\n');
    }
    text
}

impl Interval {
    fn ms(&self, share: f64) -> f64 {
        latency_ms(&self.latencies, share)
    }

    fn row(&self) -> String {
        let mib = |of: fn(Resident) -> u64| {
            self.memory.map_or_else(String::new, |it| format!("{:.1}", mebibytes(of(it))))
        };
        let shown = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
        format!(
            "| {:.0} | {} | {:.1} | {:.1} | {:.1} | {:.0} | {} | {} | {} | {} | {:.0} | {} | {:.0} |",
            self.minutes,
            self.latencies.len(),
            self.ms(0.5),
            self.ms(0.99),
            self.ms(0.999),
            self.ms(1.0),
            mib(|it| it.anonymous),
            mib(|it| it.whole),
            shown(self.threads),
            shown(self.files.map(|it| it as u64)),
            mebibytes(self.store_bytes),
            self.runs_in_store,
            self.usage.map_or(0.0, |it| it.processor.as_secs_f64()),
        )
    }

    fn json(&self) -> Value {
        json!({
            "minutes": self.minutes, "runs": self.latencies.len(), "p50Ms": self.ms(0.5),
            "p99Ms": self.ms(0.99), "p999Ms": self.ms(0.999), "mostMs": self.ms(1.0),
            "anonymousBytes": self.memory.map(|it| it.anonymous),
            "residentBytes": self.memory.map(|it| it.whole),
            "threads": self.threads, "openFiles": self.files, "storeBytes": self.store_bytes,
            "endedRunsKept": self.runs_in_store,
            "processorSeconds": self.usage.map(|it| it.processor.as_secs_f64()),
            "bytesWritten": self.usage.map(|it| it.written),
        })
    }
}
