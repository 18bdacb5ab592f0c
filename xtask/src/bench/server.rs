//! The server under load: the real binary, started as a user starts it, on an empty data folder.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::connection::Connection;
use super::load::Load;
use super::workflow::Workflow;

pub struct Server {
    child: Child,
    host: String,
    /// The key that it leaves in its folder.
    key: String,
}

/// What the site counts of itself, from `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub commits: u64,
    pub batches: u64,
    pub fsyncs: u64,
}

/// Fsyncs of the same time, as the site counts them and as the system does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub by_site: u64,
    pub by_strace: u64,
}

const GREETING: &str = "listening on http://";

impl Server {
    /// On an empty data folder.
    pub fn start(program: &Path, data: &Path) -> anyhow::Result<Self> {
        Self::start_with(program, data, &[])
    }

    /// The same, with a configuration.
    pub fn start_configured(program: &Path, data: &Path, config: &Path) -> anyhow::Result<Self> {
        Self::start_with(program, data, &["--config".as_ref(), config.as_ref()])
    }

    /// The same, with one core for all of it.
    pub fn start_on_core(
        program: &Path,
        data: &Path,
        config: &Path,
        core: u8,
    ) -> anyhow::Result<Self> {
        Self::clear(data)?;
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(program);
        Self::spawn_as(command, data, &["--config".as_ref(), config.as_ref()])
    }

    fn start_with(program: &Path, data: &Path, flags: &[&OsStr]) -> anyhow::Result<Self> {
        Self::clear(data)?;
        Self::spawn(program, data, flags)
    }

    /// Removes what an earlier measurement has left.
    pub fn clear(data: &Path) -> anyhow::Result<()> {
        if data.exists() {
            std::fs::remove_dir_all(data)
                .with_context(|| format!("cannot remove `{}`", data.display()))?;
        }
        Ok(())
    }

    /// On what an earlier life has left.
    pub fn resume(program: &Path, data: &Path, config: &Path) -> anyhow::Result<Self> {
        Self::spawn(program, data, &["--config".as_ref(), config.as_ref()])
    }

    fn spawn(program: &Path, data: &Path, flags: &[&OsStr]) -> anyhow::Result<Self> {
        Self::spawn_as(Command::new(program), data, flags)
    }

    fn spawn_as(mut command: Command, data: &Path, flags: &[&OsStr]) -> anyhow::Result<Self> {
        let child = command
            .args(["dev", "--port", "0", "--log", "warn", "--data"])
            .arg(data)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        // From here on the child is stopped even if something fails.
        let mut server = Self { child, host: String::new(), key: String::new() };
        let stdout = server.child.stdout.take().context("the server has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("the server says nothing")?;
        let Some(host) = line.trim().strip_prefix(GREETING) else {
            bail!("the server did not say where it listens, but `{}`", line.trim());
        };
        server.host = host.trim_end_matches('/').to_owned();
        let key = data.join("key");
        let text = std::fs::read_to_string(&key);
        server.key =
            text.with_context(|| format!("cannot read `{}`", key.display()))?.trim().to_owned();
        Ok(server)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Address and port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A connection of somebody with its key.
    pub fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(&self.host, &self.key)
    }

    /// Asks whether the site is up; it is, or this is an error.
    pub fn answers(&self) -> anyhow::Result<()> {
        self.get("/api/v1/health").map(drop)
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut connection = self.connect()?;
        let request = connection.request("GET", path, "");
        connection.send(&request)?.success(&format!("cannot read `{path}`"))
    }

    /// How many runs there are in this state.
    pub fn runs_in(&self, state: &str) -> anyhow::Result<u64> {
        let text = String::from_utf8_lossy(&self.get("/metrics")?).into_owned();
        let name = format!("isonomy_runs{{state=\"{state}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&*name));
        let number = line.and_then(|number| number.trim().parse().ok());
        number.with_context(|| format!("/metrics has no number of {state} runs"))
    }

    /// A page of the list of runs.
    pub fn runs(&self, query: &str) -> anyhow::Result<Value> {
        self.page(&format!("runs?{query}"))
    }

    /// All pages of a list, in their largest size.
    pub fn pages(
        &self,
        list: &str,
        mut each: impl FnMut(&[Value]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut cursor = String::new();
        loop {
            let page = self.page(&format!("{list}&limit=500{cursor}"))?;
            each(page["items"].as_array().context("a page has `items`")?)?;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
    }

    fn page(&self, list: &str) -> anyhow::Result<Value> {
        let body = self.get(&format!("/api/v1/namespaces/bench/{list}"))?;
        serde_json::from_slice(&body).context("the answer is not JSON")
    }

    pub fn apply(&self, workflow: &Workflow) -> anyhow::Result<()> {
        let mut connection = self.connect()?;
        let body = json!({ "text": workflow.text }).to_string();
        let path = format!("/api/v1/namespaces/bench/workflows/{}", workflow.name);
        let apply = connection.request("PUT", &path, &body);
        connection.send(&apply)?.success("cannot apply the workflow").map(drop)
    }

    /// Applies the workflow and looks at one run of it.
    pub fn prepare(&self, workflow: &Workflow) -> anyhow::Result<()> {
        self.apply(workflow)?;
        let mut connection = self.connect()?;
        let start = self.start_request(&connection, workflow);
        let body = connection.send(&start)?.success("cannot start a run")?;
        let run: Value = serde_json::from_slice(&body).context("the answer is not JSON")?;
        ensure!(run["state"] == "completed", "the first run did not complete: {run}");
        let (output, expected) = (&run["output"], &workflow.output);
        ensure!(output == expected, "the first run gave {output} instead of {expected}");
        Ok(())
    }

    /// Starts a run and waits for its end.
    #[must_use]
    pub fn start_request(&self, connection: &Connection, workflow: &Workflow) -> Vec<u8> {
        request(connection, workflow, "?wait=30")
    }

    /// Starts a run and leaves it.
    #[must_use]
    pub fn detach_request(&self, connection: &Connection, workflow: &Workflow) -> Vec<u8> {
        request(connection, workflow, "")
    }

    pub fn counters(&self) -> anyhow::Result<Counters> {
        Counters::parse(&String::from_utf8_lossy(&self.get("/metrics")?))
    }

    /// As Ctrl-C does: it drains, and ends with success.
    pub fn stop(mut self) -> anyhow::Result<()> {
        signal("INT", self.pid())?;
        let status = self.child.wait().context("cannot wait for the server")?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// With SIGKILL: nothing drains, nothing is closed.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait().context("cannot wait for the server").map(drop)
    }
}

fn request(connection: &Connection, workflow: &Workflow, query: &str) -> Vec<u8> {
    let body = json!({ "workflow": workflow.name, "input": workflow.input }).to_string();
    connection.request("POST", &format!("/api/v1/namespaces/bench/runs{query}"), &body)
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Counters {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let number = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let mut values = lines.filter_map(|value| value.trim().parse().ok());
            values.next().with_context(|| format!("/metrics has no `{name}`"))
        };
        Ok(Self {
            commits: number("isonomy_store_commits_total")?,
            batches: number("isonomy_store_batches_total")?,
            fsyncs: number("isonomy_store_fsyncs_total")?,
        })
    }

    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            commits: self.commits.saturating_sub(earlier.commits),
            batches: self.batches.saturating_sub(earlier.batches),
            fsyncs: self.fsyncs.saturating_sub(earlier.fsyncs),
        }
    }
}

/// Counts the fsyncs of some load twice. Its speed is not looked at: `strace` stops every thread.
pub fn count_fsyncs(server: &Server, folder: &Path, load: &Load<'_>) -> anyhow::Result<Counted> {
    let summary = folder.join("strace.txt");
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o"])
        .arg(&summary)
        .args(["-p", &server.pid().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start `strace`; leave `--strace` out, or install it")?;
    let mut line = String::new();
    let said = strace.stderr.take().context("strace has no stderr")?;
    let mut said = BufReader::new(said);
    said.read_line(&mut line).context("strace says nothing")?;
    if !line.contains("attached") {
        let _ = strace.wait();
        bail!("strace cannot look at the server: {}", line.trim());
    }
    let before = server.counters()?;
    let measured = load.run(server);
    let by_site = server.counters()?.since(before).fsyncs;
    signal("INT", strace.id())?;
    // Read to its end, or strace could wait for room to write into.
    std::io::copy(&mut said, &mut std::io::sink()).context("cannot read what strace says")?;
    strace.wait().context("cannot wait for strace")?;
    measured?;
    let text = std::fs::read_to_string(&summary).context("strace wrote no summary")?;
    Ok(Counted { by_site, by_strace: calls(&text) })
}

/// The fourth column of each row with a system call: `% time  seconds  usecs/call  calls [errors] name`.
fn calls(summary: &str) -> u64 {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.clone().last()?;
        let is_sync = ["fsync", "fdatasync", "sync_file_range", "msync"].contains(&name);
        is_sync.then(|| words.nth(3)?.parse::<u64>().ok()).flatten()
    };
    summary.lines().filter_map(row).sum()
}

/// Through the system's own command: a signal needs no unsafe code of ours.
pub fn signal(name: &str, pid: u32) -> anyhow::Result<()> {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .context("cannot start `kill`")?;
    ensure!(status.success(), "cannot send SIG{name} to process {pid}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a counter whose name only begins alike.
    #[test]
    fn counters_are_read_by_their_whole_names() {
        let text = "# HELP isonomy_store_commits_total x\nisonomy_store_commits_total 7\nisonomy_store_batches_total 5\nisonomy_store_fsyncs_total_x 1\nisonomy_store_fsyncs_total 6\n";
        let counters = Counters::parse(text).expect("all are there");
        assert_eq!(counters, Counters { commits: 7, batches: 5, fsyncs: 6 });
        assert!(Counters::parse("isonomy_store_commits_total 7").is_err());
    }

    /// Mutation: take another column, or the line of the total.
    #[test]
    fn calls_of_all_kinds_are_summed() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ----------------\n 99.00    0.012345          12      1000           fdatasync\n  1.00    0.000100          50         2         1 fsync\n------ ----------- ----------- --------- --------- ----------------\n100.00    0.012445          12      1002         1 total\n";
        assert_eq!(calls(summary), 1002);
    }
}
