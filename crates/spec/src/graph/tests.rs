//! Pictures, compared whole.

use super::{States, mermaid, read, svg, text};

const DOCUMENT: &str = r#"
document: { dsl: 1.0.3, namespace: n, name: 'or"der', version: 0.1.0 }
do:
  - look:
      switch:
        - none: { when: '${ .n == 0 }', then: refuse }
        - many: { when: .n > 9 }
      then: end
  - fan:
      fork:
        branches:
          - a: { set: { x: 1 } }
          - b: { wait: PT1S, metadata: { after: [a] } }
  - again:
      if: .more
      try:
        - ask: { call: http, with: { method: get, endpoint: 'https://a.example/<b>' } }
      catch:
        retry: {}
        do:
          - each: { for: { in: .list }, do: [{ beep: { call: mcp, with: {} } }] }
      then: look
  - refuse: { raise: { error: { type: https://a.example/e, status: 400 } } }
"#;

fn states() -> States {
    States::from([("/do/1/fan".to_owned(), "faulted".to_owned())])
}

/// Mutation: leave out a case, a branch, what a branch waits for, or a flow back.
#[test]
fn the_text_shows_tasks_and_where_the_flow_leaves_their_order() {
    let graph = read(DOCUMENT).expect("a document");
    let expected = r#"or"der 0.1.0
├─ look  switch
│    none: .n == 0 → refuse
│    many: .n > 9 → fan
│    else → end
├─ fan  fork, faulted
│  at once:
│    ├─ ∥ a  set x
│    └─ ∥ b  wait PT1S  ← a
├─ again  try, if
│    then → look
│    skipped → refuse
│  try:
│    └─ ask  call http GET https://a.example/<b>
│  catch, after retries:
│    └─ each  for
│       each item in .list:
│         └─ beep  call mcp
└─ refuse  raise https://a.example/e
"#;
    assert_eq!(text(&graph, &states()), expected);
}

/// Mutation: write a label without its quotes, or a sign that ends them.
#[test]
fn mermaid_labels_cannot_become_syntax() {
    let graph = read(DOCUMENT).expect("a document");
    let drawn = mermaid(&graph, &states());
    assert!(drawn.starts_with("flowchart TD\n  start((\"or#34;der 0.1.0\"))\n"), "{drawn}");
    for line in [
        "  n1{\"look<br/>switch\"}",
        "  subgraph n2 [\"fan<br/>fork, faulted\"]",
        "      n6 --> n7",
        "  n1 -->|\"none: .n == 0\"| n4",
        "  n3 -->|\"skipped\"| n4",
        "  n3 --> n1",
        "  class n2 faulted",
        "      n9[\"ask<br/>call http GET https://a.example/#60;b#62;\"]",
    ] {
        assert!(drawn.lines().any(|found| found == line), "{line}\n{drawn}");
    }
    for line in drawn.lines().filter(|line| !line.trim_start().starts_with("classDef")) {
        let outside: String = line.split('"').step_by(2).collect();
        let is_syntax = |c: char| c.is_ascii_alphanumeric() || " _-->|[](){}".contains(c);
        assert!(outside.chars().all(is_syntax) && line.matches('"').count() % 2 == 0, "{line}");
    }
}

/// Mutation: write `<` of a document as it is, or forget to close an element.
#[test]
fn svg_is_well_formed_and_holds_no_markup_of_the_document() {
    let graph = read(DOCUMENT).expect("a document");
    let drawn = svg(&graph, &states());
    assert!(drawn.contains("<text") && drawn.contains("https://a.example/&lt;b&gt;"), "{drawn}");
    let mut open = Vec::new();
    for tag in drawn.split('<').skip(1) {
        let tag = tag.split('>').next().expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().expect("a name"));
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for active in ["<script", "<style", "href", "onload", "http://a", "<image"] {
        assert!(!drawn.contains(active), "{active}");
    }
}

/// Mutation: draw every branch of a wide fork, or every task of a long list.
#[test]
fn many_branches_and_long_lists_are_drawn_in_short() {
    let branches: String =
        (0..128).map(|n| format!("          - b{n}: {{ set: {{ x: 1 }} }}\n")).collect();
    let steps: String = (0..10_000).map(|n| format!("  - s{n}: {{ set: {{ x: 1 }} }}\n")).collect();
    let document = format!("do:\n  - fan:\n      fork:\n        branches:\n{branches}{steps}");
    let graph = read(&document).expect("a document");
    let drawn = text(&graph, &States::new());
    assert!(drawn.contains("└─ … and 120 more branches (× 128)"), "{drawn}");
    assert!(drawn.contains("└─ … and 9941 more tasks (× 10001)"), "{drawn}");
    assert!(mermaid(&graph, &States::new()).len() < 20_000);
    assert!(svg(&graph, &States::new()).len() < 60_000);
}

/// Mutation: follow `after` round and round.
#[test]
fn a_cycle_of_branches_has_a_picture() {
    let document = "do:\n  - f:\n      fork:\n        branches:\n          - a: { set: {x: 1}, metadata: { after: [b] } }\n          - b: { set: {x: 1}, metadata: { after: [a] } }\n";
    let graph = read(document).expect("a document");
    assert!(svg(&graph, &States::new()).contains("</svg>"));
}

/// Mutation: show retries only where a catch has tasks, or say them twice.
#[test]
fn a_catch_that_only_retries_is_shown() {
    let drawn = |catch: &str| {
        let task = "{ try: [ { a: { wait: PT1S } } ], catch: CATCH }".replace("CATCH", catch);
        let graph = read(&format!("do:\n  - t: {task}\n")).expect("a document");
        let states = States::new();
        let all = [text(&graph, &states), mermaid(&graph, &states), svg(&graph, &states)];
        let line = all[0].lines().nth(1).unwrap_or_default().to_owned();
        (line, all.map(|drawn| drawn.matches("retries").count()))
    };
    assert_eq!(drawn("{ retry: {} }"), ("└─ t  try with retries".to_owned(), [1, 1, 1]));
    assert_eq!(drawn("{ retry: often }").1, [1, 1, 1]);
    assert_eq!(drawn("{ as: e }"), ("└─ t  try".to_owned(), [0, 0, 0]));
    let handled = drawn("{ retry: {}, do: [ { b: { wait: PT1S } } ] }");
    assert_eq!(handled, ("└─ t  try".to_owned(), [1, 1, 1]));
}

/// Mutation: call a process by whatever stands first below `run`.
#[test]
fn a_process_is_called_by_its_program() {
    let document = "do:\n  - a: { run: { await: false, return: all, shell: { command: ls } } }\n";
    let drawn = text(&read(document).expect("a document"), &States::new());
    assert!(drawn.contains("a  run shell"), "{drawn}");
}
