//! From a request to our types, strictly: what is unknown, twice, too large or not what it should be
//! is a problem that says so.

use axum::extract::{FromRequest, FromRequestParts, Query as AxumQuery, RawPathParams, Request};
use base::RunId;
use base::name::{Namespace, WorkflowKey, WorkflowName};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use wire::ProblemCode;

use crate::caller::Caller;
use crate::refusal::Refusal;
use crate::site::Site;

/// Items of a page.
const PAGE_ITEMS_MAX: u32 = 500;
const PAGE_ITEMS: u32 = 50;

pub(crate) struct InNamespace(pub Namespace);

pub(crate) struct OfWorkflow(pub WorkflowKey);

pub(crate) struct OfRun {
    pub namespace: Namespace,
    pub run: RunId,
}

/// Query parameters. Their type refuses unknown ones.
pub(crate) struct Query<T>(pub T);

/// A JSON body of at most `BYTES_MAX` bytes.
pub(crate) struct Body<T, const BYTES_MAX: usize>(pub T);

/// What a client knows already and wants the rest of, and the parameter that says it.
pub(super) struct After {
    name: &'static str,
    pub text: Option<String>,
}

pub(super) struct Path(Vec<(String, String)>);

impl Path {
    pub(super) async fn of(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, site).await;
        let params = params.map_err(|wrong| Refusal::parameter("path", wrong.body_text()))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    pub(super) fn get<T: std::str::FromStr>(&self, name: &str) -> Result<T, Refusal>
    where
        T::Err: std::fmt::Display,
    {
        let found = self.0.iter().find(|(found, _)| found == name);
        let text = found.map_or("", |(_, value)| value);
        text.parse().map_err(|wrong: T::Err| Refusal::parameter(name, wrong))
    }
}

impl FromRequestParts<Site> for InNamespace {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        Ok(Self(Path::of(parts, site).await?.get("namespace")?))
    }
}

impl FromRequestParts<Site> for OfWorkflow {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let path = Path::of(parts, site).await?;
        Ok(Self(WorkflowKey { namespace: path.get("namespace")?, name: path.get("name")? }))
    }
}

impl FromRequestParts<Site> for OfRun {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Refusal> {
        let path = Path::of(parts, site).await?;
        Ok(Self { namespace: path.get("namespace")?, run: path.get("run")? })
    }
}

impl FromRequestParts<Site> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _site: &Site) -> Result<Self, Refusal> {
        Self::of(&parts.headers)
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

impl<T: DeserializeOwned> FromRequestParts<Site> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _site: &Site) -> Result<Self, Refusal> {
        match AxumQuery::<T>::try_from_uri(&parts.uri) {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(wrong) => {
                let text = wrong.body_text();
                let what = text.rsplit("query string: ").next().unwrap_or(&text);
                Err(Refusal::parameter("query", masked(what)))
            }
        }
    }
}

impl<T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<Site> for Body<T, BYTES_MAX> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _site: &Site) -> Result<Self, Refusal> {
        // A page of another site can send a form without asking first, but not JSON.
        if !is_json(request.headers()) {
            let detail = "send the header `content-type: application/json`";
            return Err(Refusal::new(ProblemCode::NotJson, detail));
        }
        let body = Limited::new(request.into_body(), BYTES_MAX).collect().await;
        let bytes = body.map_err(|wrong| body_broken(&*wrong, BYTES_MAX))?.to_bytes();
        serde_json::from_slice(&bytes).map(Self).map_err(|wrong| json_wrong(&wrong))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

pub(super) fn body_broken(wrong: &(dyn std::error::Error + 'static), bytes_max: usize) -> Refusal {
    if wrong.is::<http_body_util::LengthLimitError>() {
        let detail =
            format!("the body is larger than {bytes_max} bytes, and this operation takes no more");
        return Refusal::new(ProblemCode::TooLarge, detail);
    }
    Refusal::new(ProblemCode::BodyInvalid, "the body did not arrive whole")
}

fn json_wrong(wrong: &serde_json::Error) -> Refusal {
    let text = wrong.to_string();
    let what = masked(text.split(" at line ").next().unwrap_or(&text));
    let detail = format!("line {}, column {}: {what}", wrong.line(), wrong.column());
    Refusal::new(ProblemCode::BodyInvalid, detail)
}

/// A message of serde without the value that it is about: it may be somebody's secret.
fn masked(message: &str) -> String {
    let Some((kind, rest)) = message.split_once(": ") else { return message.to_owned() };
    if kind != "invalid type" && kind != "invalid value" {
        return message.to_owned();
    }
    // The value stands between the first and the last mark before what was expected, and may hold
    // marks of its own.
    let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "something else"));
    let name: String = found.chars().take_while(|c| !matches!(c, '"' | '`')).collect();
    format!("{kind}: {}, expected {expected}", name.trim_end())
}

/// `limit` of a page.
pub(crate) fn limit(text: Option<&str>) -> Result<u32, Refusal> {
    let Some(text) = text else { return Ok(PAGE_ITEMS) };
    let number = text.parse().ok().filter(|number| (1..=PAGE_ITEMS_MAX).contains(number));
    number.ok_or_else(|| {
        Refusal::parameter("limit", format!("write a whole number from 1 to {PAGE_ITEMS_MAX}"))
    })
}

/// `cursor` of a page, as the one before gave it.
pub(crate) fn cursor<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, Refusal> {
    let wrong =
        |_| Refusal::parameter("cursor", "pass on what `next` of the page before says, unchanged");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

pub(crate) fn workflow_name(text: Option<&str>) -> Result<Option<WorkflowName>, Refusal> {
    text.map(|text| {
        WorkflowName::parse(text).map_err(|wrong| Refusal::parameter("workflow", wrong))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: pass on the library's message as it is.
    #[test]
    fn a_message_about_a_wrong_type_does_not_hold_the_value() {
        let secret: Result<u32, _> = serde_json::from_str(r#""s3cret, expected `x`: \"y\"""#);
        assert_eq!(
            masked(&secret.expect_err("wrong").to_string()),
            "invalid type: string, expected u32 at line 1 column 29"
        );
        let number: Result<String, _> = serde_json::from_str("42");
        assert!(!masked(&number.expect_err("wrong").to_string()).contains("42"));
        assert_eq!(masked("unknown field `x`, expected `a`"), "unknown field `x`, expected `a`");
        assert_eq!(masked("missing field `a`"), "missing field `a`");
    }

    /// Mutation: clamp a limit instead of refusing it.
    #[test]
    fn a_limit_is_a_number_within_bounds() {
        for (text, expected) in [
            (None, Some(50)),
            (Some("1"), Some(1)),
            (Some("500"), Some(500)),
            (Some("0"), None),
            (Some("501"), None),
            (Some("-1"), None),
            (Some("99999999999999999999"), None),
            (Some("1e2"), None),
            (Some(""), None),
        ] {
            assert_eq!(limit(text).ok(), expected, "{text:?}");
        }
    }
}
