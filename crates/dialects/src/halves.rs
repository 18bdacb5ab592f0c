//! Letters that JSON writes as two escapes, and a server cuts between them: each half comes in an event of its own, and
//! neither event is JSON that anybody can read.

use std::borrow::Cow;
use std::collections::VecDeque;

/// Half letters that wait at once: one of each choice of an answer.
const HALVES_MAX: usize = 128;

/// `\u` and four digits.
const ESCAPE_BYTES: usize = 6;

/// What stands for half a letter whose other half never comes.
const LOST: &[u8; ESCAPE_BYTES] = b"\\ufffd";

/// First halves whose second half has not come.
#[derive(Debug, Default)]
pub struct Halves {
    waiting: VecDeque<[u8; ESCAPE_BYTES]>,
}

impl Halves {
    /// The next event, with no half letter in it: a first one waits for the event that has the second.
    pub fn joined<'a>(&mut self, event: &'a [u8]) -> Cow<'a, [u8]> {
        let mut out: Option<Vec<u8>> = None;
        let (mut done, mut at) = (0, 0);
        while let Some(next) = event[at..].iter().position(|sign| *sign == b'\\') {
            let start = at + next;
            let Some(unit) = unit(&event[start..]) else {
                // The sign behind is escaped, and may be a backslash itself.
                at = (start + 2).min(event.len());
                continue;
            };
            at = start + ESCAPE_BYTES;
            let half = || event[start..].first_chunk().copied().unwrap_or(*LOST);
            let stands = match unit {
                0xd800..0xdc00 if unit_is_second(&event[at..]) => {
                    at += ESCAPE_BYTES;
                    continue;
                }
                0xd800..0xdc00 if self.waiting.len() < HALVES_MAX => {
                    self.waiting.push_back(half());
                    Vec::new()
                }
                0xd800..0xdc00 => LOST.to_vec(),
                0xdc00..0xe000 => match self.waiting.pop_front() {
                    Some(first) => [first, half()].concat(),
                    None => LOST.to_vec(),
                },
                _ => continue,
            };
            let out = out.get_or_insert_with(|| Vec::with_capacity(event.len() + ESCAPE_BYTES));
            out.extend_from_slice(&event[done..start]);
            out.extend_from_slice(&stands);
            done = at;
        }
        match out {
            None => event.into(),
            Some(mut out) => {
                out.extend_from_slice(&event[done..]);
                out.into()
            }
        }
    }
}

fn unit_is_second(text: &[u8]) -> bool {
    unit(text).is_some_and(|unit| (0xdc00..0xe000).contains(&unit))
}

/// What an escape at the beginning of a text stands for.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
