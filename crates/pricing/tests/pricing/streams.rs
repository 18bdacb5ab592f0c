//! Usage gathered from the events of a stream.

use pricing::{Class, Dialect, Metered, Stream, UsageError};

fn fed(dialect: Dialect, events: &[&str]) -> Stream {
    let mut stream = Stream::new(dialect);
    events.iter().for_each(|event| stream.feed(event.as_bytes()).expect(event));
    stream
}

/// Input, output and whether the stream said that it ended.
fn check(dialect: Dialect, events: &[&str], expected: Option<(u64, u64, bool)>) {
    let found = match fed(dialect, events).metered().expect("sane") {
        Metered::Nothing => None,
        Metered::SoFar(usage) => Some((usage.input_tokens(), usage.output_tokens(), false)),
        Metered::Whole(usage) => Some((usage.input_tokens(), usage.output_tokens(), true)),
    };
    assert_eq!(found, expected, "{events:?}");
}

const START: &str = r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":1}}}"#;
const TEXT: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"the \"usage\" of message_stop"}}"#;
const DELTA: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

/// Mutation: let a later report of the Messages API replace the first one, add them up, or take the
/// first one for the whole.
#[test]
fn a_stream_of_messages_is_metered_by_what_has_grown() {
    let messages = |events: &[&str], expected| check(Dialect::Messages, events, expected);
    messages(&[START, TEXT, DELTA, STOP], Some((125, 15, true)));
    messages(&[START, TEXT], Some((125, 1, false)));
    messages(&[START, TEXT, STOP], Some((125, 1, false)));
    messages(&[START, TEXT, DELTA], Some((125, 15, false)));
    messages(&[TEXT, STOP], None);
    // Some servers know the input only at the end, some say zero there.
    let late = r#"{"type":"message_delta","usage":{"input_tokens":40,"output_tokens":15}}"#;
    let none =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":0}}}"#;
    messages(&[none, late, STOP], Some((40, 15, true)));
    let zero = r#"{"type":"message_delta","usage":{"input_tokens":0,"output_tokens":15}}"#;
    messages(&[START, zero, STOP], Some((125, 15, true)));
}

/// Mutation: take what was said last for the whole, or go by an earlier report where one could not be read.
#[test]
fn a_last_word_that_says_less_takes_nothing_back() {
    let open = |events: &[&str], expected| check(Dialect::OpenAi, events, expected);
    let counted = r#"{"usage":{"prompt_tokens":20,"completion_tokens":7}}"#;
    for last in [
        r#"{"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
        r#"{"usage":{}}"#,
        r#"{"usage":null}"#,
    ] {
        open(&[counted, last, "[DONE]"], Some((20, 7, true)));
        open(&[last, counted, "[DONE]"], Some((20, 7, true)));
    }
    let more = r#"{"usage":{"prompt_tokens":20,"completion_tokens":9}}"#;
    open(&[counted, more, "[DONE]"], Some((20, 9, true)));
    let mut stream = fed(Dialect::OpenAi, &[counted]);
    stream.feed(br#"{"usage":"n/a"}"#).expect_err("no report");
    stream.metered().expect_err("nobody knows");
}

/// Mutation: want a last word of a stream whose connection has ended well, or take the report of a piece for
/// the last one.
#[test]
fn a_stream_may_end_with_its_connection() {
    let ended = |events: &[&str]| {
        let mut stream = fed(Dialect::OpenAi, events);
        stream.end();
        matches!(stream.metered(), Ok(Metered::Whole(_)))
    };
    let usage = r#""usage":{"prompt_tokens":9,"completion_tokens":4}"#;
    let chunk = |choices: &str| format!("{{\"choices\":[{choices}],{usage}}}");
    let (going, over) = (r#"{"finish_reason":null}"#, r#"{"finish_reason":"stop"}"#);
    assert!(ended(&[&chunk(going), &chunk("")]));
    assert!(ended(&[&chunk(going), &chunk(over)]));
    assert!(!ended(&[&chunk(over), &chunk(going)]));
    assert!(!ended(&[&chunk(&format!("{over},{going}"))]));
    assert!(!ended(&[r#"{"choices":[]}"#]));
}

/// Mutation: add up reports that each are of the whole call, or believe a stream that broke off.
#[test]
fn a_stream_of_chunks_is_metered_by_its_last_report() {
    let open = |events: &[&str], expected| check(Dialect::OpenAi, events, expected);
    let chunk =
        r#"{"object":"chat.completion.chunk","choices":[{"delta":{"content":"a"}}],"usage":null}"#;
    let last = r#"{"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#;
    open(&[chunk, chunk, last, "[DONE]"], Some((9, 4, true)));
    open(&[chunk, chunk, "[DONE]"], None);
    open(&[chunk, last], Some((9, 4, false)));
    let so_far = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
    open(&[so_far, so_far, last, "[DONE]"], Some((9, 4, true)));
    let groq =
        r#"{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":9,"completion_tokens":4}}}"#;
    open(&[chunk, groq, "[DONE]"], Some((9, 4, true)));
    let created = r#"{"type":"response.created","response":{"id":"r","usage":null}}"#;
    let ended = r#"{"type":"response.completed","response":{"usage":{"input_tokens":9,"output_tokens":4},"service_tier":"flex"}}"#;
    open(&[created, ended], Some((9, 4, true)));
    let Ok(Metered::Whole(usage)) = fed(Dialect::OpenAi, &[created, ended]).metered() else {
        panic!("it has ended");
    };
    assert_eq!((usage.service(), usage.count(Class::Request)), (pricing::Service::Flex, 1));
}

/// Mutation: swallow the error of an event, or of the counts.
#[test]
fn a_stream_with_nonsense_is_an_error() {
    let mut stream = Stream::new(Dialect::OpenAi);
    let cut = stream.feed(br#"{"usage":{"prompt_tokens":"#);
    assert!(matches!(cut, Err(UsageError::Syntax { .. })), "{cut:?}");
    let negative = fed(
        Dialect::Messages,
        &[START, r#"{"type":"message_delta","usage":{"output_tokens":-1}}"#],
    );
    assert_eq!(negative.metered(), Err(UsageError::NotACount { field: "output_tokens" }));
}
