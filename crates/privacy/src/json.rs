//! JSON of any shape: its texts are rewritten in place, all else stays byte for byte.
//!
//! Texts that are JSON themselves (arguments of tool calls) are walked, too. What is rewritten, and how,
//! is the business of who implements `Rewrite`.

use std::borrow::Cow;

use memchr::memchr2;

use crate::detect::secret;
use crate::edit::{self, Edit};
use crate::known::Known;
use crate::refusal::Refusal;
use crate::shield::{Shield, bounded};
use crate::steps;
use crate::vault::Vault;

/// Objects and arrays in one another, those within texts included: the stack has an end.
pub const JSON_DEPTH_MAX: usize = 128;

/// JSON within texts of JSON. Arguments of a call that a tool passes on to a tool are two.
pub const JSON_NESTED_MAX: usize = 4;

/// A picture or recording within a document.
pub const DATA_URL_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Paths that nothing is looked for at: `model`, `messages.*.role`. One bit each, so 64 at most.
pub const EXEMPT_PATHS_MAX: usize = 64;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExemptError {
    #[error("{count} exempt paths are more than {EXEMPT_PATHS_MAX}")]
    TooMany { count: usize },
    #[error("exempt path {index} has an empty part")]
    Empty { index: usize },
}

/// Places of a document with all below them: those that are left alone, such as names of models, roles and
/// ids, or those that hold a program's own data. A part is a key, or `*` for any key and any place of an
/// array. Within texts nothing is exempt.
#[derive(Debug, Clone, Default)]
pub struct Exempt(Vec<Vec<String>>);

impl Exempt {
    pub fn new(paths: &[&str]) -> Result<Self, ExemptError> {
        if paths.len() > EXEMPT_PATHS_MAX {
            return Err(ExemptError::TooMany { count: paths.len() });
        }
        let parts = |path: &&str| path.split('.').map(str::to_owned).collect::<Vec<String>>();
        let paths: Vec<Vec<String>> = paths.iter().map(parts).collect();
        match paths.iter().position(|path| path.iter().any(String::is_empty)) {
            Some(index) => Err(ExemptError::Empty { index }),
            None => Ok(Self(paths)),
        }
    }
}

/// The exempt paths that fit so far.
#[derive(Debug, Clone, Copy)]
struct Trail {
    fitting: u64,
    depth: usize,
    is_listed: bool,
}

impl Trail {
    fn start(exempt: &Exempt) -> Self {
        let fitting = if exempt.0.is_empty() { 0 } else { u64::MAX >> (64 - exempt.0.len()) };
        Self { fitting, depth: 0, is_listed: false }
    }

    /// One step down; arrays have no key.
    fn down(self, exempt: &Exempt, key: Option<&str>) -> Self {
        let mut next = Self { fitting: 0, depth: self.depth + 1, ..self };
        if self.fitting == 0 || self.is_listed {
            return next;
        }
        for (i, path) in exempt.0.iter().enumerate().filter(|(i, _)| self.fitting >> i & 1 == 1) {
            let part = path.get(self.depth);
            if part.is_some_and(|part| part == "*" || Some(part.as_str()) == key) {
                next.fitting |= 1 << i;
                next.is_listed |= path.len() == next.depth;
            }
        }
        next
    }
}

/// What becomes of the parts of a document.
pub(crate) trait Rewrite {
    /// Edits within a text.
    fn text(&mut self, text: &str, hint: &str) -> Result<Vec<Edit>, Refusal>;

    /// The same of a key, which may be a value, too: a map of people by their address.
    fn key(&mut self, key: &str) -> Result<Vec<Edit>, Refusal> {
        self.text(key, "")
    }

    /// The text that stands for a number.
    fn number(&mut self, number: &str, hint: &str) -> Result<Option<String>, Refusal>;

    /// The number that stands for a whole text of somebody's own data.
    fn to_number(&self, _text: &str) -> Option<String> {
        None
    }

    /// What the listed places hold: words to be left alone, or data like that within texts.
    fn listed(&self) -> Listed {
        Listed::Words
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Words,
    Data,
}

/// All edits of a document.
pub(crate) fn edits(
    document: &str,
    exempt: &Exempt,
    rewrite: &mut dyn Rewrite,
) -> Result<Vec<Edit>, Refusal> {
    bounded(document.len())?;
    let mut walk = Walk { text: document, exempt, rewrite, edits: Vec::new(), nested: 0, outer: 0 };
    walk.document(Trail::start(exempt), "")?;
    Ok(walk.edits)
}

struct Walk<'a, 'r> {
    text: &'a str,
    exempt: &'r Exempt,
    rewrite: &'r mut dyn Rewrite,
    edits: Vec<Edit>,
    /// How many texts this document is within.
    nested: usize,
    /// How deep it lies within those.
    outer: usize,
}

impl<'a> Walk<'a, '_> {
    fn document(&mut self, trail: Trail, hint: &str) -> Result<(), Refusal> {
        let start = self.blanks(0);
        let end = self.value(start, trail, hint)?;
        let end = self.blanks(end);
        if end == self.text.len() { Ok(()) } else { Err(Refusal::NotJson { at: end }) }
    }

    fn passes(&self, trail: Trail) -> bool {
        trail.is_listed && self.rewrite.listed() == Listed::Words
    }

    fn byte(&self, place: usize) -> u8 {
        self.text.as_bytes().get(place).copied().unwrap_or(0)
    }

    fn blanks(&self, place: usize) -> usize {
        let rest = &self.text.as_bytes()[place..];
        let count = rest.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        steps::add(count + 1);
        place + count
    }

    /// Behind the sign that must stand here, after blanks.
    fn expect(&self, place: usize, sign: u8) -> Result<usize, Refusal> {
        let place = self.blanks(place);
        if self.byte(place) == sign { Ok(place + 1) } else { Err(Refusal::NotJson { at: place }) }
    }

    fn value(&mut self, place: usize, trail: Trail, hint: &str) -> Result<usize, Refusal> {
        match self.byte(place) {
            b'{' => self.object(place + 1, trail),
            b'[' => self.array(place + 1, trail, hint),
            b'"' => self.string(place, trail, hint),
            b'-' | b'0'..=b'9' => self.number(place, trail, hint),
            _ => ["true", "false", "null"]
                .into_iter()
                .find(|word| self.text.as_bytes()[place..].starts_with(word.as_bytes()))
                .map(|word| place + word.len())
                .ok_or(Refusal::NotJson { at: place }),
        }
    }

    fn deeper(&self, trail: Trail) -> Result<(), Refusal> {
        if trail.depth + self.outer >= JSON_DEPTH_MAX {
            return Err(Refusal::TooDeep { most: JSON_DEPTH_MAX });
        }
        Ok(())
    }

    fn object(&mut self, place: usize, trail: Trail) -> Result<usize, Refusal> {
        self.deeper(trail)?;
        let mut place = self.blanks(place);
        if self.byte(place) == b'}' {
            return Ok(place + 1);
        }
        loop {
            let start = self.blanks(place);
            if self.byte(start) != b'"' {
                return Err(Refusal::NotJson { at: start });
            }
            let (end, key) = self.literal(start)?;
            let below = trail.down(self.exempt, Some(&key.text));
            // A key may be a value, too: a map of people by their address.
            if !self.passes(trail) && !self.passes(below) {
                let edits = self.rewrite.key(&key.text)?;
                self.take_in(start, &key, edits);
            }
            let colon = self.expect(end, b':')?;
            let value = self.blanks(colon);
            let end = self.value(value, below, &key.text)?;
            place = self.blanks(end);
            match self.byte(place) {
                b',' => place += 1,
                b'}' => return Ok(place + 1),
                _ => return Err(Refusal::NotJson { at: place }),
            }
        }
    }

    fn array(&mut self, place: usize, trail: Trail, hint: &str) -> Result<usize, Refusal> {
        self.deeper(trail)?;
        let below = trail.down(self.exempt, None);
        let mut place = self.blanks(place);
        if self.byte(place) == b']' {
            return Ok(place + 1);
        }
        loop {
            let value = self.blanks(place);
            let end = self.value(value, below, hint)?;
            place = self.blanks(end);
            match self.byte(place) {
                b',' => place += 1,
                b']' => return Ok(place + 1),
                _ => return Err(Refusal::NotJson { at: place }),
            }
        }
    }

    fn number(&mut self, start: usize, trail: Trail, hint: &str) -> Result<usize, Refusal> {
        let end = number_end(self.text.as_bytes(), start).ok_or(Refusal::NotJson { at: start })?;
        let number = &self.text[start..end];
        if !self.passes(trail)
            && number.len() > 3
            && let Some(text) = self.rewrite.number(number, hint)?
        {
            self.edits.push(Edit { range: start..end, text: format!("\"{}\"", escaped(&text)) });
        }
        Ok(end)
    }

    fn string(&mut self, start: usize, trail: Trail, hint: &str) -> Result<usize, Refusal> {
        let (end, literal) = self.literal(start)?;
        if self.passes(trail) || is_data(&literal.text)? && !secret::is_name(hint) {
            return Ok(end);
        }
        // A text of the interface stays one.
        let is_own = self.nested > 0 || trail.is_listed;
        if is_own && let Some(number) = self.rewrite.to_number(&literal.text) {
            self.edits.push(Edit { range: start..end, text: number });
            return Ok(end);
        }
        if !self.nested_json(start, &literal, trail.depth)? {
            let edits = self.rewrite.text(&literal.text, hint)?;
            self.take_in(start, &literal, edits);
        }
        Ok(end)
    }

    /// Walks a text that is JSON itself. `false` where it is not.
    fn nested_json(
        &mut self,
        start: usize,
        it: &Literal<'_>,
        depth: usize,
    ) -> Result<bool, Refusal> {
        let text = it.text.trim_start_matches([' ', '\t', '\r', '\n']);
        if !text.starts_with(['{', '[']) {
            return Ok(false);
        }
        if self.nested == JSON_NESTED_MAX {
            return Err(Refusal::TooDeep { most: JSON_NESTED_MAX });
        }
        let exempt = Exempt::default();
        let mut inner = Walk {
            text: &it.text,
            exempt: &exempt,
            rewrite: self.rewrite,
            edits: Vec::new(),
            nested: self.nested + 1,
            outer: self.outer + depth,
        };
        match inner.document(Trail::start(&exempt), "") {
            Ok(()) => {
                let edits = std::mem::take(&mut inner.edits);
                self.take_in(start, it, edits);
                Ok(true)
            }
            Err(Refusal::NotJson { .. }) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// Edits of a text as edits of the document that holds it.
    fn take_in(&mut self, start: usize, literal: &Literal<'_>, edits: Vec<Edit>) {
        let place = |at: usize| start + 1 + literal.raw(at);
        self.edits.extend(edits.into_iter().map(|edit| Edit {
            range: place(edit.range.start)..place(edit.range.end),
            text: escaped(&edit.text).into_owned(),
        }));
    }

    /// The text whose quote stands at `start`, and where it ends.
    fn literal(&self, start: usize) -> Result<(usize, Literal<'a>), Refusal> {
        let (bytes, open) = (self.text.as_bytes(), start + 1);
        let bad = |at: usize| Refusal::NotJson { at };
        let mut literal = Literal { text: Cow::Borrowed(""), jumps: Vec::new() };
        let mut place = open;
        loop {
            let next = memchr2(b'"', b'\\', &bytes[place..]).ok_or(bad(bytes.len()))? + place;
            if let Some(at) = bytes[place..next].iter().position(|byte| *byte < b' ') {
                return Err(bad(place + at));
            }
            let piece = &self.text[place..next];
            steps::add(piece.len() + 1);
            if bytes[next] == b'"' {
                if literal.jumps.is_empty() {
                    literal.text = Cow::Borrowed(piece);
                } else {
                    literal.text.to_mut().push_str(piece);
                }
                return Ok((next + 1, literal));
            }
            let (sign, end) = escape(bytes, next + 1).ok_or(bad(next))?;
            let text = literal.text.to_mut();
            text.push_str(piece);
            text.push(sign);
            literal.jumps.push((text.len(), end - open));
            place = end;
        }
    }
}

/// A text of JSON without its escapes.
struct Literal<'a> {
    text: Cow<'a, str>,
    /// Behind each escape: the place in the text, and that in the document behind the quote.
    jumps: Vec<(usize, usize)>,
}

impl Literal<'_> {
    /// Where a place of the text lies in the document.
    fn raw(&self, place: usize) -> usize {
        let before = self.jumps.partition_point(|(text, _)| *text <= place);
        before.checked_sub(1).map_or(place, |last| {
            let (text, raw) = self.jumps[last];
            raw + place - text
        })
    }
}

/// The sign that the escape behind the backslash stands for, and where it ends.
fn escape(bytes: &[u8], place: usize) -> Option<(char, usize)> {
    let sign = match bytes.get(place)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(bytes, place + 1),
        _ => return None,
    };
    Some((sign, place + 1))
}

fn unicode(bytes: &[u8], place: usize) -> Option<(char, usize)> {
    let unit = |place: usize| {
        let digits = bytes.get(place..place + 4)?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(place)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first.into())?, place + 4));
    }
    if bytes.get(place + 4..place + 6)? != b"\\u" {
        return None;
    }
    let sign = char::decode_utf16([first, unit(place + 6)?]).next()?.ok()?;
    Some((sign, place + 10))
}

/// A text as it stands between quotes.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    if !text.as_bytes().iter().any(special) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for sign in text.chars() {
        match sign {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            sign if sign < ' ' => written.push_str(&format!("\\u{:04x}", u32::from(sign))),
            sign => written.push(sign),
        }
    }
    Cow::Owned(written)
}

fn number_end(bytes: &[u8], start: usize) -> Option<usize> {
    let byte = |place: usize| bytes.get(place).copied().unwrap_or(0);
    let digits = |place: usize| {
        let count =
            bytes[place.min(bytes.len())..].iter().take_while(|it| it.is_ascii_digit()).count();
        (count > 0).then_some(place + count)
    };
    let first = if byte(start) == b'-' { start + 1 } else { start };
    let mut end = if byte(first) == b'0' { first + 1 } else { digits(first)? };
    if byte(end) == b'.' {
        end = digits(end + 1)?;
    }
    if matches!(byte(end), b'e' | b'E') {
        let sign = usize::from(matches!(byte(end + 1), b'+' | b'-'));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

/// A text of base64 alone that is as long holds bytes: an image, a recording. Keys and numbers are shorter.
const BASE64_BYTES_MIN: usize = 256;

/// Chance makes no such run of digits, not in a hundred megabytes: it is the number of a card or an account.
const NUMBER_DIGITS_MIN: usize = 14;

fn has_long_number(text: &[u8]) -> bool {
    steps::add(text.len());
    text.split(|byte| !byte.is_ascii_digit()).any(|run| run.len() >= NUMBER_DIGITS_MIN)
}

/// `data:image/png;base64,…` and nothing else, or the base64 alone: bytes, not text.
fn is_data(text: &str) -> Result<bool, Refusal> {
    let is_body = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let Some((head, body)) =
        text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"))
    else {
        let body = text.trim_end_matches('=');
        // A repeated word, or digits alone, are no bytes of a file.
        let kinds = [u8::is_ascii_digit, u8::is_ascii_uppercase, u8::is_ascii_lowercase];
        return Ok(text.len() >= BASE64_BYTES_MIN
            && text.len().is_multiple_of(4)
            && text.len() - body.len() <= 2
            && kinds.iter().all(|is| body.bytes().any(|byte| is(&byte)))
            && !has_long_number(body.as_bytes())
            && text.bytes().all(is_body));
    };
    let is_head = |byte: u8| byte.is_ascii_alphanumeric() || b"/.+-;=".contains(&byte);
    if head.len() > DATA_URL_HEAD_MAX || !head.bytes().all(is_head) || !body.bytes().all(is_body) {
        return Ok(false);
    }
    if body.len() > DATA_URL_BYTES_MAX {
        return Err(Refusal::TooLarge { bytes: body.len(), most: DATA_URL_BYTES_MAX });
    }
    Ok(true)
}

/// The type of what a data URL holds; a longer one is a text in disguise.
const DATA_URL_HEAD_MAX: usize = 64;

struct Protecting<'a> {
    shield: &'a Shield,
    vault: &'a mut Vault,
    known: Option<&'a Known>,
}

impl Rewrite for Protecting<'_> {
    fn text(&mut self, text: &str, hint: &str) -> Result<Vec<Edit>, Refusal> {
        self.shield.edits(self.vault, text, hint, self.known)
    }

    /// What stands elsewhere as a value is the name of a field here.
    fn key(&mut self, key: &str) -> Result<Vec<Edit>, Refusal> {
        self.shield.edits(self.vault, key, "", None)
    }

    fn number(&mut self, number: &str, hint: &str) -> Result<Option<String>, Refusal> {
        self.shield.number(self.vault, number, hint, self.known)
    }
}

/// Looks whether something is left of what is known.
struct Seeking<'a> {
    known: &'a Known,
    is_there: bool,
}

impl Seeking<'_> {
    fn finds(known: &Known, document: &str, exempt: &Exempt) -> Result<bool, Refusal> {
        let mut seeking = Seeking { known, is_there: false };
        if known.may_be_in(document) {
            edits(document, exempt, &mut seeking)?;
        }
        Ok(seeking.is_there)
    }
}

impl Rewrite for Seeking<'_> {
    fn text(&mut self, text: &str, _: &str) -> Result<Vec<Edit>, Refusal> {
        self.is_there = self.is_there || self.known.places(text).next().is_some();
        Ok(Vec::new())
    }

    fn key(&mut self, _: &str) -> Result<Vec<Edit>, Refusal> {
        Ok(Vec::new())
    }

    fn number(&mut self, number: &str, _: &str) -> Result<Option<String>, Refusal> {
        self.is_there = self.is_there || self.known.of_number(number).is_some();
        Ok(None)
    }
}

impl Shield {
    /// The document as it may leave. It stays JSON; a number that is hidden becomes a text.
    pub fn protect_json<'a>(
        &self,
        vault: &mut Vault,
        document: &'a [u8],
        exempt: &Exempt,
    ) -> Result<Cow<'a, str>, Refusal> {
        let text = std::str::from_utf8(document)
            .map_err(|error| Refusal::NotUtf8 { at: error.valid_up_to() })?;
        let before = vault.begins();
        let first = edits(text, exempt, &mut Protecting { shield: self, vault, known: None })?;
        let first = edit::apply(text, &first);
        let (told, is_one) = vault.told();
        let Some(known) = Known::of(told) else { return Ok(first) };
        if is_one && !Seeking::finds(&known, &first, exempt)? {
            return Ok(first);
        }
        vault.again(before);
        let known = Some(&known);
        let all = edits(text, exempt, &mut Protecting { shield: self, vault, known })?;
        Ok(edit::apply(text, &all))
    }
}
