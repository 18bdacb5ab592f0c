//! What stands around the operations in the API's description.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Isonomy site",
        version = "1",
        description = "The API of one site: workflows, runs, secrets, and the site itself. Every \
                       operation takes a key, as `authorization: Bearer`; what it asks for is the role that the key \
                       needs, in the namespace of the path or everywhere. Every refusal is a problem document (RFC 9457) of media type \
                       application/problem+json with a stable code."
    ),
    tags(
        (name = "workflows", description = "Stored definitions, by namespace and name."),
        (name = "runs", description = "Executions of workflows."),
        (name = "events", description = "CloudEvents, in and out."),
        (name = "secrets", description = "What workflows may use and nobody may read."),
        (name = "datasets", description = "Sources of data that workflows may read by name."),
        (name = "keys", description = "Who may ask, and for what."),
        (name = "site", description = "The site itself.")
    )
)]
pub(super) struct Doc;
