//! A run's input, put together from `-i`: `key=value`, `@file`, or `-` for stdin.

use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};
use crate::file;

/// What a site takes in one request is less; this only keeps a wrong file out of memory.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Keys within keys: the reader of JSON stops at 128.
const KEY_DEPTH_MAX: usize = 100;

/// All parts, in order: objects grow together, anything else must stand alone. Nothing at all is
/// an empty object.
pub fn read(parts: &[String]) -> Outcome<Value> {
    let mut whole: Option<Value> = None;
    for part in parts {
        let value = read_part(part)?;
        whole = Some(match whole {
            None => value,
            Some(before) => merge_whole(before, value, part)?,
        });
    }
    Ok(whole.unwrap_or_else(|| Value::Object(Map::new())))
}

fn merge_whole(before: Value, value: Value, part: &str) -> Outcome<Value> {
    match (before, value) {
        (Value::Object(mut before), Value::Object(value)) => {
            merge(&mut before, value);
            Ok(Value::Object(before))
        }
        _ => Err(Failure::usage(format!(
            "cannot add `-i {}` to the input: both must be objects",
            name_of(part)
        ))
        .hint("an input that is no object stands alone in one `-i @FILE`")),
    }
}

/// The part without its value, which may be a secret.
fn name_of(part: &str) -> &str {
    part.split_once('=').map_or(part, |(key, _)| key)
}

/// What is in both is taken from `value`, objects member by member.
fn merge(before: &mut Map<String, Value>, value: Map<String, Value>) {
    for (key, value) in value {
        match (before.get_mut(&key), value) {
            (Some(Value::Object(before)), Value::Object(value)) => merge(before, value),
            (_, value) => {
                before.insert(key, value);
            }
        }
    }
}

/// The data of an event: JSON, `@FILE`, or `-` for stdin.
pub fn data(text: &str) -> Outcome<Value> {
    if text == "-" || text.starts_with('@') {
        return read_part(text);
    }
    // The text is not repeated: it may hold a secret.
    serde_json::from_str(text).map_err(|cause| {
        Failure::usage(format!("the data after `-d` is not JSON: {cause}"))
            .hint("a text is written with quotes: `-d '\"text\"'`")
    })
}

fn read_part(part: &str) -> Outcome<Value> {
    if part == "-" {
        return read_file(Path::new(part));
    }
    if let Some(file) = part.strip_prefix('@') {
        return read_file(Path::new(file));
    }
    let Some((key, text)) = part.split_once('=') else {
        return Err(Failure::usage("an `-i` is neither `KEY=VALUE` nor `@FILE` nor `-`")
            .hint("write for example `-i name=Ada`, `-i sizes='[1, 2]'`, or `-i @input.json`"));
    };
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    nest(key, value)
}

/// `a.b=1` is `{"a": {"b": 1}}`; `\.` is a dot within a key.
fn nest(key: &str, value: Value) -> Outcome<Value> {
    let mut keys = vec![String::new()];
    let mut chars = key.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'.') => {
                chars.next();
                keys.last_mut().expect("never empty").push('.');
            }
            '.' => keys.push(String::new()),
            c => keys.last_mut().expect("never empty").push(c),
        }
    }
    if keys.len() > KEY_DEPTH_MAX || keys.iter().any(String::is_empty) {
        return Err(Failure::usage(format!(
            "`{key}` is not a key: write `a=…`, or `a.b=…` for `b` within `a`"
        )));
    }
    Ok(keys
        .into_iter()
        .rev()
        .fold(value, |value, key| Value::Object(Map::from_iter([(key, value)]))))
}

fn read_file(file: &Path) -> Outcome<Value> {
    let text = file::text(file, INPUT_BYTES_MAX)?;
    let source = file::shown(file);
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => parse_yaml(&source, &text),
        _ => parse_json(&source, &text),
    }
}

fn parse_json(source: &str, text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|cause| {
        // The parser's own words may repeat a piece of the input.
        let what = match cause.classify() {
            serde_json::error::Category::Eof => "ends too early",
            _ => "is not JSON",
        };
        Failure::usage(format!(
            "the input in {source} {what} at line {}, column {}",
            cause.line(),
            cause.column()
        ))
    })
}

fn parse_yaml(source: &str, text: &str) -> Outcome<Value> {
    serde_saphyr::from_str(text).map_err(|cause| {
        let place =
            cause.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
        Failure::usage(format!("the input in {source} is not YAML{}", place.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(parts: &[&str], expected: Value) {
        let parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
        assert_eq!(read(&parts), Ok(expected), "{parts:?}");
    }

    fn refused(parts: &[&str]) -> String {
        let parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
        read(&parts).expect_err("wrong input").render()
    }

    /// Mutation: take everything as text, split at the last `=`, or replace instead of merging.
    #[test]
    fn an_input_is_put_together_from_its_parts() {
        check(&[], json!({}));
        check(
            &["name=Ada", "n=3", "on=true", "zip=007"],
            json!({"name": "Ada", "n": 3, "on": true, "zip": "007"}),
        );
        check(&["q=\"3\"", "eq=a=b", "none="], json!({"q": "3", "eq": "a=b", "none": ""}));
        check(&["a.b=1", "a.c=[2]", "a.b=3"], json!({"a": {"b": 3, "c": [2]}}));
        check(&["a\\.b=1"], json!({"a.b": 1}));
        check(&["a=1", "a.b=2"], json!({"a": {"b": 2}}));
    }

    /// Mutation: name the value in the message, or accept an empty key.
    #[test]
    fn a_wrong_part_is_refused_without_its_value() {
        for part in ["nothing", "=1", "a..b=secret", ".=secret", "@/no/such/file"] {
            let said = refused(&[part]);
            assert!(said.starts_with("error: ") && !said.contains("secret"), "{said}");
        }
    }

    /// Mutation: accept an array where something is added to it.
    #[test]
    fn a_file_may_hold_any_value_and_only_objects_merge() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
            format!("@{}", folder.path().join(name).display())
        };
        let list = write("list.json", "[1, 2]");
        let object = write("object.yaml", "a: {b: 1}\nc: text\n");
        check(&[&list], json!([1, 2]));
        check(&[&object, "a.d=2"], json!({"a": {"b": 1, "d": 2}, "c": "text"}));
        assert!(refused(&[&list, "a=1"]).contains("both must be objects"));
        let broken = write("broken.json", "{\"a\": topsecret}");
        let said = refused(&[&broken]);
        assert!(said.contains("line 1, column") && !said.contains("topsecret"), "{said}");
    }
}
