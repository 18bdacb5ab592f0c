//! Telephone numbers, by their form: no register of who has which.

use crate::class::Class;
use crate::detect::date;
use crate::scan::Scan;
use crate::steps;
use crate::text::{self, Chain, Group, Separator};

/// Digits of a number with its country, as E.164 bounds them.
const DIGITS_MAX: usize = 15;

/// Fewer are no number of a subscriber.
const DIGITS_MIN: usize = 7;

/// Countries by their code, with fewest and most digits behind it. Of others: 6 to 12.
const COUNTRIES: &[(&str, usize, usize)] = &[
    ("1", 10, 10),
    ("20", 8, 10),
    ("27", 9, 9),
    ("30", 10, 10),
    ("31", 9, 9),
    ("32", 8, 9),
    ("33", 9, 9),
    ("34", 9, 9),
    ("36", 8, 9),
    ("39", 6, 11),
    ("40", 9, 9),
    ("41", 9, 10),
    ("43", 6, 13),
    ("44", 9, 11),
    ("45", 8, 8),
    ("46", 7, 10),
    ("47", 8, 8),
    ("48", 9, 9),
    ("49", 6, 12),
    ("51", 8, 9),
    ("52", 10, 11),
    ("54", 10, 11),
    ("55", 10, 11),
    ("56", 9, 9),
    ("57", 8, 10),
    ("60", 8, 10),
    ("61", 9, 10),
    ("62", 8, 12),
    ("63", 8, 10),
    ("64", 8, 10),
    ("65", 8, 8),
    ("66", 8, 9),
    ("7", 10, 10),
    ("81", 9, 11),
    ("82", 8, 11),
    ("84", 9, 10),
    ("86", 10, 11),
    ("90", 10, 10),
    ("91", 10, 10),
    ("92", 9, 10),
    ("98", 10, 10),
    ("351", 9, 9),
    ("352", 6, 9),
    ("353", 7, 9),
    ("354", 7, 7),
    ("358", 6, 11),
    ("372", 7, 8),
    ("380", 9, 9),
    ("420", 9, 9),
    ("421", 9, 9),
    ("971", 8, 9),
    ("972", 8, 9),
];

/// Codes of two digits that are codes: all others have three.
fn code_length(digits: &[u8]) -> usize {
    const TWO: [&[u8]; 8] =
        [b"07", b"0123469", b"013456789", b"1345678", b"0123456", b"", b"12346", b"01234589"];
    match digits {
        [b'1' | b'7', ..] => 1,
        [first @ (b'2'..=b'6' | b'8' | b'9'), second, ..] => {
            let row = match first {
                b'2' => TWO[0],
                b'3' => TWO[1],
                b'4' => TWO[2],
                b'5' => TWO[3],
                b'6' => TWO[4],
                b'8' => TWO[6],
                _ => TWO[7],
            };
            if row.contains(second) { 2 } else { 3 }
        }
        _ => 0,
    }
}

struct Digits {
    values: [u8; DIGITS_MAX],
    count: usize,
}

impl Digits {
    fn of(text: &[u8]) -> Option<Self> {
        let mut digits = Self { values: [0; DIGITS_MAX], count: 0 };
        steps::add(text.len());
        for byte in text.iter().filter(|byte| byte.is_ascii_digit()) {
            *digits.values.get_mut(digits.count)? = *byte;
            digits.count += 1;
        }
        Some(digits)
    }

    fn all(&self) -> &[u8] {
        &self.values[..self.count]
    }
}

/// The number that begins with the first of these groups.
pub fn number(scan: &mut Scan<'_>, chain: &Chain) {
    if ![Class::Phone, Class::PhPhone, Class::TrPhone].iter().any(|class| scan.wants(*class)) {
        return;
    }
    let text = scan.text;
    let first = chain.groups()[0];
    let bracket = text::run_back(text, first.start, 1, |byte| byte == b'(');
    let start = text::run_back(text, bracket, 1, |byte| byte == b'+');
    let is_international = start < bracket;
    let is_within = text::before(text, start).is_ascii_alphanumeric()
        || before_is_number(text, start)
        || start == first.start && text::is_joined_left(text, start);
    if is_within {
        return;
    }
    let mut numbers = chain.numbers();
    let (mut groups, count) = chain.clone().into_groups();
    // `555-0132x45`: the extension made a word of the last group.
    if numbers < count && is_extended(text, &groups[numbers]) {
        let last = &mut groups[numbers];
        (last.end, last.has_letter) = (last.start + 4, false);
        numbers += 1;
    }
    let groups = &groups[..numbers];
    let digits: usize = groups.iter().map(Group::len).sum();
    if digits < DIGITS_MIN {
        return;
    }
    regional(scan, groups, start, is_international);
    if is_international || text[first.start..first.end].starts_with(b"00") {
        let zeros = if is_international { 0 } else { 2 };
        international(scan, groups, start, zeros);
        if is_international {
            return;
        }
    }
    national(scan, groups, start);
}

/// A part of a longer number: `12 (34)`, `12/+34`.
fn before_is_number(text: &[u8], start: usize) -> bool {
    matches!(text::before(text, start), b')' | b'+')
}

/// Forms of two countries, which others write without their codes, too.
fn regional(scan: &mut Scan<'_>, groups: &[Group], start: usize, is_international: bool) {
    for group in groups {
        let end = group.end;
        let Some(digits) = Digits::of(&scan.text[start..end]) else { return };
        let digits = digits.all();
        if text::is_joined_right(scan.text, end) {
            continue;
        }
        let rest = |code: &[u8]| match (digits.strip_prefix(code), digits.strip_prefix(b"0")) {
            (Some(rest), _) if is_international => rest.len() == 10,
            (_, Some(rest)) if !is_international => rest.len() == 10,
            _ => false,
        };
        let first = digits.get(digits.len().saturating_sub(10)).copied().unwrap_or(b'0');
        if rest(b"63") && first == b'9' {
            scan.likely(Class::PhPhone, start, end);
        }
        let is_bare = digits.len() == 10 && !is_international;
        if (rest(b"90") || is_bare) && (b'2'..=b'5').contains(&first) {
            scan.likely(Class::TrPhone, start, end);
        }
    }
}

/// As many groups as the country allows.
fn international(scan: &mut Scan<'_>, groups: &[Group], start: usize, zeros: usize) {
    for count in (1..=groups.len()).rev() {
        let end = groups[count - 1].end;
        let Some(digits) = Digits::of(&scan.text[groups[0].start..end]) else { continue };
        let Some(digits) = digits.all().get(zeros..).filter(|rest| fits_country(rest)) else {
            continue;
        };
        // A `0` in brackets is dialled within the country only.
        let end = extension_end(scan.text, end);
        if zeros == 0 && digits.len() > DIGITS_MIN {
            scan.sure(Class::Phone, start, end);
        } else {
            scan.likely(Class::Phone, start, end);
        }
        return;
    }
}

fn fits_country(digits: &[u8]) -> bool {
    let length = code_length(digits);
    if length == 0 || digits.len() < length {
        return false;
    }
    let (code, rest) = digits.split_at(length);
    let known = COUNTRIES.iter().find(|(country, ..)| country.as_bytes() == code);
    let (least, most) = known.map_or((6, 12), |(_, least, most)| (*least, *most));
    let trunk = usize::from(rest.first() == Some(&b'0'));
    (least..=most + trunk).contains(&rest.len())
        && (code != b"1" || rest[0] > b'1')
        && digits.len() <= DIGITS_MAX
}

/// Behind `x123`, ` ext. 123`.
fn extension_end(text: &[u8], end: usize) -> usize {
    let place = text::run(text, end, 1, |byte| byte == b' ');
    let word = text::run(text, place, 4, |byte| byte.is_ascii_alphabetic());
    let name = &text[place.min(word)..word];
    if ![&b"x"[..], b"ext"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return end;
    }
    let place = text::run(text, word, 2, |byte| matches!(byte, b'.' | b' '));
    let to = text::run(text, place, 5, |byte| byte.is_ascii_digit());
    if to > place { to } else { end }
}

/// Without a country: the North American form, those with a zero before the area, and shorter ones
/// where a word before says that it is a telephone.
fn national(scan: &mut Scan<'_>, all: &[Group], start: usize) {
    for count in (1..=all.len()).rev() {
        let groups = &all[..count];
        let end = groups[count - 1].end;
        let Some(digits) = Digits::of(&scan.text[groups[0].start..end]) else { continue };
        if digits.count < DIGITS_MIN {
            return;
        }
        if text::is_joined_right(scan.text, end) || is_date(scan.text, groups) {
            continue;
        }
        let digits = digits.all();
        if is_north_american(groups, digits) {
            let has_form = groups
                .iter()
                .any(|it| matches!(it.separator, Separator::Bracket | Separator::Hyphen));
            let end = extension_end(scan.text, end);
            if has_form {
                scan.sure(Class::Phone, start, end);
            } else {
                scan.likely(Class::Phone, start, end);
            }
            return;
        }
        if is_trunk(groups, digits) {
            scan.likely(Class::Phone, start, end);
            return;
        }
        if digits.len() <= 12 && count <= 5 {
            scan.weak(Class::Phone, start, end);
        }
    }
}

fn is_extended(text: &[u8], group: &Group) -> bool {
    let end = text::run(text, group.start, 4, |byte| byte.is_ascii_digit());
    end == group.start + 4
        && text::at(text, end).eq_ignore_ascii_case(&b'x')
        && text[end + 1..group.end].iter().all(u8::is_ascii_digit)
}

/// A date that there can be, or one with a time behind it: `05.06.2024 10:00`, `2024-06-05 0800`.
fn is_date(text: &[u8], groups: &[Group]) -> bool {
    let [first, second, third, rest @ ..] = groups else { return false };
    let value = |group: &Group| date::value(&text[group.start..group.end]);
    let is_one = second.separator == third.separator && second.separator != Separator::Space;
    let (year, days) = match [first, second, third].map(Group::len) {
        [4, 1..=2, 1..=2] => (Some(first), [second, third]),
        [1..=2, 1..=2, 4] => (Some(third), [first, second]),
        // Of a short year, only a time says what it is.
        [1..=2, 1..=2, 2] if is_one && is_clock(rest) => (None, [first, second]),
        _ => return false,
    };
    let [one, other] = days.map(value);
    let is_day = (1..=12).contains(&one.min(other)) && one.max(other) <= 31;
    let is_time = match rest {
        [] => true,
        [whole] if whole.len() == 4 => is_one && value(whole) / 100 < 24 && value(whole) % 100 < 60,
        [hour, more @ ..] => {
            let is_part = |group: &Group| group.len() <= 2 && value(group) < 60;
            is_one && hour.len() <= 2 && value(hour) < 24 && more.iter().all(is_part)
        }
    };
    is_day && is_time && year.is_none_or(|year| (1800..2200).contains(&value(year)))
}

/// `10:00` behind a blank.
fn is_clock(groups: &[Group]) -> bool {
    matches!(groups, [hour, minute, ..]
        if hour.separator == Separator::Space && minute.separator == Separator::Colon)
}

fn is_north_american(groups: &[Group], digits: &[u8]) -> bool {
    let lengths = |wanted: &[usize]| {
        groups.len() >= wanted.len()
            && groups.iter().zip(wanted).all(|(group, wanted)| group.len() == *wanted)
    };
    let last_is = |count: usize| groups.len() == count;
    let (is_form, digits) = if digits.len() == 11 && digits[0] == b'1' {
        (lengths(&[1, 3, 3]) && last_is(4), &digits[1..])
    } else {
        (lengths(&[3, 3]) && last_is(3), digits)
    };
    let is_written = groups.iter().any(|group| group.separator != Separator::Space);
    is_form && digits.len() == 10 && digits[0] > b'1' && (digits[3] > b'1' || is_written)
}

/// `0` and an area, then the number. A word alone must begin as a mobile or an area does.
fn is_trunk(groups: &[Group], digits: &[u8]) -> bool {
    let is_number = digits[0] == b'0' && digits[1] != b'0' && (9..=12).contains(&digits.len());
    let is_grouped = groups.len() > 1
        && (groups[0].len() > 1 || groups[1].separator == Separator::Bracket)
        && groups.len() <= 6
        && groups[1..]
            .iter()
            .all(|group| group.len() >= 2 || group.separator == Separator::Bracket);
    is_number && (is_grouped || groups.len() == 1 && (10..=11).contains(&digits.len()))
}
