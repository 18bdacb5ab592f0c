//! Expressions that the reader of documents takes unseen, since parsing them could exhaust this
//! process: an evaluator process looks at them before the document is accepted.

use base::name::WorkflowKey;
use expr::{Expr, SyntaxError};
use spec::tree::{
    Catch, DurationOf, Endpoint, For, HttpCall, Input, Matcher, Output, Process, Program, Retry,
    Strategy, Task, TaskKind, Template, Text, Until, Workflow,
};
use spec::{Code, Diagnostic, Location, Severity};
use wire::Finding;

use crate::evaluate::Evaluators;
use crate::refusal::Refusal;
use crate::workflow::finding;

/// An expression, and the JSON pointer of the task that holds it.
type Found<'a> = (&'a Expr, &'a str);

/// What is wrong with the expressions that nobody has parsed yet.
pub(crate) async fn check(
    evaluators: &Evaluators,
    workflow: &Workflow,
    text: &str,
    source: &str,
) -> Result<Vec<Finding>, Refusal> {
    let mut findings = Vec::new();
    for (expr, pointer) in unparsed(workflow) {
        if let Err(wrong) = evaluators.check(expr).await? {
            let key = &workflow.document.key;
            findings.push(finding(&diagnostic(key, expr, pointer, &wrong, text), source, text));
        }
    }
    Ok(findings)
}

fn diagnostic(
    key: &WorkflowKey,
    expr: &Expr,
    pointer: &str,
    wrong: &SyntaxError,
    text: &str,
) -> Diagnostic {
    let what = if pointer.is_empty() { key.to_string() } else { pointer.to_owned() };
    Diagnostic {
        code: Code::ExpressionSyntax,
        severity: Severity::Error,
        message: format!(
            "an expression of `{what}` is wrong at its byte {}: {}",
            wrong.offset, wrong.what
        ),
        location: place(expr, text),
        pointer: pointer.to_owned(),
        hint: Some(
            "an expression of this size is better computed by several `set` tasks".to_owned(),
        ),
    }
}

/// Where the expression begins in the document. Its first line is enough to find it, since it is
/// longer than anything that stands there by chance.
fn place(expr: &Expr, text: &str) -> Location {
    let first = expr.text().lines().next().unwrap_or_default();
    let Some(offset) = text.find(first).filter(|_| !first.is_empty()) else {
        return Location { offset: 0, line: 1, column: 1, length: 1 };
    };
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Location {
        offset,
        line: number(line),
        column: number(column),
        length: number(first.chars().count()),
    }
}

fn unparsed(workflow: &Workflow) -> Vec<Found<'_>> {
    let mut walk = Walk { at: "", found: Vec::new() };
    walk.input(&workflow.input);
    walk.output(&workflow.output);
    walk.duration(workflow.timeout.as_ref());
    workflow.extensions.iter().filter_map(|it| it.when.as_ref()).for_each(|it| walk.expr(it));
    for task in &workflow.tasks {
        walk.at = &task.location;
        walk.task(task);
    }
    walk.found
}

struct Walk<'a> {
    at: &'a str,
    found: Vec<Found<'a>>,
}

impl<'a> Walk<'a> {
    fn expr(&mut self, expr: &'a Expr) {
        if !expr.is_parsed() {
            self.found.push((expr, self.at));
        }
    }

    fn task(&mut self, task: &'a Task) {
        task.condition.iter().for_each(|expr| self.expr(expr));
        self.input(&task.input);
        self.output(&task.output);
        self.output(&task.export);
        self.duration(task.timeout.as_ref());
        match &task.kind {
            TaskKind::Do(_) | TaskKind::Fork(_) => {}
            TaskKind::Set(template) => self.template(template),
            TaskKind::Switch(cases) => {
                cases.iter().filter_map(|it| it.when.as_ref()).for_each(|it| self.expr(it))
            }
            TaskKind::For(For { items, condition, .. }) => {
                self.template(items);
                condition.iter().for_each(|expr| self.expr(expr));
            }
            TaskKind::Try(guard) => self.catch(&guard.catch),
            TaskKind::Raise(raise) => {
                self.text(&raise.uri);
                let rest = [&raise.title, &raise.detail, &raise.instance];
                rest.into_iter().flatten().for_each(|text| self.text(text));
            }
            TaskKind::Wait(duration) => self.duration(Some(duration)),
            TaskKind::Http(call) => self.http(call),
            TaskKind::Process(process) => self.process(process),
            TaskKind::Function(call) => call.with.iter().for_each(|it| self.template(it)),
            TaskKind::Custom(call) => call.with.iter().for_each(|it| self.template(it)),
            TaskKind::OpenApi(call) => {
                call.parameters.iter().for_each(|it| self.template(&it.value));
                call.body.iter().for_each(|it| self.template(&it.value));
            }
            TaskKind::Emit(emit) => {
                let attributes = emit.attributes.iter().map(|(_, value)| value);
                attributes.chain(&emit.data).for_each(|it| self.template(it));
            }
            TaskKind::Listen(task) => {
                self.strategy(&task.to);
                if let Some(each) = &task.each {
                    self.output(&each.output);
                    self.output(&each.export);
                }
            }
            TaskKind::Child(child) => child.input.iter().for_each(|it| self.template(it)),
        }
    }

    fn input(&mut self, input: &'a Input) {
        input.from.iter().for_each(|template| self.template(template));
    }

    fn output(&mut self, output: &'a Output) {
        output.shape.iter().for_each(|template| self.template(template));
    }

    fn catch(&mut self, catch: &'a Catch) {
        let conditions = [&catch.when, &catch.except_when];
        conditions.into_iter().flatten().for_each(|expr| self.expr(expr));
        let Some(Retry { when, except_when, delay, attempt_duration, duration, jitter, .. }) =
            &catch.retry
        else {
            return;
        };
        [when, except_when].into_iter().flatten().for_each(|expr| self.expr(expr));
        let (from, to) = jitter.as_ref().map_or((None, None), |(from, to)| (Some(from), Some(to)));
        for length in [delay.as_ref(), attempt_duration.as_ref(), duration.as_ref(), from, to] {
            self.duration(length);
        }
    }

    fn strategy(&mut self, strategy: &'a Strategy) {
        for filter in strategy.filters() {
            filter.with.iter().for_each(|(_, matcher)| self.matcher(matcher));
            for correlation in &filter.correlate {
                self.expr(&correlation.from);
                correlation.expect.iter().for_each(|it| self.template(it));
            }
        }
        if let Strategy::Any { until: Until::Condition(condition), .. } = strategy {
            self.expr(condition);
        }
        if let Some(until) = strategy.until() {
            self.strategy(until);
        }
    }

    fn matcher(&mut self, matcher: &'a Matcher) {
        match matcher {
            Matcher::Equal(_) | Matcher::Pattern(_) => {}
            Matcher::Expr(expr) => self.expr(expr),
            Matcher::Object(fields) => fields.iter().for_each(|(_, field)| self.matcher(field)),
        }
    }

    fn http(&mut self, call: &'a HttpCall) {
        if let Endpoint::Expr(expr) = &call.endpoint {
            self.expr(expr);
        }
        let parts = [&call.headers, &call.query, &call.body];
        let authentication = call.authentication.iter().map(|it| &it.properties);
        let parts = parts.into_iter().flatten().chain(authentication);
        parts.for_each(|template| self.template(template));
    }

    fn process(&mut self, process: &'a Process) {
        match &process.program {
            Program::Script { code, .. } => self.text(code),
            Program::Shell { command } => self.text(command),
        }
        let parts = [&process.stdin, &process.arguments, &process.environment];
        parts.into_iter().flatten().for_each(|template| self.template(template));
    }

    fn text(&mut self, text: &'a Text) {
        if let Text::Expr(expr) = text {
            self.expr(expr);
        }
    }

    fn duration(&mut self, duration: Option<&'a DurationOf>) {
        if let Some(DurationOf::Expr(expr)) = duration {
            self.expr(expr);
        }
    }

    fn template(&mut self, template: &'a Template) {
        match template {
            Template::Constant(_) => {}
            Template::Expr(expr) => self.expr(expr),
            Template::Array(items) => items.iter().for_each(|item| self.template(item)),
            Template::Object(fields) => fields.iter().for_each(|(_, field)| self.template(field)),
        }
    }
}
