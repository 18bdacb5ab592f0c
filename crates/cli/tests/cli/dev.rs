//! `isonomy dev`: starting, stopping, and what stands in the way.

use std::fs;

use rustix::process::Signal;

use crate::support::{Home, document};

/// Mutation: ignore SIGTERM, keep the address file, or print anything before the address.
#[test]
fn it_says_where_it_listens_and_stops_cleanly() {
    let home = Home::new();
    for signal in [Signal::INT, Signal::TERM] {
        let dev = home.dev();
        let address = fs::read_to_string(home.path(".isonomy/address")).expect("announced");
        assert_eq!(address.trim(), dev.url);
        assert_eq!(
            home.run(&["runs", "-o", "json"]).ends_with(0).json()["items"],
            serde_json::json!([])
        );
        dev.process.signal(signal);
        let ended = dev.process.end().ends_with(0);
        assert_eq!(ended.stdout, format!("listening on {address}"));
        assert!(ended.stderr.contains("stopping"), "{}", ended.stderr);
        assert!(!home.path(".isonomy/address").exists());
    }
}

/// Mutation: open the store without its lock, or forget who holds it.
#[test]
fn a_data_folder_in_use_names_the_process_that_uses_it() {
    let home = Home::new();
    let dev = home.dev();
    let ended = home.run(&["dev", "--port", "0"]).ends_with(7);
    let holder = format!("is in use by process {}", dev.process.id());
    assert!(ended.stderr.contains(&holder), "{}", ended.stderr);
    assert!(ended.stdout.is_empty());
    // The one that was there first is as it was.
    home.run(&["runs"]).ends_with(0);
}

/// Mutation: take another port silently.
#[test]
fn a_port_in_use_is_told_with_the_way_out() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let ended = home.run(&["dev", "--port", &port]).ends_with(7);
    assert!(
        ended.stderr.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("`--port 0` takes any free one"), "{}", ended.stderr);
    assert!(!home.path(".isonomy/address").exists());
}

/// Mutation: start with defaults where the configuration is wrong.
#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let home = Home::new();
    home.write("site.yaml", "spec:\n  egres: []\n");
    let ended = home.run(&["dev", "--port", "0", "--config", "site.yaml"]).ends_with(2);
    assert!(ended.stderr.contains("site.yaml:2:"), "{}", ended.stderr);
    home.run(&["dev", "--port", "0", "--config", "missing.yaml"]).ends_with(2);
    home.run(&["dev", "--port", "0", "--log", "a=b=c"]).ends_with(2);
}

/// Mutation: count no runs, count ended ones, or leave an unfinished run alone.
#[test]
fn it_resumes_what_had_not_ended_and_says_how_many() {
    let home = Home::new();
    home.write("wait.yaml", &document("wait", "  - pause:\n      wait: PT1H\n"));
    home.write("done.yaml", &document("done", "  - a:\n      set: { x: 1 }\n"));
    let dev = home.dev();
    let run = home.run(&["run", "wait.yaml", "--detach"]).ends_with(0).run_id();
    home.run(&["run", "done.yaml"]).ends_with(0);
    dev.kill();
    let mut dev = home.dev();
    dev.process.stderr.until("resuming 1 unfinished run");
    home.run(&["runs", "cancel", &run]).ends_with(0);
    let ended = home.run(&["runs", "follow", &run]).ends_with(8);
    assert!(ended.stderr.contains("was cancelled"), "{}", ended.stderr);
    dev.stop().ends_with(0);
}

/// Mutation: wait for the drain although somebody insists.
#[test]
fn a_second_interrupt_stops_it_at_once() {
    let home = Home::new();
    let world = crate::support::world::World::new(|_| crate::support::world::Answer::Silence);
    home.allow(&world.url);
    let tasks = format!(
        "  - hang:\n      call: http\n      with: {{ method: get, endpoint: {}/x }}\n",
        world.url
    );
    home.write("hang.yaml", &document("hang", &tasks));
    let dev = home.dev();
    home.run(&["run", "hang.yaml", "--detach"]).ends_with(0);
    world.request();
    // Two of one kind could be delivered as one.
    dev.process.signal(Signal::INT);
    dev.process.signal(Signal::TERM);
    let ended = dev.process.end().ends_with(130);
    assert!(ended.stderr.contains("stopped at once"), "{}", ended.stderr);
    assert!(!home.path(".isonomy/address").exists());
}
