//! `cargo xtask bench gateway`: calls to models through a site, beside a proxy that does nothing and beside
//! other gateways, in turn and in the same run.
//!
//! Whoever is measured has one core, the upstream and the load share the other. What counts is the processor
//! time of the measured process for each call: how many calls there were a second depends on what else runs.

mod around;
mod peers;
mod place;
mod table;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use self::around::Around;
use self::place::{Place, Target};
use super::machine::Machine;
use super::process::{self, Usage, mebibytes};
use super::target_folder;
use crate::test::cargo;
use crate::tree;

/// Connections at once: enough that a core is never without a call.
const CROWD: usize = 32;

/// The same where the upstream thinks for 20 ms.
const SLOW_CROWD: usize = 256;

/// Streams that are begun a second, for the time until their first byte.
const STREAMS_A_SECOND: f64 = 200.0;

/// Streams that are open at once.
const OPEN: usize = 5_000;

/// Calls whose own time is read from the site's record.
const READ: usize = 10_000;

/// From the last entry to the page that has it.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub repeats: usize,
    pub seconds: u64,
    pub has_peers: bool,
    /// Builds to measure in place of the one of this tree; those behind the first beside it, in turn.
    pub programs: Vec<PathBuf>,
}

/// What one load came to.
struct Measured {
    calls_a_second: f64,
    /// Processor time for each call.
    micros: f64,
    p50: u64,
    p99: u64,
    first_p50: u64,
    first_p99: u64,
}

impl Options {
    pub fn parse(flags: &[&str]) -> Result<Self, String> {
        let mut options = Self { repeats: 5, seconds: 4, has_peers: false, programs: Vec::new() };
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            if *flag == "--peers" {
                options.has_peers = true;
                continue;
            }
            let text = flags.next().ok_or_else(|| format!("`{flag}` wants a word more"))?;
            let number = text.parse().ok().filter(|number| *number > 0);
            let number = number.ok_or_else(|| format!("`{flag}` wants a number, not `{text}`"));
            match *flag {
                "--repeats" => options.repeats = number? as usize,
                "--seconds" => options.seconds = number?,
                "--isonomy" => options.programs.push(PathBuf::from(text)),
                _ => return Err(format!("`bench gateway` does not know `{flag}`")),
            }
        }
        Ok(options)
    }
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = target_folder()?.join("bench");
    std::fs::create_dir_all(&folder).context("cannot make the folder of benchmarks")?;
    let machine = Machine::look();
    let (place, mut around) = Place::build(&folder, &options.programs)?;
    let peers = options.has_peers.then(|| peers::start(&folder, &place)).transpose()?;
    let others = peers.iter().flat_map(|peers| &peers.targets);
    let targets: Vec<&Target> = place.targets.iter().chain(others).collect();
    let mut rounds: Vec<Vec<Measured>> = targets.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.repeats {
        for (target, measured) in targets.iter().zip(&mut rounds) {
            eprintln!("round {round} of {}: {}", options.repeats, target.name);
            let crowd = if target.is_slow { SLOW_CROWD } else { CROWD };
            measured.push(load(&mut around, target, crowd, options.seconds, None, false)?);
        }
    }
    let own = [
        own(&mut around, &place, place.governed(), &rounds[place::GOVERNED], options)?,
        own(&mut around, &place, place.governed_slow(), &rounds[place::GOVERNED_SLOW], options)?,
    ];
    let first = first(&mut around, &place, options)?;
    let open = open(&mut around, &place)?;
    let rows: Vec<_> = targets.iter().copied().zip(&rounds).collect();
    print!("{}", table::markdown(&machine, options, &rows, &own, &first, &open));
    let file = folder.join("gateway.json");
    let report = table::json(&machine, options, &rows, &own, &first, &open);
    std::fs::write(&file, format!("{report:#}")).context("cannot write the report")?;
    eprintln!("written to {}", file.display());
    Ok(())
}

/// Loads one of them, and looks at what that has cost its process.
fn load(
    around: &mut Around,
    target: &Target,
    connections: usize,
    seconds: u64,
    rate: Option<f64>,
    is_stream: bool,
) -> anyhow::Result<Measured> {
    let order = target.order(connections, seconds, rate, is_stream);
    let before = process::usage(target.pid);
    let said = around.load(&order)?;
    let used = Usage::between(before, process::usage(target.pid));
    let number = |path: &str| said.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let calls = number("/calls");
    ensure!(calls > 0 && number("/failed") == 0, "calls of {} failed: {said}", target.name);
    let used = used.context("the system does not say what a process has used")?;
    Ok(Measured {
        calls_a_second: calls as f64 / said["seconds"].as_f64().unwrap_or(f64::NAN),
        micros: used.processor.as_secs_f64() * 1e6 / calls as f64,
        p50: number("/whole_micros/p50"),
        p99: number("/whole_micros/p99"),
        first_p50: number("/first_micros/p50"),
        first_p99: number("/first_micros/p99"),
    })
}

/// The middle one.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a call spends in the site itself, by the site's own clock, at half of the most that it can.
struct Own {
    name: String,
    rate: f64,
    p50: u64,
    p99: u64,
}

fn own(
    around: &mut Around,
    place: &Place,
    target: &Target,
    rounds: &[Measured],
    options: &Options,
) -> anyhow::Result<Own> {
    let rate = median(rounds.iter().map(|it| it.calls_a_second)) / 2.0;
    eprintln!("own time at {rate:.0} calls a second: {}", target.name);
    let crowd = if target.is_slow { SLOW_CROWD } else { CROWD * 2 };
    load(around, target, crowd, options.seconds, Some(rate), false)?;
    sleep(SETTLED);
    let all = rate * options.seconds as f64;
    let mut micros = place.own_micros(READ.min(all as usize))?;
    micros.sort_unstable();
    let at = |share: usize| micros.get(micros.len() * share / 100).copied().unwrap_or(0);
    Ok(Own { name: target.name.clone(), rate, p50: at(50), p99: at(99) })
}

/// Until the first byte of a stream, on each way.
fn first<'a>(
    around: &mut Around,
    place: &'a Place,
    options: &Options,
) -> anyhow::Result<Vec<(&'a str, Measured)>> {
    let measure = |target: &'a Target| {
        eprintln!("first byte of a stream: {}", target.name);
        let rate = Some(STREAMS_A_SECOND);
        Ok((target.name.as_str(), load(around, target, CROWD, options.seconds, rate, true)?))
    };
    place.ways().into_iter().map(measure).collect()
}

/// What the site's process holds with so many streams open, in MiB: before and meanwhile.
struct Open {
    before: f64,
    during: f64,
}

fn open(around: &mut Around, place: &Place) -> anyhow::Result<Open> {
    eprintln!("{OPEN} open streams");
    let target = place.fresh()?;
    let resident = || {
        let memory = process::memory(target.pid).context("the system does not say")?;
        Ok::<_, anyhow::Error>(mebibytes(memory.whole))
    };
    let before = resident()?;
    let mut order = target.order(OPEN, 0, None, true);
    order["is_held"] = json!(true);
    let text = order["body"].as_str().unwrap_or_default().replace("greeting", "greeting, and hold");
    order["body"] = json!(text);
    let opened = around.load(&order)?;
    let during = resident();
    around.release()?;
    ensure!(opened == OPEN, "not all streams were opened");
    Ok(Open { before, during: during? })
}

/// The site, and by itself what is put around it: together, each would get the other's features.
fn build(packages: &[&str]) -> anyhow::Result<()> {
    for package in packages {
        let mut cargo = cargo();
        cargo.args(["build", "--release", "--locked", "--bins", "-p", package]);
        let status = cargo.current_dir(tree::root()).status().context("cannot start cargo")?;
        ensure!(status.success(), "cannot build `{package}`: cargo ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take zero repeats, or a flag that is not known.
    #[test]
    fn flags_are_read_or_refused() {
        let options = Options { repeats: 3, seconds: 4, has_peers: true, programs: Vec::new() };
        assert_eq!(Options::parse(&["--peers", "--repeats", "3"]), Ok(options));
        for wrong in [&["--repeats"] as &[&str], &["--seconds", "0"], &["--what"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    /// Mutation: take the mean, or the lower of an odd number.
    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median([9.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
    }
}
