//! Sealed parts: what the machine leaves to the performer, and that no secret gets into what is
//! written down.

use base::value::{object, string, to_json_string};
use base::{Namespace, SecretName, SecretVersion, Value};
use engine::effect::Action;
use engine::machine::Machine;
use engine::record::Happened;
use engine::sealed::{Keys, Late, Reads, Sealed, SealedCall};
use futures::FutureExt;
use spec::tree::Returns;

use crate::walk::{START, Walk, started, workflow};
use crate::world::{Outside, SECRET};

const BODY: &str = "
use: {secrets: [key, login]}
do:
  - post: {call: http, with: {method: post, endpoint: {uri: 'http://world/ok/{n}', authentication: {bearer: {token: '${ $secrets.key }'}}}, headers: {x: '${ $authorization.scheme }', y: '${ .n }'}, query: {q: '${ $secrets.login }'}, body: ['${ $input.n }', {deep: '${ \"\\($secrets.key) of \\($workflow.id)\" }'}]}}
";

const PROCESS: &str = "
use: {secrets: [key, login]}
do:
  - run: {run: {script: {language: python, code: '${ \"print(\\($secrets.key | length))\" }', stdin: '${ .n }', arguments: ['${ .n }', b], environment: {KEY: '${ $secrets.key }', N: '${ .n }', NONE: '${ null }'}}, return: all}}
";

const OPERATION: &str = "
use: {secrets: [key, login]}
do:
  - ask: {call: openapi, with: {document: {endpoint: 'http://docs/openapi.yaml'}, operationId: order, authentication: {bearer: {token: '${ $secrets.login }'}}, parameters: {item: '${ .n }', tag: ['${ $secrets.key }', '${ .n }'], ids: ['${ .n }', '${ $secrets.key }'], x-team: '${ $authorization.scheme }', session: '${ $secrets.key }', pieces: '${ .n }', key: '${ $secrets.key }'}}}
";

fn sealed(walk: &Walk) -> Sealed {
    match &*walk.performs[0].action {
        Action::Sealed(sealed) => (**sealed).clone(),
        other => panic!("not sealed: {other:?}"),
    }
}

fn open(sealed: &Sealed, secrets: Value) -> Result<Action, base::Fault> {
    let authorization = object([("scheme", string("Bearer"))]);
    let keys = Keys { secrets, authorization };
    sealed.open(&keys, &Outside).now_or_never().expect("nothing here waits")
}

/// Mutation: evaluate a sealed part in the machine, or leave a plain one to the performer.
#[test]
fn everything_but_the_secret_is_evaluated_before() {
    let walk = Walk::start(BODY, r#"{"n":3}"#);
    let sealed = sealed(&walk);
    let Late::Object(parts) = &sealed.parts else { panic!("parts are an object") };
    let uri = parts.iter().find(|(name, _)| &**name == "uri").map(|(_, late)| late);
    assert_eq!(uri.and_then(Late::as_value), Some(&string("http://world/ok/3")));
    assert_eq!(sealed.summary(), "POST http://world/ok/3");
    let names: Vec<&str> =
        sealed.secrets(&walk.performs[0].secrets).iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["key", "login"]);
    let secrets = object([("key", string("k")), ("login", string("l"))]);
    let Ok(Action::Http(request)) = open(&sealed, secrets) else { panic!("it opens") };
    assert_eq!(request.headers, [("x".into(), "Bearer".into()), ("y".into(), "3".into())]);
    assert_eq!(request.query, [("q".into(), "l".into())]);
    let body = to_json_string(&request.body.expect("a body"));
    assert_eq!(body, r#"[3,{"deep":"k of run_01900000-0000-7000-8000-000000000001"}]"#);
}

/// Mutation: give a header the values of another one, or one value for two.
#[test]
fn an_operation_with_authentication_keeps_its_parameters() {
    let body = "
use: {secrets: [key]}
do:
  - ask:
      call: openapi
      with:
        document: {endpoint: 'http://docs/openapi.yaml'}
        operationId: order
        parameters: {item: 1, tag: [a, b], x-team: t, ids: [1, 2]}
        authentication: {bearer: {token: '${ $secrets.key }'}}
";
    let sealed = sealed(&Walk::start(body, "{}"));
    let opened = open(&sealed, object([("key", string(SECRET))]));
    let Ok(Action::Http(request)) = opened else { panic!("{opened:?}") };
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    };
    assert_eq!(pairs(&request.query), "tag=a&tag=b&ids=1,2");
    assert_eq!(pairs(&request.headers), "x-team=t");
}

/// Mutation: hand a part of a process to the performer that is none of its own, or lose one.
#[test]
fn a_process_gets_the_secret_when_it_is_opened() {
    let walk = Walk::start(PROCESS, r#"{"n":3}"#);
    let sealed = sealed(&walk);
    assert_eq!((sealed.summary().as_str(), sealed.code_is_sealed()), ("script python", true));
    let Ok(Action::Process(request)) = open(&sealed, object([("key", string(SECRET))])) else {
        panic!("it opens")
    };
    assert_eq!(request.code, format!("print({})", SECRET.len()));
    assert_eq!((request.stdin.as_str(), request.returns), ("3", Returns::All));
    assert_eq!(request.arguments, ["3", "b"]);
    let environment = [("KEY", SECRET), ("N", "3")].map(|(name, it)| (name.into(), it.into()));
    assert_eq!(request.environment, environment);
    let plain = PROCESS.replace("($secrets.key | length)", "(1)");
    assert!(!self::sealed(&Walk::start(&plain, "{}")).code_is_sealed());
}

/// Mutation: take a wrong value of a sealed part for a right one, or show it.
#[test]
fn a_process_that_cannot_be_given_its_secret_says_so_without_it() {
    let check = |part: &str, secret: Value, expected: &str| {
        let body =
            format!("use: {{secrets: [key]}}\ndo: [{{run: {{run: {{shell: {{{part}}}}}}}}}]");
        let fault = open(&sealed(&Walk::start(&body, "{}")), object([("key", secret)]));
        let fault = fault.expect_err("it is wrong");
        assert_eq!(fault.detail.as_deref(), Some(expected));
        assert_eq!(fault.kind(), base::ErrorType::Configuration);
    };
    let code = "command: '${ $secrets.key }'";
    let environment = "command: ls, environment: {KEY: '${ $secrets.key }'}";
    check(code, base::value::int(7), "the code is a number, not a string");
    check(
        environment,
        object([("password", string(SECRET))]),
        "`KEY` in the environment is an object, not a single value; `tojson` makes text of it",
    );
    check(
        environment,
        string("a\0b"),
        "`KEY` in the environment holds a zero byte, and no program can get one",
    );
}

/// Mutation: send a parameter elsewhere than in a call that is not sealed, or show what is.
#[test]
fn an_operation_gets_the_secret_when_it_is_opened() {
    let walk = Walk::start(OPERATION, r#"{"n":3}"#);
    let sealed = sealed(&walk);
    assert_eq!(sealed.summary(), "POST http://world/ok/3");
    let secrets = object([("key", string("k 1")), ("login", string("l"))]);
    let Ok(Action::Http(request)) = open(&sealed, secrets) else { panic!("it opens") };
    let pairs = |of: &[(&str, &str)]| -> Vec<(String, String)> {
        of.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    };
    assert_eq!((&*request.method, &*request.uri), ("POST", "http://world/ok/3"));
    assert_eq!(request.query, pairs(&[("tag", "k 1"), ("tag", "3"), ("ids", "3,k 1")]));
    let headers =
        [("x-team", "Bearer"), ("Cookie", "session=k 1"), ("Content-Type", "application/json")];
    assert_eq!(request.headers, pairs(&headers));
    assert_eq!(to_json_string(&request.body.expect("a body")), r#"{"pieces":3,"key":"k 1"}"#);

    let path = OPERATION.replace("item: '${ .n }'", "item: '${ $secrets.key }'");
    let sealed = self::sealed(&Walk::start(&path, r#"{"n":3}"#));
    assert_eq!(sealed.summary(), "POST http://world/ok/{item}");
    let secrets = object([("key", Value::Null), ("login", string("l"))]);
    let detail = open(&sealed, secrets).expect_err("it is required").detail;
    assert_eq!(detail.as_deref(), Some("the parameter `item` is required, and its value is null"));
}

/// Mutation: seal what reads no secret, so that journals of before lead elsewhere.
#[test]
fn an_operation_that_only_authenticates_itself_is_a_request_already() {
    let body = OPERATION.replace("$secrets.key", ".n").replace("$authorization.scheme", ".n");
    let sealed = sealed(&Walk::start(&body, r#"{"n":3}"#));
    assert!(matches!(sealed.call, SealedCall::Http { .. }), "{:?}", sealed.call);
}

/// Mutation: put a value of a secret into a message.
#[test]
fn an_error_of_a_sealed_part_shows_its_text_and_no_value() {
    let body = "
use: {secrets: [key]}
do: [{say: {call: 'echo:1.0.0@default', with: {a: '${ $secrets.key.missing }'}}}]
";
    let walk = Walk::start(body, "{}");
    let fault = open(&sealed(&walk), object([("key", string(SECRET))])).expect_err("no field");
    let detail = fault.detail.expect("a detail");
    assert!(detail.starts_with("`$secrets.key.missing` cannot index a string"), "{detail}");
    assert!(!detail.contains(SECRET));
    let long = body.replace(".missing", &".missing".repeat(20));
    let walk = Walk::start(&long, "{}");
    let fault = open(&sealed(&walk), object([("key", string(SECRET))])).expect_err("no field");
    let detail = fault.detail.expect("a detail");
    assert!(detail.contains("…` cannot") && detail.len() < 200, "{detail}");
}

/// Mutation: ask for all secrets where it is known which are read, or for too few where it is not.
#[test]
fn a_sealed_call_says_which_secrets_it_reads() {
    let reads = |with: &str| {
        let body = format!(
            "use: {{secrets: [key, login]}}\ndo: [{{say: {{call: 'echo:1.0.0@default', with: {with}}}}}]"
        );
        sealed(&Walk::start(&body, "{}")).parts.reads()
    };
    let these = |names: &[&str]| Reads::These(names.iter().map(|&name| name.to_owned()).collect());
    assert_eq!(reads("{a: '${ $secrets.key }', b: '${ .n }'}"), these(&["key"]));
    assert_eq!(
        reads("{a: ['${ $secrets.key }', {b: '${ $secrets.login }'}]}"),
        these(&["key", "login"])
    );
    assert_eq!(reads("{a: '${ $secrets | keys }'}"), Reads::All);
}

/// Mutation: record what was opened, or look a version up again.
#[test]
fn records_and_snapshots_hold_the_version_and_no_value() {
    [BODY, PROCESS, OPERATION].into_iter().for_each(survives);
}

fn survives(body: &str) {
    let workflow = workflow(body);
    let mut start = started(&workflow, r#"{"n":3}"#);
    let name = SecretName::parse("key").expect("a name");
    start.secrets = vec![(name.clone(), SecretVersion(4))];
    let mut machine = Machine::new(workflow.clone());
    let happened = Happened::Started(Box::new(start));
    let step = machine.handle(START, &happened).expect("it starts");
    assert_eq!(step.decided.len(), 1);
    let frozen = machine.freeze();
    let thawed = Machine::from_snapshot(workflow, &frozen.bytes, &Default::default());
    let thawed = thawed.expect("a snapshot that was just written");
    assert!(thawed == machine, "a sealed effect survives its snapshot");
    let text = String::from_utf8(frozen.bytes).expect("JSON");
    assert!(text.contains(r#""secrets":[["key",4]]"#) && text.contains("$secrets.key"), "{text}");
    for effect in thawed.outstanding() {
        let engine::machine::Effect::Perform(perform) = effect else { continue };
        let login = SecretName::parse("login").expect("a name");
        assert_eq!(*perform.secrets, [(name.clone(), Some(SecretVersion(4))), (login, None)]);
    }
}

/// Mutation: leave the sealed text, or what it reads, out of the digest of the control state.
#[test]
fn a_replay_that_seals_something_else_is_noticed() {
    let control = |body: &str, input: &str| Walk::start(body, input).machine.control();
    let swapped = OPERATION.replace("tag:", "@").replace("ids:", "tag:").replace('@', "ids:");
    for (body, other) in [
        (PROCESS, PROCESS.replace("KEY:", "KAY:")),
        (PROCESS, PROCESS.replace("$secrets.key }", "$secrets.login }")),
        (PROCESS, PROCESS.replace("return: all", "return: code")),
        (PROCESS, PROCESS.replace("language: python", "language: js")),
        (OPERATION, OPERATION.replace("session: '${ $secrets.key", "session: '${ $secrets.login")),
        (OPERATION, swapped),
    ] {
        let usual = control(body, r#"{"n":3}"#);
        assert_eq!(usual, control(body, r#"{"n":3}"#));
        assert_ne!(usual, control(body, r#"{"n":4}"#));
        assert_ne!(usual, control(&other, r#"{"n":3}"#), "{other}");
    }
    let usual = control(BODY, r#"{"n":3}"#);
    assert_eq!(usual, control(BODY, r#"{"n":3}"#));
    assert_ne!(usual, control(BODY, r#"{"n":4}"#));
    assert_ne!(
        usual,
        control(
            &BODY.replace("token: '${ $secrets.key", "token: '${ $secrets.login"),
            r#"{"n":3}"#
        )
    );
    assert_ne!(
        usual,
        control(&BODY.replace("'${ $secrets.login }'", "'${ $secrets.key }'"), r#"{"n":3}"#)
    );
}

/// Mutation: call a missing secret anything but an `authorization` error 403.
#[test]
fn a_missing_secret_is_an_authorization_error() {
    let namespace = Namespace::parse("lab").expect("a name");
    let fault = engine::secret::missing(&namespace, &SecretName::parse("key").expect("a name"));
    assert_eq!((fault.kind(), fault.status), (base::ErrorType::Authorization, 403));
}
