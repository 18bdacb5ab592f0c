//! What a test run says: text for people, data for programs.

use base::Duration;
use serde::Serialize;
use serde_json::Value;

use super::diff;
use super::judge::Finding;
use super::stub::Call;
use crate::output;

/// What `-o json` gives. A stable contract.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub passed: usize,
    pub failed: usize,
    pub files: Vec<FileReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    pub file: String,
    pub workflow: String,
    pub revision: String,
    /// The other side of `--compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Other>,
    pub cases: Vec<CaseReport>,
}

#[derive(Debug, Serialize)]
pub struct Other {
    pub source: String,
    pub revision: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseReport {
    pub name: String,
    pub line: u64,
    pub passed: bool,
    /// Skipped time from the run's begin to its end.
    pub took_ms: u64,
    pub findings: Vec<Finding>,
    /// Names of tasks in the order in which they began.
    pub started: Vec<String>,
    pub calls: Vec<Call>,
    /// The events that the workflow emitted, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emitted: Vec<Value>,
    /// Events of the case that nobody had use for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untaken_events: Vec<String>,
    /// Tasks or calls of the case's own stubs that nothing asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused_stubs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

#[derive(Debug, Serialize)]
pub struct Compared {
    /// Whether the other one passes the case.
    pub passed: bool,
    pub findings: Vec<Finding>,
    pub differences: Vec<Finding>,
}

impl Report {
    pub fn add(&mut self, file: FileReport) {
        let passed = file.cases.iter().filter(|case| case.passed).count();
        self.passed += passed;
        self.failed += file.cases.len() - passed;
        self.files.push(file);
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for file in &self.files {
            out.push_str(&file.text());
            out.push('\n');
        }
        out.push_str(&format!("{} passed, {} failed\n", self.passed, self.failed));
        output::harmless(&out)
    }
}

impl FileReport {
    fn text(&self) -> String {
        let mut out = format!("{}\n", self.file);
        if let Some(other) = &self.other {
            out.push_str(&format!(
                "  - {}  {}\n  + {}  {}\n",
                other.source, other.revision, self.workflow, self.revision
            ));
        }
        for case in &self.cases {
            out.push_str(&case.text(&self.file));
        }
        out
    }
}

impl CaseReport {
    fn text(&self, file: &str) -> String {
        let mut out = if self.passed {
            let skipped = Duration::from_millis(self.took_ms);
            let skipped = match self.took_ms {
                0 => String::new(),
                _ => format!("  (skipped {skipped})"),
            };
            format!("  ok    {}{skipped}\n", self.name)
        } else {
            format!("  FAIL  {}\n        --> {file}:{}\n", self.name, self.line)
        };
        for finding in &self.findings {
            out.push_str(&finding.text("        "));
        }
        for stub in &self.unused_stubs {
            out.push_str(&format!("        note: nothing asked for the stub of {stub}\n"));
        }
        // A test may well send what nobody is to take; where it fails, that may be why.
        for event in self.untaken_events.iter().filter(|_| !self.passed) {
            out.push_str(&format!("        note: nobody took {event}\n"));
        }
        let Some(compared) = &self.compared else { return out };
        if compared.passed != self.passed {
            let word = if compared.passed { "passes" } else { "fails" };
            out.push_str(&format!("        the other one {word}\n"));
        }
        for finding in &compared.differences {
            out.push_str(&finding.text("        "));
        }
        out
    }
}

impl Finding {
    fn text(&self, margin: &str) -> String {
        let mut out = String::new();
        for line in self.message.lines() {
            out.push_str(&format!("{margin}{line}\n"));
        }
        if let (Some(expected), Some(got)) = (&self.expected, &self.got) {
            for line in diff::values(expected, got) {
                out.push_str(&format!("{margin}  {line}\n"));
            }
        }
        out
    }
}
