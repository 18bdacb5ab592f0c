//! The codes and their documentation.

use std::collections::BTreeSet;

use isonomy_spec::{Code, Severity};

use crate::folder;

/// Mutation: give two codes one text, or change the meaning of one here and not in the reference.
#[test]
fn every_code_is_documented_with_its_meaning_cause_and_way_out() {
    let path = folder("../../docs/reference/problems-workflow.md");
    let text = std::fs::read_to_string(&path).expect("the reference of problem codes");
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let documented: Vec<&str> =
        sections.iter().filter_map(|section| section.lines().next()).collect();
    let expected: Vec<String> =
        Code::ALL.iter().map(|code| format!("{code}: {}", code.meaning())).collect();
    assert_eq!(documented, expected);
    for section in sections {
        let heading = section.lines().next().unwrap_or_default();
        assert!(section.contains("\nCause: "), "no cause: {heading}");
        assert!(section.contains("\nWay out: "), "no way out: {heading}");
    }
}

/// Mutation: sort a code into the wrong hundred.
#[test]
fn a_code_is_an_error_or_a_warning_by_its_number() {
    let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    for code in Code::ALL {
        let number: u32 =
            code.as_str().strip_prefix("WF-").and_then(|text| text.parse().ok()).expect("a number");
        assert_eq!(code.is_not_yet(), (100..200).contains(&number), "{code}");
        assert_eq!(code.severity() == Severity::Warning, number >= 200, "{code}");
        assert_eq!(code.is_not_yet(), format!("{code:?}").starts_with("NotYet"), "{code}");
    }
}
