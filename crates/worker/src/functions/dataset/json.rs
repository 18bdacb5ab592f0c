//! JSON rows: an object on each line, or one array of them. Where a row begins and ends is found
//! without reading it, so that one bad row costs one row, and only one is held.

use std::io::{BufRead, BufReader, Read};

use base::Value;
use base::value::{as_object, check, parse};

use super::source::{Bad, Broken, Source};
use crate::functions::csv::records::ROW_BYTES_MAX;

/// Bytes asked from the source at once: large enough that the calls do not count.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes, looked at one by one, and the lines they make.
struct Bytes<R> {
    source: BufReader<R>,
    line: u64,
}

impl<R: Read> Bytes<R> {
    fn new(source: R) -> Result<Self, Broken> {
        let mut source = BufReader::with_capacity(CHUNK_BYTES, source);
        let mut head = Vec::with_capacity(3);
        // A mark at the beginning may be cut anywhere, and what is no mark is text.
        while head.len() < 3 {
            let Some(byte) = source.fill_buf()?.first().copied() else { break };
            let is_mark = [b"\xef\xbb\xbf".as_slice(), b"\xff\xfe", b"\xfe\xff"]
                .iter()
                .any(|mark| mark.get(head.len()) == Some(&byte) && mark.starts_with(&head));
            if !is_mark {
                break;
            }
            source.consume(1);
            head.push(byte);
        }
        match head.as_slice() {
            b"" | b"\xef\xbb\xbf" => Ok(Self { source, line: 1 }),
            b"\xff\xfe" | b"\xfe\xff" => {
                Err(Broken::Wrong("it is UTF-16; convert it to UTF-8".to_owned()))
            }
            _ => Err(Broken::Wrong("it is not text in UTF-8".to_owned())),
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        Ok(self.source.fill_buf()?.first().copied())
    }

    fn next(&mut self) -> Result<Option<u8>, Broken> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.source.consume(1);
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }
}

/// The text of one row, or that it is too long to be held.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Text {
    fn clear(&mut self) {
        self.bytes.clear();
        self.is_too_long = false;
    }

    fn push(&mut self, more: &[u8]) {
        if self.bytes.len() + more.len() > ROW_BYTES_MAX {
            self.is_too_long = true;
            self.bytes.clear();
        }
        if !self.is_too_long {
            self.bytes.extend_from_slice(more);
        }
    }

    fn judged(&self) -> Result<(), Bad> {
        if self.is_too_long { Err(Bad::TooLong) } else { Ok(()) }
    }

    fn value(&self) -> Result<Value, Bad> {
        if std::str::from_utf8(&self.bytes).is_err() {
            return Err(Bad::NotUtf8);
        }
        let value = parse(&self.bytes).map_err(|_| Bad::NotJson)?;
        as_object(&value).ok_or(Bad::NotAnObject)?;
        check(&value).map_err(|_| Bad::Value)?;
        Ok(value)
    }

    fn is_blank(&self) -> bool {
        !self.is_too_long && self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

/// A row on each line. An empty line is no row.
pub(super) struct Lines<R> {
    bytes: Bytes<R>,
    text: Text,
    line: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn open(from: R) -> Result<Self, Broken> {
        Ok(Self { bytes: Bytes::new(from)?, text: Text::default(), line: 1 })
    }

    /// `false` at the end.
    fn next_line(&mut self) -> Result<bool, Broken> {
        self.text.clear();
        self.line = self.bytes.line;
        let mut is_there = false;
        loop {
            let held = self.bytes.source.fill_buf()?;
            if held.is_empty() {
                return Ok(is_there);
            }
            is_there = true;
            let end = held.iter().position(|byte| *byte == b'\n');
            self.text.push(&held[..end.unwrap_or(held.len())]);
            let taken = end.map_or(held.len(), |end| end + 1);
            self.bytes.source.consume(taken);
            if end.is_some() {
                self.bytes.line += 1;
                return Ok(true);
            }
        }
    }
}

impl<R: Read> Source for Lines<R> {
    fn advance(&mut self) -> Result<Option<Result<(), Bad>>, Broken> {
        while self.next_line()? {
            if !self.text.is_blank() {
                return Ok(Some(self.text.judged()));
            }
        }
        Ok(None)
    }

    fn value(&mut self) -> Result<Value, Bad> {
        self.text.value()
    }

    fn line(&self) -> Option<u64> {
        Some(self.line)
    }

    fn columns(&self) -> Option<Vec<&str>> {
        None
    }
}

/// The items of one array. An array that does not end is one bad row at its end, so that half a file
/// is never taken for a whole one.
pub(super) struct Items<R> {
    bytes: Bytes<R>,
    text: Text,
    line: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    /// Behind a separator: an item has to come.
    Between,
    /// Behind the last bracket: nothing may come.
    Closed,
    Ended,
}

/// How the text of an item has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Separator,
    Bracket,
    File,
}

impl<R: Read> Items<R> {
    pub(super) fn open(from: R) -> Result<Self, Broken> {
        let mut bytes = Bytes::new(from)?;
        while bytes.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            bytes.next()?;
        }
        if bytes.next()? != Some(b'[') {
            let way =
                "it is not an array of rows; for an object on each line declare `format: jsonl`";
            return Err(Broken::Wrong(way.to_owned()));
        }
        Ok(Self { bytes, text: Text::default(), line: 1, state: State::Begun })
    }

    /// Takes the text up to the separator or bracket that ends an item.
    fn item(&mut self) -> Result<End, Broken> {
        self.text.clear();
        while self.bytes.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.bytes.next()?;
        }
        self.line = self.bytes.line;
        let (mut depth, mut in_text, mut escaped) = (0_u64, false, false);
        while let Some(byte) = self.bytes.next()? {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                _ if in_text => {}
                b'[' | b'{' => depth += 1,
                b',' if depth == 0 => return Ok(End::Separator),
                b']' if depth == 0 => return Ok(End::Bracket),
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.text.push(&[byte]);
        }
        Ok(End::File)
    }
}

impl<R: Read> Source for Items<R> {
    fn advance(&mut self) -> Result<Option<Result<(), Bad>>, Broken> {
        match self.state {
            State::Ended => return Ok(None),
            State::Closed => {
                self.state = State::Ended;
                let end = self.item()?;
                let is_end = end == End::File && self.text.is_blank();
                return Ok(if is_end { None } else { Some(Err(Bad::NotJson)) });
            }
            State::Begun | State::Between => {}
        }
        let end = self.item()?;
        let is_empty = self.state == State::Begun && end == End::Bracket && self.text.is_blank();
        self.state = match end {
            End::Separator => State::Between,
            End::Bracket => State::Closed,
            End::File => State::Ended,
        };
        if is_empty {
            return self.advance();
        }
        Ok(Some(match end {
            End::File => Err(Bad::NotJson),
            End::Separator | End::Bracket => self.text.judged(),
        }))
    }

    fn value(&mut self) -> Result<Value, Bad> {
        self.text.value()
    }

    fn line(&self) -> Option<u64> {
        Some(self.line)
    }

    fn columns(&self) -> Option<Vec<&str>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Gives its bytes a few at a time, so that every token is cut once.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(self.0.len()).min(into.len());
            into[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn said(source: Result<impl Source, Broken>) -> Vec<String> {
        let mut source = match source {
            Ok(source) => source,
            Err(broken) => return vec![format!("{broken:?}")],
        };
        let mut out = Vec::new();
        while let Some(next) = source.advance().expect("readable") {
            let row = match next.and_then(|()| source.value()) {
                Ok(value) => base::value::to_json_string(&value),
                Err(bad) => bad.code().to_owned(),
            };
            out.push(format!("{} {row}", source.line().expect("text has lines")));
        }
        out
    }

    fn lines(text: &[u8], expected: &[&str]) {
        for step in [1, 2, 3, 7, 100_000] {
            assert_eq!(said(Lines::open(Dribble(text, step))), expected, "by {step}");
        }
    }

    fn items(text: &[u8], expected: &[&str]) {
        for step in [1, 2, 3, 7, 100_000] {
            assert_eq!(said(Items::open(Dribble(text, step))), expected, "by {step}");
        }
    }

    /// Mutation: lose the row behind a bad one, count an empty line as a row, keep the mark of UTF-8, or
    /// give what a row holds as its trouble.
    #[test]
    fn each_line_is_a_row_or_a_bad_one() {
        lines(b"", &[]);
        lines(b"\n\r\n  \n", &[]);
        lines(b"{\"a\":1}\n{\"a\":2}", &["1 {\"a\":1}", "2 {\"a\":2}"]);
        lines(b"{\"a\":1}\r\n\r\n{\"a\":\"x\\ny\"}\r\n", &["1 {\"a\":1}", "3 {\"a\":\"x\\ny\"}"]);
        lines(b"\xef\xbb\xbf{\"a\":1}\n", &["1 {\"a\":1}"]);
        lines(
            b"{\"a\":\n[1]\n7\n{\"a\":\"\xff\"}\n{} {}\n{\"a\":2}\n",
            &[
                "1 not-json",
                "2 not-an-object",
                "3 not-an-object",
                "4 not-utf-8",
                "5 not-json",
                "6 {\"a\":2}",
            ],
        );
        lines(b"\xff\xfe{\0", &["Wrong(\"it is UTF-16; convert it to UTF-8\")"]);
        lines(b"\xef\xbb{}", &["Wrong(\"it is not text in UTF-8\")"]);
        let deep = format!("{{\"a\":{}1{}}}\n{{}}\n", "[".repeat(110), "]".repeat(110));
        lines(deep.as_bytes(), &["1 value", "2 {}"]);
    }

    /// Mutation: hold an endless row, lose the one behind it, or take off a byte too early.
    #[test]
    fn a_row_that_is_too_long_is_bad_and_the_next_one_good() {
        let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(ROW_BYTES_MAX - 8));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(ROW_BYTES_MAX - 7));
        assert_eq!(fits.len(), ROW_BYTES_MAX);
        let text = format!("{long}\n{fits}\n{{}}\n");
        let rows = said(Lines::open(text.as_bytes()));
        assert_eq!((&*rows[0], rows[1].len(), &*rows[2]), ("1 too-long", fits.len() + 2, "3 {}"));
        let text = format!("[{long},\n{fits},\n{{}}]");
        let rows = said(Items::open(text.as_bytes()));
        assert_eq!((&*rows[0], rows[1].len(), &*rows[2]), ("1 too-long", fits.len() + 2, "3 {}"));
        let mut endless =
            Lines::open(io::repeat(b'x').take(50 * ROW_BYTES_MAX as u64)).expect("it");
        assert_eq!(endless.advance().expect("readable"), Some(Err(Bad::TooLong)));
        assert!(endless.text.bytes.capacity() <= 3 * ROW_BYTES_MAX);
        assert_eq!(endless.advance().expect("readable"), None);
    }

    /// Mutation: cut an item at a bracket in a text, take a file that breaks off for a whole one, or stop
    /// at a bad item.
    #[test]
    fn each_item_of_an_array_is_a_row_or_a_bad_one() {
        items(b"[]", &[]);
        items(b" \n[ \n ] \n", &[]);
        items(b"[{\"a\":1},{\"a\":2}]", &["1 {\"a\":1}", "1 {\"a\":2}"]);
        items(
            b"[\r\n  {\"a\":\"],[\\\"}\"},\r\n  {\"b\":[{\"c\":[]}]}\r\n]\r\n",
            &["2 {\"a\":\"],[\\\"}\"}", "3 {\"b\":[{\"c\":[]}]}"],
        );
        items(
            b"[{\"a\" 1}, 7, {\"a\":\"\xff\"}, , {}]",
            &["1 not-json", "1 not-an-object", "1 not-utf-8", "1 not-json", "1 {}"],
        );
        // What breaks off is one bad row, wherever it does.
        items(b"[", &["1 not-json"]);
        items(b"[{}", &["1 not-json"]);
        items(b"[{},", &["1 {}", "1 not-json"]);
        items(b"[{},]", &["1 {}", "1 not-json"]);
        items(b"[{}, {\"a\":\"x", &["1 {}", "1 not-json"]);
        items(b"[{}]\n[{}]", &["1 {}", "2 not-json"]);
        let wrong = said(Items::open(b"{\"a\":1}\n".as_slice()));
        assert!(wrong[0].contains("format: jsonl"), "{wrong:?}");
    }
}
