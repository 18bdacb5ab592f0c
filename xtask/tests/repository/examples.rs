//! Every workflow that we ship as an example is one that this version accepts.
//!
//! That they run, and what comes out, is in the tests of `cli`.

use std::path::Path;

use xtask::tree;

use crate::none;

/// A file is a workflow if it says which language it is written in.
fn is_workflow(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().trim_matches('"').starts_with("dsl"))
}

fn findings(path: &Path, text: &str) -> Vec<String> {
    let name = path.display();
    match spec::read(text, &worker::Catalog::shipped()) {
        Ok(read) => read.warnings.iter().map(|it| format!("{name}: {it:?}")).collect(),
        Err(wrong) => wrong.iter().map(|it| format!("{name}: {it:?}")).collect(),
    }
}

/// Mutation: misspell a task's kind in any example.
#[test]
fn every_example_is_valid_and_without_warnings() {
    let mut found = Vec::new();
    let mut count = 0;
    for folder in ["examples", "docs"] {
        for path in tree::files(folder, &[".yaml", ".yml"]) {
            let text = tree::text(&path).unwrap_or_default();
            if is_workflow(&text) {
                count += 1;
                found.extend(findings(&path, &text));
            }
        }
    }
    none(&found, "`isonomy apply --dry-run -f FILE` shows each at its place");
    assert!(count > 0, "there is no example");
}

/// Mutation: take every file for data.
#[test]
fn a_workflow_that_is_wrong_is_found() {
    let text = "document:\n  dsl: 1.0.3\n  namespace: a\n  name: b\n  version: 1.0.0\ndo:\n  - one:\n      sett: {}\n";
    assert!(is_workflow(text));
    assert!(!findings("a.yaml".as_ref(), text).is_empty());
}
