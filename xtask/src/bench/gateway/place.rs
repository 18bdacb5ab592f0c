//! Who stands where: an upstream that answers at once and one that thinks, a proxy and a site before each.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::super::connection::Connection;
use super::super::server::Server;
use super::around::{Around, address};
use super::build;
use crate::bench::target_folder;

/// Where the governed calls to the upstream that answers at once are among the targets.
pub const GOVERNED: usize = 2;

/// The same to the upstream that thinks.
pub const GOVERNED_SLOW: usize = 6;

/// The first of those before the upstream that thinks.
const BARE_SLOW: usize = 4;

pub const GREETING: &str = "Write one short greeting for whoever measures this.";

/// 1 kB, as somebody would write it who has customers, with what tells of people in it.
const LETTER: &str = "Please write a short letter to the family of our customer. Her name is on the account; she can be reached under maria.keller@example.org or by phone under +49 30 901820, and she asked that copies go to jonas.keller@example.org as well. The refund of 412.50 EUR goes to DE89 3704 0044 0532 0130 00, which she has confirmed on the telephone on 12 March, and the old card 4111 1111 1111 1111 is not to be used any more. The order came from 192.0.2.44 and was placed through our shop; the machine that took it is 00:1b:44:11:3a:b7. If she asks for details, point her to https://shop.example.org/orders/88172 and say that a colleague will call on Monday between nine and eleven. Keep the letter friendly and short, name no amounts in the first paragraph, do not promise a date for the refund, and close with thanks for her patience over the last weeks. She has been with us for eleven years, so a word about that would be good. Write in the language of the address, and sign it with the team's name only, not with yours.";

/// Milliseconds.
const DELAY: u32 = 20;

const NAMESPACE: &str = "sales";

const CONFIG: &str = "apiVersion: isonomy.dev/v1
kind: Site
spec:
  egress:
    - {destination: 'http://127.0.0.1:*', allow: true}
  models:
    rates: ['1 USD = 0.92 EUR']
";

/// Who is asked.
pub struct Target {
    pub name: String,
    pub host: String,
    pub pid: u32,
    pub headers: Vec<String>,
    pub model: &'static str,
    /// What the user says.
    pub content: &'static str,
    pub is_slow: bool,
}

/// Ended when it is dropped.
pub struct Ending(pub Child);

pub struct Place {
    /// The proxy, the site without and the site with all that it governs with, and with protection; then the first
    /// three before the upstream that thinks.
    pub targets: Vec<Target>,
    pub upstream: String,
    /// Both upstreams themselves.
    direct: [Target; 2],
    folder: PathBuf,
    isonomy: PathBuf,
    /// That of the first program first.
    sites: Vec<Server>,
    _others: Vec<Ending>,
}

impl Place {
    /// Of this tree's programs, or of those that were built before, and what loads it.
    pub fn build(folder: &Path, programs: &[PathBuf]) -> anyhow::Result<(Self, Around)> {
        let release = target_folder()?.join("release");
        let (isonomy, more) = match programs {
            [] => (release.join("isonomy"), programs),
            [first, more @ ..] => (first.clone(), more),
        };
        let own = if programs.is_empty() { &["isonomy-cli"][..] } else { &[] };
        build(&[own, &["isonomy-model-bench"]].concat())?;
        let program = release.join("isonomy-model-bench");
        let (around, [upstream, slow]) = Around::start(&program, [0, DELAY])?;
        let mut others = Vec::new();
        let mut proxy = |upstream: &str| {
            let mut child = on_core(0, &program);
            child.args(["proxy", upstream]).stdout(Stdio::piped());
            let mut child = Ending(child.spawn().context("cannot start the proxy")?);
            let host = address(&mut BufReader::new(child.0.stdout.take().context("piped")?))?;
            let pid = child.0.id();
            others.push(child);
            Ok::<_, anyhow::Error>((host, pid))
        };
        let bare = proxy(&upstream)?;
        let slow_bare = proxy(&slow)?;
        let site = site_of(folder, &isonomy, "gateway")?;
        let key = furnish(&site, &upstream, &slow)?;
        let mut targets = Vec::new();
        let pid = bare.1;
        let direct = [(&upstream, false), (&slow, true)]
            .map(|(host, is_slow)| target("no proxy", host, pid, ("free", Vec::new()), is_slow));
        for (is_slow, (host, pid)) in [(false, bare), (true, slow_bare)] {
            let target = |what: &str, host: &str, pid, model, headers| {
                target(what, host, pid, (model, headers), is_slow)
            };
            let (free, paid) = if is_slow { ("free-slow", "paid-slow") } else { ("free", "paid") };
            targets.push(target("bare proxy", &host, pid, free, Vec::new()));
            let mut headers = vec![bearer(site.key())];
            headers.push(format!("x-isonomy-namespace: {NAMESPACE}"));
            targets.push(target("plain", site.host(), site.pid(), free, headers));
            targets.push(target("governed", site.host(), site.pid(), paid, vec![bearer(&key)]));
            if !is_slow {
                let (name, headers) = ("governed, 1 kB protected both ways", vec![bearer(&key)]);
                let veiled = target(name, site.host(), site.pid(), "veiled", headers);
                targets.push(Target { content: LETTER, ..veiled });
            }
        }
        let mut sites = vec![site];
        for (number, other) in more.iter().enumerate() {
            let site = site_of(folder, other, &format!("gateway-{number}"))?;
            let headers = vec![bearer(&furnish(&site, &upstream, &slow)?)];
            let (name, host) = (format!("governed, {}", other.display()), site.host().to_owned());
            let (pid, model) = (site.pid(), "paid");
            let (content, is_slow) = (GREETING, false);
            targets.push(Target { name, host, pid, headers, model, content, is_slow });
            sites.push(site);
        }
        let folder = folder.to_owned();
        let place = Self { targets, upstream, direct, folder, isonomy, sites, _others: others };
        Ok((place, around))
    }

    pub fn governed(&self) -> &Target {
        &self.targets[GOVERNED]
    }

    pub fn governed_slow(&self) -> &Target {
        &self.targets[GOVERNED_SLOW]
    }

    /// The ways of a stream, to both upstreams.
    pub fn ways(&self) -> [&Target; 6] {
        let ([direct, slow], targets) = (&self.direct, &self.targets);
        let (bare, governed) = (&targets[BARE_SLOW], &targets[GOVERNED_SLOW]);
        [direct, &targets[0], &targets[GOVERNED], slow, bare, governed]
    }

    /// Another life of the site, for what memory takes: nothing is left of the load before.
    pub fn fresh(&self) -> anyhow::Result<Fresh> {
        let site = site_of(&self.folder, &self.isonomy, "gateway-open")?;
        let key = furnish(&site, &self.upstream, &self.upstream)?;
        let target = Target {
            name: "open streams".into(),
            host: site.host().to_owned(),
            pid: site.pid(),
            headers: vec![bearer(&key)],
            model: "paid",
            content: GREETING,
            is_slow: false,
        };
        Ok(Fresh { target, _site: site })
    }

    /// Of the newest calls.
    pub fn own_micros(&self, count: usize) -> anyhow::Result<Vec<u64>> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        while found.len() < count {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/calls?limit=500{cursor}");
            let page: Value = serde_json::from_slice(&self.sites[0].get(&path)?)?;
            let items = page["items"].as_array().context("a page has `items`")?;
            found.extend(items.iter().filter_map(|it| it["settled"]["ownMicros"].as_u64()));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        ensure!(!found.is_empty(), "the site has no record of calls");
        Ok(found)
    }
}

pub struct Fresh {
    target: Target,
    _site: Server,
}

impl std::ops::Deref for Fresh {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

impl Target {
    /// What the load is told.
    pub fn order(
        &self,
        connections: usize,
        seconds: u64,
        rate: Option<f64>,
        stream: bool,
    ) -> Value {
        let mut body = json!({
            "model": self.model, "max_tokens": 64,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": self.content},
            ],
        });
        if stream {
            body["stream"] = json!(true);
        }
        json!({
            "host": self.host, "headers": self.headers, "body": body.to_string(),
            "connections": connections, "seconds": seconds, "rate": rate,
        })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that has this core to itself, as far as the system lets it.
pub fn on_core(core: u8, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command.stdin(Stdio::null());
    command
}

fn target(
    what: &str,
    host: &str,
    pid: u32,
    (model, headers): (&'static str, Vec<String>),
    is_slow: bool,
) -> Target {
    let name = format!("{what}{}", if is_slow { ", upstream of 20 ms" } else { "" });
    Target { name, host: host.to_owned(), pid, headers, model, content: GREETING, is_slow }
}

fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}")
}

fn site_of(folder: &Path, isonomy: &Path, name: &str) -> anyhow::Result<Server> {
    let config = folder.join("gateway.yaml");
    std::fs::write(&config, CONFIG).context("cannot write a configuration")?;
    Server::start_on_core(isonomy, &folder.join(name), &config, 0)
}

/// Models with and without a price before both upstreams, budgets, and a key with all that limits it.
fn furnish(site: &Server, upstream: &str, slow: &str) -> anyhow::Result<String> {
    let mut connection = site.connect()?;
    let paid = json!({"own": {"currency": "USD", "rates": {"input": "0.15", "output": "0.6"}}});
    let veil = json!({"rules": "standard", "answers": {"email": "redact", "iban": "redact"}});
    for (name, host, price, protect) in [
        ("free", upstream, json!("free"), Value::Null),
        ("paid", upstream, paid.clone(), Value::Null),
        ("veiled", upstream, paid.clone(), veil),
        ("free-slow", slow, json!("free"), Value::Null),
        ("paid-slow", slow, paid, Value::Null),
    ] {
        let spec = json!({
            "upstream": {"url": format!("http://{host}/v1")}, "price": price, "protect": protect,
            "limits": {"outputTokens": 1_000, "concurrency": 8_192},
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/models/{name}");
        send(&mut connection, "PUT", &path, &json!({"spec": spec}))?;
    }
    let terms = json!({
        "namespace": NAMESPACE, "budgets": ["100000EUR/month"], "requestsPerMinute": 100_000_000,
    });
    let key = json!({"name": "bench", "scopes": ["model"], "model": terms});
    let made = send(&mut connection, "POST", "/api/v1/keys", &key)?;
    Ok(made["key"].as_str().context("a key was made")?.to_owned())
}

fn send(
    connection: &mut Connection,
    method: &str,
    path: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let request = connection.request(method, path, &body.to_string());
    let answer = connection.send(&request)?.success(path)?;
    serde_json::from_slice(&answer).context("the answer is not JSON")
}
