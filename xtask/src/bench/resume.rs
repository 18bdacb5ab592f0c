//! W4: a thousand runs are blocked in their sixth step, which waits for an answer from outside. The
//! site is killed with SIGKILL, the outside would answer now, the site starts again.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::comparison::{Bound, Comparison, Row, Target};
use super::gate::{self, Gate};
use super::machine::Machine;
use super::options::Options;
use super::peers::{Peers, engines, langgraph, notes, restate};
use super::server::Server;
use super::workflow::{Workflow, gated};
use super::{Built, Outcome};

const RUNS: u64 = 1_000;

/// Until all are blocked, and until all have ended: far beyond what either takes.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Between two looks at what goes on; below what is worth printing.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What we build for.
const DONE_MS_MAX: f64 = 1_000.0;

/// Of one round, counted from the start of the process.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Its greeting: the store is open, the runs are known. The peers' scripts do not say it.
    ready_ms: Option<f64>,
    /// All runs have completed.
    done_ms: f64,
}

pub fn run(built: &Built, peers: Option<&Peers>, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    // Each engine's figures of all rounds.
    let mut figures = vec![Vec::new(); engines(peers).len()];
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}", options.repeats);
        figures[0].push(measure(built)?);
        if let Some(peers) = peers {
            let done = |done_ms| Figures { ready_ms: None, done_ms };
            figures[1].push(done(restate::resume(peers)?));
            figures[2].push(done(langgraph::resume(peers)?));
        }
    }
    let of = |what: fn(&Figures) -> Option<f64>| -> Vec<Vec<Option<f64>>> {
        figures.iter().map(|engine| engine.iter().map(what).collect()).collect()
    };
    let comparison = Comparison {
        title: format!(
            "W4: {RUNS} runs blocked in step 6, SIGKILL, start, {} rounds",
            options.repeats
        ),
        machine,
        engines: engines(peers),
        rows: vec![
            Row::new("until it listens, ms", 0, of(|it| it.ready_ms)),
            Row::new("until all runs have completed, ms", 0, of(|it| Some(it.done_ms))),
        ],
        notes: notes::of_resume(engines(peers).len()),
        targets: vec![Target {
            what: "until all runs have completed, ms",
            bound: Bound::AtMost(DONE_MS_MAX),
            values: figures[0].iter().map(|it| it.done_ms).collect(),
        }],
    };
    Ok(comparison.into())
}

fn measure(built: &Built) -> anyhow::Result<Figures> {
    let gate = Gate::start()?;
    let (data, config) = (built.folder.join("data"), built.folder.join("site.yaml"));
    std::fs::write(&config, gate::configuration(gate.address(), RUNS))
        .context("cannot write `site.yaml`")?;
    let server = Server::start_configured(&built.isonomy, &data, &config)?;
    let workflow = gated(gate.address());
    server.apply(&workflow)?;
    start_all(&server, &workflow)?;
    gate.wait_for(RUNS, TIME_MAX)?;
    server.kill()?;
    gate.open();
    let begun = Instant::now();
    let server = Server::resume(&built.isonomy, &data, &config)?;
    let ready = begun.elapsed();
    while pending(&server)? {
        ensure!(begun.elapsed() < TIME_MAX, "runs go on {} s after the start", TIME_MAX.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
    let done = begun.elapsed();
    let completed = completed(&server)?;
    ensure!(completed == RUNS, "{completed} of {RUNS} runs have completed");
    ensure!(gate.asked() == 2 * RUNS, "{} requests came for {RUNS} runs", gate.asked());
    server.stop()?;
    Ok(Figures { ready_ms: Some(ms(ready)), done_ms: ms(done) })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn start_all(server: &Server, workflow: &Workflow) -> anyhow::Result<()> {
    let mut connection = server.connect()?;
    let request = server.detach_request(&connection, workflow);
    for _ in 0..RUNS {
        connection.send(&request)?.success("cannot start a run")?;
    }
    Ok(())
}

/// Whether any run has not ended. One that is suspended never will, and fails the count behind.
fn pending(server: &Server) -> anyhow::Result<bool> {
    let page = server.runs("state=pending,running,waiting&limit=1")?;
    Ok(page["items"].as_array().is_some_and(|items| !items.is_empty()))
}

fn completed(server: &Server) -> anyhow::Result<u64> {
    let mut count = 0;
    server.pages("runs?state=completed", |items| {
        count += items.len() as u64;
        Ok(())
    })?;
    Ok(count)
}
