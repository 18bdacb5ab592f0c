//! The workflows that are measured, as an author would write them.

use serde_json::{Value, json};

/// Steps of a run; a step is one call of `echo`.
pub const STEPS: u64 = 10;

/// Branches of the fork; a branch is one step.
pub const BRANCHES: u64 = 100;

/// The step that a run is blocked in when its site is killed.
pub const BLOCKED: u64 = 6;

/// What each step hands on.
const TEXT: &str = "forty bytes, as small steps often are...";

/// A workflow with what one run of it is given, and must give.
pub struct Workflow {
    pub name: &'static str,
    pub text: String,
    pub input: Value,
    pub output: Value,
}

/// W1: ten steps in a row.
#[must_use]
pub fn ten_steps() -> Workflow {
    let tasks: String = (1..=STEPS).map(|step| echo(step, "  ")).collect();
    row("ten-steps", &tasks)
}

/// The same, to be forgotten a second after its end.
#[must_use]
pub fn ten_steps_forgotten() -> Workflow {
    let steps = ten_steps();
    let text = steps.text.replace("name: ten-steps\n", "name: ten-steps-forgotten\n");
    let text = text.replace("\ndo:\n", "\n  metadata:\n    keep: PT1S\ndo:\n");
    Workflow { name: "ten-steps-forgotten", text, ..steps }
}

/// W2: a hundred steps beside each other.
#[must_use]
pub fn fork() -> Workflow {
    let branches: String = (1..=BRANCHES).map(|step| echo(step, "          ")).collect();
    let tasks = format!("  - all:\n      fork:\n        branches:\n{branches}");
    let outputs = (1..=BRANCHES).map(|step| json!({ "step": step, "text": TEXT }));
    Workflow { output: outputs.collect(), ..row("fork", &tasks) }
}

/// W4: ten steps, of which the sixth waits for an answer from `gate`, an address and a port.
#[must_use]
pub fn gated(gate: &str) -> Workflow {
    let step = |step: u64| {
        if step == BLOCKED { call(step, gate) } else { echo(step, "  ") }
    };
    row("gated", &(1..=STEPS).map(step).collect::<String>())
}

/// W1 over HTTP: ten steps in a row, each a request to `gate`.
#[must_use]
pub fn ten_calls(gate: &str) -> Workflow {
    row("ten-calls", &(1..=STEPS).map(|step| call(step, gate)).collect::<String>())
}

fn call(step: u64, gate: &str) -> String {
    format!(
        "  - step-{step}:\n      call: http\n      with: {{ method: get, endpoint: 'http://{gate}/step' }}\n      output: {{ as: '${{ $input + {{step: {step}}} }}' }}\n"
    )
}

/// One step, as a stranger's run beside long ones.
#[must_use]
pub fn one_step() -> Workflow {
    Workflow { output: json!({ "step": 1, "text": TEXT }), ..row("one-step", &echo(1, "  ")) }
}

/// A result over the inline limit, so a blob.
#[must_use]
pub fn large() -> Workflow {
    row(
        "large",
        "  - large:\n      call: echo:1.0.0@default\n      with: { many: '${ [range(20000)] }' }\n",
    )
}

/// Asleep for so many seconds.
#[must_use]
pub fn asleep(seconds: u64) -> Workflow {
    row("asleep", &format!("  - sleep:\n      wait: PT{seconds}S\n"))
}

/// Ends with an error.
#[must_use]
pub fn failing() -> Workflow {
    row(
        "failing",
        "  - fail:\n      raise: { error: { type: https://bench.example/wrong, status: 400 } }\n",
    )
}

/// The same under another name.
#[must_use]
pub fn named(workflow: Workflow, name: &'static str) -> Workflow {
    let text =
        workflow.text.replace(&format!("name: {}\n", workflow.name), &format!("name: {name}\n"));
    Workflow { name, text, ..workflow }
}

/// So many iterations by `then`.
#[must_use]
pub fn long_then(iterations: u64) -> Workflow {
    let tasks = "  - count:
      call: echo:1.0.0@default
      with: { n: '${ .n - 1 }' }
  - again:
      switch:
        - more: { when: .n > 0, then: count }
        - over: { then: end }
";
    Workflow { input: json!({ "n": iterations }), ..row("then", tasks) }
}

/// So many iterations by two `for`, one in the other, over lists of a moderate size.
#[must_use]
pub fn long_for(iterations: u64) -> Workflow {
    let tasks = "  - outer:
      for: { each: a, in: .outer }
      do:
        - inner:
            for: { each: b, in: '${ $workflow.input.inner }' }
            do:
              - step:
                  call: echo:1.0.0@default
                  with: { n: '${ $b }' }
      output: { as: '${ {} }' }
";
    let inner = iterations.min(1_000);
    let list = |many: u64| (0..many).collect::<Vec<u64>>();
    let input = json!({ "outer": list(iterations / inner), "inner": list(inner) });
    Workflow { input, ..row("for", tasks) }
}

/// So many events, each told by one branch and heard by the other.
#[must_use]
pub fn long_listen(iterations: u64) -> Workflow {
    let tasks = "  - both:
      fork:
        branches:
          - hear:
              listen:
                to:
                  any:
                    - with: { type: bench.tick }
                  until: '${ false }'
              foreach:
                item: tick
                do:
                  - take:
                      call: echo:1.0.0@default
                      with: { n: '${ $tick.n }' }
                  - last:
                      switch:
                        - over: { when: .n == 1, then: end }
                        - more: { then: exit }
          - tell:
              do:
                - tick:
                    emit:
                      event:
                        with:
                          source: https://bench.example/tick
                          type: bench.tick
                          data: { n: '${ .n }' }
                    output: { as: '${ {n: ($input.n - 1)} }' }
                - again:
                    switch:
                      - more: { when: .n > 0, then: tick }
                      - over: { then: exit }
";
    Workflow { input: json!({ "n": iterations }), ..row("listen", tasks) }
}

fn echo(step: u64, indent: &str) -> String {
    format!(
        "{indent}- step-{step}:\n{indent}    call: echo:1.0.0@default\n{indent}    with: {{ step: {step}, text: \"${{ .text }}\" }}\n"
    )
}

fn row(name: &'static str, tasks: &str) -> Workflow {
    let text = format!(
        "document:\n  dsl: 1.0.3\n  namespace: bench\n  name: {name}\n  version: 1.0.0\ndo:\n{tasks}"
    );
    let (input, output) = (json!({ "text": TEXT }), json!({ "step": STEPS, "text": TEXT }));
    Workflow { name, text, input, output }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(text: &str) -> u64 {
        text.matches("call: echo:1.0.0@default").count() as u64
    }

    /// Mutation: write one step less than is counted.
    #[test]
    fn a_workflow_has_as_many_steps_as_are_counted() {
        let text = ten_steps().text;
        assert_eq!(calls(&text), STEPS);
        assert!(text.contains("with: { step: 10, text: \"${ .text }\" }"));
        assert_eq!(calls(&fork().text), BRANCHES);
    }

    /// Mutation: count from another number than is asked for.
    #[test]
    fn a_long_loop_has_as_many_iterations_as_are_asked_for() {
        assert_eq!(long_then(7).input["n"], 7);
        let nested = long_for(5_000).input;
        let many = |name: &str| nested[name].as_array().map_or(0, Vec::len);
        assert_eq!(many("outer") * many("inner"), 5_000);
        assert_eq!(long_listen(7).input["n"], 7);
    }

    /// Mutation: block another step than the sixth.
    #[test]
    fn five_steps_come_before_the_one_that_blocks() {
        let text = gated("127.0.0.1:1").text;
        let (before, after) = text.split_once("call: http").expect("one step asks the gate");
        assert_eq!((calls(before), calls(after)), (BLOCKED - 1, STEPS - BLOCKED));
        assert!(after.contains("'http://127.0.0.1:1/step'"));
    }
}
