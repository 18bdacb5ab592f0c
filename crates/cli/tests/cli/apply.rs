//! `isonomy apply` and `isonomy workflows`.

use serde_json::json;

use crate::support::{Home, document};

const SET: &str = "  - a:\n      set: { x: 1 }\n";

/// Mutation: apply one by one, so that the first is stored before the second is found wrong.
#[test]
fn one_document_that_is_not_valid_keeps_all_from_being_applied() {
    let home = Home::new();
    home.write("flows/a.yaml", &document("a", SET));
    home.write("flows/b.yaml", &document("b", "  - a:\n      sett: {}\n"));
    home.write("flows/deep/c.yaml", "document: [\n");
    let _dev = home.dev();
    let ended = home.run(&["apply", "-f", "flows", "--yes"]).ends_with(2);
    assert!(ended.stderr.contains("--> flows/b.yaml:7:5"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--> flows/deep/c.yaml:"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("error: not valid: 2 of 3 documents; nothing was applied"),
        "{}",
        ended.stderr
    );
    assert_eq!(home.run(&["workflows", "-o", "json"]).json(), json!({"items": []}));
}

/// Mutation: apply without being asked to, leave the plan out, or do not say for whom it is where nobody is
/// asked.
#[test]
fn without_a_terminal_it_wants_yes() {
    let home = Home::new();
    home.write("a.yaml", &document("a", SET));
    let dev = home.dev();
    let refused = home.run(&["apply", "-f", "a.yaml"]).ends_with(2);
    assert!(refused.stderr.contains("new     default/a  1.0.0"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("1 change at {}", dev.url)), "{}", refused.stderr);
    assert!(refused.stderr.contains("pass `--yes`"), "{}", refused.stderr);
    let planned = home.run(&["apply", "-f", "a.yaml", "--dry-run", "-o", "json"]).ends_with(0);
    let place = |said: &str| said.contains("the plan is for the site ") && said.contains(&dev.url);
    assert!(place(&planned.stderr), "{}", planned.stderr);
    assert_eq!(planned.json()["items"][0]["change"], "new");
    assert_eq!(home.run(&["workflows", "-o", "json"]).json(), json!({"items": []}));
    let applied = home.run(&["apply", "-f", "a.yaml", "--yes"]).ends_with(0);
    assert!(place(&applied.stderr), "{}", applied.stderr);
    assert!(applied.stdout.starts_with("default/a new b3:"), "{}", applied.stdout);
    // Nothing to change needs no word from anybody.
    let again = home.run(&["apply", "-f", "a.yaml"]).ends_with(0);
    assert!(again.stdout.starts_with("default/a unchanged b3:"), "{}", again.stdout);
    assert!(again.stderr.contains("nothing to change at"), "{}", again.stderr);
}

/// Mutation: drop the warning about a version that stayed the same.
#[test]
fn a_changed_text_under_the_same_version_is_a_new_revision_and_a_warning() {
    let home = Home::new();
    home.write("a.yaml", &document("a", SET));
    let _dev = home.dev();
    let first = home.run(&["apply", "-f", "a.yaml", "--yes", "-o", "json"]).ends_with(0).json();
    home.write("a.yaml", &document("a", "  - a:\n      set: { x: 2 }\n"));
    let ended = home.run(&["apply", "-f", "a.yaml", "--yes", "-o", "json"]).ends_with(0);
    let second = &ended.json()["items"][0];
    assert_eq!(second["change"], "changed");
    assert_eq!(second["previous"], first["items"][0]["revision"]);
    assert!(ended.stderr.contains("warning["), "{}", ended.stderr);

    let shown = home.run(&["workflows", "show", "a", "-o", "json"]).ends_with(0).json();
    assert_eq!(shown["revisions"].as_array().expect("a list").len(), 2);
    let old = first["items"][0]["revision"].as_str().expect("a digest");
    let shown = home.run(&["workflows", "show", "a", "--revision", old]).ends_with(0);
    assert!(shown.stdout.contains("set: { x: 1 }"), "{}", shown.stdout);
    assert_eq!(home.run(&["run", "a", "--revision", old]).ends_with(0).json(), json!({"x": 1}));
    assert_eq!(home.run(&["run", "a"]).ends_with(0).json(), json!({"x": 2}));
}

/// Mutation: apply whatever is in the folder, skip one of ours whose kind is misspelt, or let the last of
/// two win.
#[test]
fn what_is_no_workflow_is_skipped_and_doubles_are_refused() {
    let home = Home::new();
    home.write("flows/a.yaml", &document("a", SET));
    home.write("flows/site.yaml", "kind: Site\n");
    home.write("flows/notes.md", "document");
    let _dev = home.dev();
    let ended = home.run(&["apply", "-f", "flows", "--yes"]).ends_with(0);
    assert!(ended.stderr.contains("skipped `flows/site.yaml`"), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1);
    home.write("flows/again.json", "{\"document\": {\"dsl\": \"1.0.3\", \"namespace\": \"default\", \"name\": \"a\", \"version\": \"2.0.0\"}, \"do\": [{\"a\": {\"set\": {}}}]}");
    let refused = home.run(&["apply", "-f", "flows", "--yes"]).ends_with(2);
    assert!(refused.stderr.contains("are both the workflow `default/a`"), "{}", refused.stderr);
    home.run(&["apply", "-f", "missing", "--yes"]).ends_with(2);
    home.write("typo/place.yaml", "apiVersion: isonomy.dev/v1\nkind: Placment\nspec: {}\n");
    for typo in ["typo", "typo/place.yaml"] {
        let refused = home.run(&["apply", "-f", typo, "--yes"]).ends_with(2);
        assert!(refused.stderr.contains("there is no `kind: Placment`"), "{}", refused.stderr);
        assert!(refused.stderr.contains("kinds are `Placement` ("), "{}", refused.stderr);
    }
    home.run(&["apply", "-f", "flows/site.yaml", "--yes"]).ends_with(2);
    let piped =
        home.run_with_stdin(&["apply", "-f", "-", "--yes"], &document("piped", SET)).ends_with(0);
    assert!(piped.stdout.starts_with("default/piped new"), "{}", piped.stdout);
}

/// Mutation: delete the text with the name, so that applying again finds a new workflow; or ask
/// before, which without a terminal is to refuse.
#[test]
fn a_deleted_workflow_is_gone_until_it_is_applied_again() {
    let home = Home::new();
    home.write("a.yaml", &document("a", SET));
    let _dev = home.dev();
    home.run(&["apply", "-f", "a.yaml", "--yes"]).ends_with(0);
    home.run(&["workflows", "delete", "a", "--reason", "no need"]).ends_with(0);
    home.run(&["run", "a"]).ends_with(2);
    home.run(&["workflows", "show", "a"]).ends_with(2);
    home.run(&["workflows", "delete", "a"]).ends_with(2);
    assert_eq!(home.run(&["workflows", "-o", "json"]).json(), json!({"items": []}));
    home.run(&["apply", "-f", "a.yaml", "--yes"]).ends_with(0);
    home.run(&["run", "a"]).ends_with(0);
}

/// Mutation: say nothing of what begins by itself, say it of what has not changed, or look in the
/// namespace of the command line instead of the file's.
#[test]
fn what_is_applied_with_a_schedule_says_that_it_begins_by_itself() {
    let home = Home::new();
    let scheduled = document("tick", SET) + "schedule: { every: { hours: 6 } }\n";
    let elsewhere = scheduled.replace("namespace: default", "namespace: plant");
    assert_ne!(scheduled, elsewhere);
    home.write("flows/tick.yaml", &elsewhere);
    home.write("flows/once.yaml", &document("once", SET));
    let _dev = home.dev();
    let said = |ended: &str| ended.matches("begins by itself").count();
    let ended = home.run(&["apply", "-f", "flows", "--yes"]).ends_with(0);
    let wanted = "plant/tick begins by itself from now on: every 6h 00m 00s, next ";
    assert!(ended.stderr.contains(wanted) && said(&ended.stderr) == 1, "{}", ended.stderr);
    let again = home.run(&["apply", "-f", "flows", "--yes"]).ends_with(0);
    assert_eq!(said(&again.stderr), 0, "{}", again.stderr);
}
