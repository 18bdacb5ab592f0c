//! Numbers of Australia, South Africa and Nigeria.

use super::{is_day, luhn, number, verhoeff, weighted};

pub fn au_abn(digits: &[u8; 11]) -> bool {
    let sum = weighted(digits, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    // One is taken off the first digit, whose weight is ten.
    digits[0] > 0 && (sum - 10).is_multiple_of(89)
}

pub fn au_acn(digits: &[u8; 9]) -> bool {
    let sum = weighted(&digits[..8], &[8, 7, 6, 5, 4, 3, 2, 1]);
    (10 - sum % 10) % 10 == u32::from(digits[8]) && number(digits) > 0
}

pub fn au_tfn(digits: &[u8; 9]) -> bool {
    let sum = weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]);
    sum > 0 && sum.is_multiple_of(11)
}

pub fn au_medicare(digits: &[u8; 10]) -> bool {
    let sum = weighted(&digits[..8], &[1, 3, 7, 9, 1, 3, 7, 9]);
    matches!(digits[0], 2..=6) && sum % 10 == u32::from(digits[8])
}

/// `yymmdd`, sex, whether a citizen, a digit of old, check.
pub fn za_id(digits: &[u8; 13]) -> bool {
    is_day(number(&digits[2..4]), number(&digits[4..6])) && digits[10] <= 2 && luhn(digits)
}

pub fn ng_nin(digits: &[u8; 11]) -> bool {
    number(digits) > 0 && verhoeff(digits)
}

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;

    /// Mutation: take nothing off the first digit.
    #[test]
    fn australian_numbers_have_their_checks() {
        assert!(au_abn(&digits(b"51824753556").expect("11")));
        assert!(!au_abn(&digits(b"52824753556").expect("11")));
        assert!(au_tfn(&digits(b"876543210").expect("9")));
        assert!(au_acn(&digits(b"005499981").expect("9")));
        assert!(au_medicare(&digits(b"2123456701").expect("10")));
    }

    /// Mutation: take any digit for that of citizens.
    #[test]
    fn a_south_african_id_has_a_date_and_a_status() {
        assert!(za_id(&digits(b"8001015000086").expect("13")));
        assert!(!za_id(&digits(b"8001015000389").expect("13")));
    }
}
