//! Scripts and commands, from the document to the log.

use serde_json::{Value, json};

use crate::support::world::{Answer, World};
use crate::support::{Home, document};

/// A script that asks for two addresses, and says what it got.
const ASKS: &str = "
  - ask:
      run:
        script:
          language: python
          arguments: [WORLD/allowed, 'https://elsewhere.test/denied']
          code: |
            import sys, urllib.request, urllib.error
            for address in sys.argv[1:] + sys.argv[1:2]:
                try:
                    print(urllib.request.urlopen(address).read().decode())
                except urllib.error.HTTPError as error:
                    print(error.code)
                except urllib.error.URLError as error:
                    print(error.reason)
";

fn answering() -> World {
    World::new(|_| Answer::Json("{\"here\": true}".to_owned()))
}

fn apply_ready(text: &str, name: &str) -> String {
    document(name, text).replace("do:\n\n", "do:\n")
}

/// Mutation: connect without asking the gate, leave the crossings out of the record or of the view.
#[test]
fn what_a_script_asks_for_is_decided_recorded_and_shown() {
    let (home, world) = (Home::new(), answering());
    home.allow(&world.url);
    home.write("ask.yaml", &apply_ready(&ASKS.replace("WORLD", &world.url), "ask"));
    let dev = home.dev();
    let ended = home.run(&["run", "ask.yaml", "-o", "text"]).ends_with(0);
    assert_eq!(
        ended.stdout,
        "{\"here\": true}\nTunnel connection failed: 403 Forbidden\n{\"here\": true}\n"
    );
    let run = ended.run_id();
    let shown = home.run(&["runs", "show", &run, "-o", "json"]).ends_with(0).json();
    let attempt = &shown["tasks"][0]["attempts"][0];
    assert_eq!((&attempt["what"], &attempt["rule"]), (&json!("script python"), &json!("sandbox")));
    let crossings = attempt["crossings"].as_array().expect("a list");
    let brief = |it: &Value| json!([it["destination"], it["allowed"], it["count"]]);
    assert_eq!(
        crossings.iter().map(brief).collect::<Vec<_>>(),
        [json!([world.url, true, 2]), json!(["https://elsewhere.test", false, 1])]
    );
    let text = home.run(&["runs", "show", &run]).ends_with(0).stdout;
    assert!(text.contains("crossings\n") && text.contains("denied"), "{text}");
    dev.stop().ends_with(0);
}

/// Mutation: write down what a process asked for only when it has ended.
#[test]
fn what_a_script_asked_for_is_there_however_it_ends() {
    let (home, world) = (Home::new(), answering());
    home.allow(&world.url);
    let waits = ASKS.replace("WORLD", &world.url) + "            import time; time.sleep(3600)\n";
    home.write("ask.yaml", &apply_ready(&waits, "ask"));
    let crossings = |run: &str| {
        let shown = home.run(&["runs", "show", run, "-o", "json"]).ends_with(0).json();
        let all = shown["tasks"][0]["attempts"][0]["crossings"].clone();
        let brief = |it: &Value| json!([it["destination"], it["allowed"]]);
        all.as_array().expect("a list").iter().map(brief).collect::<Vec<_>>()
    };
    let expected = [json!([world.url, true]), json!(["https://elsewhere.test", false])];
    let mut dev = home.dev();
    let begun = || {
        let run = home.run(&["run", "ask.yaml", "--detach"]).ends_with(0).run_id();
        // Before and after what is denied.
        world.request();
        world.request();
        run
    };
    let run = begun();
    home.run(&["runs", "cancel", &run]).ends_with(0);
    assert_eq!(crossings(&run), expected);
    let run = begun();
    dev.kill();
    dev = home.dev();
    home.run(&["runs", "cancel", &run]).ends_with(0);
    assert_eq!(crossings(&run), expected);
    let kinds = home.run(&["runs", "events", &run, "--all"]).ends_with(0).stdout;
    assert!(kinds.contains("crossed"), "{kinds}");
    dev.stop().ends_with(0);
}

/// Mutation: lose the end of a log at a crash, or the tasks that it belongs to, or take a name that
/// no log knows for a task that was silent.
#[test]
fn a_log_outlives_the_site() {
    let home = Home::new();
    let tasks = "
  - first: { run: { shell: { command: 'echo one; echo two >&2' } } }
  - second: { run: { shell: { command: 'echo three' } } }
  - wrong: { run: { shell: { command: 'echo gone wrong; exit 3' } } }
";
    home.write("logs.yaml", &apply_ready(tasks, "logs"));
    let dev = home.dev();
    let ended = home.run(&["run", "logs.yaml"]).ends_with(1);
    let run = ended.run_id();
    assert!(ended.stderr.contains("`shell` ended with exit code 3"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("gone wrong"), "{}", ended.stderr);
    dev.kill();
    let dev = home.dev();
    let log = |of: String| home.run(&["runs", "logs", &of]).ends_with(0).stdout;
    assert_eq!(log(format!("{run}/second")), "three\n");
    for follow in [&[][..], &["--follow"]] {
        let typo = home.run(&[&["runs", "logs", &format!("{run}/secnd")], follow].concat());
        let said = format!(
            "error: no task `secnd` of {run} has written anything\nhint: did you mean `second`?\n"
        );
        assert_eq!(typo.ends_with(2).stderr, said);
    }
    let none = home.run(&["runs", "logs", &format!("{run}//none")]).ends_with(2);
    let named = "hint: there is output of `/first`, `/second`, `/wrong`\n";
    assert!(none.stderr.ends_with(named), "{}", none.stderr);
    let all = log(run.clone());
    assert!(all.ends_with("==> /second <==\nthree\n==> /wrong <==\ngone wrong\n"), "{all}");
    let first: Vec<_> = all.lines().take(3).collect();
    assert!(
        first[0] == "==> /first <==" && first.contains(&"one") && first.contains(&"two"),
        "{all}"
    );
    let followed = home.run(&["runs", "logs", &run, "-f", "-o", "json"]).ends_with(0).stdout;
    let streams: Vec<Value> =
        followed.lines().map(|line| serde_json::from_str(line).expect("a piece")).collect();
    assert_eq!(streams.len(), 4);
    assert!(streams.iter().any(|it| it["stream"] == "stderr" && it["text"] == "two\n"));
    dev.stop().ends_with(0);
}

/// Mutation: leave the process of a cancelled run alone, or keep its place.
#[test]
fn a_cancelled_script_ends_and_others_never_noticed() {
    let (home, world) = (Home::new(), answering());
    home.allow(&world.url);
    let endless = "
  - forever:
      run:
        script:
          language: python
          arguments: [WORLD/begun]
          code: |
            import os, sys, time, urllib.request
            urllib.request.urlopen(sys.argv[1])
            while True:
                try:
                    os.fork()
                except OSError:
                    sys.stdout.write('x' * 65536)
        return: none
";
    home.write("endless.yaml", &apply_ready(&endless.replace("WORLD", &world.url), "endless"));
    home.write(
        "fine.yaml",
        &apply_ready(
            "
  - fine: { run: { shell: { command: echo fine } } }
",
            "fine",
        ),
    );
    let dev = home.dev();
    let run = home.run(&["run", "endless.yaml", "--detach"]).ends_with(0).run_id();
    assert_eq!(world.request().path, "/begun");
    assert_eq!(home.run(&["run", "fine.yaml", "-o", "text"]).ends_with(0).stdout, "fine\n");
    home.run(&["runs", "cancel", &run]).ends_with(0);
    assert_eq!(home.run(&["run", "fine", "-o", "text"]).ends_with(0).stdout, "fine\n");
    dev.stop().ends_with(0);
}

/// Mutation: return what is beyond the limit, wait beyond the time, or run without an interpreter.
#[test]
fn the_limits_of_a_site_are_errors_that_say_so() {
    let home = Home::new();
    home.write(
        "site.yaml",
        "spec: {scripts: {limits: {outputMiB: 1, time: PT2S, scratchMiB: 1}}}\n",
    );
    let check = |name: &str, command: &str, expected: &str| {
        let task = format!("\n  - go: {{ run: {{ shell: {{ command: {command:?} }} }} }}\n");
        home.write(&format!("{name}.yaml"), &apply_ready(&task, name));
        let file = format!("{name}.yaml");
        let ended = home.run(&["run", &file, "--local", "--config", "site.yaml"]).ends_with(1);
        assert!(ended.stderr.contains(expected), "{name}: {}", ended.stderr);
    };
    check("flood", "yes", "wrote more than the 1 MiB that a task may return");
    check("slow", "exec cat /dev/zero > /dev/null", "ran longer than the 2 seconds");
    check("signal", "kill -11 $$", "was killed by signal 11 (a crash");
    check("file", "exec cat /dev/zero > big", "was killed by signal 25 (a larger file");
    check("missing", "no-such-command", "ended with exit code 127");
}

/// Mutation: start a process outside of a sandbox in a labelled run, or where nobody has allowed it.
#[test]
fn without_a_sandbox_labelled_data_is_not_shown_to_a_process() {
    let home = Home::new();
    home.write("site.yaml", "spec: {scripts: unconfined}\n");
    let task = "
  - go: { run: { shell: { command: 'echo $1', arguments: [free] } } }
";
    home.write("free.yaml", &apply_ready(task, "free"));
    let args = ["run", "free.yaml", "--local", "--config", "site.yaml", "-o", "text"];
    assert_eq!(home.run(&args).ends_with(0).stdout, "free\n");
    let labelled: Vec<&str> = args.into_iter().chain(["--label", "health"]).collect();
    let ended = home.run(&labelled).ends_with(3);
    assert!(ended.stderr.contains("GATE-008"), "{}", ended.stderr);
    // In a sandbox they may be: what leaves it is decided at its door.
    home.run(&["run", "free.yaml", "--local", "--label", "health"]).ends_with(0);
}

/// Mutation: add a line end, take all of them away, or return one stream for another.
#[test]
fn a_task_returns_what_was_asked_for() {
    let home = Home::new();
    let check = |name: &str, returns: &str, expected: Value| {
        let task = format!(
            "\n  - go: {{ run: {{ shell: {{ command: 'echo out; echo err >&2; exit ${{1:-0}}', arguments: {} }}, return: {returns} }} }}\n",
            if returns == "code" || returns == "all" { "['3']" } else { "[]" },
        );
        home.write(&format!("{name}.yaml"), &apply_ready(&task, name));
        let ended = home.run(&["run", &format!("{name}.yaml"), "--local"]).ends_with(0);
        assert_eq!(ended.json(), expected, "{returns}");
    };
    check("stdout", "stdout", json!("out"));
    check("stderr", "stderr", json!("err"));
    check("code", "code", json!(3));
    check("all", "all", json!({"code": 3, "stdout": "out", "stderr": "err"}));
    check("none", "none", json!(null));
}
