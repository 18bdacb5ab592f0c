//! W1: runs of a workflow with ten steps, each the function `echo:1.0.0@default`, each with one
//! fsynced commit before the next. One run at a time, and 64 at once.

use std::time::Duration;

use anyhow::ensure;

use super::floor::{self, Floor};
use super::load::{Load, Measured};
use super::options::Options;
use super::process;
use super::report::{Memory, Report, Round, W1};
use super::server::{self, Server};
use super::workflow::{STEPS, Workflow, ten_steps};
use super::{Built, CROWD, Outcome, WARM_UP};

pub fn run(built: &Built, options: &Options) -> anyhow::Result<Outcome> {
    let time = Duration::from_secs(options.seconds);
    let workflow = ten_steps();
    let mut rounds = Vec::new();
    let mut memory = None;
    let mut counted = None;
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}", options.repeats);
        let alone = floor::measure(&built.floor, &built.folder, 1, time)?;
        let batched = floor::measure(&built.floor, &built.folder, CROWD, time)?;
        let server = Server::start(&built.isonomy, &built.folder.join("data"))?;
        server.prepare(&workflow)?;
        let one = measure(&server, &workflow, 1, time)?;
        let crowd = measure(&server, &workflow, CROWD, time)?;
        rounds.push(round(alone, batched, one, crowd));
        if number == options.repeats {
            eprintln!("idle for {} s", options.idle_seconds);
            std::thread::sleep(Duration::from_secs(options.idle_seconds));
            memory = process::memory(server.pid())
                .map(|figures| Memory { seconds_after: options.idle_seconds, figures });
            if options.has_strace {
                let load = load(&workflow, CROWD, time);
                counted = Some(server::count_fsyncs(&server, &built.folder, &load)?);
            }
        }
        server.stop()?;
    }
    let report = Report { seconds: options.seconds, rounds, memory, counted };
    Ok(Outcome { text: report.markdown(), json: report.json() })
}

fn round(alone: Floor, batched: Floor, one: W1, crowd: W1) -> Round {
    eprintln!(
        "  sqlite {:.0}/s, with {CROWD} rows a commit {:.0}/s; steps {:.0}/s, with {CROWD} runs {:.0}/s",
        alone.rows_per_second,
        batched.rows_per_second,
        one.steps_per_second(),
        crowd.steps_per_second(),
    );
    Round { alone, batched, one, crowd }
}

const fn load(workflow: &Workflow, connections: usize, time: Duration) -> Load<'_> {
    Load { workflow, connections, warm_up: WARM_UP, time }
}

/// One measurement, with what the server spent on it.
pub fn measure(
    server: &Server,
    workflow: &Workflow,
    connections: usize,
    time: Duration,
) -> anyhow::Result<W1> {
    let measured: Measured = load(workflow, connections, time).run(server)?;
    let steps = measured.latencies.len() as u64 * STEPS;
    ensure!(steps > 0, "no run ended within {} s", time.as_secs());
    Ok(W1::new(connections, time, measured))
}
