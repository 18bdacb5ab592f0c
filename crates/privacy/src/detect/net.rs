//! Addresses of machines: IPv4, IPv6, MAC.

use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::class::Class;
use crate::finding::Confidence;
use crate::scan::Scan;
use crate::steps;
use crate::text::{self, Chain, Separator};

/// The longest IPv6 address as text, with an IPv4 address as its end.
const IPV6_BYTES_MAX: usize = 45;

/// IPv4, and MAC as three groups of four. The first of the groups begins here.
pub fn dotted(scan: &mut Scan<'_>, chain: &Chain) {
    let groups = chain.groups();
    let dots = groups[1..].iter().take_while(|group| group.separator == Separator::Dot).count();
    if dots < 2 || text::is_joined_left(scan.text, groups[0].start) {
        return;
    }
    let (start, text) = (groups[0].start, scan.text);
    let part = |i: usize| &text[groups[i].start..groups[i].end];
    if dots == 2 {
        let is_part = |i: usize| groups[i].len() == 4 && part(i).iter().all(u8::is_ascii_hexdigit);
        if (0..3).all(is_part) && (0..3).any(|i| groups[i].has_letter) {
            scan.sure(Class::Mac, start, groups[2].end);
        }
        return;
    }
    let octet = |i: usize| {
        let is_short = groups[i].is_number() && groups[i].len() <= 3;
        // `03.93.92.16` is the beginning of a telephone number.
        is_short && value(part(i)) <= 255 && (groups[i].len() == 1 || part(i)[0] != b'0')
    };
    if (0..4).all(octet) {
        let end = groups[3].end;
        scan.sure(Class::Ip, start, prefix_end(text, end, 32));
    }
}

fn value(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

/// Behind `/24`, if that stands here.
fn prefix_end(text: &[u8], end: usize, most: u32) -> usize {
    if text::at(text, end) != b'/' {
        return end;
    }
    let to = text::run(text, end + 1, 4, |byte| byte.is_ascii_digit());
    let digits = &text[(end + 1).min(to)..to];
    let fits = !digits.is_empty() && digits.len() < 4 && value(digits) <= most;
    if fits && !text::at(text, to).is_ascii_alphanumeric() { to } else { end }
}

/// IPv6 and MAC, found at the first of their colons.
pub fn colon(scan: &mut Scan<'_>, place: usize) {
    let text = scan.text;
    let hex = |byte: u8| byte.is_ascii_hexdigit();
    let start = text::run_back(text, place, 5, hex);
    if place - start > 4 || start > 0 && is_inside(text[start - 1]) {
        return;
    }
    let part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let end = text::run(text, place, IPV6_BYTES_MAX + 1, part);
    let region = &text[start..end];
    steps::add(2 * region.len());
    if region.len() < 2 || memchr::memchr_iter(b':', region).take(2).count() < 2 {
        return;
    }
    if mac(scan, start, end, b':') {
        return;
    }
    ipv6(scan, start, end);
}

/// A letter or digit, or another colon: the address would begin before this.
fn is_inside(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}

fn ipv6(scan: &mut Scan<'_>, start: usize, mut end: usize) {
    let text = scan.text;
    if text::at(text, end).is_ascii_alphanumeric() {
        return;
    }
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    let region = &text[start..end];
    let as_text = std::str::from_utf8(region).expect("signs of addresses are ASCII");
    if Ipv6Addr::from_str(as_text).is_err() {
        return;
    }
    let sure = region.iter().any(u8::is_ascii_digit) || region.len() > 6;
    let confidence = if sure { Confidence::High } else { Confidence::Low };
    // The interface, as in `fe80::1%eth0`.
    if text::at(text, end) == b'%' {
        end = text::run(text, end + 1, 16, |byte| byte.is_ascii_alphanumeric());
    }
    scan.push(Class::Ip, confidence, start, prefix_end(text, end, 128));
}

/// Six pairs with one sign between them.
fn mac(scan: &mut Scan<'_>, start: usize, end: usize, sign: u8) -> bool {
    let region = &scan.text[start..end.min(start + 17)];
    let fits = region.len() == 17
        && region.iter().enumerate().all(|(i, byte)| match i % 3 {
            2 => *byte == sign,
            _ => byte.is_ascii_hexdigit(),
        })
        && !is_inside(text::at(scan.text, start + 17))
        && text::at(scan.text, start + 17) != sign;
    // All zeros and all ones belong to nobody.
    let first = region.first().copied().unwrap_or(b'0');
    let is_somebodys = region.iter().any(|byte| *byte != sign && *byte != first);
    if fits && is_somebodys {
        scan.sure(Class::Mac, start, start + 17);
    }
    fits
}

pub fn hyphen(scan: &mut Scan<'_>, place: usize) {
    let Some(start) = place.checked_sub(2) else { return };
    let text = scan.text;
    let is_first = text::at(text, place + 3) == b'-'
        && text[start].is_ascii_hexdigit()
        && !is_inside(text::before(text, start))
        && text::before(text, start) != b'-';
    if is_first {
        mac(scan, start, text.len(), b'-');
    }
}
