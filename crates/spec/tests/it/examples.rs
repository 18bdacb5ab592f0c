//! The example files and the conformance kit of the language's specification, where they are at
//! hand.

use std::path::PathBuf;

use isonomy_spec::Severity;

use crate::{folder, read, rendered};

/// Where the conformance files of the language lie; without it, beside the checkout.
const FOLDER_VARIABLE: &str = "ISONOMY_CONFORMANCE";

/// The files of a folder as (name, text); `None`, and a word about it, where there is no folder.
fn files(path: &str) -> Option<Vec<(String, String)>> {
    let root = std::env::var_os(FOLDER_VARIABLE)
        .map_or_else(|| folder("../../..").join("shared/conformance"), PathBuf::from);
    let path = root.join("open-workflow").join(path);
    let Ok(files) = std::fs::read_dir(&path) else {
        eprintln!("skipped: no {}; name the folder in {FOLDER_VARIABLE}", path.display());
        return None;
    };
    let paths = files.map(|file| file.expect("a folder can be listed").path());
    let texts = paths.map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("text"))
    });
    Some(texts.collect())
}

/// Whether a document reads; if not, it must be because something is not there yet.
fn reads(name: &str, text: &str) -> bool {
    let Err(wrong) = read(text) else { return true };
    let later = |found: &isonomy_spec::Diagnostic| {
        found.code.is_not_yet() || found.severity == Severity::Warning
    };
    assert!(wrong.iter().all(later), "{}", rendered(&wrong, name, text));
    false
}

/// Mutation: refuse a valid construct, or accept one that cannot be run yet.
#[test]
fn every_example_of_the_specification_reads_or_is_not_there_yet() {
    let Some(mut files) = files("examples") else { return };
    files.retain(|(name, _)| name.ends_with(".yaml"));
    let whole = files.iter().filter(|(name, text)| reads(name, text)).count();
    assert_eq!((whole, files.len()), (20, 68));
}

/// Mutation: as above; besides, read the kit's other addresses of the error types as invalid.
#[test]
fn every_workflow_of_the_conformance_kit_reads_or_is_not_there_yet() {
    let Some(files) = files("ctk/features") else { return };
    let (mut whole, mut all) = (0, 0);
    for (name, text) in files {
        for block in text.split("\"\"\"yaml\n").skip(1) {
            let block = block.split("\"\"\"").next().unwrap_or_default();
            if !block.trim_start().starts_with("document:") {
                continue;
            }
            all += 1;
            whole += usize::from(reads(&name, block));
        }
    }
    assert_eq!((whole, all), (17, 21));
}
