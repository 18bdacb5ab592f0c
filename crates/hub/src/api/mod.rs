//! The HTTP API for people and their tools: thin endpoints, one file a noun. Sites come by another door.

mod authority;
mod budget;
mod dataset;
mod desired;
mod doc;
mod exchange;
mod hub;
mod order;
mod recovery;
mod site;
mod store;
mod token;
mod usage;

pub use token::addresses_wrong;

use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use http::Method;
use server::{ANSWER_TIMEOUT, EXCHANGE_TIMEOUT, Guarded, Keys, Refusal, guard, with_keys};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::ProblemCode;

use crate::Hub;
use crate::desk::DeskError;
use crate::join::JoinRefusal;

fn routes() -> OpenApiRouter<Hub> {
    with_keys(operations())
}

fn operations() -> OpenApiRouter<Hub> {
    OpenApiRouter::with_openapi(doc::Doc::openapi())
        .routes(routes!(hub::hub_health))
        .routes(routes!(hub::hub_version))
        .routes(routes!(hub::hub_openapi))
        .routes(routes!(site::site_list))
        .routes(routes!(site::site_show))
        .routes(routes!(site::site_tag))
        .routes(routes!(site::site_cordon))
        .routes(routes!(site::site_revoke))
        .routes(routes!(site::site_adopt))
        .routes(routes!(recovery::recovery_show))
        .routes(routes!(recovery::recovery_waive))
        .routes(routes!(recovery::recovery_end))
        .routes(routes!(authority::authority_show))
        .routes(routes!(authority::authority_next))
        .routes(routes!(authority::authority_rotate))
        .routes(routes!(authority::authority_forget))
        .routes(routes!(store::store_backup))
        .routes(routes!(exchange::exchange_import))
        .routes(routes!(exchange::exchange_export))
        .routes(routes!(dataset::dataset_list))
        .routes(routes!(token::token_create))
        .routes(routes!(desired::desired_apply))
        .routes(routes!(desired::workflow_list))
        .routes(routes!(desired::workflow_show, desired::workflow_delete))
        .routes(routes!(desired::placement_list))
        .routes(routes!(desired::placement_delete))
        .routes(routes!(budget::budget_list, budget::budget_set, budget::budget_remove))
        .routes(routes!(usage::usage_list))
        .routes(routes!(order::order_create, order::order_list))
        .routes(routes!(order::order_show))
        .routes(routes!(order::order_explain))
}

impl FromRef<Hub> for Keys {
    fn from_ref(hub: &Hub) -> Self {
        hub.0.keys.clone()
    }
}

impl Guarded for Hub {
    fn answered(&self, route: &str, method: &Method, status: u16) {
        tracing::debug!(route, %method, status, "answered");
    }

    fn timeout(&self, route: &str, _method: &Method) -> Duration {
        if route.ends_with("/exchange") { EXCHANGE_TIMEOUT } else { ANSWER_TIMEOUT }
    }
}

pub(crate) fn router(hub: Hub) -> Router {
    guard(routes(), hub)
}

/// The description of the API, as it is committed at `docs/reference/openapi-hub.json`.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = routes().into_openapi().to_pretty_json().expect("a description is JSON");
    text.push('\n');
    text
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Unknown(_) => Self::new(ProblemCode::SiteMissing, error.to_string()),
            DeskError::Revoked(_) | DeskError::Replaced => {
                Self::new(ProblemCode::SiteJoined, error.to_string())
            }
            DeskError::Unreadable(_) => Self::new(ProblemCode::StoreFailed, error.to_string()),
            DeskError::Store(error) => error.into(),
            DeskError::Commit(error) => error.into(),
            DeskError::Stopping => Self::stopping(),
        }
    }
}

impl From<JoinRefusal> for Refusal {
    fn from(refusal: JoinRefusal) -> Self {
        match refusal {
            JoinRefusal::Life => Self::parameter("ttlSeconds", refusal),
            JoinRefusal::Tags(what) => Self::parameter("tags", what),
            JoinRefusal::Recovering => Self::new(ProblemCode::Recovering, refusal.to_string()),
            JoinRefusal::Exists(_) | JoinRefusal::Revoked(_) | JoinRefusal::Adopt(_) => {
                Self::new(ProblemCode::SiteJoined, refusal.to_string())
            }
            JoinRefusal::Desk(error) => error.into(),
            JoinRefusal::Store(error) => error.into(),
            JoinRefusal::Commit(error) => error.into(),
            JoinRefusal::Token
            | JoinRefusal::Key
            | JoinRefusal::Later(_)
            | JoinRefusal::Size(_)
            | JoinRefusal::Certificate
            | JoinRefusal::Identity(_) => Self::new(ProblemCode::Internal, refusal.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn reference(file: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file)
    }

    /// With `UPDATE=1` the file is written instead.
    ///
    /// Mutation: change a route or a type without writing the description again.
    #[test]
    fn the_committed_description_is_the_apis() {
        let (file, now) = (reference("openapi-hub.json"), openapi_json());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &now).expect("written");
        }
        let committed = std::fs::read_to_string(&file).expect("docs/reference/openapi-hub.json");
        assert!(
            committed == now,
            "the API has changed: run this test once with UPDATE=1 and look at the difference"
        );
    }

    /// Mutation: leave an operation out of the page.
    #[test]
    fn every_operation_is_in_the_reference() {
        let page = std::fs::read_to_string(reference("api.md")).expect("docs/reference/api.md");
        let (_, page) = page.split_once("| operation of a hub |").expect("a table of its own");
        let api: serde_json::Value = serde_json::from_str(&openapi_json()).expect("JSON");
        for (path, item) in api["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("methods").keys() {
                let operation = format!("| `{} {path}` |", method.to_uppercase());
                assert!(page.contains(&operation), "{operation}");
            }
        }
    }
}
