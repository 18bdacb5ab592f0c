//! Whether this system allows a sandbox: found out by making one and looking around in it.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::job::{Ending, Job, Limits, Shown};
use super::launch::{Jail, LaunchError};

/// Argument of the binary when it looks around inside. Hidden from its users.
pub const PROBE: &str = "__probe";

/// Where the binary stands inside.
const INSIDE: &str = "/probe/isonomy";

/// What it looks around for is there at once.
const PROBE_MAX: Duration = Duration::from_secs(20);

/// What a probe may say.
const REPORT_BYTES_MAX: u64 = 4_096;

/// Processes in sight from inside: process 1 and the probe itself.
const PROCESSES: usize = 2;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("the sandbox does not hold: {0}")]
    Leaks(String),
    #[error("nothing can be run in the sandbox: {0}")]
    Unusable(String),
}

pub(super) async fn check(jail: &Jail) -> Result<(), ProbeError> {
    let mut running = jail.start(job(jail)).await?;
    let mut report = String::new();
    let mut errors = (&mut running.stderr).take(REPORT_BYTES_MAX);
    let looked = timeout(PROBE_MAX, errors.read_to_string(&mut report)).await;
    if looked.is_err() {
        running.kill().await;
        return Err(ProbeError::Unusable("it takes too long".to_owned()));
    }
    match running.ended().await {
        Some(Ending::Exited(0)) => Ok(()),
        Some(Ending::Exited(LEAKS)) => Err(ProbeError::Leaks(report.trim().to_owned())),
        Some(Ending::Failed(failure)) => Err(ProbeError::Unusable(failure.to_string())),
        Some(Ending::Exited(code)) => Err(ProbeError::Unusable(format!(
            "the probe ended with code {code}: {}",
            report.trim()
        ))),
        Some(Ending::Signal(signal)) => {
            Err(ProbeError::Unusable(format!("the probe was killed by signal {signal}")))
        }
        None => Err(ProbeError::Unusable("the probe was ended from outside".to_owned())),
    }
}

fn job(jail: &Jail) -> Job {
    let program = Shown { host: jail.program().clone(), inside: INSIDE.into() };
    Job {
        program: program.inside.clone(),
        shown: vec![program],
        file: PROBE.to_owned(),
        code: String::new(),
        stdin: "x".to_owned(),
        arguments: Vec::new(),
        environment: Vec::new(),
        limits: Limits {
            memory_bytes: 1024 * 1024 * 1024,
            count_addresses: true,
            processes: 16,
            files: 64,
            scratch_bytes: 1024 * 1024,
            cpu_seconds: 10,
        },
    }
}

/// The probe's exit code where a wall is missing.
const LEAKS: u8 = 3;

/// Whether `main` was started inside, to look around.
#[must_use]
pub fn is_probe(first: &std::ffi::OsStr) -> bool {
    Path::new(first) == Path::new(super::root::CODE).join(PROBE)
}

/// Looks around inside, and says on standard error which wall is missing.
pub fn probe_child_main() -> ExitCode {
    let mut input = [0];
    if std::io::stdin().read(&mut input).ok() != Some(1) {
        eprintln!("it has no input");
        return ExitCode::FAILURE;
    }
    if let Err(error) = fs::write("there", "x").and_then(|()| fs::write("/tmp/there", "x")) {
        eprintln!("it cannot write into its working folder: {error}");
        return ExitCode::FAILURE;
    }
    match missing_wall() {
        None => ExitCode::SUCCESS,
        Some(which) => {
            eprintln!("{which}");
            ExitCode::from(LEAKS)
        }
    }
}

fn missing_wall() -> Option<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let has = |field: &str, value: &str| {
        status
            .lines()
            .filter_map(|line| line.split_once(":"))
            .any(|(name, found)| name == field && found.trim().trim_start_matches('0') == value)
    };
    let is_number = |name: &std::ffi::OsStr| name.to_string_lossy().parse::<u32>().is_ok();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter(|entry| is_number(&entry.file_name())).count();
    let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let sends = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(elsewhere))
        .is_ok();
    let walls = [
        (rustix::process::geteuid().is_root(), "it runs as root"),
        (!has("CapEff", ""), "it has capabilities"),
        (!has("CapBnd", ""), "it can gain capabilities"),
        (!has("NoNewPrivs", "1"), "it can gain privileges"),
        (
            cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) && !has("Seccomp", "2"),
            "calls are not refused",
        ),
        (processes > PROCESSES, "it sees other processes"),
        (sends, "it has a network"),
        (fs::write("/there", "x").is_ok(), "it can write to its root"),
        (fs::write("/usr/there", "x").is_ok(), "it can write to the host"),
        (Path::new("/etc/shadow").exists(), "it sees the host's configuration"),
        (Path::new("/root").exists() || Path::new("/home").exists(), "it sees homes"),
    ];
    walls.into_iter().find_map(|(missing, which)| missing.then_some(which))
}
