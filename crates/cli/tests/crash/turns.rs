//! Real SIGKILL while runs wait for their turn: never more at once than the workflow allows, and
//! nobody waits for ever.

use engine::failpoint::{AFTER_ACT, AFTER_COMMIT, BEFORE_COMMIT};

use crate::support::Home;
use crate::support::world::{Answer, World};

const RUNS: usize = 4;

/// Passes at which the site is killed: from the first start to beyond the last.
const PASSES: [u32; 4] = [1, 3, 6, 10];

fn run_id(n: usize) -> String {
    format!("run_01a1fb7b-d522-7414-8c47-aa7df2bebac{n}")
}

/// Asks for all runs. Asking twice is harmless.
fn start_all(home: &Home, must: bool) {
    for n in 0..RUNS {
        let (id, input) = (run_id(n), format!("n={n}"));
        let ended = home.run(&["run", "turns", "--detach", "--id", &id, "-i", &input]);
        if must {
            ended.ends_with(0);
        }
    }
}

fn survives(failpoint: &str, pass: u32) {
    let home = Home::new();
    let world = World::new(|_| Answer::Json("{}".to_owned()));
    home.allow(&world.url);
    let step = |name: &str| {
        format!(
            "  - {name}:\n      call: http\n      with: {{ method: post, endpoint: '{}/{name}-{{n}}' }}\n      output: {{ as: $workflow.input }}\n",
            world.url
        )
    };
    let text = format!(
        "document:\n  dsl: 1.0.3\n  namespace: default\n  name: turns\n  version: 1.0.0\n  metadata: {{ concurrency: {{ limit: 1 }} }}\ndo:\n{}{}",
        step("begin"),
        step("finish")
    );
    home.write("turns.yaml", &text);
    let mut dev = home.dev_with(&[], &[("ISONOMY_FAILPOINT", &format!("{failpoint}:{pass}"))]);
    home.run(&["apply", "-f", "turns.yaml", "--yes"]).ends_with(0);
    std::thread::scope(|scope| {
        // Whoever asks while the site stands still waits until it is killed.
        scope.spawn(|| start_all(&home, false));
        dev.process.stderr.until(&format!("failpoint {failpoint} reached"));
        dev.kill();
    });
    let dev = home.dev();
    start_all(&home, true);
    for n in 0..RUNS {
        home.run(&["runs", "follow", &run_id(n)]).ends_with(0);
    }
    let effects = world.effects();
    let paths: Vec<&str> = effects.iter().map(|effect| effect.path.as_str()).collect();
    let where_killed = format!("killed at {failpoint}:{pass}: {paths:?}");
    assert_eq!(paths.len(), 2 * RUNS, "each once; {where_killed}");
    for two in paths.chunks(2) {
        let begun = two[0].strip_prefix("/begin-");
        assert!(begun.is_some() && two[1].strip_prefix("/finish-") == begun, "{where_killed}");
    }
    dev.stop().ends_with(0);
}

/// Mutation: begin a run before its turn is written down, or forget after a crash who has begun.
#[test]
fn runs_that_wait_survive_every_kill_and_keep_their_turns() {
    for failpoint in [BEFORE_COMMIT, AFTER_COMMIT, AFTER_ACT] {
        for pass in PASSES.into_iter().filter(|pass| failpoint != AFTER_ACT || *pass < 8) {
            survives(failpoint, pass);
        }
    }
}
