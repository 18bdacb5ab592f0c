//! `isonomy example`: the examples that are in this program. They lie in `examples`, where CI runs
//! them.

use std::str;

use serde::Serialize;

use crate::args::author::ExampleArgs;
use crate::demo::bundle;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::lay_out::{self, File};
use crate::output;

struct Example {
    name: &'static str,
    about: &'static str,
    /// The workflow first.
    files: &'static [File<'static>],
}

macro_rules! file {
    ($name:literal, $path:literal) => {
        File { name: $name, bytes: include_bytes!(concat!("../../../../examples/", $path)) }
    };
}

const EXAMPLES: &[Example] = &[
    Example {
        name: "hello",
        about: "the smallest workflow: it greets, and hands the greeting through a function",
        files: &[file!("hello.yaml", "hello.yaml"), file!("hello.test.yaml", "hello.test.yaml")],
    },
    Example {
        name: "fetch",
        about: "asks a service over HTTP, which the owner of the site must allow",
        files: &[file!("fetch.yaml", "fetch.yaml"), file!("fetch.test.yaml", "fetch.test.yaml")],
    },
    Example {
        name: "slow",
        about: "a run to kill and to see going on where it stood",
        files: &[file!("slow.yaml", "slow.yaml"), file!("slow.test.yaml", "slow.test.yaml")],
    },
    Example {
        name: "claims",
        about: "checks a batch of claims against a schema; the wrong ones are counted and stop nobody",
        files: &[
            file!("workflow.yaml", "claims/workflow.yaml"),
            file!("input.json", "claims/input.json"),
            file!("workflow.test.yaml", "claims/workflow.test.yaml"),
        ],
    },
    Example {
        name: "drift",
        about: "a Python script compares two samples, and asks for retraining",
        files: &[
            file!("workflow.yaml", "drift/workflow.yaml"),
            file!("input.json", "drift/input.json"),
            file!("workflow.test.yaml", "drift/workflow.test.yaml"),
        ],
    },
    Example {
        name: "energy",
        about: "every quarter of an hour: read meters, shed load before the peak",
        files: &[
            file!("workflow.yaml", "energy/workflow.yaml"),
            file!("workflow.test.yaml", "energy/workflow.test.yaml"),
        ],
    },
    Example {
        name: "escalation",
        about: "asks one person after the other, each with a time limit",
        files: &[
            file!("workflow.yaml", "escalation/workflow.yaml"),
            file!("input.json", "escalation/input.json"),
            file!("workflow.test.yaml", "escalation/workflow.test.yaml"),
        ],
    },
    Example {
        name: "fraud",
        about: "scores card payments by rules, and asks a service about the doubtful ones",
        files: &[
            file!("workflow.yaml", "fraud/workflow.yaml"),
            file!("input.json", "fraud/input.json"),
            file!("workflow.test.yaml", "fraud/workflow.test.yaml"),
        ],
    },
    Example {
        name: "imaging",
        about: "segments, measures and checks a study: a graph with full overlap",
        files: &[
            file!("workflow.yaml", "imaging/workflow.yaml"),
            file!("input.json", "imaging/input.json"),
            file!("workflow.test.yaml", "imaging/workflow.test.yaml"),
        ],
    },
    Example {
        name: "meters",
        about: "sums up a text report with a shell command",
        files: &[
            file!("workflow.yaml", "meters/workflow.yaml"),
            file!("input.json", "meters/input.json"),
            file!("workflow.test.yaml", "meters/workflow.test.yaml"),
        ],
    },
    Example {
        name: "moderation",
        about: "moderates a post, with a person for the doubtful ones",
        files: &[
            file!("workflow.yaml", "moderation/workflow.yaml"),
            file!("input.json", "moderation/input.json"),
            file!("workflow.test.yaml", "moderation/workflow.test.yaml"),
        ],
    },
    Example {
        name: "nightly",
        about: "a scheduled report, booked once",
        files: &[
            file!("nightly.yaml", "nightly.yaml"),
            file!("nightly.test.yaml", "nightly.test.yaml"),
        ],
    },
    Example {
        name: "patient-monitor",
        about: "two signs of one patient, correlated, call a doctor",
        files: &[
            file!("workflow.yaml", "patient-monitor/workflow.yaml"),
            file!("workflow.test.yaml", "patient-monitor/workflow.test.yaml"),
            file!("README.md", "patient-monitor/README.md"),
        ],
    },
    Example {
        name: "patient-note",
        about: "a language model writes a note without being told the patient's name",
        files: &[
            file!("workflow.yaml", "patient-note/workflow.yaml"),
            file!("site.yaml", "patient-note/site.yaml"),
            file!("patients.csv", "patient-note/patients.csv"),
            file!("models/cloud.yaml", "patient-note/models/cloud.yaml"),
            file!("models/local.yaml", "patient-note/models/local.yaml"),
            file!("models/writer.yaml", "patient-note/models/writer.yaml"),
            file!("README.md", "patient-note/README.md"),
        ],
    },
    Example {
        name: "plant",
        about: "watches a furnace by its events until the shift ends",
        files: &[
            file!("workflow.yaml", "plant/workflow.yaml"),
            file!("workflow.test.yaml", "plant/workflow.test.yaml"),
            file!("README.md", "plant/README.md"),
        ],
    },
    Example {
        name: "purchase",
        about: "compensation: what was done is undone in reverse",
        files: &[
            file!("workflow.yaml", "purchase/workflow.yaml"),
            file!("input.json", "purchase/input.json"),
            file!("workflow.test.yaml", "purchase/workflow.test.yaml"),
        ],
    },
    Example {
        name: "supply",
        about: "orders what runs low, one child run for each",
        files: &[
            file!("workflow.yaml", "supply/workflow.yaml"),
            file!("input.json", "supply/input.json"),
            file!("order.yaml", "supply/order.yaml"),
            file!("workflow.test.yaml", "supply/workflow.test.yaml"),
        ],
    },
    Example {
        name: "translation",
        about: "a reusable function, and a service that an extension mocks",
        files: &[
            file!("workflow.yaml", "translation/workflow.yaml"),
            file!("input.json", "translation/input.json"),
            file!("workflow.test.yaml", "translation/workflow.test.yaml"),
        ],
    },
    Example {
        name: "three-clinics",
        about: "a hub has three clinics screen their own cases, and counts them without seeing one",
        files: &[
            file!("law/screening.yaml", "three-clinics/law/screening.yaml"),
            file!("law/screening-case.yaml", "three-clinics/law/screening-case.yaml"),
            file!("law/clinics.yaml", "three-clinics/law/clinics.yaml"),
            file!("site.yaml", "three-clinics/site.yaml"),
            file!("README.md", "three-clinics/README.md"),
        ],
    },
    Example {
        name: "tumour-screening",
        about: "scores the cases of a clinic's file and refers the risky ones",
        files: &[
            file!("workflow.yaml", "tumour-screening/workflow.yaml"),
            file!("site.yaml", "tumour-screening/site.yaml"),
            file!("model.json", "tumour-screening/model.json"),
            file!("README.md", "tumour-screening/README.md"),
            File { name: "cases.csv", bytes: bundle::CASES.as_bytes() },
            File { name: "intake.csv", bytes: bundle::INTAKE },
        ],
    },
];

#[derive(Serialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    name: &'static str,
    about: &'static str,
    files: Vec<&'static str>,
}

pub fn example(args: &ExampleArgs) -> Outcome {
    let Some(name) = &args.name else { return list(args) };
    let Some(example) = EXAMPLES.iter().find(|example| example.name == name) else {
        let names: Vec<String> = EXAMPLES.iter().map(|it| format!("`{}`", it.name)).collect();
        return Err(Failure::usage(format!("there is no example `{name}`"))
            .hint(format!("there are {}", names.join(", "))));
    };
    if let Some(folder) = &args.folder {
        for path in lay_out::write(folder, example.files)? {
            output::say(&format!("written: {}", path.display()));
        }
        return Ok(Exit::Ok);
    }
    let workflow = example.files.first().map(|file| str::from_utf8(file.bytes));
    let Some(Ok(text)) = workflow else {
        return Err(Failure::internal("the example has no text"));
    };
    output::write(text)?;
    if example.files.len() > 1 {
        output::say(&format!("it has more files: `isonomy example {name} DIR` writes all of them"));
    }
    Ok(Exit::Ok)
}

fn list(args: &ExampleArgs) -> Outcome {
    let names = |example: &Example| example.files.iter().map(|file| file.name).collect();
    let items = EXAMPLES
        .iter()
        .map(|it| Item { name: it.name, about: it.about, files: names(it) })
        .collect();
    output::show(args.output.output, &List { items }, || {
        let rows = EXAMPLES.iter().map(|it| vec![it.name.to_owned(), it.about.to_owned()]);
        output::table(&["name", "about"], rows)
    })?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Mutation: leave an example, or a file of one, out of the program.
    #[test]
    fn every_file_of_the_examples_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut files = BTreeSet::new();
        let mut folders = vec![folder.clone()];
        while let Some(within) = folders.pop() {
            for entry in std::fs::read_dir(within).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&folder).expect("below it");
                    files.insert(name.to_string_lossy().into_owned());
                }
            }
        }
        let carried: BTreeSet<String> = EXAMPLES
            .iter()
            .flat_map(|example| {
                let is_flat = example.files.iter().all(|file| file.name.starts_with(example.name));
                let path = move |file: &File<'_>| {
                    if is_flat {
                        file.name.to_owned()
                    } else {
                        format!("{}/{}", example.name, file.name)
                    }
                };
                example.files.iter().map(path)
            })
            .collect();
        assert_eq!(carried, files, "add the new ones to `EXAMPLES`");
    }
}
