//! What a site can be asked about models: definitions, budgets, usage and calls; and a model itself.

use base::{CallId, Namespace};
use gateway::operator::{Answering, OperatorError, Pieces};
use models::ModelName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::{
    ArtifactFetch, ArtifactView, BudgetList, BudgetSet, CallSettle, CallView, FleetBudgetList,
    FleetBudgetSet, LocalShare, ModelPut, ModelView, Page, PricedModelView, QuestionAnswer,
    QuestionView, RouteView, UsageList, WatchView,
};

use super::{Api, Part, Query, escaped};
use crate::failure::Outcome;
use crate::resource::Kind;

/// What a model's file is sent as.
const ARTIFACT_TYPE: &str = "application/octet-stream";

/// In which namespace a call is that comes with the folder's own key.
const NAMESPACE_HEADER: &str = "x-isonomy-namespace";

/// Budgets of a site, or those that a hub keeps over its sites.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum Budgets {
    Site(BudgetList),
    Fleet(FleetBudgetList),
}

impl Api {
    pub async fn model_list(&self, part: &Part) -> Outcome<Page<ModelView>> {
        self.ask(self.path("models", &part.query())).await
    }

    pub async fn route_list(&self, part: &Part) -> Outcome<Page<RouteView>> {
        self.ask(self.path("routes", &part.query())).await
    }

    pub async fn watch_list(&self, part: &Part) -> Outcome<Page<WatchView>> {
        self.ask(self.path("watches", &part.query())).await
    }

    pub async fn watch_show(&self, name: &ModelName) -> Outcome<WatchView> {
        self.ask(resource_path(Kind::Watch, &self.namespace, name)).await
    }

    pub async fn price_list(
        &self,
        provider: Option<&str>,
        search: Option<&str>,
        part: &Part,
    ) -> Outcome<Page<PricedModelView>> {
        let mut query = part.query();
        query.add("provider", provider);
        query.add("search", search);
        self.ask(format!("/api/v1/prices{}", query.0)).await
    }

    pub async fn price_show(&self, provider: &str, model: &str) -> Outcome<PricedModelView> {
        self.ask(format!("/api/v1/prices/{}/{}", escaped(provider), escaped(model))).await
    }

    /// By names and values, as the API has them.
    pub async fn local_share(&self, asked: &[(&str, Option<String>)]) -> Outcome<LocalShare> {
        let mut query = Query::default();
        for (name, value) in asked {
            query.add(name, value.as_deref());
        }
        self.ask(format!("/api/v1/calls/local-share{}", query.0)).await
    }

    pub async fn model_show(&self, name: &ModelName) -> Outcome<ModelView> {
        self.ask(resource_path(Kind::Model, &self.namespace, name)).await
    }

    pub async fn route_show(&self, name: &ModelName) -> Outcome<RouteView> {
        self.ask(resource_path(Kind::Route, &self.namespace, name)).await
    }

    /// A model or route as it stands; whether there is none is the caller's to look at.
    pub async fn resource_show(
        &self,
        kind: Kind,
        namespace: &Namespace,
        name: &ModelName,
    ) -> Result<Value, OperatorError> {
        let path = resource_path(kind, namespace, name);
        let view: Value = self.call("GET", &path, None::<&()>).await?.json()?;
        Ok(view["spec"].clone())
    }

    /// And whether there was none of that name.
    pub async fn resource_put<T: DeserializeOwned>(
        &self,
        kind: Kind,
        namespace: &Namespace,
        name: &ModelName,
        put: &ModelPut,
    ) -> Outcome<(T, bool)> {
        let path = resource_path(kind, namespace, name);
        let reply = self.call("PUT", &path, Some(put)).await;
        let reply = reply.map_err(|error| self.explain(error))?;
        let view = reply.json().map_err(|error| self.explain(error))?;
        Ok((view, reply.status == 201))
    }

    pub async fn resource_delete(
        &self,
        kind: Kind,
        name: &ModelName,
        reason: Option<&str>,
    ) -> Outcome<()> {
        let mut query = Query::default();
        query.add("reason", reason);
        let path = format!("{}{}", resource_path(kind, &self.namespace, name), query.0);
        self.call("DELETE", &path, None::<&()>).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Brings a model's file to the site.
    pub async fn artifact_take(
        &self,
        namespace: &Namespace,
        file: Vec<u8>,
    ) -> Outcome<ArtifactView> {
        let path = format!("/api/v1/namespaces/{namespace}/artifacts");
        self.give_file(&path, ARTIFACT_TYPE, file).await
    }

    /// Has the site fetch it, which may take minutes.
    pub async fn artifact_fetch(&self, fetch: &ArtifactFetch) -> Outcome<ArtifactView> {
        let path = self.path("artifacts/fetch", &Query::default());
        let fetch = serde_json::to_vec(fetch).expect("our own types have JSON text");
        self.give_file(&path, "application/json", fetch).await
    }

    pub async fn budget_list(&self) -> Outcome<Budgets> {
        self.ask("/api/v1/budgets".to_owned()).await
    }

    pub async fn fleet_budget_set(&self, set: &FleetBudgetSet) -> Outcome<()> {
        let done = self.call("PUT", "/api/v1/budgets", Some(set)).await;
        done.map(|_| ()).map_err(|error| self.explain(error))
    }

    pub async fn budget_set(&self, set: &BudgetSet) -> Outcome<()> {
        let done = self.call("PUT", "/api/v1/budgets", Some(set)).await;
        done.map(|_| ()).map_err(|error| self.explain(error))
    }

    pub async fn budget_remove(
        &self,
        holder: &str,
        period: &str,
        reason: Option<&str>,
    ) -> Outcome<()> {
        let mut query = Query::default();
        query.add("holder", Some(holder));
        query.add("period", Some(period));
        query.add("reason", reason);
        let path = format!("/api/v1/budgets{}", query.0);
        self.call("DELETE", &path, None::<&()>).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    pub async fn usage_list(&self, by: &str, since: Option<&str>) -> Outcome<UsageList> {
        let mut query = Query::default();
        query.add("by", Some(by));
        query.add("since", since);
        self.ask(format!("/api/v1/usage{}", query.0)).await
    }

    /// A table of costs, piece by piece.
    pub async fn usage_focus(
        &self,
        since: Option<&str>,
        until: Option<&str>,
    ) -> Result<Pieces, OperatorError> {
        let mut query = Query::default();
        query.add("since", since);
        query.add("until", until);
        self.client.stream("GET", &format!("/api/v1/usage/focus{}", query.0)).await
    }

    pub async fn call_list(&self, part: &Part) -> Outcome<Page<CallView>> {
        self.ask(self.path("calls", &part.query())).await
    }

    pub async fn call_show(&self, call: CallId) -> Outcome<CallView> {
        self.ask(self.path(&format!("calls/{call}"), &Query::default())).await
    }

    pub async fn call_settle(&self, call: CallId, settle: &CallSettle) -> Outcome<CallView> {
        let path = self.path(&format!("calls/{call}/settle"), &Query::default());
        let said = self.call("POST", &path, Some(settle)).await;
        said.and_then(|reply| reply.json()).map_err(|error| self.explain(error))
    }

    pub async fn question_list(&self, part: &Part) -> Outcome<Page<QuestionView>> {
        self.ask(self.path("questions", &part.query())).await
    }

    pub async fn question_show(&self, call: CallId) -> Outcome<QuestionView> {
        self.ask(self.path(&format!("questions/{call}"), &Query::default())).await
    }

    pub async fn question_answer(
        &self,
        call: CallId,
        answer: &QuestionAnswer,
    ) -> Outcome<QuestionView> {
        let path = self.path(&format!("questions/{call}/answer"), &Query::default());
        let said = self.call("POST", &path, Some(answer)).await;
        said.and_then(|reply| reply.json()).map_err(|error| self.explain(error))
    }

    /// Asks a model itself, by the door that its clients take.
    pub async fn model_pose(&self, path: &str, body: &Value) -> Result<Answering, OperatorError> {
        let headers = [(NAMESPACE_HEADER, self.namespace.as_str())];
        match self.client.pose(path, body, &headers).await {
            Err(error) => Err(self.told(error, "/api/v1/models").await),
            answering => answering,
        }
    }
}

/// Names of models hold `/`, `:` and `@`.
fn resource_path(kind: Kind, namespace: &Namespace, name: &ModelName) -> String {
    format!("/api/v1/namespaces/{namespace}/{}/{}", kind.plural(), escaped(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: leave a slash of a name as it is, so that it becomes a part of the path.
    #[test]
    fn a_name_is_one_part_of_a_path() {
        let name = ModelName::parse("meta-llama/Llama:8b@1").expect("a name");
        let namespace = Namespace::parse("lab").expect("a name");
        assert_eq!(
            resource_path(Kind::Model, &namespace, &name),
            "/api/v1/namespaces/lab/models/meta-llama%2FLlama%3A8b%401"
        );
    }
}
