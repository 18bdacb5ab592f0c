//! The specification's matrix: which arguments an expression has, and on what it is evaluated, by
//! where it stands. `$secrets` and `$authorization` deviate, and are tested where they are built.

use base::value::to_json_string;

use crate::walk::{Walk, document};
use crate::world::Echo;

/// The rows of the matrix, in its order of columns.
const ARGUMENTS: [&str; 6] = ["context", "input", "output", "task", "workflow", "runtime"];

struct Row {
    position: &'static str,
    /// With `EXPR` for the expression. What it gives becomes the run's output or error.
    body: &'static str,
    /// Given the input `{"raw": {"w": 1}}`.
    evaluated_on: &'static str,
    available: [bool; 6],
}

const YES: bool = true;
const NO: bool = false;

/// `EXPR` stands in an object that is handed through to the end as it is.
const MATRIX: [Row; 7] = [
    Row {
        position: "workflow input.from",
        body: "input: {from: {got: '${ EXPR }'}}\ndo: [{a: {set: '${ .got }'}}]",
        evaluated_on: r#"{"raw":{"w":1}}"#,
        available: [NO, NO, NO, NO, YES, YES],
    },
    Row {
        position: "task if",
        body: "
do:
  - first: {set: {f: 1}, export: {as: {c: 1}}}
  - a: {if: 'EXPR | error', set: {never: 1}}
",
        evaluated_on: "",
        available: [YES, NO, NO, YES, YES, YES],
    },
    Row {
        position: "task input.from",
        body: "
do:
  - first: {set: {f: 1}, export: {as: {c: 1}}}
  - a: {input: {from: {got: '${ EXPR }'}}, set: '${ .got }'}
",
        evaluated_on: r#"{"f":1}"#,
        available: [YES, NO, NO, YES, YES, YES],
    },
    Row {
        position: "task definition",
        body: "
do:
  - first: {set: {f: 1}, export: {as: {c: 1}}}
  - a: {input: {from: '${ {i: .f} }'}, call: 'echo:1.0.0@default', with: {got: '${ EXPR }'}, output: {as: .got}}
",
        evaluated_on: r#"{"i":1}"#,
        available: [YES, YES, NO, YES, YES, YES],
    },
    Row {
        position: "task output.as",
        body: "
do:
  - first: {set: {f: 1}, export: {as: {c: 1}}}
  - a: {input: {from: '${ {i: .f} }'}, set: {o: 1}, output: {as: {got: '${ EXPR }'}}}
output: {as: .got}
",
        evaluated_on: r#"{"o":1}"#,
        available: [YES, YES, NO, YES, YES, YES],
    },
    Row {
        position: "task export.as",
        body: "
do:
  - first: {set: {f: 1}, export: {as: {c: 1}}}
  - a: {input: {from: '${ {i: .f} }'}, set: {o: 1}, output: {as: '${ {t: .o} }'}, export: {as: {got: '${ EXPR }'}}}
output: {as: $context.got}
",
        evaluated_on: r#"{"t":1}"#,
        available: [YES, YES, YES, YES, YES, YES],
    },
    Row {
        position: "workflow output.as",
        body: "
do:
  - first: {set: {f: 1}, export: {as: {c: 1}}}
output: {as: {got: '${ EXPR }'}}
",
        evaluated_on: r#"{"f":1}"#,
        available: [YES, NO, NO, NO, YES, YES],
    },
];

/// The output, without the wrapping that the row's own `output.as` may leave.
fn given(row: &Row, expression: &str) -> String {
    let output = Walk::run(&row.body.replace("EXPR", expression), r#"{"raw":{"w":1}}"#).output();
    match row.position {
        "workflow output.as" => {
            let value = crate::walk::value(&output);
            base::value::get(&value, "got").map(to_json_string).unwrap_or_default()
        }
        _ => output,
    }
}

/// Mutation: give any position an argument too many or too few, or evaluate it on other data.
#[test]
fn every_position_has_the_arguments_that_the_specification_gives_it() {
    for row in &MATRIX {
        for (argument, available) in ARGUMENTS.into_iter().zip(row.available) {
            let text = document(&row.body.replace("EXPR", &format!("${argument}")));
            let read = spec::read(&text, &Echo);
            assert_eq!(read.is_ok(), available, "${argument} in {}", row.position);
            let found = read.err().unwrap_or_default();
            assert!(
                found.iter().all(|found| found.code == spec::Code::VariableNotHere),
                "${argument} in {}: {found:?}",
                row.position
            );
        }
        // `if` gives no data; what it is evaluated on is seen below.
        if row.position != "task if" {
            assert_eq!(given(row, "."), row.evaluated_on, "{}", row.position);
        }
    }
}

/// Mutation: take the raw input for the transformed one or the reverse, the same for outputs, or
/// leave the raw output out of the descriptor.
#[test]
fn what_an_argument_holds_depends_on_the_position() {
    let check = |position: &str, expression: &str, expected: &str| {
        let row = MATRIX.iter().find(|row| row.position == position).expect("a row");
        assert_eq!(given(row, expression), expected, "{expression} in {position}");
    };
    let input = r#"{"raw":{"w":1}}"#;
    check("workflow input.from", "$workflow.input", input);
    check("workflow output.as", "$workflow.input", input);
    check("workflow output.as", "$context", r#"{"c":1}"#);
    check("task input.from", "$context", r#"{"c":1}"#);
    check(
        "task input.from",
        "[$task.name, $task.reference, $task.input]",
        r#"["a","/do/1/a",{"f":1}]"#,
    );
    check("task definition", "[$input, $task.input, $task.output]", r#"[{"i":1},{"f":1},null]"#);
    check("task output.as", "[$input, $task.input, $task.output]", r#"[{"i":1},{"f":1},{"o":1}]"#);
    check(
        "task export.as",
        "[$input, $output, $task.input, $task.output, $context]",
        r#"[{"i":1},{"t":1},{"f":1},{"o":1},{"c":1}]"#,
    );
    check("task definition", "$runtime.name", r#""isonomy""#);
    check("task definition", "$workflow.definition.document.name", r#""case""#);
}

/// Mutation: evaluate a task's `if` after its `input.from`, or its `timeout` before it.
#[test]
fn a_condition_sees_the_raw_input_and_a_timeout_the_transformed_one() {
    let body = "
do:
  - a:
      if: '.raw.w == 1'
      input: {from: .raw}
      timeout: {after: '${ if .w == 1 and $input.w == 1 then \"PT1S\" else \"PT1H\" end }'}
      wait: PT1M
";
    let walk = Walk::run(body, r#"{"raw":{"w":1}}"#);
    assert_eq!(walk.fault().status, 408);
}
