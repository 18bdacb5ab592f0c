//! W3: how long from the start of the process to its first answer, and what it holds at rest.

use std::time::{Duration, Instant};

use super::comparison::{Bound, Comparison, Row, Target};
use super::load::Load;
use super::machine::Machine;
use super::options::Options;
use super::peers::{Peers, engines, langgraph, notes, restate};
use super::process::{self, Resident, mebibytes};
use super::server::Server;
use super::workflow::ten_steps;
use super::{Built, CROWD, Outcome, WARM_UP};

/// What we build for.
const READY_MS_MAX: f64 = 50.0;
const ANONYMOUS_MIB_MAX: f64 = 15.0;
const RESIDENT_MIB_MAX: f64 = 32.0;

/// How often a start is measured in a round: it is short, and the first reads from the disk.
const STARTS: usize = 5;

#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub ready_ms: f64,
    /// Before anything was asked of it.
    pub fresh: Option<Resident>,
    /// Right after W1 with 64 runs at once.
    pub loaded: Option<Resident>,
    /// Some time after that.
    pub rested: Option<Resident>,
}

pub fn run(built: &Built, peers: Option<&Peers>, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    // Each engine's figures of all rounds.
    let mut figures = vec![Vec::new(); engines(peers).len()];
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}", options.repeats);
        let is_last = number == options.repeats;
        figures[0].extend(starts(built)?);
        if is_last {
            figures[0].push(loaded(built, options)?);
        }
        if let Some(peers) = peers {
            figures[1].push(restate::rest(peers)?);
            figures[2].push(langgraph::rest(peers)?);
        }
    }
    let comparison = Comparison {
        title: format!(
            "W3: from the start to the first answer, and memory, {} rounds",
            options.repeats
        ),
        machine,
        engines: engines(peers),
        rows: rows(&figures, options.idle_seconds),
        notes: notes::of_rest(engines(peers).len()),
        targets: targets(&figures[0]),
    };
    Ok(comparison.into())
}

fn rows(figures: &[Vec<Figures>], idle_seconds: u64) -> Vec<Row> {
    let row = |what: String, of: &dyn Fn(&Figures) -> Option<f64>| {
        let cells = figures.iter().map(|engine| engine.iter().map(of).collect::<Vec<_>>());
        Row::new(what, 1, cells.collect())
    };
    let memory = |when: &str, at: fn(&Figures) -> Option<Resident>| {
        [
            row(format!("resident {when}, MiB"), &|it| at(it).map(|it| mebibytes(it.whole))),
            row(format!("of it anonymous {when}, MiB"), &|it| {
                at(it).map(|it| mebibytes(it.anonymous))
            }),
        ]
    };
    let mut rows = vec![row("ready, ms".to_owned(), &|it| Some(it.ready_ms))];
    rows.extend(memory("before any load", |it| it.fresh));
    rows.extend(memory("right after W1 with 64 at once", |it| it.loaded));
    rows.extend(memory(&format!("{idle_seconds} s after it"), |it| it.rested));
    rows
}

fn targets(ours: &[Figures]) -> Vec<Target> {
    let rested = |what: fn(Resident) -> u64| -> Vec<f64> {
        ours.iter().filter_map(|it| it.rested.map(|it| mebibytes(what(it)))).collect()
    };
    let target = |what, bound, values| Target { what, bound: Bound::AtMost(bound), values };
    vec![
        target("ready, ms", READY_MS_MAX, ours.iter().map(|it| it.ready_ms).collect()),
        target("anonymous at rest, MiB", ANONYMOUS_MIB_MAX, rested(|it| it.anonymous)),
        target("resident at rest, MiB", RESIDENT_MIB_MAX, rested(|it| it.whole)),
    ]
}

fn starts(built: &Built) -> anyhow::Result<Vec<Figures>> {
    let one = |_| {
        let (server, ready_ms) = start(built)?;
        let fresh = process::memory(server.pid());
        server.stop()?;
        Ok(Figures { ready_ms, fresh, ..Figures::default() })
    };
    (0..STARTS).map(one).collect()
}

fn loaded(built: &Built, options: &Options) -> anyhow::Result<Figures> {
    let (server, ready_ms) = start(built)?;
    let fresh = process::memory(server.pid());
    let workflow = ten_steps();
    server.prepare(&workflow)?;
    let time = Duration::from_secs(options.seconds);
    Load { workflow: &workflow, connections: CROWD, warm_up: WARM_UP, time }.run(&server)?;
    let loaded = process::memory(server.pid());
    eprintln!("  idle for {} s", options.idle_seconds);
    std::thread::sleep(Duration::from_secs(options.idle_seconds));
    let rested = process::memory(server.pid());
    server.stop()?;
    Ok(Figures { ready_ms, fresh, loaded, rested })
}

/// On an empty folder, until `health` has answered.
fn start(built: &Built) -> anyhow::Result<(Server, f64)> {
    let data = built.folder.join("data");
    Server::clear(&data)?;
    let begun = Instant::now();
    let server = Server::start(&built.isonomy, &data)?;
    server.answers()?;
    Ok((server, begun.elapsed().as_secs_f64() * 1e3))
}
