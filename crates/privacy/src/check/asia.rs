//! Numbers of India, Korea, Singapore and Thailand.

use super::{is_day, number, verhoeff, weighted};

pub fn in_aadhaar(digits: &[u8; 12]) -> bool {
    let is_palindrome = digits.iter().eq(digits.iter().rev());
    digits[0] > 1 && !is_palindrome && verhoeff(digits)
}

/// Five letters, four digits, a letter; the fourth letter tells the kind of holder.
pub fn in_pan_shape(text: &[u8]) -> bool {
    text.len() == 10
        && text[..5].iter().all(u8::is_ascii_uppercase)
        && text[5..9].iter().all(u8::is_ascii_digit)
        && text[9].is_ascii_uppercase()
}

pub fn in_pan_holder(text: &[u8]) -> bool {
    b"ABCFGHJLPT".contains(&text[3])
}

/// State, a permanent account number, how many of them, `Z`, check.
pub fn in_gstin_shape(text: &[u8; 15]) -> bool {
    let Some(state) = super::digits::<2>(&text[..2]) else { return false };
    (1..=37).contains(&number(&state))
        && in_pan_shape(&text[2..12])
        && matches!(text[12], b'1'..=b'9' | b'A'..=b'Z')
        && text[13] == b'Z'
        && (text[14].is_ascii_digit() || text[14].is_ascii_uppercase())
}

pub fn in_gstin(text: &[u8; 15]) -> bool {
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte - b'A') + 10,
    };
    let term = |(i, byte): (usize, &u8)| {
        let product = value(*byte) * if i % 2 == 0 { 1 } else { 2 };
        product / 36 + product % 36
    };
    let sum: u32 = text[..14].iter().enumerate().map(term).sum();
    (36 - sum % 36) % 36 == value(text[14])
}

/// `yymmdd`; then the digit that tells sex and century.
pub fn kr_birth(digits: &[u8; 13]) -> bool {
    is_day(number(&digits[2..4]), number(&digits[4..6]))
}

fn kr_check(digits: &[u8; 13], from: u32) -> bool {
    let sum = weighted(&digits[..12], &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    (from - sum % 11) % 10 == u32::from(digits[12])
}

pub fn kr_rrn(digits: &[u8; 13]) -> bool {
    kr_check(digits, 11)
}

pub fn kr_frn(digits: &[u8; 13]) -> bool {
    kr_check(digits, 13)
}

pub fn kr_business(digits: &[u8; 10]) -> bool {
    let sum = weighted(&digits[..9], &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + u32::from(digits[8]) * 5 / 10;
    (10 - sum % 10) % 10 == u32::from(digits[9]) && number(digits) > 0
}

/// The letter that the seven digits ask for, by the first letter.
pub fn sg_nric(first: u8, digits: &[u8; 7], last: u8) -> bool {
    let (more, letters) = match first {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"KLJNPQRTUWX"),
        _ => return false,
    };
    let rest = ((weighted(digits, &[2, 7, 6, 5, 4, 3, 2]) + more) % 11) as usize;
    letters[if first == b'M' { 10 - rest } else { rest }] == last
}

/// Businesses: eight digits and a letter, or the year first.
pub fn sg_uen(text: &[u8]) -> bool {
    let Some((last, body)) = text.split_last() else { return false };
    match body.len() {
        8 => super::digits::<8>(body).is_some_and(|digits| {
            let rest = weighted(&digits, &[10, 4, 9, 3, 8, 2, 7, 1]) % 11;
            b"XMKECAWLJDB"[rest as usize] == *last
        }),
        9 if body[0].is_ascii_digit() => super::digits::<9>(body).is_some_and(|digits| {
            let rest = weighted(&digits, &[10, 8, 6, 4, 9, 7, 5, 3, 1]) % 11;
            matches!(number(&digits[..4]), 1800..=2100) && b"ZKCMDNERGWH"[rest as usize] == *last
        }),
        9 => sg_uen_other(body, *last),
        _ => false,
    }
}

/// `T08GB0001A`: century, year, two letters for the kind, four digits.
fn sg_uen_other(body: &[u8], last: u8) -> bool {
    const SIGNS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWX0123456789";
    let is_shape = b"RST".contains(&body[0])
        && body[1..3].iter().chain(&body[5..]).all(u8::is_ascii_digit)
        && body[3..5].iter().all(u8::is_ascii_uppercase);
    let place = |byte: &u8| SIGNS.iter().position(|sign| sign == byte).map(|at| at as u32);
    let Some(values) = body.iter().map(place).collect::<Option<Vec<u32>>>() else { return false };
    let weights = [4, 3, 5, 3, 10, 2, 2, 5, 7];
    let sum: u32 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    is_shape && SIGNS[((sum + 11 - 5) % 11) as usize] == last
}

/// The second and third digit are those of a province.
pub fn th_id(digits: &[u8; 13]) -> bool {
    let sum = weighted(&digits[..12], &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let is_province = matches!(
        number(&digits[1..3]),
        10..=27 | 30..=58 | 60..=67 | 70..=77 | 80..=86 | 90..=96
    );
    matches!(digits[0], 1..=8) && is_province && (11 - sum % 11) % 10 == u32::from(digits[12])
}

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;

    /// Mutation: swap the lists of letters.
    #[test]
    fn letters_of_singapore_fit_their_numbers() {
        assert!(sg_nric(b'S', &digits(b"2740116").expect("7"), b'C'));
        assert!(!sg_nric(b'S', &digits(b"2740116").expect("7"), b'D'));
        assert!(sg_uen(b"53125226D") && sg_uen(b"201434292D") && sg_uen(b"S57TU0392K"));
        assert!(!sg_uen(b"53125226E") && !sg_uen(b"201434292E") && !sg_uen(b"S57TU0392L"));
    }

    /// Mutation: take the check of residents for foreigners.
    #[test]
    fn korean_numbers_are_checked_by_their_kind() {
        assert!(kr_rrn(&digits(b"9601211021413").expect("13")));
        assert!(kr_frn(&digits(b"9111245678906").expect("13")));
        assert!(!kr_frn(&digits(b"9111245678901").expect("13")));
        assert!(kr_business(&digits(b"1048656659").expect("10")));
    }
}
