//! Expressions and texts that are out to exhaust something, in this process and on a small stack.

use std::sync::Arc;

use base::Value;
use base::value::{array, int, object, string};
use isonomy_expr::whole::Program;
use isonomy_expr::{Expr, Scope, Stop, unwrap_marker};
use proptest::prelude::*;

/// Half of what a worker thread of the runtime has.
const STACK_BYTES: usize = 1024 * 1024;

struct Nothing;

impl Scope for Nothing {
    fn get(&self, _: &str) -> Option<Value> {
        None
    }
}

fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    thread.expect("a thread").join().expect("no overflow");
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(int(1), |inner, place| {
        if place % 2 == 0 { array(vec![inner]) } else { object([("a", inner)]) }
    })
}

/// Ways to write an expression of any size.
const GROWING: &[fn(usize) -> String] = &[
    |n| vec!["."; n].join("|"),
    |n| vec![".[]?"; n].join("|"),
    |n| vec!["(.,.)"; n].join("|first|"),
    |n| vec!["first(.,1)"; n].join("|"),
    |n| vec!["1"; n].join("+"),
    |n| vec!["1"; n].join(","),
    |n| vec!["(1,2)"; n].join("+"),
    |n| vec!["empty"; n].join("//"),
    |n| format!("[{}]", vec!["true"; n].join(" and ")),
    |n| format!("{}1", "- ".repeat(n)),
    |n| format!("{}.", "try ".repeat(n)),
    |n| format!("{}1{}", "(".repeat(n), ")".repeat(n)),
    |n| format!("{}1{}", "[".repeat(n), "]".repeat(n)),
    |n| format!("{}1{}", "{a:".repeat(n), "}".repeat(n)),
    |n| format!("{}1{}", "\"\\(".repeat(n), ")\"".repeat(n)),
    |n| format!("{}1{}", "[.[]?|".repeat(n), "]".repeat(n)),
    |n| format!("{}1{}", "map(".repeat(n), ")".repeat(n)),
    |n| format!("{}1{}", "first(".repeat(n), ",2)".repeat(n)),
    |n| format!(".{}", ".a?".repeat(n)),
    |n| format!(".{}", "[0]?".repeat(n)),
    |n| format!(".{}", "[]?".repeat(n)),
    |n| format!("{}1{}", ".[".repeat(n), "]?".repeat(n)),
    |n| format!("{}.", "1 as $x | ".repeat(n)),
    |n| format!("{}.", "(1,2) as [$x] | ".repeat(n)),
    |n| format!(". as {}$x{} | $x", "[".repeat(n), "]".repeat(n)),
    |n| format!("{}1{}", "if . then ".repeat(n), " end".repeat(n)),
    |n| format!("if . then 1 {} end", "elif . then 1 ".repeat(n)),
    |n| format!("{}.{}", "reduce 1 as $x (".repeat(n), "; .)".repeat(n)),
    |n| format!("{}1{}", "reduce ".repeat(n), " as $x (.; .)".repeat(n)),
    |n| format!("{}1", "def f: 1; ".repeat(n)),
    |n| format!("{}1", "label $x | ".repeat(n)),
    |n| format!("{{{}}}", vec!["a:1"; n].join(",")),
    |n| format!("{{{}}}", vec!["a:(1,2)"; n].join(",")),
    |n| format!("\"{}\"", "\\(1)".repeat(n)),
    |n| format!("{}.a = 1", ".a |= (".repeat(n)) + &")".repeat(n),
    |n| format!(".{} |= 1", ".a?".repeat(n)),
    |n| vec!["[.]"; n].join("|"),
    |n| vec!["[.,.]"; n].join("|"),
    |n| vec!["[..]"; n].join("|"),
    |n| format!("{} == {0}", vec!["[.,.]"; n].join("|")),
];

/// Mutation: raise the limit of depth to 1,000, or that of tokens on the caller's stack.
#[test]
fn no_text_and_no_value_overflows_a_small_stack() {
    on_a_small_stack(|| {
        let input = nested(100);
        for grow in GROWING {
            for size in [1, 5, 20, 38, 45, 70, 100, 140, 200, 330, 480, 900, 2_000, 20_000] {
                let text = grow(size);
                if let Ok(expression) = Expr::parse(&text) {
                    for input in [&Value::Null, &input] {
                        let _ = expression.evaluate(input, &Nothing);
                    }
                }
            }
        }
    });
}

fn outside(text: &str) {
    let input = object([("s", string(&"x".repeat(100))), ("l", array(vec![int(1); 1000]))]);
    let expression = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(expression.evaluate(&input, &Nothing), Err(Stop::Outside), "{text}");
}

/// Mutation: compare, print, sort or return a value without weighing it; or let a loop nest its
/// state without measuring it.
#[test]
fn what_would_take_too_much_is_left_to_a_process_that_may_die() {
    on_a_small_stack(|| {
        for text in [
            r#""x" * 9223372036854775807"#,
            "[range(2e8)]",
            "[range(1e12)] | length",
            "[range(0; 1; 0)]",
            "def f: 1+f; f",
            "last(repeat(1))",
            "[limit(1e9; repeat(1))]",
            "reduce range(1e9) as $i (0; .)",
            "reduce range(100) as $i (.s; . + .)",
            "reduce range(100) as $i (.l; . + .)",
            "reduce range(100) as $i (3; . * .)",
            "reduce range(1000) as $i (0; [.])",
            "reduce range(1000) as $i (0; {a: .})",
            "reduce range(1000) as $i (0; reduce range(100) as $j (.; [.]))",
            "reduce range(1000) as $i (0; last(foreach range(150) as $j (.; [.])))",
            "reduce range(1000) as $i ({}; .a = .)",
            "reduce range(100) as $i (1; [.,.])",
            "reduce range(60) as $i (1; [.,.]) | length",
            "[.l[] as $x | .l[] as $y | .l[]]",
            ".l | map(range(10000)) | sort",
        ] {
            outside(text);
        }
        let doubled = vec!["[.,.]"; 40].join("|");
        for around in [
            "X",
            "X | tojson",
            "(X) == (X)",
            "[X] | contains([X])",
            "X | flatten",
            "[X | ..] | length",
            "[X, X] | sort",
            "{a: (X)} * {a: (X)}",
            "[X] - [X]",
            "[X] | unique",
            "[X] | index(X)",
            "\"\\(X)\"",
            "[X] | join(\",\")",
            "[X, X] | min_by(.)",
            "{(X): 1}",
        ] {
            outside(&around.replace('X', &format!("({doubled})")));
        }
        for text in [vec!["."; 900].join("|"), "(".repeat(10_000) + "1" + &")".repeat(10_000)] {
            outside(&text);
        }
    });
}

/// Mutation: skip the check of names, or refuse what the interpreter knows.
#[test]
fn a_wrong_text_is_refused_with_its_place() {
    let check = |text: &str, expected: &str| match Expr::parse(text) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => assert_eq!(format!("{} at {}", error.what, error.offset), expected, "{text}"),
    };
    check("", "an empty expression has no value; `.` is the input itself at 0");
    check(".a +", "expected a term, but the expression ends here at 4");
    check(".a b", "expected an operator or the end, found `b` at 3");
    check("if . then 1", "expected `else` or `end`, but the expression ends here at 11");
    check("[1, 2", "`[` is never closed at 0");
    check(". | lenght", "no function is called `lenght`; did you mean `length`? at 4");
    check("map(.; 1)", "`map` takes 1 argument, not 2 at 0");
    check("split(1; 2; 3)", "`split` takes 1 or 2 arguments, not 3 at 0");
    check("qwertyuiop", "no function is called `qwertyuiop` at 0");
    check(
        ".a | now",
        "`now` is not available: the clock would differ on replay; a task's start is in `$task.startedAt` at 5",
    );
    check("$ENV.HOME", "`$ENV` is not available: expressions cannot read the environment at 0");
    check("m::f", "`m::f`: expressions have no modules at 0");
    check("break $x", "no `label $x` is around this `break` at 6");
    check("reduce .[] as $x (0)", "`reduce` is followed by `(start; update)` at 0");
    check(". ~ 1", "`~` has no meaning here at 2");
}

/// Mutation: drop the place or the kinds from a message.
#[test]
fn a_failure_says_what_and_where() {
    let check = |text: &str, expected: &str| {
        let input = object([
            ("n", int(1)),
            ("s", string("secret")),
            ("o", object([])),
            ("t", Value::Bool(true)),
        ]);
        let failed = Expr::parse(text).expect(text).evaluate(&input, &Nothing);
        assert_eq!(failed, Err(Stop::Failed(expected.to_owned())), "{text}");
    };
    check(".n + .s", "cannot add a number and a string at offset 3");
    check("1 + (.n - .s)", "cannot subtract a string from a number at offset 8");
    check(".n % 0", "cannot take the remainder of a number and a number that is zero at offset 3");
    check("-.s", "cannot negate a string at offset 0");
    check(".n[]", "cannot iterate over a number at offset 2");
    check(".s as $v | .n.y", "cannot index a number with a string at offset 13");
    check(".s[0]", "cannot index a string with a number at offset 2");
    check(".t | length", "`length` cannot take a boolean at offset 5");
    check(
        ".n | startswith(\"a\")",
        "`startswith` cannot take a number with a string as argument at offset 5",
    );
    check("error(.s)", "the expression called `error` at offset 0");
    check("$gone + 1", "`$gone` is not defined here");
    check(".n, .n", "the expression yields more than one value; wrap it in [ ] to get an array");
    check(".n.a = 1", "cannot index a number with a string at offset 2");
}

/// Mutation: list variables that the expression binds itself.
#[test]
fn variables_are_those_from_outside() {
    let check = |text: &str, expected: &[&str]| {
        let expression = Expr::parse(text).expect(text);
        let found: Vec<&str> = expression.variables().iter().map(|name| &**name).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("$b + $a + $b", &["a", "b"]);
    check(". as $x | $x + $y", &["y"]);
    check(". as [$p, {q: $q}] | $p + $q + $r", &["r"]);
    check("reduce .[] as $x ($x; $x)", &["x"]);
    check("def f($a; g): $a + $b; f($c; 1)", &["b", "c"]);
    check("{$x, y: \"\\($z)\"}", &["x", "z"]);
    let large = format!("$big | {}", vec!["."; 20_000].join("|"));
    check(&large, &["big"]);
}

/// Mutation: take text around the marker as part of it.
#[test]
fn an_expression_in_a_string_is_the_whole_string() {
    assert_eq!(unwrap_marker("${ .a }"), Some(".a"));
    assert_eq!(unwrap_marker("  ${.a}\n"), Some(".a"));
    assert_eq!(unwrap_marker("${}"), Some(""));
    for text in ["$ {.a}", "x ${.a}", "${.a} x", ".a", "", "$", "${", "{.a}"] {
        assert_eq!(unwrap_marker(text), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Mutation: let a text through that the interpreter does not compile.
    #[test]
    fn what_is_taken_compiles(tokens in prop::collection::vec(prop::sample::select(vec![
        ".", ".a", "..", "[", "]", "(", ")", "{", "}", "|", ",", "+", "-", "//", "=", "|=", "as",
        "$x", "$__loc__", "if", "then", "else", "end", "try", "catch", "reduce", "foreach", "def", "f", ":", ";", "1",
        "1.5", "\"a\"", "\"\\(1)\"", "@json", "@base64", "?", "label", "break", "map", "length", "and", "not", "a::b", "#x\n",
    ]), 0..12)) {
        let text = tokens.join(" ");
        let names = [Arc::from("x")];
        let taken = Expr::parse(&text).is_ok();
        prop_assert_eq!(taken, Program::compile(&text, &names).is_ok(), "{}", text);
    }
}
