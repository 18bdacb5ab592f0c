//! Test files, read into cases that cannot be wrong any more.
//!
//! Their form is in `doc`. Whether a named task exists is asked in `subject`, since it takes the workflow to know.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base::name::FunctionRef;
use base::value::from_serde;
use base::{Duration, ErrorType, Fault, Timestamp};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use spec::YamlWrong;

use super::doc::{
    AnswerDoc, CallDoc, CaseDoc, ErrorDoc, ExpectDoc, ExpectErrorDoc, FileDoc, StubDoc,
};
use super::event::{self, Send};
use super::resource::{self, Resources};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What a test file's name ends with, before the ending of its language.
pub const MARK: &str = ".test";

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Cases of a file with their data. A larger one has its data in another place than it should.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// When a run begins that does not say when.
const USUAL_START: &str = "2030-01-01T00:00:00Z";

#[derive(Debug)]
pub struct TestFile {
    pub path: PathBuf,
    pub workflow: PathBuf,
    pub cases: Vec<Case>,
}

#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// Where it stands in the file, from 1.
    pub line: u64,
    /// `{}` where there is none, unless it is the events that begin the run.
    pub input: Option<Value>,
    pub at: Timestamp,
    /// Those of the case and those of the file.
    pub resources: Resources,
    pub events: Vec<Send>,
    /// Those of the case first, then those of the file.
    pub stubs: Vec<Stub>,
    /// How many of the stubs are the case's own.
    pub own_stubs: usize,
    pub expect: Expect,
}

/// Which effects are meant. Everything that is said must fit.
#[derive(Debug, Clone, Default)]
pub struct Which {
    pub task: Option<String>,
    /// JSON pointer of the task in the document.
    pub location: Option<String>,
    /// `POST https://example.com/orders/*`, or a function such as `csv:1.0.0@default`.
    pub call: Option<String>,
    /// What the effect was asked with, or a part of it.
    pub with: Option<Value>,
}

#[derive(Debug, Clone)]
pub struct Stub {
    pub which: Which,
    pub answers: Answers,
}

#[derive(Debug, Clone)]
pub enum Answers {
    /// The same each time.
    Always(Answer),
    /// One after another; being asked more often is a mistake.
    Each(Vec<Answer>),
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub what: What,
    /// How long it takes, in skipped time.
    pub after: Duration,
}

#[derive(Debug, Clone)]
pub enum What {
    Output(Value),
    Error(Box<Fault>),
    Never,
}

#[derive(Debug, Default)]
pub struct Expect {
    pub state: Option<String>,
    pub output: Option<Value>,
    pub includes: Option<Value>,
    /// Properties that the error must have.
    pub error: Option<Value>,
    pub order: Option<Vec<String>>,
    pub never: Vec<String>,
    pub calls: Vec<ExpectCall>,
    /// All events that are emitted, in their order. Of each, what is named here counts.
    pub events: Option<Vec<Map<String, Value>>>,
    /// How many runs the events begin.
    pub runs: Option<usize>,
    pub takes: Option<Duration>,
}

#[derive(Debug)]
pub struct ExpectCall {
    pub which: Which,
    /// `None`: at least once.
    pub times: Option<usize>,
}

/// What is wrong at a line of a test file.
pub struct Mistake {
    pub line: u64,
    pub what: String,
    pub hint: Option<&'static str>,
}

/// Whether a file is called like a test file.
#[must_use]
pub fn is_test_file(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    ending.is_some_and(|ending| ENDINGS.contains(&ending)) && stem.ends_with(MARK)
}

/// The test file beside a workflow: `intake.yaml` has `intake.test.yaml`.
#[must_use]
pub fn beside(workflow: &Path) -> Option<PathBuf> {
    let stem = workflow.file_stem()?.to_str()?;
    let name = |ending| workflow.with_file_name(format!("{stem}{MARK}.{ending}"));
    ENDINGS.into_iter().map(name).find(|path| path.is_file())
}

/// Reads a test file, and says of one that is readable everything that is wrong with it.
pub fn read(path: &Path) -> Result<TestFile, Vec<Failure>> {
    let doc = doc(path).map_err(|failure| vec![failure])?;
    let source = path.display().to_string();
    parse(path, doc).map_err(|mistakes| {
        let told = mistakes.into_iter().map(|Mistake { line, what, hint }| {
            let failure = Failure::usage(format!("{what}\n  --> {}", place(&source, line)));
            hint.iter().fold(failure, |failure, hint| failure.hint(*hint))
        });
        told.collect()
    })
}

fn doc(path: &Path) -> Outcome<FileDoc> {
    let source = path.display().to_string();
    let wrong = |cause: std::io::Error| {
        Failure::usage(format!("cannot read the test file `{source}`: {cause}"))
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(wrong)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("`{source}` is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("`{source}` is not UTF-8 text")))?;
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(&text, options).map_err(|wrong| {
        let YamlWrong { line, column, what } = (&wrong).into();
        Failure::usage(format!(
            "{}: {what}",
            output::harmless(&format!("{source}:{line}:{column}"))
        ))
        .hint("the form of a test file is described in docs/reference/test-files.md")
    })
}

/// As messages name a place in a test file.
#[must_use]
pub fn place(source: &str, line: u64) -> String {
    output::harmless(&format!("{source}:{line}"))
}

fn parse(path: &Path, doc: FileDoc) -> Result<TestFile, Vec<Mistake>> {
    let whole = |what: String, hint| Mistake { line: 1, what, hint };
    let mut wrong = Vec::new();
    if doc.cases.is_empty() {
        wrong.push(whole("there is no case in it".to_owned(), Some("add one under `cases`")));
    }
    let workflow = workflow_of(path, doc.workflow).map_err(|what| {
        whole(what, Some("say which workflow is meant: `workflow: FILE`, beside the test file"))
    });
    let workflow = kept(workflow, &mut wrong).unwrap_or_default();
    let folder = folder_of(path);
    let resources = resource::read(folder, doc.resources, &Resources::new());
    let resources = kept(resources, &mut wrong).unwrap_or_default();
    let stubs = doc.stubs.into_iter().filter_map(|it| kept(stub(it), &mut wrong)).collect();
    let shared = Shared { folder, at: doc.at, resources, stubs };
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    let mut cases: Vec<Case> = Vec::new();
    for found in doc.cases {
        let (name, line) = (found.value.name.clone(), line_of(&found));
        if let Some(first) = names.get(&name) {
            let what = format!("the case `{name}` stands at line {first} already");
            wrong.push(Mistake { line, what, hint: Some("give each its own name") });
        }
        names.entry(name).or_insert(line);
        cases.extend(case(found, &shared, &mut wrong));
    }
    if wrong.is_empty() {
        return Ok(TestFile { path: path.to_owned(), workflow, cases });
    }
    wrong.sort_by_key(|mistake| mistake.line);
    Err(wrong)
}

/// What was read, or nothing, with what is wrong among the rest.
fn kept<T>(read: Result<T, Mistake>, wrong: &mut Vec<Mistake>) -> Option<T> {
    read.map_err(|mistake| wrong.push(mistake)).ok()
}

/// What the cases of a file have in common.
struct Shared<'a> {
    folder: &'a Path,
    at: Option<String>,
    resources: Resources,
    stubs: Vec<Stub>,
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

fn workflow_of(path: &Path, named: Option<PathBuf>) -> Result<PathBuf, String> {
    let folder = folder_of(path);
    if let Some(named) = named {
        return Ok(folder.join(named));
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = stem.strip_suffix(MARK).unwrap_or(stem);
    let found = ENDINGS.into_iter().map(|ending| folder.join(format!("{name}.{ending}")));
    found
        .into_iter()
        .find(|workflow| workflow.is_file())
        .ok_or_else(|| format!("there is no workflow `{name}.yaml` beside it"))
}

/// A case, unless its time is none; whatever else is wrong with it is told beside it.
fn case(found: Spanned<CaseDoc>, shared: &Shared<'_>, wrong: &mut Vec<Mistake>) -> Option<Case> {
    let line = line_of(&found);
    let CaseDoc { name, input, at: own_at, resources, events, stubs, expect } = found.value;
    let at = own_at.as_deref().or(shared.at.as_deref()).unwrap_or(USUAL_START);
    let at = Timestamp::parse(at).ok_or_else(|| Mistake {
        line,
        what: format!("`at` of the case `{name}` is not a time"),
        hint: Some("write for instance `2030-01-01T00:00:00Z`"),
    });
    let at = kept(at, wrong);
    let stubs = stubs.into_iter().filter_map(|it| kept(stub(it), wrong));
    let mut stubs: Vec<Stub> = stubs.collect();
    let own_stubs = stubs.len();
    stubs.extend(shared.stubs.iter().cloned());
    let resources = resource::read(shared.folder, resources, &shared.resources);
    let resources = kept(resources, wrong).unwrap_or_default();
    let expect = expectation(expect, line, wrong);
    let at = at?;
    let events = event::read(events, at, wrong);
    Some(Case { name, line, input, at, resources, events, stubs, own_stubs, expect })
}

pub fn line_of<T>(found: &Spanned<T>) -> u64 {
    found.referenced.line().max(1)
}

fn stub(found: Spanned<StubDoc>) -> Result<Stub, Mistake> {
    let line = line_of(&found);
    let StubDoc { task, location, call, with, output, error, never, after, answers } = found.value;
    let which = which(Which { task, location, call, with }, line)?;
    let one = AnswerDoc { output, error, never, after };
    let answers = match answers {
        None => Answers::Always(answer(one, line)?),
        Some(each) if each.is_empty() => {
            let what = "`answers` is empty".to_owned();
            return Err(Mistake { line, what, hint: Some("leave the stub out, or say an answer") });
        }
        Some(each) => {
            if one.output.is_some() || one.error.is_some() || one.never || one.after.is_some() {
                let what = "a stub has either one answer or `answers`".to_owned();
                return Err(Mistake { line, what, hint: None });
            }
            Answers::Each(each.into_iter().map(|one| answer(one, line)).collect::<Result<_, _>>()?)
        }
    };
    Ok(Stub { which, answers })
}

fn which(which: Which, line: u64) -> Result<Which, Mistake> {
    if which.task.is_none() && which.location.is_none() && which.call.is_none() {
        return Err(Mistake {
            line,
            what: "it is not said which effect is meant".to_owned(),
            hint: Some("name it by `task`, `location` or `call`"),
        });
    }
    let is_call = |call: &String| call.contains(' ') || FunctionRef::parse(call).is_some();
    if which.call.as_ref().is_some_and(|call| !is_call(call) && !call.contains('*')) {
        return Err(Mistake {
            line,
            what: "`call` names no call".to_owned(),
            hint: Some(
                "write a method and an address, `GET https://example.com/*`, or a function, `csv:1.0.0@default`",
            ),
        });
    }
    Ok(which)
}

fn answer(doc: AnswerDoc, line: u64) -> Result<Answer, Mistake> {
    let AnswerDoc { output, error, never, after } = doc;
    let what = match (output, error, never) {
        (Some(output), None, false) => What::Output(output),
        (None, Some(error), false) => What::Error(Box::new(fault(error))),
        (None, None, true) => What::Never,
        _ => {
            return Err(Mistake {
                line,
                what: "an answer is exactly one of `output`, `error` and `never: true`".to_owned(),
                hint: None,
            });
        }
    };
    Ok(Answer { what, after: duration(after, "after", line)?.unwrap_or(Duration::ZERO) })
}

pub fn duration(found: Option<Value>, name: &str, line: u64) -> Result<Option<Duration>, Mistake> {
    let Some(found) = found else { return Ok(None) };
    let read = spec::duration::duration_from_value(&from_serde(&found));
    read.map(Some).map_err(|why| Mistake {
        line,
        what: format!("`{name}` is not a duration: {why}"),
        hint: Some("write for instance `PT5S`, or `{ seconds: 5 }`"),
    })
}

/// What an effect's error is unless the file says so: that of a service that answers badly.
fn fault(doc: ErrorDoc) -> Fault {
    let ErrorDoc { kind, status, title, detail } = doc;
    let standard = |name: &str| ErrorType::STANDARD.into_iter().find(|kind| kind.name() == name);
    let mut fault = match kind {
        None => Fault::new(ErrorType::Communication, String::new()),
        Some(name) => match standard(&name) {
            Some(kind) => Fault::new(kind, String::new()),
            None => Fault { uri: name.into(), ..Fault::new(ErrorType::Other, String::new()) },
        },
    };
    fault.detail = detail;
    if let Some(status) = status {
        fault.status = status;
    }
    if let Some(title) = title {
        fault.title = Some(title.into());
    }
    fault
}

fn expectation(doc: ExpectDoc, line: u64, wrong: &mut Vec<Mistake>) -> Expect {
    const STATES: [&str; 3] = ["completed", "faulted", "cancelled"];
    let ExpectDoc { state, output, includes, error, order, never, calls, events, runs, takes } =
        doc;
    if state.as_ref().is_some_and(|state| !STATES.contains(&state.as_str())) {
        wrong.push(Mistake {
            line,
            what: "`state` is none in which a run ends".to_owned(),
            hint: Some("write `completed`, `faulted` or `cancelled`"),
        });
    }
    let mut checked = Vec::new();
    for found in calls {
        let line = line_of(&found);
        let CallDoc { task, location, call, with, times } = found.value;
        let which = kept(which(Which { task, location, call, with }, line), wrong);
        checked.extend(which.map(|which| ExpectCall { which, times }));
    }
    let takes = kept(duration(takes, "takes", line), wrong).flatten();
    let error = error.map(expected_error);
    let calls = checked;
    Expect { state, output, includes, error, order, never, calls, events, runs, takes }
}

fn expected_error(doc: ExpectErrorDoc) -> Value {
    let ExpectErrorDoc { kind, status, title, detail, instance } = doc;
    let standard = |name: String| {
        let known = ErrorType::STANDARD.into_iter().any(|kind| kind.name() == name);
        if known { format!("{}{name}", base::fault::BASE) } else { name }
    };
    let fields = [
        ("type", kind.map(standard).map(Value::String)),
        ("status", status.map(Value::from)),
        ("title", title.map(Value::String)),
        ("detail", detail.map(Value::String)),
        ("instance", instance.map(Value::String)),
    ];
    let said = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(said.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../../../docs/reference/test-file.schema.json");

    /// Mutation: add a field to the reader and not to the schema, or the other way round.
    #[test]
    fn the_schema_and_the_reader_take_the_same_files() {
        let schema = base::value::parse(SCHEMA.as_bytes()).expect("JSON");
        let schema = spec::schema::Schema::compile(&schema).expect("a schema");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("x.yaml"), "").expect("written");
        let file = folder.path().join("x.test.yaml");
        let case = |rest: &str| format!("cases: [{{name: a, {rest}}}]");
        let stub = |rest: &str| case(&format!("stubs: [{{{rest}}}]"));
        let expect = |rest: &str| case(&format!("expect: {{{rest}}}"));
        for (text, is_right) in [
            ("cases: [{name: a}]".to_owned(), true),
            ("workflow: x.yaml\nat: 2030-01-01T00:00:00Z\nstubs: [{task: a, output: null}]\ncases: [{name: a, at: 2030-01-01T00:00:00Z, input: null}]".to_owned(), true),
            (stub("task: a, location: /do, call: GET x, with: {}, output: 1, after: PT1S"), true),
            (stub("call: 'a:1@default', error: {type: timeout, status: 1, title: a, detail: b}"), true),
            (stub("task: a, never: true, after: {seconds: 1}"), true),
            (stub("task: a, answers: [{output: 1}, {error: {}, after: PT1S}, {never: true}]"), true),
            (expect("state: faulted, output: 1, includes: 1, order: [a], never: [a], takes: PT1S"), true),
            (expect("error: {type: a, status: 1, title: a, detail: b, instance: c}"), true),
            (expect("calls: [{task: a, location: b, call: 'a *', with: 1, times: 0}]"), true),
            ("resources: {'https://a.example/s': x.yaml}\ncases: [{name: a}]".to_owned(), true),
            (case("resources: {'https://a.example/s': x.yaml}"), true),
            (case("events: []"), true),
            (case("events: [{type: a, source: b, id: c, subject: d, data: {e: 1}, ext: 2, when: f, after: PT1S}]"), true),
            (case("events: [{type: a, data_base64: aGk=}]"), true),
            (expect("events: [{type: a, data: {b: 1}}]"), true),
            (expect("events: [], runs: 0"), true),
            ("cases: []".to_owned(), false),
            ("resources: {'https://a.example/s': 1}\ncases: [{name: a}]".to_owned(), false),
            (case("resources: [x.yaml]"), false),
            (case("events: {type: a}"), false),
            (case("events: [a]"), false),
            (case("events: [{data: 1}]"), false),
            (case("events: [{type: ''}]"), false),
            (case("events: [{type: a, source: 'b c'}]"), false),
            (case("events: [{type: a, odd-name: 1}]"), false),
            (case("events: [{type: a, when: 1}]"), false),
            (case("events: [{type: a, after: soon}]"), false),
            (expect("events: [a]"), false),
            (expect("events: {type: a}"), false),
            (expect("runs: -1"), false),
            ("stubs: []".to_owned(), false),
            ("cases: [{}]".to_owned(), false),
            ("other: 1\ncases: [{name: a}]".to_owned(), false),
            (case("other: 1"), false),
            (stub("output: 1"), false),
            (stub("task: a"), false),
            (stub("task: a, output: 1, error: {}"), false),
            (stub("task: a, output: 1, other: 1"), false),
            (stub("task: a, answers: []"), false),
            (stub("task: a, answers: [{}]"), false),
            (stub("task: a, answers: [{output: 1, task: b}]"), false),
            (stub("task: a, output: 1, answers: [{output: 1}]"), false),
            (stub("task: a, output: 1, after: soon"), false),
            (stub("task: a, error: {code: 1}"), false),
            (expect("state: running"), false),
            (expect("order: a"), false),
            (expect("calls: [{times: 1}]"), false),
            (expect("calls: [{task: a, output: 1}]"), false),
            (expect("takes: 5"), false),
            (expect("error: {code: 1}"), false),
        ] {
            fs::write(&file, &text).expect("written");
            let read = read(&file);
            assert_eq!(read.is_ok(), is_right, "the reader and {text}: {read:?}");
            let value: Value = serde_saphyr::from_str(&text).expect("YAML");
            let checked = schema.check(&from_serde(&value));
            assert_eq!(checked.is_ok(), is_right, "the schema and {text}: {checked:?}");
        }
    }
}
