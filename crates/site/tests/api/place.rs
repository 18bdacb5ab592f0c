//! A site to test: its server on a port of its own, and a client that speaks HTTP by hand, so that
//! nothing between hides what is sent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base::{IncarnationId, SystemClock, SystemRandom, Timestamp};
use futures::FutureExt as _;
use isonomy_site::{Config, Parts, Site};
use serde_json::Value;
use server::Listening;
use store::Store;
use store::memory::MemoryStore;
use store_sqlite::{OpenOptions, SqliteStore};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::ApiKey;

pub struct Place {
    pub site: Site,
    pub address: SocketAddr,
    pub own_key: ApiKey,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// A connection whose answer is read line by line.
pub struct Lines(BufReader<TcpStream>);

/// Every kind of store that a site may have.
pub fn stores() -> Vec<(&'static str, Arc<dyn Store>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = SqliteStore::open(folder.path(), OpenOptions::default()).expect("a new store");
    vec![("memory", memory(), None), ("sqlite", Arc::new(sqlite), Some(folder))]
}

pub fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(IncarnationId::new(Timestamp::from_millis(0), &SystemRandom)))
}

pub fn config(text: &str) -> Config {
    Config::parse(text, "site.yaml", std::path::Path::new("/")).expect("a configuration")
}

impl Place {
    pub async fn new() -> Self {
        Self::with(memory(), Config::default()).await
    }

    pub async fn with(store: Arc<dyn Store>, config: Config) -> Self {
        Self::keeping(store, config, None).await
    }

    /// One that keeps secrets in that folder.
    pub async fn keeping(store: Arc<dyn Store>, config: Config, secrets: Option<PathBuf>) -> Self {
        let own_key = ApiKey::new(&SystemRandom);
        let site = Site::open(Parts {
            store,
            config,
            tail: None,
            program: PathBuf::from("/nonexistent"),
            secrets,
            membership: None,
            own_key: own_key.clone(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            store_figures: None,
            upkeep: None,
        })
        .await
        .expect("a site");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let server = site.clone();
        let serving = tokio::spawn(async move {
            let shutdown = async {
                stopped.await.ok();
            };
            let doors = vec![Listening { listener, tls: None }];
            server.serve(doors, shutdown.boxed()).await.expect("served");
        });
        Self { site, address, own_key, stop: Some(stop), serving }
    }

    /// Stops as a person would, and waits until it has stopped.
    pub async fn stop(mut self) {
        self.stop.take().expect("stopped once").send(()).ok();
        self.serving.await.expect("no panic");
        self.site.stop().await;
    }

    pub async fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        // A server that refuses early may close before it has read everything.
        stream.write_all(request).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        Reply::parse(&answer)
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.raw(&self.request(method, path, headers, body)).await
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        let has = |name: &str| headers.iter().any(|(found, _)| *found == name);
        if !has("host") {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        if !body.is_empty() && !has("content-type") {
            head.push_str("content-type: application/json\r\n");
        }
        if !has("content-length") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        if !has("authorization") {
            head.push_str(&format!("authorization: Bearer {}\r\n", self.own_key.to_text()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[("isonomy-actor", "ada")], body.to_string().as_bytes()).await
    }

    pub async fn apply(&self, namespace: &str, name: &str, text: &str) -> Reply {
        let body = serde_json::json!({"text": text}).to_string();
        let path = format!("/api/v1/namespaces/{namespace}/workflows/{name}");
        self.send("PUT", &path, &[("isonomy-actor", "ada")], body.as_bytes()).await
    }

    /// Applies `do` as the workflow `name` of the namespace `default`.
    pub async fn given(&self, name: &str, tasks: &str) {
        let reply = self.apply("default", name, &document("default", name, "1.0.0", tasks)).await;
        assert!(reply.status < 300, "{}", reply.text());
    }

    /// Starts a run and waits for its end.
    pub async fn run(&self, name: &str, input: Value) -> Value {
        let body = serde_json::json!({"workflow": name, "input": input});
        let reply = self.post("/api/v1/namespaces/default/runs?wait=60", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }

    /// Starts a run and does not wait. Gives its id.
    pub async fn start(&self, name: &str, input: Value) -> String {
        let body = serde_json::json!({"workflow": name, "input": input});
        let reply = self.post("/api/v1/namespaces/default/runs", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["run"].as_str().expect("an id").to_owned()
    }

    pub async fn lines(&self, path: &str, headers: &[(&str, &str)]) -> Lines {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(&self.request("GET", path, headers, b"")).await.expect("sent");
        Lines(BufReader::new(stream))
    }
}

impl Lines {
    /// The next event with data, and the id that follows or precedes it. `None` at the end.
    pub async fn event(&mut self) -> Option<(Option<u64>, Value)> {
        let mut id = None;
        let mut data = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).expect("an event is JSON"));
            } else if line.is_empty()
                && let Some(data) = data.take()
            {
                return Some((id, data));
            }
        }
    }

    pub async fn rest(mut self) -> Vec<(Option<u64>, Value)> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = end.map_or((bytes, &b""[..]), |end| (&bytes[..end], &bytes[end + 4..]));
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head, body: body.to_vec() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// The code of a problem document, which this must be.
    pub fn problem(&self) -> String {
        let kind = "content-type: application/problem+json";
        assert!(self.head.contains(kind), "no problem document: {}\n{}", self.head, self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{}", self.text());
        let code = problem["code"].as_str().expect("a code");
        assert_eq!(problem["type"], format!("urn:isonomy:problem:{code}"));
        for field in ["title", "detail"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{}",
                self.text()
            );
        }
        code.to_owned()
    }
}

pub fn document(namespace: &str, name: &str, version: &str, tasks: &str) -> String {
    format!(
        "document: {{dsl: 1.0.3, namespace: {namespace}, name: {name}, version: {version}}}\ndo:\n{tasks}\n"
    )
}
