//! Wrong documents, and what a person reads of them, compared whole.

use isonomy_spec::Code;

use crate::{folder, read, rendered};

/// Set to write what is said now over what is stored.
const UPDATE_VARIABLE: &str = "ISONOMY_UPDATE";

/// Mutation: change a message, a place, a pointer or a hint; report one thing only.
#[test]
fn every_wrong_document_is_answered_as_stored() {
    let mut seen: Vec<Code> = Vec::new();
    let mut different = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(folder("tests/gallery"))
        .expect("the gallery")
        .map(|file| file.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    for path in &paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(path).expect("text");
        let found = match read(&source) {
            Ok(read) => read.warnings,
            Err(wrong) => wrong,
        };
        seen.extend(found.iter().map(|found| found.code));
        let pointers: String =
            found.iter().map(|found| format!("{} {}\n", found.code, found.pointer)).collect();
        let now = format!("{}\n{pointers}", rendered(&found, &file, &source));
        let stored = path.with_extension("txt");
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            std::fs::write(&stored, &now).expect("the gallery can be written");
        }
        if std::fs::read_to_string(&stored).unwrap_or_default() != now {
            different.push(format!("{file}:\n{now}"));
        }
    }
    assert!(
        different.is_empty(),
        "set {UPDATE_VARIABLE}=1 to store what is said now:\n{}",
        different.join("\n")
    );
    assert!(paths.len() >= 60);
    // What no file of readable size can show has tests of its own.
    let elsewhere = [
        Code::Size,
        Code::Limit,
        Code::TooMany,
        Code::NotText,
        Code::DuplicateWorkflow,
        Code::Layout,
    ];
    let missing: Vec<&Code> =
        Code::ALL.iter().filter(|code| !seen.contains(code) && !elsewhere.contains(code)).collect();
    assert!(missing.is_empty(), "no document shows {missing:?}");
}
