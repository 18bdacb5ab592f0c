//! References in a question: an `id` that stands for something that is kept elsewhere, of a size that nobody here
//! knows.
//!
//! Most are none. A call of a tool has an `id` so that its result can name it, and is itself in the text; who
//! calls tools sends them again with each turn.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::operation::Operation;

/// Members that point elsewhere, whatever is around them.
const ELSEWHERE: [&str; 7] = [
    "\"file_id\"",
    "\"file_url\"",
    "\"image_url\"",
    "\"input_audio\"",
    "\"item_reference\"",
    "\"container_upload\"",
    "\"source\"",
];

/// What each request is searched for. Made once: that takes longer than the search in a short text.
static FINDERS: LazyLock<Finders> = LazyLock::new(|| Finders {
    elsewhere: ELSEWHERE.map(Finder::new),
    id: Finder::new("\"id\""),
    escape: Finder::new("\\u00"),
});

struct Finders {
    elsewhere: [Finder<'static>; ELSEWHERE.len()],
    id: Finder<'static>,
    escape: Finder<'static>,
}

/// The words of it that point elsewhere.
pub(crate) fn pointers(text: &str) -> impl Iterator<Item = &'static str> {
    let words = FINDERS.elsewhere.iter().zip(ELSEWHERE);
    words.filter(|(finder, _)| finder.find(text.as_bytes()).is_some()).map(|(_, word)| word)
}

/// Whether an `id` in it stands for something elsewhere, or a member that does is written with escapes, so that
/// it is not to be seen as a word.
pub(crate) fn refers(operation: Operation, text: &str) -> bool {
    let has = |finder: &Finder<'_>| finder.find(text.as_bytes()).is_some();
    if !has(&FINDERS.id) && !has(&FINDERS.escape) {
        return false;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let walk = Walk { operation, below: Cow::Borrowed("") };
    // It was read as JSON before. What lies too deep is not understood.
    walk.deserialize(&mut reader).map_or(true, |seen| seen.refers)
}

/// What is known of a value when it is behind.
#[derive(Default)]
struct Seen<'a> {
    refers: bool,
    /// What it says, where it is a text.
    text: Option<Cow<'a, str>>,
}

/// Goes through a value without keeping it.
struct Walk<'a> {
    operation: Operation,
    /// The member that it is, or is in a list of.
    below: Cow<'a, str>,
}

impl Walk<'_> {
    /// Whether an object of this type, here, has all of itself in the text, though it has an `id`.
    fn is_whole(&self, kind: Option<&str>) -> bool {
        match self.operation {
            // What was said before by sound is kept by its id.
            Operation::Chat => self.below != "audio",
            Operation::Messages | Operation::Infer => true,
            Operation::Responses => matches!(
                kind,
                Some(
                    "message"
                        | "function_call"
                        | "function_call_output"
                        | "custom_tool_call"
                        | "custom_tool_call_output"
                )
            ),
            Operation::Completions | Operation::Embeddings => false,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Seen<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Seen<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Seen<'de>, E> {
        Ok(Seen::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Seen<'de>, E> {
        Ok(Seen::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen<'de>, E> {
        Ok(Seen::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Seen<'de>, E> {
        Ok(Seen::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen<'de>, E> {
        Ok(Seen::default())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Seen<'de>, E> {
        Ok(Seen { refers: false, text: Some(Cow::Borrowed(text)) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Seen<'de>, E> {
        Ok(Seen { refers: false, text: Some(Cow::Owned(text.to_owned())) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Seen<'de>, A::Error> {
        let mut refers = false;
        let walk = || Walk { operation: self.operation, below: Cow::Borrowed(&*self.below) };
        while let Some(one) = list.next_element_seed(walk())? {
            refers |= one.refers;
        }
        Ok(Seen { refers, text: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen<'de>, A::Error> {
        let (mut refers, mut has_id) = (false, false);
        let mut kind = None;
        while let Some(Text(name)) = map.next_key()? {
            let is_escaped = matches!(name, Cow::Owned(_));
            refers |= is_escaped && ELSEWHERE.iter().any(|it| it.trim_matches('"') == name);
            has_id |= name == "id";
            let is_kind = name == "type";
            let one = map.next_value_seed(Walk { operation: self.operation, below: name })?;
            refers |= one.refers;
            if is_kind && kind.replace(one.text).is_some() {
                return Err(A::Error::custom("`type` stands there twice"));
            }
        }
        let kind = kind.flatten();
        refers |= has_id && !self.is_whole(kind.as_deref());
        Ok(Seen { refers, text: None })
    }
}

/// A text, and no copy of it where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(operation: Operation, text: &str, expected: bool) {
        assert_eq!(refers(operation, text), expected, "{text}");
    }

    /// Mutation: take the call of a tool for a reference.
    #[test]
    fn a_conversation_with_tools_is_all_in_the_text() {
        let chat = r#"[{"role":"assistant","tool_calls":[{"id":"c","function":{"arguments":"{\"id\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}]"#;
        check(Operation::Chat, chat, false);
        let messages =
            r#"[{"role":"assistant","content":[{"id":"t","input":{"id":7},"type":"tool_use"}]}]"#;
        check(Operation::Messages, messages, false);
        let responses = r#"[{"type":"function_call","id":"f","call_id":"c","arguments":"{}"},{"type":"message","id":"m","content":[]}]"#;
        check(Operation::Responses, responses, false);
        check(Operation::Chat, r#"[{"content":"Z\u00fcrich"}]"#, false);
    }

    /// Mutation: believe any `id`, look for words only as they are written without escapes, or believe the
    /// second of two types.
    #[test]
    fn what_an_id_stands_for_is_elsewhere() {
        check(Operation::Chat, r#"[{"role":"assistant","audio":{"id":"a"}}]"#, true);
        check(Operation::Chat, r#"[{"audio":null,"id":"m","content":"\u0041"}]"#, false);
        for item in [
            r#"{"id":"m"}"#,
            r#"{"\u0069d":"m"}"#,
            r#"{"type":"reasoning","id":"r"}"#,
            r#"{"type":null,"id":"m"}"#,
            r#"{"type":"message","type":"item_reference","id":"m"}"#,
            r#"{"type":"message","content":[{"file\u005fid":"f"}]}"#,
        ] {
            check(Operation::Responses, &format!("[{item}]"), true);
        }
        let deep = format!(r#"{}{{"id":1}}{}"#, "[".repeat(200), "]".repeat(200));
        check(Operation::Responses, &deep, true);
    }
}
