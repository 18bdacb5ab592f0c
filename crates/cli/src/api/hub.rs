//! What a hub alone can be asked.

use base::{RequestId, SiteName, WorkflowName};
use gateway::operator::OperatorError;
use wire::{
    AuthoritiesView, AuthorityForget, AuthorityNext, AuthorityRotate, DesiredApplied, DesiredApply,
    ExchangeUp, HubHealth, OrderCreate, OrderExplained, OrderView, Page, PlacementView,
    RecoveryEnd, RecoveryView, RecoveryWaive, SiteAdopt, SiteCordon, SiteDataset, SiteRevoke,
    SiteTag, SiteView, TokenCreate, TokenCreated,
};

use super::{Api, Part, Query};
use crate::failure::Outcome;

/// Which orders.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    pub request: Option<RequestId>,
    pub site: Option<String>,
    pub states: Vec<String>,
    pub is_over: Option<bool>,
}

impl Api {
    pub async fn site_dataset_list(&self, part: &Part) -> Outcome<Page<SiteDataset>> {
        self.ask(format!("/api/v1/datasets{}", part.query().0)).await
    }

    pub async fn fleet_list(&self, part: &Part) -> Outcome<Page<SiteView>> {
        self.ask(format!("/api/v1/sites{}", part.query().0)).await
    }

    pub async fn fleet_show(&self, site: &SiteName) -> Outcome<SiteView> {
        self.ask(format!("/api/v1/sites/{site}")).await
    }

    pub async fn site_tag(&self, site: &SiteName, change: &SiteTag) -> Outcome<SiteView> {
        self.tell(&format!("/api/v1/sites/{site}/tag"), change).await
    }

    pub async fn site_cordon(&self, site: &SiteName, change: &SiteCordon) -> Outcome<SiteView> {
        self.tell(&format!("/api/v1/sites/{site}/cordon"), change).await
    }

    pub async fn site_revoke(&self, site: &SiteName, change: &SiteRevoke) -> Outcome<SiteView> {
        self.tell(&format!("/api/v1/sites/{site}/revoke"), change).await
    }

    pub async fn site_adopt(&self, site: &SiteName, change: &SiteAdopt) -> Outcome<SiteView> {
        self.tell(&format!("/api/v1/sites/{site}/adopt"), change).await
    }

    pub async fn hub_health(&self) -> Outcome<HubHealth> {
        self.ask("/api/v1/health".to_owned()).await
    }

    pub async fn authority_show(&self) -> Outcome<AuthoritiesView> {
        self.ask("/api/v1/authority".to_owned()).await
    }

    pub async fn authority_next(&self) -> Outcome<AuthorityNext> {
        self.tell("/api/v1/authority/next", &serde_json::json!({})).await
    }

    pub async fn authority_rotate(&self, ask: &AuthorityRotate) -> Outcome<AuthoritiesView> {
        self.tell("/api/v1/authority/rotate", ask).await
    }

    pub async fn authority_forget(&self, ask: &AuthorityForget) -> Outcome<AuthoritiesView> {
        self.tell("/api/v1/authority/forget", ask).await
    }

    pub async fn recovery_show(&self) -> Outcome<RecoveryView> {
        self.ask("/api/v1/recovery".to_owned()).await
    }

    pub async fn recovery_waive(&self, ask: &RecoveryWaive) -> Outcome<RecoveryView> {
        self.tell("/api/v1/recovery/waive", ask).await
    }

    pub async fn recovery_end(&self, ask: &RecoveryEnd) -> Outcome<RecoveryView> {
        self.tell("/api/v1/recovery/end", ask).await
    }

    /// Harmless to repeat where `ask` names the request.
    pub async fn order_create(&self, ask: &OrderCreate) -> Result<Page<OrderView>, OperatorError> {
        self.call("POST", "/api/v1/orders", Some(ask)).await?.json()
    }

    /// Newest first.
    pub async fn order_list(
        &self,
        filter: &OrderFilter,
        part: &Part,
    ) -> Result<Page<OrderView>, OperatorError> {
        let mut query = part.query();
        query.add("request", filter.request.map(|request| request.to_string()).as_deref());
        query.add("site", filter.site.as_deref());
        query.add("over", filter.is_over.map(|is_over| is_over.to_string()).as_deref());
        if !filter.states.is_empty() {
            query.add("state", Some(&filter.states.join(",")));
        }
        let path = format!("/api/v1/orders{}", query.0);
        self.call("GET", &path, None::<&()>).await?.json()
    }

    /// What is new of it, or what is known after a while.
    pub async fn order_show(
        &self,
        order: &str,
        wait_seconds: u64,
    ) -> Result<OrderView, OperatorError> {
        let path = format!("/api/v1/orders/{order}?wait={wait_seconds}");
        self.call("GET", &path, None::<&()>).await?.json()
    }

    /// By the order's id or its run's.
    pub async fn order_explain(&self, id: &str) -> Outcome<OrderExplained> {
        self.ask(format!("/api/v1/orders/{id}/explain")).await
    }

    pub async fn token_create(&self, ask: &TokenCreate) -> Outcome<TokenCreated> {
        self.tell("/api/v1/tokens", ask).await
    }

    /// Refusals are the caller's to look at: their findings belong to a file.
    pub async fn desired_apply(&self, ask: &DesiredApply) -> Result<DesiredApplied, OperatorError> {
        self.call("POST", "/api/v1/apply", Some(ask)).await?.json()
    }

    pub async fn placement_list(&self) -> Outcome<Page<PlacementView>> {
        self.ask("/api/v1/placements".to_owned()).await
    }

    pub async fn placement_delete(&self, name: &WorkflowName, reason: Option<&str>) -> Outcome<()> {
        let mut query = Query::default();
        query.add("reason", reason);
        let path = self.path(&format!("placements/{name}"), &query);
        self.call("DELETE", &path, None::<&()>).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// A file for this site, and whether all that it is told is in it.
    pub async fn fleet_export(&self, site: &SiteName) -> Outcome<(Vec<u8>, bool)> {
        self.take_file(&format!("/api/v1/sites/{site}/exchange")).await
    }

    pub async fn fleet_import(&self, file: Vec<u8>) -> Outcome<ExchangeUp> {
        self.give_file("/api/v1/exchange", wire::exchange::FILE_TYPE, file).await
    }
}
