//! Counters in the text form of Prometheus. No label ever holds a text that a user gave, but for the names of
//! models.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use gateway::Counts;
use store::RunState;

use crate::model::telemetry::{self, Seen};

/// What a store counts of itself. The one who opens the store knows where to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreFigures {
    pub commits: u64,
    pub refused: u64,
    pub batches: u64,
    pub fsyncs: u64,
    pub checkpoints: u64,
    pub payload_bytes: u64,
    pub queue_depth: u64,
}

/// Requests by route, method and status. Routes and methods are ours, so the map stays small.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<BTreeMap<String, ByMethodAndStatus>>);

type ByMethodAndStatus = BTreeMap<(&'static str, u16), u64>;

/// Everything that is shown, at one moment.
pub(crate) struct Figures {
    pub runs: Vec<(RunState, u64)>,
    pub runs_in_memory: u64,
    pub gate: Counts,
    pub evaluators_started: u64,
    pub evaluators_killed: u64,
    pub store: Option<StoreFigures>,
    pub resident_bytes: Option<u64>,
    pub calls: Seen,
}

impl Requests {
    /// `route` is the path as it is registered, never as it was asked.
    pub(crate) fn count(&self, route: &str, method: &http::Method, status: u16) {
        let key = (method_name(method), status);
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = routes.get_mut(route) {
            *found.entry(key).or_default() += 1;
        } else {
            routes.insert(route.to_owned(), BTreeMap::from([(key, 1)]));
        }
    }

    fn write(&self, out: &mut Text) {
        out.head("isonomy_http_requests_total", "counter", "Requests to the API.");
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (route, counts) in &*routes {
            for ((method, status), count) in counts {
                let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
                out.line("isonomy_http_requests_total", &labels, *count);
            }
        }
    }
}

/// A method is what a client sends; only known ones become a label.
fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

pub(crate) fn render(requests: &Requests, figures: &Figures) -> String {
    let mut out = Text(String::with_capacity(4096));
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    out.head("isonomy_build_info", "gauge", "The version of this binary.");
    out.line("isonomy_build_info", &version, 1);
    out.head("isonomy_runs", "gauge", "Runs by state.");
    for state in RunState::ALL {
        let found = figures.runs.iter().find(|(other, _)| *other == state);
        out.line(
            "isonomy_runs",
            &format!("state=\"{state}\""),
            found.map_or(0, |(_, count)| *count),
        );
    }
    out.one("isonomy_runs_in_memory", "gauge", "Runs in memory.", figures.runs_in_memory);
    let gate = figures.gate;
    out.head(
        "isonomy_gate_crossings_total",
        "counter",
        "Requests and redirects that the gate decided.",
    );
    out.line("isonomy_gate_crossings_total", "ruling=\"allowed\"", gate.allowed);
    out.line("isonomy_gate_crossings_total", "ruling=\"denied\"", gate.denied);
    out.head(
        "isonomy_gate_requests_total",
        "counter",
        "Requests that were sent, by how they ended.",
    );
    out.line("isonomy_gate_requests_total", "end=\"answered\"", gate.answered);
    out.line("isonomy_gate_requests_total", "end=\"failed\"", gate.failed);
    out.one(
        "isonomy_functions_total",
        "counter",
        "Functions of the catalog that ran.",
        gate.functions,
    );
    let (started, killed) = (figures.evaluators_started, figures.evaluators_killed);
    out.one("isonomy_evaluators_started_total", "counter", "Evaluator processes started.", started);
    out.one("isonomy_evaluators_killed_total", "counter", "Evaluator processes killed.", killed);
    if let Some(store) = figures.store {
        out.one(
            "isonomy_store_commits_total",
            "counter",
            "Commits that are durable.",
            store.commits,
        );
        out.one(
            "isonomy_store_refused_total",
            "counter",
            "Commits that were refused.",
            store.refused,
        );
        out.one(
            "isonomy_store_batches_total",
            "counter",
            "Transactions that carried commits.",
            store.batches,
        );
        out.one("isonomy_store_fsyncs_total", "counter", "All fsyncs.", store.fsyncs);
        out.one(
            "isonomy_store_checkpoints_total",
            "counter",
            "Copies of the log.",
            store.checkpoints,
        );
        out.one(
            "isonomy_store_payload_bytes_total",
            "counter",
            "Bytes in commits.",
            store.payload_bytes,
        );
        out.one(
            "isonomy_store_queue_depth",
            "gauge",
            "Commits that wait for the writer.",
            store.queue_depth,
        );
    }
    if let Some(resident) = figures.resident_bytes {
        out.one("process_resident_memory_bytes", "gauge", "Memory of the process.", resident);
    }
    requests.write(&mut out);
    telemetry::write(&mut out, &figures.calls);
    out.0
}

/// Text that grows line by line.
#[derive(Default)]
pub(crate) struct Text(String);

impl Text {
    #[cfg(test)]
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    pub(crate) fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(crate) fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }

    /// A value that is no whole number.
    pub(crate) fn decimal(&mut self, name: &str, labels: &str, value: &str) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

/// The process's memory, where the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: use a client's method as a label, or forget the states without a run.
    #[test]
    fn labels_come_from_us_alone() {
        let requests = Requests::default();
        let odd = http::Method::from_bytes(b"X-SECRET").expect("a method");
        requests.count("/api/v1/health", &odd, 405);
        requests.count("/api/v1/health", &http::Method::GET, 200);
        requests.count("/api/v1/health", &http::Method::GET, 200);
        let figures = Figures {
            runs: vec![(RunState::Running, 3)],
            runs_in_memory: 2,
            gate: Counts::default(),
            evaluators_started: 0,
            evaluators_killed: 0,
            store: None,
            resident_bytes: None,
            calls: Seen { meters: models::Meters::default(), spans: None },
        };
        let text = render(&requests, &figures);
        assert!(!text.contains("X-SECRET"), "{text}");
        for line in [
            "isonomy_http_requests_total{method=\"other\",route=\"/api/v1/health\",status=\"405\"} 1",
            "isonomy_http_requests_total{method=\"GET\",route=\"/api/v1/health\",status=\"200\"} 2",
            "isonomy_runs{state=\"running\"} 3",
            "isonomy_runs{state=\"faulted\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let types = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        let names: std::collections::BTreeSet<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(['{', ' ']).next())
            .collect();
        assert_eq!(types, names.len());
    }
}
