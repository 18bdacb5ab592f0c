//! What the paths and queries of a site name.

use axum::extract::FromRequestParts;
use base::RunId;
use base::name::{Namespace, WorkflowName};
use http::HeaderMap;
use http::request::Parts;
use server::Path;

use crate::refusal::Refusal;
use crate::site::Site;

pub(crate) struct OfRun {
    pub namespace: Namespace,
    pub run: RunId,
}

/// What a client knows already and wants the rest of, and the parameter that says it.
pub(super) struct After {
    name: &'static str,
    pub text: Option<String>,
}

impl FromRequestParts<Site> for OfRun {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let path = Path::of(parts, site).await?;
        Ok(Self { namespace: path.get("namespace")?, run: path.get("run")? })
    }
}

impl After {
    pub(super) fn of_page(after: Option<String>, cursor: Option<String>) -> Result<Self, Refusal> {
        if after.is_some() && cursor.is_some() {
            return Err(Refusal::parameter("cursor", "pass either `after` or `cursor`"));
        }
        Ok(Self { name: "after", text: after.or(cursor) })
    }

    pub(super) fn of_stream(headers: &HeaderMap, after: Option<String>) -> Self {
        // A client that reconnects repeats its old address; the header is the newer word.
        match headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?")) {
            Some(text) => Self { name: "last-event-id", text: Some(text.to_owned()) },
            None => Self { name: "after", text: after },
        }
    }

    /// The number that it is, of what is named so; 0 where nothing is known yet.
    pub(super) fn number(&self, what: &str) -> Result<u64, Refusal> {
        let Some(text) = &self.text else { return Ok(0) };
        // The store counts with one bit less.
        let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
        let wrong = || Refusal::parameter(self.name, format!("write the {what}: a whole number"));
        number.ok_or_else(wrong)
    }
}

pub(crate) fn workflow_name(text: Option<&str>) -> Result<Option<WorkflowName>, Refusal> {
    text.map(|text| {
        WorkflowName::parse(text).map_err(|wrong| Refusal::parameter("workflow", wrong))
    })
    .transpose()
}
