//! Codes of letters and digits: documents, tax numbers, accounts, number plates.

use sha2::{Digest, Sha256};

use crate::check::{self, americas, asia, europe, germany};
use crate::class::Class;
use crate::scan::Scan;
use crate::steps;
use crate::text::{self, Chain, Group, Separator, TOKEN_BYTES_MAX};

/// A word with letters and digits, in capitals.
struct Word<'a> {
    upper: &'a [u8],
    /// `A` for letters, `9` for digits: what the word looks like.
    shape: &'a [u8],
    start: usize,
    end: usize,
}

impl Word<'_> {
    fn is(&self, shape: &[u8]) -> bool {
        self.shape == shape
    }

    fn digits<const N: usize>(&self) -> Option<[u8; N]> {
        check::digits(self.upper)
    }
}

pub fn word(scan: &mut Scan<'_>, chain: &Chain) {
    let group = chain.groups()[0];
    iban(scan, chain);
    crypto(scan, group);
    if group.len() > 16 || text::is_joined_left(scan.text, group.start) {
        return;
    }
    let mut upper = [0; 16];
    let mut shape = [0; 16];
    let upper = &mut upper[..group.len()];
    let shape = &mut shape[..group.len()];
    for (i, byte) in scan.text[group.start..group.end].iter().enumerate() {
        upper[i] = byte.to_ascii_uppercase();
        shape[i] = if byte.is_ascii_digit() { b'9' } else { b'A' };
    }
    let word = Word { upper, shape, start: group.start, end: group.end };
    hyphened(scan, chain, &word);
    plates(scan, chain, &word);
    if text::is_joined_right(scan.text, group.end) {
        return;
    }
    if (5..=9).contains(&word.upper.len())
        && [&b"HRA9"[..], b"HRB9"].contains(&&register(&word)[..])
    {
        scan.sure(Class::DeRegister, word.start, word.end);
    }
    match word.upper.len() {
        6..=8 => short(scan, &word),
        9 => nine(scan, &word),
        10 => ten(scan, &word),
        11 => eleven(scan, &word),
        12..=16 => long(scan, &word),
        _ => {}
    }
}

/// Letters of the commercial register, and `9` if digits alone follow them.
fn register(word: &Word<'_>) -> [u8; 4] {
    let is_number = word.shape[3..].iter().all(|sign| *sign == b'9');
    [word.upper[0], word.upper[1], word.upper[2], if is_number { b'9' } else { b'A' }]
}

fn short(scan: &mut Scan<'_>, word: &Word<'_>) {
    nif(scan, word);
    if word.is(b"A9999999") && word.upper[1] != b'0' && word.upper[7] != b'0' {
        scan.weak(Class::InPassport, word.start, word.end);
    }
}

fn nif(scan: &mut Scan<'_>, word: &Word<'_>) {
    if !word.is(b"9999999A") && !word.is(b"99999999A") {
        return;
    }
    let Some((letter, digits)) = word.upper.split_last() else { return };
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    if europe::es_letter(number, *letter) {
        // Seven digits and a letter are many a thing's name.
        if digits.len() == 8 {
            scan.sure(Class::EsNif, word.start, word.end);
        } else {
            scan.likely(Class::EsNif, word.start, word.end);
        }
    }
}

/// `X`, `Y`, `Z` stand for a first digit.
fn is_nie(word: &[u8], letter: u8) -> bool {
    let first = match word[0] {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        _ => return false,
    };
    let Some(digits) = check::digits::<7>(&word[1..8]) else { return false };
    europe::es_letter(first * 10_000_000 + check::number(&digits), letter)
}

fn nine(scan: &mut Scan<'_>, word: &Word<'_>) {
    let (start, end) = (word.start, word.end);
    nif(scan, word);
    if let Ok(text) = word.upper.try_into()
        && germany::document(text)
    {
        if b"CFGHJK".contains(&text[0]) {
            scan.sure(Class::DePassport, start, end);
        } else {
            scan.likely(Class::DePassport, start, end);
        }
        scan.sure(Class::DeIdCard, start, end);
    }
    if word.is(b"A99999999") && word.upper[0] == b'T' {
        scan.likely(Class::DeIdCard, start, end);
    }
    if word.is(b"A9999999A") {
        nine_lettered(scan, word);
    }
    if word.is(b"99999999A") && asia::sg_uen(word.upper) {
        scan.likely(Class::SgUen, start, end);
    }
    if word.is(b"AA9999999") {
        let digits = word.digits::<7>();
        if digits.is_some_and(|digits| americas::us_dea(word.upper[0], &digits)) {
            scan.likely(Class::UsDea, start, end);
        }
        scan.weak(Class::UkPassport, start, end);
        scan.weak(Class::ItIdCard, start, end);
    }
    if word.is(b"AAA999999") {
        scan.weak(Class::EsPassport, start, end);
    }
    if word.is(b"A99999999") || word.is(b"A999A9999") {
        scan.weak(Class::UsPassport, start, end);
        scan.weak(Class::UsLicence, start, end);
        if b"MSRODG".contains(&word.upper[0]) {
            scan.weak(Class::KrPassport, start, end);
        }
    }
    let prefix = [word.upper[0], word.upper[1]];
    let suffix = word.upper[8];
    if word.is(b"AA999999A") && europe::uk_nino_prefix(prefix) && (b'A'..=b'D').contains(&suffix) {
        scan.sure(Class::UkNino, start, end);
    }
}

fn nine_lettered(scan: &mut Scan<'_>, word: &Word<'_>) {
    let (start, end) = (word.start, word.end);
    if is_nie(word.upper, word.upper[8]) {
        scan.sure(Class::EsNie, start, end);
    }
    let digits = word.digits::<7>();
    if digits.is_some_and(|digits| asia::sg_nric(word.upper[0], &digits, word.upper[8])) {
        scan.sure(Class::SgNric, start, end);
    } else if b"STFGM".contains(&word.upper[0]) {
        scan.likely(Class::SgNric, start, end);
    }
}

fn ten(scan: &mut Scan<'_>, word: &Word<'_>) {
    let (start, end) = (word.start, word.end);
    if word.is(b"A999999999") {
        let digits = word.digits();
        if digits.is_some_and(|digits| germany::health_insurance(word.upper[0], &digits)) {
            scan.sure(Class::DeHealth, start, end);
        }
    }
    if asia::in_pan_shape(word.upper) {
        if asia::in_pan_holder(word.upper) {
            scan.sure(Class::InPan, start, end);
        } else {
            scan.likely(Class::InPan, start, end);
        }
    }
    if asia::sg_uen(word.upper) {
        scan.sure(Class::SgUen, start, end);
    }
    if word.is(b"AAA9999999") {
        scan.weak(Class::InVoter, start, end);
    }
    if word.is(b"AA9999999A") {
        scan.weak(Class::ItLicence, start, end);
    }
}

fn eleven(scan: &mut Scan<'_>, word: &Word<'_>) {
    let (start, end) = (word.start, word.end);
    if let Ok(text) = word.upper.try_into() {
        if europe::fi_hetu(text) {
            scan.sure(Class::FiHetu, start, end);
        }
        if americas::us_mbi(text) {
            scan.likely(Class::UsMbi, start, end);
        }
    }
    if word.is(b"AA999999999") && word.upper.starts_with(b"DE") {
        german_vat(scan, start, end);
    }
    if word.is(b"AA99999999A") || word.is(b"AA999999999") {
        scan.weak(Class::DeLicence, start, end);
    }
}

fn german_vat(scan: &mut Scan<'_>, start: usize, end: usize) {
    match check::digits(&scan.text[start..end]) {
        Some(digits) if germany::vat(&digits) => scan.sure(Class::DeVat, start, end),
        Some(_) => scan.likely(Class::DeVat, start, end),
        None => {}
    }
}

fn long(scan: &mut Scan<'_>, word: &Word<'_>) {
    let (start, end) = (word.start, word.end);
    match word.upper.len() {
        12 => {
            let text = word.upper.try_into().expect("its length was looked at");
            if germany::social_security(text) {
                scan.sure(Class::DeSocial, start, end);
            }
        }
        15 => {
            let text = word.upper.try_into().expect("its length was looked at");
            if asia::in_gstin_shape(text) {
                if asia::in_gstin(text) {
                    scan.sure(Class::InGstin, start, end);
                } else {
                    scan.likely(Class::InGstin, start, end);
                }
            } else if europe::fr_nir(text) {
                scan.sure(Class::FrNir, start, end);
            }
        }
        16 => {
            let text: &[u8; 16] = word.upper.try_into().expect("its length was looked at");
            if europe::it_fiscal_shape(text) || word.is(b"AAAAAA99A99A999A") {
                if europe::it_fiscal(text) {
                    scan.sure(Class::ItFiscal, start, end);
                } else {
                    scan.likely(Class::ItFiscal, start, end);
                }
            }
            if europe::uk_licence(text) {
                scan.sure(Class::UkLicence, start, end);
            }
        }
        _ => {}
    }
}

/// Codes whose parts have a hyphen between them.
fn hyphened(scan: &mut Scan<'_>, chain: &Chain, word: &Word<'_>) {
    let groups = chain.groups();
    let by_hyphen = |count: usize| {
        groups.len() >= count
            && groups[1..count].iter().all(|group| group.separator == Separator::Hyphen)
    };
    if word.upper.len() == 8 && by_hyphen(2) && groups[1].len() == 1 {
        let letter = scan.text[groups[1].start];
        if is_nie(word.upper, letter) {
            scan.sure(Class::EsNie, word.start, groups[1].end);
        }
    }
    let lengths = groups.iter().take(3).map(Group::len);
    if by_hyphen(3) && lengths.eq([4, 3, 4]) {
        let mut whole = [0; 11];
        let bytes = scan.text[word.start..groups[2].end].iter().filter(|byte| **byte != b'-');
        whole.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte.to_ascii_uppercase());
        if americas::us_mbi(&whole) {
            scan.sure(Class::UsMbi, word.start, groups[2].end);
        }
    }
}

fn plates(scan: &mut Scan<'_>, chain: &Chain, word: &Word<'_>) {
    let text = word.upper;
    let next = chain.groups().get(1).filter(|group| group.separator == Separator::Space);
    let letters = |group: &&Group| !group.has_digit && group.len() == 3;
    let is_age = |digits: &[u8]| digits[0] != b'0' || digits[1] != b'0' && digits[1] != b'1';
    if text.len() >= 4 && word.shape.starts_with(b"AA99") && !b"IQZ".contains(&text[0]) {
        let end = match text.len() {
            4 => next.filter(letters).map(|group| group.end),
            7 if word.is(b"AA99AAA") => Some(word.end),
            _ => None,
        };
        if let Some(end) = end.filter(|_| is_age(&text[2..4])) {
            scan.likely(Class::UkPlate, word.start, end);
        }
    }
    if word.is(b"AA99AA9999") || word.is(b"AA99A9999") {
        const STATES: &[u8] =
            b"ANAPARASBRCHCGDDDLGAGJHPHRJHJKKAKLLALDMHMLMNMPMZNLODORPBPYRJSKTNTRTSUKUPWB";
        if STATES.chunks(2).any(|state| text.starts_with(state)) {
            scan.likely(Class::InPlate, word.start, word.end);
        }
    }
    // Letters, hyphen, and then this word: `ABJ-123XY`.
    if word.is(b"999AA") && word.start >= 4 && scan.text[word.start - 1] == b'-' {
        let from = word.start - 4;
        let letters = scan.text[from..word.start - 1].iter().all(u8::is_ascii_alphabetic);
        if letters && text::is_border(scan.text, from) {
            scan.likely(Class::NgPlate, from, word.end);
        }
    }
    if word.shape.starts_with(b"99A") && is_turkish_plate(word.shape, text) {
        scan.likely(Class::TrPlate, word.start, word.end);
    }
    postcode(scan, word, next);
}

/// Province, one to three letters, two to four digits.
fn is_turkish_plate(shape: &[u8], text: &[u8]) -> bool {
    let letters = shape[2..].iter().take_while(|sign| **sign == b'A').count();
    let digits = &shape[(2 + letters).min(shape.len())..];
    let province = (text[0] - b'0') * 10 + text[1] - b'0';
    (1..=81).contains(&province)
        && (1..=3).contains(&letters)
        && (2..=4).contains(&digits.len())
        && digits.iter().all(|sign| *sign == b'9')
}

/// `EC1A 1BB`: district, blank, a digit and two letters.
fn postcode(scan: &mut Scan<'_>, word: &Word<'_>, next: Option<&Group>) {
    if !word.shape.starts_with(b"A") || word.upper.len() > 7 || !scan.wants(Class::UkPostcode) {
        return;
    }
    let (outward, end) = match next.filter(|group| group.len() == 3) {
        Some(group) if word.upper.len() <= 4 => (word.upper.len(), group.end),
        _ if word.upper.len() >= 5 => (word.upper.len() - 3, word.end),
        _ => return,
    };
    let is_outward =
        matches!(&word.shape[..outward], b"A9" | b"A99" | b"AA9" | b"AA99" | b"A9A" | b"AA9A");
    let inward = &scan.text[end - 3..end];
    let unit =
        |byte: &u8| byte.is_ascii_alphabetic() && !b"CIKMOV".contains(&byte.to_ascii_uppercase());
    if is_outward
        && !b"QVX".contains(&word.upper[0])
        && inward[0].is_ascii_digit()
        && inward[1..].iter().all(unit)
    {
        scan.weak(Class::UkPostcode, word.start, end);
    }
}

/// What begins with digits and goes on with a letter, or has letters before it.
pub fn spaced(scan: &mut Scan<'_>, chain: &Chain) {
    let groups = chain.groups();
    let first = groups[0];
    if let Some(second) = groups.get(1).filter(|group| group.len() == 1 && group.has_letter)
        && second.separator == Separator::Hyphen
        && matches!(first.len(), 7 | 8)
        && !text::is_joined_left(scan.text, first.start)
    {
        let digits = &scan.text[first.start..first.end];
        let number = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if europe::es_letter(number, scan.text[second.start]) {
            scan.sure(Class::EsNif, first.start, second.end);
        }
    }
    finnish(scan, first);
    if let [_, letters, digits, ..] = groups
        && !letters.has_digit
        && digits.is_number()
        && [letters, digits].iter().all(|group| group.separator == Separator::Space)
        && first.len() + letters.len() + digits.len() <= 9
    {
        let shape = [vec![b'9'; first.len()], vec![b'A'; letters.len()], vec![b'9'; digits.len()]];
        if first.len() == 2 && is_turkish_plate(&shape.concat(), &scan.text[first.start..]) {
            scan.likely(Class::TrPlate, first.start, digits.end);
        }
    }
    nino(scan, groups);
    german(scan, groups);
}

/// `131052-308T`, and `+` for who was born before 1900.
fn finnish(scan: &mut Scan<'_>, first: Group) {
    let end = first.start + 11;
    if first.len() != 6 || !matches!(text::at(scan.text, first.end), b'-' | b'+') {
        return;
    }
    let Some(code) = scan.text.get(first.start..end) else { return };
    if text::is_border(scan.text, end)
        && code.last().is_some_and(u8::is_ascii_alphanumeric)
        && europe::fi_hetu(code.try_into().expect("eleven bytes"))
    {
        scan.sure(Class::FiHetu, first.start, end);
    }
}

/// `AB 12 34 56 C`: two letters, a blank, this number, the others, a letter.
fn nino(scan: &mut Scan<'_>, groups: &[Group]) {
    let Some(from) = letters_before(scan.text, groups[0].start, 2) else { return };
    let by_space = |group: &Group| group.separator == Separator::Space;
    let last = match groups {
        [a, b, c, last, ..] if a.len() == 2 && b.len() == 2 && c.len() == 2 => {
            if ![b, c, last].into_iter().all(by_space) || b.has_letter || c.has_letter {
                return;
            }
            last
        }
        [a, last, ..] if a.len() == 6 && by_space(last) => last,
        _ => return,
    };
    let prefix = [scan.text[from], scan.text[from + 1]].map(|byte| byte.to_ascii_uppercase());
    let suffix = scan.text[last.start].to_ascii_uppercase();
    if last.len() == 1 && (b'A'..=b'D').contains(&suffix) && europe::uk_nino_prefix(prefix) {
        scan.sure(Class::UkNino, from, last.end);
    }
}

/// Where `count` letters begin that stand before a place with a blank, a hyphen or a dot between.
fn letters_before(text: &[u8], place: usize, count: usize) -> Option<usize> {
    let from = place.checked_sub(count + 1)?;
    let (letters, separator) = text[from..place].split_at(count);
    let fits = letters.iter().all(u8::is_ascii_alphabetic)
        && matches!(separator, b" " | b"-" | b".")
        && !text::before(text, from).is_ascii_alphanumeric();
    fits.then_some(from)
}

/// `DE 129 273 398`, `HRB 12345`.
fn german(scan: &mut Scan<'_>, groups: &[Group]) {
    let first = groups[0];
    let is =
        |from: usize, word: &[u8]| scan.text[from..from + word.len()].eq_ignore_ascii_case(word);
    let vat = letters_before(scan.text, first.start, 2).filter(|from| is(*from, b"DE"));
    let register = letters_before(scan.text, first.start, 3)
        .filter(|from| is(*from, b"HRA") || is(*from, b"HRB"));
    if let Some(from) = vat {
        let mut count = 0;
        for group in groups {
            count += group.len();
            if group.has_letter || count > 9 {
                break;
            }
            if count == 9 {
                german_vat(scan, from, group.end);
            }
        }
    }
    if let Some(from) = register.filter(|_| (2..=6).contains(&first.len())) {
        scan.sure(Class::DeRegister, from, first.end);
    }
}

fn iban(scan: &mut Scan<'_>, chain: &Chain) {
    let groups = chain.groups();
    let first = groups[0];
    let text = scan.text;
    let country = [text[first.start], text::at(text, first.start + 1)];
    let Some(length) = europe::iban_length(country.map(|byte| byte.to_ascii_uppercase())) else {
        return;
    };
    let Some(check) = text.get(first.start + 2..first.start + 4) else { return };
    if first.len() < 4 || !check.iter().all(u8::is_ascii_digit) {
        return;
    }
    let mut code = [0; 34];
    let mut count = 0;
    let mut is_word = false;
    steps::add(code.len());
    for group in groups {
        // Two groups of letters one after the other are prose, unless they are capitals.
        let letters = &text[group.start..group.end];
        let was_word = std::mem::replace(&mut is_word, !letters.iter().any(u8::is_ascii_digit));
        let is_prose = |place: usize| text[place].is_ascii_lowercase();
        if is_word && was_word && (is_prose(group.start) || is_prose(group.start - 2)) {
            return;
        }
        let in_groups = matches!(group.separator, Separator::Space | Separator::Hyphen);
        if group.separator != Separator::None && (!in_groups || first.len() != 4) {
            return;
        }
        let Some(place) = code.get_mut(count..count + group.len()) else { return };
        place.copy_from_slice(&text[group.start..group.end]);
        count += group.len();
        if count >= length {
            if count == length && europe::iban(&code[..count]) {
                scan.sure(Class::Iban, first.start, group.end);
            }
            return;
        }
    }
}

fn crypto(scan: &mut Scan<'_>, word: Group) {
    if word.len() < 26 || word.len() >= TOKEN_BYTES_MAX || !scan.wants(Class::Crypto) {
        return;
    }
    let text = &scan.text[word.start..word.end];
    let is_ether =
        text.len() == 42 && text.starts_with(b"0x") && text[2..].iter().all(u8::is_ascii_hexdigit);
    if is_base58_address(text) || is_bech32_address(text) || is_ether {
        scan.sure(Class::Crypto, word.start, word.end);
    }
}

/// Bitcoin of old: version, 20 bytes, and the beginning of their double SHA-256.
fn is_base58_address(text: &[u8]) -> bool {
    steps::add(text.len() * 25);
    const SIGNS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    if !matches!(text[0], b'1' | b'3') || text.len() > 35 {
        return false;
    }
    let mut bytes = [0u8; 25];
    for sign in text {
        let Some(value) = SIGNS.iter().position(|other| other == sign) else { return false };
        let mut carry = value;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry % 256) as u8;
            carry /= 256;
        }
        if carry > 0 {
            return false;
        }
    }
    let digest = Sha256::digest(Sha256::digest(&bytes[..21]));
    digest[..4] == bytes[21..]
}

/// Bitcoin since 2017: `bc1`, and a checksum over letters of five bits (BIP 173, BIP 350).
fn is_bech32_address(text: &[u8]) -> bool {
    const SIGNS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some(data) = text.strip_prefix(b"bc1").or_else(|| text.strip_prefix(b"BC1")) else {
        return false;
    };
    let mut check = 1u32;
    let mut feed = |value: u32| {
        let top = check >> 25;
        check = (check & 0x01ff_ffff) << 5 ^ value;
        for (i, part) in GENERATOR.iter().enumerate() {
            check ^= if top >> i & 1 == 1 { *part } else { 0 };
        }
    };
    for value in [3, 3, 0, 2, 3] {
        feed(value);
    }
    for sign in data {
        let lower = sign.to_ascii_lowercase();
        let Some(value) = SIGNS.iter().position(|other| *other == lower) else { return false };
        feed(value as u32);
    }
    check == 1 || check == 0x2bc8_30a3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: hash once, or leave a place of the checksum out.
    #[test]
    fn addresses_of_bitcoin_carry_checksums() {
        assert!(is_base58_address(b"16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ"));
        assert!(!is_base58_address(b"16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyY"));
        assert!(is_bech32_address(b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert!(!is_bech32_address(b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"));
    }
}
