//! A hundred thousand damaged documents: none may crash, hang, or take memory without bound.
//!
//! The documents follow from a seed, so that a failure is found again; one that once failed gets a
//! line in `ONCE`.

mod mutate;
mod target;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::mutate::{Corpus, Dice, mutated};
use self::target::Answer;

/// All targets together.
const DOCUMENTS: usize = 100_000;

/// Documents between two signs of life.
const BATCH: usize = 500;

/// A batch takes about a second; after this one of its documents hangs.
const HANG: Duration = Duration::from_secs(120);

/// Resident memory of this whole process at its highest, in KiB. The largest document is 16 KiB.
const MEMORY_KIB_MAX: u64 = 512 * 1024;

/// Documents that once failed.
const ONCE: &[&str] = &[];

type Target = (&'static str, fn(&[u8]) -> Answer);

const TARGETS: [Target; 3] =
    [("validate and apply", target::judge), ("fmt", target::layout), ("graph", target::picture)];

fn corpus() -> Corpus {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in [
        folder.join("tests/gallery"),
        folder.join("tests/it/seeds"),
        folder.join("tests/fuzz/corpus"),
        folder.join("../../examples"),
        folder.join("../cli/templates/branches"),
    ] {
        let files = fs::read_dir(folder).expect("a folder of documents");
        paths.extend(files.map(|file| file.expect("a folder can be listed").path()));
    }
    paths.sort();
    let is_document = |path: &&PathBuf| {
        path.extension().is_some_and(|ending| ending == "yaml" || ending == "json")
    };
    let paths = paths.iter().filter(is_document);
    let texts: Vec<String> = paths.map(|path| fs::read_to_string(path).expect("text")).collect();
    let tree = |text: &String| serde_saphyr::from_str(text).ok();
    Corpus { trees: texts.iter().filter_map(tree).collect(), texts }
}

/// What a worker is at, for whoever finds it hanging.
#[derive(Default)]
struct Desk(Mutex<(String, Vec<u8>)>);

/// Runs the documents of one seed through every target; the counts are fine, wrong, refused of `fmt`.
fn work(seed: u64, corpus: &Corpus, desk: &Desk) -> Result<[usize; 3], String> {
    let mut dice = Dice::new(seed);
    let mut counts = [0; 3];
    for number in 0..BATCH {
        let document = mutated(corpus, &mut dice);
        for (name, target) in TARGETS {
            *desk.0.lock().expect("nobody panics with it") = (name.to_owned(), document.clone());
            let answer = catch_unwind(AssertUnwindSafe(|| target(&document)));
            let answer = answer.map_err(|_| {
                format!(
                    "`{name}` fails at document {number} of seed {seed}:\n{:?}",
                    String::from_utf8_lossy(&document)
                )
            })?;
            if name == "fmt" {
                counts[answer as usize] += 1;
            }
        }
    }
    Ok(counts)
}

fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Mutation: index a document by what it says, follow an alias round and round, compare two layouts
/// by their text, or build the list of names anew for every flow astray.
#[test]
fn damaged_documents_neither_crash_nor_hang_nor_take_memory() {
    let corpus = Arc::new(corpus());
    assert!(corpus.texts.len() > 40 && corpus.trees.len() > 40);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    let batches = DOCUMENTS.div_ceil(BATCH);
    let (sender, done) = channel();
    let mut desks = Vec::new();
    for thread in 0..threads {
        let (corpus, desk, sender) = (Arc::clone(&corpus), Arc::<Desk>::default(), sender.clone());
        desks.push(Arc::clone(&desk));
        std::thread::spawn(move || {
            for seed in (thread..batches).step_by(threads) {
                if sender.send(work(seed as u64, &corpus, &desk)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut counts = [0; 3];
    for _ in 0..batches {
        match done.recv_timeout(HANG) {
            Ok(Ok(more)) => counts.iter_mut().zip(more).for_each(|(count, more)| *count += more),
            Ok(Err(failed)) => panic!("{failed}"),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let at = |desk: &Arc<Desk>| {
                    let at = desk.0.lock().expect("nobody panics with it");
                    format!("{}: {:?}", at.0, String::from_utf8_lossy(&at.1))
                };
                panic!(
                    "one of these hangs:\n{}",
                    desks.iter().map(at).collect::<Vec<_>>().join("\n")
                );
            }
        }
    }
    let [fine, wrong, refused] = counts;
    eprintln!("fmt: {fine} laid out, {wrong} no documents, {refused} refused");
    // Otherwise the layout is never looked at, or always refused.
    assert!(fine > DOCUMENTS / 4 && refused < DOCUMENTS / 50, "{counts:?}");
    if let Some(peak) = peak_kib() {
        eprintln!("{} MiB at most", peak / 1024);
        assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
    }
}

/// Mutation: take back the fix that a document of the list brought.
#[test]
fn documents_that_once_failed_are_answered() {
    for document in ONCE {
        for (_, target) in TARGETS {
            target(document.as_bytes());
        }
    }
}
