//! Numbers of people, firms, cards and accounts that are digits alone, in one word or in groups.

use crate::check::{self, americas, asia, europe, germany, pacific};
use crate::class::Class;
use crate::scan::Scan;
use crate::steps;
use crate::text::{self, Chain, Separator};

pub fn word(scan: &mut Scan<'_>, chain: &Chain) {
    let groups = chain.groups();
    let start = groups[0].start;
    if text::is_joined_left(scan.text, start) {
        return;
    }
    let end = groups[0].end;
    let is_single = !matches!(text::at(scan.text, end), b'-' | b'.' | b'/' | b':' | b'_')
        || !text::is_joined_right(scan.text, end);
    if is_single {
        single(scan, start, end);
    }
    let mut lengths = [0; text::GROUPS_MAX];
    lengths[0] = groups[0].len();
    let separator = groups.get(1).map_or(Separator::None, |group| group.separator);
    for count in 1..chain.numbers() {
        let group = groups[count];
        if group.separator != separator {
            break;
        }
        lengths[count] = group.len();
        // Between blanks another number may follow, after a hyphen it would be part of this one.
        if separator == Separator::Space || !text::is_joined_right(scan.text, group.end) {
            let digits = &scan.text[start..group.end];
            grouped(scan, digits, &lengths[..=count], separator, start);
        }
    }
}

fn single(scan: &mut Scan<'_>, start: usize, end: usize) {
    let text = &scan.text[start..end];
    match text.len() {
        5 if &text[..2] != b"00" => scan.weak(Class::DePostcode, start, end),
        9 => nine(scan, text, start),
        10 => ten(scan, text, start),
        11 => eleven(scan, text, start),
        12 => twelve(scan, text, start),
        13 => thirteen(scan, text, start),
        _ => {}
    }
    if (8..=17).contains(&text.len()) {
        scan.weak(Class::UsBank, start, end);
    }
    if (6..=9).contains(&text.len()) {
        scan.weak(Class::UsLicence, start, end);
    }
    card(scan, text, start);
    if let Ok(text) = <&[u8; 15]>::try_from(text)
        && europe::fr_nir(text)
    {
        scan.sure(Class::FrNir, start, end);
    }
}

fn card(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let mut digits = [0; 19];
    let mut count = 0;
    for byte in text.iter().filter(|byte| byte.is_ascii_digit()) {
        let Some(place) = digits.get_mut(count) else { return };
        *place = byte - b'0';
        count += 1;
    }
    if !americas::card(&digits[..count]) {
        return;
    }
    // Twelve digits are too often something else.
    if count == 12 {
        scan.likely(Class::Card, start, start + text.len());
    } else {
        scan.sure(Class::Card, start, start + text.len());
    }
}

fn nine(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let Some(digits) = check::digits::<9>(text) else { return };
    let end = start + text.len();
    if americas::us_routing(&digits) {
        scan.likely(Class::UsRouting, start, end);
    }
    if pacific::au_acn(&digits) {
        scan.likely(Class::AuAcn, start, end);
    }
    if pacific::au_tfn(&digits) {
        scan.likely(Class::AuTfn, start, end);
    }
    if germany::doctor(&digits) {
        scan.likely(Class::DeDoctor, start, end);
    }
    if americas::us_itin(&digits) {
        scan.likely(Class::UsItin, start, end);
    }
    if americas::ca_sin(&digits) {
        scan.weak(Class::CaSin, start, end);
    }
    if americas::us_ssn(&digits) {
        scan.weak(Class::UsSsn, start, end);
    }
    if check::number(&digits) > 0 {
        scan.weak(Class::DePractice, start, end);
        scan.weak(Class::UsPassport, start, end);
    }
}

fn ten(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let Some(digits) = check::digits::<10>(text) else { return };
    let end = start + text.len();
    if europe::uk_nhs(&digits) {
        scan.likely(Class::UkNhs, start, end);
    }
    if americas::us_npi(&digits) {
        scan.likely(Class::UsNpi, start, end);
    }
    if pacific::au_medicare(&digits) {
        scan.likely(Class::AuMedicare, start, end);
    }
    if asia::kr_business(&digits) {
        scan.likely(Class::KrBusiness, start, end);
    }
    if europe::se_person(&digits) {
        scan.likely(Class::SePerson, start, end);
    }
    if europe::se_organisation(&digits) {
        scan.likely(Class::SeOrganisation, start, end);
    }
}

fn eleven(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let Some(digits) = check::digits::<11>(text) else { return };
    let end = start + text.len();
    if germany::tax_id(&digits) {
        scan.likely(Class::DeTaxId, start, end);
    }
    if europe::pl_pesel(&digits) {
        scan.likely(Class::PlPesel, start, end);
    }
    if europe::it_vat(&digits) {
        scan.likely(Class::ItVat, start, end);
    }
    if pacific::ng_nin(&digits) {
        scan.likely(Class::NgNin, start, end);
    }
    // Two check digits, and a remainder by 89.
    if europe::tr_id(&digits) {
        scan.sure(Class::TrId, start, end);
    }
    if pacific::au_abn(&digits) {
        scan.sure(Class::AuAbn, start, end);
    }
}

fn twelve(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let Some(digits) = check::digits::<12>(text) else { return };
    let end = start + text.len();
    if asia::in_aadhaar(&digits) {
        scan.likely(Class::InAadhaar, start, end);
    }
    if is_century(&digits[..2]) && europe::se_person(&digits[2..]) {
        scan.sure(Class::SePerson, start, end);
    }
}

fn is_century(digits: &[u8]) -> bool {
    matches!(digits, [1, 8 | 9] | [2, 0])
}

fn thirteen(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let Some(digits) = check::digits::<13>(text) else { return };
    let end = start + text.len();
    if pacific::za_id(&digits) {
        scan.sure(Class::ZaId, start, end);
    }
    if asia::th_id(&digits) {
        scan.likely(Class::ThId, start, end);
    }
    korean(scan, &digits, start, end);
    if matches!(check::number(&digits[..2]), 1..=16) && digits[4] == 0 {
        scan.weak(Class::DeTaxNumber, start, end);
    }
}

fn korean(scan: &mut Scan<'_>, digits: &[u8; 13], start: usize, end: usize) {
    if !asia::kr_birth(digits) {
        return;
    }
    let (class, is_checked) = match digits[6] {
        1..=4 => (Class::KrRrn, asia::kr_rrn(digits)),
        5..=8 => (Class::KrFrn, asia::kr_frn(digits)),
        _ => return,
    };
    // Those given since 2020 have no check digit.
    if is_checked {
        scan.sure(class, start, end);
    } else {
        scan.likely(class, start, end);
    }
}

fn grouped(scan: &mut Scan<'_>, text: &[u8], lengths: &[usize], by: Separator, start: usize) {
    use Separator::{Colon, Dot, Hyphen, Space};
    steps::add(text.len());
    let end = start + text.len();
    match (lengths, by) {
        ([3, 2, 4], Hyphen | Space) => social(scan, text, by, start),
        ([3, 3, 3], Space | Hyphen) => three_threes(scan, text, start),
        ([4, 4, 1], Hyphen) => {
            if check::digits(text).is_some_and(|digits| americas::us_routing(&digits)) {
                scan.likely(Class::UsRouting, start, end);
            }
        }
        ([2, 3, 3, 3], Space | Hyphen) => {
            let Some(digits) = check::digits(text) else { return };
            if pacific::au_abn(&digits) {
                scan.sure(Class::AuAbn, start, end);
            }
            if germany::tax_id(&digits) {
                scan.likely(Class::DeTaxId, start, end);
            }
        }
        ([4, 5, 1], Space | Hyphen) => {
            if check::digits(text).is_some_and(|digits| pacific::au_medicare(&digits)) {
                scan.likely(Class::AuMedicare, start, end);
            }
        }
        ([3, 3, 4], Space | Hyphen) => {
            if check::digits(text).is_some_and(|digits| europe::uk_nhs(&digits)) {
                scan.likely(Class::UkNhs, start, end);
            }
        }
        ([4, 3, 3], Space | Hyphen) => {
            if check::digits(text).is_some_and(|digits| americas::us_npi(&digits)) {
                scan.likely(Class::UsNpi, start, end);
            }
        }
        ([3, 2, 5], Hyphen) => {
            if check::digits(text).is_some_and(|digits| asia::kr_business(&digits)) {
                scan.sure(Class::KrBusiness, start, end);
            }
        }
        ([6, 7], Hyphen) => {
            if let Some(digits) = check::digits(text) {
                korean(scan, &digits, start, end);
            }
        }
        ([6 | 8, 4], Hyphen) => swedish(scan, text, start),
        ([4, 4, 4], Hyphen | Space | Colon) => {
            if check::digits(text).is_some_and(|digits| asia::in_aadhaar(&digits)) {
                scan.sure(Class::InAadhaar, start, end);
            }
        }
        ([4, 4, 4, 4] | [4, 4, 4, 4, 3] | [4, 6, 5] | [4, 6, 4], Hyphen | Space | Dot) => {
            card(scan, text, start);
        }
        _ => grouped_long(scan, text, lengths, by, start),
    }
}

/// As `grouped`: forms that one country has.
fn grouped_long(scan: &mut Scan<'_>, text: &[u8], lengths: &[usize], by: Separator, start: usize) {
    use Separator::{Dot, Hyphen, Slash, Space};
    let end = start + text.len();
    match (lengths, by) {
        ([1, 2, 2, 2, 3, 3, 2], Space | Hyphen | Dot) => {
            let mut plain = [0; 15];
            let digits = text.iter().copied().filter(u8::is_ascii_digit);
            plain.iter_mut().zip(digits).for_each(|(to, digit)| *to = digit);
            if europe::fr_nir(&plain) {
                scan.sure(Class::FrNir, start, end);
            }
        }
        ([2, 2, 6, 2], Hyphen | Space) => {
            if matches!(&text[..2], b"28" | [b'1', b'1'..=b'9'] | [b'2', b'0'..=b'6']) {
                scan.sure(Class::KrLicence, start, end);
            }
        }
        ([1, 4, 5, 2, 1], Hyphen | Space)
            if check::digits(text).is_some_and(|digits| asia::th_id(&digits)) =>
        {
            scan.sure(Class::ThId, start, end);
        }
        ([3, 3, 5], Slash) => scan.likely(Class::DeTaxNumber, start, end),
        ([2, 3, 4 | 5] | [2, 4, 4], Slash) => scan.weak(Class::DeTaxNumber, start, end),
        _ => {}
    }
}

fn social(scan: &mut Scan<'_>, text: &[u8], by: Separator, start: usize) {
    let Some(digits) = check::digits(text) else { return };
    let end = start + text.len();
    for (class, good) in
        [(Class::UsSsn, americas::us_ssn(&digits)), (Class::UsItin, americas::us_itin(&digits))]
    {
        match (good, by) {
            (true, Separator::Hyphen) => scan.sure(class, start, end),
            (true, _) => scan.likely(class, start, end),
            (false, _) => {}
        }
    }
}

fn three_threes(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let Some(digits) = check::digits(text) else { return };
    let end = start + text.len();
    if americas::ca_sin(&digits) {
        scan.likely(Class::CaSin, start, end);
    }
    if pacific::au_tfn(&digits) {
        scan.likely(Class::AuTfn, start, end);
    }
    if pacific::au_acn(&digits) {
        scan.likely(Class::AuAcn, start, end);
    }
}

/// `yymmdd-nnnn`, with the century or without; firms have no day there.
fn swedish(scan: &mut Scan<'_>, text: &[u8], start: usize) {
    let end = start + text.len();
    if let Some(digits) = check::digits::<12>(text) {
        if is_century(&digits[..2]) && europe::se_person(&digits[2..]) {
            scan.sure(Class::SePerson, start, end);
        }
        return;
    }
    let Some(digits) = check::digits::<10>(text) else { return };
    if europe::se_person(&digits) {
        scan.sure(Class::SePerson, start, end);
    }
    if europe::se_organisation(&digits) {
        scan.likely(Class::SeOrganisation, start, end);
    }
}
