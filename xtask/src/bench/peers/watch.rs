//! Runs a script, and looks at its processes at every line that it prints: the lines are where its
//! phases begin and end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

use super::super::process::{self, Process, Resident, Usage};

/// The longest phase of a script is far shorter; a script that hangs must not hang the measurement.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// A line, and how the processes of the script stood when it came.
#[derive(Debug, Clone)]
pub struct Line {
    pub text: String,
    pub at: SystemTime,
    pub processes: Vec<Process>,
}

/// Until the line that is the last of interest, or the script's own end. What still runs is killed.
pub fn watch(mut command: Command, is_last: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Line>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut script = Script(command.spawn().context("cannot start the script of a peer")?);
    let stdout = script.0.stdout.take().context("the script has no stdout")?;
    let (sender, receiver) = mpsc::sync_channel(0);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut lines: Vec<Line> = Vec::new();
    while let Some(text) = next(&receiver, &lines)? {
        let (at, processes) = (SystemTime::now(), process::tree(script.0.id()));
        let is_end = is_last(&text);
        lines.push(Line { text, at, processes });
        if is_end {
            break;
        }
    }
    Ok(lines)
}

fn next(receiver: &Receiver<String>, lines: &[Line]) -> anyhow::Result<Option<String>> {
    match receiver.recv_timeout(SILENCE_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(RecvTimeoutError::Disconnected) => Ok(None),
        Err(RecvTimeoutError::Timeout) => {
            let last = lines.last().map_or("", |line| &line.text);
            bail!("the script has said nothing for {} s after `{last}`", SILENCE_MAX.as_secs())
        }
    }
}

/// The script and what it has started, which would outlive it.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        // The script first, or it would start the next phase when one of its children has gone.
        for process in process::tree(self.0.id()) {
            let _ = super::super::server::signal("KILL", process.pid);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Line {
    /// Of all processes with this name together.
    #[must_use]
    pub fn usage(&self, name: &str) -> Option<Usage> {
        let usages = self.named(name).map(|process| process.usage);
        usages.reduce(|one, other| Some(one? + other?))?
    }

    #[must_use]
    pub fn memory(&self, name: &str) -> Option<Resident> {
        let figures = self.named(name).map(|process| process.memory);
        figures.reduce(|one, other| Some(one? + other?))?
    }

    /// Processor time of what the script has run and waited for.
    #[must_use]
    pub fn ended(&self) -> Option<Duration> {
        self.processes.first().map(|script| script.ended_children)
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(move |process| process.name == name)
    }
}

/// The place of the first line that the script has printed and that is like this.
pub fn place(lines: &[Line], what: &str, is: impl Fn(&str) -> bool) -> anyhow::Result<usize> {
    let found = lines.iter().position(|line| is(&line.text));
    found.with_context(|| {
        let said: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        format!("the script never said {what}, but:\n{}", said.join("\n"))
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A line at which the processes had used so much: name, milliseconds, bytes written.
    pub fn line(text: &str, processes: &[(&str, u64, u64)]) -> Line {
        let process = |(name, ms, written): &(&str, u64, u64)| Process {
            pid: 1,
            name: (*name).to_owned(),
            usage: Some(Usage { processor: Duration::from_millis(*ms), written: *written }),
            memory: Some(Resident { whole: 2 << 20, anonymous: 1 << 20 }),
            ended_children: Duration::from_millis(*ms),
        };
        let processes = processes.iter().map(process).collect();
        Line { text: text.to_owned(), at: SystemTime::UNIX_EPOCH, processes }
    }

    /// Mutation: add up other processes, or call nothing zero.
    #[test]
    fn figures_are_of_the_processes_of_that_name() {
        let line = line("", &[("bash", 50, 1), ("rsvc", 10, 5), ("rsvc", 20, 6)]);
        let usage = line.usage("rsvc").expect("two of them");
        assert_eq!((usage.processor, usage.written), (Duration::from_millis(30), 11));
        assert_eq!(line.memory("rsvc").expect("two of them").whole, 4 << 20);
        assert_eq!(line.usage("node"), None);
        assert_eq!(line.ended(), Some(Duration::from_millis(50)));
    }

    /// Mutation: go on behind the last line of interest, or leave the script's children alive.
    #[test]
    fn a_script_is_stopped_at_the_line_of_interest() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two; tail -f /dev/null; echo three"]);
        let lines = watch(command, |text| text == "two").expect("a shell");
        let said: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(said, ["one", "two"]);
        assert_eq!(place(&lines, "two", |text| text == "two").expect("it is there"), 1);
        assert!(place(&lines, "three", |text| text == "three").is_err());
    }
}
