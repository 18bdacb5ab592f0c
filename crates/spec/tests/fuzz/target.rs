//! The targets: plain functions from bytes to nothing that panic where something does not hold. They
//! can be driven by whatever makes bytes.

use isonomy_spec::{Code, Diagnostic, Severity, catalog, fmt, graph};

/// One of so many layouts is looked at again.
const LOOKED_AT_AGAIN: usize = 8;

/// One of so many documents is drawn.
const DRAWN: usize = 4;

/// What a target says of one document, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Fine,
    Wrong,
    /// The layout was not sure.
    Refused,
}

/// `isonomy validate`, whatever the bytes are, and what `apply` and `run` read; the two may not
/// disagree.
pub fn judge(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    if let Err(wrong) = isonomy_spec::text(bytes) {
        look(&[*wrong], &text);
    }
    let judged = isonomy_spec::validate(&text, &catalog::Empty).found;
    look(&judged, &text);
    let codes = |found: &[Diagnostic]| found.iter().map(|it| it.code).collect::<Vec<Code>>();
    match isonomy_spec::read(&text, &catalog::Empty) {
        Ok(read) => {
            look(&read.warnings, &text);
            assert_eq!(codes(&read.warnings), codes(&judged));
            assert!(judged.iter().all(|it| it.severity == Severity::Warning));
            Answer::Fine
        }
        Err(wrong) => {
            look(&wrong, &text);
            let is_error = |it: &Diagnostic| it.severity == Severity::Error;
            assert!(wrong.iter().any(is_error));
            let is_only_later =
                wrong.iter().filter(|it| is_error(it)).all(|it| it.code.is_not_yet());
            assert!(is_only_later || judged.iter().any(is_error), "validate says nothing");
            Answer::Wrong
        }
    }
}

/// `isonomy fmt`. That what comes out means the same and stays is looked at by itself, so that only
/// some of the documents are looked at once more from here.
pub fn layout(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let written = match fmt::format(&text) {
        Ok(written) => written,
        Err(wrong) => {
            look(&wrong, &text);
            let is_refused = wrong.iter().any(|it| it.code == Code::Layout);
            return if is_refused { Answer::Refused } else { Answer::Wrong };
        }
    };
    if !bytes.len().is_multiple_of(LOOKED_AT_AGAIN) {
        return Answer::Fine;
    }
    assert_eq!(fmt::format(&written).as_deref(), Ok(written.as_str()), "fmt twice is not fmt once");
    let codes = |text: &str| {
        let found = isonomy_spec::validate(text, &catalog::Empty).found;
        let mut codes: Vec<Code> = found.iter().map(|it| it.code).collect();
        codes.sort_unstable();
        codes
    };
    assert_eq!(codes(&text), codes(&written), "fmt changes what is wrong");
    Answer::Fine
}

/// `isonomy graph`.
pub fn picture(bytes: &[u8]) -> Answer {
    if !bytes.len().is_multiple_of(DRAWN) {
        return Answer::Fine;
    }
    let text = String::from_utf8_lossy(bytes);
    let Ok(graph) = graph::read(&text) else { return Answer::Wrong };
    let states = graph::States::new();
    assert!(graph::text(&graph, &states).ends_with('\n'));
    assert!(graph::mermaid(&graph, &states).starts_with("flowchart TD\n"));
    assert!(graph::svg(&graph, &states).ends_with("</svg>\n"));
    Answer::Fine
}

/// Every place is in the text, and every message can be read.
fn look(found: &[Diagnostic], text: &str) {
    for found in found {
        assert!(found.location.offset <= text.len(), "{found:?}");
        assert!(found.location.line >= 1 && found.location.column >= 1, "{found:?}");
        let rendered = found.render("a.yaml", text);
        assert!(!found.message.is_empty() && rendered.lines().count() <= 8, "{rendered}");
        assert!(!rendered.contains('\u{1b}'), "{rendered:?}");
    }
}
