//! Reports of usage as servers write them.

use pricing::{Class, Dialect, Service, Usage, UsageError, read};

fn usage(dialect: Dialect, body: &str) -> Usage {
    read(dialect, body.as_bytes()).expect(body).expect(body)
}

/// Input, cache read, cache writes, audio in, output, reasoning: only those that are not zero.
fn check(dialect: Dialect, body: &str, expected: &[(Class, u64)]) {
    let usage = usage(dialect, body);
    for class in Class::ALL {
        let wanted = expected.iter().find(|(it, _)| *it == class).map_or(0, |(_, count)| *count);
        let wanted = if class == Class::Request { 1 } else { wanted };
        assert_eq!(usage.count(class), wanted, "{class:?} of {body}");
    }
}

/// Mutation: read only one name of a count, or let an unknown field or `null` be an error.
#[test]
fn what_servers_say_in_many_words_is_one_usage() {
    use Class::{AudioIn, AudioOut, CacheRead, Input, Output, Reasoning};
    let open = |body, expected: &[(Class, u64)]| check(Dialect::OpenAi, body, expected);
    // A chat completion with everything.
    open(
        r#"{"id":"x","choices":[{"message":{"content":"\"usage\":{}"}}],"usage":{"prompt_tokens":100,
        "completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":64,"audio_tokens":10},
        "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":5,"rejected_prediction_tokens":0}},
        "service_tier":"default"}"#,
        &[
            (Input, 26),
            (CacheRead, 64),
            (AudioIn, 10),
            (Output, 25),
            (Reasoning, 20),
            (AudioOut, 5),
        ],
    );
    // Ollama, vLLM and llama.cpp: few fields, details null, timings beside them.
    open(
        r#"{"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#,
        &[(Input, 12), (Output, 3)],
    );
    open(
        r#"{"usage":{"prompt_tokens":12,"total_tokens":15,"completion_tokens":3,"prompt_tokens_details":null},
        "timings":{"prompt_n":1},"service_tier":null}"#,
        &[(Input, 12), (Output, 3)],
    );
    // Mistral has an object where one expects seconds; DeepSeek counts hits and misses.
    open(
        r#"{"usage":{"prompt_audio_seconds":{},"prompt_tokens":9,"total_tokens":11,"completion_tokens":2,"num_cached_tokens":4}}"#,
        &[(Input, 5), (CacheRead, 4), (Output, 2)],
    );
    open(
        r#"{"usage":{"prompt_tokens":90,"completion_tokens":2,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":26}}"#,
        &[(Input, 26), (CacheRead, 64), (Output, 2)],
    );
    // Gemini and xAI: what was thought stands in the total alone, or beside the output.
    open(
        r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}}"#,
        &[(Input, 10), (Output, 5), (Reasoning, 25)],
    );
    open(
        r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40,"completion_tokens_details":{"reasoning_tokens":25}}}"#,
        &[(Input, 10), (Output, 5), (Reasoning, 25)],
    );
    // The Responses API, both sets of names at once, numbers that are written as fractions.
    open(
        r#"{"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":10},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":7},"total_tokens":37}}"#,
        &[(Input, 20), (CacheRead, 10), (Reasoning, 7)],
    );
    open(
        r#"{"usage":{"prompt_tokens":30.0,"input_tokens":0,"completion_tokens":1e1}}"#,
        &[(Input, 30), (Output, 10)],
    );
    // A total that is too small is not believed: the parts cost more.
    open(
        r#"{"usage":{"prompt_tokens":30,"completion_tokens":7,"total_tokens":0}}"#,
        &[(Input, 30), (Output, 7)],
    );
    let embeddings = |body| check(Dialect::Embeddings, body, &[(Input, 8)]);
    embeddings(r#"{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}"#);
    embeddings(r#"{"data":[],"usage":{"total_tokens":8}}"#);
}

/// Mutation: take `input_tokens` of the Messages API for all of the input.
#[test]
fn in_the_messages_api_the_cache_is_beside_the_input() {
    use Class::{CacheRead, CacheWrite1h, CacheWrite5m, Input, Output, Search};
    let messages = |body, expected: &[(Class, u64)]| check(Dialect::Messages, body, expected);
    messages(
        r#"{"type":"message","usage":{"input_tokens":4,"cache_creation_input_tokens":30,"cache_read_input_tokens":500,
        "cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":9,
        "server_tool_use":{"web_search_requests":2},"service_tier":"standard"}}"#,
        &[
            (Input, 4),
            (CacheRead, 500),
            (CacheWrite5m, 10),
            (CacheWrite1h, 20),
            (Output, 9),
            (Search, 2),
        ],
    );
    // Without durations it is the short one; Bedrock writes other names, and leaves out what is zero.
    messages(
        r#"{"usage":{"input_tokens":4,"cache_creation_input_tokens":30,"output_tokens":9}}"#,
        &[(Input, 4), (CacheWrite5m, 30), (Output, 9)],
    );
    messages(
        r#"{"usage":{"inputTokens":4,"outputTokens":9,"cacheReadInputTokens":5,"totalTokens":18}}"#,
        &[(Input, 4), (CacheRead, 5), (Output, 9)],
    );
    let batch = r#"{"usage":{"input_tokens":4,"output_tokens":9,"service_tier":"batch"}}"#;
    assert_eq!(usage(Dialect::Messages, batch).service(), Service::Batch);
}

/// Mutation: count a round that is in the other counts again, or leave out what made the conversation shorter.
#[test]
fn what_made_a_conversation_shorter_is_billed_beside_the_rest() {
    use Class::{CacheRead, CacheWrite5m, Input, Output};
    let body = |rounds: &str| {
        format!(
            r#"{{"type":"message","usage":{{"input_tokens":100,"output_tokens":5,"iterations":{rounds}}}}}"#
        )
    };
    let messages =
        |rounds, expected: &[(Class, u64)]| check(Dialect::Messages, &body(rounds), expected);
    let plain: &[(Class, u64)] = &[(Input, 100), (Output, 5)];
    messages("null", plain);
    messages(r#"[{"type":"message","input_tokens":100,"output_tokens":5}]"#, plain);
    messages(
        r#"[{"type":"compaction","input_tokens":1000,"output_tokens":30,"cache_read_input_tokens":7,
            "cache_creation_input_tokens":9},{"type":"message","input_tokens":100,"output_tokens":5}]"#,
        &[(Input, 1_100), (CacheRead, 7), (CacheWrite5m, 9), (Output, 35)],
    );
    let broken = body(r#"[{"type":"compaction","input_tokens":-1}]"#);
    pricing::read(Dialect::Messages, broken.as_bytes()).expect_err("no count");
}

/// Mutation: count pages that were opened, take the items of another list for these, or leave out those of a stream.
#[test]
fn searches_of_the_responses_api_are_counted_in_its_items() {
    let searches = |body: &str| usage(Dialect::OpenAi, body).count(Class::Search);
    let items = r#"[{"type":"web_search_call","id":"w","action":{"type":"search","query":"x"}},
        {"type":"web_search_call","action":{"type":"open_page","url":"https://x"}},
        {"type":"web_search_call","status":"completed"},
        {"type":"message","content":[{"type":"output_text","text":"web_search_call"}]}, 7, "text"]"#;
    let used = r#""usage":{"input_tokens":9,"output_tokens":2}"#;
    assert_eq!(searches(&format!(r#"{{"output":{items},{used}}}"#)), 2);
    let event =
        format!(r#"{{"type":"response.completed","response":{{"output":{items},{used}}}}}"#);
    assert_eq!(searches(&event), 2);
    for other in [r#""text""#, "7", "null", r#"{"type":"web_search_call"}"#, "[[{}]]"] {
        assert_eq!(searches(&format!(r#"{{"output":{other},{used}}}"#)), 0, "{other}");
    }
}

/// Mutation: take a service that is not known for the standard one.
#[test]
fn the_service_is_the_one_that_served() {
    let service = |tier: &str| {
        let body = format!(r#"{{"usage":{{"prompt_tokens":1}},"service_tier":{tier}}}"#);
        usage(Dialect::OpenAi, &body).service()
    };
    assert_eq!(service(r#""priority""#), Service::Priority);
    assert_eq!(service(r#""flex""#), Service::Flex);
    assert_eq!(service(r#""on_demand""#), Service::Standard);
    assert_eq!(service("null"), Service::Standard);
    assert_eq!(service(r#""ultrafast""#), Service::Other);
}

/// Mutation: take a negative, a huge or an inconsistent count for zero, or quote the answer.
#[test]
fn nonsense_is_an_error_that_tells_nothing_of_the_answer() {
    let refused = |dialect, body: &str| read(dialect, body.as_bytes()).expect_err(body);
    let open = |usage: &str| refused(Dialect::OpenAi, &format!(r#"{{"usage":{usage}}}"#));
    let no_count = UsageError::NotACount { field: "prompt_tokens" };
    for wrong in ["-1", "1.5", "1e300", r#""12""#, "[]", "{\"a\":[1]}", "true", "-0.5"] {
        assert_eq!(open(&format!(r#"{{"prompt_tokens":{wrong}}}"#)), no_count, "{wrong}");
    }
    let many = UsageError::TooMany { field: "prompt_tokens" };
    assert_eq!(open(r#"{"prompt_tokens":18446744073709551615}"#), many);
    assert_eq!(open(r#"{"prompt_tokens":1000000001}"#), many);
    let more = |part, whole| UsageError::MoreThan { part, whole };
    let cached = r#"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":6}}"#;
    assert_eq!(open(cached), more("cache_read", "input"));
    let thought = r#"{"prompt_tokens":5,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":2}}"#;
    assert_eq!(open(thought), more("reasoning", "output"));
    assert_eq!(open("{}"), UsageError::Missing { field: "prompt_tokens" });
    assert_eq!(open(r#"{"total_tokens":5}"#), UsageError::Missing { field: "prompt_tokens" });
    let created = r#"{"usage":{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":1,
        "cache_creation":{"ephemeral_5m_input_tokens":2}}}"#;
    let whole = "cache_creation_input_tokens";
    assert_eq!(refused(Dialect::Messages, created), more("cache_creation", whole));
    let told = refused(Dialect::OpenAi, r#"{"id":"my secret","usage":"my secret"}"#).to_string();
    assert!(matches!(told.as_str(), t if t.contains("column") && !t.contains("secret")), "{told}");
    for cut in ["", "{", r#"{"usage":{"prompt_tokens":1}"#, "[1]", "\u{feff}{}"] {
        let error = refused(Dialect::OpenAi, cut);
        assert!(matches!(error, UsageError::Syntax { .. }), "{cut}: {error}");
    }
}

/// Mutation: make a missing report an error.
#[test]
fn an_answer_without_usage_is_no_error() {
    for body in [
        "{}",
        r#"{"usage":null,"choices":[]}"#,
        r#"{"message":"not found"}"#,
        r#"{"message":null}"#,
    ] {
        assert_eq!(read(Dialect::OpenAi, body.as_bytes()), Ok(None), "{body}");
    }
}

proptest::proptest! {
    /// Mutation: index into the text, or unwrap a part of it.
    #[test]
    fn no_bytes_are_a_panic(
        counts in proptest::collection::vec(proptest::prelude::any::<i64>(), 6),
        cut in 0_usize..300,
    ) {
        let body = format!(
            r#"{{"usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"input_tokens":{},
            "cache_read_input_tokens":{},"prompt_tokens_details":{{"audio_tokens":{}}}}}}}"#,
            counts[0], counts[1], counts[2], counts[3], counts[4], counts[5],
        );
        let cut = &body.as_bytes()[..cut.min(body.len())];
        for dialect in [Dialect::OpenAi, Dialect::Embeddings, Dialect::Messages] {
            let _ = read(dialect, body.as_bytes());
            let _ = read(dialect, cut);
        }
    }
}
