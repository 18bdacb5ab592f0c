//! `kind: Watch`: an address elsewhere that programs are seen on their way to, untouched (ADR 31).

use base::Namespace;
use privacy::{Action, Class, Confidence, Rules};
use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::definition::SpecError;
use crate::entry::Hidden;
use crate::name::ModelName;
use crate::operation::Operation;
use crate::protect::{ProtectError, ProtectSpec, Protection};
use crate::source::{Dialect, address};

/// Calls of one watch at once, where it does not say: forty programs with twenty-five each.
pub const WATCHED_USUAL: u32 = 1_000;

/// More are more sockets than a process has.
pub const WATCHED_MAX: u32 = 8_192;

/// As its owner has written it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchSpec {
    /// What programs had before: `https://api.openai.com/v1`.
    pub url: String,
    #[serde(default)]
    pub dialect: Dialect,
    /// Whose prices hold, in the catalogue; known by the address, where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// By which region's prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What is counted of personal data: `rules` and `classes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<ProtectSpec>,
    /// Calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    #[error("`url` is not an address such as `https://api.openai.com/v1`: {0}")]
    Url(&'static str),
    #[error("`url` has `.` or `..` in its path: write where it leads")]
    Dots,
    #[error("`dialect` is `open-ai` or `anthropic`: nobody reads another one on its way")]
    Dialect,
    #[error("`{0}` has 1 to 63 letters, digits, `-`, `_` and `.`")]
    Word(&'static str),
    #[error("`concurrency` is 1 to {WATCHED_MAX}")]
    Concurrency,
    #[error("`protect` of a watch has `rules` and `classes` alone: it counts, and hides nothing")]
    Protect,
    #[error(transparent)]
    Classes(#[from] ProtectError),
}

impl WatchSpec {
    /// Refuses what is no watch, before it is written down.
    pub fn check(&self) -> Result<(), WatchError> {
        let (_, path) = self.address()?;
        if has_dots(path) {
            return Err(WatchError::Dots);
        }
        match self.dialect {
            Dialect::OpenAi | Dialect::Anthropic => {}
            Dialect::OpenInference => return Err(WatchError::Dialect),
        }
        let is_word = |text: &String| {
            let is_in = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            (1..=63).contains(&text.len()) && text.bytes().all(is_in)
        };
        for (name, said) in [("provider", &self.provider), ("region", &self.region)] {
            if !said.iter().all(is_word) {
                return Err(WatchError::Word(name));
            }
        }
        if self.concurrency.is_some_and(|it| it == 0 || it > WATCHED_MAX) {
            return Err(WatchError::Concurrency);
        }
        if let Some(protect) = &self.protect {
            let counted = ProtectSpec {
                rules: protect.rules,
                classes: protect.classes.clone(),
                ..ProtectSpec::default()
            };
            if counted != *protect {
                return Err(WatchError::Protect);
            }
            protect.check()?;
        }
        Ok(())
    }

    /// Where it is, and the path that all its paths begin with.
    pub fn address(&self) -> Result<(&str, &str), WatchError> {
        address(&self.url).map_err(|wrong| match wrong {
            SpecError::Url(why) => WatchError::Url(why),
            _ => WatchError::Url("it cannot be read"),
        })
    }

    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(WATCHED_USUAL)
    }

    /// By which personal data is counted. Nothing blocks here, since nothing could be counted then.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let mut rules = Protection::of(self.protect.as_ref(), None, false).out;
        for class in Class::ALL.iter().filter(|class| **class != Class::StandIn) {
            if rules.action(*class) == Action::Block {
                let counted = rules.with(*class, Action::Redact, Confidence::Low);
                rules = counted.expect("each class but stand-ins has a rule");
            }
        }
        rules
    }
}

/// Which watch a path of ours names, and what stands behind it, with its slash.
#[must_use]
pub fn watch_of(path: &str) -> Option<(Namespace, ModelName, &str)> {
    let rest = path.strip_prefix("/watch/")?;
    let (namespace, rest) = rest.split_once('/')?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    Some((Namespace::parse(namespace).ok()?, ModelName::parse(name).ok()?, rest))
}

/// Where a request goes at the watch's origin; none where it would lead out of what its owner has declared.
#[must_use]
pub fn watched_path(base: &str, rest: &str, query: Option<&str>) -> Option<String> {
    if has_dots(rest) {
        return None;
    }
    let mut path = format!("{base}{rest}");
    if path.is_empty() {
        path.push('/');
    }
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    Some(path)
}

/// Whether a part of it is `.` or `..`, in whichever writing: a server may read `%2e`, `%2F`, `\` or `;x`
/// as what they stand for, and what was escaped twice as well.
fn has_dots(path: &str) -> bool {
    let mut text = path.to_owned();
    for _ in 0..ESCAPES_MAX {
        let parts = text.split(['/', '\\']).map(|part| part.split(';').next().unwrap_or_default());
        if parts.into_iter().any(|part| part == "." || part == "..") {
            return true;
        }
        let plain = unescaped(&text);
        if plain == text {
            return false;
        }
        text = plain;
    }
    // Nobody writes an address like that by mistake.
    true
}

/// How often something may be escaped: a proxy between may take one layer away.
const ESCAPES_MAX: usize = 4;

fn unescaped(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|it| char::from(*it).to_digit(16));
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| hex(bytes.get(at + 1)).zip(hex(bytes.get(at + 2))));
        match escaped.flatten() {
            Some((high, low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What is asked by a path, where it is one of the operations that we know: at OpenAI, at Anthropic, at servers
/// with a path of their own before it, and at Azure, whose deployments stand in it.
#[must_use]
pub fn watched_operation(dialect: Dialect, path: &str) -> Option<Operation> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let ends: &[(&str, Operation)] = match dialect {
        Dialect::OpenAi => &[
            ("/chat/completions", Operation::Chat),
            ("/completions", Operation::Completions),
            ("/embeddings", Operation::Embeddings),
            ("/responses", Operation::Responses),
        ],
        Dialect::Anthropic => &[("/messages", Operation::Messages)],
        Dialect::OpenInference => &[],
    };
    ends.iter().find(|(end, _)| path.ends_with(end)).map(|(_, operation)| *operation)
}

/// What a call asked for that not every model has. No contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Needs {
    /// Tokens of one answer at most, where it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Tools that were offered.
    #[serde(skip_serializing_if = "is_zero")]
    pub tools: u64,
    /// Images in the text itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Its answer had to have a form.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub schema: bool,
    /// Something was meant that is elsewhere: a file, what was said before, a tool that the provider runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Needs {
    #[must_use]
    pub fn of(ask: &Ask) -> Self {
        Self {
            output_tokens: ask.output_tokens_max,
            tools: ask.tools,
            images: ask.images,
            schema: ask.has_schema,
            elsewhere: ask.has_more_elsewhere,
        }
    }

    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// That a call was seen on its way, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// The watch that it went through.
    pub by: ModelName,
    /// Eight digits of a keyed digest of the key that it was sent with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// By class, how often something was in the request; none where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Hidden>,
    /// Nobody has said what it used: it is reckoned from its length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Why not all of it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
}

/// Why somebody did not look at all of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unseen {
    /// It is larger than what is copied.
    TooLarge,
    /// Copies of other calls take all the room that there is.
    Full,
    /// It is not what its path promises.
    Unreadable,
    /// It is packed in a way that is not known here.
    Packed,
}

impl Unseen {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Full => "full",
            Self::Unreadable => "unreadable",
            Self::Packed => "packed",
        }
    }
}

/// Tokens of a text of so many bytes, about.
#[must_use]
pub const fn estimated_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<WatchSpec, String> {
        let read: WatchSpec = serde_json::from_str(json).map_err(|wrong| wrong.to_string())?;
        read.check().map_err(|wrong| wrong.to_string())?;
        Ok(read)
    }

    /// Mutation: take what nobody can watch, or names that are not looked for.
    #[test]
    fn a_watch_is_an_address_and_how_to_count() {
        assert!(spec(r#"{"url":"https://api.openai.com/v1"}"#).is_ok());
        for (json, wanted) in [
            (r#"{"url":"ftp://h"}"#, "`url` is not an address"),
            (r#"{"url":"https://h/v1/../x"}"#, "`.` or `..`"),
            (r#"{"url":"https://h","dialect":"open-inference"}"#, "`dialect` is"),
            (r#"{"url":"https://h","provider":"a b"}"#, "`provider` has"),
            (r#"{"url":"https://h","concurrency":0}"#, "`concurrency` is 1 to"),
            (r#"{"url":"https://h","protect":{"media":"block"}}"#, "`protect` of a watch"),
            (r#"{"url":"https://h","protect":{"classes":{"emial":"mask"}}}"#, "emial"),
            (r#"{"url":"https://h","secret":"x"}"#, "unknown field"),
        ] {
            let wrong = spec(json).expect_err(json);
            assert!(wrong.contains(wanted), "{json}: {wrong}");
        }
    }

    /// Mutation: write a member that says nothing, rename one, or refuse a line of an older binary.
    #[test]
    fn entries_of_both_forms_are_read() {
        use crate::{Admitted, Entry};
        const OLD: &str = r#"{"type":"admitted","v":1,"call":"call_01a1fb7b-d522-7414-8c47-aa7df2bebacf","at":"2027-01-15T07:59:00.000Z","namespace":"sales","operation":"chat","asked":"m","plan":["m"],"streamed":false"#;
        let read = |line: &str| serde_json::from_str::<Entry>(line).expect("an entry");
        let old = read(&format!("{OLD}}}"));
        let Entry::Admitted(Admitted { needs, watched, .. }) = &old else { panic!("it is one") };
        assert_eq!((needs.is_nothing(), watched), (true, &None));
        assert_eq!(old.line(), format!("{OLD}}}\n").into_bytes());
        let new = format!(
            r#"{OLD},"needs":{{"outputTokens":9,"tools":1,"images":2,"schema":true,"elsewhere":true}},"watched":{{"by":"up","client":"1f6c09aa","found":{{"email":2}},"estimated":true,"unseen":"too-large"}}}}"#
        );
        assert_eq!(read(&new).line(), format!("{new}\n").into_bytes());
    }

    /// Mutation: let a rule block what is only to be counted.
    #[test]
    fn what_is_blocked_elsewhere_is_counted_here() {
        let json = r#"{"url":"https://h","protect":{"classes":{"card":"block","email":"pass"}}}"#;
        let rules = spec(json).expect("a watch").rules();
        assert_eq!(rules.action(Class::Card), Action::Redact);
        assert_eq!(rules.action(Class::Email), Action::Pass);
        assert_eq!(rules.action(Class::Iban), Action::Pseudonymise);
    }

    /// Mutation: read one writing of `..` and not another, or take a name that has dots for one.
    #[test]
    fn a_path_does_not_lead_out_of_what_was_declared() {
        let at = |rest: &str| watched_path("/v1", rest, Some("a=..%2f"));
        assert_eq!(at("/models/a..b/.c").as_deref(), Some("/v1/models/a..b/.c?a=..%2f"));
        assert_eq!(at("//evil.example/x").as_deref(), Some("/v1//evil.example/x?a=..%2f"));
        assert_eq!(watched_path("", "", None).as_deref(), Some("/"));
        for rest in [
            "/..",
            "/../admin",
            "/a/./b",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a%2f..%2fb",
            "/a/..%5cb",
            "/a\\..\\b",
            "/..;x/b",
            "/%252e%252e/x",
            "/%25252525252e/x",
        ] {
            assert_eq!(at(rest), None, "{rest}");
        }
    }

    /// Mutation: find a watch in another path, or lose the slash behind it.
    #[test]
    fn a_path_names_a_watch() {
        let of = |path| watch_of(path).map(|(space, name, rest)| format!("{space} {name} {rest}"));
        assert_eq!(of("/watch/sales/openai/v1/x").as_deref(), Some("sales openai /v1/x"));
        assert_eq!(of("/watch/sales/openai").as_deref(), Some("sales openai "));
        assert_eq!(of("/watch/sales/openai//x").as_deref(), Some("sales openai //x"));
        for path in ["/watch", "/watch/", "/watch/sales", "/watch/sales/", "/watch/../openai/x"] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    /// Mutation: take the end of a longer word for an operation.
    #[test]
    fn an_operation_is_known_by_the_end_of_its_path() {
        let of = |path| watched_operation(Dialect::OpenAi, path);
        assert_eq!(of("/v1/chat/completions"), Some(Operation::Chat));
        assert_eq!(of("/openai/deployments/x/chat/completions"), Some(Operation::Chat));
        assert_eq!(of("/v1/completions/"), Some(Operation::Completions));
        assert_eq!(of("/v1/messages"), None);
        assert_eq!(of("/v1/models"), None);
        assert_eq!(of("/v1/mycompletions"), None);
        let messages = watched_operation(Dialect::Anthropic, "/v1/messages");
        assert_eq!(messages, Some(Operation::Messages));
    }
}
