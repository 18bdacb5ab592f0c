//! A real site and the commands that a user types: run a file, then look at what became of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::gherkin::yaml;
use crate::stand_in::StandIn;
use crate::support::{Dev, Home};

pub struct Site {
    pub home: Home,
    pub stand_in: StandIn,
    dev: Dev,
}

/// What a user sees of a run.
#[derive(Debug, Default)]
pub struct Seen {
    pub code: i32,
    pub output: Option<Value>,
    pub error: Option<Value>,
    /// Names of the tasks that were done, in the order of their beginning.
    pub tasks: Vec<String>,
    /// What the command said.
    pub said: String,
}

impl Site {
    pub fn new() -> Self {
        let (home, stand_in) = (Home::new(), StandIn::new());
        home.write(".isonomy/site.yaml", &stand_in.config());
        let dev = home.dev();
        Self { home, stand_in, dev }
    }

    pub fn run(&self, file: &str, text: &str, input: Option<&Value>) -> Seen {
        self.home.write(file, text);
        let mut words = vec!["run", file];
        if let Some(input) = input {
            self.home.write("input.json", &input.to_string());
            words.extend(["-i", "@input.json"]);
        }
        let ended = self.home.run(&words);
        let mut seen = Seen { code: ended.code, said: ended.stderr, ..Seen::default() };
        seen.output = serde_json::from_str(&ended.stdout).ok();
        let Some(run) = crate::support::find_run(&seen.said) else { return seen };
        let document = yaml(text).expect("a document that was run can be read");
        let namespace = document["document"]["namespace"].as_str().unwrap_or("default");
        let words = ["-n", namespace, "runs", "show", &run, "-o", "json"];
        let shown = self.home.run(&words).ends_with(0).json();
        seen.error = shown.get("error").filter(|error| !error.is_null()).cloned();
        let tasks = shown["tasks"].as_array().into_iter().flatten();
        let done = tasks.filter(|task| task["state"] != "skipped");
        seen.tasks = done.filter_map(|task| task["task"].as_str().map(str::to_owned)).collect();
        seen
    }

    pub fn close(self) {
        self.dev.stop().ends_with(0);
    }
}

/// A file of the conformance folder.
pub fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/conformance").join(path)
}

/// All files below a folder with this ending, sorted, as (name, text).
pub fn files(path: &str, ending: &str) -> Vec<(String, String)> {
    let listed = fs::read_dir(folder(path)).expect("the conformance kit is part of the repository");
    let mut files: Vec<(String, String)> = listed
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    files.sort();
    files
}

/// Names that `pinned.txt` lists as this, in the order of the file.
pub fn pinned(what: &str) -> Vec<String> {
    let text = fs::read_to_string(folder("pinned.txt")).expect("the list is there");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let entry = |line: &str| {
        let (head, reason) = line.split_once(": ").expect("`WHAT NAME: REASON`");
        assert!(!reason.trim().is_empty(), "`{head}` has no reason");
        let name = head.strip_prefix(what)?.strip_prefix(' ')?;
        Some(name.to_owned())
    };
    lines.filter_map(entry).collect()
}
