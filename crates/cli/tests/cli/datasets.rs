//! Data that a site declares: read by name, told to the hub by name, and nothing else of it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{Dev, HANG, Home, document};

/// Of a row, a path, an owner, and a name that is kept from the hub: none of them may leave the site.
const CANARIES: [&str; 4] = ["canary-in-a-row", "canary-folder", "canary-owner", "canary-kept"];

const SITE: &str = "
spec:
  datasets:
    - name: patients
      path: canary-folder/patients.csv
      labels: [health, eu]
      owner: canary-owner
      namespaces: [default]
      schema:
        properties: {age: {type: integer}}
    - name: orders
      path: canary-folder/orders.jsonl
    - name: canary-kept
      path: canary-folder/none.json
      tell: false
";

const PATIENTS: &str = "name,age\nada,36\n\"canary-in-a-row, jr\",41\nbob,forty\neve\nzoë,7\n";

fn read(with: &str) -> String {
    let task = format!(
        "  - rows: {{ call: 'dataset:1.0.0@default', with: {{ {with} }} }}\n  \
         - count: {{ set: {{ count: '${{ .count }}', bad: '${{ .bad }}', labels: '${{ .labels }}', \
         changed: '${{ .modifiedAt }}', ages: '${{ [.rows[].age] }}' }} }}\n"
    );
    document("reads", &task)
}

/// A site's folder with its configuration and its data.
fn declare(home: &Home, data: &str) {
    home.write(&format!("{data}/site.yaml"), SITE);
    let patients = home.write(&format!("{data}/canary-folder/patients.csv"), PATIENTS);
    let file = fs::File::options().append(true).open(patients).expect("it is there");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).expect("set");
    home.write(&format!("{data}/canary-folder/orders.jsonl"), "{\"n\":1}\n{\"n\":2}\n");
}

/// Mutation: read what another namespace has, show it there, take a bad row for a good one, or say what a
/// bad row holds.
#[test]
fn a_workflow_reads_a_dataset_by_name() {
    let home = Home::new();
    declare(&home, ".isonomy");
    let _site = home.dev();
    let skipping = home.write("skip.yaml", &read("name: patients, onBadRow: skip"));
    let out = home.run(&["run", skipping.to_str().expect("text")]).ends_with(0).json();
    assert_eq!(out["count"], 3, "{out}");
    let bad = r#"[{"row":3,"code":"schema","line":4},{"row":4,"code":"columns","line":5}]"#;
    assert_eq!(out["bad"], serde_json::from_str::<Value>(bad).expect("JSON"), "{out}");
    assert_eq!(out["ages"].to_string(), "[36,41,7]", "{out}");
    assert_eq!(out["labels"].to_string(), r#"["eu","health"]"#, "{out}");
    assert_eq!(out["changed"], "2023-11-14T22:13:20.000Z", "{out}");

    let failing = home.write("fail.yaml", &read("name: patients"));
    let failed = home.run(&["run", failing.to_str().expect("text")]).ends_with(1);
    let said = "2 of 5 rows are bad: row 3 (line 4, schema), row 4 (line 5, columns)";
    assert!(failed.stderr.contains(said), "{}", failed.stderr);
    assert!(!failed.stderr.contains("forty") && !failed.stderr.contains("canary"), "{failed:?}");

    // Elsewhere it is as if it were not there.
    let elsewhere = read("name: patients").replace("namespace: default", "namespace: lab");
    let elsewhere = home.write("lab.yaml", &elsewhere);
    let denied = home.run(&["run", elsewhere.to_str().expect("text")]).ends_with(3);
    assert!(denied.stderr.contains("GATE-009"), "{}", denied.stderr);
    let names = |namespace: &str| {
        let list = home.run(&["datasets", "list", "-n", namespace, "-o", "json"]).ends_with(0);
        let list = list.json();
        let items = list["items"].as_array().expect("a list").iter();
        items.map(|it| it["dataset"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("default"), ["canary-kept", "orders", "patients"]);
    assert_eq!(names("lab"), ["canary-kept", "orders"]);
    let list = home.run(&["datasets", "--limit", "2"]).ends_with(0);
    assert!(list.stdout.contains("missing: there is no such file"), "{}", list.stdout);
    assert!(list.stderr.contains("--cursor orders"), "{}", list.stderr);
    let all = home.run(&["datasets", "--all"]).ends_with(0);
    for part in ["patients", "csv", "there", "eu health", "canary-owner", "default"] {
        assert!(all.stdout.contains(part), "{part}: {}", all.stdout);
    }
    assert!(!all.stdout.contains("canary-folder"), "{}", all.stdout);
}

/// The blocks of a language in the guide.
fn blocks<'a>(guide: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let texts = guide.match_indices(&fence).map(|(at, _)| &guide[at + fence.len()..]);
    texts.map(|text| &text[..=text.find("\n```").expect("its end")]).collect()
}

/// Mutation: change what the guide shows, or what happens.
#[test]
fn the_guide_shows_what_happens() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/datasets.md");
    let guide = fs::read_to_string(file).expect("the guide");
    let (yaml, text) = (blocks(&guide, "yaml"), blocks(&guide, "text"));
    let home = Home::new();
    home.write(".isonomy/site.yaml", yaml[0]);
    home.write(".isonomy/data/patients.csv", text[1]);
    home.write("ages.yaml", yaml[1]);
    let _site = home.dev();
    let ran = home.run(&["run", "ages.yaml"]).ends_with(0);
    assert_eq!(ran.stdout, blocks(&guide, "json")[0]);
    home.write("strict.yaml", &yaml[1].replace("        onBadRow: skip\n", ""));
    let failed = home.run(&["run", "strict.yaml"]).ends_with(1);
    assert!(failed.stderr.contains(text[2].trim()), "{}", failed.stderr);
}

/// Mutation: start with a configuration that says two things at once.
#[test]
fn a_wrong_entry_ends_the_start_with_its_place_and_the_way_out() {
    let home = Home::new();
    let wrong = "spec:\n  datasets:\n    - {name: a, path: a.csv, labels: [health]}\n";
    home.write(".isonomy/site.yaml", wrong);
    let refused = home.run(&["dev", "--port", "0"]).ends_with(2);
    assert!(refused.stderr.contains("site.yaml:3:7: a dataset with labels"), "{}", refused.stderr);
}

/// Mutation: tell the hub a path, an owner, a size, a row or what is kept from it; or tell it nothing after
/// all datasets are gone.
#[test]
fn a_hub_learns_names_labels_and_times_and_nothing_else() {
    let home = Home::new();
    home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
    let serve = ["hub", "serve", "--listen", "127.0.0.1:0", "--port", "0"];
    let governing = Dev::of(home.start(&serve));
    let args = ["hub", "token", "create", "--site", "clinic-1", "-o", "json"];
    let made = home.run(&args).ends_with(0).json();
    let token = made["token"].as_str().expect("a token");
    home.run_with_stdin(&["site", "join", "-", "--data", "clinic-1"], token).ends_with(0);
    declare(&home, "clinic-1");
    let start = || Dev::of(home.start(&["site", "serve", "--port", "0", "--data", "clinic-1"]));
    let site = start();
    let list = ["datasets", "list", "--server", ".isonomy-hub", "-o", "json"];
    let until = |count: usize| -> Value {
        let began = Instant::now();
        loop {
            let shown = home.run(&list).ends_with(0).json();
            if shown["items"].as_array().is_some_and(|items| items.len() == count) {
                return shown["items"].clone();
            }
            assert!(began.elapsed() < HANG, "{shown}");
        }
    };
    let shown = until(2);
    assert_eq!(shown[1]["dataset"], "patients", "{shown}");
    assert_eq!(shown[1]["site"], "clinic-1", "{shown}");
    assert_eq!(shown[1]["labels"].to_string(), r#"["eu","health"]"#, "{shown}");
    assert_eq!(shown[1]["modifiedAt"], "2023-11-14T22:13:20.000Z", "{shown}");
    let known = shown[1]["knownSince"].as_str().expect("a time").to_owned();
    let fields: Vec<&str> =
        shown[1].as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["site", "dataset", "labels", "modifiedAt", "knownSince", "heardAt"]);
    let details = home.run(&["sites", "show", "clinic-1"]).ends_with(0);
    assert!(details.stdout.contains("patients [eu health], changed "), "{}", details.stdout);
    let text = home.run(&["datasets", "--server", ".isonomy-hub"]).ends_with(0);
    assert!(text.stdout.contains("KNOWN FOR"), "{}", text.stdout);

    // What the workflow reads stays there, too.
    let file = home.write("skip.yaml", &read("name: patients, onBadRow: skip"));
    let file = file.to_str().expect("text");
    home.run(&["run", file, "--server", site.data()]).ends_with(0);
    let began = Instant::now();
    loop {
        let shown = home.run(&["sites", "show", "clinic-1", "-o", "json"]).ends_with(0).json();
        if shown["taken"]["outcome"] == 1 {
            break;
        }
        assert!(began.elapsed() < HANG, "{shown}");
    }
    // Known since the first time, over a restart.
    site.stop().ends_with(0);
    let site = start();
    home.run(&["run", file, "--server", site.data()]).ends_with(0);
    assert_eq!(until(2)[1]["knownSince"], *known);
    governing.stop().ends_with(0);
    let hub = home.path(".isonomy-hub");
    for canary in CANARIES {
        assert!(!holds(&hub, canary.as_bytes()), "{canary} is at the hub");
        assert!(holds(&home.path("clinic-1"), canary.as_bytes()), "{canary} is nowhere");
    }
    assert!(holds(&hub, b"patients"), "what was told is there, so the search finds what is there");
    // Whoever has nothing to tell any more says so.
    site.stop().ends_with(0);
    home.write("clinic-1/site.yaml", "spec: {}\n");
    let address = {
        let membership = fs::read(home.path("clinic-1/identity/membership.json")).expect("there");
        let membership: Value = serde_json::from_slice(&membership).expect("JSON");
        let found = membership.to_string();
        let from = found.find("127.0.0.1:").expect("an address");
        let rest = &found[from..];
        rest[..rest.find('"').expect("its end")].to_owned()
    };
    let again = ["hub", "serve", "--listen", &address, "--port", "0"];
    let _governing = Dev::of(home.start(&again));
    assert_eq!(until(2)[0]["site"], "clinic-1");
    let _site = start();
    until(0);
}

/// Whether a file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => holds(&path, bytes),
            false => fs::read(&path)
                .is_ok_and(|held| held.windows(bytes.len()).any(|window| window == bytes)),
        }
    })
}
