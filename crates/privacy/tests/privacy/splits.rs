//! However a stream is cut, what leaves is the same; and what is pseudonymised comes back.

use std::sync::Arc;

use privacy::{
    Action, Class, Confidence, Form, Guard, Names, Restorer, Rules, Shield, Utf8, Vault,
};
use proptest::prelude::*;
use serde_json::json;

/// Pieces of which texts are made that are hard to cut.
const PIECES: &[&str] = &[
    "ada@example.com",
    "(415) 555-0132",
    "+44 20 7946 0018 ext. 12",
    "+1-903-240-4508x769",
    "GB82 WEST 1234 5698 7654 32",
    "QA58 DOHB 0000 1234 5678 90AB CDEF G",
    "WEST",
    "4012 8888 8888 1881",
    "078-05-1123",
    "AB 12 34 56 C",
    "DE 136 695 976",
    "DE",
    "HRB 123456",
    "12 March 1980",
    "March 12, 1980",
    "12th of March 1980",
    "12 de marzo de 1980",
    "12. März 1980",
    "2024-03-15T14:30:00Z",
    "1978-04-13 12:20:39",
    "May",
    "of",
    "de",
    "the",
    "patient",
    "born",
    "SSN:",
    "078051123",
    "10.0.0.1/8",
    "fe80::1%eth0",
    "00:1A:2B:3C:4D:5E",
    "AA-BB-CC-DD-EE-FF",
    "https://user:pw@example.com/a?b=4012888888881881.",
    "example.com/path,",
    "www.example.org",
    "password: hunter2!",
    "password=settings.DB_PASSWORD",
    "token: https://example.com/docs",
    "secret = crypto.randomBytes(32)",
    "\"jsonwebtoken\": \"^9.0.2\"",
    "PWD=/srv/user1/src",
    "postgres://app:s3cr3t@10.0.0.1/x",
    "mot de passe : Soleil99",
    "05.06.2024 10:00",
    "\"next_page_token\": \"CAUQAA9Bc=\"",
    "078\u{2212}05\u{2212}1123",
    "4012\u{2007}8888\u{2007}8888\u{2007}1881",
    "GB82\u{2009}WEST\u{2009}1234\u{2009}5698\u{2009}7654\u{2009}32",
    "api_key=\"a8f5f167f44f4964\"",
    "sk-proj-abcdEFGH1234abcdEFGH1234",
    "AKIAIOSFODNN7EXAMPLE",
    "Anna Maria Schmidt",
    "Anna",
    "anna maria",
    "müller",
    "Jožef Öz",
    "é",
    "日本",
    "\u{202f}",
    "\u{a0}",
    "🙂",
    "O\u{2019}Brien",
    "Joz\u{30c}ef",
    "O\u{308}z",
    "李小龍",
    "好",
    " ",
    "  ",
    "\n",
    "\t",
    ".",
    ",",
    "-",
    "(",
    ")",
    "+",
    "/",
    ":",
    "\"",
    "1",
    "12",
    "34",
    "5678",
    "0",
    "131052-308T",
    "AB51 ABC",
    "34 ABC 1234",
    "EC1A 1BB",
    "postcode",
    "Authorization: Bearer abcdef123456",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKC",
];

fn everything(action: Action) -> Rules {
    Class::ALL[1..].iter().fold(Rules::none(), |rules, class| {
        rules.with(*class, action, Confidence::Low).expect("each class but the first has a rule")
    })
}

fn names() -> Names {
    Names::new(["Anna Maria Schmidt", "Anna", "Müller", "Jožef Öz", "O'Brien", "李小龍"])
        .expect("names")
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
        1 => "\\PC{0,3}",
    ];
    let spaced = (piece, prop_oneof![3 => Just(" "), 1 => Just("")]);
    proptest::collection::vec(spaced, 0..14)
        .prop_map(|parts| parts.into_iter().map(|(piece, gap)| piece + gap).collect())
}

/// The text through a stream, cut at each of these places.
fn guarded(shield: &Shield, text: &str, cuts: &[usize]) -> String {
    let mut guard = Guard::new(shield.clone());
    let mut utf8 = Utf8::default();
    let mut out = String::new();
    let mut place = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        let piece = utf8.push(&text.as_bytes()[place..cut]).expect("UTF-8");
        out.push_str(&guard.push(&piece).expect("nothing is blocked"));
        place = cut;
    }
    utf8.finish().expect("no character is cut");
    out.push_str(&guard.finish().expect("nothing is blocked"));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Mutation: let a seam lie before `ext`, after a month, or between a number and a short word.
    #[test]
    fn a_split_at_any_byte_changes_nothing(text in texts(), with_names: bool) {
        let shield = Shield::new(everything(Action::Redact), with_names.then(|| names().into()));
        let whole = shield.protect(&mut Vault::one_way(), &text).expect("protected").into_owned();
        for cut in 0..=text.len() {
            prop_assert_eq!(&guarded(&shield, &text, &[cut]), &whole, "cut at {}", cut);
        }
        let all: Vec<usize> = (1..text.len()).collect();
        prop_assert_eq!(&guarded(&shield, &text, &all), &whole, "cut everywhere");
    }

    /// Mutation: look a stand-in up without its class, or leave what only looks like one as it is.
    #[test]
    fn what_was_pseudonymised_comes_back(text in texts(), random: u64) {
        let shield = Shield::new(everything(Action::Pseudonymise), Some(names().into()));
        let mut vault = Vault::new(&random.to_be_bytes());
        let first = shield.protect(&mut vault, &text).expect("protected").into_owned();
        prop_assert_eq!(vault.restore(&first), text.as_str());
        // A text that holds stand-ins of the same exchange, as if somebody had known them.
        let again = format!("{first} {text} PERSON-KXQTBWZ");
        let second = shield.protect(&mut vault, &again).expect("protected").into_owned();
        prop_assert_eq!(vault.restore(&second), again.as_str());
        let vault = Arc::new(vault);
        for cut in (0..=second.len()).filter(|cut| second.is_char_boundary(*cut)) {
            let mut restorer = Restorer::new(vault.clone(), Form::Text);
            let mut out = restorer.push(&second[..cut]);
            out.push_str(&restorer.push(&second[cut..]));
            out.push_str(&restorer.finish());
            prop_assert_eq!(&out, &again, "cut at {}", cut);
        }
    }

    /// Mutation: end a finding within a character.
    #[test]
    fn findings_lie_on_borders_of_characters(text in "\\PC{0,80}", more in texts()) {
        let text = text + &more;
        for finding in privacy::candidates(&text, "password", Some(&names())) {
            prop_assert!(text.get(finding.range.clone()).is_some_and(|value| !value.is_empty()));
        }
    }

    /// Mutation: index bytes behind the end of a document.
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}\":,0-9a-z\\\\u -]{0,60}") {
        let shield = Shield::new(everything(Action::Mask), None);
        let exempt = privacy::Exempt::default();
        for document in [&bytes[..], json.as_bytes()] {
            let ours = shield.protect_json(&mut Vault::new(b"3"), document, &exempt);
            let theirs = serde_json::from_slice::<serde_json::Value>(document);
            // Numbers that are too large for others are only signs to us.
            let is_number = theirs.as_ref().is_err_and(|error| error.to_string().contains("number out of range"));
            prop_assert!(ours.is_ok() == theirs.is_ok() || is_number, "{:?} {:?}", ours, theirs);
        }
        let _ = Utf8::default().push(&bytes);
    }
}

/// Mutation: know a stand-in only with our own hyphens, or in our own case; take the letters without a hyphen; let a
/// backslash go before it is known what is behind it, or leave it.
#[test]
fn a_stand_in_is_known_however_a_model_writes_it() {
    let rules = Rules::none().read([("uk-nhs", "pseudonymise"), ("email", "pseudonymise")]);
    let shield = Shield::new(rules.expect("rules"), None);
    let mut vault = Vault::new(b"7");
    let said = shield.protect(&mut vault, "ada@example.com 943 476 5919").expect("protected");
    let (mail, number) = said.split_once(' ').expect("two");
    let ways: &[fn(&str) -> String] = &[
        str::to_owned,
        str::to_ascii_lowercase,
        |it| it[..1].to_owned() + &it[1..].to_ascii_lowercase(),
        |it| it.replace('-', "_"),
        |it| it.replace('-', "\u{2011}"),
        |it| it.replace(['-', '_'], "\u{2013}").to_ascii_lowercase(),
        |it| it.replace('_', r"\_").replace('-', r"\-"),
        |it| it.replace('_', r"\\_"),
    ];
    let ours = ways.iter().map(|way| format!("File {}.txt of {}; ", way(mail), way(number)));
    let ours = ours.collect::<String>();
    let expected = "File ada@example.com.txt of 943 476 5919; ".repeat(ways.len());
    assert_eq!(vault.restore(&ours), expected);
    let letters = mail.rsplit('-').next().expect("letters");
    let others =
        [format!("EMAIL{letters}"), format!("MAIL-{letters}"), format!("PERSON-{letters}")];
    let others = others.join(" and ");
    assert_eq!(vault.restore(&others), others);
    let (vault, both) = (Arc::new(vault), format!("{ours}{others}"));
    for cut in (0..=both.len()).filter(|cut| both.is_char_boundary(*cut)) {
        let mut restorer = Restorer::new(vault.clone(), Form::Text);
        let first = restorer.push(&both[..cut]);
        let whole = first + &restorer.push(&both[cut..]) + &restorer.finish();
        assert_eq!(whole, format!("{expected}{others}"), "cut at {cut}");
    }
    // As a text of JSON, where a backslash is two.
    let escaped = json!(format!("of {}.", number.replace('_', r"\_"))).to_string();
    for cut in 0..=escaped.len() {
        let mut restorer = Restorer::new(vault.clone(), Form::Json);
        let first = restorer.push(&escaped[..cut]);
        let whole = first + &restorer.push(&escaped[cut..]) + &restorer.finish();
        assert_eq!(whole, "\"of 943 476 5919.\"", "cut at {cut}");
    }
}

/// Mutation: hold back words of prose until the sentence ends.
#[test]
fn prose_streams_with_hardly_any_delay() {
    let prose = "The patient was seen by the doctor on the ward and was told to come again soon. ";
    let shield = Shield::new(everything(Action::Redact), None);
    let mut guard = Guard::new(shield);
    let (mut given, mut got, mut most) = (0, 0, 0);
    for sign in prose.repeat(20).chars() {
        given += 1;
        got += guard.push(&sign.to_string()).expect("released").len();
        most = most.max(given - got);
    }
    assert!(most <= 16, "{most} bytes were held back");
}

/// Mutation: let go what is longer than may be held, or hold it to the end.
#[test]
fn what_is_too_long_to_be_known_is_redacted() {
    let shield = Shield::new(everything(Action::Redact), None);
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}", "MIIEowIBAAKC\n".repeat(4000));
    let url = format!("https://example.com/{}", "a/1".repeat(9000));
    for (secret, text) in [
        (&key, format!("before {key}\"after\"")),
        (&url, format!("before {url} after")),
        (&url, url.clone()),
    ] {
        let whole = shield.protect(&mut Vault::one_way(), &text).expect("protected");
        assert!(whole.contains("[REDACTED]") && whole.len() < 60, "{}", whole.len());
        let cuts: Vec<usize> = (1..text.len() / 7).map(|i| i * 7).collect();
        assert_eq!(guarded(&shield, &text, &cuts), whole);
        let mut guard = Guard::new(shield.clone());
        let mut out = 0;
        for piece in secret.as_bytes().chunks(100) {
            out += guard.push(std::str::from_utf8(piece).expect("ASCII")).expect("released").len();
        }
        assert_eq!(out, "[REDACTED]".len(), "nothing of it is released, and the tag only once");
    }
}

/// Mutation: remember an open run as ended where a piece has ended.
#[test]
fn a_dot_behind_a_long_run_stays() {
    let shield = Shield::new(everything(Action::Redact), None);
    for count in 850..858 {
        let text = "eyJhbGciOiJI.".repeat(count) + " the end";
        let cuts: Vec<usize> = (1..=count).map(|i| i * 13).collect();
        assert_eq!(guarded(&shield, &text, &cuts), "[REDACTED]. the end", "{count}");
    }
}

/// Mutation: go on after a refusal.
#[test]
fn a_blocked_stream_stays_so() {
    let rules = Rules::none().read([("card", "block")]).expect("rules");
    let mut guard = Guard::new(Shield::new(rules, None));
    assert_eq!(guard.push("My card is ").expect("prose"), "My card ");
    let refused = guard.push("4012888888881881 and more words").expect_err("blocked");
    assert_eq!(refused, privacy::Refusal::Blocked { class: Class::Card });
    assert_eq!(guard.push("harmless"), Err(privacy::Refusal::Ended));
    assert_eq!(guard.finish(), Err(privacy::Refusal::Ended));
}
