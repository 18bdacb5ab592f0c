//! What somebody meant to come back to: macros of unfinished code, notes without a condition, tests
//! that are switched off without a reason.

use xtask::source::{self, Source};

use crate::none;

const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// A note says what ends it: `TODO(when the link exists): …`, `TODO: … when …`, `… until …`.
const CONDITIONS: [&str; 5] = ["when ", "until ", "once ", "as soon as ", "after "];

fn offences(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut offence =
        |line: usize, what: &str| found.push(format!("{}:{line}: {what}", source.path.display()));
    for word in UNFINISHED {
        for line in source.lines_with(word) {
            offence(line, word);
        }
    }
    for line in source.lines_with("#[ignore]") {
        offence(line, "`#[ignore]` without a reason");
    }
    for (index, (text, code)) in source.text.lines().zip(source.code.lines()).enumerate() {
        // In a comment: there in the text, and blanked in the code.
        let note = ["TODO", "FIXME", "XXX", "HACK"]
            .into_iter()
            .find(|note| text.contains(note) && text.contains("//") && !code.contains(note));
        let is_text = source.literals.iter().any(|literal| literal.line == index + 1);
        if let Some(note) = note.filter(|_| !is_text) {
            let has_condition = CONDITIONS.iter().any(|condition| text.contains(condition));
            if note != "TODO" || !has_condition {
                offence(index + 1, "a note without the condition that ends it");
            }
        }
    }
    found
}

/// Mutation: leave a `dbg!` anywhere.
#[test]
fn nothing_is_left_half_done() {
    let found: Vec<String> = source::all().iter().flat_map(offences).collect();
    none(&found, "finish it, or write `TODO: … when …` with what ends it");
}

/// Mutation: look for notes in the code, or for macros in the text.
#[test]
fn notes_are_looked_for_in_comments_and_macros_in_code() {
    let text = "// todo!() is not allowed\nlet a = \"TODO\";\n// TODO: tidy\n// TODO: drop it when v1 is gone\n#[ignore]\n#[ignore = \"needs a cluster\"]\ndbg!(a);\n";
    let source = Source::parse("a.rs".as_ref(), text.to_owned());
    let expected = [
        "a.rs:7: dbg!",
        "a.rs:5: `#[ignore]` without a reason",
        "a.rs:3: a note without the condition that ends it",
    ];
    assert_eq!(offences(&source), expected);
}
