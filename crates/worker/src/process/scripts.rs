//! What a site runs scripts with: interpreters, limits, and the sandbox, which is tried once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{ErrorType, Fault};
use engine::effect::{Interpreter, Perform, ProcessRequest};
use sandbox::jail::{Installed, Limits, NotInstalled};
use sandbox::{Jail, Job};
use spec::tree::Language;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// Where interpreters stand on systems that have one, the first that is there.
const WELL_KNOWN: [(Interpreter, &[&str]); 3] = [
    (Interpreter::Script(Language::JavaScript), &["/usr/local/bin/node", "/usr/bin/node"]),
    (Interpreter::Script(Language::Python), &["/usr/local/bin/python3", "/usr/bin/python3"]),
    (Interpreter::Shell, &["/bin/sh"]),
];

/// Processor time that a process may use beyond its time, so that the limit of time is what ends it.
const CPU_SECONDS_MORE: u64 = 60;

/// Open files of each process.
const FILES: u64 = 256;

/// Whether scripts are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confinement {
    /// In a sandbox, or not at all.
    #[default]
    Required,
    /// The site's owner does without one.
    Unconfined,
}

/// What one script may use, and how many run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Of each process of a script.
    pub memory_bytes: u64,
    /// Processes and threads of one script.
    pub processes: u64,
    /// Files in the working folder and `/tmp` together.
    pub scratch_bytes: u64,
    /// What a task returns of what a process has written.
    pub output_bytes: usize,
    /// A task's own timeout is usually shorter; this one is for tasks without.
    pub time: Duration,
    /// Scripts at once. More wait.
    pub at_once: usize,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        let mib = 1024 * 1024;
        Self {
            memory_bytes: 512 * mib,
            processes: 64,
            scratch_bytes: 64 * mib,
            output_bytes: 16 * 1024 * 1024,
            time: Duration::from_secs(60 * 60),
            at_once: 8,
        }
    }
}

/// The interpreters of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreters(BTreeMap<Interpreter, Installed>);

impl Default for Interpreters {
    /// Those that stand where systems put them.
    fn default() -> Self {
        let first = |(interpreter, paths): (Interpreter, &[&str])| {
            let found = paths.iter().find_map(|path| find(interpreter, Path::new(path)).ok());
            found.map(|installed| (interpreter, installed))
        };
        Self(WELL_KNOWN.into_iter().filter_map(first).collect())
    }
}

impl Interpreters {
    /// Names one, in place of what was found.
    pub fn set(&mut self, interpreter: Interpreter, path: &Path) -> Result<(), NotInstalled> {
        self.0.insert(interpreter, find(interpreter, path)?);
        Ok(())
    }
}

fn find(interpreter: Interpreter, path: &Path) -> Result<Installed, NotInstalled> {
    Installed::find(path, program_name(interpreter))
}

/// Its name in a virtual environment.
const fn program_name(interpreter: Interpreter) -> &'static str {
    match interpreter {
        Interpreter::Script(Language::JavaScript) => "node",
        Interpreter::Script(Language::Python) => "python",
        Interpreter::Shell => "sh",
    }
}

/// What scripts of one site are run with.
#[derive(Debug)]
pub struct Scripts {
    /// Our own binary.
    program: PathBuf,
    confinement: Confinement,
    interpreters: Interpreters,
    limits: ProcessLimits,
    places: Arc<Semaphore>,
    /// Found out when the first script is to be run, once for the life of the site.
    jail: OnceCell<Result<Jail, String>>,
}

impl Scripts {
    #[must_use]
    pub fn new(
        program: PathBuf,
        confinement: Confinement,
        interpreters: Interpreters,
        limits: ProcessLimits,
    ) -> Self {
        let places = Arc::new(Semaphore::new(limits.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Self { program, confinement, interpreters, limits, places, jail: OnceCell::new() }
    }

    pub(super) async fn jail(&self) -> Result<&Jail, &str> {
        let found = self.jail.get_or_init(|| async {
            match self.confinement {
                Confinement::Unconfined => Ok(Jail::unconfined(self.program.clone())),
                Confinement::Required => {
                    let probed = Jail::probe(self.program.clone()).await;
                    probed.map_err(|error| {
                        tracing::warn!(%error, "this system allows no sandbox: scripts are off");
                        format!("this system allows no sandbox ({error})")
                    })
                }
            }
        });
        found.await.as_ref().map_err(String::as_str)
    }

    /// Waits until one more may run.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.places).acquire_owned().await;
        turn.expect("the places of processes are never closed")
    }

    pub(super) fn limits(&self) -> &ProcessLimits {
        &self.limits
    }

    pub(super) fn job(&self, request: &ProcessRequest, effect: &Perform) -> Result<Job, Fault> {
        let interpreter = request.interpreter;
        let installed =
            self.interpreters.0.get(&interpreter).ok_or_else(|| missing(interpreter))?;
        let own = [
            ("ISONOMY_IDEMPOTENCY_KEY", effect.key.as_str()),
            ("ISONOMY_RUN", &effect.run.to_string()),
            ("TRACEPARENT", &effect.traceparent),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let limits = &self.limits;
        Ok(Job {
            program: installed.program.clone(),
            shown: installed.shown.clone(),
            file: file(request).to_owned(),
            code: request.code.clone(),
            stdin: request.stdin.clone(),
            arguments: request.arguments.clone(),
            environment: request.environment.iter().cloned().chain(own).collect(),
            limits: Limits {
                memory_bytes: limits.memory_bytes,
                count_addresses: interpreter != Interpreter::Script(Language::JavaScript),
                processes: limits.processes,
                files: FILES,
                scratch_bytes: limits.scratch_bytes,
                cpu_seconds: limits.time.as_secs().saturating_add(CPU_SECONDS_MORE),
            },
        })
    }
}

/// The name tells Node which of its two kinds of modules the code is.
fn file(request: &ProcessRequest) -> &'static str {
    let is_module = |line: &str| {
        let line = line.trim_start();
        ["import ", "import{", "import\"", "import'", "export "]
            .iter()
            .any(|word| line.starts_with(word))
    };
    match request.interpreter {
        Interpreter::Shell => "main.sh",
        Interpreter::Script(Language::Python) => "main.py",
        Interpreter::Script(Language::JavaScript) if request.code.lines().any(is_module) => {
            "main.mjs"
        }
        Interpreter::Script(Language::JavaScript) => "main.cjs",
    }
}

fn missing(interpreter: Interpreter) -> Fault {
    let (field, example) = match interpreter {
        Interpreter::Script(Language::JavaScript) => ("javascript", "/usr/bin/node"),
        Interpreter::Script(Language::Python) => ("python", "/usr/bin/python3"),
        Interpreter::Shell => ("shell", "/bin/sh"),
    };
    let detail = format!(
        "this site has no interpreter for `{interpreter}`; name one in its configuration:\n\
         spec:\n  scripts:\n    {field}: {example}"
    );
    Fault::new(ErrorType::Configuration, detail).with_title("No interpreter")
}
