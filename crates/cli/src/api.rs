//! The site's API, operation by operation, in the types that cross the wire.
//!
//! Connecting is in `gateway::operator`; what an answer means to the user is in the commands.

use std::sync::OnceLock;

use base::{Namespace, RunId, WorkflowName};
use gateway::operator::{Client, Events, OperatorError, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::{
    ACTOR_HEADER, Page, RunCommand, RunDetail, RunEventView, RunStart, RunView, Version,
    WorkflowApplied, WorkflowApply, WorkflowDetail, WorkflowSetApply, WorkflowView,
};

use crate::address::Address;
use crate::failure::{Failure, Outcome};

/// Characters of an actor's name that a site takes.
const ACTOR_CHARS_MAX: usize = 200;

/// A site, as somebody in one namespace sees it.
#[derive(Debug)]
pub struct Api {
    address: Address,
    client: Client,
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

impl Api {
    /// Opens no connection yet.
    pub fn new(address: Address, namespace: Namespace) -> Outcome<Self> {
        let client = Client::connect(&address.url()?)?;
        Ok(Self { address, client, namespace })
    }

    /// The same site after it was away, wherever it is now.
    pub fn renew(&mut self) -> Outcome<()> {
        self.client = Client::connect(&self.address.url()?)?;
        Ok(())
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.client.address()
    }

    /// The failure, with where the address came from if nobody is there.
    pub fn explain(&self, error: OperatorError) -> Failure {
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

    pub async fn version(&self) -> Outcome<Version> {
        self.ask("/api/v1/version".to_owned()).await
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
        self.client
            .events(&self.path(&format!("runs/{run}/follow"), &Query::default()), after)
            .await
    }

    async fn command(&self, run: RunId, what: &str, reason: Option<String>) -> Outcome<()> {
        let path = self.path(&format!("runs/{run}/{what}"), &Query::default());
        let command = RunCommand { reason };
        self.call("POST", &path, Some(&command)).await.map_err(|error| self.explain(error))?;
        Ok(())
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
        self.client.send(method, path, body.as_ref(), &headers).await
    }
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
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
    }
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
    use super::*;

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
