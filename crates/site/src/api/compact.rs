//! Making the store small at once, for somebody who waits for it.

use axum::Json;
use axum::extract::State;
use wire::StoreCompacted;

use crate::refusal::Refusal;
use crate::site::Site;

/// Forgets what is due now, and gives the room back: as much of it as is done in five seconds. Work goes
/// on meanwhile.
#[utoipa::path(
    post, path = "/api/v1/store/compact", tag = "site",
    responses((status = 200, body = StoreCompacted))
)]
pub(super) async fn store_compact(
    State(site): State<Site>,
) -> Result<Json<StoreCompacted>, Refusal> {
    Ok(Json(site.compact().await?))
}
