//! W1 beside its peers, in turn: SQLite alone, ours, Restate, LangGraph, and again.

use std::time::Duration;

use super::super::machine::Machine;
use super::super::options::Options;
use super::super::process::{self, Resident};
use super::super::report::W1;
use super::super::server::Server;
use super::super::workflow::{STEPS, ten_steps};
use super::super::{Built, CROWD, Outcome, floor, steps};
use super::said::Said;
use super::{LANGGRAPH, OURS, Peers, RESTATE, fsyncs, langgraph, phys, restate, table};

/// W1 of one engine in one round.
pub struct Steps {
    pub one: Measured,
    pub crowd: Measured,
    /// Right after the load, of all its processes.
    pub memory: Option<Resident>,
    pub version: String,
}

/// One load of one engine: what it says, and what it cost.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub said: Said,
    /// Steps that `cost` was spent on.
    steps: f64,
    cost: Cost,
}

/// Read from outside, the same for all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub server: Option<Duration>,
    /// Of a process of its own that runs the steps.
    pub worker: Option<Duration>,
    pub generator: Option<Duration>,
    pub written: Option<u64>,
}

pub struct Round {
    /// Rows a second of SQLite alone, one row a commit: by `phys.py`, and by our own program.
    pub phys: phys::Floor,
    pub floor: f64,
    pub ours: Steps,
    pub restate: Steps,
    pub langgraph: Steps,
    /// Of ours, one at a time and 64 at once.
    pub commits: [f64; 2],
    pub fsyncs: [f64; 2],
}

impl Measured {
    #[must_use]
    pub fn new(said: Said, cost: Cost) -> Self {
        Self { said, steps: (said.runs * STEPS) as f64, cost }
    }

    #[must_use]
    pub fn server_us(&self) -> Option<f64> {
        self.us(self.cost.server)
    }

    #[must_use]
    pub fn worker_us(&self) -> Option<f64> {
        self.us(self.cost.worker)
    }

    #[must_use]
    pub fn generator_us(&self) -> Option<f64> {
        self.us(self.cost.generator)
    }

    #[must_use]
    pub fn written(&self) -> Option<f64> {
        Some(self.cost.written? as f64 / self.steps)
    }

    fn us(&self, time: Option<Duration>) -> Option<f64> {
        Some(time?.as_secs_f64() * 1e6 / self.steps)
    }
}

pub fn run(built: &Built, peers: &Peers, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    let mut rounds = Vec::new();
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}", options.repeats);
        rounds.push(round(built, peers, options.seconds)?);
    }
    eprintln!("fsyncs of the peers");
    let counted = fsyncs::count(peers);
    Ok(table::comparison(machine, options.seconds, &peers.sdk, &rounds, counted.as_ref()).into())
}

fn round(built: &Built, peers: &Peers, seconds: u64) -> anyhow::Result<Round> {
    let time = Duration::from_secs(seconds);
    let phys = phys::measure(peers, time)?;
    let floor = floor::measure(&built.floor, &built.folder, 1, time)?.rows_per_second;
    let (ours, [one, crowd]) = ours(built, time)?;
    // Before and after, since others use the disk, too; the faster one is the limit.
    let phys = phys.faster(phys::measure(peers, time)?);
    eprintln!("  sqlite {:.0}/s ({floor:.0}/s by our own program)", phys.rows_per_second);
    told(OURS, &ours);
    let restate = restate::steps(peers, seconds)?;
    told(RESTATE, &restate);
    let langgraph = langgraph::steps(peers, seconds)?;
    told(LANGGRAPH, &langgraph);
    let commits = [one.commits_per_step(), crowd.commits_per_step()];
    let fsyncs = [one.fsyncs_per_step(), crowd.fsyncs_per_step()];
    Ok(Round { phys, floor, ours, restate, langgraph, commits, fsyncs })
}

fn told(name: &str, steps: &Steps) {
    let [one, crowd] = [&steps.one, &steps.crowd].map(|it| it.said.steps_per_second);
    eprintln!("  {name} {one:.0} steps/s, with {CROWD} runs {crowd:.0}/s");
}

fn ours(built: &Built, time: Duration) -> anyhow::Result<(Steps, [W1; 2])> {
    let server = Server::start(&built.isonomy, &built.folder.join("data"))?;
    let workflow = ten_steps();
    server.prepare(&workflow)?;
    let one = steps::measure(&server, &workflow, 1, time)?;
    let crowd = steps::measure(&server, &workflow, CROWD, time)?;
    let memory = process::memory(server.pid());
    server.stop()?;
    let version = format!("isonomy {}", env!("CARGO_PKG_VERSION"));
    let steps = Steps { one: one.beside_peers(), crowd: crowd.beside_peers(), memory, version };
    Ok((steps, [one, crowd]))
}

impl W1 {
    /// What peers say, too. Its costs cover the warm-up.
    fn beside_peers(&self) -> Measured {
        let said = Said {
            runs: self.runs_measured(),
            steps_per_second: self.steps_per_second(),
            p50_ms: self.latency_ms(0.5),
            p99_ms: self.latency_ms(0.99),
        };
        let cost = Cost {
            server: self.usage().map(|usage| usage.processor),
            worker: None,
            generator: self.own_processor(),
            written: self.usage().map(|usage| usage.written),
        };
        Measured { said, steps: self.steps(), cost }
    }
}
