//! Keys, contexts, and asking over a network.

use std::fs;

use serde_json::Value;

use crate::support::http::{Door, ask};
use crate::support::{Dev, Ended, Home, document};

/// What the command prints with this key in its environment.
fn with_key(home: &Home, key: &str, args: &[&str]) -> Ended {
    let mut command = home.command(args);
    command.env("ISONOMY_KEY", key);
    crate::support::Process::spawn(command).end()
}

fn key(home: &Home, args: &[&str]) -> String {
    let made = home.run(&[&["keys", "create"], args].concat()).ends_with(0);
    made.stdout.trim().to_owned()
}

/// The last word behind this in what a server says.
fn said(dev: &mut Dev, wanted: &str) -> String {
    let line = dev.process.stderr.until(wanted);
    line.split(wanted).nth(1).expect("behind it").to_owned()
}

/// Mutation: leave the key behind, let an operator apply, or record the claim in place of the key.
#[test]
fn a_folder_has_its_own_key_and_others_are_handed_out() {
    let home = Home::new();
    home.write("a.yaml", &document("a", "  - x: { set: { y: 1 } }\n"));
    let dev = home.dev();
    let nobody = Door { key: None, ..dev.door() };
    let refused = ask(&nobody, "GET", "/api/v1/health", &Value::Null).expect("an answer");
    assert_eq!((refused.status, &refused.body["code"]), (401, &"KEY-001".into()));
    home.run(&["apply", "-f", "a.yaml", "--yes"]).ends_with(0);
    let operator = key(&home, &["night-shift", "--role", "operator", "--role", "lab=viewer"]);
    assert!(operator.starts_with("isonomy-key-"), "{operator}");
    let denied = with_key(&home, &operator, &["apply", "-f", "a.yaml", "--yes"]).ends_with(3);
    assert!(denied.stderr.contains("KEY-002"), "{}", denied.stderr);
    let run = with_key(&home, &operator, &["run", "a", "--detach"]).ends_with(0);
    let events = home.run(&["runs", "events", &run.run_id(), "-o", "json"]).ends_with(0);
    assert!(events.stdout.contains("key:night-shift"), "{}", events.stdout);
    let who = with_key(&home, &operator, &["whoami", "-o", "json"]).ends_with(0).json();
    assert_eq!((&who["kind"], &who["roles"]["lab"]), (&"site".into(), &"viewer".into()), "{who}");
    let list = home.run(&["keys"]).ends_with(0);
    assert!(list.stdout.contains("night-shift") && !list.stdout.contains(&operator));
    home.run(&["keys", "revoke", "night-shift"]).ends_with(2);
    home.run(&["keys", "revoke", "night-shift", "--yes"]).ends_with(0);
    let over = with_key(&home, &operator, &["runs"]).ends_with(3);
    assert!(over.stderr.contains("revoked"), "{}", over.stderr);
    with_key(&home, "isonomy-key-no", &["runs"]).ends_with(2);
    home.run(&["keys", "create", "x", "--role", "owner"]).ends_with(2);
    dev.stop().ends_with(0);
    assert!(!home.path(".isonomy/key").exists());
    // Not a byte of it is on the disk.
    let stored = fs::read(home.path(".isonomy/isonomy.db")).expect("a store");
    let body = operator.trim_start_matches("isonomy-key-").as_bytes();
    assert!(!stored.windows(body.len()).any(|bytes| bytes == body));
}

/// Mutation: trust any root, take a certificate that is not trusted for nobody, take a key from the arguments, or talk to another server than the context's.
#[test]
fn a_hub_is_asked_from_elsewhere_over_tls() {
    let home = Home::new();
    let made = home.run(&["hub", "init", "--domain", "acme", "-o", "json"]).ends_with(0).json();
    let first = made["key"].as_str().expect("a key").to_owned();
    let serve = ["hub", "serve", "--listen", "127.0.0.1:0", "--port", "0", "--api", "127.0.0.1:0"];
    let mut governing = Dev::of(home.start(&serve));
    let port = said(&mut governing, "people elsewhere ask at port ");
    let port = port.split(' ').next().expect("a number").to_owned();
    let root = said(&mut governing, "--root ");
    let root = root.split(' ').next().expect("a digest").to_owned();
    let server = format!("https://127.0.0.1:{port}");
    let elsewhere = Home::new();
    let config = elsewhere.path("config");
    let run = |args: &[&str], stdin: &str| {
        let mut command = elsewhere.command(args);
        command.env("XDG_CONFIG_HOME", &config);
        crate::support::Process::with_stdin(command, stdin).end()
    };
    let add = ["context", "add", "acme", "--server", &server, "--key", "-"];
    // Without its root it is a stranger, which is no reason not to keep the context.
    let untried = run(&add, &first).ends_with(0);
    assert!(untried.stderr.contains("without having been tried"), "{}", untried.stderr);
    assert!(untried.stderr.contains("--root DIGEST"), "{}", untried.stderr);
    let stranger = run(&["whoami"], "").ends_with(6).stderr;
    assert!(stranger.contains("is not trusted") && !stranger.contains("isonomy dev"), "{stranger}");
    let end = if root.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{end}", &root[..root.len() - 1]);
    run(&[&add[..], &["--root", &other]].concat(), &first).ends_with(0);
    run(&["whoami"], "").ends_with(6);
    let with_root = [&add[..], &["--root", &root]].concat();
    let added = run(&with_root, &first).ends_with(0);
    assert!(added.stderr.contains("key:admin at the hub acme"), "{}", added.stderr);
    run(&with_root, "isonomy-key-wrong").ends_with(2);
    assert_eq!(fs::metadata(&config).map(|it| it.is_dir()).ok(), Some(true));
    let token = ["hub", "token", "create", "--site", "clinic-1", "--hub", "hub.example:7473"];
    run(&token, "").ends_with(0);
    let sites = run(&["sites", "-o", "json"], "").ends_with(0).json();
    assert_eq!(sites["items"][0]["site"], "clinic-1", "{sites}");
    let wrong = run(&["runs"], "").ends_with(2);
    assert!(wrong.stderr.contains("the context `acme` is a hub"), "{}", wrong.stderr);
    let list = run(&["context", "-o", "json"], "").ends_with(0);
    assert!(!list.stdout.contains(&first), "{}", list.stdout);
    assert_eq!(list.json()["items"][0]["in_use"], true);
    run(&["context", "use"], "").ends_with(0);
    run(&["sites"], "").ends_with(6);
    run(&["sites", "--context", "acme"], "").ends_with(0);
    let typed = ["context", "add", "b", "--server", &server, "--key", &first];
    let typed = run(&typed, "").ends_with(2);
    assert!(!typed.stderr.contains(&first), "{}", typed.stderr);
    governing.stop().ends_with(0);
}

/// Mutation: listen beyond this machine in clear, or show another certificate than the one that is named.
#[test]
fn a_site_shows_the_certificate_that_it_is_given() {
    let home = Home::new();
    let clear = home.run(&["site", "serve", "--port", "0", "--api", "127.0.0.1:0"]).ends_with(2);
    assert!(clear.stderr.contains("--tls-cert"), "{}", clear.stderr);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    home.write("crt.pem", &made.cert.pem());
    home.write("key.pem", &made.signing_key.serialize_pem());
    let serve = ["site", "serve", "--port", "0", "--api", "127.0.0.1:0", "--tls-cert", "crt.pem"];
    home.run(&serve).ends_with(2);
    let mut site = Dev::of(home.start(&[&serve[..], &["--tls-key", "key.pem"]].concat()));
    let viewer = key(&home, &["viewer", "--role", "*=viewer"]);
    let port = said(&mut site, "people elsewhere ask at port ");
    let server = format!("https://localhost:{}", port.split(' ').next().expect("a number"));
    let whoami = |trusted: bool| {
        let mut command = home.command(&["whoami", "--server", &server]);
        command.env("ISONOMY_KEY", &viewer);
        if trusted {
            command.env("SSL_CERT_FILE", home.path("crt.pem"));
        }
        crate::support::Process::spawn(command).end()
    };
    whoami(false).ends_with(6);
    let who = whoami(true).ends_with(0);
    assert!(who.stdout.contains("key:viewer at the site"), "{}", who.stdout);
    site.stop().ends_with(0);
}

/// Mutation: answer one operation of the hub without a key, or tell one team of another's workflows,
/// placements or orders.
#[test]
fn a_hub_answers_nobody_without_a_key_and_no_team_for_another() {
    let home = Home::new();
    home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
    let governing =
        Dev::of(home.start(&["hub", "serve", "--listen", "127.0.0.1:0", "--port", "0"]));
    let own = governing.door();
    let nobody = Door { key: None, ..own.clone() };
    let api = ask(&own, "GET", "/api/v1/openapi.json", &Value::Null).expect("an answer").body;
    let mut walked = 0;
    for (path, item) in api["paths"].as_object().expect("paths") {
        let path = path.replace("{namespace}", "lab").replace("{site}", "clinic-1");
        let path = path
            .replace("{name}", "x")
            .replace("{order}", "ord_01a1fb7b-d522-7414-8c47-aa7df2bebacf");
        for method in item.as_object().expect("operations").keys() {
            let refused = ask(&nobody, &method.to_uppercase(), &path, &Value::Null);
            assert_eq!(refused.expect("an answer").status, 401, "{method} {path}");
            walked += 1;
        }
    }
    assert!(walked > 15, "{walked}");
    let hub = ["--server", ".isonomy-hub"];
    let key = |name: &str, role: &str| {
        let args = ["keys", "create", name, "--role", role];
        home.run(&[&args[..], &hub].concat()).ends_with(0).stdout.trim().to_owned()
    };
    let (lab, shop) = (key("lab", "lab=admin"), key("shop", "shop=admin"));
    let text = document("secret-study", "  - x: { set: { y: 1 } }\n");
    home.write("lab.yaml", &text.replace("namespace: default", "namespace: lab"));
    let place = "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {namespace: lab, name: secret-place}\nspec:\n  workflows: [secret-study]\n  sites: {all: true}\n";
    home.write("place.yaml", place);
    let apply = ["apply", "-f", "lab.yaml", "-f", "place.yaml", "--yes"];
    let apply = [&apply[..], &hub].concat();
    with_key(&home, &shop, &apply).ends_with(3);
    with_key(&home, &lab, &apply).ends_with(0);
    let list = |key: &str, args: &[&str]| with_key(&home, key, &[args, &hub[..]].concat());
    for args in [&["placements"][..], &["keys"], &["workflows", "-n", "lab"]] {
        let seen = list(&shop, args);
        assert!(!format!("{}{}", seen.stdout, seen.stderr).contains("secret-"), "{seen:?}");
    }
    assert!(list(&lab, &["placements"]).ends_with(0).stdout.contains("secret-place"));
    list(&shop, &["hub", "token", "create", "--site", "x"]).ends_with(3);
    let token = ["hub", "token", "create", "--site", "clinic-1", "-o", "json"];
    let token = home.run(&token).ends_with(0).json();
    let token = token["token"].as_str().expect("a token").to_owned();
    home.run_with_stdin(&["site", "join", "-"], &token).ends_with(0);
    let run = ["run", "secret-study", "--all", "--detach", "-o", "json", "-n", "lab"];
    list(&shop, &run).ends_with(3);
    let order = list(&lab, &run).ends_with(0).json();
    let order = order["items"][0]["order"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/orders/{order}");
    let seen = |key: &str| {
        let door = Door { key: Some(key.to_owned()), ..own.clone() };
        ask(&door, "GET", &path, &Value::Null).expect("an answer").status
    };
    assert_eq!((seen(&lab), seen(&shop)), (200, 404));
    governing.stop().ends_with(0);
}
