//! The project speaks of itself alone: no folder of somebody's machine, no other source of packages
//! than the public registry, nothing about how or by whom a text was made.

use xtask::tree;

use crate::none;

/// Parts of words, so that this file does not find itself.
const FOREIGN: [&[&str]; 15] = [
    &["/ro", "ot/"],
    &["/wo", "rk/main"],
    &["/wo", "rk/shared"],
    &["../sha", "red/"],
    &["/tmp/", "t-h"],
    &["/tmp/", "briefs"],
    &["/tmp/", "issue"],
    &["/ho", "me/"],
    &["/Us", "ers/"],
    &["co-auth", "ored-by"],
    // Providers of models are a subject of ours; whoever wrote a text is not.
    &["cla", "ude code"],
    &["noreply@anthro", "pic"],
    &["chat", "gpt"],
    &["cop", "ilot"],
    &["language ", "model wrote"],
];

/// Endings of files that are texts of ours.
const TEXTS: [&str; 14] = [
    ".rs", ".md", ".toml", ".lock", ".yaml", ".yml", ".json", ".sql", ".txt", ".sh", "run",
    ".html", ".css", ".ts",
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn offences(path: &str, text: &str) -> Vec<String> {
    let words: Vec<String> = FOREIGN.iter().map(|parts| parts.concat()).collect();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        for word in words.iter().filter(|word| lower.contains(&word.to_lowercase())) {
            found.push(format!("{path}:{}: `{word}`", index + 1));
        }
    }
    found
}

/// Mutation: write the absolute path of a file into a comment.
#[test]
fn no_text_names_somebodys_machine_or_tools() {
    let mut found = Vec::new();
    for path in tree::files(".", &TEXTS) {
        let text = tree::text(&path).unwrap_or_default();
        found.extend(offences(&path.to_string_lossy(), &text));
    }
    none(&found, "a path is relative to the repository; a text speaks of the project alone");
}

/// Mutation: take packages from another registry, or from a git repository.
#[test]
fn all_packages_come_from_the_public_registry() {
    let lock = tree::text("Cargo.lock".as_ref()).expect("there is a lock file");
    let foreign =
        lock.lines().filter(|line| line.starts_with("source = ") && !line.contains(REGISTRY));
    let mut found: Vec<String> = foreign.map(str::to_owned).collect();
    let settings = tree::text(".cargo/config.toml".as_ref()).unwrap_or_default();
    let elsewhere = |line: &&str| line.starts_with("[source") || line.starts_with("[registr");
    found.extend(settings.lines().filter(elsewhere).map(str::to_owned));
    none(&found, "a registry of one's own belongs into the settings of one's own machine");
}

/// Mutation: compare with the case as written.
#[test]
fn a_foreign_word_is_found_in_any_case() {
    let text = format!("fine\n{}\n", ["see /Ro", "ot/a"].concat());
    assert_eq!(offences("a.md", &text), [format!("a.md:2: `{}`", FOREIGN[0].concat())]);
}
