//! Formats first: the table in `docs/spec/README.md` names every page and every golden sample.
//!
//! That the samples are read, and written again as they are, is tested in the rooms that own the
//! formats.

use std::path::PathBuf;

use xtask::{source, tree};

use crate::none;

const INDEX: &str = "docs/spec/README.md";
const SAMPLES: &str = "docs/spec/samples";

/// What a table names between a row's `|`: pages as links, samples as code with at most one `*`.
fn named(index: &str) -> (Vec<String>, Vec<String>) {
    let rows: Vec<&str> = index.lines().filter(|line| line.starts_with('|')).collect();
    let links = rows.iter().flat_map(|row| row.split("](").skip(1));
    let pages = links.filter_map(|part| part.split_once(')')).map(|(page, _)| page.to_owned());
    let codes = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    let samples = codes.filter(|code| code.starts_with("samples/")).map(str::to_owned);
    (pages.collect(), samples.collect())
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

fn below_spec(paths: Vec<PathBuf>) -> Vec<String> {
    let below = |path: PathBuf| path.strip_prefix("docs/spec").ok()?.to_str().map(str::to_owned);
    paths.into_iter().filter_map(below).collect()
}

/// Mutation: add a page or a sample that the table does not name, or break a sample.
#[test]
fn every_page_and_every_sample_is_in_the_table() {
    let (pages, patterns) = named(&tree::text(INDEX.as_ref()).unwrap_or_default());
    assert!(!pages.is_empty() && !patterns.is_empty(), "{INDEX} has no table");
    let samples = below_spec(tree::files(SAMPLES, &[".json"]));
    let mut found = Vec::new();
    for page in below_spec(tree::files("docs/spec", &[".md"])) {
        if page != "README.md" && !pages.contains(&page) {
            found.push(format!("`{page}` is a page without a row"));
        }
    }
    for sample in &samples {
        if !patterns.iter().any(|pattern| matches(pattern, sample)) {
            found.push(format!("`{sample}` is a sample without a row"));
        }
        let text = tree::text(&PathBuf::from("docs/spec").join(sample)).unwrap_or_default();
        if serde_json::from_str::<serde_json::Value>(&text).is_err() {
            found.push(format!("`{sample}` is not JSON"));
        }
    }
    for pattern in &patterns {
        if !samples.iter().any(|sample| matches(pattern, sample)) {
            found.push(format!("`{pattern}` is promised and not there"));
        }
    }
    none(&found, "formats first: a page, a row, and samples before there is code");
}

/// Mutation: take the test that reads the samples out of its room.
#[test]
fn the_samples_are_read_by_a_test_of_a_room() {
    let reads = source::all().iter().any(|source| {
        let names =
            |it: &source::Literal| it.text.contains("spec/samples") && source.is_test(it.line);
        source.path.starts_with("crates") && source.literals.iter().any(names)
    });
    assert!(reads, "no test in crates/ names `{SAMPLES}`");
}

/// Mutation: let a star stand for nothing that is there, or for everything.
#[test]
fn the_table_is_read_as_it_is_written() {
    let (pages, patterns) =
        named("| [a.md](a.md) | `b` | `samples/v1/a-*.json` |\nsee `samples/x`\n");
    assert_eq!(
        (pages, patterns),
        (vec!["a.md".to_owned()], vec!["samples/v1/a-*.json".to_owned()])
    );
    assert!(matches("a-*.json", "a-1.json") && matches("a.json", "a.json"));
    assert!(!matches("a-*.json", "b-1.json") && !matches("a-*-b", "a-b"));
}
