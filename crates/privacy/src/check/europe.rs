//! Numbers of the United Kingdom, France, Spain, Italy, Poland, Finland, Sweden and Turkey.

use super::{is_day, luhn, mod_97, number, weighted};

pub fn uk_nhs(digits: &[u8; 10]) -> bool {
    let rest = (11 - weighted(&digits[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    rest == u32::from(digits[9]) && number(digits) > 0
}

/// The two letters before a national insurance number, in capitals.
pub fn uk_nino_prefix(letters: [u8; 2]) -> bool {
    let [first, second] = letters;
    letters.iter().all(u8::is_ascii_uppercase)
        && !b"DFIQUV".contains(&first)
        && !b"DFIQUVO".contains(&second)
        && ![*b"BG", *b"GB", *b"NK", *b"KN", *b"TN", *b"NT", *b"ZZ"].contains(&letters)
}

/// Five letters of the name (9 fills up), then decade, month (50 more for women), day, year.
pub fn uk_licence(text: &[u8]) -> bool {
    let Some((name, rest)) = text.split_at_checked(5) else { return false };
    let letters = name.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let is_name = letters > 0 && name[letters..].iter().all(|byte| *byte == b'9');
    let Some(born) = super::digits::<6>(rest.get(..6).unwrap_or_default()) else { return false };
    let month = u64::from(born[1] % 5) * 10 + u64::from(born[2]);
    let day = number(&born[3..5]);
    let initials = &rest[6..];
    is_name
        && born[1] != 2
        && born[1] != 3
        && born[1] != 4
        && is_day(month, day)
        && initials.len() == 5
        && initials[0].is_ascii_alphabetic()
        && (initials[1].is_ascii_alphabetic() || initials[1] == b'9')
        && initials[2].is_ascii_digit()
        && initials[3..].iter().all(u8::is_ascii_alphabetic)
}

/// Sex, year, month, department, commune, order, then the key. In Corsica the department is `2A` or
/// `2B`, which count as 19 and 18.
pub fn fr_nir(text: &[u8; 15]) -> bool {
    let corsica = match &text[5..7].to_ascii_uppercase()[..] {
        b"2A" => Some(*b"19"),
        b"2B" => Some(*b"18"),
        _ => None,
    };
    let mut plain = *text;
    if let Some(department) = corsica {
        plain[5..7].copy_from_slice(&department);
    }
    let Some(digits) = super::digits::<15>(&plain) else { return false };
    let month = number(&digits[3..5]);
    // Higher months are given where the true one is not known.
    let is_month = matches!(month, 1..=12 | 20 | 30..=42);
    let key = 97 - number(&digits[..13]) % 97;
    matches!(digits[0], 1 | 2 | 7 | 8) && is_month && key == number(&digits[13..])
}

pub fn es_letter(number: u64, letter: u8) -> bool {
    b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize] == letter.to_ascii_uppercase()
}

/// The shape of a codice fiscale, with the letters that stand for digits where two people would
/// have the same.
pub fn it_fiscal_shape(text: &[u8; 16]) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(&byte);
    text.iter().enumerate().all(|(i, byte)| match i {
        8 => b"ABCDEHLMPRST".contains(byte),
        6 | 7 | 9 | 10 | 12..=14 => digit(*byte),
        _ => byte.is_ascii_uppercase(),
    })
}

pub fn it_fiscal(text: &[u8; 16]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let value = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' };
    let term = |(i, byte): (usize, &u8)| {
        let value = value(*byte);
        if i % 2 == 0 { ODD[usize::from(value)] } else { u32::from(value) }
    };
    let sum: u32 = text[..15].iter().enumerate().map(term).sum();
    sum % 26 == u32::from(value(text[15]))
}

pub fn it_vat(digits: &[u8; 11]) -> bool {
    number(digits) > 1 && luhn(digits)
}

pub fn pl_pesel(digits: &[u8; 11]) -> bool {
    let sum = weighted(&digits[..10], &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    // The century is added to the month as a multiple of 20.
    let is_date = is_day(number(&digits[2..4]) % 20, number(&digits[4..6]));
    is_date && (10 - sum % 10) % 10 == u32::from(digits[10])
}

/// `ddmmyy`, a sign for the century, three digits, and a sign that checks them.
pub fn fi_hetu(text: &[u8; 11]) -> bool {
    let Some(born) = super::digits::<6>(&text[..6]) else { return false };
    let Some(serial) = super::digits::<3>(&text[7..10]) else { return false };
    let rest = (number(&born) * 1000 + number(&serial)) % 31;
    b"+-ABCDEFYXWVU".contains(&text[6])
        && is_day(number(&born[2..4]), number(&born[..2]))
        && b"0123456789ABCDEFHJKLMNPRSTUVWXY"[rest as usize] == text[10].to_ascii_uppercase()
}

/// Ten digits; 60 is added to the day for who has no number but a coordination number.
pub fn se_person(digits: &[u8]) -> bool {
    let day = number(&digits[4..6]);
    let day = if day > 60 { day - 60 } else { day };
    is_day(number(&digits[2..4]), day) && luhn(digits)
}

pub fn se_organisation(digits: &[u8; 10]) -> bool {
    digits[0] > 0 && digits[2] >= 2 && luhn(digits)
}

pub fn tr_id(digits: &[u8; 11]) -> bool {
    let odd: u32 = digits[..9].iter().step_by(2).map(|digit| u32::from(*digit)).sum();
    let even: u32 = digits[1..8].iter().step_by(2).map(|digit| u32::from(*digit)).sum();
    let tenth = (odd * 7 + 10 * 10 - even) % 10;
    let eleventh = (odd + even + tenth) % 10;
    digits[0] > 0 && u32::from(digits[9]) == tenth && u32::from(digits[10]) == eleventh
}

/// Country and length of an IBAN, from the registry of SWIFT.
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

pub fn iban_length(country: [u8; 2]) -> Option<usize> {
    let found = IBAN_LENGTHS.binary_search_by_key(&country, |(name, _)| **name).ok()?;
    Some(IBAN_LENGTHS[found].1)
}

/// An IBAN without its blanks: the first four characters go to the end, and the whole leaves 1.
pub fn iban(text: &[u8]) -> bool {
    text.len() > 4 && mod_97(text[4..].iter().chain(&text[..4]).copied()) == 1
}

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;

    /// Mutation: drop a row, or put one out of order.
    #[test]
    fn lengths_of_iban_are_in_order() {
        assert!(IBAN_LENGTHS.is_sorted_by_key(|(country, _)| **country));
        assert_eq!((iban_length(*b"NO"), iban_length(*b"US")), (Some(15), None));
        assert!(iban(b"NO9386011117947") && !iban(b"NO9386011117948"));
    }

    /// Mutation: count Corsica as 20, or the key from 1.
    #[test]
    fn a_nir_has_its_key() {
        assert!(fr_nir(b"255081416802538"));
        assert!(!fr_nir(b"255081416802539"));
        let key = 97 - 1_800_419_001_001_u64 % 97;
        assert!(fr_nir(format!("180042A001001{key:02}").as_bytes().try_into().expect("15")));
    }

    /// Mutation: leave out the second check digit.
    #[test]
    fn a_turkish_id_has_two_check_digits() {
        let check = |text: &[u8], good| assert_eq!(tr_id(&digits(text).expect("11")), good);
        check(b"10000000146", true);
        check(b"10000000145", false);
        check(b"36493665440", true);
    }
}
