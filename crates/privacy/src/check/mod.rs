//! Check digits and the structure of numbers, on digits alone. Where they stand in a text is not
//! known here.

pub mod americas;
pub mod asia;
pub mod europe;
pub mod germany;
pub mod pacific;

/// The digits of ASCII text; what is no digit is left out.
pub fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut found = [0; N];
    let mut count = 0;
    for byte in text.iter().filter(|byte| byte.is_ascii_digit()) {
        *found.get_mut(count)? = byte - b'0';
        count += 1;
    }
    (count == N).then_some(found)
}

/// Sum of products.
pub fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

pub fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(*digit))
}

pub fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| u32::from(if i % 2 == 1 { doubled(*digit) } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}

const VERHOEFF_TIMES: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];

const VERHOEFF_MOVE: [[u8; 10]; 8] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
];

pub fn verhoeff(digits: &[u8]) -> bool {
    let mut check = 0usize;
    for (i, digit) in digits.iter().rev().enumerate() {
        check = VERHOEFF_TIMES[check][VERHOEFF_MOVE[i % 8][usize::from(*digit)] as usize].into();
    }
    check == 0
}

/// ISO 7064 MOD 11,10: the last digit checks the others.
pub fn iso_11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let mut product = 10;
    for digit in body {
        let sum = (u32::from(*digit) + product) % 10;
        product = (if sum == 0 { 10 } else { sum }) * 2 % 11;
    }
    (11 - product) % 10 == u32::from(*check)
}

/// Letters count as two digits (A = 10); the remainder by 97 of the whole.
pub fn mod_97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    })
}

/// A day of a month, whatever the year.
pub fn is_day(month: u64, day: u64) -> bool {
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// `true` where one digit is repeated throughout.
pub fn is_one_digit(digits: &[u8]) -> bool {
    digits.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: double the other places, or take no nines off.
    #[test]
    fn luhn_knows_good_from_bad() {
        assert!(luhn(&digits::<16>(b"4012-8888-8888-1881").expect("16 digits")));
        assert!(!luhn(&digits::<16>(b"4012888888881882").expect("16 digits")));
    }

    /// Mutation: swap two entries of a table, or walk from the left.
    #[test]
    fn verhoeff_finds_each_wrong_digit() {
        let good = digits::<12>(b"312345678909").expect("12 digits");
        assert!(verhoeff(&good));
        for place in 0..12 {
            for change in 1..10 {
                let mut bad = good;
                bad[place] = (bad[place] + change) % 10;
                assert!(!verhoeff(&bad), "place {place}, change {change}");
            }
        }
    }

    /// Mutation: take a zero sum for zero.
    #[test]
    fn the_hybrid_check_follows_the_standard() {
        assert!(iso_11_10(&digits::<9>(b"136695976").expect("9 digits")));
        assert!(!iso_11_10(&digits::<9>(b"136695977").expect("9 digits")));
    }
}
