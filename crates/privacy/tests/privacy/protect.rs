//! Texts and documents as they leave.

use std::sync::Arc;

use privacy::{
    Action, Class, Confidence, Exempt, Form, Names, Refusal, Restorer, Rules, Shield, Vault,
};
use serde_json::{Value, json};

fn shield(rows: &[(&str, &str)]) -> Shield {
    Shield::new(Rules::none().read(rows.iter().copied()).expect("rules"), None)
}

fn check(rows: &[(&str, &str)], text: &str, expected: &str) {
    let protected = shield(rows).protect(&mut Vault::new(b"0"), text).expect("protected");
    assert_eq!(protected, expected);
}

/// Mutation: keep four signs of short values, or the first four.
#[test]
fn each_action_does_what_it_says() {
    let text = "card 4012-8888-8888-1881, mail ada@example.com";
    check(&[], text, text);
    check(&[("card", "redact")], text, "card [CARD], mail ada@example.com");
    check(&[("card", "mask")], text, "card ****-****-****-1881, mail ada@example.com");
    check(&[("ip", "mask")], "at 10.0.0.1", "at **.*.*.*");
    let masked = shield(&[("email", "pseudonymise")]);
    let masked = masked.protect(&mut Vault::new(b"0"), text).expect("protected");
    let letters = masked.strip_prefix("card 4012-8888-8888-1881, mail EMAIL-").expect("a tag");
    assert!(letters.len() == 7 && letters.bytes().all(|it| it.is_ascii_uppercase()), "{masked}");
    let blocked = shield(&[("card", "block")]).protect(&mut Vault::new(b"0"), text);
    assert_eq!(blocked, Err(Refusal::Blocked { class: Class::Card }));
}

/// Mutation: look through all only once, take a part of a word for a value, count what is hidden twice, give a number
/// letters of its own, or let a detector say another class.
#[test]
fn what_a_word_beside_it_has_told_is_known_everywhere() {
    let shield =
        shield(&[("us-passport", "pseudonymise"), ("phone", "pseudonymise"), ("card", "redact")]);
    let mut vault = Vault::new(b"0");
    let document = json!({
        "turns": ["I have put A12803456 there.", "my passport number: A12803456", "A12803456x, xA12803456", "card 4012888888881881"],
        "phone": 2_125_550_187_u64,
        "n": [2_125_550_187_u64, 21_255_501_870_u64],
    })
    .to_string();
    let none = Exempt::default();
    let protected = shield.protect_json(&mut vault, document.as_bytes(), &none).expect("protected");
    let said: Value = serde_json::from_str(&protected).expect("JSON");
    let passport = said["turns"][0].as_str().expect("a text").replace("I have put ", "");
    let passport = passport.replace(" there.", "");
    assert!(passport.starts_with("US_PASSPORT-"), "{said}");
    assert_eq!(said["turns"][1], format!("my passport number: {passport}"));
    assert_eq!(said["turns"][2], "A12803456x, xA12803456");
    assert_eq!(said["n"][0], said["phone"], "{said}");
    assert_eq!(said["n"][1], 21_255_501_870_u64);
    let count = |class| vault.hidden().get(&class).copied();
    assert_eq!((count(Class::UsPassport), count(Class::Card)), (Some(2), Some(1)));
    // What has a form, too, between signs that hide it.
    let joined = "card 4012888888881881; _4012888888881881_ 4012888888881881/2 1.4012888888881881";
    let seen = shield.protect(&mut Vault::new(b"0"), joined).expect("protected");
    assert_eq!(seen, "card [CARD]; _[CARD]_ [CARD]/2 1.[CARD]");
    // A name of a field, and a number that counts, are nobody's.
    let rules = self::shield(&[("secret", "redact"), ("phone", "redact")]);
    let schema = json!({
        "authorization": "oauth2x7", "phone": 4_155_550_u64,
        "properties": { "oauth2x7": { "maximum": 4_155_550_u64 } },
    })
    .to_string();
    let seen = rules.protect_json(&mut Vault::new(b"0"), schema.as_bytes(), &none);
    let seen: Value = serde_json::from_str(&seen.expect("protected")).expect("JSON");
    assert_eq!(seen["authorization"], "[SECRET]");
    assert_eq!(seen["properties"]["oauth2x7"]["maximum"], 4_155_550_u64, "{seen}");
    // A number and a text are one value, and a text from then on.
    let mut both = Vault::new(b"0");
    let pair = json!({ "n": 4_012_888_888_881_881_u64, "t": "4012888888881881" }).to_string();
    let pseudo = self::shield(&[
        ("card", "pseudonymise"),
        ("uk-nhs", "pseudonymise"),
        ("phone", "pseudonymise"),
    ]);
    let seen = pseudo.protect_json(&mut both, pair.as_bytes(), &none).expect("protected");
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!((&seen["n"], both.len()), (&seen["t"], 1));
    assert_eq!(both.number(seen["t"].as_str().expect("a text")), None);
    // It has the class that was told of it first, whatever another word says.
    let torn = "NHS number 4010232137. Tel. 4010232137";
    let seen = pseudo.protect(&mut Vault::new(b"0"), torn).expect("protected").into_owned();
    let (first, second) = seen.split_once(". Tel. ").expect("two");
    assert_eq!(first, format!("NHS number {second}"));
    // Other rules of another model, with the same stand-ins.
    let lenient = self::shield(&[("card", "redact")]);
    let said = lenient.protect(&mut vault, "A12803456").expect("protected");
    assert_eq!(said, "A12803456");
    let text = "Passport: A12803456. Again: A12803456";
    assert!(!shield.protect(&mut Vault::new(b"0"), text).expect("protected").contains("A128"));
}

/// Mutation: look only where all bytes are as in the value, whatever escapes stand for them; take a blank that is
/// written `\n` for a letter; stop at the longest value, where it is a part of a word;
/// or take letters of scripts without blanks for more of the word.
#[test]
fn a_value_that_was_told_is_found_however_json_writes_it() {
    let shield = shield(&[("secret", "redact")]);
    let told = |value: &str, text: &str| {
        let document = format!(r#"{{"password": "{value}", "t": "{text}"}}"#);
        let none = Exempt::default();
        let seen = shield.protect_json(&mut Vault::new(b"0"), document.as_bytes(), &none);
        let seen: Value = serde_json::from_str(&seen.expect("protected")).expect("JSON");
        seen["t"].as_str().expect("a text").to_owned()
    };
    assert_eq!(told("Kd93jfLs", "it is Kd93jfLs"), "it is [SECRET]");
    assert_eq!(told("Kd93jfLs", r"it is\nKd93jfLs\u2014"), "it is\n[SECRET]\u{2014}");
    assert_eq!(told("Kd93jfLs", r"it is \u004bd93jfLs"), "it is [SECRET]");
    assert_eq!(told("Öl9und2mehr", r"it is \u00d6l9und2mehr"), "it is [SECRET]");
    assert_eq!(told("ab/Kd93jf", r"it is ab\/Kd93jf"), "it is [SECRET]");
    assert_eq!(told(r#"a\"Kd93jf"#, r#"it is a\"Kd93jf"#), "it is [SECRET]");
    assert_eq!(told("Kd93jfLs", r#"{\"a\":\"it is\\nKd93jfLs\"}"#), r#"{"a":"it is\n[SECRET]"}"#);
    assert_eq!(told("Kd93jfLs", "it is Kd93jfLs2 or xKd93jfLs"), "it is Kd93jfLs2 or xKd93jfLs");
    assert_eq!(told("Kd93jfLs", "番号はKd93jfLsです"), "番号は[SECRET]です");

    let nested =
        "password: Kd93jfLs\npassword: Kd93jfLs-77\nKd93jfLs-77x and Kd93jfLs-77 or Kd93jfLs";
    let seen = shield.protect(&mut Vault::new(b"0"), nested).expect("protected");
    let (_, seen) = seen.rsplit_once('\n').expect("lines");
    assert_eq!(seen, "[SECRET]-77x and [SECRET] or [SECRET]");
}

/// Mutation: take four digits, two and two for a date, whatever they are, or no clock behind a short year.
#[test]
fn a_date_is_one_that_there_can_be() {
    let rows = &[("phone", "redact")];
    for number in ["0475.12.34.56", "0475-12-34-56", "0221/98/76/54", "0612.34.56.78"] {
        check(rows, &format!("Tel. {number}"), "Tel. [PHONE]");
    }
    for date in ["04/05/2024 0800", "05/06/24 10:00", "2024-06-05 08:00", "05.06.2024 10:00"] {
        check(rows, date, date);
    }
}

/// Mutation: end a value that is a whole text, or stands between quotes, at a comma; take Base64 under a
/// secret's name for a file.
#[test]
fn a_secret_goes_as_a_whole() {
    let rows = &[("secret", "redact")];
    let whole = |value: &str| {
        for key in ["password", "client_secret", "SessionToken", "SecretAccessKey"] {
            let document = json!({ key: value }).to_string();
            let none = Exempt::default();
            let protected =
                shield(rows).protect_json(&mut Vault::new(b"0"), document.as_bytes(), &none);
            assert_eq!(protected.expect("protected"), json!({ key: "[SECRET]" }).to_string());
        }
    };
    for scheme in ["Bearer", "Basic", "token"] {
        let header = json!({ "Authorization": format!("{scheme} abc123XYZdef456") }).to_string();
        let seen =
            shield(rows).protect_json(&mut Vault::new(b"0"), header.as_bytes(), &Exempt::default());
        assert_eq!(seen.expect("protected"), header.replace("abc123XYZdef456", "[SECRET]"));
    }
    for value in ["x7,Kd93jfLs02", "aB3(kL9)mN5;qR7", "kD8<9x>2aBcD,eFgHi12345", "Öl9,und;mehr"] {
        whole(value);
    }
    whole(&"aB3/".repeat(90));
    // What only looks like Base64 has the number of a card in it.
    let path = "Patient/Card/4012888888881881/".repeat(12);
    let document = json!({ "path": path }).to_string();
    let cards = shield(&[("card", "redact")]);
    let hidden = cards.protect_json(&mut Vault::new(b"0"), document.as_bytes(), &Exempt::default());
    assert!(!hidden.expect("protected").contains("4012888888881881"));
    check(rows, "password: \"Tr0ub4dor&3\" is it", "password: \"[SECRET]\" is it");
    check(rows, "PASSWORD='Kd93jf,x7&more';", "PASSWORD='[SECRET]';");
    check(rows, "password: \"Kd93jf,x7&more", "password: \"[SECRET],x7&more");
}

/// Mutation: take each path with a dot, each URL, or each name with `page` in it for harmless.
#[test]
fn what_only_refers_to_a_secret_stays() {
    let rows = &[("secret", "redact")];
    for text in [
        "password=settings.DB_PASSWORD",
        "{password: process.env.DB_PASSWORD, token: req.headers.authToken2}",
        "api_key=config.apiKey.value1",
        "token: Token = auth.CreateToken()",
        "token: https://example.com/docs/TOKENS",
        r#"{"next_page_token": "CAUQAA9Bc="}"#,
        "nextPageToken=CAUQAA9Bc",
        "const secret = crypto.randomBytes(32)",
        "token: getVercelOidcTokenSync()",
        r#"{"jsonwebtoken": "^9.0.2"}"#,
        "PWD=/srv/user1/src",
        "password = var.db_password1, secret = random_password.db1.result",
        "DB_PASSWORD=/run/secrets/db_password1",
        "postgres://app:$PASSWORD@db/x, redis://:***@cache",
    ] {
        check(rows, text, text);
    }
    for (text, expected) in [
        ("password=Summer.2024", "password=[SECRET]"),
        ("password: hunter2.Blue", "password: [SECRET]"),
        ("password: 'settings.DB_PASSWORD'", "password: '[SECRET]'"),
        ("token: https://bob:s3cret@example.com", "token: [SECRET]"),
        ("secret: https://example.com/hook/T00AAB11XXcc22YYdd", "secret: [SECRET]"),
        ("token=https://example.com/?k=1a2b", "token=[SECRET]"),
        ("secret = hashSha256(", "secret = [SECRET]("),
        ("password=/AbC/19dkLq02LLmN4oPq8x", "password=[SECRET]"),
        ("postgres://app:s3cr3t@10.0.0.1/x", "postgres://app:[SECRET]@10.0.0.1/x"),
        ("redis://:hunter@cache:6379", "redis://:[SECRET]@cache:6379"),
        ("AccountKey=aGVsbG8gd29ybGQxMjM0NTY3OA==;", "AccountKey=[SECRET];"),
        ("Kennwort: Sommer24", "Kennwort: [SECRET]"),
        ("mot de passe : Soleil99", "mot de passe : [SECRET]"),
        ("contraseña=Verano24", "contraseña=[SECRET]"),
        ("hasło: Zima2024", "hasło: [SECRET]"),
        ("PAGE_TOKEN=EAAGm0PX4ZCps", "PAGE_TOKEN=[SECRET]"),
        ("page_access_token: EAAGm0PX4ZCps", "page_access_token: [SECRET]"),
    ] {
        check(rows, text, expected);
    }
}

/// Mutation: take a date with a time behind it for the groups of a number.
#[test]
fn times_are_no_telephone_numbers() {
    let rows = &[("phone", "redact")];
    for text in [
        "Termin am 05.06.2024 10:00 Uhr",
        "due 01/31/2024 17:00",
        "03-04-2024 12:00",
        "09/11/2001 10:20",
        "2024-01-02 03:04:05",
    ] {
        check(rows, text, text);
    }
    let document = r#"{"call_id": 4155550132, "callDurationMs": 20125550132, "phone": 4155550133}"#;
    let seen =
        shield(rows).protect_json(&mut Vault::new(b"0"), document.as_bytes(), &Exempt::default());
    assert_eq!(
        seen.expect("protected"),
        document.replace("\"phone\": 4155550133", "\"phone\": \"[PHONE]\"")
    );
    check(rows, "03-4567-8901", "[PHONE]");
    check(rows, r#"tlf. 612 345 678"#, "tlf. [PHONE]");
}

/// Mutation: leave any of these out of what stands between groups.
#[test]
fn blanks_and_dashes_of_typesetters_stand_between_groups() {
    let rows = &[("iban", "redact"), ("card", "redact"), ("us-ssn", "redact")];
    check(rows, "GB82\u{2009}WEST\u{2009}1234\u{2009}5698\u{2009}7654\u{2009}32", "[IBAN]");
    check(rows, "4012\u{2007}8888\u{2007}8888\u{2007}1881", "[CARD]");
    check(rows, "078\u{2212}05\u{2212}1123", "[US_SSN]");
}

/// Mutation: count the values of a vault, leave the key out of the digest, or the class.
#[test]
fn a_value_has_one_stand_in_whatever_stands_beside_it() {
    let shield =
        shield(&[("email", "pseudonymise"), ("ip", "pseudonymise"), ("card", "pseudonymise")]);
    let said = |key: &[u8], text: &str| {
        let said = shield.protect(&mut Vault::new(key), text).expect("protected").into_owned();
        said.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let (one, other) = (
        said(b"k", "a@example.com 10.0.0.1 a@example.com"),
        said(b"k", "b@example.com a@example.com"),
    );
    assert_eq!((&one[0], &one[0]), (&one[2], &other[1]));
    assert!(one[0] != other[0] && one[1].starts_with("IP-"), "{one:?} {other:?}");
    assert_ne!(one[0], said(b"l", "a@example.com")[0]);
    // Of ten thousand, all come back.
    let all = (0..10_000).map(|it| format!("a{it}@example.com")).collect::<Vec<_>>().join(" ");
    let mut vault = Vault::new(b"k");
    let hidden = shield.protect(&mut vault, &all).expect("protected").into_owned();
    assert!(vault.len() == 10_000 && vault.restore(&hidden) == all);
}

/// Mutation: take letters that another value has.
#[test]
fn letters_that_are_taken_are_given_to_nobody_else() {
    let shield = shield(&[("email", "pseudonymise")]);
    // Two of these would meet under this key.
    let text = (80_000..120_000).map(|it| format!("a{it}@example.com ")).collect::<String>();
    let mut vault = Vault::new(b"k");
    let hidden = shield.protect(&mut vault, &text).expect("protected").into_owned();
    assert!(vault.len() == 40_000 && vault.restore(&hidden) == text);
}

/// Mutation: let the longer finding win over the stricter action.
#[test]
fn where_findings_overlap_the_strictest_action_holds_for_all() {
    let rows = &[("url", "mask"), ("email", "redact")];
    check(rows, "see https://example.com/?m=ada@example.com now", "see [EMAIL] now");
}

/// Mutation: compare names as they are written, or within words.
#[test]
fn names_are_found_in_any_case_on_borders_of_words() {
    let names = Names::new(["Anna Müller", "Ann", "Ödön"]).expect("names");
    let rules = Rules::none().with(Class::Name, Action::Redact, Confidence::High).expect("rules");
    let shield = Shield::new(rules, Some(names.into()));
    let text = "ANNA MÜLLER, anna müller's; Annabel, Ann-Marie, ödön, ÖDÖN, xAnn";
    let expected = "[PERSON], [PERSON]'s; Annabel, [PERSON]-Marie, [PERSON], [PERSON], xAnn";
    assert_eq!(shield.protect(&mut Vault::new(b"0"), text).expect("protected"), expected);
}

/// Mutation: look for a name in one spelling alone, or want blanks in scripts that have none.
#[test]
fn names_are_found_in_other_spellings() {
    let listed =
        ["Zoë", "Rene\u{301} Öz", "O'Brien", "D\u{2019}Arcy Lee", "李小龍", "김철수", "สมชาย"];
    let names = Names::new(listed).expect("names");
    let rules = Rules::none().with(Class::Name, Action::Redact, Confidence::High).expect("rules");
    let shield = Shield::new(rules, Some(names.into()));
    for (text, expected) in [
        ("Zoe\u{308}, ZOE\u{308} and Zoë", "[PERSON], [PERSON] and [PERSON]"),
        ("René Öz, RENE\u{301} O\u{308}Z", "[PERSON], [PERSON]"),
        ("Mr O\u{2019}Brien and mr o'brien", "Mr [PERSON] and mr [PERSON]"),
        ("D'Arcy Lee", "[PERSON]"),
        ("李小龍很好", "[PERSON]很好"),
        ("김철수는 왔다", "[PERSON]는 왔다"),
        ("คุณสมชายมา", "คุณ[PERSON]มา"),
        ("Zoëlle, O'Briens", "Zoëlle, O'Briens"),
    ] {
        assert_eq!(shield.protect(&mut Vault::new(b"0"), text).expect("protected"), expected);
    }
}

/// Mutation: write texts anew instead of changing them in place, or leave out keys or numbers.
#[test]
fn json_stays_as_it_was_but_for_findings() {
    let document = r#" {"a" : "caf\u00e9 \"4012888888881881\" \/", "ada@example.com":[ 4012888888881881 ,1.50e+2, null],
        "arguments": "{\"to\": \"ada@example.com\",\"n\":4012888888881881}", "b":"plain"} "#;
    let expected = r#" {"a" : "caf\u00e9 \"[CARD]\" \/", "[EMAIL]":[ "[CARD]" ,1.50e+2, null],
        "arguments": "{\"to\": \"[EMAIL]\",\"n\":\"[CARD]\"}", "b":"plain"} "#;
    let shield = shield(&[("card", "redact"), ("email", "redact")]);
    let none = Exempt::default();
    let protected = shield.protect_json(&mut Vault::new(b"0"), document.as_bytes(), &none);
    assert_eq!(protected.expect("protected"), expected);
}

/// Mutation: exempt a key at any depth, or look into what is exempt.
#[test]
fn exempt_paths_are_left_alone() {
    let document = json!({ "model": "a@b.com", "messages": [{ "role": "a@b.com", "content": "a@b.com", "model": "a@b.com" }] });
    let exempt = Exempt::new(&["model", "messages.*.role"]).expect("paths");
    let text = document.to_string();
    let shield = shield(&[("email", "redact")]);
    let protected =
        shield.protect_json(&mut Vault::new(b"0"), text.as_bytes(), &exempt).expect("protected");
    let expected = json!({ "model": "a@b.com", "messages": [{ "role": "a@b.com", "content": "[EMAIL]", "model": "[EMAIL]" }] });
    assert_eq!(serde_json::from_str::<Value>(&protected).expect("JSON"), expected);
    assert!(Exempt::new(&["a..b"]).is_err() && Exempt::new(&["a"; 65]).is_err());
}

/// Mutation: restore a number as a text, without escapes of the depth that it stands at, or as a number where the
/// interface has a text.
#[test]
fn json_comes_back_as_it_was() {
    let inner =
        json!({ "key": "-----BEGIN PRIVATE KEY-----\nab\"\n", "n": 4_012_888_888_881_881_u64 })
            .to_string();
    let document = json!({ "n": 4_012_888_888_881_881_u64, "t": "5555555555554444", "arguments": inner, "u": "a\tb ada@example.com" }).to_string();
    let shield = shield(&[
        ("card", "pseudonymise"),
        ("email", "pseudonymise"),
        ("private-key", "pseudonymise"),
    ]);
    let mut vault = Vault::new(b"9");
    let protected = shield
        .protect_json(&mut vault, document.as_bytes(), &Exempt::default())
        .expect("protected")
        .into_owned();
    assert!(
        !protected.contains("8888") && !protected.contains("ada@") && !protected.contains("BEGIN")
    );
    serde_json::from_str::<Value>(&protected).expect("JSON");
    let restored = |data: &[&str]| {
        let data = Exempt::new(data).expect("paths");
        vault.restore_json(protected.as_bytes(), &data).expect("restored").into_owned()
    };
    assert_eq!(restored(&["n"]), document);
    assert_eq!(vault.len(), 4);
    // Where the interface has a text, it stays one.
    let plain = restored(&[]);
    assert!(plain.starts_with("{\"n\":\"4012888888881881\",\"t\":\"5555555555554444\""), "{plain}");
    assert!(plain.contains("\\\"n\\\":4012888888881881"), "{plain}");
}

/// Mutation: insert values into arguments as they are.
#[test]
fn arguments_that_stream_are_escaped() {
    let shield = shield(&[("private-key", "pseudonymise")]);
    let mut vault = Vault::new(b"9");
    let key = "-----BEGIN PRIVATE KEY-----\nab\n-----END PRIVATE KEY-----";
    let stand_in = shield.protect(&mut vault, key).expect("protected").into_owned();
    let arguments = format!("{{\"key\":\"{stand_in}\"}}");
    let mut restorer = Restorer::new(Arc::new(vault), Form::Json);
    let mut out = String::new();
    for sign in arguments.chars() {
        out.push_str(&restorer.push(&sign.to_string()));
    }
    out.push_str(&restorer.finish());
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON"), json!({ "key": key }));
}

/// Mutation: give back the text where it cannot be read, or count depth anew within texts.
#[test]
fn what_cannot_be_looked_through_is_refused() {
    let shield = shield(&[("card", "redact")]);
    let refused = |document: &[u8]| {
        shield
            .protect_json(&mut Vault::new(b"0"), document, &Exempt::default())
            .expect_err("refused")
    };
    assert_eq!(refused(b"{\"a\": \"\xff\"}"), Refusal::NotUtf8 { at: 7 });
    assert_eq!(refused(b"{\"a\": 1,}"), Refusal::NotJson { at: 8 });
    assert_eq!(refused(b"\"\\ud800\""), Refusal::NotJson { at: 1 });
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(refused(deep.as_bytes()), Refusal::TooDeep { most: 128 });
    let mut nested = "[1]".to_owned();
    for _ in 0..6 {
        nested = json!([nested]).to_string();
    }
    assert!(matches!(refused(nested.as_bytes()), Refusal::TooDeep { .. }));
    let long = vec![b' '; privacy::TEXT_BYTES_MAX + 1];
    assert!(matches!(refused(&long), Refusal::TooLarge { .. }));
}

/// Mutation: derive `Debug` for what holds values.
#[test]
fn nothing_personal_is_in_debug_or_errors() {
    let shield = Shield::new(
        Rules::none().read([("email", "pseudonymise"), ("card", "block")]).expect("rules"),
        Some(Names::new(["Ada Lovelace"]).expect("names").into()),
    );
    let mut vault = Vault::new(b"5");
    shield.protect(&mut vault, "ada@example.com").expect("protected");
    let refusal = shield.protect(&mut vault, "4012888888881881").expect_err("blocked");
    let shown = format!("{vault:?} {shield:?} {refusal:?} {refusal}");
    let low = shown.to_lowercase();
    assert!(!low.contains("ada") && !low.contains("4012"), "{shown}");
}
