//! Long files and functions: a warning list, since the right length is a matter of judgement.
//! What is far beyond judgement is refused by the repository checks.

use crate::source::Source;

/// A file within one sitting, without its tests.
pub const FILE_LINES: usize = 600;
/// A function on one screen.
pub const FUNCTION_LINES: usize = 70;
/// Beyond these two, somebody splits it first.
pub const FILE_LINES_MAX: usize = 900;
pub const FUNCTION_LINES_MAX: usize = 140;

/// Files and functions above the two limits, the longest first, one line each.
#[must_use]
pub fn longer_than(sources: &[Source], file_lines: usize, function_lines: usize) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test_file()) {
        let path = source.path.display();
        let lines = source.lines_before_tests();
        if lines > file_lines {
            found.push((lines, format!("{path}: {lines} lines before its tests")));
        }
        for function in source.functions() {
            if function.lines > function_lines && !source.is_test(function.line) {
                let (name, line, lines) = (function.name, function.line, function.lines);
                found.push((lines, format!("{path}:{line}: `{name}` has {lines} lines")));
            }
        }
    }
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Mutation: count a file's tests, or compare with `>=`.
    #[test]
    fn only_what_is_longer_is_listed_and_tests_are_not_counted() {
        let text = format!(
            "fn long() {{\n{}}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "\n".repeat(8),
            "\n".repeat(50)
        );
        let source = [Source::parse(Path::new("a.rs"), text)];
        assert_eq!(longer_than(&source, 10, 10), [] as [String; 0]);
        let expected = ["a.rs:1: `long` has 10 lines", "a.rs: 10 lines before its tests"];
        assert_eq!(longer_than(&source, 9, 9), expected);
    }
}
