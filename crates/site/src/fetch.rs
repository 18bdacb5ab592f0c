//! Fetching what a document refers to, through the gate, once: when the document is applied.

use std::sync::Arc;
use std::time::Duration;

use base::Namespace;
use base::limits::DOCUMENT_BYTES_MAX;
use gateway::{Caller, Gate, OutError, OutRequest};

/// Texts that one document may refer to. Each is a request that somebody waits for.
pub(crate) const RESOURCES_MAX: usize = 64;

/// Somebody waits for the answer of `apply`, and a document that needs longer is not there.
const DEADLINE: Duration = Duration::from_secs(20);

/// The text behind an address, or why it cannot be had.
pub(crate) async fn fetch(
    gate: &Gate,
    namespace: &Namespace,
    uri: &str,
) -> Result<Arc<str>, String> {
    match tokio::time::timeout(DEADLINE, ask(gate, namespace, uri)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} seconds", DEADLINE.as_secs())),
    }
}

async fn ask(gate: &Gate, namespace: &Namespace, uri: &str) -> Result<Arc<str>, String> {
    let told = |error: OutError| format!("{}: {error}", error.code());
    let request = OutRequest::new("GET", uri, &[]).map_err(told)?.with_redirects(true);
    let caller = Caller { namespace, run: None, activation: "", labels: &[] };
    let response = gate.request(caller, request).await.result.map_err(told)?;
    if !response.status.is_success() {
        return Err(format!("the server answered {}", response.status));
    }
    if response.body.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("it is larger than {DOCUMENT_BYTES_MAX} bytes"));
    }
    match std::str::from_utf8(&response.body) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err("it is not text in UTF-8".to_owned()),
    }
}
