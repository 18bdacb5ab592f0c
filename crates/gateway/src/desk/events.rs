//! Events of a stream, cut where they end, however the bytes come.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem;

/// The longest event. An answer that comes as one event is as large as any answer.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What has come of an event that has not ended.
#[derive(Debug, Default)]
pub(super) struct Events {
    lines: Lines,
    rest: BytesMut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventTooLong;

impl Events {
    /// The whole events of what has come so far, in one piece.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, EventTooLong> {
        let piece = self.lines.push(piece);
        if self.rest.is_empty() {
            return match end(&piece, 0) {
                Some(end) if end == piece.len() => Ok(piece),
                Some(end) => {
                    self.rest.extend_from_slice(&piece[end..]);
                    Ok(piece.slice(..end))
                }
                None => self.keep(&piece),
            };
        }
        // The end of an event has two bytes.
        let from = self.rest.len().saturating_sub(1);
        self.rest.extend_from_slice(&piece);
        match end(&self.rest, from) {
            Some(end) => Ok(self.rest.split_to(end).freeze()),
            None => self.keep(&[]),
        }
    }

    fn keep(&mut self, piece: &[u8]) -> Result<Bytes, EventTooLong> {
        self.rest.extend_from_slice(piece);
        if self.rest.len() > EVENT_BYTES_MAX { Err(EventTooLong) } else { Ok(Bytes::new()) }
    }

    /// So much has come of an event that has not ended.
    pub(super) fn waiting(&self) -> usize {
        self.rest.len()
    }

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Bytes {
        self.rest.split().freeze()
    }
}

/// Ends of lines. A CR, an LF and a CR with an LF behind it are one each, and behind here all are LF: an event is not
/// held back for the LF that may belong to its last CR.
#[derive(Debug, Default)]
struct Lines {
    after_cr: bool,
}

impl Lines {
    fn push(&mut self, mut piece: Bytes) -> Bytes {
        if piece.is_empty() {
            return piece;
        }
        let after_cr = std::mem::replace(&mut self.after_cr, piece.ends_with(b"\r"));
        if after_cr && piece.starts_with(b"\n") {
            piece.advance(1);
        }
        if memchr::memchr(b'\r', &piece).is_none() {
            return piece;
        }
        let (mut out, mut rest) = (BytesMut::with_capacity(piece.len()), &*piece);
        while let Some(at) = memchr::memchr(b'\r', rest) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"\n");
            rest = &rest[at + 1..];
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        out.extend_from_slice(rest);
        out.freeze()
    }
}

/// All of a stream, with LF at the end of each line.
pub(crate) fn in_lines(stream: Bytes) -> Bytes {
    Lines::default().push(stream)
}

/// Where the last whole event ends that ends behind `from`.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    memmem::rfind(&bytes[from..], b"\n\n").map(|at| from + at + 2)
}

/// Whole events, each with its end.
pub(crate) fn each(events: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = events.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memmem::find(&rest, b"\n\n").map_or(rest.len(), |at| at + 2);
        Some(rest.split_to(end))
    })
}

/// The same events with the data of each in one line. JSON has no line in a text, so that a blank says the same.
pub(super) fn in_one_line(events: Bytes) -> Bytes {
    let lines = |event: &Bytes| {
        let first = usize::from(event.starts_with(b"data:"));
        first + memmem::find_iter(event, b"\ndata:").count()
    };
    if each(&events).all(|event| lines(&event) <= 1) {
        return events;
    }
    let mut out = BytesMut::with_capacity(events.len());
    for event in each(&events) {
        let mut data: Vec<&[u8]> = Vec::new();
        for line in event.split(|byte| *byte == b'\n') {
            match line.strip_prefix(b"data:") {
                Some(rest) => data.push(rest.strip_prefix(b" ").unwrap_or(rest)),
                None if line.is_empty() => {}
                None => {
                    out.extend_from_slice(line);
                    out.extend_from_slice(b"\n");
                }
            }
        }
        if !data.is_empty() {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&data.join(&b' '));
            out.extend_from_slice(b"\n");
        }
        out.extend_from_slice(b"\n");
    }
    out.freeze()
}

/// The data of an event, where it is one line of it.
pub(crate) fn data(event: &[u8]) -> Option<&[u8]> {
    let mut lines = event.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"data:"))?;
    Some(line.strip_prefix(b" ").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these pieces, one after the other, and what is left then.
    fn pushed(pieces: &[&[u8]]) -> (Vec<Bytes>, Bytes) {
        let mut events = Events::default();
        let push = |piece: &&[u8]| events.push(Bytes::copy_from_slice(piece)).expect("short");
        let whole = pieces.iter().map(push).collect();
        (whole, events.rest())
    }

    /// Mutation: pass on a part of an event, lose one, find no end that was cut in half, or take CR and LF for two ends
    /// of a line where a piece ends between them.
    #[test]
    fn events_are_whole_however_they_are_cut() {
        let plain = b"data: a\n\ndata: b\n\n: note\n\nevent: x\ndata: c\n\nda";
        let end_of = |end: &'static str| String::from_utf8_lossy(plain).replace('\n', end);
        let mixed = "data: a\n\rdata: b\r\n\r\n: note\r\revent: x\rdata: c\r\n\nda".to_owned();
        for text in [end_of("\n"), end_of("\r\n"), end_of("\r"), mixed] {
            let text = text.as_bytes();
            for at in 0..=text.len() {
                for to in at..=text.len() {
                    let (whole, rest) = pushed(&[&text[..at], &text[at..to], b"", &text[to..]]);
                    assert!(whole.iter().all(|it| it.is_empty() || it.ends_with(b"\n\n")));
                    assert_eq!(whole.concat(), plain[..plain.len() - 2], "{at} {to}");
                    assert_eq!(&*rest, b"da", "{at} {to}");
                }
            }
        }
    }

    /// Mutation: wait for the LF that may belong to the last CR, or for the next event.
    #[test]
    fn an_event_goes_on_at_its_last_byte() {
        for end in ["\n", "\r", "\r\n"] {
            let event = format!("data: a{end}{end}");
            let bytes: Vec<&[u8]> = event.as_bytes().chunks(1).collect();
            let (whole, _) = pushed(&bytes);
            let first = whole.iter().position(|it| !it.is_empty()).expect("an event");
            // Of CR LF the CR is the end, and nothing comes of the LF.
            let last = event.trim_end_matches('\n').len().max("data: a".len() + 2);
            assert_eq!((first + 1, &*whole[first]), (last, &b"data: a\n\n"[..]), "{end:?}");
        }
    }

    /// Mutation: take the first line alone, or lose what stands beside the data.
    #[test]
    fn data_of_several_lines_is_that_of_one() {
        let plain = Bytes::from_static(b"event: x\ndata: 1\n\ndata: 2\n\n");
        assert_eq!(in_one_line(plain.clone()), plain);
        let several = b"event: x\ndata: {\"a\":\ndata: 1}\n\ndata: 2\n\n: note\n\n";
        let expected = b"event: x\ndata: {\"a\": 1}\n\ndata: 2\n\n: note\n\n";
        assert_eq!(in_one_line(Bytes::from_static(several)), &expected[..]);
    }

    /// Mutation: find the data of another line, or keep the return of a line.
    #[test]
    fn each_event_has_its_data() {
        let events = b"event: x\rdata: {1}\r\r: note\n\ndata:2\r\n\r\n";
        let events = in_lines(Bytes::from_static(events));
        let found: Vec<_> = each(&events).map(|event| data(&event).map(<[u8]>::to_vec)).collect();
        assert_eq!(found, [Some(b"{1}".to_vec()), None, Some(b"2".to_vec())]);
    }
}
