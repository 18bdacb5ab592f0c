//! `evaluate.mode: loose`, and where the flow goes from a handler.

use crate::walk::{Walk, check};

/// Mutation: evaluate no text, fail where its evaluation fails, or let a marked expression that fails
/// stand for itself.
#[test]
fn in_loose_mode_text_that_can_be_an_expression_is_one() {
    let body = "
evaluate: {mode: loose}
do:
  - one:
      set:
        path: .n
        sum: '.n + 1'
        word: red
        words: hello world
        fails: '.n + \"x\"'
        outside: 'limit(1; repeat(12))'
        several: '.n, .n'
        unknown: '$nope + 1'
        list: ['.n', 'true']
        marked: '${ .n }'
";
    let output = r#"{"path":3,"sum":4,"word":"red","words":"hello world","fails":".n + \"x\"","outside":12,
        "several":".n, .n","unknown":"$nope + 1","list":[3,true],"marked":3}"#;
    check(body, r#"{"n":3}"#, output);
    let strict = body.replace("loose", "strict").replace("'.n', 'true'", "'.n'");
    assert!(Walk::run(&strict, r#"{"n":3}"#).output().contains(r#""sum":".n + 1""#));
    let marked = body.replace("${ .n }", "${ .n | keys }");
    assert_eq!(Walk::run(&marked, r#"{"n":3}"#).fault().status, 400);
}

/// Mutation: ask for a string where the text itself is one.
#[test]
fn in_loose_mode_an_errors_text_may_be_computed_or_not() {
    let body = "
evaluate: {mode: loose}
do:
  - one: {raise: {error: {type: 'https://example.com/e', status: 400, title: '.title', detail: '.number'}}}
";
    let walk = Walk::run(body, r#"{"title":"computed","number":1}"#);
    assert_eq!(walk.fault().title.as_deref(), Some("computed"));
    assert_eq!(walk.fault().detail.as_deref(), Some(".number"));
    let strict = body.replace("loose", "strict").replace("'.number'", "'${ .number }'");
    let walk = Walk::run(&strict, r#"{"title":"computed","number":1}"#);
    assert_eq!(walk.fault().kind(), base::ErrorType::Expression);
    let detail = walk.fault().detail.as_deref().expect("a detail");
    assert!(detail.contains("gives a number, not a string"), "{detail}");
}

fn caught(then: &str, handler: &str, raise: &str) -> String {
    format!(
        "
do:
  - guard:
      try: [{{work: {raise}}}]
      catch: {{{handler}then: {then}}}
      then: fine
  - next: {{set: {{at: next}}, then: end}}
  - fine: {{set: {{at: fine}}, then: end}}
  - mended: {{set: {{at: mended, got: '${{ . }}'}}, then: end}}
"
    )
}

/// Mutation: follow the try task's own `then` after an error, or the handler's without one; let a
/// retry that is used up rise although `then` handles it.
#[test]
fn the_flow_goes_from_a_handler_where_the_handler_says() {
    let bad = "{raise: {error: {type: 'https://example.com/e', status: 400}}}";
    let good = "{set: {n: 1}}";
    let handler = "do: [{note: {set: {noted: '${ $error.status }'}}}], ";
    check(&caught("mended", "", bad), "{}", r#"{"at":"mended","got":{}}"#);
    check(&caught("mended", handler, bad), "{}", r#"{"at":"mended","got":{"noted":400}}"#);
    check(&caught("mended", handler, good), "{}", r#"{"at":"fine"}"#);
    check(&caught("end", handler, bad), "{}", r#"{"noted":400}"#);
    check(&caught("continue", handler, bad), "{}", r#"{"at":"next"}"#);
    let retry = "retry: {delay: PT1S, limit: {attempt: {count: 1}}}, ";
    check(&caught("mended", retry, bad), "{}", r#"{"at":"mended","got":{}}"#);
}
