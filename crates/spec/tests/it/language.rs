//! What valid documents mean.

use base::value::to_json_string;
use isonomy_spec::read;
use isonomy_spec::tree::{
    Backoff, DurationOf, Endpoint, Flow, HttpOutput, Task, TaskKind, TaskList, Template, Text,
    UriPart, Workflow,
};

use crate::{Functions, rendered};

const EVERYTHING: &str = include_str!("seeds/everything.yaml");
const JSON: &str = include_str!("seeds/flow.json");
const ALIASES: &str = include_str!("seeds/aliases.yaml");
const HEAD: &str = "document: {dsl: 1.0.3, namespace: n, name: w, version: 0.1.0}\n";

fn workflow(text: &str) -> Workflow {
    match read(text, &Functions) {
        Ok(read) => {
            assert_eq!(rendered(&read.warnings, "a.yaml", text), "");
            read.workflow
        }
        Err(wrong) => panic!("{}", rendered(&wrong, "a.yaml", text)),
    }
}

fn task<'w>(workflow: &'w Workflow, location: &str) -> &'w Task {
    workflow.tasks.iter().find(|task| &*task.location == location).expect(location)
}

/// A template as text: JSON, with expressions in `«»`.
fn show(template: &Template) -> String {
    let join = |parts: Vec<String>| parts.join(",");
    match template {
        Template::Constant(value) => to_json_string(value),
        Template::Expr(expression) => format!("«{}»", expression.text()),
        Template::Array(items) => format!("[{}]", join(items.iter().map(show).collect())),
        Template::Object(fields) => {
            format!(
                "{{{}}}",
                join(fields.iter().map(|(key, part)| format!("{key}:{}", show(part))).collect())
            )
        }
    }
}

fn shown(template: Option<&Template>) -> String {
    template.map(show).unwrap_or_default()
}

fn duration(duration: Option<&DurationOf>) -> String {
    match duration {
        None => String::new(),
        Some(DurationOf::Fixed(fixed)) => fixed.as_millis().to_string(),
        Some(DurationOf::Expr(expression)) => format!("«{}»", expression.text()),
    }
}

fn text(text: Option<&Text>) -> String {
    match text {
        None => String::new(),
        Some(Text::Fixed(fixed)) => fixed.to_string(),
        Some(Text::Expr(expression)) => format!("«{}»", expression.text()),
    }
}

fn numbers(list: &TaskList) -> Vec<u32> {
    list.0.iter().map(|no| no.0).collect()
}

/// Mutation: number a child before its parent, forget `fork/branches` in a location, or leave `/`
/// in a name unescaped.
#[test]
fn tasks_are_numbered_parents_first_and_located_by_json_pointer() {
    let workflow = workflow(EVERYTHING);
    let locations: Vec<String> =
        workflow.tasks.iter().map(|task| format!("{} {}", task.no.0, task.location)).collect();
    let expected = [
        "0 /do/0/start",
        "1 /do/1/choose",
        "2 /do/2/loop",
        "3 /do/2/loop/do/0/attempt",
        "4 /do/2/loop/do/0/attempt/try/0/fetch",
        "5 /do/2/loop/do/0/attempt/catch/do/0/note~1it",
        "6 /do/3/fan",
        "7 /do/3/fan/fork/branches/0/left",
        "8 /do/3/fan/fork/branches/1/right",
        "9 /do/3/fan/fork/branches/1/right/do/0/pause",
        "10 /do/3/fan/fork/branches/1/right/do/1/more",
        "11 /do/4/inline",
        "12 /do/4/inline/do/0/complain",
        "13 /do/4/inline/do/1/complain too",
        "14 /do/5/function",
        "15 /do/6/silent",
        "16 /do/7/rows",
        "17 /do/8/again",
    ];
    assert_eq!(locations, expected);
    assert_eq!(numbers(&workflow.body), [0, 1, 2, 6, 11, 14, 15, 16, 17]);
    assert_eq!(workflow.position(&workflow.body, "fan"), Some(3));
    assert_eq!(&*workflow.tasks[5].name, "note/it");
}

/// Mutation: drop a property of the document, of `input`, `output` or `timeout`.
#[test]
fn the_top_of_a_document_is_read() {
    let workflow = workflow(EVERYTHING);
    let document = &workflow.document;
    assert_eq!(document.key.to_string(), "clinic/everything");
    assert_eq!((document.dsl.as_str(), document.version.as_str()), ("1.0.3", "1.2.3-rc.1+build.7"));
    assert_eq!(document.title.as_deref(), Some("Everything"));
    assert_eq!(document.summary.as_deref(), Some("All that can be read."));
    assert_eq!(to_json_string(&document.tags), r#"{"region":"eu","tier":1}"#);
    assert_eq!(to_json_string(&document.metadata), r#"{"owner":["a","b"]}"#);
    let schema = workflow.input.schema.as_ref().expect("a schema");
    assert!(schema.check(&base::value::object([])).is_err());
    assert_eq!(shown(workflow.input.from.as_ref()), "«.cases»");
    assert_eq!(shown(workflow.output.shape.as_ref()), "{total:«.total»,context:«$context»}");
    assert_eq!(duration(workflow.timeout.as_ref()), "3600000");
    let dsl = base::value::get(&workflow.definition, "document")
        .and_then(|it| base::value::get(it, "dsl"));
    assert_eq!(dsl.and_then(base::value::as_str), Some("1.0.3"));
}

/// Mutation: drop one of the properties that every task may have, or fold an expression away.
#[test]
fn what_every_task_may_have_is_read() {
    let workflow = workflow(EVERYTHING);
    let start = task(&workflow, "/do/0/start");
    assert_eq!(start.condition.as_ref().map(expr::Expr::text), Some(". != null"));
    assert_eq!(shown(start.input.from.as_ref()), "{rows:«.»,at:«$workflow.startedAt.iso8601»}");
    assert!(start.input.schema.is_some() && start.output.schema.is_some());
    assert_eq!(shown(start.output.shape.as_ref()), "«.rows»");
    assert_eq!(shown(start.export.shape.as_ref()), "«$context + { started: $output }»");
    assert_eq!(duration(start.timeout.as_ref()), "5000");
    assert_eq!(start.then, Flow::Goto(1));
    assert_eq!(to_json_string(&start.metadata), r#"{"note":"first"}"#);
    let TaskKind::Set(template) = &start.kind else { panic!("{:?}", start.kind) };
    assert_eq!(
        show(template),
        r#"{text:"plain",number:1.5,list:[1,«.x»,{deep:«$input»}],none:null}"#
    );
    let wait = task(&workflow, "/do/3/fan/fork/branches/0/left");
    assert_eq!(to_json_string(&wait.definition), r#"{"wait":"PT0.5S"}"#);
    assert_eq!(task(&workflow, "/do/8/again").then, Flow::End);
}

/// Mutation: swap `each` and `at`, take the first case for the default, ignore `compete`.
#[test]
fn switches_loops_and_forks_are_read() {
    let workflow = workflow(EVERYTHING);
    let TaskKind::Switch(cases) = &task(&workflow, "/do/1/choose").kind else { panic!("a switch") };
    let cases: Vec<_> = cases
        .iter()
        .map(|case| (&*case.name, case.when.as_ref().map(expr::Expr::text), &case.then))
        .collect();
    assert_eq!(
        cases,
        [("many", Some("length > 100"), &Flow::Goto(2)), ("otherwise", None, &Flow::Continue)]
    );

    let TaskKind::For(each) = &task(&workflow, "/do/2/loop").kind else { panic!("a loop") };
    assert_eq!((&*each.each, &*each.at, show(&each.items).as_str()), ("row", "number", "«.rows»"));
    assert_eq!(each.condition.as_ref().map(expr::Expr::text), Some("$number < 10"));
    assert_eq!(numbers(&each.body), [3]);

    let TaskKind::For(inline) = &task(&workflow, "/do/4/inline").kind else { panic!("a loop") };
    assert_eq!((&*inline.each, &*inline.at), ("item", "index"));
    assert_eq!(show(&inline.items), r##"[{"hex":"#fff"},«.second»,3]"##);

    let TaskKind::Fork(fork) = &task(&workflow, "/do/3/fan").kind else { panic!("a fork") };
    assert!(fork.compete);
    assert_eq!(numbers(&fork.branches), [7, 8]);
    let TaskKind::Do(steps) = &task(&workflow, "/do/3/fan/fork/branches/1/right").kind else {
        panic!("steps")
    };
    assert_eq!(numbers(steps), [9, 10]);
    let waits = [
        "/do/3/fan/fork/branches/0/left",
        "/do/3/fan/fork/branches/1/right/do/0/pause",
        "/do/3/fan/fork/branches/1/right/do/1/more",
    ];
    let waits = waits.map(|location| match &task(&workflow, location).kind {
        TaskKind::Wait(wait) => duration(Some(wait)),
        other => panic!("{other:?}"),
    });
    assert_eq!(waits, ["500", "183660000", "«.pause»"]);
}

/// Mutation: drop a part of the retry policy, of the filter, or of the error.
#[test]
fn errors_are_caught_retried_and_raised() {
    let workflow = workflow(EVERYTHING);
    let TaskKind::Try(attempt) = &task(&workflow, "/do/2/loop/do/0/attempt").kind else {
        panic!("a try")
    };
    let catch = &attempt.catch;
    assert_eq!(numbers(&attempt.body), [4]);
    assert_eq!(catch.body.as_ref().map(numbers), Some(vec![5]));
    assert_eq!(&*catch.variable, "problem");
    assert_eq!(catch.when.as_ref().map(expr::Expr::text), Some("$problem.status > 0"));
    assert_eq!(catch.except_when.as_ref().map(expr::Expr::text), Some("$row == null"));
    let filter = &catch.filter;
    assert_eq!(filter.uri.as_deref(), Some("https://example.com/errors/x"));
    assert_eq!(filter.status, Some(503));
    let texts = [&filter.title, &filter.detail, &filter.instance].map(|text| text.as_deref());
    assert_eq!(texts, [Some("t"), Some("d"), Some("/do")]);

    let retry = catch.retry.as_ref().expect("a policy");
    assert_eq!(retry.when.as_ref().map(expr::Expr::text), Some("$problem.status >= 500"));
    assert_eq!(retry.except_when.as_ref().map(expr::Expr::text), Some("$problem.status == 501"));
    assert_eq!((retry.backoff, retry.retries_max), (Backoff::Exponential, Some(4)));
    let times = [&retry.delay, &retry.attempt_duration, &retry.duration]
        .map(|time| duration(time.as_ref()));
    assert_eq!(times, ["1500", "10000", "60000"]);
    let (from, to) = retry.jitter.as_ref().expect("a jitter");
    assert_eq!((duration(Some(from)).as_str(), duration(Some(to)).as_str()), ("10", "«.jitter»"));

    let raised = |location: &str| match &task(&workflow, location).kind {
        TaskKind::Raise(raise) => format!(
            "{} {} {} {} {}",
            text(Some(&raise.uri)),
            raise.status,
            text(raise.title.as_ref()),
            text(raise.detail.as_ref()),
            text(raise.instance.as_ref())
        ),
        other => panic!("{other:?}"),
    };
    let sold_out =
        "https://example.com/errors/sold-out 410 Sold out «\"nothing left of \\($item)\"» /do/0";
    assert_eq!(raised("/do/4/inline/do/0/complain"), sold_out);
    assert_eq!(raised("/do/4/inline/do/1/complain too"), "«.type» 400 «.title»  ");
}

/// Mutation: leave the method as written, lose a part of the address, default `redirect` to true.
#[test]
fn http_calls_are_read() {
    let workflow = workflow(EVERYTHING);
    let http = |location: &str| match &task(&workflow, location).kind {
        TaskKind::Http(call) => format!(
            "{} {:?} {} {} headers {} query {} body {}",
            call.method,
            call.output,
            call.redirect,
            endpoint(&call.endpoint),
            shown(call.headers.as_ref()),
            shown(call.query.as_ref()),
            shown(call.body.as_ref())
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        http("/do/2/loop/do/0/attempt/try/0/fetch"),
        "POST Response true [https://example.com/cases/]<id>[/]<row.name>[?n=]<n> \
         headers {x-row:«$number | tostring»,accept:\"application/json\"} \
         query {q:«$row.q»,page:1} body {row:«$row»,fixed:[1,2]}"
    );
    assert_eq!(
        http("/do/8/again"),
        "GET Content false «\"https://example.com/\" + .path» headers «.headers» query «.query» body "
    );
    assert_eq!(HttpOutput::default(), HttpOutput::Content);
}

fn endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Expr(expression) => format!("«{}»", expression.text()),
        Endpoint::Template(parts) => parts
            .iter()
            .map(|part| match part {
                UriPart::Text(text) => format!("[{text}]"),
                UriPart::Variable(name) => format!("<{name}>"),
            })
            .collect(),
    }
}

/// Mutation: leave the manifest's digest or the text out of the revision, or list a function twice.
#[test]
fn a_revision_names_the_text_and_all_that_it_refers_to() {
    let read = |text: &str| isonomy_spec::read(text, &Functions).expect("valid");
    let first = read(EVERYTHING);
    let names: Vec<&str> =
        first.references.iter().map(|reference| reference.to.name.as_str()).collect();
    assert_eq!(names, ["csv:1.0.0@default", "echo:1.0.0@default"]);
    assert_eq!(first.revision, isonomy_spec::revision::revision(EVERYTHING, &first.references));
    assert_eq!(first.revision, read(EVERYTHING).revision);
    assert_ne!(first.revision, read(&format!("{EVERYTHING}# a remark\n")).revision);
    let TaskKind::Function(call) = &task(&first.workflow, "/do/5/function").kind else {
        panic!("a call")
    };
    assert_eq!(
        (call.function.to_string().as_str(), shown(call.with.as_ref()).as_str()),
        ("echo:1.0.0@default", "{value:«.»}")
    );
    let TaskKind::Function(call) = &task(&first.workflow, "/do/6/silent").kind else {
        panic!("a call")
    };
    assert!(call.with.is_none());
}

/// Mutation: read the second use of an anchor as an empty value.
#[test]
fn json_and_aliases_read_as_what_they_stand_for() {
    let json = workflow(JSON);
    assert_eq!(
        json.tasks.iter().map(|task| task.then.clone()).collect::<Vec<_>>(),
        [Flow::Goto(2), Flow::End, Flow::Goto(1)]
    );
    let aliases = workflow(ALIASES);
    let sets: Vec<String> = aliases
        .tasks
        .iter()
        .filter_map(|task| match &task.kind {
            TaskKind::Set(template) => Some(format!("{} {}", task.location, show(template))),
            _ => None,
        })
        .collect();
    let body = "{a:«.a»,b:[«.a»,«.a»]}";
    let expected = [
        "/do/0/first",
        "/do/1/second",
        "/do/2/third/try/0/inner",
        "/do/2/third/catch/do/0/one",
        "/do/3/fourth/do/0/one",
    ]
    .map(|location| format!("{location} {body}"));
    assert_eq!(sets, expected);
    assert_eq!(duration(task(&aliases, "/do/3/fourth").timeout.as_ref()), "1000");
}

/// Mutation: strip `${ }` in one of the forms only, or take a bare string in a template for one.
#[test]
fn an_expression_by_type_needs_no_marks_and_text_is_no_expression() {
    let check = |set: &str, expected: &str| {
        let text = format!("{HEAD}do:\n  - a:\n      set: {set}\n");
        let workflow = workflow(&text);
        let TaskKind::Set(template) = &workflow.tasks[0].kind else { panic!("a set") };
        assert_eq!(show(template), expected, "{set}");
    };
    check("${ .a }", "«.a»");
    check(".a", "«.a»");
    check("' ${.a}  '", "«.a»");
    check("|\n        ${\n          .a\n        }\n", "«.a»");
    check("{ x: .a + 1, y: '${.b}', z: ' ${ .c } ' }", r#"{x:".a + 1",y:«.b»,z:«.c»}"#);
    check("{ x: '}{', y: '$error' }", r#"{"x":"}{","y":"$error"}"#);
    check("{ x: '${ {a: 1} }' }", "{x:«{a: 1}»}");
}

/// Mutation: keep a list or an object of constants as a list or an object of templates.
#[test]
fn what_has_no_expression_in_it_is_one_constant() {
    let text = format!(
        "{HEAD}do:\n  - a:\n      set: {{x: [1, {{y: [2]}}], z: ['${{ . }}', [3, {{}}]]}}\n"
    );
    let workflow = workflow(&text);
    let TaskKind::Set(Template::Object(fields)) = &workflow.tasks[0].kind else { panic!("a set") };
    assert!(matches!(&fields[0].1, Template::Constant(_)));
    let Template::Array(items) = &fields[1].1 else { panic!("{:?}", fields[1]) };
    assert!(matches!(&items[..], [Template::Expr(_), Template::Constant(_)]));
}

/// Mutation: let a task with `if` cut off what follows it, or a switch without default skip its
/// own `then`.
#[test]
fn what_can_be_reached_is_not_warned_of() {
    let check = |tasks: &str| {
        let text = format!("{HEAD}do:\n{tasks}");
        assert!(!workflow(&text).tasks.is_empty(), "{tasks}");
    };
    check("  - a: {if: .x, set: {a: 1}, then: end}\n  - b: {set: {a: 1}}\n");
    check(
        "  - a: {switch: [{one: {when: .x, then: end}}], then: c}\n  - b: {set: {a: 1}, then: end}\n  - c: {set: {a: 1}, then: b}\n",
    );
    check("  - a: {if: .x, raise: {error: {type: x, status: 1}}}\n  - b: {set: {a: 1}}\n");
}

/// Mutation: pin nothing, refuse what nobody has looked up, or take `await` for granted.
#[test]
fn a_child_is_pinned_where_it_is_known_and_asked_for_where_it_is_not() {
    let text = "
document: { dsl: 1.0.3, namespace: n, name: w, version: 0.1.0 }
do:
  - a: { run: { workflow: { namespace: n, name: known, version: 1.0.0, input: '${ .x }' } } }
  - b: { run: { workflow: { namespace: m, name: later, version: latest }, await: false } }
";
    let read = crate::read(text).expect("a workflow");
    let children: Vec<_> = read
        .workflow
        .tasks
        .iter()
        .map(|task| match &task.kind {
            isonomy_spec::tree::TaskKind::Child(child) => child,
            other => panic!("{other:?}"),
        })
        .collect();
    let known = base::Digest::of(b"known");
    assert_eq!((children[0].revision, children[0].wait), (Some(known), true));
    assert_eq!((children[1].revision, children[1].wait), (None, false));
    assert_eq!(children[1].key.to_string(), "m/later");
    assert!(children[0].input.is_some() && children[1].input.is_none());
    let to = |name: &str| isonomy_spec::ReferenceTo {
        kind: isonomy_spec::ReferenceKind::Workflow,
        name: name.to_owned(),
    };
    let references = vec![isonomy_spec::Reference { to: to("n/known:1.0.0"), digest: known }];
    assert_eq!(read.references, references);
    assert_eq!(read.unresolved, [to("m/later:latest")]);
}
