//! `isonomy store`: what is wrong in a store is found, a backup is a store again, an export is whole,
//! and a full disk loses nothing. Real sites, real files.

mod backup;
mod damage;
mod disk;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use support::{Home, document};

/// Tells of itself, has a child run, and leaves a snapshot behind.
const WHOLE: &str = "  - send:
      emit: { event: { with: { type: step, data: { n: 1 } } } }
  - child:
      run: { workflow: { namespace: default, name: child, version: latest, input: { n: 1 } } }
  - loop:
      for: { each: i, in: '[range(0; 1010)]' }
      do:
        - say:
            call: echo:1.0.0@default
            with: { n: '${ $i }' }
            output: { as: '${ $input }' }
  - finish:
      set: { done: true }
";

const CHILD: &str = "  - say:
      call: echo:1.0.0@default
      with: { n: '${ .n }' }
";

/// Waits for a child that waits for an hour.
const WAITS: &str = "  - child:
      run: { workflow: { namespace: default, name: sleeps, version: latest, input: {} } }
";

const SLEEPS: &str = "  - nap:
      wait: PT1H
";

/// Bytes of an input that becomes a row, and of one that becomes a file.
const ROW_BYTES: usize = 20 * 1024;
const FILE_BYTES: usize = 2 * 1024 * 1024;

/// A home with documents and inputs.
fn home() -> Home {
    let home = Home::new();
    for (name, tasks) in [("whole", WHOLE), ("child", CHILD), ("waits", WAITS), ("sleeps", SLEEPS)]
    {
        home.write(&format!("all/{name}.yaml"), &document(name, tasks));
    }
    for (name, bytes) in [("row.json", ROW_BYTES), ("file.json", FILE_BYTES)] {
        home.write(name, &format!("{{\"n\": 1, \"text\": \"{}\"}}", "x".repeat(bytes)));
    }
    home
}

/// Runs of every kind: ended, with blobs of both kinds, waiting, and with a child.
fn fill(home: &Home) {
    home.run(&["apply", "-f", "all", "--yes"]).ends_with(0);
    home.run(&["run", "whole"]).ends_with(0);
    home.run(&["run", "child", "-i", "@row.json"]).ends_with(0);
    home.run(&["run", "child", "-i", "@file.json"]).ends_with(0);
    let parent = home.run(&["run", "waits", "--detach"]).ends_with(0).run_id();
    // Its child has begun when it is in the list.
    let follow = ["events", "follow", "--after", "0", "-o", "json"];
    let mut follower = home.start(&follow);
    while !follower.stdout.until("workflow.started").contains("/sleeps/") {}
    assert_ne!(parent, "");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (entry, to) = (entry.expect("an entry").path(), to.to_owned());
        let to = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(&entry, &to).expect("copied");
        }
    }
}
