//! The end of an answer that is not told yet: half of a letter, or the beginning of something at which the
//! answer stops.

/// Gets bytes as the model makes them, and gives text that may be told.
pub(super) struct Tail {
    stops: Vec<String>,
    bytes: Vec<u8>,
    text: String,
    /// Whether a blank before the first letter is left out.
    is_trimmed: bool,
}

impl Tail {
    pub(super) fn new(stops: Vec<String>, trims: bool) -> Self {
        Self { stops, bytes: Vec::new(), text: String::new(), is_trimmed: !trims }
    }

    /// What may be told now, and whether the answer ends there.
    pub(super) fn push(&mut self, bytes: &[u8]) -> (String, bool) {
        self.bytes.extend(bytes);
        self.decode(false);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.text.find(stop)).min() {
            self.text.truncate(at);
            return (std::mem::take(&mut self.text), true);
        }
        let held = self.stops.iter().map(|stop| overlap(&self.text, stop)).max().unwrap_or(0);
        let rest = self.text.split_off(self.text.len() - held);
        (std::mem::replace(&mut self.text, rest), false)
    }

    /// All that is left, where nothing more comes.
    pub(super) fn rest(mut self) -> String {
        self.decode(true);
        self.text
    }

    fn decode(&mut self, is_last: bool) {
        let end = match std::str::from_utf8(&self.bytes) {
            Err(wrong) if wrong.error_len().is_none() && !is_last => wrong.valid_up_to(),
            // What is no letter in the middle is shown as that; the end of it may be half of one.
            Err(_) if !is_last => self.bytes.len() - half(&self.bytes),
            Ok(_) | Err(_) => self.bytes.len(),
        };
        let whole: Vec<u8> = self.bytes.drain(..end).collect();
        let mut text = String::from_utf8_lossy(&whole).into_owned();
        if !self.is_trimmed && !text.is_empty() {
            self.is_trimmed = true;
            if text.starts_with(' ') {
                text.remove(0);
            }
        }
        self.text.push_str(&text);
    }
}

/// Bytes at the end that may be the beginning of a letter.
fn half(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3);
    let start = (last..bytes.len()).rev().find(|at| bytes[*at] & 0xc0 != 0x80);
    let length = start.map_or(0, |at| bytes.len() - at);
    let is_half = start.is_some_and(|at| {
        std::str::from_utf8(&bytes[at..]).is_err_and(|wrong| wrong.error_len().is_none())
    });
    if is_half { length } else { 0 }
}

/// How much of the end of a text is the beginning of a stop.
fn overlap(text: &str, stop: &str) -> usize {
    let lengths = (1..stop.len()).rev().filter(|length| stop.is_char_boundary(*length));
    let mut found = lengths.filter(|length| text.ends_with(&stop[..*length]));
    found.next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is told of these pieces, and whether it ended at a stop.
    fn told(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let mut tail = Tail::new(stops.iter().map(ToString::to_string).collect(), false);
        let mut all = Vec::new();
        for piece in pieces {
            let (text, is_over) = tail.push(piece);
            all.push(text);
            if is_over {
                return (all, true);
            }
        }
        all.push(tail.rest());
        (all, false)
    }

    /// Mutation: tell what may be the beginning of a stop, or of a letter.
    #[test]
    fn nothing_is_told_that_may_belong_to_a_stop_or_is_half_a_letter() {
        assert_eq!(
            told(&["END"], &[b"aE", b"N", b"x"]),
            (vec!["a".into(), String::new(), "ENx".into(), String::new()], false)
        );
        assert_eq!(told(&["END"], &[b"aE", b"ND!"]), (vec!["a".into(), String::new()], true));
        assert_eq!(told(&["b", "ab"], &[b"xab"]), (vec!["x".into()], true));
        assert_eq!(told(&[], &[b"\xc3", b"\xa4"]).0, ["", "\u{e4}", ""]);
        assert_eq!(told(&[], &[b"\xff\xc3", b"\xa4"]).0, ["\u{fffd}", "\u{e4}", ""]);
        assert_eq!(told(&[], &[b"a\xf0\x9f"]).0, ["a", "\u{fffd}"]);
    }

    /// Mutation: look for stops in each piece alone.
    #[test]
    fn what_is_told_is_the_same_however_it_is_cut() {
        let text = "x\u{e4}y\u{1f600} stop it ST\u{e4}P".as_bytes();
        let stops = ["ST\u{e4}P", "nothing"];
        let (whole, is_over) = told(&stops, &[text]);
        assert!(is_over);
        for at in 0..=text.len() {
            let (pieces, is_over) = told(&stops, &[&text[..at], &text[at..]]);
            assert_eq!((pieces.concat(), is_over), (whole.concat(), true), "{at}");
        }
        let mut trimmed = Tail::new(Vec::new(), true);
        assert_eq!([trimmed.push(b" ").0, trimmed.push(b" a").0], ["", " a"]);
    }
}
