//! Events of a stream, cut where they end, however the bytes come.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// The longest event. An answer that comes as one event is as large as any answer.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What has come of an event that has not ended.
#[derive(Debug, Default)]
pub(super) struct Events {
    rest: BytesMut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventTooLong;

impl Events {
    /// The whole events of what has come so far, in one piece.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, EventTooLong> {
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
        // The end of an event has up to four bytes.
        let from = self.rest.len().saturating_sub(3);
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

    /// What is left at the end.
    pub(super) fn rest(&mut self) -> Bytes {
        self.rest.split().freeze()
    }
}

/// Where the last whole event ends that ends behind `from`.
fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let lf = memmem::rfind(&bytes[from..], b"\n\n").map(|at| from + at + 2);
    let crlf = memmem::rfind(&bytes[from..], b"\r\n\r\n").map(|at| from + at + 4);
    lf.max(crlf)
}

/// Whole events, each with its end.
pub(crate) fn each(events: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = events.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let lf = memmem::find(&rest, b"\n\n").map(|at| at + 2);
        let crlf = memmem::find(&rest, b"\r\n\r\n").map(|at| at + 4);
        let end = match (lf, crlf) {
            (Some(lf), Some(crlf)) => lf.min(crlf),
            (one, other) => one.or(other).unwrap_or(rest.len()),
        };
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
            let line = line.strip_suffix(b"\r").unwrap_or(line);
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
    let line = line.strip_prefix(b" ").unwrap_or(line);
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: pass on a part of an event, lose one, or find no end that was cut in half.
    #[test]
    fn events_are_whole_however_they_are_cut() {
        let text = b"data: a\n\ndata: b\r\n\r\n: note\n\nevent: x\ndata: c\n\nda";
        for at in 0..=text.len() {
            for to in at..=text.len() {
                let mut events = Events::default();
                let mut seen = Vec::new();
                for piece in [&text[..at], &text[at..to], &text[to..]] {
                    let whole = events.push(Bytes::copy_from_slice(piece)).expect("short");
                    assert!(
                        whole.is_empty()
                            || whole.ends_with(b"\n\n")
                            || whole.ends_with(b"\r\n\r\n")
                    );
                    seen.extend_from_slice(&whole);
                }
                assert_eq!(seen, &text[..text.len() - 2], "{at} {to}");
                assert_eq!(&*events.rest(), b"da");
            }
        }
    }

    /// Mutation: take the first line alone, or lose what stands beside the data.
    #[test]
    fn data_of_several_lines_is_that_of_one() {
        let plain = Bytes::from_static(b"event: x\ndata: 1\n\ndata: 2\n\n");
        assert_eq!(in_one_line(plain.clone()), plain);
        let several = b"event: x\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata: 2\n\n: note\n\n";
        let expected = b"event: x\ndata: {\"a\": 1}\n\ndata: 2\n\n: note\n\n";
        assert_eq!(in_one_line(Bytes::from_static(several)), &expected[..]);
    }

    /// Mutation: find the data of another line, or keep the return of a line.
    #[test]
    fn each_event_has_its_data() {
        let events = Bytes::from_static(b"event: x\ndata: {1}\n\n: note\n\ndata:2\r\n\r\n");
        let found: Vec<_> = each(&events).map(|event| data(&event).map(<[u8]>::to_vec)).collect();
        assert_eq!(found, [Some(b"{1}".to_vec()), None, Some(b"2".to_vec())]);
    }
}
