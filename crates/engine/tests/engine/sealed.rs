//! Sealed parts: what the machine leaves to the performer, and that no secret gets into what is
//! written down.

use base::value::{object, string, to_json_string};
use base::{Namespace, SecretName, SecretVersion, Value};
use engine::effect::Action;
use engine::machine::Machine;
use engine::record::Happened;
use engine::sealed::{Keys, Late, Reads, Sealed};
use futures::FutureExt;

use crate::walk::{START, Walk, started, workflow};
use crate::world::{Outside, SECRET};

const BODY: &str = "
use: {secrets: [key, login]}
do:
  - post: {call: http, with: {method: post, endpoint: {uri: 'http://world/ok/{n}', authentication: {bearer: {token: '${ $secrets.key }'}}}, headers: {x: '${ $authorization.scheme }', y: '${ .n }'}, query: {q: '${ $secrets.login }'}, body: ['${ $input.n }', {deep: '${ \"\\($secrets.key) of \\($workflow.id)\" }'}]}}
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
    let workflow = workflow(BODY);
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
