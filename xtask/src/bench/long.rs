//! Long runs: one run of many iterations. What memory and disk does it take, how soon does it go on
//! after SIGKILL, and what do others notice of the compaction beside it?

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::machine::Machine;
use super::options::Options;
use super::process::{self, mebibytes};
use super::server::Server;
use super::workflow::{Workflow, long_for, long_listen, long_then, one_step};
use super::{Built, Outcome};

/// Between two looks at a run that goes on.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Between two looks for the first commit of a new life.
const RESUME_LOOK_EVERY: Duration = Duration::from_millis(2);

/// Without a commit for so long, something stands still.
const STILL_MAX: Duration = Duration::from_secs(60);

/// Part of the iterations after which the site is killed.
const KILLED_AT_PERCENT: u64 = 90;

/// Long runs at once while others are timed.
const NEIGHBOURS: usize = 4;

/// Of one run.
struct Figures {
    form: &'static str,
    iterations: u64,
    seconds: f64,
    /// The most that was seen.
    anonymous: Option<u64>,
    written_per_commit: Option<f64>,
    resume_ms: f64,
    store_bytes: u64,
}

/// What a stranger's requests took while long runs went on.
struct Tail {
    journals: &'static str,
    requests: usize,
    p50_ms: f64,
    p999_ms: f64,
    most_ms: f64,
}

pub fn run(built: &Built, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    let mut figures = Vec::new();
    for iterations in [10_000, options.iterations] {
        for workflow in [long_then(iterations), long_for(iterations), long_listen(iterations)] {
            eprintln!("{}: {iterations} iterations", workflow.name);
            figures.push(measure(built, workflow, iterations)?);
        }
    }
    let mut tails = Vec::new();
    for number in 1..=options.repeats {
        eprintln!("round {number} of {}: what others notice", options.repeats);
        for journals in ["compact", "whole"] {
            tails.push(tail(built, journals, Duration::from_secs(options.seconds))?);
        }
    }
    let text = format!("{}\n\n{}{}", machine, table(&figures), tail_table(&tails));
    let json = json!({
        "machine": machine.json(),
        "runs": figures.iter().map(Figures::json).collect::<Value>(),
        "tails": tails.iter().map(Tail::json).collect::<Value>(),
    });
    Ok(Outcome { text, json })
}

fn measure(built: &Built, workflow: Workflow, iterations: u64) -> anyhow::Result<Figures> {
    let (data, config) = (built.folder.join("data"), built.folder.join("site.yaml"));
    configure(&config, "compact")?;
    let server = Server::start_configured(&built.isonomy, &data, &config)?;
    server.apply(&workflow)?;
    begin(&server, &workflow)?;
    let begun = Instant::now();
    let mut watch = Watch::new(&server)?;
    watch.until(&server, iterations * KILLED_AT_PERCENT / 100)?;
    let written = watch.written_per_commit(&server)?;
    server.kill()?;

    let killed = Instant::now();
    let server = Server::resume(&built.isonomy, &data, &config)?;
    // Opening the store commits nothing, so the first commit is the run's.
    while server.counters()?.commits == 0 {
        ensure!(killed.elapsed() < STILL_MAX, "the run does not go on after the start");
        std::thread::sleep(RESUME_LOOK_EVERY);
    }
    let resume_ms = killed.elapsed().as_secs_f64() * 1e3;
    let mut again = Watch::new(&server)?;
    again.until_ended(&server)?;
    let seconds = begun.elapsed().as_secs_f64();
    while compact(&server)?.more {}
    server.stop()?;
    Ok(Figures {
        form: workflow.name,
        iterations,
        seconds,
        anonymous: watch.anonymous.max(again.anonymous),
        written_per_commit: written,
        resume_ms,
        store_bytes: size(&data)?,
    })
}

pub fn configure(config: &Path, journals: &str) -> anyhow::Result<()> {
    let text = format!(
        "apiVersion: isonomy.dev/v1\nkind: Site\nspec:\n  retention:\n    journals: {journals}\n"
    );
    std::fs::write(config, text).context("cannot write `site.yaml`")
}

fn begin(server: &Server, workflow: &Workflow) -> anyhow::Result<()> {
    let mut connection = server.connect()?;
    let start = server.detach_request(&connection, workflow);
    connection.send(&start)?.success("cannot start a run").map(drop)
}

/// What was forgotten in one go.
pub struct Compacted {
    pub runs: u64,
    pub more: bool,
}

pub fn compact(server: &Server) -> anyhow::Result<Compacted> {
    let mut connection = server.connect()?;
    let request = connection.request("POST", "/api/v1/store/compact", "");
    let answer = connection.send(&request)?.success("cannot compact the store")?;
    let done: Value = serde_json::from_slice(&answer).context("the answer is not JSON")?;
    let runs = done["runsForgotten"].as_u64().context("the answer names no number of runs")?;
    Ok(Compacted { runs, more: done["more"] == true })
}

/// All files of a folder.
pub fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).context("cannot read the data folder")? {
        let entry = entry?;
        let is_ballast = entry.file_name() == "ballast";
        let found = entry.metadata()?;
        bytes += match found.is_dir() {
            true => size(&entry.path())?,
            false if is_ballast => 0,
            false => found.len(),
        };
    }
    Ok(bytes)
}

/// Looks at a server while a run goes on.
struct Watch {
    anonymous: Option<u64>,
    commits: u64,
    usage: Option<process::Usage>,
}

impl Watch {
    fn new(server: &Server) -> anyhow::Result<Self> {
        let commits = server.counters()?.commits;
        Ok(Self { anonymous: None, commits, usage: process::usage(server.pid()) })
    }

    /// Until there were so many commits since the beginning.
    fn until(&mut self, server: &Server, commits: u64) -> anyhow::Result<()> {
        self.look(server, |now, since| Ok(now.saturating_sub(since) >= commits))
    }

    fn until_ended(&mut self, server: &Server) -> anyhow::Result<()> {
        self.look(server, |_, _| Ok(ended(server)? > 0))
    }

    fn look(
        &mut self,
        server: &Server,
        mut is_over: impl FnMut(u64, u64) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let now = server.counters()?.commits;
            let memory = process::memory(server.pid());
            self.anonymous = self.anonymous.max(memory.map(|memory| memory.anonymous));
            if is_over(now, self.commits)? {
                return Ok(());
            }
            if now != last {
                (last, moved) = (now, Instant::now());
            }
            ensure!(moved.elapsed() < STILL_MAX, "nothing was written for {STILL_MAX:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn written_per_commit(&self, server: &Server) -> anyhow::Result<Option<f64>> {
        let commits = server.counters()?.commits - self.commits;
        let used = process::Usage::between(self.usage, process::usage(server.pid()));
        Ok(used.map(|used| used.written as f64 / commits.max(1) as f64))
    }
}

/// How many runs have completed; an error where one ended otherwise.
fn ended(server: &Server) -> anyhow::Result<u64> {
    ensure!(server.runs_in("faulted")? == 0, "the run has faulted");
    server.runs_in("completed")
}

/// Times a stranger's small runs beside long ones whose journals are compacted, or not.
fn tail(built: &Built, journals: &'static str, time: Duration) -> anyhow::Result<Tail> {
    let (data, config) = (built.folder.join("data"), built.folder.join("site.yaml"));
    configure(&config, journals)?;
    let server = Server::start_configured(&built.isonomy, &data, &config)?;
    let (small, long) = (one_step(), long_then(u64::from(u32::MAX)));
    server.prepare(&small)?;
    server.apply(&long)?;
    for _ in 0..NEIGHBOURS {
        begin(&server, &long)?;
    }
    let mut connection = server.connect()?;
    let start = server.start_request(&connection, &small);
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let asked = Instant::now();
        connection.send(&start)?.success("cannot start a run")?;
        took.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    server.kill()?;
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    let (p50_ms, p999_ms, most_ms) = (at(0.5), at(0.999), at(1.0));
    Ok(Tail { journals, requests: took.len(), p50_ms, p999_ms, most_ms })
}

fn table(figures: &[Figures]) -> String {
    let mut text = String::from(
        "| loop | iterations | s | RssAnon at most, MiB | bytes a commit | goes on after SIGKILL, ms | store after compaction, MiB |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for it in figures {
        let of = |number: Option<f64>| number.map_or_else(String::new, |it| format!("{it:.1}"));
        text += &format!(
            "| {} | {} | {:.0} | {} | {:.0} | {:.0} | {:.1} |\n",
            it.form,
            it.iterations,
            it.seconds,
            of(it.anonymous.map(mebibytes)),
            it.written_per_commit.unwrap_or_default(),
            it.resume_ms,
            mebibytes(it.store_bytes),
        );
    }
    text
}

fn tail_table(tails: &[Tail]) -> String {
    let mut text = format!(
        "\nA stranger's run of one step beside {NEIGHBOURS} long ones:\n\n| journals | requests | p50, ms | p99.9, ms | most, ms |\n|---|---:|---:|---:|---:|\n"
    );
    for it in tails {
        text += &format!(
            "| {} | {} | {:.2} | {:.2} | {:.2} |\n",
            it.journals, it.requests, it.p50_ms, it.p999_ms, it.most_ms
        );
    }
    text
}

impl Figures {
    fn json(&self) -> Value {
        json!({
            "loop": self.form, "iterations": self.iterations, "seconds": self.seconds,
            "anonymousBytes": self.anonymous, "bytesPerCommit": self.written_per_commit,
            "resumeMs": self.resume_ms, "storeBytes": self.store_bytes,
        })
    }
}

impl Tail {
    fn json(&self) -> Value {
        json!({
            "journals": self.journals, "requests": self.requests, "p50Ms": self.p50_ms,
            "p999Ms": self.p999_ms, "mostMs": self.most_ms,
        })
    }
}
