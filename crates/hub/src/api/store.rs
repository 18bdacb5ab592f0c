//! What is done with the store as a whole.

use axum::extract::State;
use axum::response::Response;
use server::{BACKUP_MEDIA_TYPE, Refusal, stream};
use wire::{BackupLine, Problem};

use crate::Hub;

/// The store as it is at this moment, without the hub's keys. Other work goes on.
#[utoipa::path(
    post, path = "/api/v1/store/backup", tag = "hub",
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "Lines of JSON, each a `BackupLine`; behind a `file` come its bytes; the last one is `done` or `failed`", body = BackupLine, content_type = "application/x-isonomy-backup"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn store_backup(State(hub): State<Hub>) -> Result<Response, Refusal> {
    Ok(stream(hub.backup()?, BACKUP_MEDIA_TYPE))
}
