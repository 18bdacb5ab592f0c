//! Questions go through indexes, however many rows there are.

use rusqlite::Connection;
use sqlite::DATABASE_FILE;

use crate::{folder, open, sqlite};

/// Questions that look at every row of an index, and why that is right.
const SCANS: [(&str, &str); 17] = [
    ("ahead_call", "looks at some of the oldest rows"),
    ("ahead_event", "looks at some of the oldest rows"),
    ("call_end", "looks at the last row"),
    ("call_forget", "looks at some of the oldest rows"),
    ("event_newest", "looks at the last row"),
    ("event_oldest", "looks at the first row"),
    ("event_prune", "looks at some of the oldest rows"),
    ("journal_last", "looks at the last row"),
    ("run_last", "looks at the last row"),
    ("outbox_last", "a table of one row a table"),
    ("run_count", "counts all runs; only the index is read"),
    ("run_list", "walks the ids down and stops at the limit"),
    ("verify_extents", "a check looks at all of them, once"),
    ("verify_logs", "a check looks at all of them, once"),
    ("verify_outcomes", "a check looks at all of them, once"),
    ("verify_snapshots", "a check looks at all of them, once"),
    ("workflow_list", "walks the keys up and stops at the limit"),
];

/// Mutation: drop any index of the schema.
#[test]
fn every_question_goes_through_an_index() {
    let folder = folder();
    drop(open(folder.path()));
    let db = Connection::open(folder.path().join(DATABASE_FILE)).expect("opens");
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql");
    let mut seen = 0;
    for entry in std::fs::read_dir(scripts).expect("the scripts are there") {
        let path = entry.expect("reads").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("schema") {
            continue;
        }
        let sql = std::fs::read_to_string(&path).expect("reads");
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(&name);
        let steps = plan.raw_query().mapped(|row| row.get::<_, String>(3));
        let steps: Vec<_> = steps.collect::<Result<_, _>>().expect("plans");
        let whole = steps.iter().any(|step| {
            step.starts_with("SCAN") && *step != "SCAN CONSTANT ROW" && !step.contains("(subquery")
        });
        let sorted = steps.iter().any(|step| step.contains("TEMP B-TREE"));
        let allowed = SCANS.iter().any(|(allowed, _)| *allowed == name);
        assert!(!whole || allowed, "{name}: {steps:?}");
        assert!(!sorted, "{name}: {steps:?}");
        seen += 1;
    }
    assert!(seen > 30, "{seen} scripts");
}
