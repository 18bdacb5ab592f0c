//! Who asks for a change, and why.

use axum::extract::FromRequestParts;
use base::{By, KeyName, SiteName};
use http::HeaderMap;
use http::request::Parts;
use wire::{ACTOR_HEADER, Role};

use crate::access::Roles;
use crate::refusal::{Refusal, internal};

/// An actor's name is for people; a few words are enough.
const ACTOR_CHARS_MAX: usize = 200;

/// A reason is a sentence or two, and stands in the journal for ever.
const REASON_CHARS_MAX: usize = 1_000;

const ANONYMOUS: &str = "anonymous";

/// Before the name of a key, where it stands as an actor. Nobody may claim to be one.
pub const KEY_ACTOR: &str = "key:";

/// Before whoever a hub says has asked, where a site does what it orders: the hub's `key:lab` is not the
/// site's own. Nobody may claim that either.
pub const HUB_ACTOR: &str = "hub:";

/// Before the name of a site, where another one does what it asks.
pub const SITE_ACTOR: &str = "site:";

/// What nobody calls himself.
const TAKEN: [&str; 3] = [KEY_ACTOR, HUB_ACTOR, SITE_ACTOR];

/// Whoever sent the request, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    actor: String,
    roles: Roles,
}

impl Caller {
    /// Somebody with the key of the folder, by their own word: everything here is theirs.
    pub(crate) fn of_folder(headers: &HeaderMap) -> Result<Self, Refusal> {
        let roles = Roles::everywhere(Role::Admin);
        let Some(value) = headers.get(ACTOR_HEADER) else {
            return Ok(Self { actor: ANONYMOUS.to_owned(), roles });
        };
        let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default().trim();
        let is_taken = TAKEN.iter().any(|other| text.starts_with(other));
        if is_taken || !is_name(text) {
            let taken = TAKEN.map(|other| format!("`{other}`")).join(", ");
            let what = format!(
                "write 1 to {ACTOR_CHARS_MAX} printable characters that do not begin with one of {taken}, or leave the header out"
            );
            return Err(Refusal::parameter(ACTOR_HEADER, what));
        }
        Ok(Self { actor: text.to_owned(), roles })
    }

    /// The same with these roles alone.
    #[must_use]
    pub fn limited(actor: &str, roles: Roles) -> Self {
        Self { actor: actor.to_owned(), roles }
    }

    pub(crate) fn with_key(name: &KeyName, roles: Roles) -> Self {
        Self { actor: format!("{KEY_ACTOR}{name}"), roles }
    }

    /// A part of this program, such as what starts runs by schedule: it asks no API, and does what
    /// somebody who might has asked for.
    #[must_use]
    pub fn named(actor: &str) -> Self {
        Self { actor: actor.to_owned(), roles: Roles::everywhere(Role::Admin) }
    }

    /// Whoever a hub says has asked it for what it orders here. It is no more believed than anybody who calls
    /// himself something.
    pub fn by_order(actor: &str) -> Result<Self, Refusal> {
        if !is_name(actor) {
            let what = format!("at most {ACTOR_CHARS_MAX} printable characters");
            return Err(Refusal::parameter("actor", what));
        }
        Ok(Self::named(&format!("{HUB_ACTOR}{actor}")))
    }

    /// Another site of the fleet.
    #[must_use]
    pub fn of_site(site: &SiteName) -> Self {
        Self::named(&format!("{SITE_ACTOR}{site}"))
    }

    #[must_use]
    pub fn actor(&self) -> &str {
        &self.actor
    }

    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    pub fn because(&self, reason: Option<String>) -> Result<By, Refusal> {
        Ok(By { actor: self.actor.clone(), reason: reason_of(reason)? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        // The guard has put it there.
        parts.extensions.get::<Self>().cloned().ok_or_else(internal)
    }
}

/// Somebody who is admin of something: asked before a large body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SomeAdmin(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for SomeAdmin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.roles().need_somewhere(Role::Admin)?;
        Ok(Self(caller))
    }
}

/// Whether somebody may be called so: where it stands, it disturbs nothing.
fn is_name(actor: &str) -> bool {
    let is_plain = !actor.is_empty() && !actor.chars().any(char::is_control);
    is_plain && actor.chars().count() <= ACTOR_CHARS_MAX
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
        let caller = Caller::of_folder(&headers).ok();
        assert_eq!(caller.as_ref().map(|caller| caller.actor.as_str()), expected, "{value:?}");
    }

    /// Mutation: take an actor of any length or with any bytes, or one who claims a key, a hub or a site, or call a bad
    /// one anonymous.
    #[test]
    fn an_actor_is_a_short_printable_text() {
        check(b"ada", Some("ada"));
        check(b"key:ada", None);
        check(b"hub:ada", None);
        check(b"site:ada", None);
        check("Zo\u{eb} (night shift)".as_bytes(), Some("Zo\u{eb} (night shift)"));
        check(b"", None);
        check(b"  ", None);
        check(b"\xff\xfe", None);
        check("x".repeat(ACTOR_CHARS_MAX).as_bytes(), Some(&"x".repeat(ACTOR_CHARS_MAX)));
        check("x".repeat(ACTOR_CHARS_MAX + 1).as_bytes(), None);
        assert_eq!(Caller::of_folder(&HeaderMap::new()).expect("no header").actor, ANONYMOUS);
    }

    /// Mutation: take the hub's word for an actor as it is, or without its mark.
    #[test]
    fn whom_a_hub_names_is_marked_and_judged_like_anybody() {
        let said = |actor: &str| Caller::by_order(actor).ok().map(|caller| caller.actor);
        assert_eq!(said("key:lab").as_deref(), Some("hub:key:lab"));
        assert_eq!(said("site:desk").as_deref(), Some("hub:site:desk"));
        for wrong in ["", "a\u{1b}[2J", &"x".repeat(ACTOR_CHARS_MAX + 1)] {
            assert_eq!(said(wrong), None, "{wrong:?}");
        }
        let desk = SiteName::parse("desk").expect("a name");
        assert_eq!(Caller::of_site(&desk).actor, "site:desk");
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
