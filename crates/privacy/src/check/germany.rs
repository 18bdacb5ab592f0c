//! Numbers of Germany.

use super::{is_day, iso_11_10, number, weighted};

/// Tax id: in the first ten digits one comes twice or three times. Example numbers of forms have ten
/// different ones and are taken, too.
pub fn tax_id(digits: &[u8; 11]) -> bool {
    let mut counts = [0; 10];
    for digit in &digits[..10] {
        counts[usize::from(*digit)] += 1;
    }
    digits[0] != 0 && counts.iter().all(|count| *count <= 3) && iso_11_10(digits)
}

pub fn vat(digits: &[u8; 9]) -> bool {
    digits[0] != 0 && iso_11_10(digits)
}

/// The sum of the digits of each product.
fn cross_sum(digits: impl Iterator<Item = u8>, weights: &[u32]) -> u32 {
    let products = digits.zip(weights).map(|(digit, weight)| u32::from(digit) * weight);
    products.map(|product| product / 10 + product % 10).sum()
}

/// Pension insurance: area, day of birth, letter of the name, serial number, check digit.
pub fn social_security(text: &[u8; 12]) -> bool {
    let letter = text[8].to_ascii_uppercase();
    let others = text[..8].iter().chain(&text[9..]);
    if !letter.is_ascii_uppercase() || !others.clone().all(u8::is_ascii_digit) {
        return false;
    }
    let value = |i: usize| u64::from(text[i] - b'0') * 10 + u64::from(text[i + 1] - b'0');
    let (area, day, month) = (value(0), value(2), value(4));
    let ordinal = letter - b'A' + 1;
    let body = text[..8].iter().map(|byte| byte - b'0');
    let serial = text[9..11].iter().map(|byte| byte - b'0');
    let all = body.chain([ordinal / 10, ordinal % 10]).chain(serial);
    let check = cross_sum(all, &[2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]) % 10;
    // Who was given a second number has 50 added to the day.
    let is_date = is_day(month, if day > 50 { day - 50 } else { day });
    area > 1 && is_date && check == u32::from(text[11] - b'0')
}

/// Card of a health insurance: a letter, eight digits, a check digit.
pub fn health_insurance(letter: u8, digits: &[u8; 9]) -> bool {
    let ordinal = letter.to_ascii_uppercase() - b'A' + 1;
    let all = [ordinal / 10, ordinal % 10].into_iter().chain(digits[..8].iter().copied());
    cross_sum(all, &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]) % 10 == u32::from(digits[8])
}

/// Number of a doctor: six digits, their check digit, two for the field.
pub fn doctor(digits: &[u8; 9]) -> bool {
    let check = (10 - weighted(&digits[..6], &[4, 9, 4, 9, 4, 9]) % 10) % 10;
    check == u32::from(digits[6]) && number(digits) > 0
}

/// Serial number of an identity card or passport, as in its machine readable zone.
pub fn document(text: &[u8; 9]) -> bool {
    let value = |byte: u8| match byte.to_ascii_uppercase() {
        byte @ b'0'..=b'9' => Some(u32::from(byte - b'0')),
        byte if b"CFGHJKLMNPRTVWXYZ".contains(&byte) => Some(u32::from(byte - b'A') + 10),
        _ => None,
    };
    let mut sum = 0;
    for (i, byte) in text[..8].iter().enumerate() {
        let Some(value) = value(*byte) else { return false };
        sum += value * [7, 3, 1][i % 3];
    }
    text[8].is_ascii_digit() && sum % 10 == u32::from(text[8] - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: shift the weights, or accept month 13.
    #[test]
    fn a_pension_number_has_a_date_and_a_check_digit() {
        for (text, good) in [
            (b"15070649C103", true),
            (b"15070649C100", false),
            (b"15071349C103", false),
            (b"15570649C10\xff", false),
        ] {
            assert_eq!(social_security(text), good);
        }
    }

    /// Mutation: let letters count from one.
    #[test]
    fn documents_are_checked_with_7_3_1() {
        assert!(document(b"L01X00T44") && document(b"C01234565"));
        assert!(!document(b"L01X00T47") && !document(b"C01234567"));
    }
}
