//! The five schemes against servers that ask for them.

use base::ErrorType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::effect::Certainty;
use gateway::EgressRule;
use isonomy_worker::Config;
use spec::tree::Scheme;

use crate::server::{Server, dead_port, reply};
use crate::site::Site;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// One server that gives tokens (`token-1`, …, by the number of the request) and serves whoever has one.
async fn place(expires: &'static str) -> Server {
    Server::start(move |request, n| {
        if request.starts_with("POST / ") {
            return reply("200 OK", &[JSON], "{}");
        }
        if request.contains("/.well-known/") {
            let host = request.split("host: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let at = format!("http://{}/realm", host.unwrap_or_default());
            let text = format!(r#"{{"issuer":"{at}","token_endpoint":"{at}/found"}}"#);
            return reply("200 OK", &[JSON], &text);
        }
        let text = format!(
            r#"{{"access_token":"token-{n}","token_type":"bearer","expires_in":{expires},"refresh_token":"fresh-{n}"}}"#
        );
        reply("200 OK", &[JSON], &text)
    })
    .await
}

fn oauth(server: &Server, rest: &str) -> String {
    format!(
        r#"{{"authority":"{}/realm","grant":"client_credentials","client":{{"id":"me","secret":"${{ $secrets.key }}"}}{rest}}}"#,
        server.address()
    )
}

fn form(request: &str) -> &str {
    request.rsplit("\r\n\r\n").next().unwrap_or_default()
}

fn bearer(request: &str) -> &str {
    let rest = request.split("authorization: Bearer ").nth(1).unwrap_or_default();
    rest.split("\r\n").next().unwrap_or_default()
}

/// Mutation: encode without the colon, or send the properties themselves.
#[tokio::test]
async fn basic_and_bearer_are_said_at_once() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let (site, uri) = (Site::new(), server.address());
    for (scheme, properties, expected) in [
        (
            Scheme::Basic,
            r#""${ $secrets.login }""#,
            format!("Basic {}", STANDARD.encode("ada:pass-word&2")),
        ),
        (
            Scheme::Basic,
            r#"{"username":"a","password":"b"}"#,
            format!("Basic {}", STANDARD.encode("a:b")),
        ),
        (Scheme::Bearer, r#"{"token":"token-9"}"#, "Bearer token-9".to_owned()),
        (Scheme::Bearer, r#""${ $secrets.key }""#, "Bearer s3cret key/1".to_owned()),
    ] {
        let performed = site.authenticated(&uri, scheme, properties).await;
        assert!(performed.result.is_ok(), "{performed:?}");
        let seen = server.seen().pop().expect("a request");
        assert!(seen.contains(&format!("authorization: {expected}\r\n")), "{seen}");
        assert!(!format!("{performed:?}").contains(expected.split(' ').nth(1).expect("two")));
    }
}

/// Mutation: answer with the first request, or answer for ever.
#[tokio::test]
async fn digest_answers_the_challenge_once() {
    let challenge =
        ("WWW-Authenticate", r#"Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256"#);
    let server = Server::start(move |request, _| {
        let ok = request.contains("/yes") && request.contains("authorization: Digest ");
        if ok { reply("200 OK", &[], "") } else { reply("401 Unauthorized", &[challenge], "") }
    })
    .await;
    let site = Site::new();
    let ask = async |path: &str| {
        let uri = format!("{}{path}", server.address());
        site.authenticated(&uri, Scheme::Digest, r#""${ $secrets.login }""#).await
    };
    assert!(ask("/yes?a=b").await.result.is_ok());
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert!(!seen[0].contains("authorization:"));
    assert!(seen[1].contains(r#"username="ada", realm="r", uri="/yes?a=b""#), "{}", seen[1]);
    let refused = ask("/no").await;
    let fault = refused.result.expect_err("refused twice");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Authentication, 401));
    assert_eq!((refused.certainty, server.seen().len()), (Certainty::Definite, 4));
}

/// Mutation: ask for a token with every request, keep one for ever, or share it over definitions.
#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    let server = place("\"300\"").await;
    let site = Site::new();
    let ask = async |rest: &str| {
        let performed =
            site.authenticated(&server.address(), Scheme::OAuth2, &oauth(&server, rest)).await;
        assert!(performed.result.is_ok(), "{performed:?}");
        bearer(&server.seen().pop().expect("a request")).to_owned()
    };
    assert_eq!(ask("").await, "token-1");
    site.clock.forward(269);
    assert_eq!(ask("").await, "token-1");
    site.clock.forward(2);
    assert_eq!(ask("").await, "token-4");
    assert_eq!(ask(r#","scopes":["x"]"#).await, "token-6");
    let seen = server.seen();
    let posts = seen.iter().filter(|it| it.starts_with("POST /realm/oauth2/token ")).count();
    assert_eq!((posts, seen.len()), (3, 7));
    assert_eq!(
        form(&seen[0]),
        "grant_type=client_credentials&client_id=me&client_secret=s3cret+key%2F1"
    );
}

/// Mutation: send the secret where the method says something else, or forget a parameter.
#[tokio::test]
async fn every_grant_and_client_says_what_the_standards_say() {
    let server = place("300").await;
    let site = Site::new();
    let key = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new());
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----",
        STANDARD.encode(key.expect("a key").as_ref())
    );
    let authority = format!(r#""authority":"{}/realm""#, server.address());
    let public = r#""client":{"id":"me","authentication":"none"}"#;
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    for (properties, expected) in [
        (
            format!(r#""grant":"password","username":"u","password":"p&w",{public}"#),
            "grant_type=password&username=u&password=p%26w&client_id=me".to_owned(),
        ),
        (
            format!(r#""grant":"refresh_token","subject":{{"token":"old","type":"t"}},{public}"#),
            "grant_type=refresh_token&refresh_token=old&client_id=me".to_owned(),
        ),
        (
            format!(r#""grant":"{exchange}","subject":{{"token":"s","type":"st"}},"actor":{{"token":"a","type":"at"}},{public},"scopes":["x","y"],"audiences":["1","2"]"#),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=s&subject_token_type=st&actor_token=a&actor_token_type=at&scope=x+y&audience=1&audience=2&client_id=me".to_owned(),
        ),
        (
            r#""grant":"client_credentials","client":{"id":"m:e","secret":"a b","authentication":"client_secret_basic"}"#.to_owned(),
            "grant_type=client_credentials".to_owned(),
        ),
        (
            r#""grant":"client_credentials","client":{"id":"me","secret":"a b"},"request":{"encoding":"application/json"}"#.to_owned(),
            r#"{"grant_type":"client_credentials","client_id":"me","client_secret":"a b"}"#.to_owned(),
        ),
        (
            r#""grant":"client_credentials","client":{"id":"me","secret":"a b","authentication":"client_secret_jwt"}"#.to_owned(),
            "grant_type=client_credentials&client_id=me&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJhbGciOiJIUzI1NiI".to_owned(),
        ),
        (
            format!(r#""grant":"client_credentials","client":{{"id":"me","assertion":"{pem}","authentication":"private_key_jwt"}}"#),
            "grant_type=client_credentials&client_id=me&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJhbGciOiJFZERTQSI".to_owned(),
        ),
    ] {
        let before = server.seen().len();
        let properties = format!("{{{authority},{properties}}}");
        let performed = site.authenticated(&server.address(), Scheme::OAuth2, &properties).await;
        assert!(performed.result.is_ok(), "{properties}: {performed:?}");
        let seen = server.seen();
        assert!(form(&seen[before]).starts_with(&expected), "{expected}\n{}", form(&seen[before]));
        assert!(!expected.ends_with('e') || form(&seen[before]) == expected || expected.contains("assertion"));
        let basic = format!("authorization: Basic {}", STANDARD.encode("m%3Ae:a+b"));
        assert_eq!(seen[before].contains(&basic), properties.contains("secret_basic"));
    }
}

/// Mutation: forget the newer token that the server gave.
#[tokio::test]
async fn a_refreshed_token_is_used_for_the_next_refresh() {
    let server = place("60").await;
    let site = Site::new();
    let properties = format!(
        r#"{{"authority":"{}/realm","grant":"refresh_token","subject":{{"token":"first","type":"t"}},"client":{{"authentication":"none"}}}}"#,
        server.address()
    );
    for _ in 0..2 {
        site.authenticated(&server.address(), Scheme::OAuth2, &properties)
            .await
            .result
            .expect("sent");
        site.clock.forward(60);
    }
    let seen = server.seen();
    assert_eq!(form(&seen[0]), "grant_type=refresh_token&refresh_token=first");
    assert_eq!(form(&seen[2]), "grant_type=refresh_token&refresh_token=fresh-1");
}

/// Mutation: trust the document of another issuer, or ask another address than it names.
#[tokio::test]
async fn oidc_finds_its_token_endpoint() {
    let server = place("300").await;
    let site = Site::new();
    let performed = site.authenticated(&server.address(), Scheme::Oidc, &oauth(&server, "")).await;
    assert!(performed.result.is_ok(), "{performed:?}");
    let seen = server.seen();
    assert!(seen[0].starts_with("GET /realm/.well-known/openid-configuration "), "{}", seen[0]);
    assert!(seen[1].starts_with("POST /realm/found "), "{}", seen[1]);
    let other = oauth(&server, "").replace("/realm", "/other");
    let performed = site.authenticated(&server.address(), Scheme::Oidc, &other).await;
    let fault = performed.result.expect_err("another issuer");
    assert_eq!(fault.kind(), ErrorType::Authentication);
    assert!(fault.detail.is_some_and(|it| it.contains("issuers")));
}

/// Mutation: keep a token that the server does not take, or try for ever.
#[tokio::test]
async fn a_kept_token_that_is_refused_is_replaced_once() {
    let server = Server::start(|request, n| {
        if request.starts_with("POST / ") {
            let good =
                request.contains("Bearer token-1") && n < 4 || request.contains("Bearer token-5");
            return if good {
                reply("200 OK", &[], "")
            } else {
                reply("401 Unauthorized", &[], "")
            };
        }
        reply("200 OK", &[JSON], &format!(r#"{{"access_token":"token-{n}","expires_in":300}}"#))
    })
    .await;
    let site = Site::new();
    let ask =
        async || site.authenticated(&server.address(), Scheme::OAuth2, &oauth(&server, "")).await;
    // 1: token, 2 and 3: good; 4: refused, 5: another token, 6: good.
    assert!(ask().await.result.is_ok() && ask().await.result.is_ok() && ask().await.result.is_ok());
    assert_eq!(server.seen().len(), 6);
    let fresh = oauth(&server, r#","scopes":["new"]"#);
    let refused = site.authenticated(&server.address(), Scheme::OAuth2, &fresh).await;
    assert_eq!(refused.result.expect_err("a new token is not asked for again").status, 401);
    assert_eq!(server.seen().len(), 8);
}

/// Mutation: call a refusal by the token endpoint a `communication` error, or repeat what it says.
#[tokio::test]
async fn errors_of_a_token_endpoint_are_told_apart_and_never_repeat_it() {
    let json = &[JSON][..];
    for (status, headers, body, expected) in [
        (
            "401 No",
            json,
            r#"{"error":"invalid_client","error_description":"s3cret key/1"}"#,
            "authentication 401 (invalid_client)",
        ),
        ("400 No", json, r#"{"error":"s3cret key/1"}"#, "authentication 401 answered 400"),
        ("400 No", &[], "s3cret key/1", "authentication 401 answered 400"),
        ("503 Later", &[], "", "communication 503 answered 503"),
        ("200 OK", &[], "s3cret key/1", "authentication 401 not JSON"),
        ("200 OK", json, "{}", "authentication 401 `access_token`"),
        (
            "200 OK",
            json,
            r#"{"access_token":"x","token_type":"mac"}"#,
            "authentication 401 `Bearer`",
        ),
    ] {
        let server = Server::start(move |_, _| reply(status, headers, body)).await;
        let performed =
            Site::new().authenticated(&server.address(), Scheme::OAuth2, &oauth(&server, "")).await;
        // The request itself was not made, so the next attempt carries the same key.
        assert_eq!(performed.certainty, Certainty::Unknown);
        let fault = performed.result.expect_err(expected);
        let said = format!(
            "{} {} {}",
            fault.kind().name(),
            fault.status,
            fault.detail.unwrap_or_default()
        );
        let (kind, part) = expected.split_at(expected.match_indices(' ').nth(1).expect("two").0);
        assert!(said.starts_with(kind) && said.contains(part.trim()), "{expected}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

/// Mutation: send a token request past the gate.
#[tokio::test]
async fn every_token_request_asks_the_gate() {
    let server = place("300").await;
    let dead = format!("127.0.0.1:{}", dead_port().await);
    let rule =
        EgressRule { destination: format!("http://{dead}"), allow: true, ..EgressRule::default() };
    let site = Site::with(vec![rule], Config::default());
    let uri = format!("http://{dead}/");
    let performed = site.authenticated(&uri, Scheme::OAuth2, &oauth(&server, "")).await;
    let fault = performed.result.expect_err("denied");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 403));
    let decision = performed.decision.expect("the gate was asked");
    assert_eq!((decision.allowed, decision.destination), (false, server.address()));
    assert_eq!(server.seen().len(), 0);
}
