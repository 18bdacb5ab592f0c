//! From bytes to text: the first thing that can be wrong with a document.

use crate::code::{Code, Severity};
use crate::diagnostic::{Diagnostic, Location};

/// The text of a document, or where it stops to be one.
pub fn text(bytes: &[u8]) -> Result<&str, Box<Diagnostic>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let before = String::from_utf8_lossy(&bytes[..offset]);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let location = Location { offset, line: number(line), column: number(column), length: 1 };
        Box::new(Diagnostic {
            code: Code::NotText,
            severity: Severity::Error,
            message: "the text is not UTF-8 from here on".to_owned(),
            location,
            pointer: String::new(),
            hint: Some("save the file as UTF-8".to_owned()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: count the column from the beginning of the text, or in bytes.
    #[test]
    fn what_is_not_text_is_found_at_its_place() {
        let wrong = text("a: b\nä: \u{fffd}".as_bytes());
        assert_eq!(wrong.map_err(|_| ()), Ok("a: b\nä: \u{fffd}"));
        let wrong = text(b"a: b\n\xc3\xa4: \xff").expect_err("not text");
        assert_eq!((wrong.location.line, wrong.location.column), (2, 4));
        assert!(
            wrong.render("a", &String::from_utf8_lossy(b"a: b\n\xc3\xa4: \xff")).contains("a:2:4")
        );
    }
}
