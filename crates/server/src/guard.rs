//! What stands before every operation: who may ask at all, how long it may take, and that a mistake
//! of ours stays one answer.
//!
//! Every operation takes a key. A browser on this machine could still ask on behalf of any page: so a
//! request that comes over loopback must be addressed to this machine by name (a page cannot make a
//! browser do that for its own name, whatever its DNS says), and none may come from another origin.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri};
use utoipa_axum::router::OpenApiRouter;
use wire::{ProblemCode, Role};

use crate::access::Access;
use crate::extract::Path;
use crate::key::Keys;
use crate::refusal::{Refusal, internal};
use crate::serve::Via;

/// How long a request may take, its body included.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

const LOCAL_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// What routes that do not exist are counted as.
const NO_ROUTE: &str = "none";

/// Whose operations stand behind the guard.
pub trait Guarded: Clone + Send + Sync + 'static {
    /// A request was answered. `route` is the path as it is registered, never as it was asked.
    fn answered(&self, route: &str, method: &Method, status: u16);

    fn timeout(&self, _route: &str, _method: &Method) -> Duration {
        ANSWER_TIMEOUT
    }
}

#[derive(Clone)]
struct Guard<S> {
    state: S,
    access: Arc<Access>,
}

/// The operations with all that stands before and around them.
pub fn guard<S>(operations: OpenApiRouter<S>, state: S) -> Router
where
    S: Guarded,
    Keys: FromRef<S>,
{
    let (operations, api) = operations.split_for_parts();
    let guard = Guard { state: state.clone(), access: Arc::new(Access::of(&api)) };
    operations
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(guard, guarded::<S>))
        .with_state(state)
}

async fn no_such_path() -> Refusal {
    let detail = "there is no such path; docs/reference/api.md lists them";
    Refusal::new(ProblemCode::NoSuchOperation, detail)
}

async fn no_such_method() -> Refusal {
    let detail = "this path does not take that method; docs/reference/api.md says which it takes";
    Refusal::new(ProblemCode::MethodNotAllowed, detail)
}

async fn guarded<S>(State(guard): State<Guard<S>>, request: Request, next: Next) -> Response
where
    S: Guarded,
    Keys: FromRef<S>,
{
    let Guard { state, access } = guard;
    let route = request.extensions().get::<MatchedPath>().cloned();
    let found = route.as_ref().map(MatchedPath::as_str);
    let route = found.unwrap_or(NO_ROUTE);
    let method = request.method().clone();
    let role = access.role(found, &method);
    let mut response = match admit(request, role, &Keys::from_ref(&state)).await {
        Ok(request) => answer(request, next, state.timeout(route, &method)).await,
        Err(refusal) => refusal.into_response(),
    };
    state.answered(route, &method, response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The request with who has sent it, where they may do what they ask for.
async fn admit(request: Request, role: Option<Role>, keys: &Keys) -> Result<Request, Refusal> {
    let via = request.extensions().get().copied().unwrap_or(Via::Loopback);
    is_ours(via, request.uri(), request.headers())?;
    let caller = keys.who(request.headers())?;
    let (mut parts, body) = request.into_parts();
    if let Some(role) = role {
        match Path::of(&mut parts, &()).await?.find("namespace")? {
            Some(namespace) => caller.roles().need(role, &namespace)?,
            None => caller.roles().need_everywhere(role)?,
        }
    }
    parts.extensions.insert(caller);
    Ok(Request::from_parts(parts, body))
}

async fn answer(request: Request, next: Next, timeout: Duration) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => internal().into_response(),
        Err(_elapsed) => {
            let detail = format!(
                "no answer within {} seconds; send the body faster, or ask for less",
                timeout.as_secs()
            );
            Refusal::new(ProblemCode::TooSlow, detail).into_response()
        }
    }
}

/// Whether a request is addressed to us, and not sent by a page of another site. Over TLS only those
/// names lead here that our certificate has.
pub(crate) fn is_ours(via: Via, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |detail: &str| Err(Refusal::new(ProblemCode::ForeignOrigin, detail));
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => return refuse("send exactly one `host` header"),
    };
    let (scheme, is_named) = match via {
        Via::Loopback => ("http://", is_local(host)),
        Via::Tls => ("https://", !host.is_empty()),
    };
    let is_other = |authority: &Authority| match via {
        Via::Loopback => !is_local(authority.as_str()),
        Via::Tls => !authority.as_str().eq_ignore_ascii_case(host),
    };
    if !is_named || uri.authority().is_some_and(is_other) {
        return refuse(
            "this API answers to 127.0.0.1, localhost and [::1] only; use one of them in the address",
        );
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let own = |origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        origin.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host))
    };
    if !origins.all(own) {
        return refuse("a page of another origin cannot use this API");
    }
    let mut fetches = headers.get_all("sec-fetch-site").iter();
    if !fetches.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return refuse("a page of another site cannot use this API");
    }
    Ok(())
}

/// Whether `host[:port]` is this machine's own name for itself.
fn is_local(host: &str) -> bool {
    LOCAL_HOSTS.iter().any(|local| {
        // Bytes, since a header may end a character where we cut.
        let (name, rest) = host.as_bytes().split_at(local.len().min(host.len()));
        let port = match rest {
            [] => return name.eq_ignore_ascii_case(local.as_bytes()),
            [b':', port @ ..] => port,
            _ => return false,
        };
        name.eq_ignore_ascii_case(local.as_bytes())
            && (1..=5).contains(&port.len())
            && port.iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], expected: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a header"));
        }
        let found = is_ours(Via::Loopback, &Uri::from_static("/"), &map).is_ok();
        assert_eq!(found, expected, "{headers:?}");
    }

    /// Mutation: compare only the beginning of a host, ignore its port's form, or skip a header.
    #[test]
    fn only_this_machine_may_ask() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("127.0.0.1:7474", true),
            ("LOCALHOST:7474", true),
            ("[::1]:7474", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:7474", false),
            ("localhost:7474.evil.example", false),
            ("localhost:", false),
            ("127.0.0.2", false),
            ("0.0.0.0", false),
            ("", false),
            ("evil.example@127.0.0.1", false),
        ] {
            check(&[("host", host)], expected);
        }
        check(&[], false);
        check(&[("host", "localhost"), ("host", "localhost")], false);
        let absolute = Uri::from_static("http://evil.example/");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        assert!(is_ours(Via::Loopback, &absolute, &headers).is_err());
        assert!(is_ours(Via::Tls, &absolute, &headers).is_err());
        headers.insert(HOST, HeaderValue::from_static("hub.example:7475"));
        assert!(is_ours(Via::Tls, &Uri::from_static("/"), &headers).is_ok());
        headers.insert(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(is_ours(Via::Tls, &Uri::from_static("/"), &headers).is_err());
    }

    /// Mutation: accept `null`, another port, or what a browser calls `same-site`.
    #[test]
    fn no_page_of_another_origin_may_ask() {
        let host = ("host", "localhost:7474");
        check(&[host, ("origin", "http://localhost:7474")], true);
        for origin in [
            "null",
            "https://localhost:7474",
            "http://localhost:3000",
            "http://evil.example",
            "http://127.0.0.1:7474",
        ] {
            check(&[host, ("origin", origin)], false);
        }
        check(&[host, ("origin", "http://localhost:7474"), ("origin", "null")], false);
        for (site, expected) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            check(&[host, ("sec-fetch-site", site)], expected);
        }
    }
}
