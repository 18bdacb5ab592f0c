//! Server-sent events, from bytes to events, with limits.

/// The longest event. A record with an inline value fits many times.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The last id that was given, for going on after a cut.
    pub id: Option<String>,
    /// `message` where the server named none.
    pub event: String,
    pub data: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
pub struct SseTooLong;

/// Takes the bytes as they come, cut anywhere.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    /// A line ended with CR; an LF right after it belongs to the same end.
    after_cr: bool,
    started: bool,
    id: Option<String>,
    event: Option<String>,
    data: Option<String>,
}

impl SseParser {
    /// The events that these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, SseTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => events.extend(self.end_line()),
                other => self.line.push(other),
            }
            if self.line.len() + self.data.as_ref().map_or(0, String::len) > EVENT_BYTES_MAX {
                return Err(SseTooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let text =
            if self.started { &*text } else { text.strip_prefix('\u{feff}').unwrap_or(&text) };
        self.started = true;
        if text.is_empty() {
            let event = self.event.take().unwrap_or_else(|| "message".to_owned());
            return self.data.take().map(|data| SseEvent { id: self.id.clone(), event, data });
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => self.event = Some(value.to_owned()),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments keep the connection alive; `retry` is for browsers.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{feff}: hello\r\nid: 1\r\nevent: record\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata\n\nevent: gone\n\nid: 2\rdata:x\r\r: end\n";

    fn all(parser: &mut SseParser, bytes: &[u8]) -> Vec<(Option<String>, String, String)> {
        let events = parser.push(bytes).expect("short events");
        events.into_iter().map(|event| (event.id, event.event, event.data)).collect()
    }

    /// Mutation: count CR LF as two ends, forget the id, or give an event without data.
    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let expected =
            [("1", "record", "{\"a\":\n1}"), ("1", "message", ""), ("2", "message", "x")]
                .map(|(id, event, data)| (Some(id.to_owned()), event.to_owned(), data.to_owned()));
        assert_eq!(all(&mut SseParser::default(), TEXT.as_bytes()), expected);
        let mut parser = SseParser::default();
        let bytewise: Vec<_> = TEXT.bytes().flat_map(|byte| all(&mut parser, &[byte])).collect();
        assert_eq!(bytewise, expected);
    }

    /// Mutation: take an id with a NUL in it, which no header could carry back.
    #[test]
    fn an_id_that_cannot_be_sent_back_is_ignored() {
        let events = all(&mut SseParser::default(), b"id: 1\nid: 2\0\ndata: x\n\n");
        assert_eq!(events, [(Some("1".to_owned()), "message".to_owned(), "x".to_owned())]);
    }

    /// Mutation: look at the line alone, or at the data alone.
    #[test]
    fn an_endless_event_is_refused() {
        let mut endless_line = SseParser::default();
        assert_eq!(endless_line.push(&vec![b'x'; EVENT_BYTES_MAX]), Ok(Vec::new()));
        assert_eq!(endless_line.push(b"x"), Err(SseTooLong));
        let mut endless_data = SseParser::default();
        let line = [b"data:".as_slice(), &vec![b'x'; EVENT_BYTES_MAX / 2], b"\n"].concat();
        assert_eq!(endless_data.push(&line), Ok(Vec::new()));
        assert_eq!(endless_data.push(&line), Err(SseTooLong));
    }
}
