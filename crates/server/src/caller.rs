//! Who asks for a change, and why.

use axum::extract::FromRequestParts;
use base::By;
use http::HeaderMap;
use http::request::Parts;
use wire::ACTOR_HEADER;

use crate::refusal::Refusal;

/// An actor's name is for people; a few words are enough.
const ACTOR_CHARS_MAX: usize = 200;

/// A reason is a sentence or two, and stands in the journal for ever.
const REASON_CHARS_MAX: usize = 1_000;

const ANONYMOUS: &str = "anonymous";

/// Whoever sent the request, by their own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    actor: String,
}

impl Caller {
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(value) = headers.get(ACTOR_HEADER) else {
            return Ok(Self { actor: ANONYMOUS.to_owned() });
        };
        let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default().trim();
        let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
        if !is_plain || text.chars().count() > ACTOR_CHARS_MAX {
            let what = format!(
                "write 1 to {ACTOR_CHARS_MAX} printable characters, or leave the header out"
            );
            return Err(Refusal::parameter(ACTOR_HEADER, what));
        }
        Ok(Self { actor: text.to_owned() })
    }

    /// A part of this program, such as what starts runs by schedule.
    #[must_use]
    pub fn named(actor: &str) -> Self {
        Self { actor: actor.to_owned() }
    }

    pub fn because(&self, reason: Option<String>) -> Result<By, Refusal> {
        Ok(By { actor: self.actor.clone(), reason: reason_of(reason)? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::of(&parts.headers)
    }
}

/// A reason without what could disturb a terminal. An empty one is none.
pub fn reason_of(reason: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(reason) = reason.filter(|reason| !reason.trim().is_empty()) else { return Ok(None) };
    let odd = reason.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    if odd || reason.chars().count() > REASON_CHARS_MAX {
        let what =
            format!("write at most {REASON_CHARS_MAX} characters, without control characters");
        return Err(Refusal::parameter("reason", what));
    }
    Ok(Some(reason))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(value: &[u8], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACTOR_HEADER, HeaderValue::from_bytes(value).expect("a header value"));
        let caller = Caller::of(&headers).ok();
        assert_eq!(caller.as_ref().map(|caller| caller.actor.as_str()), expected, "{value:?}");
    }

    /// Mutation: take an actor of any length or with any bytes, or call a bad one anonymous.
    #[test]
    fn an_actor_is_a_short_printable_text() {
        check(b"ada", Some("ada"));
        check("Zo\u{eb} (night shift)".as_bytes(), Some("Zo\u{eb} (night shift)"));
        check(b"", None);
        check(b"  ", None);
        check(b"\xff\xfe", None);
        check("x".repeat(ACTOR_CHARS_MAX).as_bytes(), Some(&"x".repeat(ACTOR_CHARS_MAX)));
        check("x".repeat(ACTOR_CHARS_MAX + 1).as_bytes(), None);
        assert_eq!(Caller::of(&HeaderMap::new()).expect("no header").actor, ANONYMOUS);
    }

    /// Mutation: let escape sequences through, or keep an empty reason.
    #[test]
    fn a_reason_cannot_disturb_a_terminal() {
        assert_eq!(reason_of(Some(" ".into())), Ok(None));
        assert_eq!(reason_of(Some("wrong\ninput".into())), Ok(Some("wrong\ninput".into())));
        assert!(reason_of(Some("\u{1b}[2J".into())).is_err());
        assert!(reason_of(Some("x".repeat(REASON_CHARS_MAX + 1))).is_err());
    }
}
