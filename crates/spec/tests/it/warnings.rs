//! What is warned of, and what looks alike and is right.

use crate::read;

/// Reads a document with one task, and compares where it is warned with `expected`: codes and
/// pointers below the task.
fn check(task: &str, expected: &[&str]) {
    let head = "document: { dsl: 1.0.3, namespace: n, name: w, version: 0.1.0 }";
    let warnings = match read(&format!("{head}\ndo:\n  - t: {task}\n")) {
        Ok(read) => read.warnings,
        Err(wrong) => panic!("{task}: {wrong:?}"),
    };
    let found: Vec<String> = warnings
        .iter()
        .map(|found| format!("{} {}", found.code, found.pointer.trim_start_matches("/do/0/t/")))
        .collect();
    assert_eq!(found, expected, "{task}");
}

/// Mutation: warn of `after` in any task's metadata, or overlook a task within a branch.
#[test]
fn after_means_nothing_but_on_a_branch() {
    check("{ metadata: { after: [a] }, wait: PT1S }", &["WF-207 metadata/after"]);
    check("{ metadata: { owner: { after: a } }, wait: PT1S }", &[]);
    check(
        "{ fork: { branches: [ { a: { wait: PT1S } }, { b: { metadata: { after: [a] }, wait: PT1S } } ] } }",
        &[],
    );
    check(
        "{ fork: { branches: [ { a: { do: [ { b: { metadata: { after: [a] }, wait: PT1S } } ] } } ] } }",
        &["WF-207 fork/branches/0/a/do/0/b/metadata/after"],
    );
}
