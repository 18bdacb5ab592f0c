//! What is wrong with YAML that is read into types of ours: configurations, placements, test files.

/// What the reader of typed YAML (configurations, placements, test files) says, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlWrong {
    pub line: u32,
    pub column: u32,
    pub what: String,
}

impl From<&serde_saphyr::Error> for YamlWrong {
    fn from(error: &serde_saphyr::Error) -> Self {
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let (line, column) =
            error.location().map_or((1, 1), |at| (number(at.line()), number(at.column())));
        // The library says the place before the words or behind them, and then shows the text.
        let said = error.to_string();
        let said = said.lines().next().unwrap_or_default();
        let what = said.split(" at line ").next().unwrap_or(said);
        let what =
            what.strip_prefix(&format!("error: line {line} column {column}: ")).unwrap_or(what);
        Self { line, column, what: scalar_wrong(what).unwrap_or(what).to_owned() }
    }
}

/// The library says what is expected by the name of our type.
fn scalar_wrong(what: &str) -> Option<&'static str> {
    match what.strip_prefix("invalid ")? {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => Some("a whole number is expected here"),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            Some("a whole number from 0 on is expected here, and not one too large")
        }
        "f32" | "f64" => Some("a number is expected here"),
        "bool" => Some("`true` or `false` is expected here"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: name the type of a field as the library does.
    #[test]
    fn a_scalar_of_another_type_is_told_in_words() {
        let said = |wrong: serde_saphyr::Error| YamlWrong::from(&wrong).what;
        let whole: Result<i64, _> = serde_saphyr::from_str("many");
        assert_eq!(said(whole.expect_err("no number")), "a whole number is expected here");
        let count: Result<u32, _> = serde_saphyr::from_str("-1");
        assert!(said(count.expect_err("below zero")).starts_with("a whole number from 0 on"));
    }
}
