//! The fleet.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use base::{SiteName, tags_wrong};
use http::request::Parts;
use server::{Body, Caller, PageQuery, Path, Query, Refusal, finished};
use wire::{Page, Problem, Role, SiteAdopt, SiteCordon, SiteRevoke, SiteTag, SiteView};

use crate::Hub;

/// As many marks as a site may have, and a reason.
const CHANGE_BYTES_MAX: usize = 64 * 1024;

pub(super) struct OfSite(pub SiteName);

impl FromRequestParts<Hub> for OfSite {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Refusal> {
        Ok(Self(Path::of(parts, hub).await?.get("site")?))
    }
}

/// The sites of the fleet, by name.
#[utoipa::path(
    get, path = "/api/v1/sites", tag = "sites",
    security(("key" = [])),
    params(PageQuery),
    responses(
        (status = 200, body = Page<SiteView>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_list(
    State(hub): State<Hub>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SiteView>>, Refusal> {
    let Page { items, next } = hub.site_list(query.after()?, query.limit()?).await?;
    let items = items.into_iter().map(|view| shown(view, &caller)).collect();
    Ok(Json(Page { items, next }))
}

/// One site.
#[utoipa::path(
    get, path = "/api/v1/sites/{site}", tag = "sites",
    security(("key" = [])),
    params(("site" = String, Path)),
    responses(
        (status = 200, body = SiteView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_show(
    State(hub): State<Hub>,
    OfSite(site): OfSite,
    caller: Caller,
) -> Result<Json<SiteView>, Refusal> {
    Ok(Json(shown(hub.site_show(site).await?, &caller)))
}

/// Everybody may know which sites there are; what they do and should have is of all namespaces together.
fn shown(view: SiteView, caller: &Caller) -> SiteView {
    if caller.roles().need_everywhere(Role::Viewer).is_ok() {
        return view;
    }
    let none = BTreeMap::new;
    SiteView {
        taken: none(),
        lost: none(),
        unread: none(),
        contradicted: None,
        desired: None,
        datasets: Vec::new(),
        turned_away: None,
        ..view
    }
}

/// Changes the marks of a site.
#[utoipa::path(
    post, path = "/api/v1/sites/{site}/tag", tag = "sites",
    security(("key" = ["admin"])),
    params(("site" = String, Path)),
    request_body = SiteTag,
    responses(
        (status = 200, body = SiteView),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_tag(
    State(hub): State<Hub>,
    OfSite(site): OfSite,
    caller: Caller,
    Body(change): Body<SiteTag, CHANGE_BYTES_MAX>,
) -> Result<Json<SiteView>, Refusal> {
    let SiteTag { set, remove, reason } = change;
    let by = caller.because(reason)?;
    if let Some(what) = tags_wrong(&set) {
        return Err(Refusal::parameter("set", what));
    }
    Ok(Json(finished(async move { hub.site_tag(site, set, remove, &by).await }).await?))
}

/// Cordons a site: orders to several leave it out, and one to it alone is refused. Or ends that.
#[utoipa::path(
    post, path = "/api/v1/sites/{site}/cordon", tag = "sites",
    security(("key" = ["admin"])),
    params(("site" = String, Path)),
    request_body = SiteCordon,
    responses(
        (status = 200, body = SiteView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_cordon(
    State(hub): State<Hub>,
    OfSite(site): OfSite,
    caller: Caller,
    Body(change): Body<SiteCordon, CHANGE_BYTES_MAX>,
) -> Result<Json<SiteView>, Refusal> {
    let SiteCordon { cordoned, reason } = change;
    let by = caller.because(reason)?;
    Ok(Json(finished(async move { hub.site_cordon(site, cordoned, &by).await }).await?))
}

/// Revokes a site: nobody is it any more. A token made with `replace` brings it back.
#[utoipa::path(
    post, path = "/api/v1/sites/{site}/revoke", tag = "sites",
    security(("key" = ["admin"])),
    params(("site" = String, Path)),
    request_body = SiteRevoke,
    responses(
        (status = 200, body = SiteView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_revoke(
    State(hub): State<Hub>,
    OfSite(site): OfSite,
    caller: Caller,
    Body(change): Body<SiteRevoke, CHANGE_BYTES_MAX>,
) -> Result<Json<SiteView>, Refusal> {
    let by = caller.because(change.reason)?;
    Ok(Json(finished(async move { hub.site_revoke(site, &by).await }).await?))
}

/// Takes the machine that shows a certificate of a time that this hub has lost as the site.
#[utoipa::path(
    post, path = "/api/v1/sites/{site}/adopt", tag = "sites",
    security(("key" = ["admin"])),
    params(("site" = String, Path)),
    request_body = SiteAdopt,
    responses(
        (status = 200, body = SiteView),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn site_adopt(
    State(hub): State<Hub>,
    OfSite(site): OfSite,
    caller: Caller,
    Body(change): Body<SiteAdopt, CHANGE_BYTES_MAX>,
) -> Result<Json<SiteView>, Refusal> {
    let by = caller.because(change.reason)?;
    Ok(Json(finished(async move { hub.site_adopt(site, &by).await }).await?))
}
