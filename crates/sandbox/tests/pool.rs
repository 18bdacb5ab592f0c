//! The pool with real processes.

use std::sync::Arc;
use std::time::Duration;

use base::Value;
use base::value::{array, int, object, string, to_json_string};
use isonomy_sandbox::{Pool, PoolConfig, PoolError};

/// Longer than any test: with it, nothing ends by the deadline.
const NEVER: Duration = Duration::from_secs(3_600);

fn config() -> PoolConfig {
    PoolConfig { children: 2, ..PoolConfig::new(env!("CARGO_BIN_EXE_isonomy-evaluate")) }
}

async fn check(pool: &Pool, text: &str, expected: &str) {
    let input = object([("a", int(1)), ("list", array(vec![int(1), int(2)]))]);
    let variables = [(Arc::from("x"), string("ä"))];
    let found = match pool.evaluate(text, &input, &variables).await {
        Ok(value) => to_json_string(&value),
        Err(PoolError::Syntax(error)) => format!("syntax: {error} at {}", error.offset),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{text}");
}

/// Mutation: pass jaq's own error text on, or take the first of several results.
#[tokio::test]
async fn an_expression_has_one_result_or_a_reason_without_values() {
    let pool = Pool::new(config());
    check(&pool, ".a", "1").await;
    check(&pool, "def f: . + 1; [.list[] | f]", "[2,3]").await;
    check(&pool, "$x", "\"ä\"").await;
    check(&pool, "empty", "null").await;
    check(&pool, "1.50, empty", "1.5").await;
    check(&pool, "[nan]", "[null]").await;
    check(
        &pool,
        ".list[]",
        "the expression yields more than one value; wrap it in [ ] to get an array",
    )
    .await;
    check(
        &pool,
        "1, repeat(1)",
        "the expression yields more than one value; wrap it in [ ] to get an array",
    )
    .await;
    check(&pool, "{(.a): 1}", "an object key is a number, and JSON allows only strings").await;
    check(&pool, ".a | tobytes", "byte strings are not JSON").await;
    check(&pool, "$x + 1", "cannot calculate with values of these kinds").await;
    check(&pool, "error($x)", "the expression called `error`, or a function refused its input")
        .await;
    check(
        &pool,
        "halt",
        "syntax: `halt` is not available: expressions cannot end the program; use `error` at 0",
    )
    .await;
    check(&pool, ". | input", "syntax: `input` is not available: there is one input: `.` at 4")
        .await;
    check(
        &pool,
        "env",
        "syntax: `env` is not available: expressions cannot read the environment at 0",
    )
    .await;
    check(
        &pool,
        "$ENV",
        "syntax: `$ENV` is not available: expressions cannot read the environment at 0",
    )
    .await;
    check(&pool, "now", "syntax: `now` is not available: the clock would differ on replay; a task's start is in `$task.startedAt` at 0").await;
    check(&pool, "lenght", "syntax: no function is called `lenght`; did you mean `length`? at 0")
        .await;
    check(&pool, "$y", "syntax: `$y` is not defined here at 0").await;
    assert_eq!(pool.stats().spawned, 1, "one process serves all of them, one after the other");
    assert_eq!(pool.stats().killed, 0);
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

/// Mutation: evaluate in the parent; or leave out the limit of memory, or the deadline.
#[tokio::test]
async fn what_asks_for_too_much_fails_alone_and_elsewhere() {
    let pool = Pool::new(config());
    pool.evaluate(".", &Value::Null, &[]).await.expect("a warm pool");
    let before = resident_bytes();
    let parentheses = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    for text in [
        r#""x" * 9223372036854775807"#,
        "def f: 1+f; f",
        "[range(2e8)]",
        "[range(1e12)]|length",
        &parentheses,
        &"[".repeat(10_000),
        "def f: [f]; f",
        "[limit(1e9; repeat(1))]",
        "reduce range(1e7) as $i (0; [.])",
        "last(repeat(1))",
        &format!("[{}]", "-".repeat(200_000)),
    ] {
        let evaluation = pool.evaluate_traced(text, &Value::Null, &[]).await;
        let shown: String = text.chars().take(40).collect();
        match evaluation.result {
            Err(PoolError::Failed(_) | PoolError::Syntax(_)) => {}
            other => panic!("{shown}: {other:?}"),
        }
        assert!(evaluation.pid.is_some_and(|pid| pid != std::process::id()), "{shown}");
        pool.evaluate(".", &Value::Null, &[]).await.unwrap_or_else(|e| panic!("{shown}: {e}"));
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "the parent has grown by {grown} bytes");
}

/// By the order of events: the bad one cannot end before the test lets it.
///
/// Mutation: let a pool have one process, or one lock around an evaluation.
#[tokio::test]
async fn others_are_served_while_a_bad_one_runs() {
    let pool = Pool::new(PoolConfig { deadline: NEVER, ..config() });
    let bad = tokio::spawn({
        let pool = pool.clone();
        async move { pool.evaluate("last(repeat(1))", &Value::Null, &[]).await }
    });
    while pool.stats().busy.is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        assert_eq!(pool.evaluate("1 + 1", &Value::Null, &[]).await.expect("two"), int(2));
    }
    assert_eq!(pool.stats().busy.len(), 1);
    assert!(!bad.is_finished());
    let pids = pool.stats().busy;
    bad.abort();
    assert!(bad.await.is_err_and(|error| error.is_cancelled()));
    for pid in pids {
        gone(pid).await;
    }
}

/// Waits until a process is no more, or is a zombie that its parent will yet collect.
async fn gone(pid: u32) {
    let is_gone = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    };
    while !is_gone() {
        tokio::task::yield_now().await;
    }
}

/// Mutation: wait for an answer without a limit.
#[tokio::test]
async fn an_expression_ends_at_its_deadline() {
    let pool = Pool::new(PoolConfig { deadline: Duration::from_millis(50), ..config() });
    check(&pool, "last(repeat(1))", "the expression ran longer than 50ms").await;
    assert_eq!(pool.stats().killed, 1);
    let killed = pool.stats().busy;
    assert!(killed.is_empty(), "{killed:?}");
}

/// Mutation: count a request that runs as one that waits, or forget to give the place back.
#[tokio::test]
async fn a_full_queue_refuses_at_once_and_recovers() {
    let pool = Pool::new(PoolConfig { children: 1, queue_max: 0, deadline: NEVER, ..config() });
    let bad = tokio::spawn({
        let pool = pool.clone();
        async move { pool.evaluate("last(repeat(1))", &Value::Null, &[]).await }
    });
    while pool.stats().busy.is_empty() {
        tokio::task::yield_now().await;
    }
    let refused = pool.evaluate("1", &Value::Null, &[]).await;
    assert!(matches!(refused, Err(PoolError::Overloaded)), "{refused:?}");
    bad.abort();
    let _ = bad.await;
    assert_eq!(pool.evaluate("1", &Value::Null, &[]).await.expect("served again"), int(1));
}

/// Mutation: hand an idle process out without asking whether it lives.
#[tokio::test]
async fn a_process_that_died_idle_is_replaced_unnoticed() {
    let pool = Pool::new(PoolConfig { children: 1, ..config() });
    let first = pool.evaluate_traced("1", &Value::Null, &[]).await.pid.expect("a process");
    let kill = std::process::Command::new("kill").args(["-9", &first.to_string()]).status();
    assert!(kill.expect("a `kill`").success());
    gone(first).await;
    let second = pool.evaluate_traced("1", &Value::Null, &[]).await;
    assert_eq!(second.result.expect("a value"), int(1));
    assert_ne!(second.pid, Some(first));
    assert_eq!(pool.stats().killed, 0);
}

/// Mutation: never replace a process.
#[tokio::test]
async fn a_process_is_replaced_after_its_share_of_work() {
    let pool = Pool::new(PoolConfig { children: 1, recycle_after: 3, ..config() });
    for _ in 0..7 {
        pool.evaluate(".", &Value::Null, &[]).await.expect("a value");
    }
    assert_eq!(pool.stats().spawned, 3);
}

/// Mutation: leave out `kill_on_drop` and the child's wait for the end of its input.
#[tokio::test]
async fn no_process_outlives_the_pool() {
    let pool = Pool::new(config());
    let pid = pool.evaluate_traced("1", &Value::Null, &[]).await.pid.expect("a process");
    drop(pool);
    gone(pid).await;
}

/// Mutation: let the child go on with a request whose asker is gone.
#[tokio::test]
async fn a_child_at_work_ends_with_its_parents_end_of_the_pipe() {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let mut child = Command::new(env!("CARGO_BIN_EXE_isonomy-evaluate"))
        .args(["__evaluate", "536870912", "8388608"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("an evaluator");
    let request = br#"{"text":"last(repeat(1))","variables":[],"input":null,"check":false}"#;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&(request.len() as u32).to_le_bytes()).expect("written");
    stdin.write_all(request).expect("written");
    drop(stdin);
    assert!(child.wait().expect("an end").success());
}

/// Mutation: skip the compilation in `check`, or evaluate after it.
#[tokio::test]
async fn a_check_compiles_and_does_nothing_else() {
    let pool = Pool::new(PoolConfig { deadline: NEVER, ..config() });
    let names = [Arc::from("x")];
    pool.check("last(repeat($x))", &names).await.expect("an expression");
    assert!(matches!(pool.check("$y", &names).await, Err(PoolError::Syntax(_))));
    assert!(matches!(pool.check("1 +", &names).await, Err(PoolError::Syntax(_))));
}

/// Mutation: give the child the parent's environment, or let its error stream through.
#[tokio::test]
async fn a_program_that_is_no_evaluator_is_unavailable() {
    let nothing = Pool::new(PoolConfig { program: "/nonexistent/program".into(), ..config() });
    assert!(matches!(
        nothing.evaluate("1", &Value::Null, &[]).await,
        Err(PoolError::Unavailable(_))
    ));
    let other = Pool::new(PoolConfig { args: vec!["--help".into()], ..config() });
    assert!(matches!(other.evaluate("1", &Value::Null, &[]).await, Err(PoolError::Unavailable(_))));
}

/// Mutation: blame the expression for a signal that somebody else has sent.
#[tokio::test]
async fn a_process_killed_at_work_by_somebody_else_is_replaced_unnoticed() {
    let pool = Pool::new(PoolConfig { children: 1, deadline: NEVER, ..config() });
    let slow = tokio::spawn({
        let pool = pool.clone();
        async move { pool.evaluate_traced("last(range(1e7))", &Value::Null, &[]).await }
    });
    let at_work = loop {
        if let Some(pid) = pool.stats().busy.first() {
            break *pid;
        }
        tokio::task::yield_now().await;
    };
    let kill = std::process::Command::new("kill").args(["-9", &at_work.to_string()]).status();
    assert!(kill.expect("a `kill`").success());
    let evaluation = slow.await.expect("no panic");
    assert_eq!(evaluation.result.expect("a value"), int(9_999_999));
    assert_ne!(evaluation.pid, Some(at_work));
    assert_eq!(pool.stats().killed, 0);
}

/// Mutation: give the whole answer, or a failure's text as a result.
#[tokio::test]
async fn a_result_can_be_had_as_its_text() {
    let pool = Pool::new(config());
    let text = |text: &'static str| {
        let pool = pool.clone();
        async move { pool.evaluate_text(text, &int(3), &[]).await.map_err(|error| error.to_string()) }
    };
    assert_eq!(text("[range(.)] | [.[], \"ä\"]").await.as_deref(), Ok("[0,1,2,\"ä\"]".as_bytes()));
    assert_eq!(text("1 |").await.map_err(|error| error.is_empty()), Err(false));
    let failed = text("error(1)").await.expect_err("it failed");
    assert!(failed.contains("called `error`"), "{failed}");
}
