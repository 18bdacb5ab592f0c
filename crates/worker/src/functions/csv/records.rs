//! Where fields and rows end, as in RFC 4180 and a little more lenient.
//!
//! Written here because the usual reader takes an unclosed quote for a field that reaches to the end
//! of the file, and so loses every row behind it without a word. Here such a row is bad, and reading
//! goes on with the line after the one on which it began.

use std::fmt;
use std::io::{self, Read};

/// The longest row. Longer ones are bad.
pub(crate) const ROW_BYTES_MAX: usize = 1024 * 1024;

/// Fields of one row, as many as the widest tables that people make by hand or by machine.
pub(crate) const FIELDS_MAX: usize = 4096;

/// Bytes asked from the file at once: large enough that the calls do not count.
const CHUNK_BYTES: usize = 64 * 1024;

/// Rows from bytes. Holds one row and one chunk.
pub(crate) struct Records<R> {
    source: R,
    delimiter: u8,
    buffer: Vec<u8>,
    /// Where in the buffer the unread part begins.
    start: usize,
    ended: bool,
    /// Number of the line at `start`.
    line_next: u64,
    /// Number of the line on which the current row began.
    line: u64,
    /// The fields of the current row, one after another. UTF-8 when the row is good.
    text: Vec<u8>,
    /// Where in `text` each field ends.
    ends: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its fields are in the reader until the next call.
    Row,
    Bad(BadRow),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadRow {
    Unclosed,
    AfterQuote,
    TooLong,
    TooManyFields,
    NotUtf8,
}

enum Scanned {
    End,
    /// An empty line is no row.
    Blank,
    Row,
    Bad(BadRow),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end of the field, or half of a doubled quote.
    QuoteInQuoted,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(source: R, delimiter: u8) -> Self {
        Self {
            source,
            delimiter,
            buffer: Vec::new(),
            start: 0,
            ended: false,
            line_next: 1,
            line: 1,
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// To be asked first. Steps over the mark of UTF-8 at the beginning.
    pub(crate) fn is_utf16(&mut self) -> io::Result<bool> {
        let mut head = [None; 3];
        for (at, byte) in head.iter_mut().enumerate() {
            *byte = self.byte(at)?;
        }
        if head == [Some(0xef), Some(0xbb), Some(0xbf)] {
            self.start += 3;
        }
        Ok(matches!(head, [Some(0xff), Some(0xfe), _] | [Some(0xfe), Some(0xff), _]))
    }

    /// Steps over one line as it is, quotes or not. `false` at the end of the file.
    pub(crate) fn skip_line(&mut self) -> io::Result<bool> {
        while let Some(byte) = self.byte(0)? {
            self.start += 1;
            if byte == b'\r' && self.byte(0)? == Some(b'\n') {
                self.start += 1;
            }
            if matches!(byte, b'\r' | b'\n') {
                self.line_next += 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next row, or `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Next>> {
        loop {
            self.line = self.line_next;
            match self.scan()? {
                Scanned::End => return Ok(None),
                Scanned::Blank => {}
                Scanned::Row if self.is_text() => return Ok(Some(Next::Row)),
                Scanned::Row => return Ok(Some(Next::Bad(BadRow::NotUtf8))),
                Scanned::Bad(reason) => {
                    self.skip_line()?;
                    return Ok(Some(Next::Bad(reason)));
                }
            }
        }
    }

    /// One row from `start` on. Steps over it unless it is bad.
    fn scan(&mut self) -> io::Result<Scanned> {
        self.text.clear();
        self.ends.clear();
        let mut state = State::FieldStart;
        let mut lines_inside = 0;
        let mut at = 0;
        loop {
            if at > ROW_BYTES_MAX {
                return Ok(Scanned::Bad(if state == State::Quoted {
                    BadRow::Unclosed
                } else {
                    BadRow::TooLong
                }));
            }
            let Some(byte) = self.byte(at)? else {
                return Ok(match state {
                    State::FieldStart if at == 0 => Scanned::End,
                    State::Quoted => Scanned::Bad(BadRow::Unclosed),
                    State::FieldStart | State::Plain | State::QuoteInQuoted => {
                        self.finish(at, lines_inside)
                    }
                });
            };
            at += 1;
            state = match (state, byte) {
                (State::Quoted, b'"') => State::QuoteInQuoted,
                (State::Quoted, other) => {
                    lines_inside += u64::from(other == b'\n');
                    self.text.push(other);
                    State::Quoted
                }
                (State::FieldStart, b'"') => State::Quoted,
                (State::QuoteInQuoted, b'"') => {
                    self.text.push(b'"');
                    State::Quoted
                }
                (_, delimiter) if delimiter == self.delimiter => {
                    self.ends.push(self.text.len());
                    if self.ends.len() >= FIELDS_MAX {
                        return Ok(Scanned::Bad(BadRow::TooManyFields));
                    }
                    State::FieldStart
                }
                (_, end @ (b'\r' | b'\n')) => {
                    let blank = at == 1;
                    if end == b'\r' && self.byte(at)? == Some(b'\n') {
                        at += 1;
                    }
                    let row = self.finish(at, lines_inside + 1);
                    return Ok(if blank { Scanned::Blank } else { row });
                }
                (State::QuoteInQuoted, _) => return Ok(Scanned::Bad(BadRow::AfterQuote)),
                (State::FieldStart | State::Plain, other) => {
                    self.text.push(other);
                    State::Plain
                }
            };
        }
    }

    fn finish(&mut self, bytes: usize, lines: u64) -> Scanned {
        self.ends.push(self.text.len());
        self.start += bytes;
        self.line_next += lines;
        Scanned::Row
    }

    /// The byte `offset` behind `start`, read when it is asked for.
    fn byte(&mut self, offset: usize) -> io::Result<Option<u8>> {
        loop {
            if let Some(byte) = self.buffer.get(self.start + offset) {
                return Ok(Some(*byte));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK_BYTES, 0);
        let read = loop {
            match self.source.read(&mut self.buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }

    fn is_text(&self) -> bool {
        // Each field, not only the row: two halves of a character must not meet over a delimiter.
        std::str::from_utf8(&self.text)
            .is_ok_and(|text| self.ends.iter().all(|end| text.is_char_boundary(*end)))
    }
}

impl<R> Records<R> {
    /// The fields of the row that `next` gave last.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let slices = starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end]);
        slices.map(|bytes| std::str::from_utf8(bytes).expect("checked for every row that is given"))
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The line on which the current row began; the first is 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("a quote that is not closed"),
            Self::AfterQuote => f.write_str("text after a closing quote"),
            Self::TooLong => write!(f, "longer than {ROW_BYTES_MAX} bytes"),
            Self::TooManyFields => write!(f, "more than {FIELDS_MAX} fields"),
            Self::NotUtf8 => f.write_str("not UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
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

    fn all(text: &[u8], step: usize) -> Vec<String> {
        let mut records = Records::new(Dribble(text, step), b',');
        assert!(!records.is_utf16().expect("readable"));
        let mut out = Vec::new();
        while let Some(next) = records.next().expect("readable") {
            let said = match next {
                Next::Row => {
                    records.fields().map(|field| format!("[{}]", field.escape_debug())).collect()
                }
                Next::Bad(reason) => reason.to_string(),
            };
            out.push(format!("{} {said}", records.line()));
        }
        out
    }

    fn check(text: &[u8], expected: &[&str]) {
        for step in [1, 2, 3, 1000] {
            assert_eq!(all(text, step), expected, "{} by {step}", String::from_utf8_lossy(text));
        }
    }

    /// Mutation: treat `\r\n` as two ends, keep the mark of UTF-8, or count an empty line as a row.
    #[test]
    fn rows_end_with_any_line_end_and_the_last_needs_none() {
        check(b"", &[]);
        check(b"\n\r\n\r", &[]);
        check(b"a,b\nc,d", &["1 [a][b]", "2 [c][d]"]);
        check(b"a\r\nb\rc\n\nd", &["1 [a]", "2 [b]", "3 [c]", "5 [d]"]);
        check(b"\xef\xbb\xbfa,b\n", &["1 [a][b]"]);
        check(b",\n,", &["1 [][]", "2 [][]"]);
        check("ä,\u{1F600}\n".as_bytes(), &["1 [ä][\u{1F600}]"]);
    }

    /// Mutation: end a row inside quotes, or keep a doubled quote doubled.
    #[test]
    fn quotes_hold_delimiters_line_ends_and_doubled_quotes() {
        check(b"\"a,b\",\"c\nd\"\n\"e\"\"f\"\"\",\"\"\n", &["1 [a,b][c\\nd]", "3 [e\\\"f\\\"][]"]);
        check(b"a\"b,c\n", &["1 [a\\\"b][c]"]);
        check(b"\"x\"", &["1 [x]"]);
    }

    /// Mutation: let an unclosed quote reach to the end of the file, or stop there.
    #[test]
    fn a_bad_row_costs_one_line() {
        check(b"1,\"a\n2,b\n3,c\n", &["1 a quote that is not closed", "2 [2][b]", "3 [3][c]"]);
        check(b"1,\"a\"x\n2,b\n", &["1 text after a closing quote", "2 [2][b]"]);
        check(b"1,\"a\n2,\"b\"\n3,c\n", &["1 text after a closing quote", "2 [2][b]", "3 [3][c]"]);
        check(b"1\n\xff,\xfe\n2\n", &["1 [1]", "2 not UTF-8", "3 [2]"]);
        // Two halves of one character on both sides of a delimiter.
        check(b"\xc3,\xa4\n2\n", &["1 not UTF-8", "2 [2]"]);
    }

    /// Mutation: hold an endless row in memory, or lose the row behind it.
    #[test]
    fn an_endless_row_is_bad_and_the_next_one_good() {
        let long = [vec![b'x'; ROW_BYTES_MAX + 1], b"\n1\n".to_vec()].concat();
        assert_eq!(all(&long, CHUNK_BYTES), ["1 longer than 1048576 bytes", "2 [1]"]);
        let fits = [vec![b'x'; ROW_BYTES_MAX - 1], b"\n1\n".to_vec()].concat();
        assert_eq!(all(&fits, CHUNK_BYTES).len(), 2);
        assert!(all(&fits, CHUNK_BYTES)[0].starts_with("1 [xxx"));
        let open = [b"\"".to_vec(), b"x\n".repeat(ROW_BYTES_MAX), b"\n".to_vec()].concat();
        let rows = all(&open, CHUNK_BYTES);
        assert_eq!((&*rows[0], &*rows[1]), ("1 a quote that is not closed", "2 [x]"));
        let wide = [vec![b','; FIELDS_MAX], b"\n1\n".to_vec()].concat();
        assert_eq!(all(&wide, CHUNK_BYTES), ["1 more than 4096 fields", "2 [1]"]);
        let widest = [vec![b','; FIELDS_MAX - 1], b"\n".to_vec()].concat();
        assert!(all(&widest, CHUNK_BYTES)[0].starts_with("1 [][]"));
    }
}
