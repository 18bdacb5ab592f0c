//! One budget over many sites: real calls to a real upstream, and a hub that is not there.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::{SystemClock, SystemRandom};
use futures::FutureExt as _;
use serde_json::{Value, json};
use server::Listening;
use site::{Config, Parts, Site};
use store::Store;
use store_sqlite::{OpenOptions, SqliteStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use wire::ApiKey;

use crate::plant::Api;
use crate::{folder, hub, site as joined};

/// Only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(60);

const BUDGETS: &str = "/api/v1/budgets";

/// In micro-units: what all sites may spend together, and what each call costs.
const CAP: u64 = 20_000;
const COST: u64 = 20;

/// Sites, and clients of each at once.
const SITES: usize = 10;
const CLIENTS: usize = 6;

/// A site that calls models.
struct Shop {
    api: Api,
    site: Site,
    store: Arc<SqliteStore>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Shop {
    async fn start(folder: &Path, upstream: SocketAddr) -> Self {
        let store = SqliteStore::open(&folder.join("store"), OpenOptions::default());
        let store = Arc::new(store.expect("the store opens"));
        let own_key = ApiKey::new(&SystemRandom);
        let text = format!(
            "apiVersion: isonomy.dev/v1\nkind: Site\nmetadata: {{name: shop}}\nspec:\n  egress:\n    - destination: http://{upstream}\n      allow: true\n"
        );
        let config = Config::parse(&text, "site.yaml", folder).expect("a configuration");
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            upkeep: None,
            config,
            program: folder.join("none"),
            secrets: None,
            tail: Some(folder.join("store")),
            membership: Some(joined::membership(folder)),
            own_key: own_key.clone(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            store_figures: None,
        };
        let site = Site::open(parts).await.expect("the site opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let api = Api { url, key: own_key.to_text() };
        site.hold_line().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = site.clone();
        let served = tokio::spawn(async move {
            let doors = vec![Listening { listener, tls: None }];
            let until = async { stopped.await.unwrap_or(()) };
            serving.serve(doors, until.boxed()).await.expect("it serves");
        });
        let shop = Self { api, site, store, stop, served };
        let model = json!({
            "upstream": {"url": format!("http://{upstream}/v1")},
            "limits": {"outputTokens": 100},
            "price": {"own": {"currency": "EUR", "rates": {"input": "1", "output": "2"}}},
        });
        let path = "/api/v1/namespaces/sales/models/gpt";
        shop.api.ask("PUT", path, &json!({ "spec": model })).await;
        shop
    }

    async fn stop(self) {
        self.stop.send(()).ok();
        self.served.await.expect("it ends");
        self.site.stop().await;
        self.store.close().await;
    }

    /// What it holds of the hub's budget.
    async fn lease(&self) -> Option<Value> {
        let list = self.api.ask("GET", BUDGETS, &Value::Null).await;
        list["leases"].as_array().and_then(|leases| leases.first().cloned())
    }

    async fn lease_is(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let lease = self.lease().await;
            if let Some(lease) = lease.clone().filter(&is_so) {
                return lease;
            }
            assert!(began.elapsed() < HANG, "{lease:?}");
            tokio::task::yield_now().await;
        }
    }

    /// What its calls have cost.
    async fn spent(&self) -> u64 {
        let usage = self.api.ask("GET", "/api/v1/usage", &Value::Null).await;
        usage["total"]["cost"][0].as_str().map_or(0, micros)
    }
}

/// `0.00002 EUR` as 20.
fn micros(text: &str) -> u64 {
    let (amount, currency) = text.split_once(' ').expect("an amount and a currency");
    assert_eq!(currency, "EUR");
    let (whole, parts) = amount.split_once('.').unwrap_or((amount, ""));
    let parts = format!("{parts:0<6}");
    assert_eq!(parts.len(), 6, "{text} has parts of a micro-unit");
    whole.parse::<u64>().expect("digits") * 1_000_000 + parts.parse::<u64>().expect("digits")
}

/// Ten tokens in and five out, for whoever asks. Counts them.
async fn upstream() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&counted)));
        }
    });
    (address, count)
}

async fn answer(mut stream: TcpStream, count: Arc<AtomicU64>) {
    let body = json!({
        "object": "chat.completion", "model": "gpt",
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    })
    .to_string();
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut read = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => read.extend_from_slice(&buffer[..bytes]),
        }
        while let Some(length) = whole(&read) {
            read.drain(..length);
            count.fetch_add(1, Ordering::SeqCst);
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The bytes of the first request, where all of it is there.
fn whole(read: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(read);
    let head = text.find("\r\n\r\n")?;
    let length = text[..head].lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = head + 4 + length.unwrap_or(0);
    (read.len() >= whole).then_some(whole)
}

/// One call; gives what is said where it is refused.
async fn call(api: &Api) -> Result<(), String> {
    let body = json!({"model": "gpt", "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let address = api.url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("it is there");
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\nx-isonomy-namespace: sales\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        api.key,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("an answer");
    match said.get(9..12) {
        Some("200") => Ok(()),
        _ => Err(said),
    }
}

/// Calls until it is refused.
async fn calls(api: Api) -> String {
    loop {
        if let Err(why) = call(&api).await {
            return why;
        }
    }
}

/// The hub's view of the one budget.
async fn budget(hub: &hub::AtWork) -> Value {
    hub.ask("GET", BUDGETS, &Value::Null).await["items"][0].clone()
}

async fn budget_is(hub: &hub::AtWork, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let shown = budget(hub).await;
        if is_so(&shown) {
            return shown;
        }
        assert!(began.elapsed() < HANG, "{shown:#}");
        tokio::task::yield_now().await;
    }
}

async fn set(hub: &hub::AtWork, sites: Value) {
    let budget = format!("0.{CAP:06}EUR/total");
    let set = json!({"holder": "namespace/sales", "budget": budget, "sites": sites});
    hub.ask_empty("PUT", BUDGETS, &set).await;
}

async fn all_spent(shops: &[Shop]) -> u64 {
    let mut sum = 0;
    for shop in shops {
        sum += shop.spent().await;
    }
    sum
}

/// Mutation: let a site that has no lease spend as it likes, lease everything to the first who asks, count what
/// was granted anew at each start of the hub, or take a site out of a budget without its giving back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_sites_without_their_hub_spend_no_more_than_one_budget() {
    let (address, answered) = upstream().await;
    let hub_folder = folder();
    hub::init(hub_folder.path());
    let hub = hub::AtWork::start(hub_folder.path(), None).await;
    let folders: Vec<_> = (0..SITES).map(|_| folder()).collect();
    let mut shops = Vec::new();
    for (n, folder) in folders.iter().enumerate() {
        let token = hub.token(&format!("shop-{n}")).await;
        joined::join(folder.path(), &token).await.expect("joins");
        shops.push(Shop::start(folder.path(), address).await);
    }
    set(&hub, json!({"all": true})).await;
    for shop in &shops {
        shop.lease_is(|lease| micros(lease["leased"].as_str().expect("an amount")) > 0).await;
    }
    let at = hub.address;
    hub.stop().await;
    let mut clients = JoinSet::new();
    for shop in &shops {
        (0..CLIENTS).for_each(|_| drop(clients.spawn(calls(shop.api.clone()))));
    }
    for why in clients.join_all().await {
        assert!(why.contains("402 Payment") && why.contains("lease_exhausted"), "{why}");
    }
    let spent = all_spent(&shops).await;
    assert_eq!(spent, answered.load(Ordering::SeqCst) * COST);
    assert!((CAP / 10..=CAP).contains(&spent), "{spent}");
    for shop in &shops {
        let lease = shop.lease().await.expect("it is there");
        let of = |name: &str| micros(lease[name].as_str().expect("an amount"));
        assert!(shop.spent().await == of("spent") && of("spent") <= of("leased"), "{lease}");
    }
    // Whoever begins anew without a hub knows what it has spent.
    let first = shops.remove(0);
    let before = first.lease().await.expect("it is there");
    first.stop().await;
    shops.insert(0, Shop::start(folders[0].path(), address).await);
    let again = shops[0].lease().await.expect("it is kept");
    assert_eq!((&again["leased"], &again["spent"]), (&before["leased"], &before["spent"]));
    let why = call(&shops[0].api).await.expect_err("nothing is left");
    assert!(why.contains("the hub is away since"), "{why}");

    let hub = hub::AtWork::start(hub_folder.path(), Some(at)).await;
    let mut clients = JoinSet::new();
    for shop in &shops {
        clients.spawn(calls_to_the_end(shop.api.clone()));
    }
    clients.join_all().await;
    let spent = all_spent(&shops).await;
    assert_eq!(spent, answered.load(Ordering::SeqCst) * COST);
    assert!(spent <= CAP && spent > CAP / 2, "{spent}");
    // Those that are taken out give back what they hold.
    set(&hub, json!({"names": ["shop-0"]})).await;
    let is_back = |shown: &Value| {
        let mut leases = shown["leases"].as_array().into_iter().flatten();
        leases.all(|it| it["site"] == "shop-0" || it["leased"] == "0.00 EUR")
    };
    let shown = budget_is(&hub, |it| is_back(it) && it["leases"][SITES - 1].is_object()).await;
    for (n, shop) in shops.iter().enumerate().skip(1) {
        let of_hub = shown["leases"].as_array().into_iter().flatten();
        let mut of_hub = of_hub.filter(|it| it["site"] == format!("shop-{n}"));
        let of_hub = of_hub.next().expect("it is listed")["spent"].clone();
        assert_eq!(micros(of_hub.as_str().expect("an amount")), shop.spent().await, "{shown:#}");
    }
    call(&shops[1].api).await.expect("no budget is its own any more");
    for shop in shops {
        shop.stop().await;
    }
    hub.stop().await;
}

/// Calls until the hub has said that there is no more.
async fn calls_to_the_end(api: Api) {
    let began = Instant::now();
    loop {
        match call(&api).await {
            Ok(()) => {}
            Err(why) if why.contains("the hub has no more") => return,
            Err(why) => assert!(began.elapsed() < HANG, "{why}"),
        }
    }
}
