//! Dates: `1980-03-12`, `12.3.1980`, `3/12/80`, `12 March 1980`, `March 12, 1980`.

use crate::check::is_day;
use crate::class::Class;
use crate::scan::Scan;
use crate::steps;
use crate::text::{self, Chain, Group, Separator};

/// Names of months, each with how they are shortened, in English, German, French, Spanish, Italian.
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "januar",
    "februar",
    "märz",
    "mai",
    "juni",
    "juli",
    "oktober",
    "dezember",
    "okt",
    "dez",
    "janvier",
    "février",
    "mars",
    "avril",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
    "gennaio",
    "febbraio",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "settembre",
    "ottobre",
    "dicembre",
];

/// The longest of them.
const MONTH_BYTES_MAX: usize = 10;

pub fn is_month(word: &[u8]) -> bool {
    steps::add(MONTHS.len());
    let is = |month: &str| {
        month.len() == word.len()
            && month.bytes().zip(word).all(|(a, b)| a == b.to_ascii_lowercase())
    };
    (3..=MONTH_BYTES_MAX).contains(&word.len()) && MONTHS.iter().any(|month| is(month))
}

/// A letter of a month's name; accents have two bytes.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

fn month_end(text: &[u8], start: usize) -> Option<usize> {
    let end = text::run(text, start, MONTH_BYTES_MAX + 1, is_letter);
    let is_word = !text::at(text, end).is_ascii_digit();
    (is_word && is_month(&text[start.min(end)..end])).then_some(end)
}

fn month_start(text: &[u8], end: usize) -> Option<usize> {
    let start = text::run_back(text, end, MONTH_BYTES_MAX + 1, is_letter);
    let is_word = !text::before(text, start).is_ascii_alphanumeric();
    (is_word && is_month(&text[start..end])).then_some(start)
}

pub fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

fn is_year(year: u64) -> bool {
    (1850..=2100).contains(&year)
}

/// A date that begins at the first of these groups, or at the month before it.
pub fn near(scan: &mut Scan<'_>, chain: &Chain) {
    if !scan.wants(Class::Date) {
        return;
    }
    let first = chain.groups()[0];
    if first.is_number() && first.len() <= 4 && !is_joined(scan.text, first.start) {
        numeric(scan, chain);
    }
    let digits = text::run(scan.text, first.start, 3, |byte| byte.is_ascii_digit()) - first.start;
    let number = &scan.text[first.start..first.start + digits];
    let rest = &scan.text[first.start + digits..first.end];
    let is_ordinal = rest.is_empty()
        || [&b"st"[..], b"nd", b"rd", b"th"].iter().any(|it| rest.eq_ignore_ascii_case(it));
    let is_day = (1..=2).contains(&digits) && is_ordinal && (1..=31).contains(&value(number));
    if is_day {
        day_first(scan, first);
    }
    if is_day || first.is_number() && first.len() == 4 {
        month_first(scan, first, is_day);
    }
}

/// As for other numbers, but a comma may stand before.
fn is_joined(text: &[u8], start: usize) -> bool {
    text::before(text, start) != b',' && text::is_joined_left(text, start)
}

fn numeric(scan: &mut Scan<'_>, chain: &Chain) {
    let groups = chain.groups();
    let text = scan.text;
    let part = |i: usize| value(&text[groups[i].start..groups[i].end]);
    let start = groups[0].start;
    let by = groups.get(1).map_or(Separator::None, |group| group.separator);
    if !matches!(by, Separator::Hyphen | Separator::Slash | Separator::Dot) {
        return;
    }
    let is_part = |group: &Group| group.is_number() && group.len() <= 4;
    if let Some(end) = iso_end(text, groups) {
        scan.sure(Class::Date, start, end);
        return;
    }
    let three = groups.len() >= 3 && groups[2].separator == by && groups[..3].iter().all(is_part);
    let goes_on = |end: usize| text::is_joined_right(text, end) && text::at(text, end) != b':';
    if three && !goes_on(groups[2].end) {
        let (a, b, c, end) = (part(0), part(1), part(2), groups[2].end);
        let is_pair = groups[0].len() <= 2 && groups[1].len() <= 2;
        let fits = is_pair && (is_day(a, b) || is_day(b, a));
        match groups[2].len() {
            4 if fits && is_year(c) => scan.sure(Class::Date, start, time_end(text, end)),
            // `1.2.10` is the number of a section, `1.10.24` a version.
            2 if fits && (by != Separator::Dot || groups[0].len() + groups[1].len() == 4) => {
                scan.likely(Class::Date, start, end);
            }
            _ => {}
        }
    } else if groups.len() >= 2 && is_part(&groups[1]) && !goes_on(groups[1].end) {
        let fits = match groups[1].len() {
            4 => (1..=12).contains(&part(0)) && is_year(part(1)) && groups[0].len() <= 2,
            _ => groups[0].len() <= 2 && (is_day(part(0), part(1)) || is_day(part(1), part(0))),
        };
        if fits && by == Separator::Slash {
            scan.weak(Class::Date, start, groups[1].end);
        }
    }
}

/// Behind `1980-03-12`, and the time after it.
fn iso_end(text: &[u8], groups: &[Group]) -> Option<usize> {
    let [year, month, day, ..] = groups else { return None };
    let date = &text[year.start..day.end];
    if year.len() != 4 || !month.is_number() || month.len() > 2 || month.separator != day.separator
    {
        return None;
    }
    let digits = text::run(text, day.start, 3, |byte| byte.is_ascii_digit()) - day.start;
    let rest = text::at(text, day.start + digits);
    let is_whole = day.is_number() || matches!(rest, b'T' | b't');
    let year = value(&date[..4]);
    let of_month = value(&text[month.start..month.end]);
    let of_day = value(&text[day.start..day.start + digits.min(2)]);
    let fits = is_whole && (1..=2).contains(&digits) && is_year(year) && is_day(of_month, of_day);
    fits.then(|| time_end(text, day.start + digits))
}

/// Behind `T12:30:00.5+01:00`, ` 12:30` or nothing.
fn time_end(text: &[u8], start: usize) -> usize {
    let two = |place: usize| {
        text.get(place..place + 2).is_some_and(|pair| pair.iter().all(u8::is_ascii_digit))
    };
    let begins = matches!(text::at(text, start), b'T' | b't' | b' ');
    if !begins || start >= text.len() || !two(start + 1) || text::at(text, start + 3) != b':' {
        return start;
    }
    let mut end = start + 3;
    while text::at(text, end) == b':' && two(end + 1) && end < start + 9 {
        end += 3;
    }
    if text::at(text, end) == b'.' && text::at(text, end + 1).is_ascii_digit() {
        end = text::run(text, end + 1, 9, |byte| byte.is_ascii_digit());
    }
    match text::at(text, end) {
        b'Z' | b'z' => end + 1,
        b'+' | b'-' if two(end + 1) => {
            let minutes = if text::at(text, end + 3) == b':' { end + 4 } else { end + 3 };
            if two(minutes) { minutes + 2 } else { end + 3 }
        }
        _ => end,
    }
}

/// `12 March 1980`, `12th of March 1980`, `12. März 1980`, `12 de marzo de 1980`, `21-May-2021`.
fn day_first(scan: &mut Scan<'_>, day: Group) {
    let text = scan.text;
    let mut place = day.end;
    place = text::run(text, place, 1, |byte| byte == b'.');
    place = text::run(text, place, 1, |byte| matches!(byte, b' ' | b'-' | b'/'));
    place = after_of(text, place);
    let Some(month) = month_end(text, place) else { return };
    let mut next = text::run(text, month, 1, |byte| byte == b'.');
    next = text::run(text, next, 1, |byte| byte == b',');
    next = text::run(text, next, 1, |byte| matches!(byte, b' ' | b'-' | b'/'));
    next = after_of(text, next);
    let end = text::run(text, next, 5, |byte| byte.is_ascii_digit());
    if end - next == 4 && is_year(value(&text[next..end])) {
        scan.sure(Class::Date, day.start, time_end(text, end));
    } else {
        scan.likely(Class::Date, day.start, month);
    }
}

fn after_of(text: &[u8], place: usize) -> usize {
    let rest = text.get(place..place + 3).unwrap_or_default();
    if rest.eq_ignore_ascii_case(b"of ") || rest.eq_ignore_ascii_case(b"de ") {
        place + 3
    } else {
        place
    }
}

/// `March 12, 1980`, `March 1980`, `May-21`.
fn month_first(scan: &mut Scan<'_>, number: Group, is_day: bool) {
    let text = scan.text;
    let gap = text::run_back(text, number.start, 1, |byte| matches!(byte, b' ' | b'-'));
    let gap = text::run_back(text, gap, 1, |byte| byte == b'.');
    if gap == number.start {
        return;
    }
    let Some(start) = month_start(text, gap) else { return };
    if !is_day {
        if is_year(value(&text[number.start..number.end])) && !before_day(text, start) {
            scan.likely(Class::Date, start, number.end);
        }
        return;
    }
    let comma = text::run(text, number.end, 1, |byte| byte == b',');
    let year = text::run(text, comma, 1, |byte| byte == b' ');
    let end = text::run(text, year, 5, |byte| byte.is_ascii_digit());
    if end - year == 4 && is_year(value(&text[year..end])) {
        scan.sure(Class::Date, start, end);
    } else {
        scan.likely(Class::Date, start, number.end);
    }
}

/// A day stands before the month: then the date began there.
fn before_day(text: &[u8], month: usize) -> bool {
    let gap = text::run_back(text, month, 2, |byte| matches!(byte, b' ' | b'-' | b'.'));
    text::before(text, gap).is_ascii_digit()
}
