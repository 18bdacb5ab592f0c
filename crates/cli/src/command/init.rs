//! `isonomy init`: the files to begin with. Nothing is ever overwritten.

use std::path::Path;

use super::schema;
use crate::args::author::{InitArgs, SchemaKind, Template};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lay_out::{self, File};
use crate::output;

macro_rules! template {
    ($name:literal) => {
        [
            include_str!(concat!("../../templates/", $name, "/workflow.yaml")),
            include_str!(concat!("../../templates/", $name, "/workflow.test.yaml")),
            include_str!(concat!("../../templates/", $name, "/site.yaml")),
        ]
    };
}

const HELLO: [&str; 3] = template!("hello");
const HTTP: [&str; 3] = template!("http");
const BRANCHES: [&str; 3] = template!("branches");

/// Their names in the folder; each names the schema beside it.
const NAMES: [&str; 3] = ["workflow.yaml", "workflow.test.yaml", "site.yaml"];

pub fn init(args: &InitArgs) -> Outcome {
    let texts = match args.template {
        Template::Hello => HELLO,
        Template::Http => HTTP,
        Template::Branches => BRANCHES,
    };
    let mut files: Vec<File<'_>> = NAMES
        .into_iter()
        .zip(texts)
        .map(|(name, text)| File { name, bytes: text.as_bytes() })
        .collect();
    for (name, kind) in [
        ("workflow.schema.json", SchemaKind::Workflow),
        ("test.schema.json", SchemaKind::Test),
        ("site.schema.json", SchemaKind::Site),
    ] {
        files.push(File { name, bytes: schema::text(kind).as_bytes() });
    }
    for path in lay_out::write(&args.folder, &files)? {
        output::say(&format!("written: {}", path.display()));
    }
    for line in next_steps(args.template, &args.folder) {
        output::say(&line);
    }
    Ok(Exit::Ok)
}

/// What to type next, as it works from where `init` was typed.
fn next_steps(template: Template, folder: &Path) -> Vec<String> {
    let [workflow, _, site] = NAMES.map(|name| folder.join(name).display().to_string());
    let run = format!("`isonomy run {workflow} --local");
    let run = match template {
        Template::Hello => format!("run with {run} -i name=Ada`"),
        Template::Branches => format!("run with {run} -i 'items=[1,2,3]'`"),
        // A made-up name: whoever runs it as it is waits for all its attempts.
        Template::Http => format!(
            "`pets.example` does not exist: write a service of yours into {workflow} and {site}, \
             then run with {run} --config {site} -i petId=7`"
        ),
    };
    vec![
        format!("look with `isonomy validate {workflow}`, test with `isonomy test {workflow}`"),
        run,
        format!("keep a site with `isonomy dev --config {site}`"),
    ]
}
