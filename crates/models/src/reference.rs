//! What of a question is not in its text: images, recordings and files, and an `id` that stands for something that
//! is kept elsewhere, of a size that nobody here knows.
//!
//! Most ids are none of these. A call of a tool has an `id` so that its result can name it, and is itself in the
//! text; who calls tools sends them again with each turn.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::operation::Operation;

/// Members that point elsewhere, or hold what is no text.
const ELSEWHERE: [&str; 9] = [
    "file_id",
    "file_url",
    "file_data",
    "video_url",
    "audio_url",
    "document_url",
    "input_audio",
    "input_video",
    "item_reference",
];

/// Types of parts that do.
const KINDS: [&str; 11] = [
    "audio",
    "container_upload",
    "file",
    "image_file",
    "input_audio",
    "input_file",
    "input_video",
    "item_reference",
    "media",
    "video",
    "video_url",
];

/// With none of these words, and no escapes, there is nothing to be found. They are looked for with their quotes.
const WORDS: [&str; 20] = [
    "\"audio\"",
    "\"audio_url\"",
    "\"container_upload\"",
    "\"document\"",
    "\"document_url\"",
    "\"file\"",
    "\"file_data\"",
    "\"file_id\"",
    "\"file_url\"",
    "\"id\"",
    "\"image\"",
    "\"image_file\"",
    "\"image_url\"",
    "\"input_audio\"",
    "\"input_file\"",
    "\"input_video\"",
    "\"item_reference\"",
    "\"media\"",
    "\"source\"",
    "\"video",
];

/// Made once: that takes longer than the search in a short text.
static FINDERS: LazyLock<[Finder<'static>; WORDS.len()]> = LazyLock::new(|| WORDS.map(Finder::new));

static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u00"));

/// Of a text, as much is kept as says what it is: `data:image/`, or the type of a part.
const KEPT_BYTES: usize = 32;

/// What is not in the text of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Beyond {
    /// Images that are there as a whole.
    pub images: u64,
    /// Whether anything else is, or is elsewhere.
    pub elsewhere: bool,
}

/// Too much is found rather than too little.
pub(crate) fn beyond(operation: Operation, text: &str) -> Beyond {
    let has = |finder: &Finder<'_>| finder.find(text.as_bytes()).is_some();
    if !FINDERS.iter().any(has) && !has(&ESCAPE) {
        return Beyond::default();
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let walk = Walk { operation, below: Cow::Borrowed("") };
    // It was read as JSON before. What lies too deep is not understood.
    let unread = Beyond { images: 0, elsewhere: true };
    walk.deserialize(&mut reader).map_or(unread, |seen| seen.beyond)
}

/// What is known of a value when it is behind.
#[derive(Default)]
struct Seen<'a> {
    beyond: Beyond,
    is_null: bool,
    is_map: bool,
    /// How it begins, where it is a text.
    text: Option<Cow<'a, str>>,
    /// The same of members of it.
    kind: Option<Cow<'a, str>>,
    url: Option<Cow<'a, str>>,
    media_type: Option<Cow<'a, str>>,
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

impl Beyond {
    const ELSEWHERE: Self = Self { images: 0, elsewhere: true };
    const IMAGE: Self = Self { images: 1, elsewhere: false };

    const fn and(self, other: Self) -> Self {
        let images = self.images.saturating_add(other.images);
        Self { images, elsewhere: self.elsewhere || other.elsewhere }
    }

    /// What a member adds by its name to what is in its value.
    fn of_member(name: &str, value: &Seen<'_>) -> Self {
        match name {
            _ if value.is_null => Self::default(),
            "image_url" => {
                let address = value.text.as_deref().or(value.url.as_deref());
                let is_inside = address.is_some_and(|it| it.starts_with("data:image/"));
                if is_inside { Self::IMAGE } else { Self::ELSEWHERE }
            }
            // Of the Messages API. A tool may have an argument of this name.
            "source" if value.is_map => match value.kind.as_deref() {
                Some("base64") if starts(&value.media_type, "image/") => Self::IMAGE,
                Some("text" | "content") | None => Self::default(),
                Some(_) => Self::ELSEWHERE,
            },
            name if ELSEWHERE.contains(&name) => Self::ELSEWHERE,
            _ => Self::default(),
        }
    }
}

fn starts(text: &Option<Cow<'_, str>>, with: &str) -> bool {
    text.as_deref().is_some_and(|it| it.starts_with(with))
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
        Ok(Seen { is_null: true, ..Seen::default() })
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
        Ok(Seen { text: Some(Cow::Borrowed(text)), ..Seen::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Seen<'de>, E> {
        let start = &text[..text.floor_char_boundary(KEPT_BYTES)];
        Ok(Seen { text: Some(Cow::Owned(start.to_owned())), ..Seen::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Seen<'de>, A::Error> {
        let mut beyond = Beyond::default();
        let walk = || Walk { operation: self.operation, below: Cow::Borrowed(&*self.below) };
        while let Some(one) = list.next_element_seed(walk())? {
            beyond = beyond.and(one.beyond);
        }
        Ok(Seen { beyond, ..Seen::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen<'de>, A::Error> {
        let mut seen = Seen { is_map: true, ..Seen::default() };
        let (mut has_id, mut has_content, mut has_kind) = (false, false, false);
        while let Some(Text(name)) = map.next_key()? {
            let walk = Walk { operation: self.operation, below: Cow::Borrowed(&*name) };
            let one = map.next_value_seed(walk)?;
            seen.beyond = seen.beyond.and(one.beyond).and(Beyond::of_member(&name, &one));
            match &*name {
                "id" => has_id = true,
                "image_url" | "source" => has_content = true,
                "type" if std::mem::replace(&mut has_kind, true) => {
                    return Err(A::Error::custom("`type` stands there twice"));
                }
                "type" => seen.kind = one.text,
                "url" => seen.url = one.text,
                "media_type" => seen.media_type = one.text,
                _ => {}
            }
        }
        let kind = seen.kind.as_deref();
        let is_elsewhere = match kind {
            // What it shows is in another member.
            Some("image" | "input_image" | "document") => !has_content,
            Some(kind) => KINDS.contains(&kind),
            None => false,
        };
        if is_elsewhere || has_id && !self.is_whole(kind) {
            seen.beyond.elsewhere = true;
        }
        Ok(seen)
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
        assert_eq!(beyond(operation, text).elsewhere, expected, "{text}");
    }

    /// Mutation: overlook any of the words, count an image by another one's address, or take an argument of a tool
    /// for the place of a file.
    #[test]
    fn what_is_no_text_is_told_by_the_part_that_it_is_in() {
        let (none, image) = (Beyond::default(), Beyond::IMAGE);
        let data = "data:image/png;base64,AAAA";
        for (part, expected) in [
            (r#"{"type":"text","text":"\u0022data:image/png \"image_url\""}"#.to_owned(), none),
            (format!(r#"{{"type":"image_url","image_url":{{"url":"{data}"}}}}"#), image),
            (format!(r#"{{"type":"input_image","image_url":"{data}"}}"#), image),
            (
                r#"{"type":"input_image","image_url":"data:image\/png;base64,AAAA"}"#.to_owned(),
                image,
            ),
            (
                r#"{"type":"input_image","image_url":"https://x/y.png"}"#.to_owned(),
                Beyond::ELSEWHERE,
            ),
            (
                r#"{"type":"image","source":{"type":"base64","media_type":"image/png"}}"#
                    .to_owned(),
                image,
            ),
            (
                r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf"}}"#
                    .to_owned(),
                Beyond::ELSEWHERE,
            ),
            (r#"{"type":"document","source":{"type":"text","data":"x"}}"#.to_owned(), none),
            (
                r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#.to_owned(),
                Beyond::ELSEWHERE,
            ),
            (r#"{"type":"tool_use","input":{"source":"here"}}"#.to_owned(), none),
            (
                r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,AA"}}"#
                    .to_owned(),
                Beyond::ELSEWHERE,
            ),
            (r#"{"type":"input_file","filename":"a"}"#.to_owned(), Beyond::ELSEWHERE),
            (
                r#"{"type":"video_url","video_url":{"url":"https://x"}}"#.to_owned(),
                Beyond::ELSEWHERE,
            ),
            (
                r#"{"type":"audio_url","audio_url":{"url":"https://x"}}"#.to_owned(),
                Beyond::ELSEWHERE,
            ),
            (r#"{"type":"document_url","document_url":"https://x"}"#.to_owned(), Beyond::ELSEWHERE),
            (r#"{"type":"image","image":"https://x"}"#.to_owned(), Beyond::ELSEWHERE),
            (r#"{"type":"vide\u006f","of":"x"}"#.to_owned(), Beyond::ELSEWHERE),
            (r#"{"file_id":null,"text":"x"}"#.to_owned(), none),
        ] {
            let text = format!(r#"[{{"role":"user","content":[{part}]}}]"#);
            assert_eq!(beyond(Operation::Chat, &text), expected, "{text}");
        }
        let both = format!(
            r#"[{{"image_url":"{data}"}},{{"image_url":"{data}"}},{{"image_url":"https://x"}}]"#
        );
        let expected = Beyond { images: 2, elsewhere: true };
        assert_eq!(beyond(Operation::Responses, &both), expected);
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
