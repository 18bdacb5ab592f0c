//! Keys, tokens, passwords. Most are known by how they begin.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use crate::class::Class;
use crate::scan::{Scan, Tail};
use crate::steps;
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
    ("gsk_", 30),
    ("r8_", 30),
    ("xai-", 30),
    ("pplx-", 30),
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
    steps::add(text.len().saturating_sub(start));
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
    if is_key_sign(text::before(text, from)) {
        return;
    }
    let end = text::run(text, to, least, |byte| is_key_sign(byte) || byte == b'.');
    let body = &text[to..end];
    // `sk-learn-pipeline-estimators` is no key: those have digits and letters mixed.
    let kinds = [u8::is_ascii_digit, u8::is_ascii_uppercase, u8::is_ascii_lowercase];
    let wide = text::run(text, to, least * 2, is_key_sign);
    let kinds = kinds.into_iter().filter(|is| text[to..wide].iter().any(is)).count();
    // Those of Slack begin with long numbers.
    let is_known = matches!(&text[from..to], b"AKIA") || text[from..to].starts_with(b"xox");
    if body.len() == least && (kinds >= 2 || is_known) {
        scan.tail(Class::ApiKey, Tail::Token, from, end);
    }
}

fn jwt(scan: &mut Scan<'_>, from: usize) {
    let text = scan.text;
    // Within a run that has begun before, none begins: nothing is gone over twice.
    if is_key_sign(text::before(text, from)) {
        return;
    }
    let head = text::run(text, from, JWT_HEAD_BYTES_MAX, is_key_sign);
    if text[head..].starts_with(b".eyJ") && head - from >= 12 {
        scan.tail(Class::Jwt, Tail::Token, from, head + 4);
    }
}

/// A sign that a token goes on over.
pub fn is_token_sign(byte: u8) -> bool {
    is_key_sign(byte) || byte == b'.'
}

/// Where a token ends that is known until `from`, and whose signs go on until `stop`: a dot belongs to it
/// if more follows.
pub fn token_end(text: &[u8], from: usize, stop: usize) -> usize {
    text::run_back(text, stop, 4.min(stop - from), |byte| byte == b'.')
}

fn pem(scan: &mut Scan<'_>, from: usize, to: usize) {
    let text = scan.text;
    let label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let end = text::run(text, to, LABEL_BYTES_MAX, label);
    if text[end..].starts_with(b"-----") && memmem::find(&text[to..end], b"PRIVATE KEY").is_some() {
        scan.tail(Class::PrivateKey, Tail::Pem, from, end + 5);
    }
}

/// What a PEM block ends with.
const PEM_END: &[u8] = b"-----END ";

/// Where `-----END` begins, or all ends that could be of the key: `most` bytes behind `from` at most.
pub fn pem_stop(text: &[u8], from: usize, most: usize) -> usize {
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n\t \\:,-.".contains(&byte);
    let rest = &text[from.min(text.len())..];
    let is_end = |at: usize| rest[at] == b'-' && rest[at..].starts_with(PEM_END);
    let count =
        (0..rest.len().min(most)).take_while(|at| is_key(rest[*at]) && !is_end(*at)).count();
    steps::add(count + 1);
    from + count
}

/// Behind `-----END …-----` where that stands at `stop`.
pub fn pem_end(text: &[u8], stop: usize) -> usize {
    if !text[stop..].starts_with(PEM_END) {
        return stop;
    }
    let end = text::run(text, stop + PEM_END.len(), LABEL_BYTES_MAX, |byte| byte != b'-');
    text::run(text, end, 5, |byte| byte == b'-')
}

/// Names behind which a secret stands.
const SECRET_NAMES: [&str; 22] = [
    "password",
    "passwd",
    "passwort",
    "kennwort",
    "mot de passe",
    "mot_de_passe",
    "contraseña",
    "contrasena",
    "hasło",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accesskey",
    "accountkey",
    "private_key",
    "client_secret",
    "authorization",
];

/// Names that end as those do, and stand for a place in a list: small letters, without `_` and `-`.
const PLACE_NAMES: [&str; 10] = [
    "pagetoken",
    "nextpagetoken",
    "prevpagetoken",
    "previouspagetoken",
    "nexttoken",
    "paginationtoken",
    "continuationtoken",
    "nextcontinuationtoken",
    "synctoken",
    "nextsynctoken",
];

fn is_secret_name(name: &[u8]) -> bool {
    let ends = |known: &str| {
        name.len() >= known.len()
            && name[name.len() - known.len()..].eq_ignore_ascii_case(known.as_bytes())
    };
    steps::add(SECRET_NAMES.len());
    let word = name.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    SECRET_NAMES.iter().any(|known| ends(known)) && !is_place_name(word)
}

/// `next_page_token`, `nextPageToken`; but `PAGE_TOKEN` of an environment is a key to a page.
fn is_place_name(name: &[u8]) -> bool {
    let letters = || name.iter().filter(|byte| !matches!(byte, b'_' | b'-'));
    let is = |known: &str| letters().map(u8::to_ascii_lowercase).eq(known.bytes());
    name.iter().any(u8::is_ascii_lowercase) && PLACE_NAMES.iter().any(|known| is(known))
}

const fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// `password=…`, `"api_key": "…"`: the value behind the sign at `place`.
pub fn assigned(scan: &mut Scan<'_>, place: usize) {
    if !scan.wants(Class::Secret) {
        return;
    }
    let text = scan.text;
    let name_end = text::run_back(text, place, 2, |byte| is_quote(byte) || byte == b' ');
    // Some are of several words.
    let is_name_sign = |byte: u8| is_key_sign(byte) || byte == b' ' || !byte.is_ascii();
    let name_start = text::run_back(text, name_end, NAME_BYTES_MAX, is_name_sign);
    if !is_secret_name(&text[name_start..name_end]) {
        return;
    }
    let mut start = text::run(text, place + 1, 1, |byte| byte == b' ');
    start = text::run(text, start, 1, is_quote);
    start = behind_scheme(text, start);
    // Between quotes, other signs are part of it, too.
    let quote = text::before(text, start);
    let is_within = |byte: u8| is_word_sign(byte) && byte != quote;
    let end =
        if is_quote(quote) { text::run(text, start, VALUE_BYTES_MAX, is_within) } else { start };
    match text.get(end) {
        Some(byte) if *byte == quote && end > start => found(scan, start, end),
        _ => value(scan, start),
    }
}

/// The text as a whole is the value of a key that holds a secret.
pub fn hinted(scan: &mut Scan<'_>) {
    if scan.wants(Class::Secret) && is_name(scan.hint) {
        // No sign ends it but a blank.
        let start = behind_scheme(scan.text, 0);
        match text::run(scan.text, start, VALUE_BYTES_MAX, is_word_sign) {
            end if end - start == VALUE_BYTES_MAX => value(scan, start),
            end => found(scan, start, end),
        }
    }
}

/// Of the header `Authorization`.
const SCHEMES: [&[u8]; 3] = [b"Bearer ", b"Basic ", b"Token "];

fn behind_scheme(text: &[u8], start: usize) -> usize {
    let begins = |scheme: &&&[u8]| {
        text[start..].get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme))
    };
    start + SCHEMES.iter().find(begins).map_or(0, |scheme| scheme.len())
}

/// Whether the value of this key is a secret.
pub fn is_name(key: &str) -> bool {
    is_secret_name(key.as_bytes())
}

/// Signs that a stream does not end at.
const fn is_word_sign(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte < 0xe0
}

fn is_value_sign(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"'`<>,;&(){}[]".contains(&byte)
}

fn value(scan: &mut Scan<'_>, start: usize) {
    let text = scan.text;
    let walk = |from, most: usize| text::run(text, from, most - from, is_value_sign);
    let stop = scan.values.stop(text, start, walk);
    if stop - start >= VALUE_BYTES_MAX {
        // Too long for a password, but who knows: all of it goes.
        scan.tail(Class::Secret, Tail::Url, start, start + VALUE_BYTES_MAX);
        return;
    }
    let end = text::run_back(text, stop, 2.min(stop - start), |byte| matches!(byte, b'.' | b'!'));
    found(scan, start, end);
}

fn found(scan: &mut Scan<'_>, start: usize, end: usize) {
    let text = scan.text;
    // A word of prose has letters of one kind: `the token: valid`.
    if end - start >= 6 && is_secret(&text[start..end]) && !refers(text, start, end) {
        scan.sure(Class::Secret, start, end);
    }
}

/// What members of programs are read from: `settings.DB_PASSWORD`.
const OWNERS: [&str; 34] = [
    "args",
    "cfg",
    "conf",
    "config",
    "configuration",
    "context",
    "credentials",
    "ctx",
    "data",
    "each",
    "env",
    "environ",
    "event",
    "exports",
    "import",
    "input",
    "local",
    "module",
    "options",
    "opts",
    "os",
    "params",
    "process",
    "props",
    "random_password",
    "req",
    "request",
    "secrets",
    "self",
    "settings",
    "this",
    "user",
    "var",
    "vars",
];

/// The longest value that is looked at for what it refers to. Paths and addresses in programs are
/// shorter, and what is longer stays a secret.
const REFERENCE_BYTES_MAX: usize = 128;

/// The value says where a secret is, and is none: a member of a program, what a program calls, a path, a plain URL;
/// or it is a version.
fn refers(text: &[u8], start: usize, end: usize) -> bool {
    if end - start > REFERENCE_BYTES_MAX {
        return false;
    }
    let value = &text[start..end];
    steps::add(2 * value.len());
    // Between quotes it is a text, and not a part of a program.
    let is_bare = start > 0 && !is_quote(text[start - 1]);
    let is_called =
        text.get(end) == Some(&b'(') && is_path(value) && !value.iter().any(u8::is_ascii_digit);
    is_bare && (is_member(value) || is_called)
        || is_plain_url(value)
        || is_file(value)
        || is_version(value)
}

/// `/run/secrets/db`, `/srv/user1`: no part of it could be a key.
fn is_file(value: &[u8]) -> bool {
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    value.starts_with(b"/")
        && value[1..].contains(&b'/')
        && value.iter().all(is_sign)
        && !value.split(|byte| *byte == b'/').any(is_like_key)
}

/// `^9.0.2`, `>=1.2.x`: `jsonwebtoken` is a library.
fn is_version(value: &[u8]) -> bool {
    let sign = |byte: &&u8| b"^~<>=v".contains(byte);
    let rest = &value[value.iter().take_while(sign).count()..];
    let is_number = |part: &[u8]| {
        part == b"x" || part == b"*" || !part.is_empty() && part.iter().all(u8::is_ascii_digit)
    };
    let parts = rest.split(|byte| *byte == b'.');
    parts.clone().all(is_number) && (2..=4).contains(&parts.count())
}

/// Identifiers with dots between, the first an owner that programs have, or the last named as a secret is.
fn is_member(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'.');
    let is_path = value.contains(&b'.') && is_path(value);
    let first = parts.next().unwrap_or_default();
    let last = parts.next_back().unwrap_or_default();
    let is_owned = OWNERS.iter().any(|owner| first.eq_ignore_ascii_case(owner.as_bytes()));
    let has_digit = value.iter().any(u8::is_ascii_digit);
    is_path && (is_owned || !has_digit && is_secret_name(last))
}

/// Identifiers with dots between.
fn is_path(value: &[u8]) -> bool {
    value.split(|byte| *byte == b'.').all(|part| {
        part.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    })
}

/// A part of a URL or a path that is as long, and has digits and letters, may be a key itself.
const PART_KEY_BYTES: usize = 16;

fn is_like_key(part: &[u8]) -> bool {
    part.len() >= PART_KEY_BYTES
        && part.iter().any(u8::is_ascii_digit)
        && part.iter().any(u8::is_ascii_alphabetic)
}

/// `https://example.com/docs`: nobody's name, no query, and no part that may be a key.
fn is_plain_url(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"https://").or_else(|| value.strip_prefix(b"http://"));
    rest.is_some_and(|rest| {
        !rest.iter().any(|byte| b"@?#%".contains(byte))
            && !rest.split(|byte| *byte == b'/').any(is_like_key)
    })
}

/// Two kinds of signs and no placeholder; and digits among letters, or signs among them: not a capital and then
/// small letters.
fn is_secret(value: &[u8]) -> bool {
    steps::add(value.len());
    let has = |is: fn(&u8) -> bool| value.iter().any(is);
    let has_digit = has(u8::is_ascii_digit);
    let kinds = [
        has_digit,
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
        has(u8::is_ascii_punctuation),
    ];
    let kinds = kinds.into_iter().filter(|kind| *kind).count();
    let is_placeholder = value.starts_with(b"$") || value.iter().all(|byte| *byte == b'*');
    let is_mixed = has_digit
        || has(|byte| b"!@#$%^*+=/".contains(byte))
        || value[1..].iter().any(u8::is_ascii_uppercase) && value.len() >= 12;
    kinds >= 2 && !is_placeholder && is_mixed
}
