//! A hundred thousand runs asleep: what does each take, and what happens when all are due after the
//! site was killed and down?

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::machine::Machine;
use super::options::Options;
use super::process::{self, Usage, mebibytes};
use super::server::Server;
use super::workflow::asleep;
use super::{Built, Outcome, flood, long};

/// While nothing should happen.
const STILL: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Figures {
    started_seconds: f64,
    /// Anonymous memory of the site before the first run, and with all asleep.
    before: u64,
    asleep: u64,
    /// Processor time in ten seconds in which all are asleep.
    still: Duration,
    ready_ms: f64,
    woken_seconds: f64,
    /// Anonymous memory at most while they wake.
    peak: u64,
    /// How far a run that has completed is at most from its place in the order of starting.
    displaced: usize,
}

pub fn run(built: &Built, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    let runs = options.iterations;
    let it = measure(built, runs)?;
    let bytes = it.asleep.saturating_sub(it.before) as f64 / runs as f64;
    let text = format!(
        "{machine}\n\n{runs} runs asleep, killed, all due at the start\n\n| what | |\n|---|---:|\n| started in, s | {:.1} |\n| memory of a run asleep, bytes | {bytes:.0} |\n| processor time in {} s with all asleep, ms | {} |\n| listens again after, ms | {:.0} |\n| all have completed after, s | {:.1} |\n| RssAnon before, asleep, at most while they wake, MiB | {:.1}, {:.1}, {:.1} |\n| places from the order of starting, at most | {} |\n",
        it.started_seconds,
        STILL.as_secs(),
        it.still.as_millis(),
        it.ready_ms,
        it.woken_seconds,
        mebibytes(it.before),
        mebibytes(it.asleep),
        mebibytes(it.peak),
        it.displaced,
    );
    let json = json!({
        "machine": machine.json(), "runs": runs, "startedSeconds": it.started_seconds,
        "bytesOfOneAsleep": bytes, "stillMs": it.still.as_millis() as u64,
        "readyMs": it.ready_ms, "wokenSeconds": it.woken_seconds, "anonymousBefore": it.before,
        "anonymousAsleep": it.asleep, "anonymousPeak": it.peak, "displaced": it.displaced,
    });
    Ok(Outcome { text, json })
}

fn measure(built: &Built, runs: u64) -> anyhow::Result<Figures> {
    let (data, config) = (built.folder.join("data"), built.folder.join("site.yaml"));
    long::configure(&config, "compact")?;
    let server = Server::start_configured(&built.isonomy, &data, &config)?;
    // All sleep until long after the last has been started.
    let sleep = Duration::from_secs(60 + runs / 500);
    let workflow = asleep(sleep.as_secs());
    server.apply(&workflow)?;
    let anonymous = |server: &Server| process::memory(server.pid()).map_or(0, |it| it.anonymous);
    let mut figures = Figures { before: anonymous(&server), ..Figures::default() };
    let begun = Instant::now();
    flood::start(&server, &workflow, runs)?;
    let last = Instant::now();
    figures.started_seconds = begun.elapsed().as_secs_f64();
    ensure!(last - begun + STILL < sleep, "the first are due before the last is started");
    // What is started is not yet asleep, and buffers of requests go.
    std::thread::sleep(STILL);
    let before = process::usage(server.pid());
    std::thread::sleep(STILL);
    let used = Usage::between(before, process::usage(server.pid()));
    figures.still = used.context("the system says nothing of the site")?.processor;
    figures.asleep = anonymous(&server);
    server.kill()?;

    eprintln!("killed; down until all are due");
    std::thread::sleep((last + sleep).saturating_duration_since(Instant::now()));
    let begun = Instant::now();
    let server = Server::resume(&built.isonomy, &data, &config)?;
    figures.ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    flood::wait(&server, runs, || figures.peak = figures.peak.max(anonymous(&server)))?;
    figures.woken_seconds = begun.elapsed().as_secs_f64();
    figures.displaced = displaced(&server, runs)?;
    server.stop()?;
    Ok(figures)
}

/// Compares the order of the ends with that of the ids.
fn displaced(server: &Server, runs: u64) -> anyhow::Result<usize> {
    let mut ended = Vec::new();
    let ends = "events?type=io.serverlessworkflow.workflow.completed.v1&order=oldest";
    server.pages(ends, |items| {
        for item in items {
            let run = item["subject"].as_str().or(item["event"]["subject"].as_str());
            ended.push(run.with_context(|| format!("an end without its run: {item}"))?.to_owned());
        }
        Ok(())
    })?;
    ensure!(ended.len() as u64 == runs, "{} ends of {runs} runs", ended.len());
    let mut order: Vec<usize> = (0..ended.len()).collect();
    order.sort_by_key(|index| &ended[*index]);
    let places = order.iter().enumerate();
    Ok(places.map(|(place, index)| place.abs_diff(*index)).max().unwrap_or(0))
}
