//! Every problem code that the program can say is explained in `docs/reference`, and nothing else
//! is explained there.

use std::collections::BTreeMap;

use xtask::source::{self, Source};
use xtask::tree;

use crate::none;

/// Texts of the form of a code that are something else.
const NOT_CODES: [&str; 3] = ["SHA-256", "SHA-512", "ISO-8601"];

/// `WF-012`: two to five capitals, a hyphen, three digits.
fn is_code(text: &str) -> bool {
    let Some((family, number)) = text.split_once('-') else { return false };
    (2..=5).contains(&family.len())
        && family.bytes().all(|byte| byte.is_ascii_uppercase())
        && number.len() == 3
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !NOT_CODES.contains(&text)
}

/// Codes by where they stand: whole strings of the program, tests apart.
fn said(sources: &[Source]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for source in sources.iter().filter(|it| it.path.starts_with("crates")) {
        for literal in source.literals.iter().filter(|it| !source.is_test(it.line)) {
            if is_code(&literal.text) {
                let place = format!("{}:{}", source.path.display(), literal.line);
                found.entry(literal.text.clone()).or_insert(place);
            }
        }
    }
    found
}

/// Codes that have a heading of their own, or a row that begins with them.
fn explained() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in tree::files("docs/reference", &[".md"]) {
        for (index, line) in tree::text(&path).unwrap_or_default().lines().enumerate() {
            if let Some(code) = explains(line) {
                found.insert(code.to_owned(), format!("{}:{}", path.display(), index + 1));
            }
        }
    }
    found
}

fn explains(line: &str) -> Option<&str> {
    let start = line.trim_start_matches(['#', '|', ' ', '`']);
    let is_heading_or_row = line.starts_with("##") || line.starts_with('|');
    let end = start.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(start.len());
    // A row such as `| WF-001 to WF-009 |` is about a range.
    let is_range = start[end..].starts_with(" to ");
    (is_heading_or_row && !is_range && is_code(&start[..end])).then_some(&start[..end])
}

fn missing(from: &BTreeMap<String, String>, of: &BTreeMap<String, String>) -> Vec<String> {
    let absent = of.iter().filter(|(code, _)| !from.contains_key(*code));
    absent.map(|(code, place)| format!("{place}: {code}")).collect()
}

/// Mutation: take the heading of any code out of its page, or add one for a code that is not there.
#[test]
fn the_codes_of_the_program_and_of_the_reference_are_the_same() {
    let (said, explained) = (said(&source::all()), explained());
    assert!(said.contains_key("WF-012"), "no codes are found at all");
    none(&missing(&explained, &said), "give each a heading, cause and way out in docs/reference");
    none(&missing(&said, &explained), "a code that is gone keeps its number, not its heading");
}

/// Mutation: accept a range as an explanation.
#[test]
fn headings_and_rows_explain_and_ranges_do_not() {
    assert_eq!(explains("## WF-012: the flow goes nowhere"), Some("WF-012"));
    assert_eq!(explains("| `API-001` | The body is not valid |"), Some("API-001"));
    assert_eq!(explains("| WF-001 to WF-009 | the text is not a document |"), None);
    assert_eq!(explains("See WF-012."), None);
    assert!(!is_code("SHA-256") && !is_code("WF-12") && !is_code("wf-012"));
}
