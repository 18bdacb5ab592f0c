//! What stands around the operations in the API's description.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Isonomy hub",
        version = "1",
        description = "The API of the hub: the fleet of sites. Every \
                       operation takes a key, as `authorization: Bearer`; what it asks for is the role that the key \
                       needs, in the namespace of the path or everywhere. Every refusal is a problem document (RFC 9457) of media type application/problem+json \
                       with a stable code."
    ),
    tags(
        (name = "sites", description = "The fleet, each value with its age."),
        (name = "desired", description = "What should be at the sites."),
        (name = "orders", description = "What sites are told to do, once, and what became of it."),
        (name = "keys", description = "Who may ask, and for what."),
        (name = "hub", description = "The hub itself.")
    )
)]
pub(super) struct Doc;
