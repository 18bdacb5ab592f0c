//! From a request to our types, strictly: what is unknown, twice, too large or not what it should be
//! is a problem that says so.

use axum::extract::{FromRequest, FromRequestParts, Query as AxumQuery, RawPathParams, Request};
use base::Namespace;
use base::name::WorkflowKey;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use wire::ProblemCode;

use crate::refusal::Refusal;

/// Items of a page.
const PAGE_ITEMS_MAX: u32 = 500;
const PAGE_ITEMS: u32 = 50;

/// Query parameters. Their type refuses unknown ones.
pub struct Query<T>(pub T);

/// Which page of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// From 1 to 500; 50 by default.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    pub fn limit(&self) -> Result<u32, Refusal> {
        limit(self.limit.as_deref())
    }

    /// Behind what the page begins.
    pub fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, Refusal> {
        cursor(self.cursor.as_deref())
    }
}

/// Why somebody deletes something.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReasonQuery {
    /// Why; stands in the record of changes.
    pub reason: Option<String>,
}

/// A namespace that the path names.
pub struct InNamespace(pub Namespace);

/// A workflow, or what is called like one.
pub struct OfWorkflow(pub WorkflowKey);

impl<S: Send + Sync> FromRequestParts<S> for InNamespace {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(Path::of(parts, state).await?.get("namespace")?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfWorkflow {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::of(parts, state).await?;
        Ok(Self(WorkflowKey { namespace: path.get("namespace")?, name: path.get("name")? }))
    }
}

/// A JSON body of at most `BYTES_MAX` bytes.
pub struct Body<T, const BYTES_MAX: usize>(pub T);

/// What stands in the place of names in a path.
pub struct Path(Vec<(String, String)>);

impl Path {
    pub async fn of<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|wrong| Refusal::parameter("path", wrong.body_text()))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    pub fn get<T: std::str::FromStr>(&self, name: &str) -> Result<T, Refusal>
    where
        T::Err: std::fmt::Display,
    {
        let missing = || Refusal::parameter(name, "it is not in the path");
        self.find(name)?.ok_or_else(missing)
    }

    /// The same, where the path need not have it.
    pub(crate) fn find<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal>
    where
        T::Err: std::fmt::Display,
    {
        let found = self.0.iter().find(|(found, _)| found == name);
        let parsed = found.map(|(_, text)| text.parse()).transpose();
        parsed.map_err(|wrong: T::Err| Refusal::parameter(name, wrong))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
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

impl<T, S, const BYTES_MAX: usize> FromRequest<S> for Body<T, BYTES_MAX>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
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

/// Why a body did not come, or not whole.
#[must_use]
pub fn body_broken(wrong: &(dyn std::error::Error + 'static), bytes_max: usize) -> Refusal {
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
pub fn limit(text: Option<&str>) -> Result<u32, Refusal> {
    let Some(text) = text else { return Ok(PAGE_ITEMS) };
    let number = text.parse().ok().filter(|number| (1..=PAGE_ITEMS_MAX).contains(number));
    number.ok_or_else(|| {
        Refusal::parameter("limit", format!("write a whole number from 1 to {PAGE_ITEMS_MAX}"))
    })
}

/// `cursor` of a page, as the one before gave it.
pub fn cursor<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, Refusal> {
    let wrong =
        |_| Refusal::parameter("cursor", "pass on what `next` of the page before says, unchanged");
    text.map(|text| text.parse().map_err(wrong)).transpose()
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
