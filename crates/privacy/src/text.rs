//! Reading bytes around a place: words, borders, groups of digits and letters.

use std::ops::Range;

use crate::steps;

/// The longest word of letters and digits that is looked at as one. Keys, which are longer, are known
/// by how they begin.
pub const TOKEN_BYTES_MAX: usize = 64;

/// Groups that are looked at together: a French number has seven, a telephone number may have eight.
pub const GROUPS_MAX: usize = 9;

/// Bytes of groups that are looked at together: an IBAN in groups of four has 42.
pub const CHAIN_BYTES_MAX: usize = 56;

pub fn at(text: &[u8], place: usize) -> u8 {
    text.get(place).copied().unwrap_or(b' ')
}

pub fn before(text: &[u8], place: usize) -> u8 {
    place.checked_sub(1).map_or(b' ', |place| text[place])
}

/// A border of a word lies here: letters, digits and `_` stand on one side at most.
pub fn is_border(text: &[u8], place: usize) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !inside(before(text, place)) || !inside(at(text, place))
}

/// Bytes from `start` on that `is` holds for, `most` of them at most.
pub fn run(text: &[u8], start: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
    let end = text.len().min(start + most);
    let count = text[start.min(end)..end].iter().take_while(|byte| is(**byte)).count();
    steps::add(count + 1);
    start + count
}

/// As `run`, towards the beginning.
pub fn run_back(text: &[u8], end: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
    let start = end.saturating_sub(most);
    let count = text[start..end].iter().rev().take_while(|byte| is(**byte)).count();
    steps::add(count + 1);
    end - count
}

/// The word of letters and digits around a place, unless it is too long to be of interest.
pub fn token(text: &[u8], place: usize) -> Option<Range<usize>> {
    let alnum = |byte: u8| byte.is_ascii_alphanumeric();
    let start = run_back(text, place, TOKEN_BYTES_MAX, alnum);
    let end = run(text, place, TOKEN_BYTES_MAX, alnum);
    (end - start < TOKEN_BYTES_MAX && !at(text, end).is_ascii_alphanumeric()).then_some(start..end)
}

/// What stands between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    None,
    Space,
    Hyphen,
    Dot,
    Slash,
    Colon,
    Bracket,
}

#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub start: usize,
    pub end: usize,
    pub has_digit: bool,
    pub has_letter: bool,
    /// Before this group.
    pub separator: Separator,
}

impl Group {
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_number(&self) -> bool {
        !self.has_letter
    }
}

/// A word, and what follows it with one separator between.
#[derive(Debug, Clone)]
pub struct Chain {
    groups: [Group; GROUPS_MAX],
    count: usize,
}

impl Chain {
    pub fn collect(text: &[u8], first: Range<usize>) -> Self {
        let mut groups = [group(text, first.clone(), Separator::None); GROUPS_MAX];
        let mut count = 1;
        let mut end = first.end;
        while count < GROUPS_MAX {
            let Some((separator, next)) = separator(text, end) else { break };
            let word_end = run(text, next, TOKEN_BYTES_MAX, |byte| byte.is_ascii_alphanumeric());
            if word_end - first.start > CHAIN_BYTES_MAX || word_end - next >= TOKEN_BYTES_MAX {
                break;
            }
            groups[count] = group(text, next..word_end, separator);
            (count, end) = (count + 1, word_end);
        }
        Self { groups, count }
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups[..self.count]
    }

    /// A number too short for anything but a date.
    pub fn is_small(&self) -> bool {
        self.count == 1 && self.groups[0].is_number() && self.groups[0].len() < 5
    }

    /// The groups to change.
    pub fn into_groups(self) -> ([Group; GROUPS_MAX], usize) {
        (self.groups, self.count)
    }

    /// How many groups from the first on are numbers.
    pub fn numbers(&self) -> usize {
        self.groups().iter().take_while(|group| group.is_number()).count()
    }
}

fn group(text: &[u8], range: Range<usize>, separator: Separator) -> Group {
    let word = &text[range.clone()];
    steps::add(word.len());
    let has_digit = word.iter().any(u8::is_ascii_digit);
    let has_letter = !word.iter().all(u8::is_ascii_digit);
    Group { start: range.start, end: range.end, has_digit, has_letter, separator }
}

/// The separator at a place, and where the next word begins behind it.
fn separator(text: &[u8], place: usize) -> Option<(Separator, usize)> {
    let word = |next: usize| at(text, next).is_ascii_alphanumeric();
    let digit = |next: usize| at(text, next).is_ascii_digit();
    let (separator, next) = match at(text, place) {
        b' ' if at(text, place + 1) == b'(' && digit(place + 2) => {
            return Some((Separator::Bracket, place + 2));
        }
        b' ' => (Separator::Space, place + 1),
        b'-' => (Separator::Hyphen, place + 1),
        b'.' => (Separator::Dot, place + 1),
        b'/' => (Separator::Slash, place + 1),
        b':' => (Separator::Colon, place + 1),
        b'(' => (Separator::Bracket, place + 1),
        b')' if matches!(at(text, place + 1), b' ' | b'-' | b'.' | b'/') => {
            (Separator::Bracket, place + 2)
        }
        b')' => (Separator::Bracket, place + 1),
        // No-break space, narrow no-break space, no-break hyphen, en dash; minus.
        0xc2 if at(text, place + 1) == 0xa0 => (Separator::Space, place + 2),
        0xe2 if at(text, place + 1) == 0x80 => match at(text, place + 2) {
            // Figure space, thin space.
            0xaf | 0x87 | 0x89 => (Separator::Space, place + 3),
            0x91 | 0x93 => (Separator::Hyphen, place + 3),
            _ => return None,
        },
        0xe2 if text[place..].starts_with("\u{2212}".as_bytes()) => (Separator::Hyphen, place + 3),
        _ => return None,
    };
    (next < text.len() && word(next)).then_some((separator, next))
}

/// A separator without a blank, and on its far side a word with a digit: the place is within
/// something larger, as a part of a UUID is.
pub fn is_joined_left(text: &[u8], start: usize) -> bool {
    match before(text, start) {
        b'_' => true,
        b'-' | b'.' | b'/' | b':' | b',' => {
            let alnum = |byte: u8| byte.is_ascii_alphanumeric();
            let from = run_back(text, start - 1, TOKEN_BYTES_MAX, alnum);
            text[from..start - 1].iter().any(u8::is_ascii_digit)
        }
        _ => false,
    }
}

pub fn is_joined_right(text: &[u8], end: usize) -> bool {
    match at(text, end) {
        b'_' => end < text.len(),
        b'-' | b'.' | b'/' | b':' => {
            let alnum = |byte: u8| byte.is_ascii_alphanumeric();
            let to = run(text, end + 1, TOKEN_BYTES_MAX, alnum);
            text[(end + 1).min(to)..to].iter().any(u8::is_ascii_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text: &str) -> Vec<(usize, Separator)> {
        let text = text.as_bytes();
        let chain = Chain::collect(text, token(text, 0).expect("a word"));
        chain.groups().iter().map(|group| (group.len(), group.separator)).collect()
    }

    /// Mutation: let two blanks join, or a line's end.
    #[test]
    fn groups_are_joined_by_one_separator() {
        use Separator::{Bracket, Hyphen, None, Space};
        assert_eq!(lengths("078-05-1120 x"), [(3, None), (2, Hyphen), (4, Hyphen), (1, Space)]);
        assert_eq!(lengths("12  34"), [(2, None)]);
        assert_eq!(lengths("12\n34"), [(2, None)]);
        assert_eq!(lengths("44 (0) 1"), [(2, None), (1, Bracket), (1, Bracket)]);
        assert_eq!(lengths("12\u{a0}34\u{202f}5"), [(2, None), (2, Space), (1, Space)]);
    }

    /// Mutation: take letters before a hyphen for a part of the number.
    #[test]
    fn a_part_of_something_larger_is_told() {
        assert!(is_joined_left(b"b0fc-123", 5) && is_joined_left(b"1.23", 2));
        assert!(!is_joined_left(b"card-123", 5) && !is_joined_left(b"ID:123", 3));
        assert!(is_joined_right(b"123.5", 3) && !is_joined_right(b"123.", 3));
        assert!(!is_joined_right(b"123. 5", 3));
    }
}
