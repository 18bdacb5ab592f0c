//! What stands around the operations in the API's description.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Isonomy hub",
        version = "1",
        description = "The API of the hub: the fleet of sites. It listens on 127.0.0.1 only. Every \
                       refusal is a problem document (RFC 9457) of media type application/problem+json \
                       with a stable code."
    ),
    tags(
        (name = "sites", description = "The fleet, each value with its age."),
        (name = "orders", description = "What sites are told to do, once, and what became of it."),
        (name = "hub", description = "The hub itself.")
    )
)]
pub(super) struct Doc;
