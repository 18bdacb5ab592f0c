//! A site that runs one job, as any user.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use isonomy_sandbox::jail::{Installed, Limits};
use isonomy_sandbox::{Ending, Job};
use serde_json::Value;

/// Somebody whom every system knows, and somebody whom none does.
const OTHERS: [u32; 2] = [65_534, 4_242];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    Own,
    Other(u32),
}

/// Everybody whom this process can be.
pub fn users() -> Vec<User> {
    let mut users = vec![User::Own];
    if rustix::process::geteuid().is_root() {
        users.extend(OTHERS.map(User::Other));
    }
    users
}

/// What came of a job.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub ending: Option<Ending>,
    pub stdout: String,
    pub stderr: String,
}

pub const MIB: u64 = 1024 * 1024;

pub fn python(code: &str) -> Job {
    let python = ["/usr/local/bin/python3", "/usr/bin/python3"]
        .iter()
        .find_map(|path| Installed::find(Path::new(path), "python").ok())
        .expect("these tests need `python3`");
    job(python, "main.py", code)
}

pub fn shell(code: &str) -> Job {
    job(Installed::find(Path::new("/bin/sh"), "sh").expect("a shell"), "main.sh", code)
}

fn job(installed: Installed, file: &str, code: &str) -> Job {
    Job {
        program: installed.program,
        shown: installed.shown,
        file: file.to_owned(),
        code: code.to_owned(),
        stdin: String::new(),
        arguments: Vec::new(),
        environment: Vec::new(),
        limits: Limits {
            memory_bytes: 256 * MIB,
            count_addresses: true,
            processes: 32,
            files: 64,
            scratch_bytes: 8 * MIB,
            cpu_seconds: 20,
        },
    }
}

/// A site at work on one job.
pub struct Site {
    pub child: Child,
    /// Others cannot read the folder in which the binary was built, perhaps.
    _copy: Option<tempfile::TempDir>,
}

impl Site {
    pub fn start(user: User, job: &Job, environment: &[(&str, &str)]) -> Self {
        let binary = env!("CARGO_BIN_EXE_isonomy-jail");
        let (program, copy) = match user {
            User::Own => (binary.into(), None),
            User::Other(_) => {
                let folder = tempfile::tempdir().expect("a folder");
                let mode = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(folder.path(), mode).expect("it is ours");
                let program = folder.path().join("isonomy-jail");
                std::fs::copy(binary, &program).expect("a copy");
                (program, Some(folder))
            }
        };
        let mut command = Command::new(program);
        command.envs(environment.iter().copied()).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let User::Other(number) = user {
            command.uid(number).gid(number);
        }
        let mut child = command.spawn().expect("the site starts");
        let line = serde_json::to_string(job).expect("a job is JSON");
        let stdin = child.stdin.as_mut().expect("it was asked for");
        writeln!(stdin, "{line}").expect("the site reads");
        Self { child, _copy: copy }
    }

    /// Waits for the end of the job; nothing where there can be no sandbox here.
    pub fn end(mut self) -> Option<Told> {
        let mut stdout = self.child.stdout.take().expect("it was asked for");
        let mut stderr = self.child.stderr.take().expect("it was asked for");
        let (mut said, mut why) = (String::new(), String::new());
        stdout.read_to_string(&mut said).expect("text");
        stderr.read_to_string(&mut why).expect("text");
        self.child.wait().expect("it ends");
        if said.is_empty() {
            assert!(why.starts_with("no sandbox: "), "{why}");
            assert!(std::env::var_os("CI").is_none(), "no test may be skipped here: {why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let mut told: Value = serde_json::from_str(&said).expect("JSON");
        let text = |told: &Value, name: &str| told[name].as_str().expect("text").to_owned();
        Some(Told {
            stdout: text(&told, "stdout"),
            stderr: text(&told, "stderr"),
            ending: serde_json::from_value(told["ending"].take()).expect("an ending"),
        })
    }

    /// Has the site end the job, and waits until it has.
    pub fn cancel(mut self) -> Option<Told> {
        drop(self.child.stdin.take());
        self.end()
    }
}

/// Runs a job to its end.
pub fn run(user: User, job: &Job) -> Option<Told> {
    Site::start(user, job, &[]).end()
}

/// Runs a script as everybody, and compares what it says.
pub fn check(job: &Job, expected: &str) {
    for user in users() {
        let Some(told) = run(user, job) else { return };
        assert_eq!(told.stdout, expected, "{user:?}: {told:?}");
    }
}

/// A process of this machine that has this word among its arguments.
pub fn find_process(word: &str) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").expect("every Linux has it").flatten();
    entries
        .filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let has = command.split(|byte| *byte == 0).any(|one| one == word.as_bytes());
            has.then_some(number)
        })
        .next()
}
