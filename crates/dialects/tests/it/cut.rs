//! Streams that are cut: within a letter, and before their end.

use std::borrow::Cow;

use dialects::Dialect::{Chat, Messages, Responses};
use dialects::Halves;
use serde_json::json;

use crate::speak::Between;

/// Mutation: lose a half, join those of two letters, take an escaped backslash for an escape, or let go of a half letter.
#[test]
fn halves_of_a_letter_are_joined() {
    let check = |events: &[&str], expected: &[&str]| {
        let mut halves = Halves::default();
        let joined: Vec<Vec<u8>> =
            events.iter().map(|it| halves.joined(it.as_bytes()).into_owned()).collect();
        let expected: Vec<&[u8]> = expected.iter().map(|it| it.as_bytes()).collect();
        assert_eq!(joined, expected, "{events:?}");
    };
    check(&[r#""a\ud83d""#, r#""\ude00b""#], &[r#""a""#, r#""\ud83d\ude00b""#]);
    check(&[r#""\uD83D\uDE00""#, r#""\u00e9\n""#], &[r#""\uD83D\uDE00""#, r#""\u00e9\n""#]);
    // Of two choices, one after the other.
    check(
        &[r#""\ud83d""#, r#""\ud83e""#, r#""\ude00""#, r#""\udd16""#],
        &[r#""""#, r#""""#, r#""\ud83d\ude00""#, r#""\ud83e\udd16""#],
    );
    check(&[r#""\\ud83d""#, r#""\ude00""#], &[r#""\\ud83d""#, r#""\ufffd""#]);
    check(&[r#""\ud83d \ud83d\ude00""#, "x\\"], &[r#"" \ud83d\ude00""#, "x\\"]);
    let mut halves = Halves::default();
    assert!(matches!(halves.joined(b"\"\\u00e9\""), Cow::Borrowed(_)));
}

/// Mutation: read an event as it comes.
#[test]
fn a_letter_that_a_server_cuts_comes_whole_in_other_words() {
    let request = |client| match client {
        Responses => json!({"model": "m", "stream": true, "input": "a"}),
        _ => {
            json!({"model": "m", "stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]})
        }
    };
    for (client, model) in [(Messages, Chat), (Responses, Chat), (Chat, Messages)] {
        let mut translation = Between(client, model).begin(&request(client)).expect("a request");
        let mut told = Vec::new();
        for half in ["\\ud83d", "\\ude00"] {
            let event = match model {
                Chat => format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{half}"}}}}]}}"#),
                _ => format!(
                    r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{half}"}}}}"#
                ),
            };
            told.extend(translation.event(event.as_bytes()));
        }
        let told = String::from_utf8(told).expect("text");
        assert!(told.contains('\u{1f600}') && !told.contains("cannot be read"), "{client} {told}");
    }
}

/// Mutation: say nothing once the model has come to its end, or say so of each stream that breaks off behind it.
#[test]
fn what_is_withheld_is_told_behind_the_end_of_the_model() {
    let request = json!({"model": "m", "stream": true, "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]});
    let mut translation = Between(Messages, Chat).begin(&request).expect("a request");
    translation.event(br#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#);
    assert!(!translation.end().is_empty());
    assert_eq!(translation.broken("no"), b"");
    let told = String::from_utf8(translation.withheld("no")).expect("text");
    assert!(told.starts_with("event: error\n") && told.contains("\"message\":\"no\""), "{told}");
}
