//! A whole site: engine, schedules, API and line, as `isonomy site serve` puts it together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::stream::Stream;
use base::{Clock, SystemRandom};
use futures::FutureExt as _;
use gateway::operator::{Client, Credentials, OperatorError};
use serde_json::{Value, json};
use server::Listening;
use site::{Config, Parts, Site};
use store::{LinkStore as _, OutcomeRow, RunQuery, RunState, Store};
use store_sqlite::{OpenOptions, SqliteStore};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::ApiKey;

use crate::site::membership;
use crate::time::{Moved, Time};

pub struct Plant {
    pub store: Arc<SqliteStore>,
    api: Api,
    site: Site,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// As in the tests of the binary: only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(30);

pub const RUNS: &str = "/api/v1/namespaces/default/runs";

/// Where an API is asked, and by whom.
#[derive(Clone)]
pub struct Api {
    pub url: String,
    pub key: String,
}

impl Api {
    /// Over a connection of its own: one that nobody has used for half a minute is closed, and that is soon over here.
    pub async fn try_ask(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, OperatorError> {
        let credentials = Credentials { key: Some(self.key.clone()), tls: None };
        let client = Client::connect(&self.url, credentials)?;
        let body = Some(body).filter(|body| !body.is_null());
        client.send(method, path, body, &[]).await?.json()
    }

    /// Where nothing is answered.
    pub async fn ask_empty(&self, method: &str, path: &str, body: &Value) {
        let credentials = Credentials { key: Some(self.key.clone()), tls: None };
        let client = Client::connect(&self.url, credentials).expect("an address");
        let answer = client.send(method, path, Some(body), &[]).await;
        assert!(answer.is_ok(), "{method} {path}: {:?}", answer.err());
    }

    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_ask(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }
}

impl Plant {
    /// Of a site that has joined.
    pub async fn start(folder: &Path, clock: &Arc<Moved>) -> Self {
        let store = SqliteStore::open(&folder.join("store"), OpenOptions::default());
        let store = Arc::new(store.expect("the store opens"));
        let own_key = ApiKey::new(&SystemRandom);
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            upkeep: None,
            config: Config::default(),
            // What these workflows say is evaluated in this process.
            program: folder.join("none"),
            secrets: None,
            tail: None,
            membership: Some(membership(folder)),
            own_key: own_key.clone(),
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            store_figures: None,
        };
        let site = Site::open(parts).await.expect("the site opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let api = Api { url, key: own_key.to_text() };
        site.keep_schedules().await;
        site.keep_tidy();
        site.hold_line().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = site.clone();
        let served = tokio::spawn(async move {
            let doors = vec![Listening { listener, tls: None }];
            let until = async { stopped.await.unwrap_or(()) };
            serving.serve(doors, until.boxed()).await.expect("it serves");
        });
        Self { store, api, site, stop, served }
    }

    pub async fn stop(self) {
        self.stop.send(()).ok();
        self.served.await.expect("it ends");
        self.site.stop().await;
        self.store.close().await;
    }

    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.api.ask(method, path, body).await
    }

    /// What somebody with this key is answered who wants to see the site.
    pub async fn shows_itself_to(&self, key: &str) -> Result<Value, OperatorError> {
        let api = Api { key: key.to_owned(), ..self.api.clone() };
        api.try_ask("GET", "/api/v1/site", &Value::Null).await
    }

    /// A workflow with this schedule, if it has any.
    pub async fn apply(&self, name: &str, tasks: &str, schedule: &str) {
        let path = format!("/api/v1/namespaces/default/workflows/{name}");
        let text = format!(
            "document: {{dsl: '1.0.3', namespace: default, name: {name}, version: 1.0.0}}\n{schedule}\ndo:\n{tasks}"
        );
        self.ask("PUT", &path, &json!({ "text": text })).await;
    }

    pub async fn start_run(&self, workflow: &str) {
        self.ask("POST", RUNS, &json!({ "workflow": workflow })).await;
    }

    /// The line to the hub, as the site shows it.
    pub async fn line(&self) -> Value {
        self.ask("GET", "/api/v1/site", &Value::Null).await["hub"].clone()
    }

    /// When the line is so. Time goes on meanwhile, and the site tries again at once.
    pub async fn line_is(&self, time: &Time, is_so: impl Fn(&Value) -> bool) -> Value {
        // Longer than any pause between two attempts of a site that nobody has refused.
        time.pass(61).await;
        let began = Instant::now();
        time.flow(async {
            loop {
                let line = self.line().await;
                if is_so(&line) {
                    return line;
                }
                assert!(began.elapsed() < HANG, "{line}");
            }
        })
        .await
    }

    pub async fn is_up(&self, time: &Time) {
        self.line_is(time, |line| line["state"] == "up").await;
    }

    /// When so many outcomes have ever been in the outbox.
    pub async fn has_made(&self, time: &Time, count: u64) {
        // Who sleeps for a moment wants to see it pass: all in all less than makes anything late.
        for _ in 0..5_000 {
            if self.made().await >= count {
                return;
            }
            time.pass(0).await;
        }
        let began = Instant::now();
        time.flow(async {
            while self.made().await < count {
                assert!(began.elapsed() < HANG, "not {count}: {:?}", self.begun().await);
            }
        })
        .await;
    }

    async fn made(&self) -> u64 {
        self.store.outbox_last(Stream::Outcome).await.expect("reads")
    }

    /// How many runs each workflow has had, by how they are.
    pub async fn begun(&self) -> BTreeMap<(String, RunState), u64> {
        let query = RunQuery { limit: 10_000, ..RunQuery::default() };
        let mut begun = BTreeMap::new();
        for row in self.store.run_list(query).await.expect("reads") {
            *begun.entry((row.key.name.to_string(), row.state)).or_default() += 1;
        }
        begun
    }

    /// All that it holds for its hub.
    pub async fn held(&self) -> Vec<OutcomeRow> {
        self.store.outcome_list(0, u32::MAX).await.expect("reads")
    }
}
