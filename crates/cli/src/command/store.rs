//! `isonomy store`: what an owner does with a store as a whole. A site that runs is asked; of one that
//! is stopped, the folder is opened here, and only read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use base::{Clock as _, SystemClock};
use bytes::Bytes;
use futures::StreamExt as _;
use gateway::operator;
use serde::Serialize;
use site::{Custodian, ExportFilter};
use store::FindingCode;
use store_sqlite::{OpenError, SqliteStore};
use wire::{StoreCheckLine, StoreFinding, StoreTotals};

use super::api;
use super::compact::compact;
use crate::args::Global;
use crate::args::store::{
    StoreArgs, StoreBackup, StoreCheck, StoreCommand, StoreExport, StoreRestore, Whose,
};
use crate::backup;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format};
use crate::when;

/// In the folder of a backup, while it is made from a stopped store.
const SCRATCH: &str = "scratch";

pub async fn store(global: &Global, args: StoreArgs) -> Outcome {
    match args.command {
        StoreCommand::Check(args) => check(global, args).await,
        StoreCommand::Backup(args) => back_up(global, args).await,
        StoreCommand::Restore(args) => restore(&args),
        StoreCommand::Export(args) => export(global, args).await,
        StoreCommand::Compact(args) => compact(global, args).await,
    }
}

/// Where the pieces come from.
pub enum Pieces {
    Site(operator::Pieces),
    /// From the folder itself, which is held meanwhile.
    Folder(site::Pieces, Arc<SqliteStore>),
}

impl Pieces {
    pub async fn next(&mut self) -> Outcome<Option<Bytes>> {
        match self {
            Self::Site(pieces) => Ok(pieces.next().await.transpose()?),
            Self::Folder(pieces, _store) => Ok(pieces.recv().await),
        }
    }
}

async fn ask(global: &Global, method: &str, path: &str) -> Outcome<Pieces> {
    Ok(Pieces::Site(api(global)?.store_job(method, path).await?))
}

fn look(data: &Path) -> Result<Arc<SqliteStore>, OpenError> {
    SqliteStore::look(data).map(Arc::new)
}

pub fn not_opened(error: OpenError) -> Failure {
    let text = error.to_string();
    match error {
        OpenError::Missing { .. } => Failure::usage(text),
        OpenError::Locked { .. } => {
            Failure::internal(text).hint("leave out `--data` to ask the site that uses it")
        }
        _ => Failure::internal(text),
    }
}

fn custodian(store: &Arc<SqliteStore>, scratch: Option<&Path>) -> Custodian {
    Custodian::of_stopped(Arc::clone(store), Arc::new(SystemClock), scratch.map(Path::to_owned))
}

/// Nobody else could have a job under way.
pub fn begun<T>(job: Result<T, site::Busy>) -> T {
    job.unwrap_or_else(|_| unreachable!("a custodian of one command has one job"))
}

/// What `-o json` shows of a check.
#[derive(Debug, Default, Serialize)]
struct Checked {
    findings: Vec<StoreFinding>,
    totals: StoreTotals,
}

async fn check(global: &Global, args: StoreCheck) -> Outcome {
    let pieces = match &args.whose.data {
        None => ask(global, "POST", "check").await?,
        Some(data) => match look(data) {
            Ok(store) => {
                let pieces = begun(custodian(&store, None).check());
                Pieces::Folder(pieces, store)
            }
            // That it cannot be opened is what the check has found.
            Err(OpenError::Corrupt { cause, .. }) => return damaged(args.output.output, cause),
            Err(error) => return Err(not_opened(error)),
        },
    };
    let is_text = args.output.output == Format::Text;
    let tell = |finding: &StoreFinding| {
        if is_text { output::write(&finding_text(finding)) } else { Ok(()) }
    };
    told(args.output.output, &gather(pieces, tell).await?)
}

/// What is wrong in the store of a site that was stopped just now.
pub async fn findings(data: &Path) -> Outcome<Vec<StoreFinding>> {
    let store = look(data).map_err(not_opened)?;
    let pieces = Pieces::Folder(begun(custodian(&store, None).check()), store);
    Ok(gather(pieces, |_| Ok(())).await?.findings)
}

async fn gather(
    pieces: Pieces,
    mut tell: impl FnMut(&StoreFinding) -> Outcome<()>,
) -> Outcome<Checked> {
    let mut lines = Lines { pieces, read: Vec::new() };
    let mut findings = Vec::new();
    while let Some(line) = lines.next().await? {
        match serde_json::from_slice(&line).map_err(operator::OperatorError::Json)? {
            StoreCheckLine::Finding(finding) => {
                tell(&finding)?;
                findings.push(finding);
            }
            StoreCheckLine::Progress(_) => {}
            StoreCheckLine::Done(totals) => return Ok(Checked { findings, totals }),
            StoreCheckLine::Failed(failure) => {
                let what = format!("cannot check the store: {}", failure.detail);
                return Err(Failure::internal(what));
            }
        }
    }
    Err(Failure::internal("the check was broken off").hint("the site may have stopped; try again"))
}

fn damaged(format: Format, cause: String) -> Outcome {
    let code = FindingCode::FileDamaged;
    let (run, advice) = (None, code.advice().to_owned());
    let finding = StoreFinding { code: code.to_string(), run, detail: cause, advice, note: false };
    if format == Format::Text {
        output::write(&finding_text(&finding))?;
    }
    let totals = StoreTotals { findings: 1, ..StoreTotals::default() };
    told(format, &Checked { findings: vec![finding], totals })
}

fn told(format: Format, checked: &Checked) -> Outcome {
    output::show(format, checked, || totals_text(&checked.totals))?;
    Ok(if checked.totals.findings == 0 { Exit::Ok } else { Exit::Faulted })
}

fn finding_text(finding: &StoreFinding) -> String {
    let word = if finding.note { "note" } else { "wrong" };
    let whose = finding.run.as_ref().map_or_else(String::new, |run| format!("{run}: "));
    let text = format!("{word}[{}]: {whose}{}\n  {}", finding.code, finding.detail, finding.advice);
    output::harmless(&text)
}

fn totals_text(totals: &StoreTotals) -> String {
    let StoreTotals { runs, unfinished, records, rows, blobs, events, findings, .. } = totals;
    let mut text = format!(
        "looked at {runs} runs ({unfinished} not ended), {records} records, {rows} rows, {blobs} blobs, {events} events\n"
    );
    if totals.moving > 0 {
        text.push_str(&format!(
            "{} runs never stood still long enough to compare their rows\n",
            totals.moving
        ));
    }
    text.push_str(&match findings {
        0 => "nothing is wrong".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        many => format!("{many} things are wrong"),
    });
    text
}

async fn back_up(global: &Global, args: StoreBackup) -> Outcome {
    let scratch = args.dest.join(SCRATCH);
    let mut folder = args.whose.data.as_deref().map(look).transpose().map_err(not_opened)?;
    let from_site = folder.is_none();
    let mut pieces: Option<Pieces> = None;
    // Begun when the first piece is asked for: then the folder was found to be free.
    let mut next = async || -> Outcome<Option<Bytes>> {
        if pieces.is_none() {
            pieces = Some(match folder.take() {
                None => ask(global, "POST", "backup").await?,
                Some(store) => {
                    let job = begun(custodian(&store, Some(&scratch)).backup());
                    Pieces::Folder(job, store)
                }
            });
        }
        pieces.as_mut().expect("set above").next().await
    };
    let made = backup::receive(&args.dest, &mut next).await;
    if !from_site {
        // Only its empty folder is left.
        std::fs::remove_dir(&scratch).ok();
    }
    let made = made?;
    let bytes: u64 = made.files.iter().map(|file| file.bytes).sum();
    output::say(&format!(
        "backed up {} files, {bytes} bytes, as of {}; secrets and `site.yaml` are not in it",
        made.files.len(),
        made.store.at
    ));
    Ok(Exit::Ok)
}

fn restore(args: &StoreRestore) -> Outcome {
    let restored = backup::restore(&args.backup, &args.data)?;
    output::say(&format!(
        "restored the store of {} into `{}`; it is {} now, and was {}",
        restored.manifest.store.at,
        args.data.display(),
        restored.incarnation,
        restored.manifest.store.incarnation
    ));
    output::say(
        "start it with `isonomy dev`; what the old one did since then may be done again, under the same keys",
    );
    Ok(Exit::Ok)
}

async fn export(global: &Global, args: StoreExport) -> Outcome {
    let since = args.since.map(|since| when::since(&since, SystemClock.now())).transpose()?;
    let namespace = (!args.all_namespaces).then(|| global.namespace.clone());
    let mut pieces = match &args.whose.data {
        None => {
            let path = crate::api::export_path(args.run, namespace.as_ref(), since.as_deref());
            ask(global, "GET", &path).await?
        }
        Some(data) => {
            let store = look(data).map_err(not_opened)?;
            let since = since.as_deref().and_then(base::Timestamp::parse);
            let filter = ExportFilter { run: args.run, namespace, since };
            Pieces::Folder(begun(custodian(&store, None).export(filter)), store)
        }
    };
    let mut file = args.to.as_deref().map(new_file).transpose()?;
    let mut last = Vec::new();
    while let Some(piece) = pieces.next().await? {
        match &mut file {
            None => output::write_bytes(&piece)?,
            Some((file, name)) => file
                .write_all(&piece)
                .map_err(|cause| Failure::internal(format!("cannot write `{name}`: {cause}")))?,
        }
        keep_last_line(&mut last, &piece);
    }
    ended(&last)?;
    if let Some((file, name)) = file {
        let synced = file.sync_all();
        synced.map_err(|cause| Failure::internal(format!("cannot write `{name}`: {cause}")))?;
    }
    Ok(Exit::Ok)
}

fn new_file(path: &Path) -> Outcome<(std::fs::File, String)> {
    let name = path.display().to_string();
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let opened = opened
        .map_err(|cause| Failure::usage(format!("cannot make the file `{name}`: {cause}")))?;
    Ok((opened, name))
}

/// The end of what was read, from the last line that is whole on.
fn keep_last_line(last: &mut Vec<u8>, piece: &[u8]) {
    last.extend_from_slice(piece);
    let end = last.len().saturating_sub(1);
    if let Some(before) = last[..end].iter().rposition(|byte| *byte == b'\n') {
        last.drain(..=before);
    }
}

/// The last line says whether anything is missing.
fn ended(last: &[u8]) -> Outcome<()> {
    let line: serde_json::Value = serde_json::from_slice(last).unwrap_or_default();
    match line.get("kind").and_then(serde_json::Value::as_str) {
        Some("end") => Ok(()),
        Some("failed") => {
            let detail = line.get("detail").and_then(serde_json::Value::as_str).unwrap_or_default();
            Err(Failure::internal(format!("the export is not whole: {detail}")))
        }
        _ => Err(Failure::internal("the export was broken off")
            .hint("the site may have stopped; try again")),
    }
}

/// Lines of pieces that end anywhere.
struct Lines {
    pieces: Pieces,
    read: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Outcome<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.drain(..=end).collect();
                return Ok(Some(line));
            }
            match self.pieces.next().await? {
                Some(piece) => self.read.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

impl Whose {
    /// Whether the job is done in this process.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.data.is_some()
    }
}

impl StoreArgs {
    #[must_use]
    pub fn is_here(&self) -> bool {
        match &self.command {
            StoreCommand::Check(args) => args.whose.is_here(),
            StoreCommand::Backup(args) => args.whose.is_here(),
            StoreCommand::Export(args) => args.whose.is_here(),
            StoreCommand::Restore(_) => false,
            // Which of both, it finds out by itself.
            StoreCommand::Compact(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: add a code, or change what one says, and leave the reference as it is.
    #[test]
    fn every_code_of_the_check_is_in_the_reference() {
        let reference = include_str!("../../../../docs/reference/store-check.md");
        let told: Vec<&str> = reference.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(told.len(), FindingCode::ALL.len());
        for (line, code) in told.iter().zip(FindingCode::ALL) {
            let starts = line.starts_with(&format!("| `{code}` | "));
            assert!(starts && line.ends_with(&format!(" | {} |", code.advice())), "{line}");
        }
    }
}
