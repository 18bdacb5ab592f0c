//! Keys, tokens, passwords. Most are known by how they begin.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use crate::class::Class;
use crate::scan::{Scan, Tail};
use crate::text;

/// What keys of known makers begin with, and how many signs follow at least.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("whsec_", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 22),
    ("glpat-", 20),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 35),
    ("ya29.", 20),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxe-", 10),
    ("xoxp-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("hf_", 30),
    ("npm_", 30),
    ("pypi-", 30),
    ("dop_v1_", 40),
    ("shpat_", 30),
    ("SG.", 40),
    ("AGE-SECRET-KEY-", 40),
    ("isonomy-key-", 16),
];

/// The dot behind the head of a JWT is within this. Heads with certificates in them are longer, and
/// are keys of nobody.
const JWT_HEAD_BYTES_MAX: usize = 1024;

/// Between `-----BEGIN` and `-----` stands the name of what follows.
const LABEL_BYTES_MAX: usize = 64;

/// The longest value behind `password=` whose signs are weighed; longer ones are secrets without that.
const VALUE_BYTES_MAX: usize = 512;

/// The name before `=` or `:`.
const NAME_BYTES_MAX: usize = 40;

/// Keys whose first characters are letters of nothing else. JWT and PEM stand behind the makers'.
static LITERALS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let prefixes = PREFIXES.iter().map(|(prefix, _)| *prefix);
    AhoCorasick::builder()
        // The automaton skips with vector instructions only for this kind of match.
        .match_kind(MatchKind::LeftmostFirst)
        .build(prefixes.chain(["eyJ", "-----BEGIN "]))
        .expect("a few short literals")
});

pub fn literals(scan: &mut Scan<'_>, start: usize) {
    let text = scan.text;
    if ![Class::ApiKey, Class::Jwt, Class::PrivateKey].into_iter().any(|class| scan.wants(class)) {
        return;
    }
    for found in LITERALS.find_iter(&text[start.min(text.len())..]) {
        let (from, to) = (start + found.start(), start + found.end());
        match PREFIXES.get(found.pattern().as_usize()) {
            Some((_, least)) => key(scan, from, to, *least),
            None if text[from] == b'e' => jwt(scan, from),
            None => pem(scan, from, to),
        }
    }
}

fn is_key_sign(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn key(scan: &mut Scan<'_>, from: usize, to: usize, least: usize) {
    let text = scan.text;
    let end = text::run(text, to, least, |byte| is_key_sign(byte) || byte == b'.');
    let body = &text[to..end];
    let is_word = is_key_sign(text::before(text, from));
    // `sk-learn-pipeline-estimators` is no key: those have digits and letters mixed.
    let kinds = [u8::is_ascii_digit, u8::is_ascii_uppercase, u8::is_ascii_lowercase];
    let wide = text::run(text, to, least * 2, is_key_sign);
    let kinds = kinds.into_iter().filter(|is| text[to..wide].iter().any(is)).count();
    if !is_word && body.len() == least && kinds >= 2
        || !is_word && &text[from..to] == b"AKIA" && body.len() == least
    {
        scan.tail(Class::ApiKey, Tail::Token, from, end);
    }
}

fn jwt(scan: &mut Scan<'_>, from: usize) {
    let text = scan.text;
    let head = text::run(text, from, JWT_HEAD_BYTES_MAX, is_key_sign);
    let is_token = text[head..].starts_with(b".eyJ")
        && !is_key_sign(text::before(text, from))
        && head - from >= 12;
    if is_token {
        scan.tail(Class::Jwt, Tail::Token, from, head + 4);
    }
}

/// Where a token ends that is known until `from`: a dot belongs to it if more follows.
pub fn token_end(text: &[u8], from: usize) -> usize {
    let end = text::run(text, from, usize::MAX - from, |byte| is_key_sign(byte) || byte == b'.');
    if end == text.len() {
        return end;
    }
    text::run_back(text, end, 4.min(end - from), |byte| byte == b'.')
}

fn pem(scan: &mut Scan<'_>, from: usize, to: usize) {
    let text = scan.text;
    let label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let end = text::run(text, to, LABEL_BYTES_MAX, label);
    if text[end..].starts_with(b"-----") && memmem::find(&text[to..end], b"PRIVATE KEY").is_some() {
        scan.tail(Class::PrivateKey, Tail::Pem, from, end + 5);
    }
}

/// Behind `-----END …-----`; where that is missing, behind all that could be of the key.
pub fn pem_end(text: &[u8], from: usize) -> usize {
    let mut place = from;
    while place < text.len() {
        let byte = text[place];
        if text[place..].starts_with(b"-----END ") {
            let end = text::run(text, place + 9, LABEL_BYTES_MAX, |byte| byte != b'-');
            return text::run(text, end, 5, |byte| byte == b'-');
        }
        let is_key = byte.is_ascii_alphanumeric() || b"+/=\r\n\t \\:,-.".contains(&byte);
        if !is_key {
            break;
        }
        place += 1;
    }
    place
}

/// Names behind which a secret stands.
const SECRET_NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passwort",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "private_key",
    "client_secret",
    "authorization",
];

fn is_secret_name(name: &[u8]) -> bool {
    let ends = |known: &str| {
        name.len() >= known.len()
            && name[name.len() - known.len()..].eq_ignore_ascii_case(known.as_bytes())
    };
    SECRET_NAMES.iter().any(|known| ends(known))
}

/// `password=…`, `"api_key": "…"`: the value behind the sign at `place`.
pub fn assigned(scan: &mut Scan<'_>, place: usize) {
    if !scan.wants(Class::Secret) {
        return;
    }
    let text = scan.text;
    let quote = |byte: u8| matches!(byte, b'"' | b'\'' | b'`');
    let name_end = text::run_back(text, place, 2, |byte| quote(byte) || byte == b' ');
    let name_start = text::run_back(text, name_end, NAME_BYTES_MAX, is_key_sign);
    if !is_secret_name(&text[name_start..name_end]) {
        return;
    }
    let mut start = text::run(text, place + 1, 1, |byte| byte == b' ');
    start = text::run(text, start, 1, quote);
    for scheme in [&b"Bearer "[..], b"Basic "] {
        if text[start..].get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme)) {
            start += scheme.len();
        }
    }
    value(scan, start);
}

/// The text as a whole is the value of a key that holds a secret.
pub fn hinted(scan: &mut Scan<'_>) {
    if scan.wants(Class::Secret) && is_secret_name(scan.hint.as_bytes()) {
        value(scan, 0);
    }
}

fn value(scan: &mut Scan<'_>, start: usize) {
    let sign = |byte: u8| byte.is_ascii_graphic() && !b"\"'`<>,;&(){}[]".contains(&byte);
    let end = text::run(scan.text, start, VALUE_BYTES_MAX, sign);
    if end - start == VALUE_BYTES_MAX {
        // Too long for a password, but who knows: all of it goes.
        scan.tail(Class::Secret, Tail::Url, start, end);
        return;
    }
    let end =
        text::run_back(scan.text, end, 2.min(end - start), |byte| matches!(byte, b'.' | b'!'));
    let value = &scan.text[start..end];
    let kinds = [
        value.iter().any(u8::is_ascii_digit),
        value.iter().any(u8::is_ascii_lowercase),
        value.iter().any(u8::is_ascii_uppercase),
        value.iter().any(u8::is_ascii_punctuation),
    ];
    let kinds = kinds.into_iter().filter(|kind| *kind).count();
    let is_placeholder = value.starts_with(b"$") || value.iter().all(|byte| *byte == b'*');
    // A word of prose has letters of one kind: `the token: valid`.
    if value.len() >= 6 && kinds >= 2 && !is_placeholder && is_mixed(value) {
        scan.sure(Class::Secret, start, end);
    }
}

/// Digits among letters, or signs among them: not a capital and then small letters.
fn is_mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
        || value.iter().any(|byte| b"!@#$%^*+=/".contains(byte))
        || value[1..].iter().any(u8::is_ascii_uppercase) && value.len() >= 12
}
