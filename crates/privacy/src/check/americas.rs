//! Numbers of the United States and Canada, and those of banks and cards.

use super::{is_one_digit, luhn, number, weighted};

/// Area, group and serial number that were ever given out, without the two known examples.
pub fn us_ssn(digits: &[u8; 9]) -> bool {
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    let is_example = matches!(number(digits), 78_051_120 | 219_099_999);
    !matches!(area, 0 | 666 | 900..) && group > 0 && serial > 0 && !is_example
}

pub fn us_itin(digits: &[u8; 9]) -> bool {
    digits[0] == 9 && matches!(number(&digits[3..5]), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// Luhn over the number with the prefix 80840, which adds 24.
pub fn us_npi(digits: &[u8; 10]) -> bool {
    let mut whole = [8, 0, 8, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    whole[5..].copy_from_slice(digits);
    matches!(digits[0], 1 | 2) && !is_one_digit(&digits[..9]) && luhn(&whole)
}

/// Medicare: which kind of sign stands at which of the eleven places.
pub fn us_mbi(text: &[u8; 11]) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() && !b"SLOIBZ".contains(&byte);
    text.iter().map(u8::to_ascii_uppercase).enumerate().all(|(i, byte)| match i {
        0 => matches!(byte, b'1'..=b'9'),
        1 | 4 | 7 | 8 => letter(byte),
        2 | 5 => letter(byte) || byte.is_ascii_digit(),
        _ => byte.is_ascii_digit(),
    })
}

/// Licence to prescribe: letter of the kind of holder, letter of the name, seven digits.
pub fn us_dea(kind: u8, digits: &[u8; 7]) -> bool {
    let sum = weighted(digits, &[1, 2, 1, 2, 1, 2, 0]);
    b"ABCDEFGHJKLMPRSTUX".contains(&kind.to_ascii_uppercase())
        && sum % 10 == u32::from(digits[6])
        && sum > 0
}

pub fn us_routing(digits: &[u8; 9]) -> bool {
    let sum = weighted(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]);
    let is_district = matches!(number(&digits[..2]), 0..=12 | 21..=32 | 61..=72 | 80);
    is_district && sum.is_multiple_of(10) && number(digits) > 0
}

pub fn ca_sin(digits: &[u8; 9]) -> bool {
    !matches!(digits[0], 0 | 8) && !is_one_digit(digits) && luhn(digits)
}

/// Who may have issued a card of this length.
fn is_scheme(digits: &[u8]) -> bool {
    let first = |count: usize| number(&digits[..count]);
    match digits.len() {
        12 => matches!(first(2), 50 | 56..=58 | 60 | 61 | 63..=69),
        13 => digits[0] == 4 || matches!(first(2), 50 | 56..=58 | 60 | 63 | 67),
        14 => matches!(first(2), 36 | 38 | 39) || matches!(first(3), 300..=305 | 309),
        15 => {
            matches!(first(2), 34 | 37 | 56..=58) || matches!(first(4), 1800 | 2131 | 2014 | 2149)
        }
        16 => {
            matches!(first(4), 2221..=2720 | 3500..=3599 | 9792 | 2200..=2204)
                || matches!(digits[0], 4..=6)
                || matches!(first(2), 81)
        }
        17 | 18 => matches!(first(2), 50 | 56..=58 | 60..=69),
        19 => digits[0] == 4 || matches!(first(2), 50 | 56..=58 | 60..=69 | 35 | 36),
        _ => false,
    }
}

pub fn card(digits: &[u8]) -> bool {
    digits.len() >= 12 && is_scheme(digits) && luhn(digits) && !is_one_digit(digits)
}

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;

    /// Mutation: accept area 666, or group 00.
    #[test]
    fn a_social_security_number_was_given_out() {
        for (text, good) in [
            ("078051123", true),
            ("078051120", false),
            ("666000001", false),
            ("078001123", false),
            ("078050000", false),
            ("900501234", false),
        ] {
            assert_eq!(us_ssn(&digits(text.as_bytes()).expect("nine")), good, "{text}");
        }
    }

    /// Mutation: take any number that passes Luhn.
    #[test]
    fn a_card_has_an_issuer() {
        assert!(card(&digits::<15>(b"348336950008010").expect("15")));
        assert!(!card(&digits::<16>(b"1234567812345670").expect("16")));
    }
}
