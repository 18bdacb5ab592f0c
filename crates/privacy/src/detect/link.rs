//! E-mail addresses, URLs and names of hosts.

use crate::class::Class;
use crate::scan::{Scan, Tail};
use crate::steps;
use crate::text;

/// The part before the `@`, as RFC 5321 bounds it.
const LOCAL_BYTES_MAX: usize = 64;

/// A name of a host, as DNS bounds it.
const HOST_BYTES_MAX: usize = 253;

/// Signs before `://` that can be a scheme.
const SCHEME_BYTES_MAX: usize = 8;

/// Endings of names that are taken without `http://` before them. Those that are endings of files, too
/// (`.rs`, `.py`, `.sh`), or words, stand for hosts only behind `www.`.
const ENDINGS: [&[u8]; 12] =
    [b"com", b"org", b"net", b"edu", b"gov", b"mil", b"info", b"biz", b"de", b"fr", b"uk", b"eu"];

/// A letter of two bytes: Latin with accents, Greek, Cyrillic.
fn is_letter_pair(bytes: &[u8]) -> bool {
    matches!(bytes, [0xc3..=0xdf, 0x80..=0xbf])
}

/// Where the part before the `@` begins.
fn local_start(text: &[u8], end: usize) -> usize {
    let mut start = end;
    while start > 0 && end - start < LOCAL_BYTES_MAX - 1 {
        let byte = text[start - 1];
        if byte.is_ascii_alphanumeric() || b"._%+-'".contains(&byte) {
            start -= 1;
        } else if start > 1 && is_letter_pair(&text[start - 2..start]) {
            start -= 2;
        } else {
            break;
        }
    }
    steps::add(end - start + 1);
    start + text[start..end].iter().take_while(|byte| b".%+-'".contains(byte)).count()
}

/// Where the name of a host ends, and whether it has a dot and an ending that can be one.
fn host_end(text: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while end < text.len() && end - start < HOST_BYTES_MAX {
        if text[end].is_ascii_alphanumeric() || matches!(text[end], b'.' | b'-') {
            end += 1;
        } else if text.get(end..end + 2).is_some_and(is_letter_pair) {
            end += 2;
        } else {
            break;
        }
    }
    steps::add(end - start + 1);
    while end > start && matches!(text[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let dot = memchr::memrchr(b'.', &text[start..end])?;
    let ending = &text[start + dot + 1..end];
    let is_ending = ending.len() >= 2
        && ending.iter().all(|byte| !byte.is_ascii_digit() && *byte != b'-')
        || ending.starts_with(b"xn--") && ending.len() > 4;
    (dot > 0 && text[start] != b'.' && is_ending).then_some(end)
}

pub fn email(scan: &mut Scan<'_>, place: usize) {
    let start = local_start(scan.text, place);
    if start < place
        && let Some(end) = host_end(scan.text, place + 1)
    {
        scan.sure(Class::Email, start, end);
    }
}

pub fn url(scan: &mut Scan<'_>, place: usize) {
    let text = scan.text;
    if !text[place..].starts_with(b"://") {
        return;
    }
    password(scan, place + 3);
    if !scan.wants(Class::Url) {
        return;
    }
    let scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+');
    let start = text::run_back(text, place, SCHEME_BYTES_MAX, scheme);
    const SCHEMES: [&[u8]; 9] =
        [b"http", b"https", b"ftp", b"ftps", b"sftp", b"ws", b"wss", b"ssh", b"git"];
    if !SCHEMES.iter().any(|scheme| text[start..place].eq_ignore_ascii_case(scheme)) {
        return;
    }
    let from = after_user(text, place + 3);
    if let Some(end) = host_end(text, from).or_else(|| ip_end(text, from)) {
        scan.tail(Class::Url, Tail::Url, start, end);
    }
}

/// The one in `user:password@`, whatever the scheme.
fn password(scan: &mut Scan<'_>, start: usize) {
    if !scan.wants(Class::Secret) {
        return;
    }
    let end = after_user(scan.text, start).saturating_sub(1);
    let user = scan.text.get(start..end).unwrap_or_default();
    let Some(colon) = memchr::memchr(b':', user) else { return };
    let is_placeholder = |it: &[u8]| {
        it.starts_with(b"$") || it.starts_with(b"{") || it.iter().all(|byte| *byte == b'*')
    };
    if !is_placeholder(&user[colon + 1..]) {
        scan.sure(Class::Secret, start + colon + 1, end);
    }
}

/// Behind `user:password@`, if that stands here.
fn after_user(text: &[u8], start: usize) -> usize {
    let user = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\"'<>".contains(&byte);
    let end = text::run(text, start, HOST_BYTES_MAX, user);
    if text::at(text, end) == b'@' { end + 1 } else { start }
}

fn ip_end(text: &[u8], start: usize) -> Option<usize> {
    let end = text::run(text, start, 15, |byte| byte.is_ascii_digit() || byte == b'.');
    let parts = text[start.min(end)..end].split(|byte| *byte == b'.');
    (parts.filter(|part| (1..=3).contains(&part.len())).count() == 4).then_some(end)
}

/// A sign that a URL goes on over.
pub fn is_url_sign(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&byte)
}

/// Where a URL ends that is known until `from`, and whose signs go on until `stop`. Signs that end a
/// sentence do not belong to it.
pub fn url_end(text: &[u8], from: usize, stop: usize) -> usize {
    text::run_back(text, stop, 4.min(stop - from), |byte| b".,;:!?)]".contains(&byte))
}

/// A name of a host without scheme, found at the dot before its ending.
pub fn domain(scan: &mut Scan<'_>, place: usize) {
    let text = scan.text;
    let end = text::run(text, place + 1, 8, |byte| byte.is_ascii_alphabetic());
    let ending = &text[(place + 1).min(end)..end];
    if ending.len() < 2 || !text::before(text, place).is_ascii_alphanumeric() {
        return;
    }
    let next = text::at(text, end);
    let goes_on = next == b'.' && text::at(text, end + 1).is_ascii_alphabetic();
    if goes_on || next.is_ascii_alphanumeric() || matches!(next, b'-' | b'_' | b'@' | b'(') {
        return;
    }
    let host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let start = text::run_back(text, place, HOST_BYTES_MAX, host);
    let is_www = text[start..place].get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"www."));
    let known = ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known));
    let is_within = matches!(text::before(text, start), b'@' | b'/' | b'_' | b':' | 0x80..);
    if is_within || !(known || is_www && place > start + 4) || !text[start].is_ascii_alphanumeric()
    {
        return;
    }
    if next == b'/' {
        scan.tail(Class::Url, Tail::Url, start, end);
    } else {
        scan.likely(Class::Url, start, end);
    }
}
