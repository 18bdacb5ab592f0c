//! Integers longer than 64 bits, which tools count by.

use dialects::Dialect::{Chat, Messages, Responses};
use dialects::{Terms, Translation};

use crate::speak::NOW;

const LONG: &str = "123456789012345678901234567890";

/// Arguments with one, with a shorter one, and with texts that look like one.
fn arguments() -> String {
    format!(
        r#"{{"id":{LONG},"low":-{LONG},"all":[{LONG},18446744073709551615],"text":"{LONG}","quoted":"\"{LONG}\"","x":"\\"}}"#
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Mutation: read a long integer as a float, write it as a text, or lose one within a text of JSON.
#[test]
fn long_integers_are_the_same_in_other_words() {
    let arguments = arguments();
    let terms = Terms { output_name: "max_tokens", now: NOW };
    let plain =
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}],"input":"a"}"#;
    let plain_of = |client| match client {
        Responses => {
            plain.replace(r#","max_tokens":9,"messages":[{"role":"user","content":"a"}]"#, "")
        }
        _ => plain.replace(r#","input":"a""#, ""),
    };
    let block = format!(r#"{{"type":"tool_use","id":"t","name":"f","input":{arguments}}}"#);
    let call = format!(
        r#"{{"id":"t","type":"function","function":{{"name":"f","arguments":{}}}}}"#,
        quoted(&arguments)
    );
    let messages_answer = format!(
        r#"{{"id":"m","type":"message","role":"assistant","model":"m","content":[{block}],"stop_reason":"tool_use","usage":{{"input_tokens":1,"output_tokens":1}}}}"#
    );
    let chat_answer = format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":0,"finish_reason":"tool_calls","message":{{"role":"assistant","content":null,"tool_calls":[{call}]}}}}]}}"#
    );
    for (client, model, answer, expected) in [
        (Chat, Messages, &messages_answer, quoted(&arguments)),
        (Responses, Messages, &messages_answer, quoted(&arguments)),
        (Messages, Chat, &chat_answer, format!("\"input\":{arguments}")),
    ] {
        let translation = Translation::of(client, model, plain_of(client).as_bytes(), terms);
        let translation = translation.expect("known").expect("a request");
        let told = String::from_utf8(translation.whole(answer.as_bytes()).expect("an answer"));
        let told = told.expect("text");
        assert!(told.contains(&expected), "{client} {told}");
    }
    let turns = |turn: String| {
        format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"a"}},{turn}]}}"#
        )
    };
    let of_chat = turns(format!(r#"{{"role":"assistant","tool_calls":[{call}]}}"#));
    let of_messages = turns(format!(r#"{{"role":"assistant","content":[{block}]}}"#));
    for (client, model, request, expected) in [
        (Chat, Messages, of_chat, format!("\"input\":{arguments}")),
        (Messages, Chat, of_messages, quoted(&arguments)),
    ] {
        let translation = Translation::of(client, model, request.as_bytes(), terms);
        let mut translation = translation.expect("known").expect("a request");
        let asked = String::from_utf8(translation.take_request()).expect("text");
        assert!(asked.contains(&expected), "{client} {asked}");
    }
}
