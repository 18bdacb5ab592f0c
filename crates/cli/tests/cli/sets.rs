//! Documents that refer to each other, from the command line.

use serde_json::json;

use crate::support::{Home, document};

const CHILD: &str = "  - double:\n      set: { n: '${ .n * 2 }' }\n";

fn runs(name: &str) -> String {
    format!(
        "  - child:\n      run:\n        workflow: {{ namespace: default, name: {name}, version: 1.0.0, input: '${{ . }}' }}\n"
    )
}

/// Mutation: apply a folder one document at a time, in the order of the names.
#[test]
fn a_folder_may_hold_a_parent_before_its_child() {
    let home = Home::new();
    home.write("flows/a-parent.yaml", &document("parent", &runs("child")));
    home.write("flows/b-child.yaml", &document("child", CHILD));
    let _dev = home.dev();
    let alone = home.run(&["apply", "-f", "flows/a-parent.yaml", "--yes"]).ends_with(2);
    assert!(alone.stderr.contains("error[WF-040]"), "{}", alone.stderr);
    assert!(alone.stderr.contains("not valid: 1 of 1 document; nothing"), "{}", alone.stderr);
    let applied = home.run(&["apply", "-f", "flows", "--yes"]).ends_with(0);
    assert_eq!(applied.stdout.lines().count(), 2, "{}", applied.stdout);
    let again = home.run(&["apply", "-f", "flows"]).ends_with(0);
    assert!(again.stderr.contains("nothing to change at"), "{}", again.stderr);
    let ended = home.run(&["run", "parent", "-i", "n=4"]).ends_with(0);
    assert_eq!(ended.json(), json!({"n": 8}));
    let runs = home.run(&["runs", "-o", "json"]).json();
    let find = |name: &str| {
        let items = runs["items"].as_array().expect("a list");
        let found = items.iter().find(|item| item["workflow"] == name).expect("a run");
        found["run"].as_str().expect("an id").to_owned()
    };
    let (parent, child) = (find("parent"), find("child"));
    let shown = home.run(&["runs", "show", &parent]).ends_with(0).stdout;
    let line = format!("  {child}  default/child 1.0.0  completed  /child");
    assert!(shown.contains("\nchildren\n") && shown.contains(&line), "{shown}");
    let shown = home.run(&["runs", "show", &child]).ends_with(0).stdout;
    assert!(shown.contains(&format!("parent     {parent} at /child\n")), "{shown}");
}

/// Mutation: look beside the file for what nobody has named, or apply the file twice.
#[test]
fn a_file_is_run_with_what_is_named_beside_it() {
    let home = Home::new();
    home.write("parent.yaml", &document("parent", &runs("child")));
    home.write("child.yaml", &document("child", CHILD));
    let alone = home.run(&["run", "parent.yaml", "--local", "-i", "n=1"]).ends_with(2);
    assert!(alone.stderr.contains("`isonomy run FILE --with FOLDER`"), "{}", alone.stderr);
    for with in ["child.yaml", "."] {
        let run = ["run", "parent.yaml", "--with", with, "--local", "-i", "n=1"];
        assert_eq!(home.run(&run).ends_with(0).json(), json!({"n": 2}), "{with}");
    }
    let stored = home.run(&["run", "parent", "--with", "child.yaml", "--local"]).ends_with(2);
    assert!(stored.stderr.contains("`--with` is for a file"), "{}", stored.stderr);
}
