//! Clients that a site only watches: their own key, and everything as it is.

use serde_json::Value;

use crate::openai::answer;
use crate::support::world::World;
use crate::support::{HANG, Home, Process};
use crate::{SECRET, command, runner};

const WATCH: &str = "apiVersion: isonomy.dev/v1
kind: Watch
metadata: {namespace: sales, name: up}
spec: {url: 'URL/v1', provider: openai}
";

/// Mutation: send another key than the client's, add a header to its answers, read no usage of what came packed or
/// in pieces, or answer in place of the provider.
#[test]
fn the_python_package_of_openai_is_watched_unchanged() {
    let program = "watched_openai.py";
    let Some(runner) = runner(program) else {
        eprintln!("skipped: the packages of `{program}` are missing; see `cargo xtask clients`");
        return;
    };
    let (home, world) = (Home::new(), World::new(answer));
    home.allow(&world.url);
    let dev = home.dev();
    let watch = home.write("watch.yaml", &WATCH.replace("URL", &world.url));
    home.run(&["apply", "-f", &watch.display().to_string(), "--yes"]).ends_with(0);
    let mut command = command(&home, &dev, &runner, program);
    command.env("SITE_KEY", SECRET);
    Process::spawn(command).end().ends_with(0);

    let requests = world.requests();
    let shown: Vec<&str> = requests.iter().map(|it| it.authorization.as_str()).collect();
    let own = format!("Bearer {SECRET}");
    assert_eq!(shown, [own.as_str(); 4]);
    let began = std::time::Instant::now();
    let calls = loop {
        let said = home.run(&["calls", "-n", "sales", "-o", "json"]).ends_with(0).json();
        let calls = said["items"].as_array().cloned().unwrap_or_default();
        if calls.len() == 3 {
            break calls;
        }
        assert!(began.elapsed() < HANG, "{said}");
    };
    // The list of models is none of them.
    let asked: Vec<&Value> = calls.iter().map(|it| &it["admitted"]["asked"]).collect();
    assert_eq!(asked, ["text-embedding-3-small", "gpt-4o-mini", "gpt-4o-mini"]);
    let input = |it: &Value| it["settled"]["bills"][0]["usage"]["input"] == 10;
    assert!(calls.iter().all(input), "{calls:#?}");
    assert!(calls.iter().all(|it| it["admitted"]["watched"]["estimated"].is_null()), "{calls:#?}");
}
