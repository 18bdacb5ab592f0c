//! HTTP digest authentication (RFC 7616): the answer to a server's challenge. Plain functions; the
//! round trip is in the module above.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use md5::{Digest as _, Md5};

use super::policy::Credentials;

/// A challenge is a few hundred bytes. Longer ones are not looked at.
const CHALLENGE_BYTES_MAX: usize = 8 * 1024;

/// Ours is the first request with every nonce: each challenge is answered once.
const NONCE_COUNT: &str = "00000001";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
}

/// What a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    hash: Hash,
    is_session: bool,
    /// Without `qop` the answer is that of RFC 2069.
    qop: bool,
    hides_user: bool,
}

/// The strongest challenge that can be answered.
pub(crate) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let texts = values.filter_map(|value: &HeaderValue| value.to_str().ok());
    let texts = texts.filter(|text| text.len() <= CHALLENGE_BYTES_MAX);
    texts
        .flat_map(schemes)
        .filter_map(|(_, parameters)| parse(&parameters))
        .max_by_key(|it| it.hash)
}

/// The value of the `Authorization` header, behind `Digest `.
pub(crate) fn answer(
    challenge: &Challenge,
    credentials: &Credentials,
    method: &str,
    target: &str,
    cnonce: &str,
) -> String {
    let Challenge { realm, nonce, opaque, hash, is_session, qop, hides_user } = challenge;
    let Credentials { username, password } = credentials;
    let of = |text: String| digest(*hash, &text);
    let mut secret = of(format!("{username}:{realm}:{password}"));
    if *is_session {
        secret = of(format!("{secret}:{nonce}:{cnonce}"));
    }
    let what = of(format!("{method}:{target}"));
    let response = match qop {
        true => of(format!("{secret}:{nonce}:{NONCE_COUNT}:{cnonce}:auth:{what}")),
        false => of(format!("{secret}:{nonce}:{what}")),
    };
    let name = if *hides_user { of(format!("{username}:{realm}")) } else { username.clone() };
    let algorithm = match (hash, is_session) {
        (Hash::Md5, false) => "MD5",
        (Hash::Md5, true) => "MD5-sess",
        (Hash::Sha256, false) => "SHA-256",
        (Hash::Sha256, true) => "SHA-256-sess",
    };
    let mut said = format!(
        "username=\"{}\", realm=\"{}\", uri=\"{target}\", algorithm={algorithm}, nonce=\"{}\", response=\"{response}\"",
        escaped(&name),
        escaped(realm),
        escaped(nonce),
    );
    if *qop {
        said.push_str(&format!(", nc={NONCE_COUNT}, cnonce=\"{cnonce}\", qop=auth"));
    }
    if let Some(opaque) = opaque {
        said.push_str(&format!(", opaque=\"{}\"", escaped(opaque)));
    }
    if *hides_user {
        said.push_str(", userhash=true");
    }
    said
}

fn digest(hash: Hash, text: &str) -> String {
    let bytes = match hash {
        Hash::Md5 => Md5::digest(text.as_bytes()).to_vec(),
        Hash::Sha256 => {
            ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().to_vec()
        }
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

type Parameters = Vec<(String, String)>;

fn parse(parameters: &Parameters) -> Option<Challenge> {
    let find =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, it)| it.clone());
    let algorithm = find("algorithm").unwrap_or_else(|| "MD5".to_owned()).to_ascii_lowercase();
    let (name, is_session) = match algorithm.strip_suffix("-sess") {
        Some(name) => (name, true),
        None => (algorithm.as_str(), false),
    };
    let hash = match name {
        "md5" => Hash::Md5,
        "sha-256" => Hash::Sha256,
        _ => return None,
    };
    let qop = match find("qop") {
        None => false,
        // `auth-int` alone cannot be answered.
        Some(list) => {
            list.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")).then_some(true)?
        }
    };
    let is_true = |text: String| text.eq_ignore_ascii_case("true");
    Some(Challenge {
        realm: find("realm")?,
        nonce: find("nonce")?,
        opaque: find("opaque"),
        hash,
        is_session,
        qop,
        hides_user: find("userhash").is_some_and(is_true),
    })
}

/// The `Digest` challenges of one header, which may hold several schemes.
fn schemes(text: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut left = text;
    // Every round takes at least one character away.
    loop {
        left = left.trim_start_matches([' ', ',', '\t']);
        if left.is_empty() {
            break;
        }
        let end = left.find([' ', '=', ',', '\t']).unwrap_or(left.len());
        if end == 0 {
            // A `=` that belongs to nothing.
            left = &left[1..];
            continue;
        }
        let (word, after) = left.split_at(end);
        let rest = after.trim_start_matches([' ', '\t']);
        left = match rest.strip_prefix('=') {
            Some(value) => {
                let (value, behind) = parameter(value.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_ascii_lowercase(), value));
                }
                behind
            }
            None => {
                found.push((word.to_ascii_lowercase(), Vec::new()));
                rest
            }
        };
    }
    found.retain(|(scheme, _)| scheme == "digest");
    found
}

/// A parameter's value, quoted or not, and what is behind it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, next)| next)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).expect("a value"));
        }
        challenge(&headers)
    }

    const RFC: [&str; 2] = [
        r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
        r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
    ];

    fn response(values: &[&str]) -> String {
        let credentials =
            Credentials { username: "Mufasa".into(), password: "Circle of Life".into() };
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let challenge = of(values).expect("a challenge");
        answer(&challenge, &credentials, "GET", "/dir/index.html", cnonce)
    }

    /// The examples of RFC 7616, section 3.9.1.
    ///
    /// Mutation: leave out `nc`, digest the password alone, or prefer MD5.
    #[test]
    fn the_answers_are_those_of_the_standard() {
        let md5 = response(&RFC[..1]);
        assert!(md5.contains(r#"response="8ca523f5e9506fed4657c9700eebdbec""#), "{md5}");
        let both = response(&RFC);
        assert!(
            both.contains(
                r#"response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1""#
            ),
            "{both}"
        );
        assert!(both.contains("algorithm=SHA-256, ") && both.contains("opaque=\"FQhe/"), "{both}");
    }

    /// Mutation: take another scheme's parameters, or answer what cannot be answered.
    #[test]
    fn a_challenge_is_found_among_others_and_only_if_it_can_be_answered() {
        let found =
            of(&[r#"Basic realm="x", Digest realm="a \"b\"", nonce=abc, Bearer error="y""#]);
        let found = found.expect("a challenge");
        assert_eq!((&*found.realm, &*found.nonce, found.qop), ("a \"b\"", "abc", false));
        for none in [
            "",
            "=",
            ",,=,",
            "Basic realm=x",
            "Digest",
            "Digest realm=\"x",
            r#"Digest realm="x", nonce="y", algorithm=SHA-512-256"#,
            r#"Digest realm="x", nonce="y", qop="auth-int""#,
        ] {
            assert_eq!(of(&[none]), None, "{none}");
        }
        assert!(
            of(&[r#"Digest realm="x", nonce="y", algorithm=MD5-sess, qop=auth"#])
                .expect("one")
                .is_session
        );
    }
}
