//! Two promises of a site, seen from outside: a run is pinned to its revision, and a bad expression
//! hurts nobody but its own run.

use serde_json::json;

use crate::support::world::{Answer, World};
use crate::support::{Home, document};

/// Mutation: look at the workflow's head again when the run goes on, live or after a kill.
#[test]
fn a_workflow_edited_while_its_run_goes_on_changes_nothing_for_the_run() {
    let home = Home::new();
    // The first request is never answered; the one after the kill is.
    let world = World::remembering(|_, effects| match effects {
        [effect] if effect.requests == 1 => Answer::Silence,
        _ => Answer::Json("{}".to_owned()),
    });
    home.allow(&world.url);
    let text = |value: u32| {
        let call =
            format!("call: http\n      with: {{ method: post, endpoint: {}/hold }}", world.url);
        document(
            "pinned",
            &format!("  - hold:\n      {call}\n  - then:\n      set: {{ v: {value} }}\n"),
        )
    };
    home.write("pinned.yaml", &text(1));
    let dev = home.dev();
    let run = home.run(&["run", "pinned.yaml", "--detach"]).ends_with(0).run_id();
    let first = world.request();
    home.write("pinned.yaml", &text(2));
    home.run(&["apply", "-f", "pinned.yaml", "--yes"]).ends_with(0);
    dev.kill();
    let _dev = home.dev();
    assert_eq!(world.request().key, first.key, "nobody knows whether the first was done");
    home.run(&["runs", "follow", &run]).ends_with(0);
    let shown = home.run(&["runs", "show", &run, "-o", "json"]).ends_with(0).json();
    assert_eq!(shown["output"], json!({"v": 1}));
}

/// Mutation: evaluate everything in the site's own process, or one expression at a time.
#[test]
fn a_bad_expression_hurts_nobody_but_its_own_run() {
    const BAD: [&str; 4] = [
        "\\\"x\\\" * 9223372036854775807",
        "def f: 1+f; f",
        "[range(2e8)]",
        "[range(1e12)] | length",
    ];
    let home = Home::new();
    let guard = |expression: &str| {
        format!(
            "  - t:\n      try:\n        - bad: {{ set: {{ a: \"${{ {expression} }}\" }} }}\n      catch:\n        do:\n          - ok: {{ set: {{ type: '${{ $error.type }}' }} }}\n"
        )
    };
    for (number, bad) in BAD.iter().enumerate() {
        home.write(&format!("bad{number}.yaml"), &document(&format!("bad{number}"), &guard(bad)));
    }
    home.write(
        "good.yaml",
        &document("good", "  - a:\n      set: { n: '${ limit(1; repeat(7)) }' }\n"),
    );
    let dev = home.dev();
    let site = dev.process.id();
    let before = resident_kib(site);
    for number in 0..BAD.len() {
        let file = format!("bad{number}.yaml");
        let run = home.run(&["run", &file, "--detach"]).ends_with(0).run_id();
        let good = home.run(&["run", "good.yaml"]).ends_with(0);
        assert_eq!(good.json(), json!({"n": 7}));
        home.run(&["runs", "follow", &run]).ends_with(0);
        let shown = |run: &str| home.run(&["runs", "show", run, "-o", "json"]).ends_with(0).json();
        let (bad, good) = (shown(&run), shown(&good.run_id()));
        let kind = bad["output"]["type"].as_str().expect("it was caught");
        assert!(kind.ends_with("/errors/expression"), "{kind}");
        // Those that end by their deadline are still at work when the good run is done.
        if number >= 2 {
            let ended =
                |run: &serde_json::Value| run["endedAt"].as_str().expect("ended").to_owned();
            assert!(ended(&good) < ended(&bad), "{} {}", ended(&good), ended(&bad));
        }
    }
    let after = resident_kib(site);
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
    assert_eq!(dev.process.id(), site);
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
    line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).expect("a number")
}
