//! Tokens, by which machines become sites.

use axum::Json;
use axum::extract::State;
use base::{By, Duration, SiteName, tags_wrong};
use http::StatusCode;
use server::{Body, Caller, Refusal, finished};
use wire::{Problem, TokenCreate, TokenCreated};

use crate::{Hub, TokenOrder};

/// A name, some tags, some addresses.
const CREATE_BYTES_MAX: usize = 64 * 1024;

/// Addresses of one hub.
const HUBS_MAX: usize = 8;

/// The longest name of a host, as DNS has it.
const HOST_BYTES_MAX: usize = 253;

/// How long a token is good for, where nobody says so: enough to carry it to a machine.
const LIFE: Duration = Duration::from_secs(3600);

/// Makes a token for a site, which is shown this once.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "sites",
    security(("key" = ["admin"])),
    request_body = TokenCreate,
    responses(
        (status = 201, body = TokenCreated),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The site has joined", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn token_create(
    State(hub): State<Hub>,
    caller: Caller,
    Body(ask): Body<TokenCreate, CREATE_BYTES_MAX>,
) -> Result<(StatusCode, Json<TokenCreated>), Refusal> {
    let by = caller.because(ask.reason.clone())?;
    let order = order(ask, by)?;
    let token = finished(async move { Ok::<_, Refusal>(hub.token_create(order).await?) }).await?;
    let (site, until) = (token.site.to_string(), token.until.to_string());
    Ok((StatusCode::CREATED, Json(TokenCreated { site, until, token: token.to_text() })))
}

fn order(ask: TokenCreate, by: By) -> Result<TokenOrder, Refusal> {
    let TokenCreate { site, tags, ttl_seconds, replace, hubs, .. } = ask;
    let site = SiteName::parse(&site).map_err(|wrong| Refusal::parameter("site", wrong))?;
    if let Some(what) = tags_wrong(&tags) {
        return Err(Refusal::parameter("tags", what));
    }
    if let Some(what) = addresses_wrong(&hubs) {
        return Err(Refusal::parameter("hubs", what));
    }
    let life = ttl_seconds.map_or(LIFE, Duration::from_secs);
    Ok(TokenOrder { site, tags, life, replace, by, hubs })
}

/// Why sites cannot be told to find the hub there.
#[must_use]
pub fn addresses_wrong(hubs: &[String]) -> Option<String> {
    let is_right = hubs.len() <= HUBS_MAX && hubs.iter().all(|hub| is_address(hub));
    (!is_right).then(|| format!("at most {HUBS_MAX}, each as `host:port`"))
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        (1..=HOST_BYTES_MAX).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'@')
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: impl FnOnce(&mut TokenCreate)) -> Result<TokenOrder, Refusal> {
        let mut ask = TokenCreate {
            site: "plant-1".to_owned(),
            tags: [("region".to_owned(), "eu".to_owned())].into(),
            ttl_seconds: None,
            replace: false,
            reason: None,
            hubs: vec!["hub.example:7473".to_owned(), "[::1]:7473".to_owned()],
        };
        change(&mut ask);
        order(ask, By { actor: "ada".to_owned(), reason: None })
    }

    /// Mutation: take any name, mark or address, or as many as somebody likes.
    #[test]
    fn what_is_asked_for_is_looked_at() {
        let order = asked(|_| {}).expect("a good order");
        assert_eq!((order.life, order.tags.len(), order.hubs.len()), (LIFE, 1, 2));
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for hub in [
            "hub.example",
            "hub.example:0",
            "hub.example:99999",
            ":7473",
            "a b:7473",
            "a@b:7473",
            "http://a:7473",
        ] {
            assert!(asked(|ask| ask.hubs = vec![hub.to_owned()]).is_err(), "{hub}");
        }
        assert!(asked(|ask| ask.site = "Plant 1".to_owned()).is_err());
        assert!(asked(|ask| ask.tags = [tag("a b", "c")].into()).is_err());
        assert!(asked(|ask| ask.tags = [tag("a", "")].into()).is_err());
        assert!(
            asked(|ask| ask.tags = (0..65).map(|n| tag(&format!("k{n}"), "v")).collect()).is_err()
        );
        assert!(asked(|ask| ask.hubs = vec!["a:1".to_owned(); 9]).is_err());
    }
}
