//! What the fields of a row become: an object by column or an array, of numbers and strings.

use base::Value;
use base::value::{Map, Num, array, int, string};

use super::records::Records;

/// The columns of a file.
pub(crate) enum Columns {
    Named(Vec<Value>),
    /// As many as the first good row has.
    Unnamed {
        width: Option<usize>,
    },
}

/// How rows are made.
pub(crate) struct Shape {
    columns: Columns,
    infer: bool,
}

impl Columns {
    pub(crate) fn named<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self::Named(names.map(string).collect())
    }

    pub(crate) fn unnamed() -> Self {
        Self::Unnamed { width: None }
    }

    fn width(&mut self, found: usize) -> usize {
        match self {
            Self::Named(names) => names.len(),
            Self::Unnamed { width } => *width.get_or_insert(found),
        }
    }
}

impl Shape {
    pub(crate) fn new(columns: Columns, infer: bool) -> Self {
        Self { columns, infer }
    }

    /// The current row as a value, or why it is none.
    pub(crate) fn row<R>(&mut self, records: &Records<R>) -> Result<Value, String> {
        let found = records.len();
        let width = self.columns.width(found);
        if found != width {
            let fields = if found == 1 { "1 field" } else { &*format!("{found} fields") };
            return Err(format!("{fields} where {width} are expected"));
        }
        let values =
            records.fields().map(|text| if self.infer { infer(text) } else { string(text) });
        Ok(match &self.columns {
            Columns::Named(names) => {
                let mut map = Map::with_capacity_and_hasher(width, Default::default());
                map.extend(names.iter().cloned().zip(values));
                Value::obj(map)
            }
            Columns::Unnamed { .. } => array(values.collect()),
        })
    }
}

/// A number where the text is spelled like one of JSON and nothing is lost, `null` where it is
/// empty, else the text. So `007`, `1,5`, `NaN` and card numbers of 20 digits stay text.
fn infer(text: &str) -> Value {
    if plain(text).is_empty() {
        return Value::Null;
    }
    number(text).unwrap_or_else(|| string(text))
}

/// A text without what pads it.
pub(crate) fn plain(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The number that a text spells as JSON does, where nothing of it is lost.
pub(crate) fn number(text: &str) -> Option<Value> {
    let plain = plain(text);
    if !is_json_number(plain.as_bytes()) {
        return None;
    }
    if plain.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        return plain.parse().ok().map(int);
    }
    let float = plain.parse::<f64>().ok().filter(|float| float.is_finite());
    float.map(|float| Value::Num(Num::Float(float)))
}

/// `-`? (`0` or digits without leading zero) (`.` digits)? (`e` sign? digits)?
fn is_json_number(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(rest);
    if whole == 0 || (whole > 1 && text.iter().find(|byte| **byte != b'-') == Some(&b'0')) {
        return false;
    }
    let rest = match rest.strip_prefix(b".").map(digits) {
        None => rest,
        Some((0, _)) => return false,
        Some((_, rest)) => rest,
    };
    let Some(power) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) else {
        return rest.is_empty();
    };
    let power = power.strip_prefix(b"-").or_else(|| power.strip_prefix(b"+")).unwrap_or(power);
    matches!(digits(power), (1.., []))
}

/// How many digits there are, and what follows.
fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, &text[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take whatever Rust parses for a number, or lose digits of a long one.
    #[test]
    fn only_numbers_of_json_become_numbers() {
        for (text, json) in [
            ("1", "1"),
            ("-12", "-12"),
            (" 1 ", "1"),
            ("0", "0"),
            ("1.50", "1.5"),
            ("0.001", "0.001"),
            ("1e3", "1000.0"),
            ("2.5E-1", "0.25"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "\"9223372036854775808\""),
            ("", "null"),
            ("  ", "null"),
            ("007", "\"007\""),
            ("-", "\"-\""),
            ("+1", "\"+1\""),
            (".5", "\".5\""),
            ("5.", "\"5.\""),
            ("1e", "\"1e\""),
            ("1e999", "\"1e999\""),
            ("1_000", "\"1_000\""),
            ("1,5", "\"1,5\""),
            ("0x10", "\"0x10\""),
            ("NaN", "\"NaN\""),
            ("inf", "\"inf\""),
            ("true", "\"true\""),
            (" a ", "\" a \""),
        ] {
            assert_eq!(base::value::to_json_string(&infer(text)), json, "{text}");
        }
    }
}
