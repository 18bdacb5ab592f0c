//! Pages of a list of a million runs: whatever is asked for, and however few are found.

use std::time::Instant;

use anyhow::ensure;
use serde_json::{Value, json};

use super::machine::Machine;
use super::options::Options;
use super::server::Server;
use super::workflow::{failing, named, one_step};
use super::{Built, Outcome, flood};

/// What we build for.
const PAGE_MS_MAX: f64 = 50.0;

/// How often each question is asked.
const TIMES: usize = 100;

struct Asked {
    what: String,
    found: usize,
    median_ms: f64,
    most_ms: f64,
}

pub fn run(built: &Built, options: &Options) -> anyhow::Result<Outcome> {
    let machine = Machine::look();
    let runs = options.iterations;
    let server = Server::start(&built.isonomy, &built.folder.join("data"))?;
    let (usual, rare, wrong) = (one_step(), named(one_step(), "rare"), failing());
    for workflow in [&usual, &rare, &wrong] {
        server.apply(workflow)?;
    }
    // The few are the oldest, behind all others of their list.
    flood::start(&server, &rare, 3)?;
    flood::start(&server, &wrong, 3)?;
    flood::wait(&server, 3, || {})?;
    let begun = Instant::now();
    flood::start(&server, &usual, runs)?;
    flood::wait(&server, 3 + runs, || {})?;
    eprintln!("{runs} runs in {:.0} s", begun.elapsed().as_secs_f64());
    let mut asked = Vec::new();
    for (query, expected) in [
        ("limit=50", 50),
        ("limit=500", 500),
        ("state=completed&limit=50", 50),
        ("workflow=one-step&limit=50", 50),
        ("state=faulted&limit=50", 3),
        ("workflow=rare&limit=50", 3),
        ("workflow=rare&state=completed&limit=50", 3),
        ("workflow=one-step&state=faulted&limit=50", 0),
        ("state=running,waiting&limit=50", 0),
        ("since=PT0S&limit=50", 0),
    ] {
        asked.push(ask(&server, query, expected)?);
    }
    asked.push(walk(&server, 6 + runs)?);
    server.stop()?;
    let mut text = format!(
        "{machine}\n\nPages of a list of {runs} runs, each asked {TIMES} times; at most {PAGE_MS_MAX} ms are asked\n\n| asked | found | median, ms | most, ms | |\n|---|---:|---:|---:|---|\n"
    );
    for it in &asked {
        let verdict = if it.most_ms < PAGE_MS_MAX { "met" } else { "**missed**" };
        text += &format!(
            "| {} | {} | {:.1} | {:.1} | {verdict} |\n",
            it.what, it.found, it.median_ms, it.most_ms
        );
    }
    let rows: Value = asked.iter().map(Asked::json).collect();
    Ok(Outcome { text, json: json!({ "machine": machine.json(), "runs": runs, "pages": rows }) })
}

fn ask(server: &Server, query: &str, expected: usize) -> anyhow::Result<Asked> {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let page = server.runs(query)?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        let found = page["items"].as_array().map_or(0, Vec::len);
        ensure!(found == expected, "`{query}` found {found} and not {expected}");
    }
    Ok(Asked::new(format!("`{query}`"), expected, took))
}

/// Every page there is, from the newest run to the oldest.
fn walk(server: &Server, runs: u64) -> anyhow::Result<Asked> {
    let (mut took, mut found, mut begun) = (Vec::new(), 0, Instant::now());
    server.pages("runs?", |items| {
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        found += items.len();
        begun = Instant::now();
        Ok(())
    })?;
    ensure!(found as u64 == runs, "{found} of {runs} runs are listed");
    Ok(Asked::new(format!("all {} pages of 500", took.len()), found, took))
}

impl Asked {
    fn new(what: String, found: usize, mut took: Vec<f64>) -> Self {
        took.sort_by(f64::total_cmp);
        let at = |index: usize| took.get(index).copied().unwrap_or_default();
        let (median_ms, most_ms) = (at(took.len() / 2), at(took.len().saturating_sub(1)));
        Self { what, found, median_ms, most_ms }
    }

    fn json(&self) -> Value {
        json!({
            "asked": self.what, "found": self.found, "medianMs": self.median_ms,
            "mostMs": self.most_ms,
        })
    }
}
