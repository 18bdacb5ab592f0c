//! Files: each says what it is for, has a subject for a name, and a length that can be read.

use xtask::length::{self, FILE_LINES_MAX, FUNCTION_LINES_MAX};
use xtask::source::{self, Source};

use crate::none;

/// Names for a place where everything goes.
const NO_SUBJECT: [&str; 7] = ["utils", "util", "common", "helpers", "helper", "misc", "shared"];

fn without_opening(sources: &[Source]) -> Vec<String> {
    let opens = |source: &&Source| !source.text.trim_start().starts_with("//!");
    sources.iter().filter(opens).map(|source| source.path.display().to_string()).collect()
}

fn without_subject(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let parts = source.path.iter().filter_map(|part| part.to_str());
        let mut names = parts.map(|part| part.trim_end_matches(".rs"));
        if names.any(|name| NO_SUBJECT.contains(&name)) {
            found.push(source.path.display().to_string());
        }
        for name in NO_SUBJECT {
            for line in source.lines_with(&format!("mod {name}")) {
                found.push(format!("{}:{line}: `mod {name}`", source.path.display()));
            }
        }
    }
    found
}

/// Mutation: take the first line out of any file.
#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    none(&without_opening(&source::all()), "begin with `//!`: what it is for, what is elsewhere");
}

/// Mutation: name a module `utils`.
#[test]
fn no_file_or_module_is_a_drawer_for_everything() {
    none(&without_subject(&source::all()), "name it after its subject");
}

/// Mutation: write a function of 200 lines.
#[test]
fn no_file_or_function_is_beyond_reading() {
    let found = length::longer_than(&source::all(), FILE_LINES_MAX, FUNCTION_LINES_MAX);
    none(&found, "split by subject");
}

/// Mutation: accept `//` for `//!`, or look at the file's name only.
#[test]
fn the_rules_find_what_they_are_about() {
    let parse = |path: &str, text: &str| Source::parse(path.as_ref(), text.to_owned());
    let sources = [
        parse("crates/base/src/a.rs", "// What for.\nmod utils { }"),
        parse("crates/base/src/common/b.rs", "//! What for."),
    ];
    assert_eq!(without_opening(&sources), ["crates/base/src/a.rs"]);
    let expected = ["crates/base/src/a.rs:2: `mod utils`", "crates/base/src/common/b.rs"];
    assert_eq!(without_subject(&sources), expected);
}
