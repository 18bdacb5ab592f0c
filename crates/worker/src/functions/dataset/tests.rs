//! Rows and results of text, whatever its format. Files and addresses are in the tests of the room.

use base::DatasetName;

use super::*;
use crate::datasets::{CsvForm, Readers, RowSchema};

fn job(format: Format, schema: &str, arguments: &str) -> Job {
    let parse = |text: &str| base::value::parse(text.as_bytes()).expect("JSON");
    let row = Some(schema).filter(|it| !it.is_empty()).map(parse);
    let dataset = datasets::Dataset {
        name: DatasetName::parse("cases").expect("a name"),
        source: datasets::Source::Url("https://h/x".to_owned()),
        format,
        labels: Vec::new(),
        owner: None,
        readers: Readers::All,
        row: row.map(|row| RowSchema::compile(&row).expect("a schema")),
        is_told: true,
    };
    let wanted = Wanted::of(&parse(arguments));
    Job { dataset: Arc::new(dataset), wanted, lists: Lists::default() }
}

fn read(job: &Job, text: &[u8]) -> Result<Value, Fault> {
    let mut source = job.text(text)?;
    job.gather(&mut *source, None)
}

/// Rows, `bad`, `count`, `read`, `more`; or the fault.
fn said(job: &Job, text: &[u8]) -> String {
    let value = match read(job, text) {
        Ok(value) => value,
        Err(fault) => return fault.to_string(),
    };
    let field = |name| base::value::to_json_string(get(&value, name).expect(name));
    let (rows, bad) = (field("rows"), field("bad"));
    format!("{rows} bad {bad} {} of {}, more {}", field("count"), field("read"), field("more"))
}

fn csv() -> Format {
    Format::Csv(CsvForm::default())
}

const PEOPLE: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"},"name":{"type":"string"}}}"#;

/// Mutation: take all text for numbers, check a row before its fields have types, or forget an argument.
#[test]
fn rows_are_typed_by_their_schema_and_cut_by_the_arguments() {
    let text = b"n,name\r\n1,\"a,\r\nb\"\r\n2,007\r\n3,c\r\n";
    let all = r#"[{"n":1,"name":"a,\r\nb"},{"n":2,"name":"007"},{"n":3,"name":"c"}]"#;
    assert_eq!(said(&job(csv(), PEOPLE, "{}"), text), format!("{all} bad [] 3 of 3, more false"));
    let plain = said(&job(csv(), "", r#"{"limit":1}"#), text);
    assert_eq!(plain, r#"[{"n":"1","name":"a,\r\nb"}] bad [] 1 of 1, more true"#);
    let cut = said(&job(csv(), PEOPLE, r#"{"offset":1,"limit":1,"columns":["n"]}"#), text);
    assert_eq!(cut, r#"[{"n":2}] bad [] 1 of 1, more true"#);
    let swapped = said(&job(csv(), PEOPLE, r#"{"columns":["name","n"],"offset":2}"#), text);
    assert_eq!(swapped, r#"[{"name":"c","n":3}] bad [] 1 of 1, more false"#);
    let beyond = said(&job(csv(), PEOPLE, r#"{"offset":9}"#), text);
    assert_eq!(beyond, "[] bad [] 0 of 0, more false");
    let header = Some(vec!["n".into(), "name".into()]);
    let named = Format::Csv(CsvForm { delimiter: b';', skip: 2, header });
    let said = said(&job(named, PEOPLE, "{}"), b"Exported;\n2 rows\n1;a\n2;b\n");
    assert_eq!(said, r#"[{"n":1,"name":"a"},{"n":2,"name":"b"}] bad [] 2 of 2, more false"#);
}

/// Mutation: number rows from the offset, count only good rows, or say what a row holds.
#[test]
fn bad_rows_are_told_by_their_numbers_in_the_source() {
    let text = b"n,name\n1,a\nCANARY,b\n3\n\"4,c\n5,\xff\n6,f\n";
    let skipping = r#"{"onBadRow":"skip"}"#;
    let expected = r#"[{"n":1,"name":"a"},{"n":6,"name":"f"}] bad [{"row":2,"code":"schema","line":3},{"row":3,"code":"columns","line":4},{"row":4,"code":"quote","line":5},{"row":5,"code":"not-utf-8","line":6}] 2 of 6, more false"#;
    assert_eq!(said(&job(csv(), PEOPLE, skipping), text), expected);
    let later = said(&job(csv(), PEOPLE, r#"{"onBadRow":"skip","offset":3,"limit":2}"#), text);
    assert_eq!(
        later,
        r#"[] bad [{"row":4,"code":"quote","line":5},{"row":5,"code":"not-utf-8","line":6}] 0 of 2, more true"#
    );
    let fault = read(&job(csv(), PEOPLE, "{}"), text).expect_err("bad rows");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Validation, 400));
    assert_eq!(
        fault.to_string(),
        "Bad rows (400): dataset `cases`: 4 of 6 rows are bad: row 2 (line 3, schema), row 3 (line 4, columns), row 4 \
         (line 5, quote), row 5 (line 6, not-utf-8); `onBadRow: skip` reads the others"
    );
    let lines = b"{\"n\":1}\n{\"n\":\"CANARY\"}\n[CANARY]\n";
    let said = said(&job(Format::Jsonl, PEOPLE, skipping), lines);
    assert_eq!(
        said,
        r#"[{"n":1}] bad [{"row":2,"code":"schema","line":2},{"row":3,"code":"not-json","line":3}] 1 of 3, more false"#
    );
}

/// Mutation: list every bad row, or name all of them in an error.
#[test]
fn what_is_listed_of_bad_rows_is_bounded() {
    let text = b"{\"n\":true}\n".repeat(BAD_LISTED_MAX + 5);
    let value = read(&job(Format::Jsonl, PEOPLE, r#"{"onBadRow":"skip"}"#), &text).expect("rows");
    let bad = get(&value, "bad").and_then(as_array).expect("a list");
    assert_eq!((bad.len(), get(&value, "read")), (BAD_LISTED_MAX, Some(&base::value::int(1005))));
    let fault = read(&job(Format::Jsonl, PEOPLE, "{}"), &text).expect_err("bad rows");
    let detail = fault.detail.expect("a detail");
    assert!(detail.contains("1005 of 1005 rows are bad: row 1 (") && detail.contains(", …;"));
    assert!(detail.len() < 500, "{detail}");
}

/// Mutation: give a column that no row can have as one that all of them lack.
#[test]
fn a_column_that_is_not_there_is_named() {
    let wanted = r#"{"columns":["n","nmae"]}"#;
    assert_eq!(
        said(&job(csv(), "", wanted), b"n,name\n1,a\n"),
        "Validation error (400): dataset `cases`: it has no column `nmae`"
    );
    assert_eq!(said(&job(csv(), "", wanted), b""), "[] bad [] 0 of 0, more false");
    // An object may lack what another one has.
    let some = said(&job(Format::Json, "", wanted), br#"[{"n":1},{"nmae":2,"x":3}]"#);
    assert_eq!(some, r#"[{"n":1},{"nmae":2}] bad [] 2 of 2, more false"#);
}

/// Mutation: hold more rows or bytes than a result may have.
#[test]
fn a_result_is_bounded_by_rows_and_bytes() {
    let rows = usize::try_from(ROWS_MAX).expect("small");
    let fault = read(&job(Format::Jsonl, "", "{}"), &b"{}\n".repeat(rows + 1)).expect_err("many");
    assert_eq!((fault.status, &*fault.title.expect("a title")), (413, "File too large"));
    assert!(fault.detail.is_some_and(|it| it.contains("`stream: true`")));
    assert!(read(&job(Format::Jsonl, "", "{}"), &b"{}\n".repeat(rows)).is_ok());
    let job = job(Format::Jsonl, "", "{}");
    let mut found = Found::new(Rows::default(), 0);
    found.bytes_left = 20;
    let row = object([("a", string("0123456789"))]);
    assert!(job.keep(&mut found, row.clone()).is_ok());
    assert_eq!(job.keep(&mut found, row).expect_err("too much").status, 413);
}

/// Mutation: say the trouble of a source as the trouble of a row.
#[test]
fn a_source_of_another_form_is_refused() {
    for (format, text, part) in [
        (csv(), b"a,a\n1,2\n".as_slice(), "line 1 does not name the columns: column 2"),
        (csv(), b"\xff\xfea", "UTF-16"),
        (Format::Json, b"{}", "format: jsonl"),
    ] {
        let fault = read(&job(format, "", "{}"), text).expect_err(part);
        let detail = fault.detail.clone().expect("a detail");
        assert_eq!(fault.kind(), ErrorType::Validation, "{detail}");
        assert!(detail.starts_with("dataset `cases`: ") && detail.contains(part), "{detail}");
    }
}
