//! What a redirect leads to: a plain function, as browsers do it, a little stricter.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::destination::Destination;
use crate::header::is_credential;
use crate::out::OutRequest;

/// Redirects followed for one request. Browsers follow twenty, and no honest service needs ten.
pub(crate) const REDIRECTS_MAX: usize = 10;

pub(crate) enum Next {
    /// This is the answer.
    Answer,
    Follow(Box<OutRequest>),
    /// A redirect to nowhere.
    Lost,
}

pub(crate) fn next(request: &OutRequest, status: StatusCode, headers: &HeaderMap) -> Next {
    let followed = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = headers.get(LOCATION).filter(|_| followed && request.redirect) else {
        return Next::Answer;
    };
    let to = std::str::from_utf8(location.as_bytes()).ok().and_then(|to| request.url.join(to).ok());
    let Some(mut url) = to else { return Next::Lost };
    let Ok(destination) = Destination::of(&url) else { return Next::Lost };
    url.set_fragment(None);
    // Credentials that another server wrote into an address are not ours to send.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Next::Lost;
    }
    let mut next = OutRequest { url, destination, ..request.clone() };
    if becomes_get(status, &request.method) {
        next.method = Method::GET;
        next.body = None;
        let key = HeaderName::from_static("idempotency-key");
        let content = ["content-encoding", "content-language", "content-location"];
        content.map(HeaderName::from_static).iter().chain([&CONTENT_TYPE, &key]).for_each(|name| {
            next.headers.remove(name);
        });
    }
    if next.destination != request.destination {
        drop_credentials(&mut next.headers);
    }
    Next::Follow(Box::new(next))
}

fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::GET && *method != Method::HEAD,
        _ => false,
    }
}

fn drop_credentials(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| is_credential(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, status: u16, location: &str, expected: &str) {
        let mut request = OutRequest::new(method, "https://a.example/x/y", &[])
            .expect("a request")
            .with_body("body".into())
            .with_redirects(true);
        for name in
            ["authorization", "cookie", "x-api-key", "content-type", "idempotency-key", "accept"]
        {
            request.header(name, "v").expect("a header");
        }
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().expect("a value"))]);
        let said = match next(&request, StatusCode::from_u16(status).expect("a status"), &headers) {
            Next::Answer => "answer".to_owned(),
            Next::Lost => "lost".to_owned(),
            Next::Follow(next) => {
                let mut names: Vec<&str> = next.headers.keys().map(HeaderName::as_str).collect();
                names.sort_unstable();
                let body = if next.body.is_some() { "with body" } else { "empty" };
                format!("{} {} {body}: {}", next.method, next.url, names.join(" "))
            }
        };
        assert_eq!(said, expected, "{method} {status} {location}");
    }

    const SAME: &str = "accept authorization content-type cookie idempotency-key x-api-key";

    /// Mutation: keep the body after 303, change the method after 307, or follow 304.
    #[test]
    fn the_method_changes_as_in_a_browser() {
        check(
            "POST",
            301,
            "/z",
            "GET https://a.example/z empty: accept authorization cookie x-api-key",
        );
        check("PUT", 302, "z", &format!("PUT https://a.example/x/z with body: {SAME}"));
        check(
            "PUT",
            303,
            "/z",
            "GET https://a.example/z empty: accept authorization cookie x-api-key",
        );
        check("HEAD", 303, "/z", &format!("HEAD https://a.example/z with body: {SAME}"));
        check("POST", 307, "/z", &format!("POST https://a.example/z with body: {SAME}"));
        check("POST", 308, "/z", &format!("POST https://a.example/z with body: {SAME}"));
        check("GET", 304, "/z", "answer");
        check("GET", 200, "/z", "answer");
    }

    /// Mutation: compare only hosts, or keep `x-api-key`.
    #[test]
    fn credentials_stay_with_their_origin() {
        let kept = "accept content-type idempotency-key";
        check(
            "POST",
            307,
            "https://b.example/z",
            &format!("POST https://b.example/z with body: {kept}"),
        );
        check(
            "POST",
            307,
            "http://a.example/z",
            &format!("POST http://a.example/z with body: {kept}"),
        );
        check(
            "POST",
            307,
            "https://a.example:444/z",
            &format!("POST https://a.example:444/z with body: {kept}"),
        );
        check(
            "GET",
            302,
            "https://u:p@a.example/z#f",
            &format!("GET https://a.example/z with body: {SAME}"),
        );
    }

    /// Mutation: take any address that parses.
    #[test]
    fn a_redirect_to_nowhere_is_lost() {
        check("GET", 302, "file:///etc/passwd", "lost");
        check("GET", 302, "https://", "lost");
    }
}
