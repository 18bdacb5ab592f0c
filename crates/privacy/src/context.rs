//! Words that tell what a number near them is. They are looked for before it only: a stream has no
//! after.

use crate::class::Class;
use crate::steps;

/// How far back a word may stand.
pub const CONTEXT_BYTES_MAX: usize = 64;

/// What people call the thing. Lower case; a word begins at a border and ends at one, too, if it has
/// four letters or fewer.
fn words(class: Class) -> &'static [&'static str] {
    match class {
        Class::UsSsn => &["ssn", "ssns", "social security", "ss number", "ss#"],
        Class::UsItin => &["itin", "tax id", "taxpayer", "individual taxpayer"],
        Class::UsNpi => &["npi", "provider", "national provider"],
        Class::UsDea => &["dea", "license", "medical", "certificate"],
        Class::UsMbi => &["mbi", "medicare", "beneficiary"],
        Class::UsRouting => &["aba", "routing", "bank", "transit", "rtn"],
        Class::UsPassport => &["passport", "travel document"],
        Class::UsBank => {
            &["bank account", "account number", "account no", "acct", "checking", "savings"]
        }
        Class::UsLicence => &["driver", "driving", "licence", "license", "permit", "dl"],
        Class::CaSin => &["sin", "social insurance", "numéro d'assurance"],
        Class::UkNhs => &["nhs", "national health", "health number", "patient"],
        Class::UkNino => &["nino", "national insurance", "insurance number"],
        Class::UkPassport | Class::EsPassport | Class::InPassport | Class::KrPassport => {
            &["passport", "pasaporte", "travel document", "여권"]
        }
        Class::UkPlate | Class::InPlate | Class::NgPlate | Class::TrPlate => {
            &["plate", "plaka", "registration", "vehicle", "car", "reg", "vrn", "vrm", "bike"]
        }
        Class::UkPostcode => &["postcode", "post code", "postal", "zip", "address"],
        Class::Card => &["card", "credit", "visa", "mastercard", "amex", "debit", "cc"],
        Class::Mac => &["mac", "hardware address", "ethernet"],
        Class::Url => &["website", "site", "web", "visit", "domain", "url", "homepage"],
        Class::Phone | Class::PhPhone | Class::TrPhone => &[
            "phone",
            "tel",
            "telephone",
            "telefon",
            "téléphone",
            "teléfono",
            "telefono",
            "call",
            "mobile",
            "mobil",
            "móvil",
            "movil",
            "tlf",
            "tfno",
            "cell",
            "fax",
            "handy",
            "whatsapp",
            "sms",
            "dial",
            "ring",
            "reach",
            "answering",
            "messages to",
            "number is",
            "contact",
            "hotline",
            "rufnummer",
            "pager",
            "phone_number",
            "cep no",
            "gsm",
        ],
        Class::Date => &[
            "born",
            "birth",
            "dob",
            "d.o.b",
            "birthday",
            "date",
            "geboren",
            "geb",
            "geburtsdatum",
            "né le",
            "née le",
            "nacido",
            "nacida",
            "nato",
            "nata",
            "deceased",
            "died",
            "expires",
            "valid until",
            "today is",
        ],
        _ => words_of_countries(class),
    }
}

/// As `words`, for what only one country has.
fn words_of_countries(class: Class) -> &'static [&'static str] {
    match class {
        Class::DeTaxId => &["steuer", "steueridentifikationsnummer", "idnr", "tin", "tax id"],
        Class::DeTaxNumber => &["steuernummer", "steuer-nr", "st.-nr", "stnr", "tax number"],
        Class::DeVat => &["ust", "umsatzsteuer", "vat", "mwst"],
        Class::DePassport | Class::DeIdCard => {
            &["reisepass", "pass", "ausweis", "personalausweis", "passport", "id card", "perso"]
        }
        Class::DeDoctor => &["lanr", "arztnummer", "arzt"],
        Class::DePractice => &["bsnr", "betriebsstätte", "praxis"],
        Class::DeHealth => &["kvnr", "krankenkasse", "versicherten", "health insurance"],
        Class::DeLicence => &["führerschein", "fuehrerschein", "fahrerlaubnis"],
        Class::DePostcode => &["plz", "postleitzahl"],
        Class::ItVat => &["partita iva", "p.iva", "p. iva", "piva", "vat"],
        Class::ItLicence => &["patente", "licenza", "license", "licence"],
        Class::ItIdCard => &["carta d'identità", "carta di identità", "identità", "id card", "cie"],
        Class::ItFiscal => &["codice fiscale", "cf", "fiscal code"],
        Class::PlPesel => &["pesel"],
        Class::SePerson => &["personnummer", "pnr", "personal number", "id code"],
        Class::SeOrganisation => &["organisationsnummer", "org.nr", "orgnr", "organisation"],
        Class::TrId => &["tc", "kimlik", "tckn"],
        Class::InAadhaar => &["aadhaar", "aadhar", "uidai", "uid"],
        Class::InPan => &["pan", "permanent account", "income tax"],
        Class::InGstin => &["gstin", "gst"],
        Class::InVoter => &["voter", "epic", "election"],
        Class::KrRrn | Class::KrFrn => &["rrn", "frn", "resident", "foreigner", "주민", "외국인"],
        Class::KrBusiness => &["brn", "business registration", "사업자"],
        Class::SgNric => &["nric", "fin", "singapore"],
        Class::ThId => &["tnin", "thai", "เลขบัตรประชาชน", "national id"],
        Class::ZaId => &["south african", "rsa", "id number", "refugee"],
        Class::NgNin => &["nin", "national identification"],
        Class::AuAbn => &["abn", "business number"],
        Class::AuAcn => &["acn", "company number"],
        Class::AuTfn => &["tfn", "tax file"],
        Class::AuMedicare => &["medicare"],
        _ => &[],
    }
}

/// A word for the class stands before `start`, or in the hint (the key that the text is the value of).
pub fn tells(text: &[u8], start: usize, hint: &str, class: Class) -> bool {
    let words = words(class);
    if words.is_empty() {
        return false;
    }
    let from = start.saturating_sub(CONTEXT_BYTES_MAX);
    let is_hinted = || {
        let is_phone = matches!(class, Class::Phone | Class::PhPhone | Class::TrPhone);
        !(hint.is_empty() || is_phone && is_measure(hint)) && has_word(hint.as_bytes(), words)
    };
    has_word(&text[from..start], words) || is_hinted()
}

/// `call_duration_ms`, `contact_id`: what of a telephone is no number of one.
fn is_measure(key: &str) -> bool {
    const LAST: [&str; 18] = [
        "at",
        "code",
        "count",
        "counts",
        "duration",
        "id",
        "ids",
        "index",
        "ms",
        "pages",
        "seconds",
        "size",
        "status",
        "time",
        "timestamp",
        "total",
        "type",
        "version",
    ];
    let capital = |sign: char| sign.is_ascii_uppercase();
    let start = key.rfind(['_', '-', ' ', '.']).map_or(0, |at| at + 1);
    let word = &key[start..];
    // `callId`, but not `ID`.
    let hump =
        word.rfind(capital).filter(|at| *at > 0 && !word[..*at].ends_with(capital)).unwrap_or(0);
    LAST.iter()
        .any(|last| word.eq_ignore_ascii_case(last) || word[hump..].eq_ignore_ascii_case(last))
}

fn has_word(window: &[u8], words: &[&str]) -> bool {
    let mut lower = [0; CONTEXT_BYTES_MAX];
    let window = &window[window.len().saturating_sub(CONTEXT_BYTES_MAX)..];
    let lower = &mut lower[..window.len()];
    for (to, from) in lower.iter_mut().zip(window) {
        // Keys are written `phone_number`, `phoneNumber`, `phone-number`.
        *to = if *from == b'_' { b' ' } else { from.to_ascii_lowercase() };
    }
    let lower = &*lower;
    steps::add(lower.len());
    let mut begins = (0..lower.len()).filter(|at| begins_word(lower, *at));
    begins.any(|at| {
        steps::add(words.len());
        words.iter().any(|word| is_word(&lower[at..], word))
    })
}

/// All words begin with a letter: what is a digit or a sign need not be compared with each.
fn begins_word(lower: &[u8], at: usize) -> bool {
    (lower[at].is_ascii_lowercase() || lower[at] >= 0x80) && !before_letter(lower, at)
}

/// A letter stands before this place.
fn before_letter(text: &[u8], at: usize) -> bool {
    at > 0 && text[at - 1].is_ascii_alphabetic()
}

fn is_word(text: &[u8], word: &str) -> bool {
    let ends = |next: &u8| !next.is_ascii_alphabetic();
    text.starts_with(word.as_bytes()) && (word.len() > 4 || text.get(word.len()).is_none_or(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: look for parts of words, or behind the number.
    #[test]
    fn a_word_stands_before_the_number() {
        let check = |text: &str, told| {
            let start = text.find("1234").expect("a number");
            assert_eq!(tells(text.as_bytes(), start, "", Class::CaSin), told, "{text}");
        };
        check("my SIN is 1234", true);
        check("raisin 1234", false);
        check("a sinful 1234", false);
        check("1234 is my SIN", false);
        assert!(tells(b"1234", 0, "customer_sin", Class::CaSin));
        let is_phone = |key: &str| tells(b"1234", 0, key, Class::Phone);
        assert!(is_phone("contact_phone") && is_phone("mobileNumber") && is_phone("phone"));
        assert!(!is_phone("call_id") && !is_phone("callDuration") && !is_phone("contact-id"));
    }
}
