//! What the door of models says to clients by itself.

use serde_json::json;

use crate::support::Home;
use crate::support::http::{Door, ask};

/// Mutation: refuse what is below `/v1/messages` in OpenAI's form, or all else in Anthropic's; look at the path before
/// the key.
#[test]
fn each_client_is_refused_in_its_own_form() {
    let home = Home::new();
    let dev = home.dev();
    let made = ["keys", "create", "bot", "--scope", "model", "-n", "sales"];
    let key = home.run(&made).ends_with(0).stdout.trim().to_owned();
    let asked = |key: &str, method: &str, path: &str| {
        let door = Door { url: dev.url.clone(), key: Some(key.to_owned()) };
        ask(&door, method, path, &json!({"model": "m", "messages": []})).expect("an answer")
    };
    for (method, path) in [
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/messages/batches/msgbatch_1/results"),
        ("POST", "/v1/messages/"),
        ("GET", "/v1/messages"),
    ] {
        let reply = asked(&key, method, path);
        let (body, error) = (&reply.body, &reply.body["error"]);
        assert_eq!((reply.status, body["type"].as_str()), (404, Some("error")), "{path}: {body}");
        assert_eq!(error["type"], "not_found_error", "{path}: {body}");
        assert_eq!(error["code"], "unknown_url", "{path}: {body}");
    }
    for path in ["/v1/messagesx", "/v1/message", "/v1/chat/count_tokens"] {
        let reply = asked(&key, "POST", path);
        assert_eq!(reply.status, 404);
        assert_eq!(reply.body["type"], json!(null), "{path}: {}", reply.body);
        assert_eq!(reply.body["error"]["type"], "invalid_request_error", "{path}: {}", reply.body);
    }
    let reply = asked("isonomy-key-of-nobody", "POST", "/v1/messages/count_tokens");
    assert_eq!((reply.status, &reply.body["type"]), (401, &json!("error")), "{}", reply.body);
    assert_eq!(reply.body["error"]["type"], "authentication_error", "{}", reply.body);
}
