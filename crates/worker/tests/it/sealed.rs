//! Secrets reach the other side and nothing that is written down.

use base::ErrorType;
use base::value::{get, object, string, to_json_string};
use engine::effect::{Action, Certainty, Performed};
use engine::sealed::{Sealed, SealedCall};
use spec::tree::Scheme;

use crate::server::{Server, dead_port, reply};
use crate::site::{KEY, PASSWORD, Site, json, late, said, sealed};

/// Everything of an effect's end that is written down, but the content of an answer.
fn recorded(performed: &Performed) -> String {
    let result = match &performed.result {
        Ok(value) => to_json_string(get(value, "request").unwrap_or(&base::Value::Null)),
        Err(fault) => format!("{fault:?}"),
    };
    format!("{result} {:?}", performed.decision)
}

fn assert_hidden(text: &str) {
    for secret in [KEY, PASSWORD, "s3cret%20key", "s3cret+key", "pass-word%26", "cGFzcy13b3Jk"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// Mutation: send the text of an expression, or leave the recorded address as it is.
#[tokio::test]
async fn a_secret_is_sent_and_masked_in_the_recorded_request() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let uri = format!("{}/a", server.address());
    let parts = json(&format!(
        r#"{{"uri":"${{ \"{uri}/\" + $secrets.key }}","headers":{{"x-mine":"${{ $secrets.key }}","x-in":"${{ $input + ($secrets.key | .[:0]) }}"}},"query":{{"q":"${{ $secrets.login.password }}"}},"body":{{"deep":["${{ \"<\\($secrets.key)>\" }}"]}}}}"#
    ));
    let performed = Site::new().start(sealed(late(&parts), None)).await;
    let seen = &server.seen()[0];
    assert!(seen.starts_with("POST /a/s3cret%20key/1?q=pass-word%262 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("x-mine: s3cret key/1\r\n") && seen.contains("x-in: in\r\n"), "{seen}");
    assert!(seen.ends_with(r#"{"deep":["<s3cret key/1>"]}"#), "{seen}");
    let recorded = recorded(&performed);
    assert!(recorded.contains(r#""x-mine":"***""#), "{recorded}");
    assert_hidden(&recorded);
}

/// Mutation: hand every secret out, or take a missing one for `null`.
#[tokio::test]
async fn a_missing_secret_is_caught_before_anything_is_sent() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let parts = |expression: &str| {
        late(&object([("uri", string(&server.address())), ("body", string(expression))]))
    };
    let performed = Site::new().start(sealed(parts("${ $secrets.other }"), None)).await;
    let fault = performed.result.as_ref().expect_err("there is none");
    assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 403));
    // It may be set later, and the next attempt is the same effect.
    assert_eq!(performed.certainty, Certainty::Unknown);
    // Whoever reads them all needs them all.
    let all = Site::new().start(sealed(parts("${ $secrets | keys }"), None)).await;
    assert_eq!(all.result.expect_err("one is missing").status, 403);
    assert_eq!(server.seen().len(), 0);
}

/// Mutation: leave a fault, a decision or a gate's denial as it is.
#[tokio::test]
async fn no_error_shows_a_secret() {
    let site = Site::new();
    let parts = |text: &str| late(&json(text));
    let dead = format!("127.0.0.1:{}", dead_port().await);
    for text in [
        r#"{"uri":"${ $secrets.key }"}"#.to_owned(),
        r#"{"uri":"${ \"https://\" + $secrets.login.password + \".example\" }"}"#.to_owned(),
        r#"{"uri":"${ $secrets.login }"}"#.to_owned(),
        r#"{"uri":"${ $secrets.key + 1 }"}"#.to_owned(),
        r#"{"uri":"${ $secrets.key | error }"}"#.to_owned(),
        r#"{"uri":"${ limit(1; repeat($secrets.key)) }"}"#.to_owned(),
        format!(r#"{{"uri":"http://{dead}","headers":{{"x":"${{ $secrets.key + \"\n\" }}"}}}}"#),
        format!(r#"{{"uri":"http://{dead}","headers":"${{ $secrets.key }}"}}"#),
    ] {
        let performed = site.start(sealed(parts(&text), None)).await;
        let wrong = format!("{:?} {:?}", performed.result, performed.decision);
        assert!(performed.result.is_err(), "{text}");
        assert_hidden(&wrong.replace(&text, ""));
    }
}

/// Mutation: give functions another way to secrets than their arguments.
#[tokio::test]
async fn a_function_is_given_the_secret_that_its_arguments_read() {
    let function = base::FunctionRef::parse("echo:1.0.0@default").expect("a reference");
    let parts = late(&json(r#"{"length":"${ $secrets.key | length }"}"#));
    let call = SealedCall::Function { function };
    let sealed = Sealed { call, parts, authentication: None };
    let performed = Site::new().start(Action::Sealed(Box::new(sealed))).await;
    assert_eq!(said(&performed), r#"{"length":12} (Definite)"#);
}

/// Mutation: put the authorization where the author's own is, or forget `$authorization`.
#[tokio::test]
async fn the_authors_own_header_wins_and_can_read_the_authorization() {
    let server = Server::start(|_, _| reply("200 OK", &[], "")).await;
    let parts = late(&json(&format!(
        r#"{{"uri":"{}","headers":{{"authorization":"${{ \"X-\\($authorization.scheme) \\($authorization.parameter)\" }}"}}}}"#,
        server.address()
    )));
    let properties = late(&json(r#"{"token":"${ $secrets.key }"}"#));
    let performed = Site::new().start(sealed(parts, Some((Scheme::Bearer, properties)))).await;
    assert!(performed.result.is_ok(), "{performed:?}");
    assert!(server.seen()[0].contains("authorization: X-Bearer s3cret key/1\r\n"));
}

/// Mutation: open secrets for a function whose arguments other sites are given.
#[tokio::test]
async fn what_is_for_other_sites_takes_no_secret() {
    let parts =
        late(&json(r#"{"workflow":"w","sites":{"all":true},"input":{"x":"${ $secrets.key }"}}"#));
    let function = base::FunctionRef::parse("dispatch:1.0.0@default").expect("a reference");
    let call = SealedCall::Function { function };
    let sealed = Sealed { call, parts, authentication: None };
    let performed = Site::new().start(Action::Sealed(Box::new(sealed))).await;
    let fault = performed.result.expect_err("it is not opened");
    assert_eq!(fault.kind(), ErrorType::Authorization);
    assert!(fault.to_string().contains("takes no secrets"), "{fault}");
}
