//! The schema for editors and the reader: what the one takes the other takes, as far as a schema can
//! see.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use base::value::{from_serde, parse};
use isonomy_spec::Code;
use isonomy_spec::schema::{Schema, WORKFLOW};

use crate::{folder, read};

/// What is wrong with the form of a document, as a schema sees it.
const OF_FORM: [Code; 4] =
    [Code::MissingProperty, Code::UnknownProperty, Code::WrongType, Code::TaskKind];

/// Files of the gallery whose form is wrong in a way that the schema cannot see, and why.
const UNSEEN: [(&str, &str); 5] = [
    ("clipped", "the specification's schema takes unknown properties at the top"),
    ("graph", "which branches there are is more than a schema can say"),
    ("merge-key", "the reader of this test merges, as YAML 1.1 did"),
    ("pools", "the specification's schema takes anything as `metadata`"),
    ("run-budget", "so it does"),
];

fn schema() -> Schema {
    let schema = parse(WORKFLOW.as_bytes()).expect("JSON");
    Schema::compile(&schema).expect("a JSON Schema")
}

fn documents(folders: &[&str]) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in folders {
        let files = fs::read_dir(folder(path)).expect("a folder");
        paths.extend(files.map(|file| file.expect("a folder can be listed").path()));
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("text"))).collect()
}

fn value(text: &str) -> Option<base::Value> {
    // As YAML 1.2 has it: `n` is text.
    let options = serde_saphyr::options! { strict_booleans: true };
    let value: serde_json::Value = serde_saphyr::from_str_with_options(text, options).ok()?;
    Some(from_serde(&value))
}

/// Mutation: take `for.in` as a list, or `schedule.missed`, out of the schema.
#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = schema();
    let mut seen = 0;
    for (name, text) in documents(&[
        "tests/gallery",
        "tests/it/seeds",
        "tests/fuzz/corpus",
        "../../examples",
        "../../examples/tumour-screening",
        "../cli/templates/hello",
        "../cli/templates/http",
        "../cli/templates/branches",
    ]) {
        // What is not there yet has a schema all the same.
        let is_fine = read(&text).is_ok() || name == "later";
        let Some(value) = value(&text).filter(|_| is_fine) else { continue };
        seen += 1;
        assert_eq!(schema.check(&value), Ok(()), "{name}");
    }
    assert!(seen > 12, "{seen}");
}

/// Mutation: allow unknown properties of a task in the schema.
#[test]
fn the_schema_refuses_what_is_wrong_in_form() {
    let schema = schema();
    let mut unseen = BTreeSet::new();
    let mut seen = 0;
    for (name, text) in documents(&["tests/gallery"]) {
        let (Err(found), Some(value)) = (read(&text), value(&text)) else { continue };
        if found.iter().any(|it| OF_FORM.contains(&it.code)) {
            seen += 1;
            if schema.check(&value).is_ok() {
                unseen.insert(name);
            }
        }
    }
    let expected: BTreeSet<String> = UNSEEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(unseen, expected);
    assert!(seen > 20, "{seen}");
}
