//! Some servers say again what they were sent, the site's own secret for them among it.

use bytes::Bytes;
use memchr::memchr2_iter;
use models::spliced;

use super::shelf::Shelved;

/// What an upstream says of an error, without the secret that it was asked with.
pub(super) fn without_secret(text: Bytes, shelved: &Shelved) -> Bytes {
    let Some((value, _)) = shelved.opens(|opens| opens.clone()) else { return text };
    let value = value.as_bytes();
    let secret = value.strip_prefix(b"Bearer ").unwrap_or(value);
    let Some(first) = secret.first() else { return text };
    let (mut edits, mut from) = (Vec::new(), 0);
    for at in memchr2_iter(*first, b'\\', &text) {
        if at >= from
            && let Some(end) = end_of(&text, at, secret)
        {
            edits.push((at..end, "[SECRET]".to_owned()));
            from = end;
        }
    }
    if edits.is_empty() { text } else { spliced(&text, edits) }
}

/// Bars before one sign: of a text within a text within a text within a text.
const BARS_MAX: usize = 15;

/// Behind the secret that begins there, each of its signs as it is or as JSON may write it: `\/`, `\u002B`, and that
/// in a text within a text.
fn end_of(text: &[u8], mut at: usize, secret: &[u8]) -> Option<usize> {
    for sign in secret {
        if text.get(at) != Some(sign) {
            let behind = &text[at..];
            let bars = behind.iter().take(BARS_MAX).take_while(|byte| **byte == b'\\').count();
            at += bars;
            match behind.get(bars).filter(|_| bars > 0)? {
                b'u' => {
                    let digits = std::str::from_utf8(behind.get(bars + 1..bars + 5)?).ok()?;
                    let said = u32::from_str_radix(digits, 16).ok()?;
                    at += if said == u32::from(*sign) { 4 } else { return None };
                }
                escaped if escaped == sign => {}
                _ => return None,
            }
        }
        at += 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: read signs as they are only, with one bar only, or with as many as there are: each look at a long
    /// run of them would go to its end.
    #[test]
    fn a_secret_is_found_as_json_writes_it() {
        let whole = |text: &str| end_of(text.as_bytes(), 0, b"a+/z") == Some(text.len());
        for text in ["a+/z", r"a+\/z", r"a\u002B\/z", r"a\\u002b\\/z", r"\u0061+/z"] {
            assert!(whole(text), "{text}");
        }
        assert!(whole(&format!(r"a+{}/z", r"\".repeat(BARS_MAX))));
        let longer = format!(r"a+{}/z", r"\".repeat(BARS_MAX + 1));
        assert_eq!(end_of(longer.as_bytes(), 0, b"a+/z"), None);
        for text in [r"a+\", r"a\u002", r"a\u002C/z", "a+", r"a+\nz", ""] {
            assert_eq!(end_of(text.as_bytes(), 0, b"a+/z"), None, "{text}");
        }
    }
}
