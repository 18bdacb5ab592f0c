//! Backups, what becomes of them, and exports.

use std::fs;

use serde_json::Value;

use crate::support::{Home, document};
use crate::{fill, home};

fn incarnation(home: &Home, data: &str) -> (String, Value) {
    let dev = home.dev_with(&["--data", data], &[]);
    let args = ["--server", dev.data(), "runs", "--all", "-o", "json"];
    let runs = home.run(&args).ends_with(0).json();
    let first =
        home.run(&["--server", dev.data(), "store", "export", "--all-namespaces"]).ends_with(0);
    dev.stop().ends_with(0);
    let first: Value =
        serde_json::from_str(first.stdout.lines().next().expect("a line")).expect("JSON");
    (first["incarnation"].as_str().expect("an id").to_owned(), runs)
}

/// Mutation: copy without one read transaction, leave the blob files out, or keep the incarnation.
#[test]
fn a_backup_of_a_site_at_work_is_a_store_of_its_own() {
    let home = home();
    let dev = home.dev();
    fill(&home);
    // Steps go on while the copy is made.
    let busy = "  - each:\n      for: { each: i, in: '[range(0; 400)]' }\n      do:\n        - say:\n            call: echo:1.0.0@default\n            with: { n: '${ $i }' }\n            output: { as: '${ $input }' }\n";
    home.write("busy.yaml", &document("busy", busy));
    home.run(&["apply", "-f", "busy.yaml", "--yes"]).ends_with(0);
    let run = home.run(&["run", "busy", "--detach"]).ends_with(0).run_id();
    let made = home.run(&["store", "backup", "copy"]).ends_with(0);
    assert!(made.stderr.contains("backed up 2 files"), "{made:?}");
    home.run(&["runs", "follow", &run]).ends_with(0);
    assert!(!home.path(".isonomy/scratch/isonomy.db").exists());
    let again = home.run(&["store", "backup", "copy"]).ends_with(2);
    assert!(again.stderr.contains("is not an empty folder"), "{again:?}");
    dev.stop().ends_with(0);

    let restored = home.run(&["store", "restore", "copy", "--data", "again"]).ends_with(0);
    assert!(restored.stderr.contains("restored the store"), "{restored:?}");
    home.run(&["store", "check", "--data", "again"]).ends_with(0);
    let (before, _) = incarnation(&home, ".isonomy");
    let (after, runs) = incarnation(&home, "again");
    assert_ne!(before, after);
    assert_eq!(runs["items"].as_array().expect("a list").len(), 7);
    home.run(&["store", "check", "--data", "again"]).ends_with(0);
    let taken = home.run(&["store", "restore", "copy", "--data", "again"]).ends_with(2);
    assert!(taken.stderr.contains("there is a store in `again` already"), "{taken:?}");

    // The run that was under way goes on from where the copy was made.
    let dev = home.dev_with(&["--data", "again"], &[]);
    home.run(&["--server", dev.data(), "runs", "follow", &run]).ends_with(0);
    dev.stop().ends_with(0);

    // Of a stopped site, the same.
    home.run(&["store", "backup", "second", "--data", "again"]).ends_with(0);
    assert!(!home.path("second/scratch").exists());
    home.run(&["store", "restore", "second", "--data", "third"]).ends_with(0);
    home.run(&["store", "check", "--data", "third"]).ends_with(0);

    let database = home.path("copy/isonomy.db");
    let mut bytes = fs::read(&database).expect("it is there");
    bytes[5000] ^= 1;
    fs::write(&database, bytes).expect("written");
    let damaged = home.run(&["store", "restore", "copy", "--data", "fourth"]).ends_with(2);
    assert!(damaged.stderr.contains("is not what the manifest says"), "{damaged:?}");
    assert!(!home.path("fourth/isonomy.db").exists());
    fs::remove_file(home.path("copy/manifest.json")).expect("it is there");
    let half = home.run(&["store", "restore", "copy", "--data", "fourth"]).ends_with(2);
    assert!(half.stderr.contains("one that was broken off"), "{half:?}");
}

/// Mutation: leave a kind of line out, or tell the seed of a run.
#[test]
fn an_export_says_everything_but_what_is_secret() {
    let home = home();
    let dev = home.dev();
    fill(&home);
    let all = home.run(&["store", "export"]).ends_with(0).stdout;
    let run = home.run(&["runs", "--workflow", "whole", "-o", "json"]).ends_with(0).json();
    let run = run["items"][0]["run"].as_str().expect("an id").to_owned();
    let one = home.run(&["store", "export", "--run", &run]).ends_with(0).stdout;
    home.run(&["store", "export", "--to", "file"]).ends_with(0);
    home.run(&["store", "export", "--to", "file"]).ends_with(2);
    dev.stop().ends_with(0);
    let stopped = home.run(&["store", "export", "--data", ".isonomy"]).ends_with(0).stdout;
    let kinds = |text: &str| {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut kinds = std::collections::BTreeMap::<String, usize>::new();
        for line in lines {
            *kinds.entry(line["kind"].as_str().expect("a kind").to_owned()).or_default() += 1;
        }
        kinds
    };
    let told = kinds(&all);
    for kind in
        ["store", "workflow", "revision", "run", "record", "blob", "outcome", "event", "end"]
    {
        assert!(told.contains_key(kind), "{kind}: {told:?}");
    }
    assert_eq!(told["run"], 6);
    assert_eq!(kinds(&one)["run"], 1);
    assert_eq!(kinds(&fs::read_to_string(home.path("file")).expect("written")), told);
    assert_eq!(kinds(&stopped), told);
    assert!(!all.contains("\"seed\""));
}
