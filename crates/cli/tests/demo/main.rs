//! The real `isonomy demo`, as somebody runs it: the whole story, and nothing left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn demo(arguments: &[&str], folder: &Path, temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isonomy"));
    command
        .arg("demo")
        .args(arguments)
        .current_dir(folder)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null());
    command
}

struct Place {
    folder: tempfile::TempDir,
    temporary: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let make = || tempfile::tempdir().expect("a temporary folder");
        Self { folder: make(), temporary: make() }
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        demo(arguments, self.folder.path(), self.temporary.path())
    }

    fn run(&self) -> Output {
        self.demo(&[]).output().expect("the demo can be started")
    }

    /// Files and processes: everything of the demo's names its temporary folder.
    fn left_behind(&self) -> Vec<String> {
        let files =
            [&self.folder, &self.temporary].map(|folder| fs::read_dir(folder).expect("a folder"));
        let files = files
            .into_iter()
            .flatten()
            .map(|file| file.expect("an entry").path().display().to_string());
        files.chain(processes(&self.temporary.path().display().to_string())).collect()
    }
}

/// Command lines of processes that name `text`; where the system does not tell, none.
fn processes(text: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let lines = entries.flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Mutation: count a case again after the kill, make the key depend on the attempt, leave the folder or a
/// server behind, send a value of a row to the hub, lose what a clinic does while it is cut off, send a model the
/// name of a patient, ask a provider that rests, or a third request that its budget has no room for.
#[test]
fn the_demo_keeps_its_promises_and_leaves_nothing_behind() {
    let place = Place::new();
    let output = place.run();
    let (told, talk) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}\n{talk}");
    for part in [
        "569 real cases",
        "SIGKILL to pid",
        "rows read     581  =  569 cases + 12 broken rows",
        "by csv",
        "by schema",
        "asked for 2 times",
        "It has a model on its disk: tumour-risk@1",
        "accuracy 95.8 %",
        "272 of 284 unseen cases right",
        "proved: every row counted once: 581 read = 569 cases + 12 broken ones",
        "proved: every effect done once",
        "proved: the run outlived its server",
        "The line of clinic-east is cut",
        "clinic-east has gone on alone: its run is completed",
        "clinic-east    silent",
        "link/outcome",
        "proved: each case counted once at the hub: 572 outcomes = 569 cases + 3 runs",
        "proved: a clinic needs nobody",
        "proved: not one value of a row at the hub",
        "The provider's server is stopped. 3 calls find nobody there, and writer-cloud rests",
        "it has failed several times; it is tried again at",
        "the model was told of  PERSON-",
        "writer-cloud wrote     Adelina Marchetti was seen today",
        "writer-local wrote     Jonas Oyelaran was seen today",
        "the budget of the namespace `clinic` is 0.01 EUR/total",
        "proved: no name left: none of 5 patients' names in 2 requests to models",
        "proved: a provider may die: after 3 calls in vain it was not asked again",
        "proved: a budget holds: the third note was refused before it was sent",
    ] {
        assert!(told.contains(part), "`{part}` is missing in:\n{told}\n{talk}");
    }
    assert_eq!(told.lines().filter(|line| line.starts_with("proved: ")).count(), 9);
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

/// Mutation: leave the site running when the demo is interrupted, or answer 0.
#[cfg(unix)]
#[test]
fn an_interrupted_demo_puts_everything_away() {
    use std::io::{BufRead as _, BufReader};

    let place = Place::new();
    let mut child =
        place.demo(&[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut told = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    let begun =
        told.by_ref().map_while(Result::ok).any(|line| line.starts_with("The run has begun"));
    assert!(begun, "the demo ended before its run began");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    // Read to the end, so that nothing blocks on a full pipe.
    told.for_each(drop);
    assert_eq!(child.wait().expect("it was started").code(), Some(130));
    assert_eq!(place.left_behind(), Vec::<String>::new());
}
