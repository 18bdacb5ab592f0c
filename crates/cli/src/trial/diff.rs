//! What differs between two values, line by line of their JSON text, as `diff -u` shows it.

use serde_json::{Map, Number, Value};

use crate::diff::{Mark, compare};

/// Lines around a difference that say where it is.
const AROUND: usize = 2;

/// Lines that are shown. Who needs more looks into `-o json`.
const SHOWN_MAX: usize = 200;

/// `-` is what was expected, `+` is what came.
#[must_use]
pub fn values(expected: &Value, got: &Value) -> Vec<String> {
    lines(&text(expected), &text(got))
}

/// Indented JSON with sorted keys: the order of keys says nothing, and `1.0` is `1`.
fn text(value: &Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).unwrap_or_default()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            Value::Object(Map::from_iter(
                fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))),
            ))
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Number(number) => Value::Number(plain(number)),
        scalar => scalar.clone(),
    }
}

/// A number without a fraction as a whole one.
fn plain(number: &Number) -> Number {
    /// 2⁵³: up to here a float has every whole number.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT_MAX => {
            // Every such number is exact as an integer.
            Number::from(float as i64)
        }
        _ => number.clone(),
    }
}

fn lines(expected: &str, got: &str) -> Vec<String> {
    let marked = compare(expected, got);
    let near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        let to = (at + AROUND + 1).min(marked.len());
        marked[from..to].iter().any(|(mark, _)| *mark != Mark::Same)
    };
    let mut shown = Vec::new();
    let mut is_gap = false;
    for (at, (mark, line)) in marked.iter().enumerate() {
        if !near(at) {
            is_gap = true;
            continue;
        }
        if std::mem::take(&mut is_gap) && !shown.is_empty() {
            shown.push("  …".to_owned());
        }
        shown.push(format!("{} {line}", mark.sign()));
    }
    if shown.len() > SHOWN_MAX {
        let more = shown.len() - SHOWN_MAX;
        shown.truncate(SHOWN_MAX);
        shown.push(format!("  … {more} more lines; `-o json` has both values"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Mutation: show everything, swap the marks, or let the order of keys differ.
    #[test]
    fn only_what_differs_is_shown_with_what_is_around_it() {
        let expected = json!({"b": 1, "a": [1, 2, 3, 4, 5, 6, 7, 8], "z": true});
        let got = json!({"a": [1, 2, 3, 4, 5, 6, 7], "z": false, "b": 1});
        assert_eq!(
            values(&expected, &got),
            [
                "      5,",
                "      6,",
                "-     7,",
                "-     8",
                "+     7",
                "    ],",
                "    \"b\": 1,",
                "-   \"z\": true",
                "+   \"z\": false",
                "  }"
            ]
        );
        assert_eq!(values(&json!([1.0, 2]), &json!([1, 2])), Vec::<String>::new());
        assert_eq!(values(&json!("a"), &json!(null)), ["- \"a\"", "+ null"]);
    }

    /// Mutation: compare every line with every line, however many there are.
    #[test]
    fn huge_differences_are_cut() {
        let list = |from: u32| json!((from..from + 5_000).collect::<Vec<_>>());
        let shown = values(&list(0), &list(100_000));
        assert_eq!(shown.len(), SHOWN_MAX + 1);
        assert!(shown[SHOWN_MAX].contains("more lines"), "{}", shown[SHOWN_MAX]);
    }
}
