//! `isonomy test`: an author's tests of a workflow, without a site and without the world.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Digest;

use spec::near;

use crate::args::Global;
use crate::args::test::TestArgs;
use crate::document::{self, Document};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::folder;
use crate::output;
use crate::runtime;
use crate::trial::file::{self, Case, TestFile, Which};
use crate::trial::gather::Played;
use crate::trial::judge::{compare, judge};
use crate::trial::play::Player;
use crate::trial::report::{CaseReport, Compared, FileReport, Other, Report};
use crate::trial::subject::Subject;

/// Test files of one command; a folder above all others was most likely a mistake.
const FILES_MAX: usize = 1_000;

pub fn test(global: &Global, args: &TestArgs) -> Outcome {
    let mut paths = Vec::new();
    for path in &args.file {
        find(path, &mut paths)?;
    }
    if args.compare.is_some() && paths.len() > 1 {
        return Err(Failure::usage("`--compare` is for the tests of one workflow")
            .hint("name one test file"));
    }
    // Everything that is wrong with the files is said before anything is run.
    let (mut trials, mut wrong) = (Vec::new(), Vec::new());
    for path in &paths {
        match Trial::read(global, path, args) {
            Ok(trial) => trials.push(trial),
            Err(found) => wrong.extend(found),
        }
    }
    if let Some(failure) = Failure::all(wrong) {
        return Err(failure);
    }
    if trials.iter().all(|trial| trial.cases().next().is_none()) {
        return Err(Failure::usage("no case has such a name").hint("leave `--case` out"));
    }
    let player = Player::new()?;
    let mut report = Report::default();
    for trial in &trials {
        report.add(trial.run(&player)?);
    }
    output::show(args.output.output, &report, || report.text())?;
    Ok(if report.failed == 0 { Exit::Ok } else { Exit::Faulted })
}

/// A test file with its cases.
struct Trial {
    file: TestFile,
    /// One for each case of the file.
    subjects: Vec<Subjects>,
    only: Option<String>,
}

/// The workflow under test as one case has it, since resources may differ, and the one to compare
/// with.
#[derive(Clone)]
struct Subjects {
    subject: Arc<Subject>,
    other: Option<Arc<Subject>>,
}

impl Subjects {
    /// `text` is that of the other one, once it was had.
    fn read(
        global: &Global,
        file: &TestFile,
        case: &Case,
        other: Option<&str>,
        text: &mut Option<Text>,
    ) -> Outcome<Self> {
        let subject = Subject::read(&file.workflow, &case.resources)?;
        if let (Some(named), None) = (other, &text) {
            *text = Some(text_of(global, named, &subject)?);
        }
        let other = text.as_ref().map(|Text { source, text }| {
            Subject::parse(source.clone(), text.clone(), &case.resources)
        });
        Ok(Self { subject: Arc::new(subject), other: other.transpose()?.map(Arc::new) })
    }
}

impl Trial {
    fn read(global: &Global, path: &Path, args: &TestArgs) -> Result<Self, Vec<Failure>> {
        let file = file::read(path)?;
        let mut subjects: Vec<Subjects> = Vec::new();
        let (mut text, mut wrong) = (None, Vec::new());
        for (at, case) in file.cases.iter().enumerate() {
            let same = file.cases[..at].iter().position(|it| it.resources == case.resources);
            let read = match same {
                Some(same) => subjects[same].clone(),
                None => Subjects::read(global, &file, case, args.compare.as_deref(), &mut text)
                    .map_err(|failure| vec![failure])?,
            };
            wrong.extend(read.subject.check(&file.path, case, at == 0));
            subjects.push(read);
        }
        wrong.extend(check_resources(&file, &subjects).err());
        if wrong.is_empty() {
            return Ok(Self { file, subjects, only: args.case.clone() });
        }
        Err(wrong)
    }

    fn cases(&self) -> impl Iterator<Item = (&Case, &Subjects)> {
        let is_wanted = |(case, _): &(&Case, &Subjects)| match &self.only {
            Some(only) => case.name.contains(only.as_str()),
            None => true,
        };
        self.file.cases.iter().zip(&self.subjects).filter(is_wanted)
    }

    fn run(&self, player: &Player) -> Outcome<FileReport> {
        let mut cases = Vec::new();
        for (case, subjects) in self.cases() {
            let played = player.play(&subjects.subject, case)?;
            let findings = judge(case, &played);
            let compared = match &subjects.other {
                Some(other) => Some(compared(case, &player.play(other, case)?, &played)),
                None => None,
            };
            cases.push(CaseReport {
                name: case.name.clone(),
                line: case.line,
                passed: findings.is_empty(),
                took_ms: played.took.as_millis(),
                unused_stubs: unused(case, &played),
                findings,
                started: played.started,
                calls: played.calls,
                emitted: played.emitted,
                untaken_events: played.untaken,
                compared,
            });
        }
        // A file has a case.
        let Subjects { subject, other } = &self.subjects[0];
        Ok(FileReport {
            file: self.file.path.display().to_string(),
            workflow: subject.source.clone(),
            revision: subject.revision.to_string(),
            other: other.as_ref().map(|other| Other {
                source: other.source.clone(),
                revision: other.revision.to_string(),
            }),
            cases,
        })
    }
}

fn compared(case: &Case, other: &Played, played: &Played) -> Compared {
    let findings = judge(case, other);
    Compared { passed: findings.is_empty(), findings, differences: compare(other, played) }
}

/// The other side of `--compare`.
struct Text {
    source: String,
    text: String,
}

/// A file, or a revision of the workflow that a site has.
fn text_of(global: &Global, named: &str, subject: &Subject) -> Outcome<Text> {
    let Ok(revision) = named.parse::<Digest>() else {
        if named.starts_with("b3:") && !Path::new(named).exists() {
            return Err(Failure::usage(format!("`{named}` is not a digest"))
                .hint("a digest is `b3:` and 64 of the digits 0 to 9 and a to f"));
        }
        let Document { source, text, .. } = document::read(Path::new(named))?;
        return Ok(Text { source, text });
    };
    let revision = revision.to_string();
    let mut api = super::api(global)?;
    api.namespace = subject.key.namespace.clone();
    let detail = runtime::client(api.workflow_show(&subject.key.name, Some(revision.as_str())))?;
    Ok(Text { source: format!("{} {revision}", subject.key), text: detail.text })
}

/// A resource that nothing refers to is most likely misspelt.
fn check_resources(file: &TestFile, subjects: &[Subjects]) -> Outcome<()> {
    for (uri, resource) in file.cases.iter().flat_map(|case| &case.resources) {
        if subjects.iter().any(|read| read.subject.refers_to(uri)) {
            continue;
        }
        let at = file::place(&file.path.display().to_string(), resource.line);
        let what =
            format!("nothing in `{}` refers to `{uri}`\n  --> {at}", subjects[0].subject.source);
        let known = subjects[0].subject.addresses();
        let failure = Failure::usage(what);
        return Err(near::hint(uri, known).into_iter().fold(failure, Failure::hint));
    }
    Ok(())
}

fn unused(case: &Case, played: &Played) -> Vec<String> {
    let own = case.stubs.iter().zip(&played.asked).take(case.own_stubs);
    own.filter(|(_, asked)| **asked == 0).map(|(stub, _)| named(&stub.which)).collect()
}

fn named(which: &Which) -> String {
    let Which { task, location, call, with: _ } = which;
    let parts = [task, location, call].into_iter().flatten();
    parts.map(|part| format!("`{part}`")).collect::<Vec<_>>().join(" ")
}

fn find(path: &Path, found: &mut Vec<PathBuf>) -> Outcome<()> {
    if path.is_dir() {
        let before = found.len();
        folder::walk(path, &mut |file| {
            if file::is_test_file(&file) { add(file, found) } else { Ok(()) }
        })?;
        if found.len() == before {
            let what = format!("there is no test file in `{}`", path.display());
            return Err(Failure::usage(what).hint(
                "a test file lies beside its workflow: `intake.test.yaml` beside `intake.yaml`",
            ));
        }
        return Ok(());
    }
    if file::is_test_file(path) {
        return add(path.to_owned(), found);
    }
    match file::beside(path) {
        Some(beside) => add(beside, found),
        None if !path.is_file() => {
            Err(Failure::usage(format!("there is no file `{}`", path.display())))
        }
        None => {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("NAME");
            let what = format!("there are no tests of `{}`", path.display());
            Err(Failure::usage(what).hint(format!(
                "write them into `{stem}.test.yaml` beside it; docs/reference/test-files.md says how"
            )))
        }
    }
}

fn add(path: PathBuf, found: &mut Vec<PathBuf>) -> Outcome<()> {
    if found.len() == FILES_MAX {
        return Err(Failure::usage(format!("there are more than {FILES_MAX} test files"))
            .hint("test the folders below one by one"));
    }
    if !found.contains(&path) {
        found.push(path);
    }
    Ok(())
}
