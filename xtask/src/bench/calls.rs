//! W1 over HTTP: the same ten steps, each a request to a server beside the site. Printed, not judged:
//! what a step costs that leaves the process.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::comparison::{Comparison, Row};
use super::gate::{self, Gate};
use super::machine::Machine;
use super::options::Options;
use super::peers::OURS;
use super::report::W1;
use super::server::Server;
use super::steps;
use super::workflow::{STEPS, ten_calls};
use super::{Built, CROWD, Outcome};

/// Runs at once, and how that reads.
const CROWDS: [(usize, &str); 2] = [(1, "one at a time"), (CROWD, "64 at once")];

pub fn run(built: &Built, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    let mut rounds = Vec::new();
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}", options.repeats);
        rounds.push(round(built, Duration::from_secs(options.seconds))?);
    }
    let mut rows = Vec::new();
    for (index, (_, crowd)) in CROWDS.iter().enumerate() {
        let mut row = |what: &str, digits, of: &dyn Fn(&W1) -> Option<f64>| {
            let cell: Vec<Option<f64>> = rounds.iter().map(|round| of(&round[index])).collect();
            rows.push(Row::new(format!("{what}, {crowd}"), digits, vec![cell]));
        };
        row("steps/s", 0, &|it| Some(it.steps_per_second()));
        row("a run of ten steps, p50 ms", 1, &|it| Some(it.latency_ms(0.5)));
        row("a run of ten steps, p99 ms", 1, &|it| Some(it.latency_ms(0.99)));
        row("server's processor time, µs/step", 0, &|it| {
            it.usage().map(|usage| usage.processor.as_secs_f64() * 1e6 / it.steps())
        });
        row("commits/step", 2, &|it| Some(it.commits_per_step()));
    }
    let comparison = Comparison {
        title: format!("W1 with a request over HTTP as a step, {} rounds", options.repeats),
        machine,
        engines: vec![OURS],
        rows,
        notes: Vec::new(),
        targets: Vec::new(),
    };
    Ok(comparison.into())
}

fn round(built: &Built, time: Duration) -> anyhow::Result<[W1; 2]> {
    let gate = Gate::start()?;
    gate.open();
    let config = built.folder.join("site.yaml");
    std::fs::write(&config, gate::configuration(gate.address(), CROWD as u64))
        .context("cannot write `site.yaml`")?;
    let data = built.folder.join("data");
    let server = Server::start_configured(&built.isonomy, &data, &config)?;
    let workflow = ten_calls(gate.address());
    server.prepare(&workflow)?;
    let [(one, _), (crowd, _)] = CROWDS;
    let one = steps::measure(&server, &workflow, one, time)?;
    let crowd = steps::measure(&server, &workflow, crowd, time)?;
    server.stop()?;
    let expected = STEPS + one.steps() as u64 + crowd.steps() as u64;
    ensure!(gate.asked() == expected, "{} requests for {expected} steps", gate.asked());
    Ok([one, crowd])
}
