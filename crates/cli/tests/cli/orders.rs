//! Orders by their commands: given once, asked why, followed, and waited for.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::http::{Door, ask};
use crate::support::parties::{HUB, hub, join, online, token, until};
use crate::support::{Dev, Ended, HANG, Home, Process, document};

fn apply(home: &Home, site: &Dev, file: &str) {
    home.run(&["apply", "-f", file, "--yes", "--server", site.data()]).ends_with(0);
}

fn json_of(home: &Home, args: &[&str]) -> Value {
    home.run(&[args, &["-o", "json"]].concat()).ends_with(0).json()
}

fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().expect("a list")
}

/// One field of each.
fn each<'a>(page: &'a Value, field: &str) -> Vec<&'a str> {
    items(page).iter().map(|it| it[field].as_str().unwrap_or_default()).collect()
}

/// Takes one request to the hub and keeps the answer to itself; passes on what comes later.
struct Swallowing {
    url: String,
    answered: Receiver<()>,
    /// Where the hub is from then on.
    go_on: Sender<String>,
    _passing: JoinHandle<()>,
}

fn swallowing(hub: &str) -> Swallowing {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let ((tell, answered), (go_on, wait)) = (channel(), channel::<String>());
    let first = host(hub);
    let passing = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("the command comes");
        let mut server = TcpStream::connect(&first).expect("the hub is there");
        let (mut from, mut to) =
            (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        // The answer has begun, so what it says is durable.
        server.read_exact(&mut [0; 1]).expect("an answer");
        tell.send(()).expect("the test listens");
        let next = host(&wait.recv().expect("the test goes on"));
        client.shutdown(Shutdown::Both).expect("broken off");
        let _ = client.flush();
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&next).expect("the hub is there");
            for (mut from, mut to) in [
                (client.try_clone().expect("cloned"), server.try_clone().expect("cloned")),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    Swallowing { url, answered, go_on, _passing: passing }
}

fn host(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// Mutation: give the orders anew when the same request comes again, keep the request apart from its orders, give
/// up where the answer is lost, or take another request under the same id.
#[test]
fn orders_are_given_once_though_the_hub_is_killed_before_it_has_answered() {
    let home = Home::new();
    let governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    join(&home, "clinic-2", &["--tag", "region=eu"]);
    let key =
        home.run(&["keys", "create", "ada", "--role", "operator", "--server", ".isonomy-hub"]);
    let key = key.ends_with(0).stdout.trim().to_owned();
    let proxy = swallowing(&governing.url);
    let mut command =
        home.command(&["run", "a", "--all", "--detach", "-o", "json", "--server", &proxy.url]);
    command.env("ISONOMY_KEY", &key);
    let mut asking = Process::spawn(command);
    proxy.answered.recv_timeout(HANG).expect("the hub answers");
    governing.kill();
    let governing = Dev::of(home.start(HUB));
    proxy.go_on.send(governing.url.clone()).expect("it waits");
    asking.stderr.until("trying again");
    let given = asking.end().ends_with(0).json();
    let request = items(&given)[0]["request"].as_str().expect("an id").to_owned();
    let listed = json_of(&home, &["orders", "--all"]);
    assert_eq!(each(&listed, "site"), ["clinic-2", "clinic-1"], "{listed}");
    for field in ["order", "run"] {
        let mut ids = each(&listed, field);
        ids.reverse();
        assert_eq!(ids, each(&given, field));
    }
    let again = ["run", "a", "--all", "--detach", "--request", &request];
    // Whoever would be meant now.
    home.run(&["sites", "cordon", "clinic-2"]).ends_with(0);
    assert_eq!(each(&json_of(&home, &again), "order"), each(&given, "order"));
    let other = ["run", "b", "--all", "--detach", "--request", &request];
    let other = home.run(&other).ends_with(2);
    assert!(other.stderr.contains("FLT-007"), "{}", other.stderr);
    assert_eq!(items(&json_of(&home, &["orders", "--request", &request])).len(), 2);
    home.run(&["run", "a", "--request", &request]).ends_with(2);
}

fn with_key(home: &Home, key: &str, args: &[&str]) -> Ended {
    let mut command = home.command(args);
    command.env("ISONOMY_KEY", key);
    Process::spawn(command).end()
}

/// Mutation: say which sites would be meant now, tell one team of another's orders, call what is acknowledged
/// waiting, or say that a run of the hub was started by a key of the site.
#[test]
fn a_run_can_be_asked_why_at_its_hub_and_at_its_site() {
    let home = Home::new();
    let text = document("a", "  - x: { listen: { to: { one: { with: { type: go } } } } }\n");
    home.write("a.yaml", &text.replace("namespace: default", "namespace: lab"));
    let governing = hub(&home);
    for (name, region) in [("clinic-1", "eu"), ("clinic-2", "us"), ("clinic-3", "eu")] {
        join(&home, name, &["--tag", &format!("region={region}")]);
    }
    token(&home, &["--site", "clinic-4"]);
    home.run(&["sites", "cordon", "clinic-3"]).ends_with(0);
    let site = online(&home, "clinic-1");
    apply(&home, &site, "a.yaml");
    let hub_at = ["--server", ".isonomy-hub"];
    let key = |name: &str| {
        let role = format!("{name}=operator");
        let args = ["keys", "create", name, "--role", &role];
        home.run(&[&args[..], &hub_at].concat()).ends_with(0).stdout.trim().to_owned()
    };
    let (lab, shop) = (key("lab"), key("shop"));
    let run = ["-n", "lab", "run", "a", "--where", "region=eu", "--detach", "--reason", "a round"];
    let given = with_key(&home, &lab, &[&run[..], &["-o", "json"]].concat()).ends_with(0).json();
    let order = items(&given)[0].clone();
    let id = |field: &str| order[field].as_str().expect("an id").to_owned();
    let (run, order, request) = (id("run"), id("order"), id("request"));
    home.run(&["sites", "tag", "clinic-2", "region=eu"]).ends_with(0);
    let look = |key: &str, id: &str| {
        with_key(&home, key, &["runs", "explain", id, "--server", ".isonomy-hub", "-o", "json"])
    };
    let began = std::time::Instant::now();
    let why = loop {
        let why = look(&lab, &run).ends_with(0).json();
        if why["order"]["state"] == "taken" {
            break why;
        }
        assert!(began.elapsed() < HANG, "{why}");
    };
    assert_eq!(why["by"], json!({"actor": "key:lab", "reason": "a round"}), "{why}");
    assert_eq!(why["request"]["sites"], json!({"where": {"region": "eu"}}), "{why}");
    let left_out: Vec<_> = why["request"]["leftOut"].as_array().expect("a list").iter().collect();
    let told: Vec<_> =
        left_out.iter().map(|it| (&it["why"], &it["first"][0]["site"], &it["count"])).collect();
    let one = json!(1);
    let expected =
        [("tag-differs", "clinic-2"), ("cordoned", "clinic-3"), ("tag-missing", "clinic-4")]
            .map(|(why, site)| (json!(why), json!(site)));
    assert_eq!(told, expected.iter().map(|(why, site)| (why, site, &one)).collect::<Vec<_>>());
    assert_eq!(why["left"][0]["stream"], "receipt", "{why}");
    assert_eq!(look(&lab, &order).ends_with(0).json()["order"]["run"], run.as_str());

    let at_site = ["-n", "lab", "runs", "explain", &run, "--server", site.data()];
    let waits = json_of(&home, &at_site);
    let started = &waits["started"];
    assert_eq!(
        (&started["how"], &started["by"]["actor"]),
        (&json!("order"), &json!("hub:key:lab"))
    );
    assert_eq!(started["order"], order.as_str(), "{waits}");
    assert_eq!(
        (&waits["waits"][0]["what"], &waits["waits"][0]["task"]),
        (&json!("event"), &json!("x"))
    );
    home.run(&["-n", "lab", "emit", "go", "--server", site.data()]).ends_with(0);
    until(&home, "clinic-1", |shown| shown["taken"]["outcome"] == 1);
    let began = std::time::Instant::now();
    let over = loop {
        let over = json_of(&home, &at_site);
        if over["left"][1]["acknowledged"] == true {
            break over;
        }
        assert!(began.elapsed() < HANG, "{over}");
    };
    assert_eq!(over["waits"], Value::Null, "{over}");
    let why = look(&lab, &run).ends_with(0).json();
    // What the site says that has left it is what the hub has.
    assert_eq!(why["left"][1]["fields"], over["left"][1]["fields"]);
    assert_eq!(why["left"][1]["bytes"], over["left"][1]["bytes"]);
    // A run of its own, and with the line down.
    let own = home.run(&["-n", "lab", "run", "a", "--detach", "--server", site.data()]);
    let own = own.ends_with(0).run_id();
    governing.kill();
    home.run(&["-n", "lab", "emit", "go", "--server", site.data()]).ends_with(0);
    home.run(&["-n", "lab", "runs", "follow", &own, "--server", site.data()]).ends_with(0);
    let own = json_of(&home, &["-n", "lab", "runs", "explain", &own, "--server", site.data()]);
    assert_eq!(own["started"]["how"], "folder", "{own}");
    assert_eq!(own["left"][0]["acknowledged"], false, "{own}");

    let governing = Dev::of(home.start(HUB));
    let nothing = with_key(&home, &shop, &["orders", "-o", "json"]).ends_with(0).json();
    assert_eq!(items(&nothing).len(), 0, "{nothing}");
    assert_eq!(items(&with_key(&home, &lab, &["orders", "-o", "json"]).json()).len(), 1);
    look(&shop, &run).ends_with(2);
    let missing = with_key(&home, &shop, &["orders", "--request", &request]).ends_with(2);
    let never = "req_01a1fb7b-d522-7414-8c47-aa7df2bebacf";
    let unknown = with_key(&home, &shop, &["orders", "--request", never]).ends_with(2);
    assert_eq!(missing.stderr.replace(&request, never), unknown.stderr);
    with_key(&home, &lab, &["orders", "--request", &request]).ends_with(0);
    // By its number another team starts nothing either.
    let door = Door { key: Some(shop), ..governing.door() };
    let body =
        json!({"request": request, "all": true, "namespace": "lab", "start": {"workflow": "a"}});
    assert_eq!(ask(&door, "POST", "/api/v1/orders", &body).expect("an answer").status, 403);
}

/// Mutation: say nothing of a line that is down, wait for a site that has refused, end with the hub, or leave
/// somebody who was interrupted without a way back.
#[test]
fn what_happens_at_each_site_is_told_as_it_comes() {
    let home = Home::new();
    home.write(
        "a.yaml",
        &document("a", "  - x: { listen: { to: { one: { with: { type: go } } } } }\n"),
    );
    let governing = hub(&home);
    let address = |dev: &Dev| {
        let status = json_of(&home, &["site", "status", "--server", dev.data()]);
        status["hub"]["addresses"][0].as_str().expect("an address").to_owned()
    };
    for name in ["clinic-1", "clinic-2"] {
        join(&home, name, &["--tag", "region=eu"]);
    }
    let (one, _two) = (online(&home, "clinic-1"), online(&home, "clinic-2"));
    let listen = address(&one);
    apply(&home, &one, "a.yaml");
    let mut following = home.start(&["run", "a", "--all", "--follow", "-o", "json"]);
    // Whoever is the first.
    let mut awaited = vec!["clinic-2: refused: workflow-missing", "clinic-1: taken"];
    while !awaited.is_empty() {
        let line = following.stderr.next().expect("it goes on");
        awaited.retain(|told| !line.contains(told));
    }
    one.kill();
    following.stderr.until("clinic-1: silent since");
    governing.kill();
    following.stderr.until("lost the hub");
    let governing = Dev::of(home.start(&["hub", "serve", "--listen", &listen, "--port", "0"]));
    let one = online(&home, "clinic-1");
    following.stderr.until("clinic-1: online again");
    following.signal(Signal::INT);
    let interrupted = following.end().ends_with(130);
    let hint = interrupted.stderr.split("isonomy orders follow ").nth(1).expect("a way back");
    let request = hint.split('`').next().expect("an id").to_owned();
    let lines: Vec<Value> = interrupted
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let of_two: Vec<_> = lines.iter().filter(|it| it["site"] == "clinic-2").collect();
    assert_eq!(of_two.last().expect("told")["code"], "workflow-missing");
    assert!(lines.iter().any(|it| it["site"] == "clinic-1" && it["isOnline"] == false));

    let mut again = home.start(&["orders", "follow", &request]);
    again.stderr.until("clinic-1: taken");
    home.run(&["emit", "go", "--server", one.data()]).ends_with(0);
    again.stderr.until("clinic-1: completed at ");
    let ended = again.end().ends_with(1);
    assert!(ended.stdout.contains("refused: workflow-missing"), "{}", ended.stdout);
    let taken = json_of(&home, &["orders", "--state", "taken", "--site", "clinic-1"]);
    assert_eq!(items(&taken).len(), 1, "{taken}");
    assert_eq!(items(&json_of(&home, &["orders", "--going"])).len(), 0);
    home.run(&["orders", "--state", "lost"]).ends_with(2);
    governing.stop().ends_with(0);
}

/// Mutation: call a site drained while something goes on there, let it have new orders, or end with success when
/// the time is over.
#[test]
fn a_site_is_drained_when_nothing_that_it_was_ordered_goes_on() {
    let home = Home::new();
    home.write(
        "a.yaml",
        &document("a", "  - x: { listen: { to: { one: { with: { type: go } } } } }\n"),
    );
    let _governing = hub(&home);
    join(&home, "clinic-1", &["--tag", "region=eu"]);
    let site = online(&home, "clinic-1");
    apply(&home, &site, "a.yaml");
    home.run(&["run", "a", "--all", "--detach"]).ends_with(0);
    let asked = home.run(&["sites", "drain", "clinic-1"]).ends_with(2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    let late = ["sites", "drain", "clinic-1", "--yes", "--timeout", "1s", "-o", "json"];
    let late = home.run(&late).ends_with(9);
    assert_eq!(each(&late.json(), "site"), ["clinic-1"]);
    assert!(late.stderr.contains("1 order left"), "{}", late.stderr);
    assert!(
        home.run(&["run", "a", "--all", "--detach"]).ends_with(2).stderr.contains("1 cordoned")
    );
    let mut draining = home.start(&["sites", "drain", "clinic-1", "--yes", "--reason", "a disk"]);
    draining.stderr.until("clinic-1: taken");
    site.kill();
    draining.stderr.until("what it does since then is not known");
    let site = online(&home, "clinic-1");
    draining.stderr.until("clinic-1: online again");
    home.run(&["emit", "go", "--server", site.data()]).ends_with(0);
    let drained = draining.end().ends_with(0);
    assert!(drained.stderr.contains("clinic-1: completed at "), "{}", drained.stderr);
    assert!(drained.stderr.contains("clinic-1 is drained"), "{}", drained.stderr);
    assert_eq!(drained.stdout, "");
    home.run(&["sites", "drain", "clinic-1", "--yes"]).ends_with(0);
    home.run(&["sites", "uncordon", "clinic-1"]).ends_with(0);
    home.run(&["sites", "drain", "clinic-9", "--yes"]).ends_with(2);
    // What a revoked site was ordered is over, as far as anybody can know.
    home.run(&["run", "a", "--all", "--detach"]).ends_with(0);
    home.run(&["sites", "revoke", "clinic-1", "--yes"]).ends_with(0);
    let unknown = json_of(&home, &["orders", "--state", "unknown"]);
    assert_eq!(each(&unknown, "site"), ["clinic-1"], "{unknown}");
    home.run(&["sites", "drain", "clinic-1", "--yes"]).ends_with(0);
}
