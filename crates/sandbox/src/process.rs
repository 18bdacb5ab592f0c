//! One child process, as its parent sees it: an evaluator, or a model.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::child::EXIT_PANICKED;
use crate::protocol::header;

/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    pub pid: u32,
    pub served: u32,
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum Silence {
    /// The process was gone before the request had reached it.
    NotSent,
    /// It has ended while it worked on the request.
    Died,
    /// It answers with more than it may.
    TooMuch,
}

impl Process {
    /// The last two arguments of the child are its limits.
    pub(crate) fn spawn(
        program: &Path,
        args: &[String],
        memory_bytes: u64,
        stack_bytes: u64,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .arg(memory_bytes.to_string())
            .arg(stack_bytes.to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let gone = || io::Error::other("the process ended at once");
        let pid = child.id().ok_or_else(gone)?;
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        Ok(Self { child, stdin, stdout, pid, served: 0 })
    }

    /// Waits for the empty frame that says that the process is ready.
    pub(crate) async fn ready(&mut self) -> io::Result<()> {
        match self.stdout.read_u32_le().await? {
            0 => Ok(()),
            _ => Err(io::Error::other("the process is none of ours")),
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        answer_bytes_max: usize,
    ) -> Result<Vec<u8>, Silence> {
        self.ask(request).await?;
        self.next(answer_bytes_max).await
    }

    /// Says something; what is answered comes with [`Self::next`].
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<(), Silence> {
        self.served += 1;
        self.send(request).await.map_err(|_| Silence::NotSent)
    }

    /// The next frame that the process says.
    pub(crate) async fn next(&mut self, answer_bytes_max: usize) -> Result<Vec<u8>, Silence> {
        let length = self.stdout.read_u32_le().await.map_err(|_| Silence::Died)? as usize;
        if length > answer_bytes_max {
            return Err(Silence::TooMuch);
        }
        // Not more than once the limit, and not by doubling.
        let mut answer = Vec::with_capacity(length);
        let mut rest = (&mut self.stdout).take(length as u64);
        rest.read_to_end(&mut answer).await.map_err(|_| Silence::Died)?;
        if answer.len() == length { Ok(answer) } else { Err(Silence::Died) }
    }

    async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stdin.write_all(&header(request.len())?).await?;
        self.stdin.write_all(request).await?;
        self.stdin.flush().await
    }

    /// Kills the process and waits until nothing of it is left.
    pub(crate) async fn kill(mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill().await;
    }

    /// How a process that has closed its output ended.
    pub(crate) async fn post_mortem(mut self) -> End {
        // It may have closed its output without ending, so nothing is left to chance.
        let Ok(ended) = timeout(END_MAX, self.child.wait()).await else {
            let _ = self.child.kill().await;
            return End::Exceeded;
        };
        match ended {
            Ok(status) if status.signal() == Some(SIGKILL) => End::FromOutside,
            Ok(status) if status.code() == Some(EXIT_PANICKED) => End::Panicked,
            Ok(_) | Err(_) => End::Exceeded,
        }
    }
}

/// How a process came to its end without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Whatever exceeds its own limits ends by an abort or a fault, never by this signal: somebody
    /// else has sent it, and the work cannot help it.
    FromOutside,
    Panicked,
    /// By its limits of memory or stack.
    Exceeded,
}

const SIGKILL: i32 = 9;

/// A process whose output has ended is about to end itself.
const END_MAX: Duration = Duration::from_secs(1);
