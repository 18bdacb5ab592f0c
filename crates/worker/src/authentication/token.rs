//! Tokens of `oauth2` and `oidc`: asked for at the gate like everything else, and kept in memory
//! until shortly before they end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::value::{as_i64, as_str, get, object, string, to_json};
use base::{ErrorType, Fault, Namespace, Timestamp, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::{OutRequest, OutResponse};
use http::HeaderName;
use http::header::{ACCEPT, CONTENT_TYPE};

use super::jwt::{self, Claims};
use super::policy::{Endpoint, Grant, Method, TokenPolicy};
use super::{Asking, Unauthenticated};
use crate::http::fault_of;
use crate::mask::percent;

/// As long as a token endpoint may take. It is a step within a step.
const DEADLINE: Duration = Duration::from_secs(30);

/// An answer with a token is some kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Tokens kept. One is some kilobytes; a site has tens of definitions.
const TOKENS_MAX: usize = 1_024;

/// A token that ends so soon might have ended when the request arrives.
const SPARE_SECONDS: i64 = 30;

/// Errors of RFC 6749 and its relatives. Others are not repeated: a server may put anything there.
const ERRORS: [&str; 9] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "access_denied",
    "temporarily_unavailable",
];

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Which token: whose, and a digest over all that it is asked for with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    namespace: Namespace,
    definition: [u8; 32],
}

impl TokenKey {
    /// `definition` holds secrets; only its digest is kept, and only in memory.
    pub(crate) fn new(namespace: &Namespace, scheme: &str, definition: &Value) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(scheme.as_bytes());
        context.update(&[0]);
        context.update(&to_json(definition));
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self { namespace: namespace.clone(), definition: digest }
    }
}

/// One of many who want a token asks for it, and the others wait.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<TokenKey, Arc<tokio::sync::Mutex<Kept>>>>);

#[derive(Default)]
struct Kept {
    token: Option<(Issued, Timestamp)>,
    /// Instead of the one in the definition, where the server has given a newer one.
    refresh: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Issued {
    /// `Bearer`, as a rule.
    pub(crate) scheme: String,
    pub(crate) token: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    fn slot(&self, key: &TokenKey) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= TOKENS_MAX && !kept.contains_key(key) {
            kept.clear();
        }
        Arc::clone(kept.entry(key.clone()).or_default())
    }

    /// A token, and whether it was there already.
    pub(crate) async fn get(
        &self,
        key: &TokenKey,
        policy: &TokenPolicy,
        asking: &Asking<'_>,
    ) -> Result<(Issued, bool), Unauthenticated> {
        let slot = self.slot(key);
        let mut kept = slot.lock().await;
        if let Some((issued, until)) = &kept.token
            && asking.clock.now() < *until
        {
            return Ok((issued.clone(), true));
        }
        kept.token = None;
        let answer = ask(policy, kept.refresh.as_deref(), asking).await?;
        if let Some(until) = answer.until {
            kept.token = Some((answer.issued.clone(), until));
        }
        if answer.refresh.is_some() {
            kept.refresh = answer.refresh;
        }
        Ok((answer.issued, false))
    }

    /// The server refuses this one.
    pub(crate) async fn forget(&self, key: &TokenKey, refused: &str) {
        let slot = self.slot(key);
        let mut kept = slot.lock().await;
        if kept.token.as_ref().is_some_and(|(issued, _)| issued.token == refused) {
            kept.token = None;
        }
    }
}

struct Answer {
    issued: Issued,
    /// Nothing where the server does not say how long it lasts: then it is used once.
    until: Option<Timestamp>,
    refresh: Option<String>,
}

fn refused(detail: String) -> Unauthenticated {
    Fault::new(ErrorType::Authentication, detail).into()
}

async fn ask(
    policy: &TokenPolicy,
    refresh: Option<&str>,
    asking: &Asking<'_>,
) -> Result<Answer, Unauthenticated> {
    let endpoint = match &policy.endpoint {
        Endpoint::Path(path) if path.contains("://") => path.clone(),
        Endpoint::Path(path) => format!("{}/{}", policy.authority, path.trim_start_matches('/')),
        Endpoint::Discovered => discovered(policy, asking).await?,
    };
    let request = request(policy, &endpoint, refresh, asking)?;
    let response = sent(request, asking).await?;
    let destination = response.request.destination().to_string();
    let body = body(&response, &destination)?;
    if !response.status.is_success() {
        return Err(failed(&response, &body, &destination));
    }
    let text = |name: &str| get(&body, name).and_then(as_str).filter(|text| !text.is_empty());
    let Some(token) = text("access_token") else {
        return Err(refused(format!(
            "the answer of the token endpoint of `{destination}` has no `access_token`"
        )));
    };
    let scheme = match text("token_type") {
        None => "Bearer",
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        // In a token exchange, a token that is no access token.
        Some(kind) if kind.eq_ignore_ascii_case("n_a") => "Bearer",
        Some(_) => {
            return Err(refused(format!(
                "the token endpoint of `{destination}` gives a type of token that is not `Bearer`"
            )));
        }
    };
    if !policy.issuers.is_empty() {
        let issuer = [Some(token), text("id_token")].into_iter().flatten().find_map(jwt::issuer);
        if !issuer.is_some_and(|issuer| policy.issuers.contains(&issuer)) {
            return Err(refused(format!(
                "the token of `{destination}` does not say that it comes from one of `issuers`"
            )));
        }
    }
    let lifetime = get(&body, "expires_in").and_then(|value| {
        as_i64(value).or_else(|| as_str(value).and_then(|text| text.trim().parse().ok()))
    });
    Ok(Answer {
        issued: Issued { scheme: scheme.to_owned(), token: token.to_owned() },
        until: lifetime.map(|seconds| until(asking.clock.now(), seconds)),
        refresh: text("refresh_token").map(str::to_owned),
    })
}

/// A token is renewed a little before its end, but not in the first half of its life.
fn until(now: Timestamp, seconds: i64) -> Timestamp {
    let seconds = seconds.clamp(0, 365 * 24 * 3_600);
    let useful = (seconds - SPARE_SECONDS).max(seconds / 2);
    Timestamp::from_millis(now.as_millis().saturating_add(useful * 1_000))
}

/// The token endpoint of the authority's own document.
async fn discovered(policy: &TokenPolicy, asking: &Asking<'_>) -> Result<String, Unauthenticated> {
    let issuer = policy.authority.strip_suffix(DISCOVERY).unwrap_or(&policy.authority);
    let out = OutRequest::new("GET", &format!("{issuer}{DISCOVERY}"), &[]);
    let mut out = out.map_err(|error| Unauthenticated::from(fault_of(&error)))?;
    headers(&mut out, asking)?;
    let response = sent(out.with_redirects(true), asking).await?;
    let destination = response.request.destination().to_string();
    let body = body(&response, &destination)?;
    if !response.status.is_success() {
        return Err(failed(&response, &body, &destination));
    }
    let text = |name: &str| get(&body, name).and_then(as_str);
    // Else a document of somebody else could have our credentials sent elsewhere.
    let says = text("issuer").unwrap_or_default().trim_end_matches('/');
    if says != issuer && !policy.issuers.iter().any(|it| it.trim_end_matches('/') == says) {
        return Err(refused(format!(
            "the discovery document of `{destination}` is of another issuer than the authority; if that is meant, name it in `issuers`"
        )));
    }
    let endpoint = text("token_endpoint").map(str::to_owned);
    endpoint.ok_or_else(|| {
        refused(format!("the discovery document of `{destination}` names no `token_endpoint`"))
    })
}

type Parameters = Vec<(&'static str, String)>;

fn request(
    policy: &TokenPolicy,
    endpoint: &str,
    refresh: Option<&str>,
    asking: &Asking<'_>,
) -> Result<OutRequest, Unauthenticated> {
    let invalid = |error| Unauthenticated::from(fault_of(&error));
    let mut parameters = granted(&policy.grant, refresh);
    if !policy.scopes.is_empty() {
        parameters.push(("scope", policy.scopes.join(" ")));
    }
    parameters.extend(policy.audiences.iter().map(|audience| ("audience", audience.clone())));
    let mut out = OutRequest::new("POST", endpoint, &[]).map_err(invalid)?;
    let id = policy.client.id.clone().unwrap_or_default();
    match &policy.client.method {
        Method::SecretBasic(secret) => {
            // Both halves are form-encoded first: RFC 6749, section 2.3.1.
            let pair = format!("{}:{}", percent(&id, true), percent(secret, true));
            out.authorize(&format!("Basic {}", STANDARD.encode(pair))).map_err(invalid)?;
        }
        Method::SecretPost(secret) => {
            parameters.push(("client_id", id));
            parameters.push(("client_secret", secret.clone()));
        }
        Method::SecretJwt(_) | Method::PrivateKeyJwt(_) => {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
            let assertion = assertion(&policy.client.method, &id, endpoint, asking)?;
            parameters.push(("client_id", id));
            parameters.push(("client_assertion_type", kind));
            parameters.push(("client_assertion", assertion));
        }
        Method::None if id.is_empty() => {}
        Method::None => parameters.push(("client_id", id)),
    }
    headers(&mut out, asking)?;
    let (kind, body) = match policy.is_json {
        true => ("application/json", as_json(&parameters)),
        false => ("application/x-www-form-urlencoded", as_form(&parameters).into_bytes()),
    };
    out.header_default(CONTENT_TYPE, kind).map_err(invalid)?;
    Ok(out.with_body(body.into()))
}

fn granted(grant: &Grant, refresh: Option<&str>) -> Parameters {
    match grant {
        Grant::ClientCredentials => vec![("grant_type", "client_credentials".to_owned())],
        Grant::Password(credentials) => vec![
            ("grant_type", "password".to_owned()),
            ("username", credentials.username.clone()),
            ("password", credentials.password.clone()),
        ],
        Grant::RefreshToken(token) => vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", refresh.unwrap_or(token).to_owned()),
        ],
        Grant::Exchange { subject, actor } => {
            let mut parameters = vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
                ("subject_token", subject.token.clone()),
                ("subject_token_type", subject.kind.clone()),
            ];
            if let Some(actor) = actor {
                parameters.push(("actor_token", actor.token.clone()));
                parameters.push(("actor_token_type", actor.kind.clone()));
            }
            parameters
        }
    }
}

fn assertion(
    method: &Method,
    client: &str,
    audience: &str,
    asking: &Asking<'_>,
) -> Result<String, Unauthenticated> {
    let id = asking.nonce();
    let claims = Claims { client, audience, id: &id, now: asking.clock.now() };
    match method {
        Method::PrivateKeyJwt(key) => jwt::with_key(key, &claims).map_err(|wrong| {
            let detail = format!("`client.assertion`: {wrong}");
            let fault = Fault::new(ErrorType::Configuration, detail);
            fault.with_title("Invalid authentication").into()
        }),
        Method::SecretJwt(secret) | Method::SecretBasic(secret) | Method::SecretPost(secret) => {
            Ok(jwt::with_secret(secret, &claims))
        }
        Method::None => Ok(String::new()),
    }
}

fn headers(out: &mut OutRequest, asking: &Asking<'_>) -> Result<(), Unauthenticated> {
    let invalid = |error| Unauthenticated::from(fault_of(&error));
    out.header_default(ACCEPT, "application/json").map_err(invalid)?;
    let trace = HeaderName::from_static("traceparent");
    out.header_default(trace, asking.traceparent).map_err(invalid)
}

async fn sent(out: OutRequest, asking: &Asking<'_>) -> Result<OutResponse, Unauthenticated> {
    let destination = out.destination().to_string();
    let answer = tokio::time::timeout(DEADLINE, asking.gate.request(asking.caller, out)).await;
    let Ok(answer) = answer else {
        let seconds = DEADLINE.as_secs();
        let detail = format!("`{destination}` gave no token within {seconds} seconds");
        let fault = Fault::new(ErrorType::Communication, detail).with_status(503);
        return Err(fault.with_title("Unreachable").into());
    };
    let ruling = answer.ruling.map(Box::new);
    answer.result.map_err(|error| Unauthenticated { fault: fault_of(&error), ruling })
}

fn body(response: &OutResponse, destination: &str) -> Result<Value, Unauthenticated> {
    let is_good = response.status.is_success();
    if response.body.len() > ANSWER_BYTES_MAX {
        let detail = format!(
            "the token endpoint of `{destination}` answers with more than {ANSWER_BYTES_MAX} bytes"
        );
        return Err(refused(detail));
    }
    match base::value::parse(&response.body) {
        Ok(value) => Ok(value),
        Err(_) if !is_good => Ok(Value::Null),
        Err(_) => Err(refused(format!("`{destination}` answers with something that is not JSON"))),
    }
}

fn failed(response: &OutResponse, body: &Value, destination: &str) -> Unauthenticated {
    let status = response.status.as_u16();
    let said = get(body, "error").and_then(as_str);
    let said = said.and_then(|said| ERRORS.iter().find(|known| **known == said));
    let said = said.map_or_else(String::new, |said| format!(" ({said})"));
    let detail = format!("the token endpoint of `{destination}` answered {status}{said}");
    if response.status.is_server_error() || status == 429 {
        let fault = Fault::new(ErrorType::Communication, detail).with_status(status);
        return fault.with_title("No token").into();
    }
    refused(detail)
}

fn as_form(parameters: &Parameters) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", percent(value, true))).collect();
    pairs.join("&")
}

fn as_json(parameters: &Parameters) -> Vec<u8> {
    let values = |name: &str| -> Vec<Value> {
        parameters.iter().filter(|(key, _)| *key == name).map(|(_, it)| string(it)).collect()
    };
    let fields = parameters.iter().map(|(name, value)| {
        let all = values(name);
        let value = if all.len() > 1 { base::value::array(all) } else { string(value) };
        (*name, value)
    });
    to_json(&object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: use a token up to its last second, or throw a short-lived one away at once.
    #[test]
    fn a_token_is_renewed_before_its_end_and_not_in_the_first_half_of_its_life() {
        for (seconds, useful) in
            [(3_600, 3_570), (60, 30), (10, 5), (0, 0), (-5, 0), (i64::MAX, 365 * 86_400 - 30)]
        {
            let at = until(Timestamp::from_millis(0), seconds).as_millis() / 1_000;
            assert_eq!(at, useful, "{seconds}");
        }
    }

    /// Mutation: leave a `&` as it is, or write the last of several audiences only.
    #[test]
    fn parameters_are_a_form_or_an_object() {
        let parameters: Parameters =
            vec![("a", "x&y z*".into()), ("audience", "1".into()), ("audience", "2".into())];
        assert_eq!(as_form(&parameters), "a=x%26y+z*&audience=1&audience=2");
        assert_eq!(as_json(&parameters), br#"{"a":"x&y z*","audience":["1","2"]}"#);
    }
}
