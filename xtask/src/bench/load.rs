//! The load: a closed loop. Each connection starts a run, waits for its end, and starts the next.
//!
//! One thread for each connection that mostly waits costs little; what it costs is printed beside
//! the server's own processor time, since both share the machine.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::connection::beginning;
use super::process::{self, Usage};
use super::server::{Counters, Server};
use super::workflow::Workflow;

/// A thread here holds a connection and a few buffers.
const STACK_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub workflow: &'a Workflow,
    pub connections: usize,
    pub warm_up: Duration,
    pub time: Duration,
}

#[derive(Debug)]
pub struct Measured {
    /// Of each run that ended within the time, in order of length.
    pub latencies: Vec<Duration>,
    /// What the server did over the warm-up and the time together.
    pub server: Spent,
    /// All runs that ended, those of the warm-up too: what `server` was spent on.
    pub runs: u64,
    /// Processor time of the load generator itself.
    pub own: Option<Duration>,
}

#[derive(Debug, Default)]
pub struct Spent {
    pub usage: Option<Usage>,
    pub counters: Counters,
}

/// What one connection saw: when each run ended, counted from the start, and how long it took.
type Seen = Vec<(Duration, Duration)>;

impl Measured {
    /// Below which this share of the runs stayed.
    #[must_use]
    pub fn latency_ms(&self, share: f64) -> f64 {
        latency_ms(&self.latencies, share)
    }
}

/// Below which this share of latencies stayed, which are in order.
pub fn latency_ms(latencies: &[Duration], share: f64) -> f64 {
    let last = latencies.len().saturating_sub(1);
    let index = ((latencies.len() as f64 * share) as usize).min(last);
    latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

impl Load<'_> {
    pub fn run(&self, server: &Server) -> anyhow::Result<Measured> {
        let before = (process::usage(server.pid()), process::usage(std::process::id()));
        let counters = server.counters()?;
        let seen = self.seen(server)?;
        let after = (process::usage(server.pid()), process::usage(std::process::id()));
        let counters = server.counters()?.since(counters);
        let runs = seen.len() as u64;
        let within = |ended: Duration| ended >= self.warm_up && ended < self.warm_up + self.time;
        let measured = seen.into_iter().filter(|(ended, _)| within(*ended));
        let mut latencies: Vec<Duration> = measured.map(|(_, took)| took).collect();
        latencies.sort_unstable();
        Ok(Measured {
            latencies,
            runs,
            server: Spent { usage: Usage::between(before.0, after.0), counters },
            own: Usage::between(before.1, after.1).map(|usage| usage.processor),
        })
    }

    fn seen(&self, server: &Server) -> anyhow::Result<Seen> {
        let barrier = Barrier::new(self.connections);
        std::thread::scope(|scope| {
            let one = |index: usize| {
                let name = format!("connection {index}");
                let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES);
                thread
                    .spawn_scoped(scope, || self.one(server, &barrier))
                    .context("cannot start a thread")
            };
            let threads: Vec<_> = (0..self.connections).map(one).collect::<Result<_, _>>()?;
            let mut seen = Vec::new();
            for thread in threads {
                seen.extend(thread.join().expect("a connection does not panic")?);
            }
            Ok(seen)
        })
    }

    fn one(&self, server: &Server, barrier: &Barrier) -> anyhow::Result<Seen> {
        // Whoever failed to connect still comes to the barrier, so that the others do not wait.
        let opened = server.connect();
        barrier.wait();
        let mut connection = opened?;
        let request = server.start_request(&connection, self.workflow);
        let (start, end) = (Instant::now(), self.warm_up + self.time);
        let mut seen = Vec::new();
        while start.elapsed() < end {
            let begun = Instant::now();
            let body = connection.send(&request)?.success("cannot start a run")?;
            let took = begun.elapsed();
            ensure!(has_completed(&body), "a run did not complete: {}", beginning(&body));
            seen.push((start.elapsed(), took));
        }
        Ok(seen)
    }
}

/// Looked for as text: parsing every answer would measure the parser.
pub fn has_completed(body: &[u8]) -> bool {
    const COMPLETED: &[u8] = b"\"state\":\"completed\"";
    body.windows(COMPLETED.len()).any(|part| part == COMPLETED)
}
