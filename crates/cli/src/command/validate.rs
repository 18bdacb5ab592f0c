//! `isonomy validate`: everything that is wrong with documents, in one pass, with nobody asked.

use std::collections::HashMap;

use base::name::WorkflowKey;
use serde::Serialize;
use spec::{Code, Diagnostic, Location, Severity, YamlWrong};

use crate::args::author::ValidateArgs;
use crate::document::{self, Head};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::judge::{self, Source};
use crate::output::{self, Format};
use crate::resource;

/// What programs read. A stable contract.
#[derive(Debug, Serialize)]
struct Judged {
    items: Vec<JudgedFile>,
    errors: usize,
    warnings: usize,
}

#[derive(Debug, Serialize)]
struct JudgedFile {
    file: String,
    valid: bool,
    findings: Vec<JudgedFinding>,
}

#[derive(Debug, Serialize)]
struct JudgedFinding {
    code: String,
    severity: String,
    message: String,
    line: u32,
    column: u32,
    /// In characters, from the column on.
    length: u32,
    pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Which file named a workflow first.
type Names = HashMap<WorkflowKey, (String, Location)>;

pub fn validate(args: &ValidateArgs) -> Outcome {
    let (sources, skipped) = judge::sources(&args.file)?;
    for skipped in &skipped {
        output::say(&skipped.to_string());
    }
    if sources.is_empty() {
        return Err(Failure::usage("there is no workflow to validate")
            .hint("a workflow is a `.yaml`, `.yml` or `.json` file with a `document` at its top"));
    }
    let catalog = worker::Catalog::shipped();
    let mut names = Names::new();
    let mut judged = Judged { items: Vec::new(), errors: 0, warnings: 0 };
    let mut text = String::new();
    for source in sources {
        let (found, rendered) = judge(&source, &catalog, &mut names)?;
        let errors = found.iter().filter(|it| it.severity == Severity::Error).count();
        judged.errors += errors;
        judged.warnings += found.len() - errors;
        text.push_str(&rendered);
        let findings = found.into_iter().map(finding).collect();
        judged.items.push(JudgedFile { file: source.name, valid: errors == 0, findings });
    }
    output::show(args.output.output, &judged, || output::harmless(text.trim_end()))?;
    if args.output.output == Format::Text {
        output::say(&summary(&judged));
    }
    let is_fine = judged.errors == 0 && !(args.deny_warnings && judged.warnings > 0);
    Ok(if is_fine { Exit::Ok } else { Exit::Usage })
}

/// What is to be said about one document, and how it reads.
fn judge(
    source: &Source,
    catalog: &worker::Catalog,
    names: &mut Names,
) -> Outcome<(Vec<Diagnostic>, String)> {
    let text = String::from_utf8_lossy(&source.bytes);
    let found = match spec::text(&source.bytes) {
        Err(wrong) => vec![*wrong],
        Ok(text) => match document::head(text) {
            Head::UnknownKind(kind) => vec![unknown_kind(text, &kind)],
            Head::Resource(kind) => {
                let wrong = resource::read(kind, text).err();
                wrong.map(|wrong| resource_wrong(text, wrong)).into_iter().collect()
            }
            Head::Named { .. } | Head::Placement | Head::Unclear | Head::Foreign => {
                let spec::Validated { mut found, unparsed, key } = spec::validate(text, catalog);
                found.extend(judge::look_outside(&unparsed)?);
                found.extend(key.and_then(|(key, at)| double(names, key, &source.name, at)));
                found.sort_by_key(|it| (it.location.offset, it.code));
                found
            }
        },
    };
    let rendered: String =
        found.iter().map(|found| found.render(&source.name, &text) + "\n").collect();
    Ok((found, rendered))
}

/// Nothing else can be said of it before somebody says what it is.
fn unknown_kind(text: &str, kind: &str) -> Diagnostic {
    let lines = (1..).zip(text.split_inclusive('\n'));
    let mut offset = 0;
    let mut location = Location { offset: 0, line: 1, column: 1, length: 1 };
    for (line, text) in lines {
        if let Some(value) = text.strip_prefix("kind:") {
            let length = "kind:".len() + value.trim_end().chars().count();
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            location = Location { offset, line, column: 1, length };
            break;
        }
        offset += text.len();
    }
    Diagnostic {
        code: Code::WrongValue,
        severity: Severity::Error,
        message: document::unknown(kind),
        location,
        pointer: "/kind".to_owned(),
        hint: Some(document::kinds()),
    }
}

/// What is wrong with a model or route.
fn resource_wrong(text: &str, wrong: YamlWrong) -> Diagnostic {
    let YamlWrong { line, column, what } = wrong;
    let before = text.split_inclusive('\n').take(line.saturating_sub(1) as usize);
    let offset = before.map(str::len).sum();
    Diagnostic {
        code: Code::WrongValue,
        severity: Severity::Error,
        message: what,
        location: Location { offset, line, column, length: 1 },
        pointer: String::new(),
        hint: Some(
            "`docs/reference/models.md` has each field of models and routes, `docs/reference/watching.md` those of watches"
                .to_owned(),
        ),
    }
}

/// Which of two texts of one name counts is nobody's to guess.
fn double(names: &mut Names, key: WorkflowKey, file: &str, at: Location) -> Option<Diagnostic> {
    let Some((first, place)) = names.get(&key) else {
        names.insert(key, (file.to_owned(), at));
        return None;
    };
    Some(Diagnostic {
        code: Code::DuplicateWorkflow,
        severity: Severity::Error,
        message: format!("the workflow `{key}` is also in {first}:{}:{}", place.line, place.column),
        location: at,
        pointer: "/document/name".to_owned(),
        hint: Some("give one of them another name".to_owned()),
    })
}

fn finding(found: Diagnostic) -> JudgedFinding {
    let Location { line, column, length, .. } = found.location;
    JudgedFinding {
        code: found.code.to_string(),
        severity: found.severity.to_string(),
        message: found.message,
        line,
        column,
        length,
        pointer: found.pointer,
        hint: found.hint,
    }
}

fn summary(judged: &Judged) -> String {
    let counted =
        |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let files = counted(judged.items.len(), "file");
    match (judged.errors, judged.warnings) {
        (0, 0) => format!("{files}: valid"),
        (0, warnings) => format!("{files}: valid, {}", counted(warnings, "warning")),
        (errors, 0) => format!("{files}: {}", counted(errors, "error")),
        (errors, warnings) => {
            format!("{files}: {}, {}", counted(errors, "error"), counted(warnings, "warning"))
        }
    }
}
