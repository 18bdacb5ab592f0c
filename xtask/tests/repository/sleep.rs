//! No test waits for the clock: time is a value that the test moves, and an event is waited for.

use xtask::source::{self, Source};

use crate::none;

const WAITING: [&str; 2] = ["sleep", "sleep_until"];

/// Files that may, and why there is no other way.
const ALLOWED: [(&str, &str); 1] =
    [("testing/federation/examples/swarm.rs", "no test: a load that looks at its outboxes")];

fn offences(source: &Source) -> Vec<String> {
    let path = source.path.to_string_lossy();
    // Under tokio's paused clock a sleep takes no time: it moves the clock.
    let is_paused = source.text.contains("start_paused = true");
    if is_paused || ALLOWED.iter().any(|(file, _)| path == *file) {
        return Vec::new();
    }
    let calls = WAITING.iter().flat_map(|word| source.lines_with(&format!("{word}(")));
    let in_tests = calls.filter(|line| source.is_test(*line));
    in_tests.map(|line| format!("{path}:{line}: sleeps")).collect()
}

/// Mutation: `std::thread::sleep` in any test.
#[test]
fn no_test_sleeps() {
    let found: Vec<String> = source::all().iter().flat_map(offences).collect();
    none(&found, "wait for the event itself; move the clock by hand");
}

/// Mutation: look at the whole file, or only at `thread::sleep`.
#[test]
fn only_sleep_in_tests_is_found() {
    let text = "fn f() { sleep(a); }\n#[cfg(test)]\nmod tests {\n tokio::time::sleep(a);\n self.asleep();\n}\n";
    let source = Source::parse("crates/base/src/a.rs".as_ref(), text.to_owned());
    assert_eq!(offences(&source), ["crates/base/src/a.rs:4: sleeps"]);
}
