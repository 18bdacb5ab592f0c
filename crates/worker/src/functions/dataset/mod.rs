//! `dataset`: rows of a source that the site's owner has declared, as values or as a list that is never
//! whole in memory. What is wrong with a row is told by its number, never by what it holds.
//!
//! Which sources there are, and who may read them, is in `datasets`. How rows come out of each format is
//! in the files beside this one.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use base::limits::{LIST_BYTES_MAX, VALUE_BYTES_MAX};
use base::value::{Map, array, as_array, as_object, as_str, get, object, string, weigh_off};
use base::{ErrorType, Fault, Timestamp, Value};
use engine::effect::Certainty;
use engine::list::Lists;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::decide::DENIED;
use gateway::{Code, Permit};

use self::json::{Items, Lines};
use self::parquet::Table;
use self::source::{Bad, Broken, Csv, Source};
use super::csv::{number, whole};
use super::reading::{
    BAD_LISTED_MAX, CELLS_MAX, CancelOnDrop, Cancelled, ROWS_MAX, Rows, too_large,
};
use super::{Done, Function, Reach};
use crate::datasets::{self, Format, Place, closed_because, timestamp};

mod address;
mod json;
mod parquet;
mod source;

pub const MANIFEST: &str = include_str!("dataset.json");

/// The largest source. None of it is held, but a longer one is better declared in parts.
pub const SOURCE_BYTES_MAX: u64 = LIST_BYTES_MAX;

/// Bad rows that an error names.
const BAD_NAMED_MAX: usize = 10;

pub(crate) struct Dataset;

impl Function for Dataset {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn labels(&self, input: &Value, reach: &Reach) -> Vec<String> {
        let found = reach.datasets().find(&reach.effect().namespace, &Wanted::of(input).name);
        let labels = found.iter().flat_map(|dataset| &dataset.labels);
        labels.map(ToString::to_string).collect()
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done> {
        let wanted = Wanted::of(input);
        async move {
            let namespace = &reach.effect().namespace;
            let Some(dataset) = reach.datasets().find(namespace, &wanted.name) else {
                return unknown(namespace, &wanted.name);
            };
            let job = Job { dataset, wanted, lists: reach.effect().lists.clone() };
            // Given back when the rows are read or nobody waits for them.
            let _turn = reach.turn().await;
            match &job.dataset.source {
                datasets::Source::File(place) => from_file(place.clone(), job).await,
                datasets::Source::Url(url) => address::read(url.clone(), job, &reach).await,
            }
        }
        .boxed()
    }
}

/// One that is not there and one that is another's are told in the same words.
fn unknown(namespace: &base::Namespace, name: &str) -> Done {
    let detail = format!(
        "{}: namespace `{namespace}` has no dataset `{name}`; `isonomy datasets list -n {namespace}` shows which it has",
        Code::NoDataset
    );
    let fault = Fault::new(ErrorType::Authorization, detail).with_title(DENIED);
    Done::Denied { fault, rule: "no entry of datasets matches".to_owned() }
}

/// The arguments, after their schema.
#[derive(Debug, Clone)]
struct Wanted {
    name: String,
    /// Nothing where all of them are.
    columns: Option<Vec<Value>>,
    offset: u64,
    limit: Option<u64>,
    skips_bad: bool,
    stream: bool,
}

impl Wanted {
    fn of(input: &Value) -> Self {
        let text = |key| get(input, key).and_then(as_str);
        Self {
            name: text("name").unwrap_or_default().to_owned(),
            columns: get(input, "columns").and_then(as_array).map(<[_]>::to_vec),
            offset: get(input, "offset").and_then(whole).unwrap_or(0),
            limit: get(input, "limit").and_then(whole),
            skips_bad: text("onBadRow") == Some("skip"),
            stream: matches!(get(input, "stream"), Some(Value::Bool(true))),
        }
    }
}

/// What one call has to do.
#[derive(Debug, Clone)]
struct Job {
    dataset: Arc<datasets::Dataset>,
    wanted: Wanted,
    lists: Lists,
}

async fn from_file(place: Place, job: Job) -> Done {
    let guard = CancelOnDrop::default();
    let cancelled = guard.flag();
    let rule = format!("datasets: {}", job.dataset.name);
    let result = blocking(move || job.read_file(&place, &cancelled)).await;
    Done::Ended { result, rule: Some(rule) }
}

/// On a thread of its own: files block.
async fn blocking(
    work: impl FnOnce() -> Result<Value, Fault> + Send + 'static,
) -> Result<Value, Fault> {
    // What a thread says when it breaks off may hold what was read.
    let broken_off = |_| Err(Fault::new(ErrorType::Runtime, "reading the dataset broke off"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(broken_off)
}

impl Job {
    fn read_file(&self, place: &Place, cancelled: &Cancelled) -> Result<Value, Fault> {
        let (mut source, modified_at) = self.open(place, cancelled)?;
        self.gather(&mut *source, modified_at)
    }

    fn open(
        &self,
        place: &Place,
        cancelled: &Cancelled,
    ) -> Result<(Box<dyn Source>, Option<Timestamp>), Fault> {
        let file = place.open().map_err(|closed| {
            let fault = self.fault(ErrorType::Runtime, closed_because(closed));
            match closed {
                crate::folders::Closed::Missing => {
                    fault.with_status(404).with_title("Dataset not found")
                }
                _ => fault,
            }
        })?;
        let found = file.metadata().map_err(|error| self.broken(Broken::Io(error)))?;
        let modified_at = found.modified().ok().and_then(timestamp);
        if found.len() > SOURCE_BYTES_MAX {
            return Err(self.too_long());
        }
        let source = match self.dataset.format {
            Format::Parquet => Table::open(file, cancelled.clone())
                .map(|it| Box::new(it) as Box<dyn Source>)
                .map_err(|broken| self.broken(broken))?,
            // A file that grows meanwhile is read up to the limit.
            _ => self.text(cancelled.over(file.take(SOURCE_BYTES_MAX)))?,
        };
        Ok((source, modified_at))
    }

    /// The texts of one column, of all rows, whatever the schema says of them.
    fn texts(&self, place: &Place, column: &str, most: usize) -> Result<Vec<String>, Fault> {
        let guard = CancelOnDrop::default();
        let (mut source, _) = self.open(place, &guard.flag())?;
        self.check_columns(source.columns())?;
        let (mut found, mut row) = (Vec::new(), 0_u64);
        while let Some(next) = source.advance().map_err(|broken| self.broken(broken))? {
            row += 1;
            let value = next.and_then(|()| source.value()).map_err(|bad| {
                self.fault(ErrorType::Validation, format!("row {row} is bad: {}", bad.code()))
            })?;
            found.extend(get(&value, column).and_then(as_str).map(ToOwned::to_owned));
            if found.len() > most {
                let what = format!("it has more than {most} rows with a `{column}`");
                return Err(self.fault(ErrorType::Validation, what));
            }
        }
        Ok(found)
    }

    /// Rows of a source that is text.
    fn text<'a>(&self, from: impl Read + 'a) -> Result<Box<dyn Source + 'a>, Fault> {
        let row = self.dataset.row.as_ref();
        let opened: Result<Box<dyn Source>, Broken> = match &self.dataset.format {
            Format::Csv(form) => Csv::open(from, form, row).map(|it| Box::new(it) as Box<_>),
            Format::Jsonl => Lines::open(from).map(|it| Box::new(it) as Box<_>),
            Format::Json => Items::open(from).map(|it| Box::new(it) as Box<_>),
            Format::Parquet => Err(Broken::Wrong("a table is no text".to_owned())),
        };
        opened.map_err(|broken| self.broken(broken))
    }

    fn gather(
        &self,
        source: &mut dyn Source,
        modified_at: Option<Timestamp>,
    ) -> Result<Value, Fault> {
        self.check_columns(source.columns())?;
        let Wanted { offset, limit, skips_bad, stream, .. } = self.wanted;
        let skipped = source.skip(offset).map_err(|broken| self.broken(broken))?;
        let rows = Rows::begin(stream, &self.lists)?;
        let mut found = Found::new(rows, skipped);
        while let Some(next) = source.advance().map_err(|broken| self.broken(broken))? {
            if limit == Some(found.read) {
                found.more = true;
                break;
            }
            found.read += 1;
            match next.and_then(|()| source.value()).and_then(|row| self.judged(row)) {
                // Where bad rows are an error, those behind the first are only counted.
                Ok(_) if found.bad_count > 0 && !skips_bad => {}
                Ok(row) => self.keep(&mut found, row)?,
                Err(bad) => found.bad(bad, source.line()),
            }
        }
        if found.bad_count > 0 && !skips_bad {
            return Err(self.bad_rows(&found));
        }
        found.into_value(&self.dataset, modified_at)
    }

    fn check_columns(&self, there: Option<Vec<&str>>) -> Result<(), Fault> {
        let (Some(wanted), Some(there)) = (&self.wanted.columns, there) else { return Ok(()) };
        let is_there = |name: &&Value| as_str(name).is_some_and(|name| there.contains(&name));
        match wanted.iter().find(|name| !is_there(name)).and_then(as_str) {
            // An empty file has no columns, and no rows that could lack one.
            Some(missing) if !there.is_empty() => {
                Err(self.fault(ErrorType::Validation, format!("it has no column `{missing}`")))
            }
            _ => Ok(()),
        }
    }

    /// The row as it goes into the result, if it is one.
    fn judged(&self, row: Value) -> Result<Value, Bad> {
        if self.dataset.row.as_ref().is_some_and(|schema| !schema.admits(&row)) {
            return Err(Bad::Schema);
        }
        let (Some(columns), Some(fields)) = (&self.wanted.columns, as_object(&row)) else {
            return Ok(row);
        };
        let kept =
            columns.iter().filter_map(|name| Some((name.clone(), fields.get(name)?.clone())));
        Ok(Value::obj(kept.collect::<Map>()))
    }

    fn keep(&self, found: &mut Found, row: Value) -> Result<(), Fault> {
        found.count += 1;
        if found.rows.is_here() {
            found.cells += as_object(&row).map_or(1, Map::len);
            let weighed = weigh_off(&row, &mut found.bytes_left, VALUE_BYTES_MAX);
            if found.count > ROWS_MAX || found.cells > CELLS_MAX || weighed.is_err() {
                let name = &self.dataset.name;
                return Err(too_large(format!(
                    "more than {ROWS_MAX} rows, {CELLS_MAX} fields or {VALUE_BYTES_MAX} bytes of dataset `{name}`; name the \
                     `columns` that are needed, read it in parts with `offset` and `limit`, or give `stream: true` and go over `rows` with `for`"
                )));
            }
        }
        found.rows.push(row)
    }

    fn bad_rows(&self, found: &Found) -> Fault {
        let named: Vec<String> = found.bad.iter().take(BAD_NAMED_MAX).map(Found::said).collect();
        let more = if found.bad_count > named.len() as u64 { ", …" } else { "" };
        let detail = format!(
            "dataset `{}`: {} of {} rows are bad: {}{more}; `onBadRow: skip` reads the others",
            self.dataset.name,
            found.bad_count,
            found.read,
            named.join(", "),
        );
        Fault::new(ErrorType::Validation, detail).with_title("Bad rows")
    }

    fn fault(&self, kind: ErrorType, what: impl fmt::Display) -> Fault {
        Fault::new(kind, format!("dataset `{}`: {what}", self.dataset.name))
    }

    fn broken(&self, broken: Broken) -> Fault {
        match broken {
            Broken::Wrong(what) => self.fault(ErrorType::Validation, what),
            Broken::Io(error) => {
                self.fault(ErrorType::Runtime, format!("it cannot be read: {}", error.kind()))
            }
        }
    }

    fn too_long(&self) -> Fault {
        let name = &self.dataset.name;
        too_large(format!(
            "dataset `{name}` has more than {SOURCE_BYTES_MAX} bytes; cut it into several"
        ))
    }
}

/// The texts of a column of a dataset that is a file. Blocks. The error says what is wrong, and nothing
/// that stands in it.
pub fn texts_of(
    dataset: &Arc<datasets::Dataset>,
    column: &str,
    most: usize,
) -> Result<Vec<String>, String> {
    let datasets::Source::File(place) = &dataset.source else {
        return Err(format!("dataset `{}` is behind an address, and no file", dataset.name));
    };
    let wanted = Wanted {
        name: dataset.name.to_string(),
        columns: Some(vec![string(column)]),
        offset: 0,
        limit: None,
        skips_bad: false,
        stream: false,
    };
    let job = Job { dataset: Arc::clone(dataset), wanted, lists: Lists::default() };
    job.texts(place, column, most).map_err(|fault| fault.detail.unwrap_or_default())
}

/// What has been read so far.
struct Found {
    rows: Rows,
    /// The first of them.
    bad: Vec<BadRow>,
    bad_count: u64,
    count: u64,
    read: u64,
    /// Stepped over before.
    skipped: u64,
    cells: usize,
    bytes_left: usize,
    more: bool,
}

/// By its number in the source.
struct BadRow {
    row: u64,
    line: Option<u64>,
    bad: Bad,
}

impl Found {
    fn new(rows: Rows, skipped: u64) -> Self {
        Self {
            rows,
            bad: Vec::new(),
            bad_count: 0,
            count: 0,
            read: 0,
            skipped,
            cells: 0,
            bytes_left: VALUE_BYTES_MAX,
            more: false,
        }
    }

    fn bad(&mut self, bad: Bad, line: Option<u64>) {
        self.bad_count += 1;
        if self.bad.len() < BAD_LISTED_MAX {
            self.bad.push(BadRow { row: self.skipped + self.read, line, bad });
        }
    }

    fn said(BadRow { row, line, bad }: &BadRow) -> String {
        let code = bad.code();
        match line {
            Some(line) => format!("row {row} (line {line}, {code})"),
            None => format!("row {row} ({code})"),
        }
    }

    fn into_value(
        self,
        dataset: &datasets::Dataset,
        modified_at: Option<Timestamp>,
    ) -> Result<Value, Fault> {
        let bad = self.bad.iter().map(|BadRow { row, line, bad }| {
            let line = line.map(|line| ("line", number(line)));
            let fields = [("row", number(*row)), ("code", string(bad.code()))];
            object(fields.into_iter().chain(line))
        });
        let labels = dataset.labels.iter().map(|label| string(label.as_str())).collect();
        Ok(object([
            ("bad", array(bad.collect())),
            ("rows", self.rows.into_value()?),
            ("count", number(self.count)),
            ("read", number(self.read)),
            ("more", Value::Bool(self.more)),
            ("modifiedAt", modified_at.map_or(Value::Null, |at| string(&at.to_string()))),
            ("labels", array(labels)),
        ]))
    }
}

#[cfg(test)]
mod tests;
