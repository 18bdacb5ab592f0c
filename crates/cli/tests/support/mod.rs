//! What the tests of the real binary stand on: a home folder, processes with their lines, and a
//! world outside that counts.
//!
//! Nothing here sleeps: a test waits for a line, an event, or the end of a process. The one clock is
//! a guard that turns a hang into a failure.

// Each of the test binaries uses its own part.
#![allow(dead_code)]

pub mod http;
pub mod origin;
pub mod parties;
pub mod raw;
pub mod world;

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use http::Door;

/// After this a test hangs, on however slow a machine.
pub const HANG: Duration = Duration::from_secs(120);

/// A folder to work in, with nothing from outside.
pub struct Home {
    folder: TempDir,
    temporary: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A process whose lines are read as they come.
pub struct Process {
    child: Child,
    /// Where a server that is started so keeps its data.
    data: PathBuf,
    pub stdout: Lines,
    pub stderr: Lines,
}

/// A stream of a process, line by line.
pub struct Lines {
    what: &'static str,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// `isonomy dev` at work.
pub struct Dev {
    pub process: Process,
    pub url: String,
}

impl Home {
    pub fn new() -> Self {
        let make = || tempfile::tempdir().expect("a temporary folder");
        Self { folder: make(), temporary: make() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::create_dir_all(file.parent().expect("below the home")).expect("a folder");
        fs::write(&file, text).expect("written");
        file
    }

    /// What is in the folder for temporary files.
    pub fn temporary_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary.path()).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The configuration that `dev` reads: one address is allowed, and this folder may be read.
    pub fn allow(&self, url: &str) {
        let config = format!(
            "spec:\n  egress:\n    - destination: {url}\n      allow: true\n  files:\n    - path: {}\n",
            self.folder.path().display()
        );
        self.write(".isonomy/site.yaml", &config);
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isonomy"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", self.temporary.path())
            .env("USER", "tester")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, args: &[&str]) -> Process {
        Process::spawn(self.command(args))
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    pub fn run_with_stdin(&self, args: &[&str], stdin: &str) -> Ended {
        Process::with_stdin(self.command(args), stdin).end()
    }

    /// What the store says is what its journals say. No site may be there.
    #[track_caller]
    pub fn is_whole(&self) {
        self.run(&["store", "check", "--data", ".isonomy"]).ends_with(0);
    }

    pub fn dev(&self) -> Dev {
        self.dev_with(&[], &[])
    }

    pub fn dev_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Dev {
        let mut command = self.command(&["dev", "--port", "0"]);
        command.args(args).envs(variables.iter().copied());
        Dev::of(Process::spawn(command))
    }
}

impl Process {
    pub fn spawn(command: Command) -> Self {
        let data = data(&command, command.get_args().filter_map(|arg| arg.to_str()));
        Self::begun(command, data)
    }

    /// Of a command that runs this one with these arguments.
    pub fn spawn_for(command: Command, args: &[&str]) -> Self {
        let data = data(&command, args.iter().copied());
        Self::begun(command, data)
    }

    fn begun(mut command: Command, data: PathBuf) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let stdout = Lines::of("stdout", child.stdout.take().expect("piped"));
        let stderr = Lines::of("stderr", child.stderr.take().expect("piped"));
        Self { child, data, stdout, stderr }
    }

    pub fn with_stdin(mut command: Command, stdin: &str) -> Self {
        command.stdin(Stdio::piped());
        let mut process = Self::spawn(command);
        let mut pipe = process.child.stdin.take().expect("piped");
        // One that ends without reading is for the test to judge.
        let _ = pipe.write_all(stdin.as_bytes());
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Until it is gone, whatever it says.
    pub fn wait(&mut self) {
        self.child.wait().expect("our own child");
    }

    /// Waits until it ends by itself.
    pub fn end(mut self) -> Ended {
        // Both streams end with the process; after that waiting takes no time.
        let (stdout, stderr) = (self.stdout.rest(), self.stderr.rest());
        let status = self.child.wait().expect("our own child");
        Ended { code: code(status), stdout, stderr }
    }

    /// SIGKILL, and everything that it had said.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("our own child");
        let status = self.child.wait().expect("our own child");
        Ended { code: code(status), stdout: self.stdout.rest(), stderr: self.stderr.rest() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

impl Lines {
    fn of(what: &'static str, from: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { what, lines, seen: Vec::new() }
    }

    /// The next line, or nothing at the end.
    pub fn next(&mut self) -> Option<String> {
        match self.lines.recv_timeout(HANG) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{} hangs after {:#?}", self.what, self.seen),
        }
    }

    /// The next line that contains this.
    pub fn until(&mut self, wanted: &str) -> String {
        loop {
            match self.next() {
                Some(line) if line.contains(wanted) => return line,
                Some(_) => {}
                None => panic!("{} ended without `{wanted}`: {:#?}", self.what, self.seen),
            }
        }
    }

    /// The lines from here on, to be read elsewhere.
    pub fn take(&mut self) -> Self {
        let (_, none) = channel();
        let lines = std::mem::replace(&mut self.lines, none);
        Self { what: self.what, lines, seen: Vec::new() }
    }

    /// Everything, from its beginning to its end.
    fn rest(&mut self) -> String {
        while self.next().is_some() {}
        self.seen.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The folder that its arguments name, or the usual one.
fn data<'a>(command: &Command, args: impl Iterator<Item = &'a str>) -> PathBuf {
    let args: Vec<&str> = args.collect();
    let named = args.iter().position(|arg| *arg == "--data").and_then(|at| args.get(at + 1));
    let usual = if args.first() == Some(&"hub") { ".isonomy-hub" } else { ".isonomy" };
    command.get_current_dir().unwrap_or(Path::new(".")).join(named.unwrap_or(&usual))
}

impl Dev {
    /// The folder that it serves from: commands find it there.
    pub fn data(&self) -> &str {
        self.process.data.to_str().expect("text")
    }

    /// For whoever may read its folder.
    pub fn door(&self) -> Door {
        let key = fs::read_to_string(self.process.data.join("key")).expect("a key");
        Door { url: self.url.clone(), key: Some(key.trim().to_owned()) }
    }

    pub fn of(process: Process) -> Self {
        Self::try_of(process).unwrap_or_else(|said| panic!("it did not start: {said}"))
    }

    /// What it has said, where it does not come up.
    pub fn try_of(mut process: Process) -> Result<Self, String> {
        let Some(first) = process.stdout.next() else { return Err(process.end().stderr) };
        let url = first.strip_prefix("listening on ").expect("the address comes first").to_owned();
        Ok(Self { process, url })
    }

    pub fn stop(self) -> Ended {
        self.process.signal(Signal::INT);
        self.process.end()
    }

    pub fn kill(self) -> Ended {
        self.process.kill()
    }
}

impl Ended {
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|wrong| panic!("{wrong} in {self:?}"))
    }

    /// The word in stdout or stderr that is a run's id.
    #[track_caller]
    pub fn run_id(&self) -> String {
        let text = format!("{} {}", self.stdout, self.stderr);
        find_run(&text).unwrap_or_else(|| panic!("no run in {self:?}"))
    }
}

pub fn find_run(text: &str) -> Option<String> {
    let at = text.find("run_")?;
    text.get(at..at + "run_".len() + 36).map(str::to_owned)
}

/// Of an amount in EUR, as servers say it.
pub fn micros(amount: &serde_json::Value) -> u64 {
    let text = amount.as_str().and_then(|text| text.strip_suffix(" EUR")).expect("an amount");
    let (whole, part) = text.split_once('.').expect("a decimal");
    format!("{whole}{part:0<6}").parse().expect("digits")
}

/// A document with this name and these tasks, written as YAML below `do:`.
pub fn document(name: &str, tasks: &str) -> String {
    format!(
        "document:\n  dsl: '1.0.3'\n  namespace: default\n  name: {name}\n  version: 1.0.0\ndo:\n{tasks}"
    )
}

/// Compares with a stored text; `UPDATE=1` stores it.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).expect("written");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "differs from {}; UPDATE=1 stores it", file.display());
}
