//! What must hold has a test, and the test says which change of the code makes it red.

use xtask::source::{self, Source};

use crate::none;

/// A claim, the room or folder that proves it, and a word of the names of the tests that do.
type Claim = (&'static str, &'static str, &'static str);

const MUST_HOLD: [Claim; 12] = [
    ("a crash at any prefix of a journal changes nothing", "crates/engine/", "prefix"),
    ("a SIGKILL at a failpoint changes nothing", "crates/cli/tests/", "kill"),
    ("activations are distinct, and equal after replay", "crates/engine/", "activation"),
    ("a key stays exactly where the result is unknown", "crates/engine/", "key"),
    ("a doctored journal suspends its run", "crates/engine/", "doctored"),
    ("cancel reaches a call in flight", "crates/", "cancel"),
    ("a revision edited while its run goes on changes nothing", "crates/", "revision"),
    ("what cannot be resolved is refused at its place", "crates/spec/", "wrong_document"),
    ("a bad filter is an error within its deadline", "crates/sandbox/", "deadline"),
    ("without a rule there is no way out", "crates/gateway/", "rule"),
    ("a commit that is answered is durable", "crates/store-sqlite/", "durable"),
    ("another machine's page cannot reach the API", "crates/site/", "browser"),
];

/// Names of the test functions whose doc lines name a mutation.
fn proven(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for function in source.functions().into_iter().filter(|it| source.is_test(it.line)) {
        let above = lines[..function.line - 1].iter().rev().map(|line| line.trim());
        let mut above = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
        if above.any(|line| line.starts_with("/// Mutation:")) {
            found.push(function.name);
        }
    }
    found
}

/// Mutation: take the doc line off any test of the list.
#[test]
fn every_claim_has_a_test_that_names_a_mutation() {
    let proven: Vec<(String, Vec<String>)> = source::all()
        .iter()
        .map(|source| (source.path.to_string_lossy().into_owned(), proven(source)))
        .collect();
    let mut found = Vec::new();
    for (claim, folder, word) in MUST_HOLD {
        let in_folder = proven.iter().filter(|(path, _)| path.starts_with(folder));
        if !in_folder.flat_map(|(_, names)| names).any(|name| name.contains(word)) {
            found.push(format!("{claim}: no `{word}` with a mutation in {folder}"));
        }
    }
    none(&found, "name the change of the code that makes the test red: `/// Mutation: …`");
}

/// Mutation: count tests in rooms as one, so that a room without any goes unseen.
#[test]
fn every_room_has_tests_that_name_a_mutation() {
    let sources = source::all();
    let mut rooms: Vec<&str> = sources.iter().map(Source::room).collect();
    rooms.sort_unstable();
    rooms.dedup();
    let mut found = Vec::new();
    for room in rooms {
        let of_room = sources.iter().filter(|source| source.room() == room);
        if of_room.flat_map(proven).next().is_none() {
            found.push(format!("`{room}` has none"));
        }
    }
    none(&found, "name the change of the code that makes the test red: `/// Mutation: …`");
}

/// Mutation: take a doc line of another function for one's own.
#[test]
fn a_mutation_belongs_to_the_function_below_it() {
    let text = "/// Mutation: x\n#[test]\nfn one() {}\n#[test]\nfn two() {}\n";
    let source = Source::parse("crates/base/tests/a.rs".as_ref(), text.to_owned());
    assert_eq!(proven(&source), ["one"]);
}
