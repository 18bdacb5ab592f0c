//! The APIs of site and hub, operation by operation, in the types that cross the wire. What a hub alone
//! can be asked is in `hub`.
//!
//! Connecting is in `gateway::operator`; what an answer means to the user is in the commands.

mod hub;
mod model;

use std::sync::OnceLock;

use base::{Clock as _, KeyName, Namespace, RunId, SecretName, SystemClock, WorkflowName};
use gateway::operator::{Client, Events, OperatorError, Pieces, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::exchange::{FILE_TYPE, REST_HEADER};
use wire::{
    ACTOR_HEADER, DatasetView, DayLeft, EventView, EventsAccepted, ExchangeDown, KeyCreate,
    KeyCreated, KeyRevoke, KeyView, LogView, Page, Problem, ProblemCode, RunCommand, RunDetail,
    RunEventView, RunExplained, RunStart, RunView, SecretChanged, SecretSet, SecretView, SiteLeave,
    SiteLeft, SiteStatus, StoreCompacted, Version, Whoami, WorkflowApplied, WorkflowApply,
    WorkflowDetail, WorkflowSetApply, WorkflowView,
};

pub use self::hub::OrderFilter;
pub use self::model::Budgets;
use crate::address::{Address, Whom};
use crate::args::logs::LogsOf;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, problem_of};

/// Characters of an actor's name that a site takes.
const ACTOR_CHARS_MAX: usize = 200;

/// A site or hub, as somebody in one namespace sees it.
#[derive(Debug)]
pub struct Api {
    address: Address,
    client: Client,
    has_key: bool,
    /// Which of the two the command is for, where only one can answer.
    wanted: Option<Whom>,
    pub namespace: Namespace,
}

/// Which part of a list. Empty fields are left to the site.
#[derive(Debug, Clone, Default)]
pub struct Part {
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub workflow: Option<String>,
    pub states: Vec<String>,
    pub since: Option<String>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    pub kind: Option<String>,
    pub source: Option<String>,
    pub subject: Option<String>,
    pub run: Option<RunId>,
    pub since: Option<String>,
    pub oldest: bool,
}

/// Which part of the store is exported, behind `/api/v1/store/`.
pub fn export_path(
    run: Option<RunId>,
    namespace: Option<&Namespace>,
    since: Option<&str>,
) -> String {
    let mut query = Query::default();
    query.add("run", run.map(|run| run.to_string()).as_deref());
    query.add("namespace", namespace.map(Namespace::as_str));
    query.add("since", since);
    format!("export{}", query.0)
}

impl EventQuery {
    fn add_to(&self, query: &mut Query) {
        query.add("type", self.kind.as_deref());
        query.add("source", self.source.as_deref());
        query.add("subject", self.subject.as_deref());
        query.add("run", self.run.map(|run| run.to_string()).as_deref());
    }
}

impl Api {
    /// Opens no connection yet.
    pub fn new(address: Address, namespace: Namespace) -> Outcome<Self> {
        let (client, has_key) = connect(&address)?;
        Ok(Self { address, client, has_key, wanted: None, namespace })
    }

    /// For a command that only a site, or only a hub, can answer.
    #[must_use]
    pub fn wanting(self, whom: Whom) -> Self {
        Self { wanted: Some(whom), ..self }
    }

    /// The same site after it was away, wherever it is now.
    pub fn renew(&mut self) -> Outcome<()> {
        (self.client, self.has_key) = connect(&self.address)?;
        Ok(())
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.client.address()
    }

    /// The failure, with where the address came from if nobody is there.
    pub fn explain(&self, error: OperatorError) -> Failure {
        if let (OperatorError::Unreachable { .. }, Some(other)) =
            (&error, self.address.other_here())
        {
            return alone(other);
        }
        if let Some(problem) = problem_of(&error).filter(|it| it.code == ProblemCode::KeyRequired) {
            return self.no_key(&problem);
        }
        let origin = match &error {
            OperatorError::Unreachable { .. } => self.address.origin(),
            _ => None,
        };
        let failure = Failure::from(error);
        match origin {
            Some(origin) => failure.hint(origin),
            None => failure,
        }
    }

    /// The API speaks of a header, which is nothing that one types.
    fn no_key(&self, problem: &Problem) -> Failure {
        let why = match self.has_key {
            true => problem.detail.clone(),
            false => format!("{} wants a key, and none was named", self.address()),
        };
        Failure::new(Exit::Denied, format!("{why} [{}]", problem.code)).hint(
            "take a context that has one (`--context NAME`; `isonomy context add` makes it), put the key into \
             the variable ISONOMY_KEY, or on the server's machine name its data folder with `--server DIR`",
        )
    }

    /// Of an operation that is not there: who was asked, where it was the other of the two.
    async fn told(&self, error: OperatorError, path: &str) -> OperatorError {
        let is_missing = problem_of(&error).is_some_and(|problem| {
            matches!(problem.code, ProblemCode::NoSuchOperation | ProblemCode::MethodNotAllowed)
        });
        let Some(wanted) = self.wanted.filter(|_| is_missing) else { return error };
        let asked = self.client.get("/api/v1/whoami").await.and_then(|reply| reply.json());
        match asked {
            Ok(Whoami { kind, name, .. }) if kind != wanted.name() => {
                let detail = elsewhere(wanted, &format!("{kind} {name}"), path);
                let problem = Problem::new(ProblemCode::NoSuchOperation, detail);
                let body = serde_json::to_vec(&problem).expect("a problem has JSON text");
                OperatorError::Status { status: problem.status, body: body.into() }
            }
            _ => error,
        }
    }

    pub async fn version(&self) -> Outcome<Version> {
        self.ask("/api/v1/version".to_owned()).await
    }

    pub async fn store_compact(&self) -> Outcome<StoreCompacted> {
        let asked = self.call("POST", "/api/v1/store/compact", None::<&()>).await;
        asked.and_then(|answer| answer.json()).map_err(|error| self.explain(error))
    }

    pub async fn workflow_list(&self, part: &Part) -> Outcome<Page<WorkflowView>> {
        self.ask(self.path("workflows", &part.query())).await
    }

    pub async fn workflow_show(
        &self,
        name: &WorkflowName,
        revision: Option<&str>,
    ) -> Outcome<WorkflowDetail> {
        let mut query = Query::default();
        query.add("revision", revision);
        self.ask(self.path(&format!("workflows/{name}"), &query)).await
    }

    /// Refusals are the caller's to look at: their findings belong to a file.
    pub async fn workflow_apply(
        &self,
        namespace: &Namespace,
        name: &WorkflowName,
        apply: &WorkflowApply,
    ) -> Result<WorkflowApplied, OperatorError> {
        self.call("PUT", &format!("/api/v1/namespaces/{namespace}/workflows/{name}"), Some(apply))
            .await?
            .json()
    }

    /// All or none of the documents, which may refer to each other.
    pub async fn workflow_apply_set(
        &self,
        set: &WorkflowSetApply,
    ) -> Result<Vec<WorkflowApplied>, OperatorError> {
        let page: Page<WorkflowApplied> =
            self.call("POST", "/api/v1/workflows:apply", Some(set)).await?.json()?;
        Ok(page.items)
    }

    pub async fn workflow_delete(&self, name: &WorkflowName, reason: Option<&str>) -> Outcome<()> {
        let mut query = Query::default();
        query.add("reason", reason);
        let path = self.path(&format!("workflows/{name}"), &query);
        self.call("DELETE", &path, None::<&()>).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Harmless to repeat where `start` names the run.
    pub async fn run_start(
        &self,
        namespace: &Namespace,
        start: &RunStart,
    ) -> Result<RunView, OperatorError> {
        self.call("POST", &format!("/api/v1/namespaces/{namespace}/runs"), Some(start))
            .await?
            .json()
    }

    pub async fn run_list(&self, filter: &RunFilter, part: &Part) -> Outcome<Page<RunView>> {
        let mut query = part.query();
        query.add("workflow", filter.workflow.as_deref());
        query.add("since", filter.since.as_deref());
        if !filter.states.is_empty() {
            query.add("state", Some(&filter.states.join(",")));
        }
        self.ask(self.path("runs", &query)).await
    }

    pub async fn run_show(&self, run: RunId) -> Outcome<RunDetail> {
        self.ask(self.path(&format!("runs/{run}"), &Query::default())).await
    }

    pub async fn run_cancel(&self, run: RunId, reason: Option<String>) -> Outcome<()> {
        self.command(run, "cancel", reason).await
    }

    pub async fn run_retry(&self, run: RunId, reason: Option<String>) -> Outcome<()> {
        self.command(run, "retry", reason).await
    }

    pub async fn run_suspend(&self, run: RunId, reason: Option<String>) -> Outcome<()> {
        self.command(run, "suspend", reason).await
    }

    pub async fn run_resume(&self, run: RunId, reason: Option<String>) -> Outcome<()> {
        self.command(run, "resume", reason).await
    }

    pub async fn run_events(
        &self,
        run: RunId,
        after: u64,
        limit: Option<u32>,
    ) -> Outcome<Page<RunEventView>> {
        let mut query = Query::default();
        query.add("after", (after > 0).then(|| after.to_string()).as_deref());
        query.add("limit", limit.map(|limit| limit.to_string()).as_deref());
        self.ask(self.path(&format!("runs/{run}/events"), &query)).await
    }

    /// A stream of `FollowEvent`s, behind the one with that id.
    pub async fn run_follow(
        &self,
        run: RunId,
        after: Option<&str>,
    ) -> Result<Events, OperatorError> {
        self.events(&self.path(&format!("runs/{run}/follow"), &Query::default()), after).await
    }

    pub async fn event_send(&self, event: &Value) -> Outcome<EventsAccepted> {
        let path = self.path("events", &Query::default());
        let mut headers = vec![("content-type", "application/cloudevents+json")];
        headers.extend(actor().map(|actor| (ACTOR_HEADER, actor)));
        let sent = self.client.send("POST", &path, Some(event), &headers).await;
        sent.and_then(|reply| reply.json()).map_err(|error| self.explain(error))
    }

    pub async fn event_list(&self, which: &EventQuery, part: &Part) -> Outcome<Page<EventView>> {
        let mut query = part.query();
        which.add_to(&mut query);
        query.add("since", which.since.as_deref());
        query.add("order", which.oldest.then_some("oldest"));
        self.ask(self.path("events", &query)).await
    }

    /// A stream of `EventView`s, behind the one with that cursor.
    pub async fn event_follow(
        &self,
        which: &EventQuery,
        after: Option<&str>,
    ) -> Result<Events, OperatorError> {
        let mut query = Query::default();
        which.add_to(&mut query);
        self.events(&self.path("events/follow", &query), after).await
    }

    pub async fn dataset_list(&self, part: &Part) -> Outcome<Page<DatasetView>> {
        self.ask(self.path("datasets", &part.query())).await
    }

    pub async fn secret_list(&self, part: &Part) -> Outcome<Page<SecretView>> {
        self.ask(self.path("secrets", &part.query())).await
    }

    pub async fn secret_set(
        &self,
        name: &SecretName,
        value: Value,
        reason: Option<String>,
    ) -> Outcome<SecretChanged> {
        let path = self.path(&format!("secrets/{name}"), &Query::default());
        let set = SecretSet { value, reason };
        let reply = self.call("PUT", &path, Some(&set)).await.and_then(|reply| reply.json());
        reply.map_err(|error| self.explain(error))
    }

    pub async fn secret_delete(&self, name: &SecretName, reason: Option<&str>) -> Outcome<()> {
        let mut query = Query::default();
        query.add("reason", reason);
        let path = self.path(&format!("secrets/{name}"), &query);
        self.call("DELETE", &path, None::<&()>).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    pub async fn run_logs(&self, of: &LogsOf, after: u64, limit: u32) -> Outcome<Page<LogView>> {
        let mut query = Query::default();
        query.add("task", of.task.as_deref());
        query.add("after", (after > 0).then(|| after.to_string()).as_deref());
        query.add("limit", Some(&limit.to_string()));
        self.ask(self.path(&format!("runs/{}/logs", of.run), &query)).await
    }

    /// A stream of `LogView`s, behind the one with that position.
    pub async fn run_logs_follow(
        &self,
        of: &LogsOf,
        after: Option<&str>,
    ) -> Result<Events, OperatorError> {
        let mut query = Query::default();
        query.add("task", of.task.as_deref());
        self.events(&self.path(&format!("runs/{}/logs/follow", of.run), &query), after).await
    }

    pub async fn site_status(&self) -> Outcome<SiteStatus> {
        self.ask("/api/v1/site".to_owned()).await
    }

    pub async fn site_leave(&self, ask: &SiteLeave) -> Outcome<SiteLeft> {
        self.tell("/api/v1/site/leave", ask).await
    }

    pub async fn site_left(&self, day: Option<&str>) -> Outcome<DayLeft> {
        let mut query = Query::default();
        query.add("day", day);
        self.ask(format!("/api/v1/site/left{}", query.0)).await
    }

    pub async fn run_explain(&self, run: RunId) -> Outcome<RunExplained> {
        self.ask(self.path(&format!("runs/{run}/explain"), &Query::default())).await
    }

    /// A file for the hub, and whether all that waits is in it.
    pub async fn exchange_export(&self) -> Outcome<(Vec<u8>, bool)> {
        self.take_file("/api/v1/exchange/export").await
    }

    pub async fn exchange_import(&self, file: Vec<u8>) -> Outcome<ExchangeDown> {
        self.give_file("/api/v1/exchange/import", FILE_TYPE, file).await
    }

    async fn take_file(&self, path: &str) -> Outcome<(Vec<u8>, bool)> {
        let reply = match self.client.send_file("POST", path, None).await {
            Ok(reply) => reply,
            Err(error) => return Err(self.explain(self.told(error, path).await)),
        };
        let is_whole = reply.headers.get(REST_HEADER).is_some_and(|rest| rest == "none");
        Ok((reply.body.into(), is_whole))
    }

    async fn give_file<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: &'static str,
        file: Vec<u8>,
    ) -> Outcome<T> {
        match self.client.send_file("POST", path, Some((kind, file))).await {
            Ok(reply) => reply.json().map_err(|error| self.explain(error)),
            Err(error) => Err(self.explain(self.told(error, path).await)),
        }
    }

    pub async fn whoami(&self) -> Outcome<Whoami> {
        self.ask("/api/v1/whoami".to_owned()).await
    }

    pub async fn key_create(&self, ask: &KeyCreate) -> Outcome<KeyCreated> {
        self.tell("/api/v1/keys", ask).await
    }

    pub async fn key_list(&self, part: &Part) -> Outcome<Page<KeyView>> {
        self.ask(format!("/api/v1/keys{}", part.query().0)).await
    }

    pub async fn key_revoke(&self, name: &KeyName, ask: &KeyRevoke) -> Outcome<KeyView> {
        self.tell(&format!("/api/v1/keys/{name}/revoke"), ask).await
    }

    /// A long job on the store, told as it goes.
    pub async fn store_job(&self, method: &str, path: &str) -> Outcome<Pieces> {
        let job = self.client.stream(method, &format!("/api/v1/store/{path}")).await;
        job.map_err(|error| self.explain(error))
    }

    async fn command(&self, run: RunId, what: &str, reason: Option<String>) -> Outcome<()> {
        let path = self.path(&format!("runs/{run}/{what}"), &Query::default());
        let command = RunCommand { reason };
        self.call("POST", &path, Some(&command)).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    async fn tell<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        let answer = self.call("POST", path, Some(body)).await.and_then(|reply| reply.json());
        answer.map_err(|error| self.explain(error))
    }

    fn path(&self, noun: &str, query: &Query) -> String {
        format!("/api/v1/namespaces/{}/{noun}{}", self.namespace, query.0)
    }

    async fn ask<T: DeserializeOwned>(&self, path: String) -> Outcome<T> {
        let answer = self.call("GET", &path, None::<&()>).await.and_then(|reply| reply.json());
        answer.map_err(|error| self.explain(error))
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Reply, OperatorError> {
        let body: Option<Value> =
            body.map(serde_json::to_value).transpose().map_err(OperatorError::Json)?;
        let headers: Vec<(&str, &str)> =
            actor().map(|actor| (ACTOR_HEADER, actor)).into_iter().collect();
        let mut reply = self.client.send(method, path, body.as_ref(), &headers).await;
        // Whoever served there was killed after its key was read, and another one has begun.
        if let Err(OperatorError::Status { status: 401, .. }) = &reply
            && !matches!(self.address, Address::Named(_))
            && let Ok((client, _)) = connect(&self.address)
        {
            reply = client.send(method, path, body.as_ref(), &headers).await;
        }
        match reply {
            Err(error) => Err(self.told(error, path).await),
            reply => reply,
        }
    }

    async fn events(&self, path: &str, after: Option<&str>) -> Result<Events, OperatorError> {
        match self.client.events(path, after).await {
            Err(error) => Err(self.told(error, path).await),
            events => events,
        }
    }
}

/// Where the way to one of the two leads, when the other one was asked.
fn elsewhere(wanted: Whom, asked: &str, path: &str) -> String {
    let behind = path.strip_prefix("/api/v1/").unwrap_or(path);
    let behind = behind
        .strip_prefix("namespaces/")
        .and_then(|it| it.split_once('/'))
        .map_or(behind, |it| it.1);
    let noun = behind.split(['/', '?']).next().unwrap_or(behind);
    let whom = wanted.name();
    let mut text = format!(
        "this is the {asked}, and `{noun}` is asked at a {whom}: name one with `--server` or `--context`"
    );
    if wanted == Whom::Site && ["runs", "workflows"].contains(&noun) {
        text.push_str(HUBS_RUNS);
    }
    text
}

/// What a hub can be asked about runs.
const HUBS_RUNS: &str = ". A hub's sites run a workflow by `isonomy run NAME` with `--site NAME`, \
    `--where KEY=VALUE` or `--all`, and `isonomy orders` shows what became of it";

/// Nobody of the kind that was asked serves here, and one of the other kind does.
fn alone(other: Whom) -> Failure {
    match other {
        Whom::Hub => Failure::new(Exit::Unreachable, "a hub serves from here, and no site")
            .hint(format!("name a site with `--server` or `--context`{HUBS_RUNS}")),
        Whom::Site => Failure::new(Exit::Unreachable, "a site serves from here, and no hub")
            .hint("name a hub with `--server` or `--context`"),
    }
}

/// And whether a key goes with what is asked.
fn connect(address: &Address) -> Outcome<(Client, bool)> {
    let place = address.place()?;
    let client = Client::connect(&place.url, place.credentials(SystemClock.now())?)?;
    Ok((client, place.key.is_some()))
}

impl Part {
    fn query(&self) -> Query {
        let mut query = Query::default();
        query.add("limit", self.limit.map(|limit| limit.to_string()).as_deref());
        query.add("cursor", self.cursor.as_deref());
        query
    }
}

/// The query of a path, with its `?`, percent-encoded.
#[derive(Debug, Default)]
struct Query(String);

impl Query {
    fn add(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&escaped(value));
    }
}

/// As one part of a path or query.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Who the system says is typing. A claim, which the site records as such.
fn actor() -> Option<&'static str> {
    static ACTOR: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let names = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
        let plain = |name: &String| {
            !name.is_empty()
                && name.len() <= ACTOR_CHARS_MAX
                && name.bytes().all(|byte| byte.is_ascii_graphic())
        };
        names.into_iter().find(plain)
    };
    ACTOR.get_or_init(find).as_deref()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use base::SystemRandom;
    use wire::ApiKey;

    use super::*;
    use crate::address::{Announced, Whom};

    /// A server was killed, and its folder still has its key. The next one listens already, and writes its own
    /// before it answers anybody.
    ///
    /// Mutation: ask once.
    #[tokio::test]
    async fn a_key_of_before_is_read_anew() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let door = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", door.local_addr().expect("an address"));
        let (old, new) = (ApiKey::new(&SystemRandom), ApiKey::new(&SystemRandom));
        std::mem::forget(Announced::write(data.path(), &url, &old).expect("written"));
        let address = Address::Folder(data.path().to_owned(), Whom::Site);
        let api =
            Api::new(address, Namespace::parse("default").expect("a name")).expect("an address");
        let folder = data.path().to_owned();
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = door.accept().expect("somebody");
                let head = BufReader::new(&stream).lines().map(|line| line.expect("text"));
                let is_new = head
                    .take_while(|line| !line.is_empty())
                    .any(|line| line.contains(&new.to_text()));
                std::mem::forget(Announced::write(&folder, &url, &new).expect("written"));
                let status = if is_new { "200 OK" } else { "401 Unauthorized" };
                let body = r#"{"version":"1","apiVersions":["v1"]}"#;
                let length = body.len();
                write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                    .expect("sent");
            }
        });
        let answer = api.call("GET", "/api/v1/version", None::<&()>).await;
        assert!(answer.is_ok(), "{answer:?}");
        server.join().expect("both were answered");
    }

    /// Mutation: take the namespace or the query for the noun, or send somebody to the one that was asked.
    #[test]
    fn what_was_asked_of_the_wrong_one_is_sent_to_the_other() {
        let said = elsewhere(Whom::Site, "hub acme", "/api/v1/namespaces/lab/runs?limit=1");
        assert!(
            said.starts_with("this is the hub acme, and `runs` is asked at a site: "),
            "{said}"
        );
        assert!(said.contains("`isonomy orders`"), "{said}");
        let said = elsewhere(Whom::Hub, "site s", "/api/v1/sites/x");
        assert_eq!(
            said,
            "this is the site s, and `sites` is asked at a hub: name one with `--server` or `--context`"
        );
    }

    /// Mutation: leave `&` or a non-ASCII letter as it is.
    #[test]
    fn a_query_says_what_was_meant() {
        let mut query = Query::default();
        query.add("cursor", Some("a&b=ä +"));
        query.add("none", None);
        query.add("limit", Some("5"));
        assert_eq!(query.0, "?cursor=a%26b%3D%C3%A4%20%2B&limit=5");
    }
}
