//! W2: one run that forks into a hundred steps, again and again, one run at a time.

use std::time::Duration;

use super::comparison::{Bound, Comparison, Row, Target};
use super::load::{Load, Measured};
use super::machine::Machine;
use super::options::Options;
use super::peers::{Peers, engines, langgraph, notes, restate};
use super::server::Server;
use super::workflow::{BRANCHES, fork};
use super::{Built, Outcome};

/// What we build for, in milliseconds.
const P50_MS_MAX: f64 = 4.0;

/// Of a whole run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

pub fn run(built: &Built, peers: Option<&Peers>, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    // Each engine's figures of all rounds.
    let mut figures = vec![Vec::new(); engines(peers).len()];
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}", options.repeats);
        figures[0].push(measure(built, Duration::from_secs(options.seconds))?);
        if let Some(peers) = peers {
            figures[1].push(restate::fork(peers)?);
            figures[2].push(langgraph::fork(peers)?);
        }
    }
    let of = |what: fn(&Figures) -> f64| -> Vec<Vec<Option<f64>>> {
        figures.iter().map(|engine| engine.iter().map(|it| Some(what(it))).collect()).collect()
    };
    let comparison = Comparison {
        title: format!(
            "W2: a run that forks into {BRANCHES} steps, one at a time, {} rounds",
            options.repeats
        ),
        machine,
        engines: engines(peers),
        rows: vec![
            Row::new("a run, p50 ms", 1, of(|it| it.p50_ms)),
            Row::new("a run, p99 ms", 1, of(|it| it.p99_ms)),
        ],
        notes: notes::of_fork(engines(peers).len()),
        targets: vec![Target {
            what: "a run, p50 ms",
            bound: Bound::AtMost(P50_MS_MAX),
            values: figures[0].iter().map(|it| it.p50_ms).collect(),
        }],
    };
    Ok(comparison.into())
}

fn measure(built: &Built, time: Duration) -> anyhow::Result<Figures> {
    let server = Server::start(&built.isonomy, &built.folder.join("data"))?;
    let workflow = fork();
    server.prepare(&workflow)?;
    let load = Load { workflow: &workflow, connections: 1, warm_up: super::WARM_UP, time };
    let measured: Measured = load.run(&server)?;
    server.stop()?;
    Ok(Figures { p50_ms: measured.latency_ms(0.5), p99_ms: measured.latency_ms(0.99) })
}
