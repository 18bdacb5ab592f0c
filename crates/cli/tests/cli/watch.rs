//! Programs that go to a provider through a watch: what passes is what came, byte by byte; and what is known of it
//! afterwards.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::models::until;
use crate::search::Search;
use crate::support::http::{Door, ask, text};
use crate::support::origin::{Heard, Origin, Said, exchange, read_answer, send};
use crate::support::{Dev, Home};

/// Of a program: its own, and nobody else's.
const KEY: &str = "sk-canary-of-a-program-5501";

/// What is asked, and what is answered: nowhere but on the line.
const ASKED: &str = "canary-of-a-question-5502";
const ANSWERED: &str = "canary-of-an-answer-5503";

fn watch_of(name: &str, url: &str, more: &str) -> String {
    watch_at(name, &format!("{url}/v1"), &format!("  provider: openai\n{more}"))
}

fn watch_at(name: &str, url: &str, more: &str) -> String {
    format!(
        "apiVersion: isonomy.dev/v1\nkind: Watch\nmetadata: {{namespace: sales, name: {name}}}\nspec:\n  url: {url}\n{more}"
    )
}

fn applied(home: &Home, document: &str) {
    let file = home.write("watch.yaml", document);
    home.run(&["apply", "-f", &file.display().to_string(), "--yes"]).ends_with(0);
}

/// A site whose watch `up` is for this origin.
fn site(home: &Home, origin: &Origin, more: &str) -> Dev {
    home.allow(&origin.url);
    let dev = home.dev();
    applied(home, &watch_of("up", &origin.url, more));
    dev
}

fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn chat(dev: &Dev, body: &Value) -> Said {
    let body = body.to_string();
    exchange(&dev.url, &request("/watch/sales/up/chat/completions", "", body.as_bytes()))
}

fn question(model: &str, more: &Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": ASKED}]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

fn answer(input: u64, output: u64) -> Vec<u8> {
    let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": ANSWERED}, "finish_reason": "stop"});
    let body =
        json!({"object": "chat.completion", "choices": [choice], "usage": usage}).to_string();
    framed("200 OK", "content-type: application/json\r\n", body.as_bytes())
}

fn framed(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text).expect("memory");
    packed.finish().expect("memory")
}

fn say(stream: &mut TcpStream, bytes: &[u8]) {
    // Whoever asked may have gone.
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

fn calls(home: &Home, count: usize) -> Vec<Value> {
    let args = ["calls", "-n", "sales", "--limit", "100", "-o", "json"];
    let said = until(home, &args, |it| it["items"].as_array().is_some_and(|it| it.len() == count));
    said["items"].as_array().expect("a list").clone()
}

/// Sorted, without what is of one connection, and without the date that a server must say.
fn named(headers: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let own = ["host", "connection", "date", "transfer-encoding"];
    let mut left: Vec<_> =
        headers.iter().filter(|(name, _)| !own.contains(&&**name)).cloned().collect();
    left.sort();
    left
}

/// Mutation: add or lose a header, follow a redirect, unpack a body, read a query, mend a path, frame a body anew,
/// end what was broken off as if it were whole, or answer in place of the provider.
#[test]
fn what_passes_is_what_came() {
    let script: &'static Mutex<Vec<u8>> = Box::leak(Box::default());
    let home = Home::new();
    let origin = Origin::new(|_, stream| say(stream, &script.lock().expect("no panic")));
    let dev = site(&home, &origin, "");
    let odd = "X-Odd: \u{e9}\u{1f600}\r\nx-twice: 1\r\nX-Twice: 2\r\nAccept-Encoding: gzip, br\r\nOpenAI-Organization: org-1\r\nTE: trailers\r\nConnection: x-hop\r\nX-Hop: mine\r\n";
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    let chunked = |text: &str| {
        let middle = text.len() / 2;
        let (one, other) = text.split_at(middle);
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\nx-ratelimit-left: 7\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n", one.len(), other.len()).into_bytes()
    };
    let whole = answer(10, 5);
    let mut broken = whole.clone();
    broken.truncate(whole.len() - 9);
    let mut broken_chunk = chunked(stream);
    broken_chunk.truncate(broken_chunk.len() - 12);
    let gzip = framed(
        "200 OK",
        "content-encoding: gzip\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n",
        &packed(&whole),
    );
    let until_close =
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\nuntil the end"
            .to_vec();
    let bodies: [&[u8]; 4] =
        [b"{\"model\":\"gpt-4o-mini\",\"messages\":[]}", b"", b"no JSON \xff\x00", &packed(b"{}")];
    let mut count = 0;
    for said in [
        whole.clone(),
        chunked(stream),
        gzip,
        until_close,
        framed("404 Not Found", "x-request-id: r1\r\n", b"{\"error\":{\"message\":\"no\"}}"),
        framed("429 Too Many Requests", "retry-after: 9\r\n", b"{}"),
        framed("503 Service Unavailable", "", b"down"),
        framed("302 Found", "location: http://127.0.0.1:9/else\r\n", b""),
        broken,
        broken_chunk,
    ] {
        script.lock().expect("no panic").clone_from(&said);
        let wanted = exchange(&origin.url, &request("/v1/x", "", b""));
        origin.heard();
        for body in bodies {
            let path = "/watch/sales/up/chat/completions?a=%2F..&&b";
            let got = exchange(&dev.url, &request(path, odd, body));
            let heard = origin.heard();
            assert_eq!(
                (heard.method.as_str(), heard.target.as_str()),
                ("POST", "/v1/chat/completions?a=%2F..&&b")
            );
            assert_eq!((heard.body.as_slice(), heard.is_whole), (body, true));
            let direct = direct(path, odd, body);
            assert_eq!(named(&heard.headers), named(&direct), "{heard:?}");
            assert_eq!(heard.header("host"), Some(&origin.url.as_bytes()[7..]));
            let shown = String::from_utf8_lossy(&said);
            assert_eq!(
                (got.status, &got.body, got.is_whole),
                (wanted.status, &wanted.body, wanted.is_whole),
                "{shown}"
            );
            assert_eq!(named(&got.headers), named(&wanted.headers), "{shown}");
            count += 1;
        }
    }
    // A body without a length comes as one, and other methods as they are.
    script.lock().expect("no panic").clone_from(&whole);
    let chunks = "PUT /watch/sales/up/files HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n";
    assert_eq!(exchange(&dev.url, chunks.as_bytes()).status, 200);
    let heard = origin.heard();
    assert_eq!(
        (heard.method.as_str(), heard.body.as_slice(), heard.is_whole),
        ("PUT", &b"abcdef"[..], true)
    );
    assert_eq!(heard.header("transfer-encoding"), Some(&b"chunked"[..]));
    for method in ["GET", "DELETE", "OPTIONS"] {
        let bare = format!(
            "{method} /watch/sales/up HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(exchange(&dev.url, bare.as_bytes()).body, answer_body(&whole));
        let heard = origin.heard();
        assert_eq!(
            (heard.method.as_str(), heard.target.as_str(), heard.headers.len()),
            (method, "/v1", 1),
            "{heard:?}"
        );
    }
    assert_eq!(calls(&home, count).len(), count);
}

/// What an origin hears of this request without anybody between.
fn direct(path: &str, headers: &str, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let origin = Origin::new(|_, stream| say(stream, b"HTTP/1.1 204 X\r\n\r\n"));
    let headers: String = headers
        .split_inclusive("\r\n")
        .filter(|line| !["TE:", "Connection:", "X-Hop:"].iter().any(|own| line.starts_with(own)))
        .collect();
    drop(send(&origin.url, &request(path, &headers, body)));
    origin.heard().headers
}

fn answer_body(framed: &[u8]) -> Vec<u8> {
    let end = framed.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
    framed[end + 4..].to_vec()
}

/// Mutation: wait for more of a stream before what has come is passed on, or read on when the client has gone.
#[test]
fn a_stream_comes_as_it_comes_and_ends_with_its_client() {
    let (go, gone) = (channel::<()>(), channel::<bool>());
    let (next, ended) = (Mutex::new(go.1), Mutex::new(gone.0));
    let origin = Origin::new(move |_, stream| {
        say(
            stream,
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n",
        );
        for piece in [
            &b"data: {\"choi"[..],
            b"ces\":[{\"index\":0,\"delta\":{\"content\":\"twelve chars\"}}]}\n\n",
        ] {
            say(stream, piece);
            // A test that has failed sends nothing more.
            let _ = next.lock().expect("no panic").recv();
        }
        // Nothing more is said: the connection ends when the client's does.
        let is_closed = matches!(stream.read(&mut [0]), Ok(0) | Err(_));
        let _ = ended.lock().expect("no panic").send(is_closed);
    });
    let home = Home::new();
    let dev = site(&home, &origin, "");
    let asked = question("gpt-4o-mini", &json!({"stream": true})).to_string();
    let mut stream =
        send(&dev.url, &request("/watch/sales/up/chat/completions", "", asked.as_bytes()));
    let mut seen = Vec::new();
    for wanted in ["{\"choi", "twelve chars"] {
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            let mut piece = [0; 256];
            let read = stream.read(&mut piece).expect("more");
            assert!(read > 0, "{seen:?}");
            seen.extend_from_slice(&piece[..read]);
        }
        go.0.send(()).expect("the origin waits");
    }
    drop(stream);
    assert!(gone.1.recv_timeout(crate::support::HANG).expect("it ends"));
    let call = &calls(&home, 1)[0];
    assert_eq!(
        (&call["settled"]["end"], &call["admitted"]["watched"]["estimated"]),
        (&json!("left"), &json!(true))
    );
    assert_eq!(call["settled"]["bills"][0]["usage"]["output"], 3);
}

/// Mutation: hold, refuse or charge a watched call by a budget of its namespace, count it in `usage` or a metric,
/// keep the client's key, the question or the answer, forget who it was, or price it by another model.
#[test]
fn a_watched_call_is_on_another_bill() {
    let origin = Origin::new(|heard, stream| {
        assert_eq!(heard.header("authorization"), Some(format!("Bearer {KEY}").as_bytes()));
        say(stream, &answer(1_000, 500));
    });
    let home = Home::new();
    let dev = site(&home, &origin, "");
    home.run(&["budgets", "set", "namespace/sales", "0.000001USD/month"]).ends_with(0);
    let before = home.run(&["budgets", "-o", "json"]).ends_with(0).json();
    let mail = json!({"messages": [{"role": "user", "content": format!("{ASKED} ann@example.com, bob@example.com, DE89 3704 0044 0532 0130 00")}]});
    for _ in 0..3 {
        let said = chat(&dev, &question("gpt-4o-mini", &mail));
        assert_eq!((said.status, said.is_whole), (200, true));
        assert!(
            said.headers.iter().all(|(name, _)| !name.contains("isonomy")),
            "{:?}",
            said.headers
        );
    }
    let calls = calls(&home, 3);
    let watched = &calls[0]["admitted"]["watched"];
    assert_eq!(
        (&watched["by"], &watched["found"]),
        (&json!("up"), &json!({"email": 2, "iban": 1}))
    );
    assert_eq!(calls[0]["settled"]["end"], "answered");
    // 1,000 in and 500 out at 0.15 and 0.60 USD for a million.
    let cost = "0.00045 USD";
    assert_eq!(calls[0]["settled"]["bills"][0]["cost"], cost);
    let client = watched["client"].as_str().expect("eight digits");
    let id = calls[0]["admitted"]["call"].as_str().expect("an id");
    let said = home.run(&["calls", "explain", id, "-n", "sales"]).ends_with(0).stdout;
    for wanted in [
        format!("by `watch:up/{client}`, in `sales`"),
        "watched      on its way".to_owned(),
        "found        in the request: email 2, iban 1".to_owned(),
        format!("gpt-4o-mini: 1000 tokens in, 500 out; {cost}"),
    ] {
        assert!(said.contains(&wanted), "{wanted}\n{said}");
    }
    let list = home.run(&["calls", "-n", "sales"]).ends_with(0).stdout;
    assert!(list.contains(&format!("watch:up/{client}")), "{list}");
    assert_eq!(home.run(&["budgets", "-o", "json"]).ends_with(0).json(), before);
    let usage = home.run(&["usage", "-o", "json"]).ends_with(0).json();
    assert_eq!(usage["total"]["calls"], 0, "{usage}");
    let metrics = text(&dev.door(), "/metrics").expect("metrics");
    assert!(!metrics.contains("gpt-4o-mini"), "{metrics}");
    let again = |home: &Home| {
        home.run(&["calls", "explain", id, "-n", "sales", "-o", "json"]).ends_with(0).json()
    };
    let shown = again(&home);
    let ended = dev.stop();
    let search = Search::new(&[KEY, ASKED, ANSWERED]);
    for said in [&ended.stdout, &ended.stderr, &metrics] {
        assert!(search.within(said.as_bytes()).is_empty(), "{said}");
    }
    assert!(search.below(&home.path(".isonomy")).is_empty());
    // After a restart it is there as it was, and the same client is the same.
    let dev = home.dev();
    assert_eq!(again(&home), shown);
    chat(&dev, &question("gpt-4o-mini", &json!({})));
    assert_eq!(self::calls(&home, 4)[0]["admitted"]["watched"]["client"], client);
}

/// Mutation: believe a path about the origin, its own way up, or an address in the request's line.
#[test]
fn nothing_leads_to_another_origin_or_out_of_the_address() {
    let other = Origin::new(|_, stream| say(stream, &answer(1, 1)));
    let origin = Origin::new(|_, stream| say(stream, &answer(1, 1)));
    let home = Home::new();
    let dev = site(&home, &origin, "");
    let authority = &other.url["http://".len()..];
    let to = |path: &str| exchange(&dev.url, &request(path, "", b"{}"));
    for path in [
        "/..",
        "/../admin",
        "/a/../../admin",
        "/%2e%2e/x",
        "/a%2f..%2f..%2fx",
        "/..%5cx",
        "/%252e%252e/x",
        "/./x",
    ] {
        let said = to(&format!("/watch/sales/up{path}"));
        let code: Value = serde_json::from_slice(&said.body).expect("JSON");
        assert_eq!((said.status, &code["error"]["code"]), (400, &json!("watch_path")), "{path}");
    }
    for path in ["/watch/sales/none/x", "/watch/other/up/x", "/watch/sales", "/watch/../up/x"] {
        assert_eq!(to(path).status, 404, "{path}");
    }
    assert_eq!(origin.left(), 0);
    for path in [
        format!("//{authority}/x"),
        format!("/http://{authority}/x"),
        format!("/@{authority}"),
        "/%2F%2Fx".to_owned(),
    ] {
        assert_eq!(to(&format!("/watch/sales/up{path}")).status, 200, "{path}");
        assert_eq!(origin.heard().target, format!("/v1{path}"));
    }
    let absolute = |host: &str| {
        let text = format!(
            "GET http://{host}/watch/sales/up/x HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        );
        exchange(&dev.url, text.as_bytes()).status
    };
    assert_eq!(absolute("127.0.0.1"), 200);
    assert_eq!(origin.heard().target, "/v1/x");
    assert_eq!((absolute("evil.example"), origin.left(), other.left()), (403, 0, 0));
    // What no rule lets out is denied when it is applied, and when it is asked.
    applied(&home, &watch_of("denied", &other.url, ""));
    let said = exchange(&dev.url, &request("/watch/sales/denied/x", "", b"{}"));
    assert_eq!((said.status, other.left()), (403, 0));
    let list = home.run(&["watches", "-n", "sales"]).ends_with(0).stdout;
    assert!(list.contains("denied") && list.contains("/watch/sales/up"), "{list}");
    home.run(&["watches", "remove", "up", "-n", "sales", "--yes"]).ends_with(0);
    assert_eq!(to("/watch/sales/up/x").status, 404);
    let wrong = home.write("wrong.yaml", &watch_of("up", &origin.url, "  secret: x\n"));
    let wrong = home.run(&["validate", &wrong.display().to_string()]).ends_with(2);
    assert!(wrong.stdout.contains("secret") || wrong.stderr.contains("secret"), "{}", wrong.stderr);
}

/// Mutation: let more through at once than there is room for, wait with them, or take a request of any size.
#[test]
fn a_watch_has_room_for_so_many() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::new(move |_, stream| {
        // A test that has failed sends nothing.
        let _ = wait.lock().expect("no panic").recv();
        say(stream, &answer(1, 1));
    });
    let home = Home::new();
    let dev = site(&home, &origin, "  concurrency: 1\n");
    let first = send(&dev.url, &request("/watch/sales/up/chat/completions", "", b"{}"));
    origin.heard();
    let second = chat(&dev, &json!({}));
    let code: Value = serde_json::from_slice(&second.body).expect("JSON");
    assert_eq!((second.status, &code["error"]["code"]), (503, &json!("watch_busy")));
    go.send(()).expect("the origin waits");
    assert_eq!(read_answer(&mut BufReader::new(first)).status, 200);
    let huge = format!(
        "POST /watch/sales/up/files HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        2_u64 << 30
    );
    assert_eq!(exchange(&dev.url, huge.as_bytes()).status, 413);
    assert_eq!(origin.left(), 0);
}

/// Mutation: lose a call that cannot be read, or say that it was.
#[test]
fn what_cannot_be_read_passes_and_says_so() {
    let origin = Origin::new(|heard: &Heard, stream| {
        let said = match heard.header("x-say") {
            Some(b"packed") => framed("200 OK", "content-encoding: br\r\n", b"\x0b\x02\x80{}\x03"),
            Some(b"gzip") => {
                let plain = answer(70, 7);
                framed("200 OK", "content-encoding: gzip\r\n", &packed(&answer_body(&plain)))
            }
            _ => answer(1, 1),
        };
        say(stream, &said);
    });
    let home = Home::new();
    home.allow("http://127.0.0.1:*");
    let dev = home.dev();
    applied(&home, &watch_of("up", &origin.url, ""));
    let to = |headers: &str, body: &[u8]| {
        exchange(&dev.url, &request("/watch/sales/up/chat/completions", headers, body))
    };
    let asked = question("gpt-4o-mini", &json!({})).to_string();
    let large = question("gpt-4o-mini", &json!({"x": "y".repeat(9 * 1024 * 1024)})).to_string();
    let unseen = |count: usize| calls(&home, count)[0]["admitted"]["watched"]["unseen"].clone();
    assert_eq!((to("", b"{no").status, unseen(1)), (200, json!("unreadable")));
    assert_eq!(
        (to("x-say: packed\r\n", asked.as_bytes()).status, unseen(2)),
        (200, json!("packed"))
    );
    assert_eq!((to("", large.as_bytes()).status, unseen(3)), (200, json!("too-large")));
    assert_eq!(origin.left(), 3);
    assert_eq!((to("x-say: gzip\r\n", asked.as_bytes()).status, unseen(4)), (200, Value::Null));
    assert_eq!(calls(&home, 4)[0]["settled"]["bills"][0]["usage"]["input"], 70);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", free.local_addr().expect("bound"));
    drop(free);
    applied(&home, &watch_of("none", &url, ""));
    let path = "/watch/sales/none/chat/completions";
    assert_eq!(exchange(&dev.url, &request(path, "", asked.as_bytes())).status, 502);
    assert_eq!(calls(&home, 5)[0]["settled"]["legs"][0]["why"], "unreachable");
}

/// What is answered, by the model's name: `MODEL-INPUT-OUTPUT`.
fn by_name(heard: &Heard) -> Vec<u8> {
    let asked: Value = serde_json::from_slice(&heard.body).unwrap_or_default();
    let user = asked["user"].as_str().unwrap_or("10-5");
    let (input, output) = user.split_once('-').expect("two numbers");
    answer(input.parse().expect("a number"), output.parse().expect("a number"))
}

/// Mutation: count a call that failed or was answered at the site, judge by a model elsewhere, leave out what a
/// call asked for, or add up another cost.
#[test]
fn a_share_of_a_known_corpus_is_as_counted_by_hand() {
    let origin = Origin::new(|heard, stream| say(stream, &by_name(heard)));
    let home = Home::new();
    // A route of a name that is no loopback address, so that it counts as elsewhere.
    let config = format!(
        "spec:\n  egress:\n    - {{destination: 'http://api.example:80', to: '{}'}}\n    - {{destination: '{}', allow: true}}\n",
        origin.url, origin.url
    );
    home.write(".isonomy/site.yaml", &config);
    let dev = home.dev();
    applied(&home, &watch_of("up", "http://api.example", ""));
    let add = |name: &str, url: &str, more: &[&str]| {
        let args = [&["models", "add", name, url, "-n", "sales"], more].concat();
        home.run(&args).ends_with(0);
    };
    add(
        "small",
        &format!("{}/v1", origin.url),
        &["--price", "free", "--context-tokens", "1000", "--takes", "schema"],
    );
    add(
        "far",
        "http://api.example/v1",
        &[
            "--price-input",
            "1",
            "--price-output",
            "2",
            "--currency",
            "USD",
            "--protect",
            "none",
            "--output-tokens",
            "10000",
        ],
    );
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]);
    // Watched: tokens, what else it asks for, and whether `small` could have answered.
    for (tokens, more) in [
        ("100-50", json!({})),
        ("900-100", json!({"response_format": {"type": "json_object"}})),
        ("920-100", json!({})),
        ("100-50", json!({"tools": tool})),
        ("5000-50", json!({"tools": tool})),
        ("100-50", json!({"messages": image})),
    ] {
        let mut asked = question("gpt-4o-mini", &more);
        asked["user"] = tokens.into();
        assert_eq!(chat(&dev, &asked).status, 200);
    }
    // Governed: one elsewhere that `small` could have answered, and one at the site.
    let key = home.run(&["keys", "create", "bot", "--scope", "model", "-n", "sales"]).ends_with(0);
    let door = Door { url: dev.url.clone(), key: Some(key.stdout.trim().to_owned()) };
    for model in ["far", "small"] {
        let mut asked = question(model, &json!({}));
        asked["user"] = "200-100".into();
        let said = ask(&door, "POST", "/v1/chat/completions", &asked).expect("an answer");
        assert_eq!(said.status, 200, "{}", said.body);
    }
    calls(&home, 8);
    let share = |more: &[&str]| {
        let args = [&["calls", "local-share", "-n", "sales", "-o", "json"], more].concat();
        home.run(&args).ends_with(0).json()
    };
    let all = share(&["--since", "1d"]);
    let total = &all["total"];
    // By hand: 7 calls elsewhere, 8,601 tokens; local are 150, 1,000 and 300 of them.
    let tokens = 150 + 1_000 + 1_020 + 150 + 5_050 + 150 + 300;
    assert_eq!((&total["calls"], &total["tokens"]), (&json!(7), &json!(tokens)), "{all:#}");
    assert_eq!((&total["atSite"], &total["failed"]), (&json!(1), &json!(0)));
    assert_eq!(total["why"], json!({"context": 2, "tools": 2, "images": 1}));
    let local = &total["local"];
    assert_eq!((&local["calls"], &local["tokens"]), (&json!(3), &json!(1_450)));
    assert_eq!(
        (&local["percentOfCalls"], &local["percentOfTokens"]),
        (&json!(42), &json!(1_450 * 100 / tokens))
    );
    // At 0.15 and 0.60 USD for a million: of the three, 100 + 900 in and 50 + 100 out, and 200 and 100 at 1 and 2.
    let micros = |input: u64, output: u64| (input * 15 + output * 60, 100);
    let (part, _) = micros(1_000, 150);
    let far = 200 * 100 + 100 * 200;
    let nano = |hundredths: u64| {
        format!("0.{:08} USD", hundredths).trim_end_matches(" USD").trim_end_matches('0').to_owned()
            + " USD"
    };
    assert_eq!(local["cost"], json!([nano(part + far)]));
    let (whole, _) = micros(100 + 900 + 920 + 100 + 5_000 + 100, 50 + 100 + 100 + 50 + 50 + 50);
    assert_eq!(total["cost"], json!([nano(whole + far)]));
    assert_eq!(local["percentOfCost"], (part + far) * 100 / (whole + far));
    assert_eq!((&all["models"], &all["isWhole"]), (&json!(["sales/small"]), &json!(true)));
    let rows = |by: &str| share(&["--by", by])["items"].as_array().expect("rows").len();
    assert_eq!((rows("model"), rows("operation"), rows("key"), rows("watch")), (3, 1, 2, 2));
    // Supposed: tools and a large context make all but the image local.
    let supposed = share(&["--tools", "--context-tokens", "6000"]);
    assert_eq!(supposed["total"]["local"]["calls"], 6, "{supposed:#}");
    let supposed = share(&["--tools", "--context-tokens", "6000", "--images"]);
    assert_eq!(supposed["total"]["local"]["percentOfCost"], 100);
    let text = home.run(&["calls", "local-share", "-n", "sales"]).ends_with(0);
    assert!(
        text.stdout.contains("42 %") && text.stderr.contains("sales/small"),
        "{}\n{}",
        text.stdout,
        text.stderr
    );
    home.run(&["calls", "local-share", "--by", "colour"]).ends_with(2);
}

/// Mutation: take the first report of a stream for the last, lose what was read from a cache, or price by another
/// sheet than the provider's.
#[test]
fn what_providers_bill_is_what_is_shown() {
    let data = |events: &[Value]| -> String {
        let each = |event: &Value| match event["type"].as_str() {
            Some(name) => format!("event: {name}\ndata: {event}\n\n"),
            None => format!("data: {event}\n\n"),
        };
        events.iter().map(each).collect()
    };
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "Hello."}}]});
    let used = json!({"choices": [], "usage": {"prompt_tokens": 2_000, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 1_500}}});
    let openai = data(&[chunk, used]) + "data: [DONE]\n\n";
    let anthropic = data(&[
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 40, "cache_read_input_tokens": 1_000, "cache_creation_input_tokens": 200, "output_tokens": 1}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 77}}),
        json!({"type": "message_stop"}),
    ]);
    let embedded = json!({"object": "list", "data": [], "usage": {"prompt_tokens": 5_000, "total_tokens": 5_000}});
    let origin = Origin::new(move |heard, stream| {
        let (kind, text) = match heard.target.as_str() {
            "/v1/chat/completions" => ("text/event-stream", openai.clone()),
            "/v1/messages" => ("text/event-stream", anthropic.clone()),
            _ => ("application/json", embedded.to_string()),
        };
        // In pieces of seven bytes.
        say(
            stream,
            format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                text.len()
            )
            .as_bytes(),
        );
        text.as_bytes().chunks(7).for_each(|piece| say(stream, piece));
    });
    let home = Home::new();
    let dev = site(&home, &origin, "");
    let more = "  dialect: anthropic\n  provider: anthropic\n";
    applied(&home, &watch_at("claude", &origin.url, more));
    let message = json!({"model": "claude-sonnet-4-5", "max_tokens": 100, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    for (path, asked, cost) in [
        // 500 at 0.15, 1,500 at 0.075 and 300 at 0.60 USD for a million.
        ("up/chat/completions", question("gpt-4o-mini", &json!({"stream": true})), "0.0003675 USD"),
        // 40 at 3, 1,000 at 0.30, 200 at 3.75 and 77 at 15.
        ("claude/v1/messages", message, "0.002325 USD"),
        // 5,000 at 0.02.
        ("up/embeddings", json!({"model": "text-embedding-3-small", "input": "Hi"}), "0.0001 USD"),
    ] {
        let asked = asked.to_string();
        let path = format!("/watch/sales/{path}");
        assert_eq!(exchange(&dev.url, &request(&path, "", asked.as_bytes())).status, 200);
        let seen = until(&home, &["calls", "-n", "sales", "-o", "json"], |it| {
            it["items"][0]["settled"]["bills"][0]["cost"] == cost
        });
        let call = &seen["items"][0]["admitted"];
        assert_eq!(
            (&call["asked"], &call["watched"]["estimated"]),
            (&json!(call["plan"][0]), &Value::Null)
        );
    }
}
