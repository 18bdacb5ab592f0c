//! Rows out of a source, one after the other, whatever its format: what all formats have in common.

use std::io::{self, Read};

use base::Value;
use base::value::{Map, string};

use crate::datasets::{CsvForm, Kinds, RowSchema};
use crate::functions::csv::records::{BadRow, Next, Records};
use crate::functions::csv::rows::{number, plain};
use crate::functions::csv::{UnnamedColumns, header};

/// Rows of one source. It holds one of them, and what its format needs to go on.
pub(super) trait Source {
    /// Goes to the next row, and says whether it is one, as far as can be told without its value.
    /// `None` at the end.
    fn advance(&mut self) -> Result<Option<Result<(), Bad>>, Broken>;

    /// The value of the row that `advance` has gone to.
    fn value(&mut self) -> Result<Value, Bad>;

    /// The line on which that row began; none where the format has no lines.
    fn line(&self) -> Option<u64>;

    /// The names of its columns, where the source says them once for all rows.
    fn columns(&self) -> Option<Vec<&str>>;

    /// Steps over so many rows, or as many as there are, and says how many.
    fn skip(&mut self, rows: u64) -> Result<u64, Broken> {
        for skipped in 0..rows {
            if self.advance()?.is_none() {
                return Ok(skipped);
            }
        }
        Ok(rows)
    }
}

/// What is wrong with one row. Never with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    NotJson,
    NotAnObject,
    NotUtf8,
    Quote,
    Columns,
    TooLong,
    /// It holds what JSON cannot say.
    Value,
    Schema,
}

/// Why there are no rows at all, or no more.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    /// It is not what it is declared to be. Says what to do; never its content.
    Wrong(String),
}

impl Bad {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::NotAnObject => "not-an-object",
            Self::NotUtf8 => "not-utf-8",
            Self::Quote => "quote",
            Self::Columns => "columns",
            Self::TooLong => "too-long",
            Self::Value => "value",
            Self::Schema => "schema",
        }
    }
}

impl From<BadRow> for Bad {
    fn from(bad: BadRow) -> Self {
        match bad {
            BadRow::Unclosed | BadRow::AfterQuote => Self::Quote,
            BadRow::TooLong => Self::TooLong,
            BadRow::TooManyFields => Self::Columns,
            BadRow::NotUtf8 => Self::NotUtf8,
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Comma-separated values, each the text that it is but where the schema of a row says otherwise.
pub(super) struct Csv<R> {
    records: Records<R>,
    names: Vec<String>,
    /// By column: the name as a value, and what its text may become.
    columns: Vec<(Value, Kinds)>,
}

impl<R: Read> Csv<R> {
    pub(super) fn open(
        from: R,
        form: &CsvForm,
        schema: Option<&RowSchema>,
    ) -> Result<Self, Broken> {
        let mut records = Records::new(from, form.delimiter);
        if records.is_utf16()? {
            return Err(Broken::Wrong("it is UTF-16; convert it to UTF-8".to_owned()));
        }
        for _ in 0..form.skip {
            if !records.skip_line()? {
                break;
            }
        }
        let names = match &form.header {
            Some(names) => names.clone(),
            None => header(&mut records)?.map_err(unnamed)?.unwrap_or_default(),
        };
        let kinds = |name: &String| schema.map_or_else(Kinds::default, |it| it.kinds(name));
        let columns = names.iter().map(|name| (string(name), kinds(name))).collect();
        Ok(Self { records, names, columns })
    }
}

fn unnamed(UnnamedColumns { line, what }: UnnamedColumns) -> Broken {
    Broken::Wrong(format!(
        "line {line} does not name the columns: {what}; declare their names in `csv.header`, or leave lines out with `csv.skip`"
    ))
}

impl<R: Read> Source for Csv<R> {
    fn advance(&mut self) -> Result<Option<Result<(), Bad>>, Broken> {
        Ok(match self.records.next()? {
            None => None,
            Some(Next::Bad(bad)) => Some(Err(bad.into())),
            Some(Next::Row) if self.records.len() != self.columns.len() => Some(Err(Bad::Columns)),
            Some(Next::Row) => Some(Ok(())),
        })
    }

    fn value(&mut self) -> Result<Value, Bad> {
        let fields = self.columns.iter().zip(self.records.fields());
        let mut row = Map::with_capacity_and_hasher(self.columns.len(), Default::default());
        row.extend(fields.map(|((name, kinds), text)| (name.clone(), typed(text, *kinds))));
        Ok(Value::obj(row))
    }

    fn line(&self) -> Option<u64> {
        Some(self.records.line())
    }

    fn columns(&self) -> Option<Vec<&str>> {
        Some(self.names.iter().map(String::as_str).collect())
    }
}

/// A text as the type that the schema of a row wants, or as it is: whether that will do, the schema
/// says.
fn typed(text: &str, kinds: Kinds) -> Value {
    let plain = plain(text);
    if kinds.null && plain.is_empty() {
        return Value::Null;
    }
    if kinds.boolean && matches!(plain, "true" | "false") {
        return Value::Bool(plain == "true");
    }
    let number = if kinds.integer || kinds.number { number(text) } else { None };
    number.unwrap_or_else(|| string(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(names: &str) -> Kinds {
        let schema = format!(r#"{{"properties":{{"a":{{"type":{names}}}}}}}"#);
        let schema = base::value::parse(schema.as_bytes()).expect("JSON");
        RowSchema::compile(&schema).expect("a schema").kinds("a")
    }

    /// Mutation: make numbers of text that no schema calls a number, or of text that only looks like one.
    #[test]
    fn text_becomes_what_the_schema_of_a_row_says() {
        for (text, names, json) in [
            ("7", r#""string""#, r#""7""#),
            ("7", r#""integer""#, "7"),
            (" 7 ", r#""integer""#, "7"),
            ("007", r#""integer""#, r#""007""#),
            ("7.50", r#""number""#, "7.5"),
            ("seven", r#""number""#, r#""seven""#),
            ("", r#""number""#, r#""""#),
            ("", r#"["number","null"]"#, "null"),
            ("", r#"["string","null"]"#, "null"),
            ("true", r#""boolean""#, "true"),
            ("True", r#""boolean""#, r#""True""#),
            ("true", r#""string""#, r#""true""#),
            ("x", r#"["integer","string"]"#, r#""x""#),
        ] {
            let said = base::value::to_json_string(&typed(text, kinds(names)));
            assert_eq!(said, json, "{text:?} as {names}");
        }
        assert_eq!(kinds(r#""object""#), Kinds::default());
    }

    /// Mutation: leave out what is said of all other columns, or take it for those that are named.
    #[test]
    fn what_is_said_of_other_columns_is_for_those_that_are_not_named() {
        let schema = r#"{"properties":{"a":{"type":"string"},"b":{}},"additionalProperties":{"type":"number"}}"#;
        let schema = base::value::parse(schema.as_bytes()).expect("JSON");
        let schema = RowSchema::compile(&schema).expect("a schema");
        let as_is = |column| base::value::to_json_string(&typed("7", schema.kinds(column)));
        assert_eq!(["a", "b", "c"].map(as_is), [r#""7""#, r#""7""#, "7"]);
    }
}
