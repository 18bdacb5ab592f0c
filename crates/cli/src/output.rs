//! What stands on stdout: data, in the form that was asked for. Talk goes to stderr, elsewhere.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;
use wire::Finding;

use crate::failure::{Failure, Outcome};

/// Characters of a value in a table; the whole is in `-o json`.
const CELL_CHARS_MAX: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people. May change with every version.
    Text,
    /// For programs. A stable contract.
    Json,
    /// The same as JSON, in YAML.
    Yaml,
}

/// Writes data in the form asked for; `text` is asked for only where it is wanted.
pub fn show<T: Serialize>(format: Format, data: &T, text: impl FnOnce() -> String) -> Outcome<()> {
    match format {
        Format::Text => write(&text()),
        Format::Json => write(&json(data)?),
        Format::Yaml => write(&yaml(data)?),
    }
}

/// One of many, as they come: a line of JSON, a document of YAML.
pub fn show_next<T: Serialize>(
    format: Format,
    data: &T,
    text: impl FnOnce() -> String,
) -> Outcome<()> {
    match format {
        Format::Text => write(&text()),
        Format::Json => write(&serde_json::to_string(data).map_err(not_written)?),
        Format::Yaml => write(&format!("---\n{}", yaml(data)?)),
    }
}

pub fn json<T: Serialize>(data: &T) -> Outcome<String> {
    serde_json::to_string_pretty(data).map_err(not_written)
}

pub fn yaml<T: Serialize>(data: &T) -> Outcome<String> {
    serde_saphyr::to_string(data).map_err(not_written)
}

fn not_written(cause: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("cannot write the data: {cause}"))
}

/// Text on stdout, with exactly one line end behind it.
pub fn write(text: &str) -> Outcome<()> {
    let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    write_exact(&format!("{text}{end}"))
}

/// Text on stdout as it is: a part of a line, perhaps.
pub fn write_exact(text: &str) -> Outcome<()> {
    write_bytes(text.as_bytes())
}

pub fn write_bytes(bytes: &[u8]) -> Outcome<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes);
    match written.and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough, as with `| head`.
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(cause) => Err(Failure::internal(format!("cannot write to stdout: {cause}"))),
        Ok(()) => Ok(()),
    }
}

/// A line of talk.
pub fn say(text: &str) {
    // Nobody is left to tell that nobody listens.
    let _ = writeln!(io::stderr().lock(), "{}", harmless(text));
}

/// A table for people: a head in capitals, two spaces between columns.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| harmless(cell).replace('\n', " ")));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A value in one short line.
#[must_use]
pub fn short(value: &Value) -> String {
    clip(&value.to_string(), CELL_CHARS_MAX)
}

#[must_use]
pub fn clip(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max - 1).collect();
    format!("{kept}…")
}

/// Text from elsewhere must not drive the terminal.
#[must_use]
pub fn harmless(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

/// A finding as a terminal shows it.
#[must_use]
pub fn finding(finding: &Finding) -> String {
    if let Some(rendered) = &finding.rendered {
        return rendered.clone();
    }
    let mut text = format!(
        "{}[{}]: {}\n  --> {}:{}",
        finding.severity, finding.code, finding.message, finding.line, finding.column
    );
    if let Some(hint) = &finding.hint {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Mutation: write strings without quotes where YAML reads them as something else.
    #[test]
    fn yaml_reads_back_as_the_same_data() {
        let data = json!({
            "strings": ["yes", "1e3", "0x10", "", " a", "a: b", "# c", "null", "~", "two\nlines\n", "é", "- x"],
            "numbers": [0, -1, 1.5, 9_007_199_254_740_993_i64],
            "empty": [{}, []], "nothing": null, "truth": [true, false], "key: odd": {"": 1},
        });
        let text = yaml(&data).expect("data has YAML text");
        let back: Value = serde_saphyr::from_str(&text).expect("our own YAML");
        assert_eq!(back, data, "{text}");
    }

    /// Mutation: leave trailing spaces, or let a value break the line.
    #[test]
    fn a_table_is_plain_text_with_aligned_columns() {
        let rows = vec![
            vec!["a".to_owned(), "x\ny".to_owned()],
            vec!["long".to_owned(), "\u{1b}z".to_owned()],
        ];
        assert_eq!(table(&["name", "what"], rows), "NAME  WHAT\na     x y\nlong  \u{fffd}z");
    }

    /// Mutation: cut bytes instead of characters.
    #[test]
    fn a_long_value_is_cut_with_a_mark() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
    }
}
