//! The examples that wait for the world: it is played from the command line, as their pages say.
//! All are tested by their own test files too.

use std::path::Path;

use serde_json::json;

use crate::support::Home;

fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    root.join(name).display().to_string()
}

/// Starts an example and waits until it listens.
fn listening(home: &Home, name: &str) -> String {
    let run = home.run(&["run", &example(name), "--detach"]).ends_with(0).run_id();
    // Its follower hears of the first task, and whatever is emitted after that is heard.
    let mut follow = home.start(&["runs", "follow", &run]);
    follow.stdout.next();
    drop(follow);
    run
}

fn output(home: &Home, run: &str) -> serde_json::Value {
    let followed = home.run(&["runs", "follow", run, "-o", "json"]).ends_with(0);
    assert!(followed.stdout.contains("completed"), "{}", followed.stdout);
    home.run(&["runs", "show", run, "-o", "json"]).ends_with(0).json()["output"].clone()
}

/// Mutation: lay out an example by hand, or count the examples by hand.
#[test]
fn the_gallery_is_laid_out_and_counted() {
    let home = Home::new();
    let check = home.run(&["fmt", "--check", &example("")]).ends_with(0);
    assert!(!check.stderr.contains("another layout"), "{}", check.stderr);
    let list = home.run(&["example", "-o", "json"]).ends_with(0).json();
    let count = list["items"].as_array().map_or(0, Vec::len);
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    assert!(readme.contains(&format!("`isonomy example` has {count} more.")), "{count}");
}

/// Mutation: let the watch end with the first reading, or count an alarm too few.
#[test]
fn the_plant_watches_until_the_shift_ends() {
    let home = Home::new();
    let dev = home.dev();
    let run = listening(&home, "plant/workflow.yaml");
    for celsius in [950, 700] {
        let data = json!({ "celsius": celsius }).to_string();
        home.run(&["emit", "example.plant.temperature", "-d", &data]).ends_with(0);
    }
    home.run(&["emit", "example.plant.shift.ended"]).ends_with(0);
    assert_eq!(output(&home, &run), json!({"readings": 2, "alarms": 1}));
    let alarms = home.run(&["events", "list", "--type", "example.plant.alarm", "-o", "json"]);
    assert_eq!(alarms.ends_with(0).json()["items"].as_array().map(Vec::len), Some(1));
    dev.stop().ends_with(0);
}

/// Mutation: take the pulse of another patient for this one's.
#[test]
fn the_patient_monitor_does_not_mix_patients() {
    let home = Home::new();
    let dev = home.dev();
    let run = listening(&home, "patient-monitor/workflow.yaml");
    for (kind, subject, data) in [
        ("temperature", "bed-3", r#"{"celsius": 39.4}"#),
        ("pulse", "bed-9", r#"{"bpm": 140}"#),
        ("pulse", "bed-3", r#"{"bpm": 128}"#),
    ] {
        let kind = format!("example.ward.{kind}");
        home.run(&["emit", &kind, "--subject", subject, "-d", data]).ends_with(0);
    }
    assert_eq!(output(&home, &run), json!({"patient": "bed-3", "called": true}));
    dev.stop().ends_with(0);
}
