//! `cargo xtask bench validate`: how long an author waits for `isonomy validate`, from the start of
//! the process to its end: for a document of a megabyte, and for every file of the gallery.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::target_folder;
use crate::test::cargo;
use crate::tree;

/// Tasks of the large document, which has about a megabyte.
const TASKS: usize = 10_000;

const GALLERY: &str = "crates/spec/tests/gallery";

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    repeats: usize,
}

impl Options {
    pub fn parse(flags: &[&str]) -> Result<Self, String> {
        match flags {
            [] => Ok(Self { repeats: 21 }),
            ["--repeats", number] => match number.parse() {
                Ok(repeats) if repeats > 0 => Ok(Self { repeats }),
                _ => Err(format!("`--repeats` wants a number from 1, not `{number}`")),
            },
            _ => Err(format!("`bench validate` does not know `{}`", flags.join(" "))),
        }
    }
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let isonomy = build()?;
    let folder = target_folder()?.join("bench");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make `{}`", folder.display()))?;
    let large = folder.join("large.yaml");
    let text = large_document();
    std::fs::write(&large, &text).with_context(|| format!("cannot write `{}`", large.display()))?;
    let nothing = median(options.repeats, || time(&isonomy, &["--version"], &[0]))?;
    let whole = median(options.repeats, || time_validate(&isonomy, &large, 0))?;
    let mut gallery = Vec::new();
    for file in tree::files(GALLERY, &[".yaml"]) {
        let path = tree::root().join(&file);
        gallery.push((median(options.repeats, || time_validate(&isonomy, &path, 2))?, file));
    }
    gallery.sort();
    let (least, most) = (gallery.first(), gallery.last());
    let middle = gallery.get(gallery.len() / 2);
    let (Some((least, _)), Some((middle, _)), Some((most, slowest))) = (least, middle, most) else {
        anyhow::bail!("there is no file in `{GALLERY}`");
    };
    println!("medians of {} runs, process start and all\n", options.repeats);
    println!("| what | ms |\n|---|---|");
    println!("| `isonomy --version` | {:.1} |", ms(nothing));
    println!(
        "| `validate`, {TASKS} tasks in {:.2} MB | {:.1} |",
        text.len() as f64 / 1e6,
        ms(whole)
    );
    println!(
        "| `validate`, each of {} files of the gallery: least, median, most (`{}`) | {:.1}, {:.1}, {:.1} |",
        gallery.len(),
        slowest.display(),
        ms(*least),
        ms(*middle),
        ms(*most)
    );
    Ok(())
}

/// A chain of tasks with an expression each.
fn large_document() -> String {
    let mut text = String::from(
        "document: { dsl: '1.0.3', namespace: bench, name: large, version: '1.0.0' }\ndo:\n",
    );
    for number in 0..TASKS {
        let next = number + 1;
        let then = if next == TASKS { "end".to_owned() } else { format!("task{next}") };
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "  - task{number}:\n      set:\n        value: ${{ .value + {number} }}\n        text: some words of task {number}\n      then: {then}\n"
        );
    }
    text
}

fn time_validate(isonomy: &Path, file: &Path, or: i32) -> anyhow::Result<Duration> {
    time(isonomy, &["validate", &file.display().to_string()], &[0, or])
}

fn time(isonomy: &Path, args: &[&str], codes: &[i32]) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let status = Command::new(isonomy)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", isonomy.display()))?;
    let took = start.elapsed();
    ensure!(
        status.code().is_some_and(|code| codes.contains(&code)),
        "{args:?} ended with {status}"
    );
    Ok(took)
}

fn median(
    repeats: usize,
    mut measure: impl FnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    // The first one reads the program from the disk.
    measure()?;
    let mut times: Vec<Duration> = (0..repeats).map(|_| measure()).collect::<Result<_, _>>()?;
    times.sort();
    Ok(times[times.len() / 2])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn build() -> anyhow::Result<PathBuf> {
    let status = cargo()
        .args(["build", "--release", "--locked", "-p", "isonomy-cli", "--bin", "isonomy"])
        .current_dir(tree::root())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cannot build the program to measure: cargo ended with {status}");
    let file = Path::new("release").join("isonomy");
    Ok(target_folder()?.join(file).with_extension(std::env::consts::EXE_EXTENSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take zero repeats, or a flag that is not known.
    #[test]
    fn flags_are_read_or_refused() {
        assert_eq!(Options::parse(&["--repeats", "3"]), Ok(Options { repeats: 3 }));
        for wrong in [&["--repeats"] as &[&str], &["--repeats", "0"], &["--what"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    /// Mutation: write fewer tasks, or shorter ones.
    #[test]
    fn the_large_document_has_a_megabyte_and_ten_thousand_tasks() {
        let text = large_document();
        assert!((1_000_000..1_500_000).contains(&text.len()), "{}", text.len());
        assert_eq!(text.matches("      set:\n").count(), TASKS);
    }
}
