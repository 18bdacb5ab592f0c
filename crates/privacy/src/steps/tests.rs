//! The work grows with the text and no faster, whatever the text is. Bytes looked at are counted, not
//! time: the same text costs the same on every machine.

use crate::json::Exempt;
use crate::names::Names;
use crate::rules::{Action, Rules};
use crate::shield::Shield;
use crate::steps;
use crate::stream::Guard;
use crate::vault::Vault;
use crate::{Class, Confidence};

/// A text that is twice as long may cost so much more: twice, and what limits add that the shorter one
/// does not reach. What is quadratic costs four times as much.
const MOST_GROWTH_PERCENT: u64 = 290;

/// Looks at one byte of the dearest text. At this, 32 MiB take seconds and not minutes.
const MOST_STEPS_PER_BYTE: u64 = 600;

/// A request is looked through once more for what it has told, and what was found by itself.
const MOST_TEXT_STEPS_PER_BYTE: u64 = 3 * MOST_STEPS_PER_BYTE;

/// A stream looks at what it holds again and again, with a share of new bytes each time.
const MOST_STREAM_STEPS_PER_BYTE: u64 = 10 * MOST_STEPS_PER_BYTE;

/// Texts that are dear for one detector each.
const ADVERSARIES: &[&str] = &[
    "password:",
    "token=a1",
    "token=Ab1\n",
    "authorization: Bearer abcDEF123 ",
    "eyJaaaaaaaaaa.",
    "eyJhbGciOiJI.eyJhbGciOiJI.",
    "eyJ",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n-----END ",
    "AKIAIOSFODNN7EXAMPLE.",
    "sk-aB1cD2eF3gH4iJ5kL6mN7.",
    "https://a.de/",
    "a.de/",
    "ws://a.de.1",
    "www.a.de.1",
    "a@b.cd.",
    "1.1.1.1.",
    "a:b:",
    "00:1A:2B:3C:4D:5E-",
    "1 2 3 4 5 6 7 8 9 ",
    "+44 20 7946 ",
    "tel p p 12 34 56 78 ",
    "GB82 WEST 1234 ",
    "12 March 1980 ",
    "1/2/80/",
    "078-05-1120-",
    "A12803456 ",
    "1bTC",
    "0x52908400098527886E0F7030069857D2E4169EE7 ",
    "Anna Maria ",
    "PERSON-BBBBBBB",
    "{\"a\":",
    "ünï ",
    "１２",
    "\u{200b}",
];

/// Parts of which texts are made that nobody thought of.
const FRAGMENTS: &[&str] = &[
    "password",
    "token",
    "Bearer ",
    "eyJ",
    "-----BEGIN ",
    "PRIVATE KEY-----",
    "-----END ",
    "AKIA",
    "sk-",
    "SG.",
    "https",
    "://",
    "www",
    ".de",
    "@",
    "DE",
    "GB82",
    "HRB ",
    "March",
    "of ",
    "0x",
    "+",
    "x",
    "ab",
    "Z",
    "1",
    "12",
    "1234",
    "00",
    ":",
    "=",
    "-",
    ".",
    "/",
    ",",
    " ",
    "(",
    ")",
    "\"",
    "'",
    "\n",
    "_",
    "%",
    "$",
    "*",
    "{",
    "é",
    "\u{a0}",
    "\u{2011}",
    "日",
];

fn shield() -> Shield {
    let rules = Class::ALL[1..].iter().fold(Rules::none(), |rules, class| {
        rules.with(*class, Action::Redact, Confidence::Low).expect("each but the first has a rule")
    });
    let names = Names::new(["Anna Maria Schmidt", "Anna", "Maria Anna"]).expect("names");
    Shield::new(rules, Some(names.into()))
}

fn repeated(part: &str, bytes: usize) -> String {
    part.repeat(bytes / part.len() + 1)
}

fn whole(shield: &Shield, text: &str) -> u64 {
    steps::of(|| drop(shield.protect(&mut Vault::new(b"0"), text).expect("protected")))
}

fn json(shield: &Shield, text: &str) -> u64 {
    let document = serde_json::json!({ "password": text, "list": [text] }).to_string();
    let protect = || {
        let mut vault = Vault::new(b"0");
        drop(shield.protect_json(&mut vault, document.as_bytes(), &Exempt::default()));
    };
    steps::of(protect)
}

fn streamed(shield: &Shield, text: &str, most: usize) -> String {
    let mut guard = Guard::new(shield.clone());
    let mut out = String::new();
    let mut place = 0;
    while place < text.len() {
        let mut end = text.len().min(place + most);
        while !text.is_char_boundary(end) {
            end += 1;
        }
        out.push_str(&guard.push(&text[place..end]).expect("nothing is blocked"));
        place = end;
    }
    out + &guard.finish().expect("nothing is blocked")
}

fn stream(shield: &Shield, text: &str, most: usize) -> u64 {
    steps::of(|| drop(streamed(shield, text, most)))
}

/// What the work costs for a text, and for one of twice its length; and which are too dear.
fn dear(part: &str, bytes: usize, per_byte_max: u64, work: impl Fn(&str) -> u64) -> Option<String> {
    let (small, large) = (repeated(part, bytes), repeated(part, 2 * bytes));
    let (one, two) = (work(&small), work(&large));
    let per_byte = two / large.len() as u64;
    let is_dear = two * 100 > one * MOST_GROWTH_PERCENT || per_byte > per_byte_max;
    println!("{per_byte} a byte of {part:?}");
    is_dear.then(|| format!("{part:?}: {one}, then {two}, {per_byte} a byte"))
}

fn check(parts: &[String], bytes: usize, per_byte_max: u64, work: impl Fn(&Shield, &str) -> u64) {
    let shield = shield();
    let work = |text: &str| work(&shield, text);
    let dear: Vec<String> =
        parts.iter().filter_map(|part| dear(part, bytes, per_byte_max, work)).collect();
    assert!(dear.is_empty(), "{} of {} are too dear: {dear:#?}", dear.len(), parts.len());
}

fn adversaries() -> Vec<String> {
    ADVERSARIES.iter().copied().map(str::to_owned).collect()
}

/// Mutation: let each run walk to its end by itself.
#[test]
fn a_text_is_gone_over_a_bounded_number_of_times() {
    check(&adversaries(), 16 * 1024, MOST_TEXT_STEPS_PER_BYTE, whole);
}

/// Mutation: as before, in the values of documents and those of keys that hold secrets.
#[test]
fn a_document_is_gone_over_a_bounded_number_of_times() {
    check(&adversaries(), 8 * 1024, 2 * MOST_TEXT_STEPS_PER_BYTE, json);
}

/// Mutation: look through what is held with every piece.
#[test]
fn a_stream_in_single_bytes_is_gone_over_a_bounded_number_of_times() {
    let work = |shield: &Shield, text: &str| stream(shield, text, 1);
    check(&adversaries(), 5 * 1024, MOST_STREAM_STEPS_PER_BYTE, work);
}

/// Mutation: as before.
#[test]
fn a_stream_in_small_pieces_is_gone_over_a_bounded_number_of_times() {
    let work = |shield: &Shield, text: &str| stream(shield, text, 7);
    check(&adversaries(), 5 * 1024, MOST_STREAM_STEPS_PER_BYTE, work);
}

/// Mutation: as for the adversaries; this one finds those that nobody wrote down.
#[test]
fn no_pair_of_fragments_is_dear() {
    let pairs = FRAGMENTS.iter().flat_map(|a| FRAGMENTS.iter().map(move |b| format!("{a}{b}")));
    check(&pairs.collect::<Vec<_>>(), 3 * 1024, MOST_TEXT_STEPS_PER_BYTE, whole);
}

/// Mutation: as for the adversaries, in streams.
#[test]
fn no_fragment_is_dear_in_a_stream() {
    let parts: Vec<String> = FRAGMENTS.iter().copied().map(str::to_owned).collect();
    check(&parts, 3 * 1024, MOST_STREAM_STEPS_PER_BYTE, |shield, text| stream(shield, text, 1));
}

/// Mutation: forget what is open between two pieces.
#[test]
fn adversaries_leave_a_stream_as_they_leave_a_text() {
    let shield = shield();
    for part in ADVERSARIES {
        let text = repeated(part, 11 * 1024) + " the end";
        let expected = shield.protect(&mut Vault::one_way(), &text).expect("protected");
        for most in [31, 997] {
            let got = streamed(&shield, &text, most);
            let near = |it: &str| it.chars().take(80).collect::<String>();
            assert!(got == expected, "{part:?} by {most}: {} {}", near(&got), near(&expected));
        }
    }
}
