//! Servers of the demo: this same binary, in processes of their own that can be killed.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::failure::{Failure, Outcome};

/// What a site says first, before its address.
const LISTENING: &str = "listening on ";

/// A site is up within milliseconds; this is for a machine that does much else.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a site may take to put things in order, before it is killed after all.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Lines of the site's log that tell why it did not come up.
const LOG_LINES_SHOWN: usize = 8;

/// A running site or hub. Killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    pub pid: u32,
    pub url: String,
    child: Child,
    /// Kept open, so that whatever the site says does not end it.
    _said: BufReader<ChildStdout>,
}

impl Server {
    /// A site that has its configuration in that folder, and keeps all else there.
    pub async fn site(folder: &Path) -> Outcome<Self> {
        let (data, config) = (folder.join("data"), folder.join("site.yaml"));
        let args: [&OsStr; 7] = [
            "dev".as_ref(),
            "--port".as_ref(),
            "0".as_ref(),
            "--data".as_ref(),
            data.as_ref(),
            "--config".as_ref(),
            config.as_ref(),
        ];
        Self::start(&args, &folder.join("site.log")).await
    }

    /// What it logs goes to that file.
    pub async fn start(args: &[&OsStr], log: &Path) -> Outcome<Self> {
        let failed = |cause| Failure::internal(format!("cannot start a server: {cause}"));
        let opened = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        let mut child = command(args, opened).map_err(failed)?.spawn().map_err(failed)?;
        let pid = child.id().ok_or_else(|| Failure::internal("a server ended at once"))?;
        let stdout =
            child.stdout.take().ok_or_else(|| Failure::internal("a server has no stdout"))?;
        let mut said = BufReader::new(stdout);
        let mut line = String::new();
        let read = timeout(START_TIMEOUT, said.read_line(&mut line)).await;
        let told =
            matches!(read, Ok(Ok(_))).then(|| line.trim_end().strip_prefix(LISTENING)).flatten();
        match told {
            Some(url) => Ok(Self { pid, url: url.to_owned(), child, _said: said }),
            None => {
                end(&mut child).await;
                Err(Failure::internal("a server did not come up")
                    .hint(format!("it said:\n{}", last_words(log))))
            }
        }
    }

    /// SIGKILL: the process ends where it stands. Returns the number of the signal that ended it.
    pub async fn kill(mut self) -> Outcome<Option<i32>> {
        let failed = |cause| Failure::internal(format!("cannot kill a server: {cause}"));
        self.child.start_kill().map_err(failed)?;
        Ok(self.child.wait().await.map_err(failed)?.signal())
    }

    /// SIGTERM, and SIGKILL if that does not help. Returns whether it stopped as it should.
    pub async fn stop(mut self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if let (true, Ok(Ok(status))) = (asked, timeout(STOP_TIMEOUT, self.child.wait()).await) {
            return status.success();
        }
        end(&mut self.child).await;
        false
    }
}

fn command(args: &[&OsStr], log: File) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(args)
        // The filter of whoever tries the demo is not the demo's.
        .env_remove("ISONOMY_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // A Ctrl-C is for the demo, which then ends its servers.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// Killed and reaped, whatever state it is in.
async fn end(child: &mut Child) {
    // It fails where there is nothing left to kill.
    let _ = child.kill().await;
}

fn last_words(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
