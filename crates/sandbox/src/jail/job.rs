//! What is to be run, and what came of it: the words between the site and the inside.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One script or command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The interpreter, as the host names it.
    pub program: PathBuf,
    /// What the interpreter needs beside the system's own libraries.
    pub shown: Vec<Shown>,
    /// Name of the file that the code is written to, such as `main.py`.
    pub file: String,
    pub code: String,
    pub stdin: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub limits: Limits,
}

/// A path of the host that is there for reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub host: PathBuf,
    pub inside: PathBuf,
}

impl Shown {
    /// Under its own name.
    #[must_use]
    pub fn as_is(path: PathBuf) -> Self {
        Self { host: path.clone(), inside: path }
    }
}

/// What one job may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of each process.
    pub memory_bytes: u64,
    /// Whether the limit counts reserved addresses too. An engine that reserves far more than it
    /// uses, such as V8, cannot start then; without it, only what can be written to counts.
    pub count_addresses: bool,
    pub processes: u64,
    /// Open files of each process.
    pub files: u64,
    /// All files in the working folder and in `/tmp` together.
    pub scratch_bytes: u64,
    /// Processor time of each process.
    pub cpu_seconds: u64,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    Exited(u8),
    /// Killed by this signal.
    Signal(u8),
    /// It could not be started.
    Failed(Failure),
}

/// What the system did not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried.
    pub step: String,
    pub error: String,
}

impl Failure {
    pub(super) fn of(step: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let step = step.into();
        move |error| Self { step, error: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.step, self.error)
    }
}

/// How the inside is made. Decided once for a site, by trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Making {
    /// By root: plain namespaces, and then this user, who is nobody outside.
    ByRoot { user: u32 },
    /// By anybody: a user namespace in which this user is somebody else.
    ByUser,
    /// No walls at all: only limits, in this folder of the host.
    Unconfined { folder: PathBuf },
}

/// What the site sends first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub making: Making,
    pub job: Job,
}

/// The largest order: code, standard input and arguments are values of a workflow.
pub(super) const ORDER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An ending with the longest path that a system has.
pub(super) const ENDING_BYTES_MAX: usize = 64 * 1024;

/// First byte of the inside: the door comes with it.
pub(super) const READY_WITH_DOOR: u8 = b'D';

/// First byte of the inside: it runs, and there is no door.
pub(super) const READY: u8 = b'R';

/// First byte of the inside: it could not be made; the frame behind says why.
pub(super) const NOT_READY: u8 = b'F';
