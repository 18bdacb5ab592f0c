//! Layouts before and after, and layouts that must stay.

use super::format;

fn check(before: &str, after: &str) {
    match format(before) {
        Ok(written) => assert_eq!(written, after, "from:\n{before}"),
        Err(wrong) => panic!(
            "refused: {:?}\n{before}\n{:?}",
            wrong,
            super::once(before).map(|written| written.text)
        ),
    }
}

/// Mutation: indent by another number, keep quotes, leave tasks in one line.
#[test]
fn the_layout_is_canonical() {
    check(
        "a:   1\nb:\n    c: 2\n    d:\n    - 1\n    -   2\n",
        "a: 1\nb:\n  c: 2\n  d:\n    - 1\n    - 2\n",
    );
    check("a: {b: 1,c: [1,2]}\n", "a: { b: 1, c: [1, 2] }\n");
    check("a: {b: 1,\n  c: [1,2]}\n", "a:\n  b: 1\n  c: [1, 2]\n");
    check(
        "do:\n- a: {set: {x: 1}}\n- b: { wait: PT1S }\n",
        "do:\n  - a:\n      set: { x: 1 }\n  - b:\n      wait: PT1S\n",
    );
    check("{do: [{a: {set: {x: 1}}}]}\n", "do:\n  - a:\n      set: { x: 1 }\n");
    check(
        "a: \"plain text\"\nb: 'yes'\nc: '1.0'\n\"d\": 'a: b'\n",
        "a: plain text\nb: 'yes'\nc: '1.0'\nd: 'a: b'\n",
    );
    check("\n\na: 1\n\n\n\nb: 2\n\n", "a: 1\n\nb: 2\n");
    check("a:\r\n    b: 1\r\n", "a:\n  b: 1\n");
    check(
        "a:\n-  -   1\n   - 2\n-\n    x: 1\n    y: 2\n",
        "a:\n  - - 1\n    - 2\n  - x: 1\n    y: 2\n",
    );
    check("---\na: 1\n...\n", "a: 1\n");
    check("a:\nb: ~\nc: []\nd: {}\ne: ''\n", "a:\nb: ~\nc: []\nd: {}\ne: ''\n");
    check("{a: , b}\n", "a:\nb:\n");
    check("x: {a: , b}\n", "x: { a:, b: }\n");
}

/// Mutation: drop a comment, or move one to another value.
#[test]
fn comments_stay_with_what_they_are_about() {
    check(
        "# top\n\n# about a\na: 1   # behind a\n# about b\nb:  # behind b\n      # about c\n      c: 1\n      # last in b\n# end\n",
        "# top\n\n# about a\na: 1 # behind a\n# about b\nb: # behind b\n  # about c\n  c: 1\n  # last in b\n# end\n",
    );
    check(
        "do:\n# one\n- a: # name\n    # kind\n    set: {x: 1} # set\n\n# two\n- b: {wait: PT1S} # wait\n#end\n",
        "do:\n  # one\n  - a: # name\n      # kind\n      set: { x: 1 } # set\n\n  # two\n  - b: # wait\n      wait: PT1S\n#end\n",
    );
    check(
        "a: [ # first\n  1, # one\n  2 # two\n  # last\n]\n",
        "a: # first\n  - 1 # one\n  - 2 # two\n  # last\n",
    );
    check("a:\n  # why\n  1\n", "# why\na: 1\n");
}

/// Mutation: indent blocks by what they had, fold their lines, or drop their blank lines.
#[test]
fn blocks_of_text_are_kept_line_by_line() {
    check("a: |\n      x\n        y\n\n      z\nb: 1\n", "a: |\n  x\n    y\n\n  z\nb: 1\n");
    check(
        "a: >- # why\n    x\n    y\n\n\nb: |+\n  x\n\n\nc: 1\n",
        "a: >- # why\n  x\n  y\n\nb: |+\n  x\n\n\nc: 1\n",
    );
    check("a:\n- |4\n      x\n     y\n", "a:\n  - |2\n      x\n     y\n");
    check(
        "a: plain\n      text\n\n      more\nb: \"x\n   y\"\n",
        "a: plain\n  text\n\n  more\nb: \"x\n  y\"\n",
    );
}

/// Mutation: write the value of an alias, or lose a tag.
#[test]
fn anchors_aliases_and_tags_stay() {
    check(
        "a:   &x\n    b: 1\nc: *x\nd: &y [1,  2]\ne:\n- &z 1\n- *z\n- &w\n  q: 1\n",
        "a: &x\n  b: 1\nc: *x\nd: &y [1, 2]\ne:\n  - &z 1\n  - *z\n  - &w\n    q: 1\n",
    );
    check("a: !!str  5\nb: &n !!int 5\n", "a: !!str 5\nb: &n !!int 5\n");
}

/// Mutation: write JSON as YAML, or touch its numbers.
#[test]
fn json_stays_json() {
    check(
        "{\"a\":[1,2.50,{\"b\":\"x\\\"}y\"}],\"c\":{},\"d\":[ ]}",
        "{\n  \"a\": [\n    1,\n    2.50,\n    {\n      \"b\": \"x\\\"}y\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}\n",
    );
}

/// Mutation: guess.
#[test]
fn what_is_not_sure_is_refused_with_its_place() {
    for (text, code) in [
        ("%YAML 1.2\n---\na: 1\n", "WF-072 2:1"),
        ("a: [\n", "WF-002 1:4"),
        ("? \"a\n  b\"\n: 1\n", "WF-072 1:3"),
        ("just text\n", "WF-072 1:1"),
        ("a: 1\na: 2\n", "WF-004 2:1"),
    ] {
        let wrong = format(text).expect_err(text);
        let found = &wrong[0];
        let said = format!("{} {}:{}", found.code, found.location.line, found.location.column);
        assert_eq!(said, code, "{text}");
    }
}
