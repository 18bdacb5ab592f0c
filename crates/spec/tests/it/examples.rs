//! The example files and the conformance kit of the language's specification.

use isonomy_spec::Severity;

use crate::{folder, read, rendered};

/// Where both lie, and the list of what is not as it should be.
const FOLDER: &str = "../../testing/conformance";

/// The files of a folder as (name, text).
fn files(path: &str) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder(FOLDER).join("open-workflow").join(path));
    let files = files.expect("the conformance kit is part of the repository");
    let paths = files.map(|file| file.expect("a folder can be listed").path());
    let texts = paths.map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("text"))
    });
    texts.collect()
}

/// Names that the list has as this.
fn pinned(what: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder(FOLDER).join("pinned.txt")).expect("the list");
    let entries = text.lines().filter_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
    entries.filter_map(|entry| Some(entry.split_once(": ")?.0.to_owned())).collect()
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

/// Mutation: refuse a valid construct, accept one that cannot be run yet, or take a line off the
/// list.
#[test]
fn every_example_of_the_specification_reads_but_for_what_is_pinned() {
    let mut files = files("examples");
    files.retain(|(name, _)| name.ends_with(".yaml"));
    assert_eq!(files.len(), 68);
    let refused = files.iter().filter(|(name, text)| !reads(name, text));
    let mut refused: Vec<String> = refused.map(|(name, _)| name.clone()).collect();
    let mut expected = pinned("validate");
    refused.sort();
    expected.sort();
    assert_eq!(refused, expected, "pinned.txt says otherwise");
}

/// Mutation: as above; besides, read the kit's other addresses of the error types as invalid.
#[test]
fn every_workflow_of_the_conformance_kit_reads_but_for_what_is_pinned() {
    let (mut refused, mut all) = (0, 0);
    for (name, text) in files("ctk/features") {
        for block in text.split("\"\"\"yaml\n").skip(1) {
            let block = block.split("\"\"\"").next().unwrap_or_default();
            if !block.trim_start().starts_with("document:") {
                continue;
            }
            all += 1;
            refused += usize::from(!reads(&name, block));
        }
    }
    assert_eq!((refused, all), (pinned("scenario").len(), 21));
}
