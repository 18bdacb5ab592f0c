//! `isonomy run --local`: the real thing without a site, gone without a trace.

use rustix::process::Signal;

use crate::support::world::{Answer, World};
use crate::support::{Home, document};

/// Mutation: keep the store, or use one in the working folder.
#[test]
fn a_local_run_needs_no_site_and_leaves_nothing_behind() {
    let home = Home::new();
    home.write("a.yaml", &document("a", "  - a:\n      set: { x: '${ .n + 1 }' }\n"));
    let ended = home.run(&["run", "a.yaml", "--local", "-i", "n=1"]).ends_with(0);
    assert_eq!(ended.stdout, "{\n  \"x\": 2\n}\n");
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
    home.write(
        "raise.yaml",
        &document(
            "b",
            "  - a:\n      raise: { error: { type: https://example.com/e, status: 400 } }\n",
        ),
    );
    home.run(&["run", "raise.yaml", "--local"]).ends_with(1);
    home.run(&["run", "stored", "--local"]).ends_with(2);
    assert!(home.temporary_files().is_empty(), "{:?}", home.temporary_files());
    assert!(!home.path(".isonomy").exists());
}

/// Mutation: allow everything without a configuration.
#[test]
fn a_local_run_obeys_its_configuration() {
    let home = Home::new();
    let world = World::new(|_| Answer::Json("{\"ok\": true}".to_owned()));
    let tasks = format!(
        "  - fetch:\n      call: http\n      with: {{ method: get, endpoint: {}/x }}\n",
        world.url
    );
    home.write("fetch.yaml", &document("fetch", &tasks));
    home.run(&["run", "fetch.yaml", "--local"]).ends_with(3);
    home.allow(&world.url);
    let ended =
        home.run(&["run", "fetch.yaml", "--local", "--config", ".isonomy/site.yaml"]).ends_with(0);
    assert_eq!(ended.json(), serde_json::json!({"ok": true}));
}

/// Mutation: leave the run's call open, end with 130, or leave the store.
#[test]
fn an_interrupt_cancels_a_local_run() {
    let home = Home::new();
    let world = World::new(|_| Answer::Silence);
    home.allow(&world.url);
    let tasks = format!(
        "  - fetch:\n      call: http\n      with: {{ method: get, endpoint: {}/x }}\n",
        world.url
    );
    home.write("fetch.yaml", &document("fetch", &tasks));
    for signal in [Signal::INT, Signal::TERM] {
        let process =
            home.start(&["run", "fetch.yaml", "--local", "--config", ".isonomy/site.yaml"]);
        world.request();
        process.signal(signal);
        let ended = process.end().ends_with(8);
        world.closed();
        assert!(ended.stderr.contains("was cancelled"), "{}", ended.stderr);
        assert!(home.temporary_files().is_empty(), "{:?}", home.temporary_files());
    }
}
