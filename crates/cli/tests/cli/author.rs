//! The tools of authors, as the real binary: no site is there, and none is asked.

use std::fs;

use crate::support::world::{Answer, World};
use crate::support::{Home, document, golden};

const WRONG: &str = "document: { dsl: 1.0.3, namespace: n, name: w, version: 0.1.0 }\ndo:\n  - a: { call: grpc, with: {} }\n  - b: { set: { x: '${ .y | }' }, then: c }\n";

/// An expression that is too large to be parsed in the process, with a mistake at its end.
fn large_expression(end: &str) -> String {
    let sum = (0..2_000).map(|n| format!(".a{n} + ")).collect::<String>();
    document("large", &format!("  - a:\n      set:\n        x: ${{ {sum}{end} }}\n"))
}

/// Mutation: rename a field, ask a site, or end with another exit code.
#[test]
fn validate_says_everything_without_a_site_and_its_json_is_a_contract() {
    let home = Home::new();
    home.write("wrong.yaml", WRONG);
    home.write("flows/good.yaml", &document("good", "  - a:\n      set: { x: 1 }\n"));
    home.write("flows/twin.yaml", &document("good", "  - a:\n      set: { x: 2 }\n"));
    home.write("flows/site.yaml", "kind: Site\n");
    fs::write(home.path("binary.yaml"), b"a: \xff\n").expect("written");
    let all = ["validate", "wrong.yaml", "flows", "binary.yaml"];
    let ended = home.run(&[&all[..], &["-o", "json"]].concat()).ends_with(2);
    golden("validate.json", &ended.stdout);
    assert!(ended.stderr.contains("skipped `flows/site.yaml`"), "{}", ended.stderr);
    let ended = home.run(&all).ends_with(2);
    golden("validate.txt", &ended.stdout);
    assert!(ended.stderr.ends_with("4 files: 4 errors, 1 warning\n"), "{}", ended.stderr);
    assert!(!home.path(".isonomy").exists());
}

/// Mutation: count a warning as an error, do not count it where that is asked for, or skip one of ours whose
/// kind is misspelt.
#[test]
fn warnings_are_denied_only_where_asked() {
    let home = Home::new();
    let later = document("later", "  - a: { call: grpc, with: {} }\n");
    home.run_with_stdin(&["validate", "-"], &later).ends_with(0);
    let denied = home.run_with_stdin(&["validate", "-", "--deny-warnings"], &later).ends_with(2);
    assert!(denied.stdout.contains("warning[WF-105]"), "{}", denied.stdout);
    home.write("later.yaml", &later);
    let refused = home.run(&["run", "later.yaml", "--local"]).ends_with(2);
    assert!(refused.stderr.contains("error[WF-105]"), "{}", refused.stderr);
    home.run(&["validate", "nowhere.yaml"]).ends_with(2);
    home.write("typo/place.yaml", "apiVersion: isonomy.dev/v1\nkind: Placment\n");
    for typo in ["typo", "typo/place.yaml"] {
        let wrong = home.run(&["validate", typo]).ends_with(2).stdout;
        assert!(wrong.contains("there is no `kind: Placment`"), "{wrong}");
        assert!(wrong.contains("place.yaml:2:1") && wrong.contains("`Placement` ("), "{wrong}");
        home.run(&["fmt", "--check", typo]).ends_with(2);
    }
    home.write("empty/readme.md", "nothing");
    let none = home.run(&["validate", "empty"]).ends_with(2);
    assert!(none.stderr.contains("there is no workflow to validate"), "{}", none.stderr);
}

/// Mutation: take an expression unseen, or lose its place.
#[test]
fn an_expression_too_large_for_the_process_is_looked_at_in_another() {
    let home = Home::new();
    home.write("good.yaml", &large_expression(".last"));
    home.run(&["validate", "good.yaml"]).ends_with(0);
    home.write("bad.yaml", &large_expression("| .b"));
    let bad = home.run(&["validate", "bad.yaml"]).ends_with(2);
    assert!(
        bad.stdout.contains("error[WF-023]") && bad.stdout.contains("bad.yaml:9:"),
        "{}",
        bad.stdout
    );
}

/// Mutation: judge a test file as a workflow, or leave one out that is broken or a workflow.
#[test]
fn a_test_file_is_no_workflow_even_where_it_is_named() {
    let home = Home::new();
    home.write("good.yaml", &document("good", "  - a:\n      set: { x: 1 }\n"));
    home.write("good.test.yaml", "cases: [{name: a}]\n");
    let said =
        "skipped `good.test.yaml`: it is a test file, which `isonomy test` checks and runs\n";
    let alone = home.run(&["validate", "good.test.yaml"]).ends_with(2);
    assert!(alone.stderr.starts_with(said) && alone.stdout.is_empty(), "{}", alone.stderr);
    let both = home.run(&["validate", "good.yaml", "good.test.yaml"]).ends_with(0);
    assert_eq!(both.stderr, format!("{said}1 file: valid\n"));
    let laid_out = home.run(&["fmt", "--check", "good.yaml", "good.test.yaml"]).ends_with(0);
    assert_eq!(laid_out.stderr, said);
    home.write("odd.test.yaml", "cases: [");
    let odd = home.run(&["validate", "odd.test.yaml"]).ends_with(2);
    assert!(odd.stdout.contains("error[WF-002]"), "{}", odd.stdout);
    home.write("flow.test.yaml", &document("flow", "  - a:\n      set: { x: 1 }\n"));
    home.run(&["validate", "flow.test.yaml"]).ends_with(0);
}

/// Mutation: write with `--check` or `--diff`, write a file in two steps, or follow no link.
#[test]
fn fmt_writes_checks_and_shows() {
    let home = Home::new();
    let before = "document: {dsl: '1.0.3', namespace: n, name: w, version: '1.0.0'} # head\ndo:\n- a: {set: {x: 1}}\n";
    let after = "document: { dsl: '1.0.3', namespace: n, name: w, version: '1.0.0' } # head\ndo:\n  - a:\n      set: { x: 1 }\n";
    let file = home.write("a.yaml", before);
    let check = home.run(&["fmt", "--check", "a.yaml"]).ends_with(2);
    assert_eq!(check.stderr, "another layout: a.yaml\n");
    let diff = home.run(&["fmt", "--diff", "a.yaml"]).ends_with(0);
    assert!(diff.stdout.contains("-- a: {set: {x: 1}}\n+  - a:\n"), "{}", diff.stdout);
    assert_eq!(fs::read_to_string(&file).expect("there"), before);
    assert_eq!(home.run_with_stdin(&["fmt", "-"], before).ends_with(0).stdout, after);
    std::os::unix::fs::symlink("a.yaml", home.path("link.yaml")).expect("a link");
    home.run(&["fmt", "link.yaml"]).ends_with(0);
    assert_eq!(fs::read_to_string(&file).expect("there"), after);
    assert!(fs::symlink_metadata(home.path("link.yaml")).expect("there").is_symlink());
    home.run(&["fmt", "--check", "a.yaml"]).ends_with(0);
    home.write("odd.yaml", "%YAML 1.2\n---\na: 1\n");
    let odd = home.run(&["fmt", "odd.yaml", "a.yaml"]).ends_with(2);
    assert!(odd.stderr.contains("error[WF-072]"), "{}", odd.stderr);
    assert!(odd.stderr.contains("1 of 2 documents keep their layout"), "{}", odd.stderr);
}

/// Mutation: ship a template that is not valid, has another layout, or does not run; overwrite.
#[test]
fn every_template_is_valid_laid_out_and_never_written_over_a_file() {
    let home = Home::new();
    for template in ["hello", "http", "branches"] {
        home.run(&["init", template, template]).ends_with(0);
        home.run(&["validate", template, "--deny-warnings"]).ends_with(0);
        for file in ["workflow.yaml", "workflow.test.yaml", "site.yaml"] {
            home.run(&["fmt", "--check", &format!("{template}/{file}")]).ends_with(0);
        }
        for file in ["workflow.yaml", "workflow.test.yaml", "site.yaml"] {
            let text = home.path(&format!("{template}/{file}"));
            let text = fs::read_to_string(text).expect("there");
            let schema = text.lines().next().and_then(|line| line.split_once("$schema=./"));
            let (_, schema) = schema.expect("the line for editors");
            let schema = home.path(&format!("{template}/{schema}"));
            let schema = fs::read_to_string(schema).expect("a schema is beside it");
            let property = match file {
                "workflow.test.yaml" => "\"cases\"",
                "site.yaml" => "\"apiVersion\"",
                _ => "\"do\"",
            };
            assert!(schema.contains(property), "{template}/{file}");
        }
    }
    home.write("taken/site.yaml", "mine");
    let taken = home.run(&["init", "hello", "taken"]).ends_with(2);
    assert!(taken.stderr.contains("`taken/site.yaml` is there already"), "{}", taken.stderr);
    assert!(!home.path("taken/workflow.yaml").exists());
}

/// Mutation: leave out an input that the template requires, the configuration that its call needs,
/// or that its service does not exist.
#[test]
fn what_init_tells_to_type_works_as_it_is_printed() {
    let service = World::new(|request| match request.path.as_str() {
        "/pets/7" => Answer::Json(r#"{"name": "Rex"}"#.to_owned()),
        _ => Answer::Status(404),
    });
    for (template, printed) in [
        ("hello", "{\n  \"text\": \"hello Ada\"\n}\n"),
        ("http", "{\n  \"name\": \"Rex\"\n}\n"),
        ("branches", "{\n  \"sum\": 6,\n  \"number\": 3\n}\n"),
    ] {
        let home = Home::new();
        let said = home.run(&["init", template, "flow"]).ends_with(0).stderr;
        let commands: Vec<String> = said
            .split('`')
            .filter_map(|quoted| quoted.strip_prefix("isonomy "))
            .map(|command| command.replace('\'', ""))
            .collect();
        let [validate, test, run, dev] = &commands[..] else { panic!("{said}") };
        home.run(&words(validate)).ends_with(0);
        home.run(&words(test)).ends_with(0);
        assert_eq!(said.contains("`pets.example` does not exist"), template == "http", "{said}");
        let to = format!("to: {}", service.url);
        let site = fs::read_to_string(home.path("flow/site.yaml")).expect("there");
        home.write("flow/site.yaml", &site.replace("allow: true", &to));
        assert_eq!(home.run(&words(run)).ends_with(0).stdout, printed);
        assert_eq!(dev, "dev --config flow/site.yaml");
    }
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

/// Mutation: print a schema that is no JSON, or forget an example.
#[test]
fn schemas_examples_and_completions_are_printed() {
    let home = Home::new();
    for kind in [&["schema"][..], &["schema", "site"], &["schema", "test"]] {
        let text = home.run(kind).ends_with(0).stdout;
        let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(schema["properties"].is_object());
    }
    let list = home.run(&["example", "-o", "json"]).ends_with(0).stdout;
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    for item in list["items"].as_array().expect("a list") {
        let name = item["name"].as_str().expect("a name");
        assert!(home.run(&["example", name]).ends_with(0).stdout.contains("document:"));
        home.run(&["example", name, name]).ends_with(0);
        home.run(&["example", name, name]).ends_with(2);
        home.run(&["validate", name, "--deny-warnings"]).ends_with(0);
    }
    home.run(&["example", "nothing"]).ends_with(2);
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let text = home.run(&["completions", shell]).ends_with(0).stdout;
        assert!(text.contains("validate") && text.contains("isonomy"), "{shell}");
    }
}

/// Mutation: draw the current revision for a run of an older one, or lose the states of its tasks.
#[test]
fn graphs_are_drawn_of_files_stored_workflows_and_runs() {
    let home = Home::new();
    let old = document(
        "drawn",
        "  - first:\n      set: { x: 1 }\n  - second:\n      raise: { error: { type: https://a.example/e, status: 400 } }\n",
    );
    home.write("drawn.yaml", &old);
    let file = home.run(&["graph", "drawn.yaml"]).ends_with(0).stdout;
    assert!(file.ends_with("├─ first  set x\n└─ second  raise https://a.example/e\n"), "{file}");
    for form in ["mermaid", "svg"] {
        assert!(
            home.run(&["graph", "drawn.yaml", "-o", form]).ends_with(0).stdout.contains("second")
        );
    }
    home.run_with_stdin(&["graph", "-"], "a: [").ends_with(2);
    let _dev = home.dev();
    let run = home.run(&["run", "drawn.yaml", "--id", "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf"]);
    let run = run.ends_with(1).run_id();
    home.write("drawn.yaml", &document("drawn", "  - other:\n      set: { x: 1 }\n"));
    home.run(&["apply", "-f", "drawn.yaml", "--yes"]).ends_with(0);
    let now = home.run(&["graph", "drawn"]).ends_with(0).stdout;
    assert!(now.ends_with("└─ other  set x\n"), "{now}");
    let then = home.run(&["graph", "--run", &run]).ends_with(0).stdout;
    assert!(
        then.ends_with(
            "├─ first  set x, completed\n└─ second  raise https://a.example/e, faulted\n"
        ),
        "{then}"
    );
    home.run(&["graph", "nothing-of-that-name"]).ends_with(2);
    home.run(&["graph"]).ends_with(2);
}
