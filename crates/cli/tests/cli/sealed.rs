//! Secrets in scripts, commands and operations, with the real binary: the value arrives, and is left
//! nowhere.

use std::path::PathBuf;

use serde_json::Value;

use crate::secrets::{arguments_of_all_processes, holding, set};
use crate::support::world::{Answer, World};
use crate::support::{Home, document};

const KEY: &str = "k3y-of-the-process";
const PASSWORD: &str = "p4ss-of-the-process";

/// Not a secret: what the same search must find.
const MARKER: &str = "m4rker-of-the-script";

const OPENAPI: &str = r#"{"openapi": "3.0.3", "servers": [{"url": "/"}], "paths": {"/orders/{item}": {"post": {
    "operationId": "order", "requestBody": {"content": {"application/json": {}}},
    "parameters": [{"name": "item", "in": "path", "required": true}, {"name": "q", "in": "query"}]}}}}"#;

/// The secret is written, cut in two, sent, asked for as a host, computed into code, and part of an
/// error.
const TASKS: &str = "
  - script:
      run:
        script:
          language: python
          stdin: '${ $secrets.login.password }'
          environment: { KEY: '${ $secrets.key }', MARKER: '${ .marker }', WORLD: '${ .world }' }
          code: |
            import os, sys, urllib.error, urllib.request
            key, word, world = os.environ['KEY'], sys.stdin.read(), os.environ['WORLD']
            def ask(address, body):
                try:
                    return urllib.request.urlopen(address, body.encode()).status
                except urllib.error.HTTPError as error:
                    return error.code
            print('marker', os.environ['MARKER'], key)
            print('word', word, file=sys.stderr)
            print(key[:5], end='', flush=True)
            assert ask(world + '/script', key + ' ' + word) == 200
            assert ask('http://' + key + '.test/', '') == 403
            print(key[5:])
        return: code
  - code:
      run: { shell: { command: '${ \"printf %s \" + $secrets.key + \" | wc -c\" }' } }
      output: { as: '${ {length: tonumber} }' }
  - wrong:
      try:
        - fails: { run: { shell: { command: 'echo $KEY >&2; exit 3', environment: { KEY: '${ $secrets.key }' } } } }
      catch: { as: e, do: [ { seen: { set: { error: '${ $e }', length: '${ .length }' } } } ] }
  - order:
      call: openapi
      with:
        document: { endpoint: WORLD/openapi.json }
        operationId: order
        parameters: { item: '${ $secrets.key }', q: '${ $secrets.login.password }', length: '${ .length }', key: '${ $secrets.key }' }
        output: response
  - hang:
      run:
        script:
          language: python
          stdin: WORLD/hang
          environment: { KEY: '${ $secrets.key }' }
          code: '${ \"import os, sys, urllib.request\\nkey = \\\"\" + $secrets.login.password + \"\\\"\\nurllib.request.urlopen(sys.stdin.read())\" }'
";

fn workflow(name: &str, tasks: &str) -> String {
    document(name, tasks).replace("do:\n", "use:\n  secrets: [key, login]\ndo:\n")
}

fn set_both(home: &Home) {
    set(home, &["key"], KEY).ends_with(0);
    let login = format!(r#"{{"username":"ada","password":"{PASSWORD}"}}"#);
    set(home, &["login", "--json"], &login).ends_with(0);
}

/// Mutation: record what was opened, give it as an argument, leave a log or a crossing as it is, or
/// give a part of a process or of an operation another value than its secret's.
#[test]
fn a_secret_reaches_a_process_and_an_operation_and_is_found_nowhere_else() {
    let world = World::new(|request| match &*request.path {
        "/openapi.json" => Answer::Json(OPENAPI.to_owned()),
        "/hang" => Answer::Silence,
        _ => Answer::Json("{}".to_owned()),
    });
    let home = Home::new();
    home.allow(&world.url);
    let dev = home.dev_with(&["--log", "trace"], &[]);
    set_both(&home);
    home.write(
        "flow.yaml",
        &workflow("flow", &TASKS.replace("WORLD/", &format!("{}/", world.url))),
    );
    let (marker, address) = (format!("marker={MARKER}"), format!("world={}", world.url));
    let args = ["run", "flow.yaml", "-i", &marker, "-i", &address, "--detach"];
    let started = home.run(&args).ends_with(0);
    let run = started.run_id();
    let request = |path: &str| {
        let request = world.request();
        assert!(request.path.starts_with(path), "{request:?}");
        request
    };
    request("/openapi.json");
    assert_eq!(request("/script").body, format!("{KEY} {PASSWORD}"));
    let order = request("/orders/");
    assert_eq!(order.path, format!("/orders/{KEY}?q={PASSWORD}"));
    assert_eq!(order.body, format!(r#"{{"length":{},"key":"{KEY}"}}"#, KEY.len()));
    request("/hang");
    let all = arguments_of_all_processes();
    let logs = home.run(&["runs", "logs", &run, "-o", "json"]).ends_with(0);
    let of_script = |stream: &str| -> String {
        let pieces = logs
            .stdout
            .lines()
            .map(|line| -> Value { serde_json::from_str(line).expect("a piece") });
        let of = pieces.filter(|it| it["activation"] == "/script" && it["stream"] == stream);
        of.map(|it| it["text"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(of_script("stdout"), format!("marker {MARKER} ***\n***\n"));
    assert_eq!(of_script("stderr"), "word ***\n");
    let shown = home.run(&["runs", "show", &run, "-o", "json"]).ends_with(0);
    assert!(shown.stdout.contains("http://***.test"), "{}", shown.stdout);
    let mut said = vec![started, logs, shown];
    for args in [
        vec!["runs", "show", &run],
        vec!["runs", "events", &run, "--all", "-o", "json"],
        vec!["runs", "logs", &run],
        vec!["runs", "cancel", &run],
        vec!["runs", "follow", &run, "-o", "json"],
        vec!["workflows", "show", "flow", "-o", "json"],
        vec!["events", "list", "-o", "json"],
    ] {
        said.push(home.run(&args));
    }
    said.push(dev.stop());
    let texts: String = said.iter().map(|it| format!("{}\n{}\n", it.stdout, it.stderr)).collect();
    let texts = format!("{texts}\n{all}");
    for secret in [KEY, PASSWORD] {
        let line = texts.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} in what was said");
    }
    let mut found = holding(&home.path(".isonomy"), &[KEY, PASSWORD]);
    found.retain(|path| !path.starts_with(home.path(".isonomy/secrets")));
    assert_eq!(found, Vec::<PathBuf>::new());
    assert_eq!(home.temporary_files(), Vec::<PathBuf>::new());

    // The same search finds what is no secret, and the secrets where they belong.
    assert!(texts.contains("TRACE"), "nothing was searched");
    assert!(!holding(&home.path(".isonomy"), &[MARKER]).is_empty());
    assert_eq!(holding(&home.path(".isonomy/secrets"), &[KEY, PASSWORD]).len(), 2);
}

/// Mutation: write the code of a process outside of a sandbox into its file, or refuse what is safe.
#[test]
fn without_a_sandbox_a_secret_is_no_part_of_the_code() {
    let home = Home::new();
    home.write(".isonomy/site.yaml", "spec: {scripts: unconfined}\n");
    let dev = home.dev();
    set_both(&home);
    let code = "\n  - go: { run: { shell: { command: '${ \"echo \" + $secrets.key }' } } }\n";
    home.write("code.yaml", &workflow("code", code).replace("do:\n\n", "do:\n"));
    let ended = home.run(&["run", "code.yaml"]).ends_with(1);
    assert!(ended.stderr.contains("pass the secret by `environment` or `stdin`"), "{ended:?}");
    let given = "\n  - go: { run: { shell: { command: 'cat; test $KEY = k3y-of-the-process', stdin: '${ $secrets.login.username }', environment: { KEY: '${ $secrets.key }' } } } }\n";
    home.write("given.yaml", &workflow("given", given).replace("do:\n\n", "do:\n"));
    assert_eq!(home.run(&["run", "given.yaml"]).ends_with(0).json(), "ada");
    dev.stop();
}
