//! Integers that are longer than 64 bits: a tool's number of an order may have thirty digits, and its last ones count.
//!
//! A `Value` would make a float of one. While it is handled here it is a text with a mark, and where it is written, a
//! number again: within arguments, which are JSON in a text, as well.

use serde_json::Value;

/// Before the digits. Nobody writes this sign: it is for private use.
const MARK: char = '\u{f5b1}';

/// Digits that always fit.
const FITTING: usize = 18;

/// JSON with such integers marked.
pub(crate) fn read(json: &[u8]) -> serde_json::Result<Value> {
    let is_digits = |run: &[u8]| run.len() > FITTING;
    if !json.split(|sign| !sign.is_ascii_digit()).any(is_digits) {
        return serde_json::from_slice(json);
    }
    serde_json::from_slice(&marked(json))
}

fn marked(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 64);
    let mut at = 0;
    while let Some(sign) = json.get(at) {
        let end = match sign {
            b'"' => text_end(json, at),
            b'-' | b'0'..=b'9' => {
                let of_number = |it: &&u8| {
                    it.is_ascii_digit() || matches!(it, b'-' | b'+' | b'.' | b'e' | b'E')
                };
                at + json[at..].iter().take_while(of_number).count()
            }
            _ => at + 1,
        };
        let piece = &json[at..end];
        if is_long(piece) {
            out.push(b'"');
            out.extend_from_slice(MARK.encode_utf8(&mut [0; 4]).as_bytes());
            out.extend_from_slice(piece);
            out.push(b'"');
        } else {
            out.extend_from_slice(piece);
        }
        at = end;
    }
    out
}

/// Behind the closing quote.
fn text_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(sign) = json.get(at) {
        match sign {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// A whole number of JSON that no integer of 64 bits holds.
fn is_long(piece: &[u8]) -> bool {
    let digits = piece.strip_prefix(b"-").unwrap_or(piece);
    let is_integer =
        digits.len() > FITTING && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(piece).unwrap_or_default();
    is_integer && text.parse::<i64>().is_err() && text.parse::<u64>().is_err()
}

/// As it goes out: what was marked is a number.
pub(crate) fn written(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(MARK) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find(MARK) {
        let (before, behind) = (&rest[..at], &rest[at + MARK.len_utf8()..]);
        let quote = quote(before);
        let digits = behind.bytes().take_while(|it| it.is_ascii_digit() || *it == b'-').count();
        let is_marked = !quote.is_empty() && is_long(&behind.as_bytes()[..digits]);
        match behind[digits..].strip_prefix(quote).filter(|_| is_marked) {
            Some(after) => {
                out.push_str(&before[..at - quote.len()]);
                out.push_str(&behind[..digits]);
                rest = after;
            }
            None => {
                out.push_str(before);
                out.push(MARK);
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The quote that a text ends in, with the backslashes before it.
fn quote(text: &str) -> &str {
    let Some(before) = text.strip_suffix('"') else { return "" };
    &text[before.trim_end_matches('\\').len()..]
}
