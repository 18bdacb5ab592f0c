//! Secrets and authentication with the real binary: what a person types, what the other side gets,
//! and that no value is left anywhere but with its provider.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::world::{Answer, World};
use crate::support::{Ended, Home, document};

const KEY: &str = "k3y-of-the-file";
const PASSWORD: &str = "p4ss-of-the-file";
const FROM_ENVIRONMENT: &str = "v4lue-of-the-environment";
const FROM_COMMAND: &str = "v4lue-of-the-command";
const TOKEN: &str = "t0ken-of-the-stand-in";

/// Not a secret: what the same search must find.
const MARKER: &str = "m4rker-of-the-input";

const USE: &str = "use:\n  secrets: [key, login, variable, command, client]\n";

const TASKS: &str = "
  - all:
      call: http
      with:
        method: post
        endpoint:
          uri: '${ \"WORLD/key/\" + $secrets.key }'
          authentication: { basic: { use: login } }
        headers: { x-key: '${ $secrets.variable }' }
        query: { q: '${ $secrets.login.password }' }
        body: { marker: '${ .marker }', key: '${ [$secrets.command, limit(1; repeat($secrets.key))] }' }
        output: response
  - token:
      call: http
      with:
        method: get
        endpoint: { uri: WORLD/token-wanted, authentication: { oauth2: { use: client } } }
        output: response
  - notify:
      call: notify:1.0.0@default
      with: { url: '${ \"WORLD/\" + $secrets.key }', message: done }
  - wrong:
      try:
        - fails:
            call: http
            with: { method: get, endpoint: '${ \"WORLD/fail/\" + $secrets.key }' }
        - never: { set: { never: true } }
      catch: { as: e, do: [ { seen: { set: { error: '${ $e }' } } } ] }
  - hang:
      call: http
      with: { method: get, endpoint: WORLD/hang, headers: { x-key: '${ $secrets.key }' } }
";

fn allow(home: &Home, world: &World) {
    let config = format!(
        "spec:\n  egress:\n    - {{destination: '{url}', allow: true}}\n    - {{destination: 'https://petstore.swagger.io', to: '{url}'}}\n    - {{destination: 'http://keycloak', to: '{url}'}}\n  secrets:\n    environment: [{{name: variable, variable: SITE_SECRET}}]\n    commands: [{{name: command, argv: [cat, '{command}']}}]\n",
        url = world.url,
        command = home.path("vault/command").display(),
    );
    home.write(".isonomy/site.yaml", &config);
    home.write("vault/command", FROM_COMMAND);
}

fn workflow(world: &World, name: &str, tasks: &str) -> String {
    document(name, tasks).replace("do:\n", &format!("{USE}do:\n")).replace("WORLD", &world.url)
}

fn set(home: &Home, args: &[&str], value: &str) -> Ended {
    let args: Vec<&str> = ["secrets", "set"].iter().chain(args).copied().collect();
    home.run_with_stdin(&args, value)
}

/// Every file below a folder that holds any of the texts.
pub fn holding(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holding(&path, texts));
        } else {
            let bytes = fs::read(&path).expect("a file");
            let holds = |text: &&str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
            if texts.iter().any(holds) {
                found.push(path);
            }
        }
    }
    found
}

/// What a list of processes shows of everybody's arguments.
fn arguments_of_all_processes() -> String {
    let mut all = String::new();
    for entry in fs::read_dir("/proc").expect("processes").flatten() {
        // A process may end between the two looks.
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        all.push_str(&String::from_utf8_lossy(&arguments));
        all.push('\n');
    }
    all
}

/// Mutation: record what was opened, log a request, put a value into an error or an answer, or take
/// a value as an argument.
#[test]
fn no_secret_is_found_anywhere_but_with_its_provider() {
    let world = World::new(|request| match &*request.path {
        "/realm/oauth2/token" => {
            Answer::Json(format!(r#"{{"access_token":"{TOKEN}","expires_in":300}}"#))
        }
        "/hang" => Answer::Silence,
        path if path.starts_with("/fail/") => Answer::Status(500),
        _ => Answer::Json("{}".to_owned()),
    });
    let home = Home::new();
    allow(&home, &world);
    let dev = home.dev_with(&["--log", "trace"], &[("SITE_SECRET", FROM_ENVIRONMENT)]);
    let mut said = vec![
        set(&home, &["key", "--reason", "rotated"], KEY).ends_with(0),
        set(&home, &["login", "--json"], &format!(r#"{{"username":"ada","password":"{PASSWORD}"}}"#)).ends_with(0),
        set(
            &home,
            &["client", "--json"],
            &format!(r#"{{"authority":"{}/realm","grant":"client_credentials","client":{{"id":"me","secret":"{PASSWORD}"}}}}"#, world.url),
        )
        .ends_with(0),
        set(&home, &["variable"], KEY).ends_with(2),
        home.run(&["secrets", "list", "-o", "json"]).ends_with(0),
    ];
    home.write("flow.yaml", &workflow(&world, "flow", TASKS));
    let marker = format!("marker={MARKER}");
    let started = home.run(&["run", "flow.yaml", "-i", &marker, "--detach"]).ends_with(0);
    let run = started.run_id();
    said.push(started);
    let all = loop {
        let request = world.request();
        assert!(!request.path.contains("$secrets"), "{request:?}");
        if request.path == "/hang" {
            break arguments_of_all_processes();
        }
        let expected = match &*request.path {
            path if path.starts_with("/key/") => {
                assert_eq!(path, format!("/key/{KEY}?q={PASSWORD}"));
                assert!(request.body.contains(FROM_COMMAND) && request.body.contains(KEY));
                "Basic "
            }
            "/token-wanted" => &format!("Bearer {TOKEN}"),
            _ => "",
        };
        assert!(request.authorization.starts_with(expected), "{request:?}");
    };
    for args in [
        vec!["runs", "show", &run],
        vec!["runs", "show", &run, "-o", "json"],
        vec!["runs", "events", &run, "--all", "-o", "json"],
        vec!["runs", "list", "-o", "json"],
        vec!["runs", "cancel", &run],
        vec!["runs", "follow", &run, "-o", "json"],
        vec!["workflows", "show", "flow", "-o", "json"],
    ] {
        said.push(home.run(&args));
    }
    said.push(dev.stop());
    let texts: String = said.iter().map(|it| format!("{}\n{}\n", it.stdout, it.stderr)).collect();
    let texts = format!("{texts}\n{all}");
    let basic = "YWRhOnA0c3Mtb2YtdGhlLWZpbGU=";
    let secrets = [KEY, PASSWORD, FROM_ENVIRONMENT, FROM_COMMAND, TOKEN, basic];
    for secret in secrets {
        assert!(!texts.contains(secret), "{secret} in what was said");
    }
    let mut found = holding(&home.path(".isonomy"), &secrets);
    found.retain(|path| !path.starts_with(home.path(".isonomy/secrets")));
    assert_eq!(found, Vec::<PathBuf>::new());

    // The same search finds what is no secret, and the secrets where they belong.
    assert!(texts.contains(MARKER) && texts.contains("TRACE"), "nothing was searched");
    assert!(!holding(&home.path(".isonomy"), &[MARKER]).is_empty());
    assert_eq!(holding(&home.path(".isonomy/secrets"), &[KEY, PASSWORD]).len(), 3);
}

/// Mutation: let a run look its secrets up anew.
#[test]
fn a_run_goes_on_with_the_version_that_it_was_started_with() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let world = World::new(move |request| {
        if request.path == "/one" {
            wait.lock().expect("no thread panicked").recv().expect("the test goes on");
        }
        Answer::Json("{}".to_owned())
    });
    let home = Home::new();
    allow(&home, &world);
    let dev = home.dev();
    set(&home, &["key"], "first").ends_with(0);
    let call = |path: &str| {
        format!(
            "  - c{path}:\n      call: http\n      with: {{ method: post, endpoint: WORLD/{path}, body: '${{ $secrets.key }}' }}\n"
        )
    };
    home.write("flow.yaml", &workflow(&world, "flow", &format!("{}{}", call("one"), call("two"))));
    let run = home.run(&["run", "flow.yaml", "--detach"]).ends_with(0).run_id();
    // The first request is held back until the secret has changed.
    let home = &home;
    std::thread::scope(|scope| {
        let changed = scope.spawn(|| set(home, &["key"], "second").ends_with(0));
        let said = changed.join().expect("no panic");
        assert!(said.stderr.contains("version 2"), "{said:?}");
    });
    go.send(()).expect("the world waits");
    assert_eq!(["first", "first"], [world.request().body, world.request().body]);
    home.run(&["runs", "follow", &run]).ends_with(0);
    let again = home.run(&["run", "flow.yaml", "--detach"]).ends_with(0).run_id();
    go.send(()).expect("the world waits");
    assert_eq!(["second", "second"], [world.request().body, world.request().body]);
    home.run(&["runs", "follow", &again]).ends_with(0);
    dev.stop();
}

/// Mutation: take a missing secret for an empty one, or forget the way out.
#[test]
fn a_missing_secret_faults_the_task_until_it_is_set() {
    let world = World::new(|_| Answer::Json("{}".to_owned()));
    let home = Home::new();
    allow(&home, &world);
    let dev = home.dev();
    let task = "  - call:\n      call: http\n      with: { method: post, endpoint: WORLD/x, body: '${ $secrets.key }' }\n";
    home.write("flow.yaml", &workflow(&world, "flow", task));
    let faulted = home.run(&["run", "flow.yaml"]).ends_with(1);
    assert!(faulted.stderr.contains("isonomy secrets set key -n default"), "{}", faulted.stderr);
    set(&home, &["key"], "set\n").ends_with(0);
    let run = faulted.run_id();
    home.run(&["runs", "retry", &run]).ends_with(0);
    home.run(&["runs", "follow", &run]).ends_with(0);
    assert_eq!(world.request().body, "set");
    assert_eq!(world.effects().len(), 1);
    home.run(&["secrets", "delete", "key", "--reason", "over"]).ends_with(0);
    let gone = home.run(&["secrets", "delete", "key"]).ends_with(2);
    assert!(gone.stderr.contains("SEC-001"), "{}", gone.stderr);
    dev.stop();
}

/// Where the specification's examples lie, if they are at hand.
fn examples() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("ISONOMY_CONFORMANCE").map(PathBuf::from);
    let places = [
        named,
        Some(root.join("testing/conformance")),
        Some(root.join("..").join("shared").join("conformance")),
    ];
    let below = |place: PathBuf| place.join("open-workflow/examples");
    places.into_iter().flatten().map(below).find(|place| place.is_dir())
}

/// Mutation: ask another token endpoint than the document's, or send the token nowhere.
#[test]
fn the_specifications_examples_of_authentication_run_against_a_stand_in() {
    let Some(folder) = examples() else {
        eprintln!("skipped: the specification's examples are not at hand");
        return;
    };
    let world = World::new(|request| {
        match &*request.path {
        "/realms/fake-authority/.well-known/openid-configuration" => Answer::Json(
            r#"{"issuer":"http://keycloak/realms/fake-authority","token_endpoint":"http://keycloak/token"}"#.to_owned(),
        ),
        "/realms/fake-authority/auth/token" | "/realms/fake-authority/oauth2/token" | "/token" => {
            match request.body.contains("client_secret=workflow-runtime-secret") {
                true => Answer::Json(r#"{"access_token":"given","token_type":"Bearer","expires_in":60}"#.to_owned()),
                false => Answer::Status(400),
            }
        }
        "/v2/pet/1" if ["Bearer given", "Bearer mine"].contains(&&*request.authorization) => {
            Answer::Json(format!("{:?}", request.authorization))
        }
        _ => Answer::Status(401),
    }
    });
    let home = Home::new();
    allow(&home, &world);
    let dev = home.dev();
    let client = r#"{"authority":"http://keycloak/realms/fake-authority","grant":"client_credentials","client":{"id":"workflow-runtime-id","secret":"workflow-runtime-secret"}}"#;
    set(&home, &["mySecret", "-n", "examples", "--json"], client).ends_with(0);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("examples").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("authentication-") {
            continue;
        }
        count += 1;
        let file = entry.path().display().to_string();
        let ended = home.run(&["run", &file, "-i", "petId=1", "-i", "token=mine"]).ends_with(0);
        let wanted =
            if name.contains("bearer") || name.contains("reusable") { "mine" } else { "given" };
        assert_eq!(ended.json(), format!("Bearer {wanted}"), "{name}");
    }
    assert_eq!(count, 7);
    dev.stop();
}
