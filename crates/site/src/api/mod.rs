//! The HTTP API: thin endpoints, one file a noun. They turn a request into our types, make one call,
//! and turn the answer back.

mod dataset;
mod doc;
mod event;
mod exchange;
mod extract;
mod log;
mod model;
mod price;
mod question;
mod run;
mod secret;
mod site;
mod store;
mod stream;
mod usage;
mod watch;
mod workflow;

use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use http::Method;
use server::{ANSWER_TIMEOUT, EXCHANGE_TIMEOUT, Guarded, Keys, guard, with_keys};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::site::Site;

fn routes() -> OpenApiRouter<Site> {
    with_keys(operations())
}

fn operations() -> OpenApiRouter<Site> {
    OpenApiRouter::with_openapi(doc::Doc::openapi())
        .routes(routes!(site::site_health))
        .routes(routes!(site::site_version))
        .routes(routes!(site::site_status))
        .routes(routes!(site::site_leave))
        .routes(routes!(site::site_left))
        .routes(routes!(site::site_openapi))
        .routes(routes!(site::site_metrics))
        .routes(routes!(store::store_compact))
        .routes(routes!(workflow::workflow_list))
        .routes(routes!(
            workflow::workflow_show,
            workflow::workflow_apply,
            workflow::workflow_delete
        ))
        .routes(routes!(workflow::workflow_apply_set))
        .routes(routes!(run::run_list, run::run_start))
        .routes(routes!(run::run_show))
        .routes(routes!(run::run_explain))
        .routes(routes!(run::run_cancel))
        .routes(routes!(run::run_retry))
        .routes(routes!(run::run_suspend))
        .routes(routes!(run::run_resume))
        .routes(routes!(run::run_events))
        .routes(routes!(run::run_follow))
        .routes(routes!(event::event_list, event::event_accept))
        .routes(routes!(event::event_follow))
        .routes(routes!(secret::secret_list))
        .routes(routes!(dataset::dataset_list))
        .routes(routes!(secret::secret_set, secret::secret_delete))
        .routes(routes!(model::model_list))
        .routes(routes!(model::model_show, model::model_put, model::model_delete))
        .routes(routes!(model::artifact_take))
        .routes(routes!(model::artifact_fetch))
        .routes(routes!(model::route_list))
        .routes(routes!(model::route_show, model::route_put, model::route_delete))
        .routes(routes!(price::price_list))
        .routes(routes!(price::price_show))
        .routes(routes!(watch::watch_list))
        .routes(routes!(watch::watch_show, watch::watch_put, watch::watch_delete))
        .routes(routes!(watch::local_share))
        .routes(routes!(model::budget_list, model::budget_set, model::budget_remove))
        .routes(routes!(usage::usage_list))
        .routes(routes!(usage::usage_focus))
        .routes(routes!(model::call_list))
        .routes(routes!(model::call_show))
        .routes(routes!(model::call_settle))
        .routes(routes!(question::question_list))
        .routes(routes!(question::question_show))
        .routes(routes!(question::question_answer))
        .routes(routes!(log::log_list))
        .routes(routes!(log::log_follow))
        .routes(routes!(store::store_check))
        .routes(routes!(store::store_backup))
        .routes(routes!(store::store_export))
        .routes(routes!(exchange::exchange_export))
        .routes(routes!(exchange::exchange_import))
}

impl FromRef<Site> for Keys {
    fn from_ref(site: &Site) -> Self {
        site.0.keys.clone()
    }
}

impl Guarded for Site {
    fn answered(&self, route: &str, method: &Method, status: u16) {
        self.0.requests.count(route, method, status);
    }

    /// Waiting for a run's end comes on top.
    fn timeout(&self, route: &str, method: &Method) -> Duration {
        // Files come as slowly as the line that brings them.
        if route.contains("/exchange/") || route.contains("/artifacts") {
            return EXCHANGE_TIMEOUT;
        }
        let waits = method == Method::POST && route.ends_with("/runs");
        ANSWER_TIMEOUT + Duration::from_secs(if waits { run::WAIT_SECONDS_MAX } else { 0 })
    }
}

pub(crate) fn router(site: Site) -> Router {
    guard(routes(), site)
}

/// The description of the API, as it is committed at `docs/reference/openapi.json`.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = routes().into_openapi().to_pretty_json().expect("a description is JSON");
    text.push('\n');
    text
}
