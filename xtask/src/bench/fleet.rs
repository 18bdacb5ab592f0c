//! `cargo xtask bench fleet`: a real hub, and many sites in one other process, over real TLS on this
//! machine. Two processes, since one may have 20,000 files open.
//!
//! There is no peer in it: none of those that we know holds lines to so many sites on one machine.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::machine::Machine;
use super::process::{self, Resident, Usage};
use super::server::Server;
use super::target_folder;
use crate::test::cargo;
use crate::tree;

/// Far beyond what any of it takes.
const TIME_MAX: Duration = Duration::from_secs(1_800);

/// From one frame each way to the look at the hub's memory.
const SETTLED: Duration = Duration::from_secs(60);

/// What we build for.
const LINE_KB_MAX: f64 = 24.0;
const EDITION_SECONDS_MAX: f64 = 10.0;
const STORM_SECONDS_MAX: f64 = 60.0;
const IDLE_KBIT_MAX: f64 = 0.1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub sites: u64,
    /// At each site.
    pub outcomes: u64,
    pub idle_seconds: u64,
}

impl Options {
    pub fn parse(flags: &[&str]) -> Result<Self, String> {
        let mut options = Self { sites: 10_000, outcomes: 20, idle_seconds: 600 };
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let place = match *flag {
                "--sites" => &mut options.sites,
                "--outcomes" => &mut options.outcomes,
                "--idle" => &mut options.idle_seconds,
                _ => return Err(format!("`bench fleet` does not know `{flag}`")),
            };
            let text = flags.next().ok_or_else(|| format!("`{flag}` wants a number"))?;
            let number = text.parse().ok().filter(|number| *number > 0);
            *place = number.ok_or_else(|| format!("`{flag}` wants a number, not `{text}`"))?;
        }
        Ok(options)
    }
}

/// The hub's process, stopped at the end whatever happens.
struct Hub {
    child: Child,
}

/// The sites' process.
struct Swarm {
    child: Child,
    stdin: ChildStdin,
    said: Receiver<String>,
}

/// One thing that was done: how long it took, and what it cost the hub.
struct Step {
    what: &'static str,
    took: Duration,
    hub: Option<Usage>,
}

impl Hub {
    fn start(program: &Path, data: &Path, listen: &str) -> anyhow::Result<Self> {
        let child = Command::new(program)
            .args(["hub", "serve", "--port", "0", "--log", "warn", "--listen", listen, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the hub")?;
        let mut hub = Self { child };
        let stdout = hub.child.stdout.take().context("the hub has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("the hub says nothing")?;
        ensure!(line.starts_with("listening on "), "the hub said `{}`", line.trim());
        Ok(hub)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn memory(&self) -> anyhow::Result<Resident> {
        process::memory(self.pid()).context("the hub's memory cannot be read")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Swarm {
    fn start(program: &Path, tokens: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args([tokens, folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the sites")?;
        let stdin = child.stdin.take().context("the sites have no stdin")?;
        let stdout = child.stdout.take().context("the sites have no stdout")?;
        let (send, said) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        Ok(Self { child, stdin, said })
    }

    fn tell(&mut self, words: &str) -> anyhow::Result<()> {
        writeln!(self.stdin, "{words}").context("the sites are gone")
    }

    fn hears(&self, word: &str) -> anyhow::Result<()> {
        match self.said.recv_timeout(TIME_MAX) {
            Ok(said) if said == word => Ok(()),
            Ok(said) => bail!("the sites said `{said}` in place of `{word}`"),
            Err(RecvTimeoutError::Timeout) => bail!("`{word}` takes too long"),
            Err(RecvTimeoutError::Disconnected) => bail!("the sites are gone"),
        }
    }

    fn done(&mut self, words: &str) -> anyhow::Result<()> {
        self.tell(words)?;
        self.hears(words.split(' ').next().unwrap_or(words))
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Programs {
    isonomy: PathBuf,
    swarm: PathBuf,
    folder: PathBuf,
}

fn build() -> anyhow::Result<Programs> {
    let status = cargo()
        .args(["build", "--release", "--locked", "-p", "isonomy-cli", "--bin", "isonomy"])
        .args(["-p", "isonomy-federation", "--example", "swarm"])
        .current_dir(tree::root())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cannot build what is to be measured: cargo ended with {status}");
    let (target, name) = (target_folder()?, std::env::consts::EXE_EXTENSION);
    let release = target.join("release");
    let folder = target.join("bench").join("fleet");
    Server::clear(&folder)?;
    std::fs::create_dir_all(&folder).context("cannot make a folder for the fleet")?;
    Ok(Programs {
        isonomy: release.join("isonomy").with_extension(name),
        swarm: release.join("examples").join("swarm").with_extension(name),
        folder,
    })
}

impl Programs {
    /// What it prints.
    fn isonomy(&self, args: &[&str]) -> anyhow::Result<String> {
        let ended = Command::new(&self.isonomy)
            .args(args)
            .current_dir(&self.folder)
            .output()
            .context("cannot start isonomy")?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "isonomy {}: {said}", args.join(" "));
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    fn tokens(&self, sites: u64) -> anyhow::Result<PathBuf> {
        let names: String = (0..sites).fold("site\n".to_owned(), |mut text, number| {
            let _ = writeln!(text, "site-{number:05}");
            text
        });
        std::fs::write(self.folder.join("sites.csv"), names)?;
        let create = ["hub", "token", "create", "--from", "sites.csv", "--ttl", "7d", "-o", "json"];
        let made = self.isonomy(&[&create[..], &["--server", "hub"]].concat())?;
        let mut tokens = String::new();
        for made in serde_json::Deserializer::from_str(&made).into_iter::<serde_json::Value>() {
            let made = made.context("a token")?;
            writeln!(tokens, "{}", made["token"].as_str().context("a token")?)?;
        }
        let file = self.folder.join("tokens");
        std::fs::write(&file, tokens)?;
        Ok(file)
    }

    fn law(&self) -> anyhow::Result<()> {
        let law = self.folder.join("law");
        std::fs::create_dir_all(&law)?;
        std::fs::write(law.join("a.yaml"), WORKFLOW)?;
        std::fs::write(law.join("all.yaml"), PLACEMENT)?;
        Ok(())
    }
}

const WORKFLOW: &str = "document: {dsl: '1.0.3', namespace: default, name: a, version: 1.0.0}\ndo:\n  - x: {set: {y: 1}}\n";

const PLACEMENT: &str = "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {namespace: default, name: all}\nspec:\n  workflows: [a]\n  sites: {all: true}\n";

/// Bytes that have gone over the interface of this machine to itself, each counted once.
fn loopback() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/net/dev").ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Everything that was seen.
struct Seen {
    steps: Vec<Step>,
    /// Of the hub, for each line, in kilobytes.
    line_kb: f64,
    outcomes_per_second: f64,
    /// Of each site, both ways.
    idle_kbit: Option<f64>,
    before: Resident,
    after: Resident,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let programs = build()?;
    let machine = Machine::look();
    let seen = measure(&programs, options)?;
    print!("{}", markdown(&machine, options, &seen));
    let file = programs.folder.with_extension("json");
    std::fs::write(&file, serde_json::to_string_pretty(&to_json(&machine, options, &seen))?)?;
    eprintln!("written to {}", file.display());
    Ok(())
}

fn measure(programs: &Programs, options: &Options) -> anyhow::Result<Seen> {
    let data = programs.folder.join("hub");
    programs.isonomy(&["hub", "init", "--domain", "bench", "--data", "hub"])?;
    programs.law()?;
    let listen = "127.0.0.1:7473";
    let mut hub = Hub::start(&programs.isonomy, &data, listen)?;
    let mut steps = Vec::new();
    let step = |steps: &mut Vec<Step>, what, pid, act: &mut dyn FnMut() -> anyhow::Result<()>| {
        let (began, before) = (Instant::now(), process::usage(pid));
        act().with_context(|| format!("while {what}"))?;
        let (took, hub) = (began.elapsed(), Usage::between(before, process::usage(pid)));
        eprintln!("{what}: {:.1} s", took.as_secs_f64());
        steps.push(Step { what, took, hub });
        anyhow::Ok(took.as_secs_f64())
    };
    let mut tokens = PathBuf::new();
    step(&mut steps, "making tokens", hub.pid(), &mut || {
        tokens = programs.tokens(options.sites)?;
        Ok(())
    })?;
    let mut swarm = Swarm::start(&programs.swarm, &tokens, &programs.folder.join("sites"))?;
    step(&mut steps, "joining", hub.pid(), &mut || swarm.hears("joined"))?;
    sleep(SETTLED);
    let before = hub.memory()?;
    step(&mut steps, "coming up", hub.pid(), &mut || swarm.done("up"))?;
    step(&mut steps, "one outcome each", hub.pid(), &mut || swarm.done("outcomes 1"))?;
    sleep(SETTLED);
    let after = hub.memory()?;
    swarm.done("watch")?;
    step(&mut steps, "an edition to all", hub.pid(), &mut || {
        programs.isonomy(&["apply", "--yes", "-f", "law", "--server", "hub"])?;
        swarm.done("edition")
    })?;
    let outcomes = format!("outcomes {}", options.outcomes);
    let seconds = step(&mut steps, "outcomes", hub.pid(), &mut || swarm.done(&outcomes))?;
    let (began, bytes) = (Instant::now(), loopback());
    step(&mut steps, "at rest", hub.pid(), &mut || {
        sleep(Duration::from_secs(options.idle_seconds));
        Ok(())
    })?;
    let idle = loopback().zip(bytes).map(|(after, before)| after - before);
    let idle_seconds = began.elapsed().as_secs_f64();
    // SIGKILL: nobody is told.
    hub.child.kill()?;
    hub.child.wait()?;
    swarm.done("down")?;
    let began = Instant::now();
    hub = Hub::start(&programs.isonomy, &data, listen)?;
    let pid = hub.pid();
    step(&mut steps, "all back after SIGKILL", pid, &mut || swarm.done("up"))?;
    if let Some(last) = steps.last_mut() {
        last.took = began.elapsed();
    }
    let sites = options.sites as f64;
    Ok(Seen {
        steps,
        line_kb: (after.whole as f64 - before.whole as f64) / sites / 1e3,
        outcomes_per_second: sites * options.outcomes as f64 / seconds,
        idle_kbit: idle.map(|bytes| bytes as f64 * 8.0 / 1e3 / sites / idle_seconds),
        before,
        after,
    })
}

impl Seen {
    fn seconds(&self, what: &str) -> f64 {
        let step = self.steps.iter().find(|step| step.what == what);
        step.map_or(f64::NAN, |step| step.took.as_secs_f64())
    }

    /// What, how much, and the most that it should be.
    fn targets(&self) -> [(&'static str, f64, f64); 4] {
        [
            ("memory of a line at the hub, kB", self.line_kb, LINE_KB_MAX),
            ("an edition to all, s", self.seconds("an edition to all"), EDITION_SECONDS_MAX),
            (
                "all back after SIGKILL, s",
                self.seconds("all back after SIGKILL"),
                STORM_SECONDS_MAX,
            ),
            ("at rest, kbit/s of a site", self.idle_kbit.unwrap_or(f64::NAN), IDLE_KBIT_MAX),
        ]
    }
}

fn markdown(machine: &Machine, options: &Options, seen: &Seen) -> String {
    let mut text = format!("A hub with {} sites\n\n{machine}\n\n", options.sites);
    text.push_str("| what | s | of the hub's processor, s |\n|---|---|---|\n");
    for Step { what, took, hub } in &seen.steps {
        let hub = hub.map_or("?".to_owned(), |it| format!("{:.1}", it.processor.as_secs_f64()));
        let _ = writeln!(text, "| {what} | {:.1} | {hub} |", took.as_secs_f64());
    }
    let mb = |it: Resident| it.whole as f64 / 1e6;
    let _ = writeln!(
        text,
        "\nmemory of the hub: {:.0} MB before the lines, {:.0} MB after; {:.0} outcomes/s\n",
        mb(seen.before),
        mb(seen.after),
        seen.outcomes_per_second
    );
    text.push_str("| aim | at most | is | |\n|---|---|---|---|\n");
    for (what, is, most) in seen.targets() {
        let verdict = if is <= most { "met" } else { "**missed**" };
        let _ = writeln!(text, "| {what} | {most} | {is:.2} | {verdict} |");
    }
    text
}

fn to_json(machine: &Machine, options: &Options, seen: &Seen) -> serde_json::Value {
    let step = |step: &Step| {
        let hub = step.hub.map(|it| it.processor.as_secs_f64());
        json!({ "what": step.what, "seconds": step.took.as_secs_f64(), "hubProcessorSeconds": hub })
    };
    json!({
        "machine": machine.json(),
        "sites": options.sites,
        "steps": seen.steps.iter().map(step).collect::<Vec<_>>(),
        "lineKilobytes": seen.line_kb,
        "outcomesPerSecond": seen.outcomes_per_second,
        "idleKilobits": seen.idle_kbit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a number for another, or nothing for one.
    #[test]
    fn flags_are_numbers() {
        let usual = Options { sites: 10_000, outcomes: 20, idle_seconds: 600 };
        assert_eq!(Options::parse(&[]), Ok(usual));
        let flags = ["--sites", "7", "--outcomes", "3", "--idle", "2"];
        let asked = Options { sites: 7, outcomes: 3, idle_seconds: 2 };
        assert_eq!(Options::parse(&flags), Ok(asked));
        for wrong in [&["--sites"][..], &["--sites", "0"], &["--idle", "x"], &["--what", "1"]] {
            Options::parse(wrong).expect_err("no number");
        }
    }
}
