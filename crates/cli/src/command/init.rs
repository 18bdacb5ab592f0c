//! `isonomy init`: the files to begin with. Nothing is ever overwritten.

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

/// Their names in the folder; workflow and configuration name the schemas beside them.
const NAMES: [&str; 3] = ["workflow.yaml", "workflow.test.yaml", "site.yaml"];

pub fn init(args: &InitArgs) -> Outcome {
    let texts = match args.template {
        Template::Hello => HELLO,
        Template::Http => HTTP,
        Template::Branches => BRANCHES,
    };
    let mut files: Vec<File> = NAMES
        .into_iter()
        .zip(texts)
        .map(|(name, text)| File { name, bytes: text.as_bytes() })
        .collect();
    for (name, kind) in
        [("workflow.schema.json", SchemaKind::Workflow), ("site.schema.json", SchemaKind::Site)]
    {
        files.push(File { name, bytes: schema::text(kind).as_bytes() });
    }
    for path in lay_out::write(&args.folder, &files)? {
        output::say(&format!("written: {}", path.display()));
    }
    let workflow = args.folder.join(NAMES[0]);
    output::say(&format!("look with `isonomy validate {}`", workflow.display()));
    Ok(Exit::Ok)
}
