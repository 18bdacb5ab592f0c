//! What is around a gateway that is measured: upstreams and a load, in one process that has a core to itself.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::place::{Ending, on_core};

pub struct Around {
    process: Ending,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Around {
    /// With an upstream for each delay in milliseconds, and where those listen.
    pub fn start<const N: usize>(
        program: &Path,
        delays: [u32; N],
    ) -> anyhow::Result<(Self, [String; N])> {
        let mut command = on_core(1, program);
        command.arg("around").args(delays.map(|delay| delay.to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Ending(command.spawn().context("cannot start the load")?);
        let orders = process.0.stdin.take().context("piped")?;
        let mut said = BufReader::new(process.0.stdout.take().context("piped")?);
        let mut hosts = delays.map(|_| String::new());
        for host in &mut hosts {
            *host = address(&mut said)?;
        }
        Ok((Self { process, orders, said }, hosts))
    }

    /// Until the order is carried out, or all its streams are open.
    pub fn load(&mut self, order: &Value) -> anyhow::Result<Value> {
        writeln!(self.orders, "{order}").context("the load has ended")?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        if line.is_empty() {
            let ended = self.process.0.wait().context("our own child")?;
            anyhow::bail!("the load ended with {ended}");
        }
        serde_json::from_str(&line).context("the load gave no JSON")
    }

    /// Closes the streams that it holds open.
    pub fn release(&mut self) -> anyhow::Result<()> {
        writeln!(self.orders).context("the load has ended")
    }
}

/// Where who was just started says that it listens.
pub fn address(said: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    said.read_line(&mut line)?;
    let host = line.trim().strip_prefix("listening on ");
    ensure!(host.is_some(), "it says no address");
    Ok(host.unwrap_or_default().to_owned())
}
