//! The client of Triton, before a model on the site's disk, and servers that say nothing.

use crate::support::Home;
use crate::support::world::{Answer, World};
use crate::{Process, Upstream, add_models, command, in_repository, runner, until};

const PROGRAM: &str = "with_triton.py";

const RISK: &str = "testing/models/tumour-risk/tumour-risk.onnx";

/// Mutation: send a row to another place, count the bytes behind the JSON wrong, answer in JSON what was asked
/// for in bytes, lose a request's id, or wait for a server for ever.
#[test]
fn the_package_of_triton_works_unchanged() {
    let Some(runner) = runner(PROGRAM) else {
        eprintln!("skipped: the packages of `{PROGRAM}` are missing; see `cargo xtask clients`");
        return;
    };
    let upstream = Upstream {
        world: World::new(|_| Answer::Silence),
        dialect: "open-inference",
        path: "",
        models: &[("silent", "", 60), ("hasty", "", 1)],
    };
    let home = Home::new();
    home.allow(&upstream.world.url);
    let dev = home.dev();
    add_models(&home, &upstream);
    let file = in_repository(RISK);
    let add = ["models", "add", "tumour-risk@1", &file, "-n", "sales", "--price", "free"];
    home.run(&add).ends_with(0);
    let mut command = command(&home, &dev, &runner, PROGRAM);
    command
        .env("SITE_CASES", in_repository("examples/tumour-screening/cases.csv"))
        .env("SITE_EXPECTED", in_repository("testing/models/tumour-risk/expected.csv"));
    Process::spawn(command).end().ends_with(0);
    // Four ways of all cases, one row, eight at once, and two that are wrong.
    until(&home, "tumour-risk@1", |usage| usage["calls"] == 4 + 1 + 8 + 2);
    dev.stop().ends_with(0);
    home.is_whole();
}
