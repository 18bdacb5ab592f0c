//! Secrets from a program, such as the client of a vault: no shell, no environment but `PATH`, a
//! deadline, and a bound on what it may say. What it writes to stderr is not read: it might hold
//! what must not be seen.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::SECRET_BYTES_MAX;
use crate::vault::Command;

/// Why there is no secret. Nothing of what the program said is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the command `{program}` cannot be started: {why}")]
    Start { program: String, why: std::io::ErrorKind },
    #[error("the command `{program}` gave no secret within {seconds} seconds")]
    Deadline { program: String, seconds: u64 },
    #[error("the command `{program}` ended with {status}")]
    Failed { program: String, status: String },
    #[error("the command `{program}` wrote more than {SECRET_BYTES_MAX} bytes")]
    TooLarge { program: String },
    #[error("the command `{program}` wrote nothing, or no UTF-8")]
    NoText { program: String },
}

/// The program's output without its last line break.
pub(crate) async fn run(command: &Command) -> Result<String, CommandError> {
    let program = command.argv.first().cloned().unwrap_or_default();
    let mut child = start(command, &program)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let group = Group(group);
    let ended = tokio::time::timeout(command.deadline, read(&mut child)).await;
    drop(group);
    let seconds = command.deadline.as_secs();
    let Ok(ended) = ended else { return Err(CommandError::Deadline { program, seconds }) };
    let (bytes, status) = ended
        .map_err(|error| CommandError::Start { program: program.clone(), why: error.kind() })?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(CommandError::TooLarge { program });
    }
    if !status.success() {
        return Err(CommandError::Failed { program, status: status.to_string() });
    }
    let text = String::from_utf8(bytes).unwrap_or_default();
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(CommandError::NoText { program });
    }
    Ok(text.to_owned())
}

fn start(command: &Command, program: &str) -> Result<Child, CommandError> {
    let mut starting = tokio::process::Command::new(program);
    starting
        .args(command.argv.iter().skip(1))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0);
    if let Some(path) = std::env::var_os("PATH") {
        starting.env("PATH", path);
    }
    starting
        .spawn()
        .map_err(|error| CommandError::Start { program: program.to_owned(), why: error.kind() })
}

async fn read(child: &mut Child) -> std::io::Result<(Vec<u8>, std::process::ExitStatus)> {
    let mut bytes = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // One byte more than allowed shows that there was more.
        stdout.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() > SECRET_BYTES_MAX {
        child.start_kill()?;
    }
    Ok((bytes, child.wait().await?))
}

/// A process group that is killed when nobody waits for it any more: the program may have started
/// others.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// How long a command may take, unless the configuration says otherwise.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(argv: &[&str], deadline: Duration) -> String {
        let argv = argv.iter().map(|part| (*part).to_owned()).collect();
        match run(&Command { argv, deadline, json: false }).await {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    /// Mutation: go through a shell, hand on the environment, or trim more than the line break.
    #[tokio::test]
    async fn a_command_has_no_shell_and_no_environment() {
        let said = async |argv: &[&str]| said(argv, DEADLINE).await;
        assert_eq!(said(&["printf", " a$HOME \\n\\n"]).await, " a$HOME \n");
        assert_eq!(said(&["env"]).await.lines().count(), 1);
        assert_eq!(said(&["printf", ""]).await, "the command `printf` wrote nothing, or no UTF-8");
        assert_eq!(
            said(&["false", "s3cret"]).await,
            "the command `false` ended with exit status: 1"
        );
        assert_eq!(
            said(&["/nonexistent/x"]).await,
            "the command `/nonexistent/x` cannot be started: entity not found"
        );
        assert_eq!(
            said(&["head", "-c", "70000", "/dev/zero"]).await,
            "the command `head` wrote more than 65536 bytes"
        );
    }

    /// Mutation: wait for ever, or kill the program and leave its children.
    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());
        // Opening the pipe for writing waits for a reader: this test, below.
        let script = format!("(cat /dev/zero > {0}) & wait", pipe.display());
        let deadline = Duration::from_millis(300);
        let argv = ["sh", "-c", &script];
        let hung = said(&argv, deadline);
        let reader = tokio::task::spawn_blocking(move || {
            // Ends when the last writer has gone.
            std::io::copy(&mut std::fs::File::open(pipe).expect("a pipe"), &mut std::io::sink())
        });
        assert_eq!(hung.await, "the command `sh` gave no secret within 0 seconds");
        reader.await.expect("the writer has gone").expect("read");
    }
}
