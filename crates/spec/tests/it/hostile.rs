//! Documents that nobody would write.

use std::fmt::Write;

use isonomy_spec::{Code, Diagnostic};
use proptest::prelude::*;

use crate::read;

const SEEDS: [&str; 4] = [
    include_str!("seeds/around.yaml"),
    include_str!("seeds/everything.yaml"),
    include_str!("seeds/flow.json"),
    include_str!("seeds/aliases.yaml"),
];

#[derive(Debug, Clone)]
enum Change {
    Flip { at: usize, with: u8 },
    Cut { from: usize, length: usize },
    Truncate { at: usize },
    Swap { one: usize, other: usize },
    Repeat { line: usize, times: usize },
    Indent { line: usize, by: usize },
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, with)| Change::Flip { at, with }),
        (place(), 1..200usize).prop_map(|(from, length)| Change::Cut { from, length }),
        place().prop_map(|at| Change::Truncate { at }),
        (place(), place()).prop_map(|(one, other)| Change::Swap { one, other }),
        (place(), 1..20usize).prop_map(|(line, times)| Change::Repeat { line, times }),
        (place(), 1..9usize).prop_map(|(line, by)| Change::Indent { line, by }),
    ]
}

fn apply(text: &str, change: &Change) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut bytes = text.as_bytes().to_vec();
    let size = bytes.len().max(1);
    match *change {
        Change::Flip { at, with } => {
            if let Some(byte) = bytes.get_mut(at % size) {
                *byte = with;
            }
        }
        Change::Cut { from, length } => {
            let from = from % size;
            bytes.drain(from..(from + length).min(bytes.len()));
        }
        Change::Truncate { at } => bytes.truncate(at % size),
        Change::Swap { one, other } => {
            let mut lines = lines;
            let count = lines.len();
            lines.swap(one % count, other % count);
            return lines.join("\n");
        }
        Change::Repeat { line, times } => {
            let mut lines = lines;
            let line = line % lines.len();
            let copies = vec![lines[line]; times];
            lines.splice(line..line, copies);
            return lines.join("\n");
        }
        Change::Indent { line, by } => {
            let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
            let line = line % lines.len();
            lines[line].insert_str(0, &" ".repeat(by));
            return lines.join("\n");
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Mutation: index anything by what the document says.
    #[test]
    fn a_damaged_document_is_answered(seed in 0..SEEDS.len(), changes in prop::collection::vec(change(), 1..5)) {
        let text = changes.iter().fold(SEEDS[seed].to_owned(), |text, change| apply(&text, change));
        if let Err(wrong) = read(&text) {
            prop_assert!(!wrong.is_empty());
            for found in &wrong {
                prop_assert!(!found.render("a.yaml", &text).is_empty());
            }
        }
    }
}

fn codes(text: &str) -> Vec<Code> {
    let wrong: Vec<Diagnostic> = read(text).expect_err("wrong");
    let mut codes: Vec<Code> = wrong.iter().map(|found| found.code).collect();
    codes.dedup();
    codes
}

const HEAD: &str = "document: {dsl: 1.0.3, namespace: n, name: w, version: 0.1.0}\n";

/// Mutation: keep every diagnostic.
#[test]
fn a_thousand_errors_are_counted_and_a_hundred_shown() {
    let mut text = format!("{HEAD}do: [{{ a: {{ set: {{ b: 1 }} }} }}]\n");
    for number in 0..1_000 {
        writeln!(text, "wrong{number}: 1").expect("a string takes everything");
    }
    let wrong = read(&text).expect_err("wrong");
    assert_eq!(wrong.len(), 101);
    assert_eq!(wrong[100].message, "900 more errors are not shown");
    assert_eq!(wrong[100].code, Code::TooMany);
}

/// Mutation: look for a name by walking the list, or build the definition of every task anew.
#[test]
fn a_large_document_is_read_in_little_time() {
    let mut text = format!("{HEAD}do:\n");
    for number in 0..30_000 {
        writeln!(
            text,
            "  - t{number}:\n      set: {{a: '${{ . }}'}}\n      then: t{}",
            (number + 1) % 30_000
        )
        .expect("a string takes everything");
    }
    let read = read(&text).expect("valid");
    assert_eq!(read.workflow.tasks.len(), 30_000);
}

/// Mutation: look for the nearest name of every name that leads nowhere, or keep the names of the
/// list with each of them.
#[test]
fn a_large_document_that_is_wrong_everywhere_is_read_in_little_time() {
    let mut steps = format!("{HEAD}do:\n");
    let mut graph = format!("{HEAD}do:\n  - fan:\n      fork:\n        branches:\n");
    for number in 0..4_000 {
        writeln!(steps, "  - t{number}: {{set: {{a: 1}}, then: x{number}}}").expect("a string");
        let after = format!("metadata: {{after: [x{number}]}}");
        writeln!(graph, "          - b{number}: {{set: {{a: 1}}, {after}}}").expect("a string");
    }
    assert_eq!(codes(&steps), [Code::UnknownTask, Code::TooMany]);
    assert_eq!(codes(&graph), [Code::UnknownBranch, Code::TooMany]);
}

/// Mutation: compare every pair of exporting branches, or walk the graph once for each name.
#[test]
fn a_large_graph_is_read_in_little_time() {
    let mut text = format!(
        "{HEAD}do:\n  - fan:\n      fork:\n        branches:\n          - b0: {{set: {{a: 1}}}}\n"
    );
    for number in 1..5_000 {
        let after = format!("metadata: {{after: [b{}, b0]}}", number - 1);
        writeln!(text, "          - b{number}: {{set: {{a: 1}}, {after}, export: {{as: .}}}}")
            .expect("a string");
    }
    assert!(read(&text).expect("valid").warnings.is_empty());
    let cycle = text.replace("b0: {set: {a: 1}}", "b0: {set: {a: 1}, metadata: {after: [b4999]}}");
    assert_eq!(codes(&cycle), [Code::BranchCycle]);
}

/// Mutation: raise a limit above what the stack carries.
#[test]
fn deep_documents_are_refused_and_the_deepest_allowed_ones_are_read() {
    let nested = |levels: usize| {
        let mut text = format!("{HEAD}do: [");
        (0..levels).for_each(|level| write!(text, "{{t{level}: {{do: [").expect("a string"));
        text + "{last: {set: {a: 1}}}" + &"]}}".repeat(levels) + "]\n"
    };
    assert_eq!(read(&nested(31)).map(|read| read.workflow.tasks.len()).ok(), Some(32));
    assert_eq!(codes(&nested(40)), [Code::Limit]);
    assert_eq!(codes(&nested(100_000)), [Code::Limit]);
    let schema = format!(
        "{HEAD}input: {{schema: {{document: {}true{}}}}}\ndo: []\n",
        "{not: ".repeat(90),
        "}".repeat(90)
    );
    assert!(read(&schema).is_ok());
}

/// Mutation: count an alias as one value.
#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{inner}]").expect("a string takes everything");
    }
    assert_eq!(codes(&text), [Code::Limit]);
}
