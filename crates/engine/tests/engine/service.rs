//! Functions that are tasks, and operations of OpenAPI documents.

use engine::effect::Action;

use crate::walk::{Walk, check};

/// Mutation: let a function see the caller's variables, give it the caller's input, or share one
/// activation between two calls.
#[test]
fn a_function_is_a_task_of_its_own_at_each_call() {
    let body = "
use:
  functions:
    double: {set: {n: '${ .n * 2 }', at: '${ $task.reference }'}}
    twice: {do: [{one: {call: double, with: {n: '${ .n }'}}}, {two: {call: double, with: {n: '${ .n }'}}}]}
do:
  - each:
      for: {each: x, in: '[1, 2]'}
      do: [{call: {call: twice, with: {n: '${ $x }'}}}]
";
    let walk = Walk::run(body, "{}");
    assert_eq!(walk.output(), r#"{"n":8,"at":"/use/functions/double"}"#);
    let mut begun = walk.begun();
    let all = begun.len();
    begun.sort();
    begun.dedup();
    assert_eq!(begun.len(), all, "{begun:?}");
    assert!(begun.iter().any(|it| it == "/each[1]/call/twice/two/double"), "{begun:?}");
}

/// Mutation: pass the task's input where there is no `with`, or skip the function's schema.
#[test]
fn a_function_gets_what_it_is_given_and_nothing_else() {
    let body = "
use: {functions: {show: {set: {got: '${ . }'}}}}
do: [{call: {call: show}}]
";
    check(body, r#"{"secret":1}"#, r#"{"got":{}}"#);
    let body = "do: [{call: {call: 'http://docs/function.yaml', with: {m: 1}}}]";
    assert_eq!(Walk::run(body, "{}").fault().status, 400);
    let body = "do: [{call: {call: 'http://docs/function.yaml', with: {n: 1}}}]";
    check(body, "{}", r#"{"n":"add"}"#);
}

fn request(body: &str, input: &str) -> String {
    let walk = Walk::start(body, input);
    let Some(perform) = walk.performs.front() else {
        return walk.fault().detail.clone().unwrap_or_default();
    };
    let Action::Http(request) = &*perform.action else { panic!("{perform:?}") };
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    };
    let body = request.body.as_ref().map(base::value::to_json_string).unwrap_or_default();
    let (query, headers) = (pairs(&request.query), pairs(&request.headers));
    format!("{} {} ?{query} [{headers}] {body}", request.method, request.uri)
}

/// Mutation: send a parameter elsewhere, join what is repeated, or drop the content type.
#[test]
fn an_operation_becomes_the_request_that_its_document_describes() {
    let call = |id: &str, parameters: &str| {
        format!(
            "do: [{{a: {{call: openapi, with: {{document: {{endpoint: 'http://docs/openapi.yaml'}}, operationId: {id}, parameters: {parameters}}}}}}}]"
        )
    };
    for (id, parameters, expected) in [
        (
            "order",
            "{item: 'a b', tag: [x, y], ids: [1, 2], x-team: t, session: s, pieces: '${ .n }'}",
            r#"POST http://world/ok/a%20b ?tag=x&tag=y&ids=1,2 [x-team=t&Cookie=session=s&Content-Type=application/json] {"pieces":3}"#,
        ),
        (
            "order",
            "{item: 1, body: 'text'}",
            r#"POST http://world/ok/1 ? [Content-Type=application/json] "\"text\"""#,
        ),
        (
            "order",
            "{item: 1, tag: [], ids: [], body: 'text'}",
            r#"POST http://world/ok/1 ? [Content-Type=application/json] "\"text\"""#,
        ),
        (
            "form",
            "{a: 'x y', b: [1, 2]}",
            r#"POST http://world/ok/form ? [Content-Type=application/x-www-form-urlencoded] "a=x%20y&b=1&b=2""#,
        ),
        (
            "text",
            "{body: hello}",
            r#"POST http://world/ok/text ? [Content-Type=text/plain] "hello""#,
        ),
        ("order", "{item: '${ null }'}", "the parameter `item` is required, and its value is null"),
        ("order", "{item: '${ {} }'}", "the parameter `item` is an object, not a string"),
    ] {
        assert_eq!(request(&call(id, parameters), r#"{"n":3}"#), expected, "{id} {parameters}");
    }
}
