//! Errors of models, in the words of clients.

use dialects::Dialect::{Chat, Messages};
use dialects::{Dialect, broken};
use serde_json::{Value, json};

use crate::speak::Between;

fn told(between: &Between, status: u16, body: &str) -> Value {
    let request =
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]});
    let translation = between.begin(&request).expect("a request");
    serde_json::from_slice(&translation.error(status, body.as_bytes())).expect("JSON")
}

/// Mutation: pass an error on as it came, or a page of HTML as its message.
#[test]
fn an_error_has_the_form_that_the_client_reads() {
    let theirs =
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"too long"}}"#;
    assert_eq!(
        told(&Between(Chat, Messages), 400, theirs),
        json!({"error": {"message": "too long", "type": "invalid_request_error", "param": null,
            "code": null}})
    );
    let anthropic = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let there = Between(Messages, Chat);
    for body in [
        r#"{"error":{"message":"too long","type":"x","param":null}}"#,
        r#"{"error":"too long"}"#,
        r#"{"object":"error","message":"too long"}"#,
        r#"{"detail":"too long"}"#,
    ] {
        assert_eq!(told(&there, 413, body), anthropic("request_too_large", "too long"), "{body}");
    }
    assert_eq!(
        told(&there, 404, "<html>no</html>"),
        anthropic("not_found_error", "the model does not take this request")
    );
}

/// Mutation: break off in another dialect's words.
#[test]
fn a_stream_breaks_off_in_the_clients_words() {
    let said = |dialect| String::from_utf8(broken(dialect, "gone")).expect("text");
    assert!(said(Dialect::Chat).starts_with("data: {\"error\":{\"message\":\"gone\""));
    assert!(said(Dialect::Messages).starts_with("event: error\ndata: {\"type\":\"error\""));
}
