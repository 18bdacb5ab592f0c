//! `csv`: a file of comma-separated values into rows. A bad row is listed by number and the rest
//! goes on. Rows become a value, or with `stream` a list that lies in a blob and is never whole in
//! memory.
//!
//! Where fields and rows end is in `records`, what they become is in `rows`; which files may be read
//! at all is in `folders`.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use base::limits::LIST_BYTES_MAX;
use base::value::{array, as_array, as_i64, as_str, get, int, object, string};
use base::{ErrorType, Fault, Value};
use engine::list::Lists;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::Permit;
use gateway::decide::DENIED;

use self::records::{Next, Records};
use self::rows::{Columns, Shape};
use super::reading::{
    BAD_LISTED_MAX, CELLS_MAX, CancelOnDrop, Cancelled, ROWS_MAX, Rows, too_large,
};
use super::{Done, Function, Reach};
use crate::folders::{Folders, OpenError, Opened};

pub(crate) mod records;
pub(crate) mod rows;

pub const MANIFEST: &str = include_str!("csv.json");

/// The largest file. Its rows are held in memory, at a multiple of their size on disk.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The largest file that is streamed. Its rows are larger as JSON, and must fit into a list.
pub const STREAMED_BYTES_MAX: u64 = LIST_BYTES_MAX;

pub(crate) struct Csv;

impl Function for Csv {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Done> {
        let input = input.clone();
        async move {
            // Given back when the rows are read or nobody waits for them.
            let _turn = reach.turn().await;
            run(reach.folders(), input, reach.effect().lists.clone()).await
        }
        .boxed()
    }
}

async fn run(folders: Arc<Folders>, input: Value, lists: Lists) -> Done {
    let cancelled = CancelOnDrop::default();
    let flag = cancelled.flag();
    let work = tokio::task::spawn_blocking(move || read_path(&folders, &input, &lists, &flag));
    work.await.unwrap_or_else(|error| {
        let fault = Fault::new(ErrorType::Runtime, format!("reading the file broke off: {error}"));
        Done::Ended { result: Err(fault), rule: None }
    })
}

/// The arguments, after their schema.
struct Arguments {
    header: Header,
    skip: u64,
    delimiter: u8,
    infer: bool,
    limit: Option<u64>,
    stream: bool,
}

enum Header {
    FirstLine,
    None,
    Names(Vec<String>),
}

fn read_path(folders: &Folders, input: &Value, lists: &Lists, cancelled: &Cancelled) -> Done {
    let path = get(input, "path").and_then(as_str).unwrap_or_default();
    let Opened { file, rule } = match folders.open(path) {
        Ok(opened) => opened,
        Err(error) => return refused(&error),
    };
    let arguments = Arguments::of(input);
    let result = Rows::begin(arguments.stream, lists)
        .and_then(|rows| read_file(file, path, &arguments, rows, cancelled));
    Done::Ended { result, rule: Some(rule) }
}

fn refused(error: &OpenError) -> Done {
    if let Some(code) = error.denial() {
        let fault =
            Fault::new(ErrorType::Authorization, format!("{code}: {error}")).with_title(DENIED);
        return Done::Denied { fault, rule: "no entry of files matches".into() };
    }
    let fault = Fault::new(ErrorType::Runtime, error.to_string());
    let fault = match error {
        OpenError::Missing { .. } => fault.with_status(404).with_title("File not found"),
        _ => fault,
    };
    Done::Ended { result: Err(fault), rule: None }
}

fn read_file(
    file: File,
    path: &str,
    arguments: &Arguments,
    rows: Rows,
    cancelled: &Cancelled,
) -> Result<Value, Fault> {
    let unreadable = |error: io::Error| {
        Fault::new(ErrorType::Runtime, format!("cannot read `{path}`: {}", error.kind()))
    };
    let bytes = file.metadata().map_err(unreadable)?.len();
    let (bytes_max, way) = match arguments.stream {
        true => (STREAMED_BYTES_MAX, "cut it into several files"),
        false => (FILE_BYTES_MAX, "give `stream: true` and go over `rows` with `for`"),
    };
    if bytes > bytes_max {
        return Err(too_large(format!("`{path}` has {bytes} bytes, more than {bytes_max}; {way}")));
    }
    // A file that grows meanwhile is read up to the limit.
    let source = cancelled.over(file.take(bytes_max));
    read_rows(source, path, arguments, rows, unreadable)
}

fn read_rows(
    source: impl Read,
    path: &str,
    arguments: &Arguments,
    rows: Rows,
    unreadable: impl Fn(io::Error) -> Fault,
) -> Result<Value, Fault> {
    let mut records = Records::new(source, arguments.delimiter);
    if records.is_utf16().map_err(&unreadable)? {
        let detail = format!("`{path}` is UTF-16; convert it to UTF-8");
        return Err(Fault::new(ErrorType::Validation, detail));
    }
    for _ in 0..arguments.skip {
        if !records.skip_line().map_err(&unreadable)? {
            break;
        }
    }
    let columns = match &arguments.header {
        Header::FirstLine => first_line(&mut records, path).map_err(&unreadable)??,
        Header::Names(names) => Columns::named(names.iter().map(String::as_str)),
        Header::None => Columns::unnamed(),
    };
    let mut found = Found::new(rows);
    let mut shape = Shape::new(columns, arguments.infer);
    while let Some(next) = records.next().map_err(&unreadable)? {
        if arguments.limit.is_some_and(|limit| found.read == limit) {
            found.more = true;
            break;
        }
        found.take(next, &mut shape, &records)?;
        if found.is_too_much() {
            let detail = format!(
                "`{path}` has more than {ROWS_MAX} rows or {CELLS_MAX} fields; give `stream: true` and go over `rows` with \
                 `for`, or read it in parts, with `header`, `skip` and `limit`"
            );
            return Err(too_large(detail));
        }
    }
    found.into_value()
}

/// What has been read so far.
struct Found {
    rows: Rows,
    bad: Vec<Value>,
    count: u64,
    read: u64,
    cells: usize,
    more: bool,
}

impl Found {
    fn new(rows: Rows) -> Self {
        Self { rows, bad: Vec::new(), count: 0, read: 0, cells: 0, more: false }
    }

    fn is_too_much(&self) -> bool {
        // The writer of a list knows its own limit.
        self.rows.is_here() && (self.read > ROWS_MAX || self.cells > CELLS_MAX)
    }

    fn take<R>(
        &mut self,
        next: Next,
        shape: &mut Shape,
        records: &Records<R>,
    ) -> Result<(), Fault> {
        self.read += 1;
        let row = match next {
            Next::Row => shape.row(records),
            Next::Bad(reason) => Err(reason.to_string()),
        };
        match row {
            Ok(row) => {
                self.count += 1;
                self.cells += records.len();
                self.rows.push(row)?;
            }
            Err(reason) => {
                if self.rows.is_here() || self.bad.len() < BAD_LISTED_MAX {
                    self.bad.push(bad_row(self.read, records.line(), &reason));
                }
            }
        }
        Ok(())
    }

    fn into_value(self) -> Result<Value, Fault> {
        Ok(object([
            ("rows", self.rows.into_value()?),
            ("count", number(self.count)),
            ("read", number(self.read)),
            ("bad", array(self.bad)),
            ("more", Value::Bool(self.more)),
        ]))
    }
}

/// The names of the columns, from the file itself. An empty file has none, and no rows either.
fn first_line<R: Read>(records: &mut Records<R>, path: &str) -> io::Result<Result<Columns, Fault>> {
    let named = header(records)?.map_err(|UnnamedColumns { line, what }| {
        let detail = format!(
            "line {line} of `{path}` does not name the columns: {what}; write the names into `header`, or leave lines out with `skip`"
        );
        Fault::new(ErrorType::Validation, detail)
    });
    Ok(named.map(|named| match named {
        None => Columns::unnamed(),
        Some(names) => Columns::named(names.iter().map(String::as_str)),
    }))
}

/// Why a line does not name the columns.
pub(crate) struct UnnamedColumns {
    pub(crate) line: u64,
    pub(crate) what: String,
}

/// The names that the next row gives the columns; none where there is no row.
pub(crate) fn header<R: Read>(
    records: &mut Records<R>,
) -> io::Result<Result<Option<Vec<String>>, UnnamedColumns>> {
    let Some(next) = records.next()? else { return Ok(Ok(None)) };
    let line = records.line();
    if let Next::Bad(reason) = next {
        return Ok(Err(UnnamedColumns { line, what: reason.to_string() }));
    }
    let wrong = records.fields().position(str::is_empty).map(|at| (at, "no name"));
    let mut seen = std::collections::HashSet::new();
    let mut twice = || records.fields().position(|name| !seen.insert(name));
    let wrong = wrong.or_else(|| Some((twice()?, "the name of an earlier one")));
    Ok(match wrong {
        Some((at, what)) => {
            Err(UnnamedColumns { line, what: format!("column {} has {what}", at + 1) })
        }
        None => Ok(Some(records.fields().map(str::to_owned).collect())),
    })
}

fn bad_row(row: u64, line: u64, reason: &str) -> Value {
    object([("row", number(row)), ("line", number(line)), ("reason", string(reason))])
}

pub(crate) fn number(count: u64) -> Value {
    int(i64::try_from(count).expect("rows and lines of a file of 16 GiB"))
}

impl Arguments {
    fn of(input: &Value) -> Self {
        let header = match get(input, "header") {
            None | Some(Value::Bool(true)) => Header::FirstLine,
            Some(names) => match as_array(names) {
                Some(names) => {
                    Header::Names(names.iter().filter_map(as_str).map(str::to_owned).collect())
                }
                None => Header::None,
            },
        };
        let delimiter =
            get(input, "delimiter").and_then(as_str).and_then(|text| text.bytes().next());
        Self {
            header,
            skip: get(input, "skip").and_then(whole).unwrap_or(0),
            delimiter: delimiter.unwrap_or(b','),
            infer: !matches!(get(input, "infer"), Some(Value::Bool(false))),
            limit: get(input, "limit").and_then(whole),
            stream: matches!(get(input, "stream"), Some(Value::Bool(true))),
        }
    }
}

/// A whole number that is not negative. In JSON `2.0` is one too.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    if let Some(int) = as_i64(value) {
        return u64::try_from(int).ok();
    }
    match base::value::to_serde(value).as_f64() {
        // The schema allows no more than 2^53, which a float holds exactly.
        Some(float) if float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float) => {
            Some(float as u64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str, text: &[u8]) -> Result<String, String> {
        let input = base::value::parse(arguments.as_bytes()).expect("json");
        let unreadable = |error: io::Error| Fault::new(ErrorType::Runtime, error.to_string());
        let rows =
            read_rows(text, "data/in.csv", &Arguments::of(&input), Rows::default(), unreadable);
        rows.map(|value| base::value::to_json_string(&value)).map_err(|fault| fault.to_string())
    }

    fn check(arguments: &str, text: &[u8], expected: &str) {
        let said = read(arguments, text).unwrap_or_else(|fault| fault);
        assert_eq!(said, expected, "{arguments} {}", String::from_utf8_lossy(text));
    }

    /// Mutation: ignore any of the arguments.
    #[test]
    fn arguments_say_how_a_file_is_read() {
        let rest = r#""bad":[],"more":false}"#;
        check(
            "{}",
            b"a,b\n1,x\n",
            &format!(r#"{{"rows":[{{"a":1,"b":"x"}}],"count":1,"read":1,{rest}"#),
        );
        check(
            r#"{"header":false}"#,
            b"a,b\n1,x\n",
            &format!(r#"{{"rows":[["a","b"],[1,"x"]],"count":2,"read":2,{rest}"#),
        );
        check(
            r#"{"header":["p","q"],"skip":1,"infer":false}"#,
            b"569,30,malignant\n1,\n",
            &format!(r#"{{"rows":[{{"p":"1","q":""}}],"count":1,"read":1,{rest}"#),
        );
        check(
            r#"{"delimiter":";"}"#,
            b"a;b\n1,5;2\n",
            &format!(r#"{{"rows":[{{"a":"1,5","b":2}}],"count":1,"read":1,{rest}"#),
        );
        check(
            r#"{"limit":1}"#,
            b"a\n1\n2\n",
            r#"{"rows":[{"a":1}],"count":1,"read":1,"bad":[],"more":true}"#,
        );
        check(
            r#"{"limit":2.0}"#,
            b"a\n1\n2\n",
            r#"{"rows":[{"a":1},{"a":2}],"count":2,"read":2,"bad":[],"more":false}"#,
        );
        check(
            r#"{"limit":0}"#,
            b"a\n1\n",
            r#"{"rows":[],"count":0,"read":0,"bad":[],"more":true}"#,
        );
        check("{}", b"", &format!(r#"{{"rows":[],"count":0,"read":0,{rest}"#));
        check("{}", b"a,b", &format!(r#"{{"rows":[],"count":0,"read":0,{rest}"#));
        check(r#"{"skip":5}"#, b"a\n1\n", &format!(r#"{{"rows":[],"count":0,"read":0,{rest}"#));
    }

    /// Mutation: count from the file's lines, stop at a bad row, or number only good rows.
    #[test]
    fn bad_rows_are_listed_by_number_and_the_rest_goes_on() {
        check(
            "{}",
            b"a,b\n1,\"x\ny\"\n2\n\n3,z,z\n\xff,z\n4,z\n5,\"open\n6,z\n",
            r#"{"rows":[{"a":1,"b":"x\ny"},{"a":4,"b":"z"},{"a":6,"b":"z"}],"count":3,"read":7,"bad":[{"row":2,"line":4,"reason":"1 field where 2 are expected"},{"row":3,"line":6,"reason":"3 fields where 2 are expected"},{"row":4,"line":7,"reason":"not UTF-8"},{"row":6,"line":9,"reason":"a quote that is not closed"}],"more":false}"#,
        );
    }

    /// Mutation: take any first line for names.
    #[test]
    fn a_line_that_names_no_columns_is_refused() {
        let way = "write the names into `header`, or leave lines out with `skip`";
        for (text, what) in [
            ("a,,c\n", "column 2 has no name"),
            ("a,b,a\n", "column 3 has the name of an earlier one"),
            ("a,\"b\n", "a quote that is not closed"),
        ] {
            let expected = format!(
                "Validation error (400): line 1 of `data/in.csv` does not name the columns: {what}; {way}"
            );
            check("{}", text.as_bytes(), &expected);
        }
        check(
            "{}",
            b"\xff\xfea\0",
            "Validation error (400): `data/in.csv` is UTF-16; convert it to UTF-8",
        );
    }

    /// Mutation: drop the look at the number of rows or of fields.
    #[test]
    fn too_many_rows_or_fields_are_refused() {
        let rows = "1\n".repeat(usize::try_from(ROWS_MAX).expect("small") + 1);
        let error = read(r#"{"header":false}"#, rows.as_bytes()).expect_err("too many rows");
        assert!(
            error.starts_with("File too large (413): `data/in.csv` has more than 1000000 rows"),
            "{error}"
        );
        let row = ",".repeat(2_000) + "\n";
        let fields = row.repeat(CELLS_MAX / 2_001 + 1);
        assert!(read(r#"{"header":false}"#, fields.as_bytes()).is_err());
    }
}
