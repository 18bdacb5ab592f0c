//! An error hides nothing else, and makes nothing else look wrong.

use crate::read;

/// Reads a document with these tasks, and compares everything that is said of it with `expected`:
/// codes and the last part of each pointer, in the order of the document.
fn check(tasks: &str, expected: &[&str]) {
    let head = "document: { dsl: 1.0.3, namespace: n, name: w, version: 0.1.0 }";
    let found = match read(&format!("{head}\ndo: {tasks}\n")) {
        Ok(read) => read.warnings,
        Err(wrong) => wrong,
    };
    let mut said: Vec<(usize, String)> = found
        .iter()
        .map(|found| {
            let last = found.pointer.rsplit('/').next().unwrap_or_default();
            (found.location.offset, format!("{} {last}", found.code))
        })
        .collect();
    said.sort();
    let said: Vec<String> = said.into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, expected, "{tasks}");
}

/// Mutation: say nothing of a list in which a task has an error.
#[test]
fn an_error_in_a_task_does_not_hide_what_is_never_reached() {
    let list = |last: &str| {
        format!(
            "[ {{ a: {{ set: {{ x: 1 }}, then: end }} }}, {{ b: {{ wait: PT1S }} }}, {{ c: {last} }} ]"
        )
    };
    check(&list("{ wait: nope }"), &["WF-201 b", "WF-201 c", "WF-021 wait"]);
    check(
        &list("{ set: { x: '${ .a | lenght }' }, then: a }"),
        &["WF-201 b", "WF-201 c", "WF-023 x"],
    );
    // Behind a list that always raises nothing is reached, whatever else is wrong in it.
    let raises = "{ raise: { error: { type: https://a.example/e, status: many } } }";
    check(
        &format!("[ {{ a: {{ do: [ {{ in: {raises} }} ] }} }}, {{ b: {{ wait: PT1S }} }} ]"),
        &["WF-013 status", "WF-201 b"],
    );
}

/// Mutation: take a flow that could not be read for `continue`, or a case without its condition for
/// the default.
#[test]
fn a_flow_with_an_error_may_lead_anywhere() {
    let list = |first: &str| {
        format!(
            "[ {{ a: {first} }}, {{ b: {{ wait: PT1S, then: end }} }}, {{ c: {{ wait: PT1S }} }} ]"
        )
    };
    check(&list("{ wait: PT1S }"), &["WF-201 c"]);
    check(&list("{ wait: PT1S, then: d }"), &["WF-012 then"]);
    check(&list("{ wait: PT1S, then: 7 }"), &["WF-013 then"]);
    check(&list("{ wait: PT1S, thn: c }"), &["WF-011 thn"]);
    check(&list("{ swich: [ { x: { then: c } } ] }"), &["WF-017 a"]);
    check(&list("{ switch: [ { x: { when: .x, then: d } } ], then: b }"), &["WF-012 then"]);
    check(
        &list("{ switch: [ { x: { when: '.x |', then: end } }, { y: { then: c } } ] }"),
        &["WF-023 when"],
    );
    check(&list("{ if: '.x |', do: [ { in: { wait: PT1S, then: end } } ] }"), &["WF-023 if"]);
    check(
        &list("{ try: [ { in: { wait: PT1S } } ], catch: { as: 7, then: c }, then: end }"),
        &["WF-013 as"],
    );
    // Within the list of another task it is that list about which nothing is known.
    check(
        &list("{ do: [ { in: { wait: PT1S, then: out } }, { more: { wait: PT1S } } ] }"),
        &["WF-012 then", "WF-201 c"],
    );
    check(
        "[ { a: { do: [ { in: { wait: PT1S, then: out } }, { on: { wait: PT1S, then: end } } ] } }, \
         { b: { wait: PT1S } } ]",
        &["WF-012 then"],
    );
}

/// Mutation: take the last of two tasks with one name for the one that is meant, or overlook an
/// item that is no task.
#[test]
fn a_list_with_an_error_is_not_taken_for_what_is_left_of_it() {
    check(
        "[ { a: { wait: PT1S, then: b } }, { x: { wait: PT1S, then: b } }, { b: { wait: PT1S } }, \
         { b: { wait: PT1S } } ]",
        &["WF-015 b"],
    );
    check(
        "[ { a: { wait: PT1S }, then: c }, { b: { wait: PT1S, then: end } }, { c: { wait: PT1S } } ]",
        &["WF-016 then"],
    );
}

fn fork(branches: &str) -> String {
    let exporting = "{ wait: PT1S, export: { as: '.' } }";
    format!(
        "[ {{ f: {{ fork: {{ branches: [ {{ p: {exporting} }}, {{ q: {exporting} }}, {branches} ] }} }} }} ]"
    )
}

fn waiting(name: &str, after: &str) -> String {
    format!("{{ {name}: {{ metadata: {{ after: {after} }}, wait: PT1S, export: {{ as: '.' }} }} }}")
}

/// Mutation: end the reading of a graph with the first branch that waits for nobody known, or with
/// a circle.
#[test]
fn an_error_in_a_graph_does_not_hide_its_circle_or_its_races() {
    let (d, e) = (
        "{ d: { metadata: { after: [e] }, wait: PT1S } }",
        "{ e: { metadata: { after: [d] }, wait: PT1S } }",
    );
    let g = "{ g: { metadata: { after: [zz] }, wait: PT1S } }";
    check(&fork(&format!("{d}, {e}, {g}")), &["WF-202 export", "WF-081 after", "WF-080 0"]);
    check(&fork(g), &["WF-202 export", "WF-080 0"]);
    check(&fork(&format!("{d}, {e}")), &["WF-202 export", "WF-081 after"]);
}

/// Mutation: take a branch whose `after` has an error for one that waits for nobody else.
#[test]
fn a_branch_with_an_error_in_its_after_may_wait_for_any_other() {
    check(&fork(&waiting("g", "[zz]")), &["WF-202 export", "WF-080 0"]);
    let behind = format!("{}, {}", waiting("g", "zz"), waiting("h", "[g]"));
    check(&fork(&behind), &["WF-202 export", "WF-013 after"]);
    check(&fork(&waiting("g", "[p]")), &["WF-202 export", "WF-202 export"]);
}

/// Mutation: say only that branches that race cannot wait.
#[test]
fn a_race_that_is_a_graph_is_read_as_one() {
    let race = "[ { f: { fork: { compete: true, branches: [ { a: { wait: PT1S } }, \
                { b: { metadata: { after: [zz] }, wait: PT1S } } ] } } } ]";
    check(race, &["WF-082 after", "WF-080 0"]);
}
