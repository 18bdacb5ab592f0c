//! JSON that comes in pieces: what counts is what its texts say, not how they are written.
//!
//! Each text is unescaped as it comes, looked through under its key, and written as JSON again; a text that is JSON
//! itself is walked, too. What turns out to be no JSON is given back, to be looked through as it stands.

use memchr::memchr2;
use privacy::{Form, Hidden, JSON_DEPTH_MAX, Refusal, Vault};
use serde_json::value::RawValue;

use super::text::{Rules, Text, Within, add, is_blank};

/// The longest number that is one, with blanks behind it. The longest of a protocol has some 300 digits.
const NUMBER_BYTES_MAX: usize = 4 * 1024;

/// How much of a key says what its value is.
const HINT_BYTES_MAX: usize = 1024;

pub(super) struct Json {
    rules: Rules,
    nested: usize,
    /// Objects and arrays around it.
    outer: usize,
    frames: Vec<Frame>,
    wants: Wants,
    /// What has come of a number or a word, and of blanks behind it: it is one where a comma or an end follows.
    token: String,
    literal: Option<Literal>,
    /// In texts that have ended.
    hidden: Hidden,
}

struct Frame {
    is_object: bool,
    /// The key that the next value stands under.
    hint: String,
}

/// What must come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// It has ended.
    Nothing,
}

impl Json {
    pub(super) const fn new(rules: Rules, nested: usize, outer: usize) -> Self {
        Self {
            rules,
            nested,
            outer,
            frames: Vec::new(),
            wants: Wants::Value,
            token: String::new(),
            literal: None,
            hidden: Hidden::new(),
        }
    }

    /// The next piece. Gives what is no JSON, with all behind it.
    pub(super) fn push(
        &mut self,
        piece: &str,
        out: &mut String,
    ) -> Result<Option<String>, Refusal> {
        let mut rest = piece;
        while let Some(sign) = rest.chars().next() {
            if let Some(literal) = &mut self.literal {
                let Some(end) = literal.push(rest, out)? else { return Ok(None) };
                rest = &rest[end..];
                self.closed();
                continue;
            }
            let is_taken = if self.token.is_empty() {
                self.sign(sign, out)?
            } else {
                match self.token(sign, out)? {
                    // It comes again, behind the token.
                    Some(false) => continue,
                    Some(true) => true,
                    None => false,
                }
            };
            if !is_taken {
                return Ok(Some(format!("{}{rest}", std::mem::take(&mut self.token))));
            }
            rest = &rest[sign.len_utf8()..];
        }
        Ok(None)
    }

    /// A sign behind a token: whether it is of it, or comes again; nothing where it is no JSON.
    fn token(&mut self, sign: char, out: &mut String) -> Result<Option<bool>, Refusal> {
        let is_whole = self.token.ends_with(is_blank);
        let goes_on = is_blank(sign) || !is_whole && is_of_token(sign);
        if goes_on && self.token.len() < NUMBER_BYTES_MAX {
            self.token.push(sign);
            return Ok(Some(true));
        }
        let word = self.token.trim_end_matches(is_blank);
        if !matches!(sign, ',' | ']' | '}') || serde_json::from_str::<&RawValue>(word).is_err() {
            return Ok(None);
        }
        self.settle(out)?;
        self.wants = Wants::CommaOrEnd;
        Ok(Some(false))
    }

    /// A number that is hidden becomes a text.
    fn settle(&mut self, out: &mut String) -> Result<(), Refusal> {
        let token = std::mem::take(&mut self.token);
        let number = token.trim_end_matches(is_blank);
        let is_number =
            number.len() > 3 && number.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if let Some(shield) = self.rules.back.as_ref().filter(|_| is_number) {
            let hint = self.frames.last().map_or("", |frame| &frame.hint);
            // What is hidden in an answer has no stand-in: nobody restores it.
            let mut own = Vault::one_way();
            if let Some(text) = shield.number_of_answer(&mut own, number, hint)? {
                add(&mut self.hidden, own.hidden());
                out.push_str(&quoted(&text));
                out.push_str(&token[number.len()..]);
                return Ok(());
            }
        }
        out.push_str(&token);
        Ok(())
    }

    /// A sign outside of texts and tokens. False where it is no JSON.
    fn sign(&mut self, sign: char, out: &mut String) -> Result<bool, Refusal> {
        use Wants::{Colon, CommaOrEnd, Key, KeyOrEnd, Nothing, Value, ValueOrEnd};
        if is_blank(sign) {
            out.push(sign);
            return Ok(true);
        }
        let is_object = self.frames.last().is_some_and(|frame| frame.is_object);
        match (sign, self.wants) {
            // One document may follow another.
            ('{' | '[', Value | ValueOrEnd | Nothing) => {
                if self.outer + self.frames.len() >= JSON_DEPTH_MAX {
                    return Err(Refusal::TooDeep { most: JSON_DEPTH_MAX });
                }
                let hint = self.hint();
                self.frames.push(Frame { is_object: sign == '{', hint });
                self.wants = if sign == '{' { KeyOrEnd } else { ValueOrEnd };
            }
            ('}', KeyOrEnd) | (']', ValueOrEnd) => self.ended(),
            ('}', CommaOrEnd) if is_object => self.ended(),
            (']', CommaOrEnd) if !is_object => self.ended(),
            (',', CommaOrEnd) => self.wants = if is_object { Key } else { Value },
            (':', Colon) => self.wants = Value,
            ('"', Key | KeyOrEnd) => {
                self.literal = Some(Literal::key(self.rules.clone()));
            }
            ('"', Value | ValueOrEnd) => {
                let (nested, depth) = (self.nested + 1, self.outer + self.frames.len());
                let within = Within { hint: self.hint(), nested, depth };
                self.literal = Some(Literal::value(self.rules.clone(), within));
                return Ok(true);
            }
            (sign, Value | ValueOrEnd) if is_of_token(sign) && !self.frames.is_empty() => {
                self.token.push(sign);
                return Ok(true);
            }
            _ => return Ok(false),
        }
        out.push(sign);
        Ok(true)
    }

    fn hint(&self) -> String {
        self.frames.last().map_or_else(String::new, |frame| frame.hint.clone())
    }

    fn ended(&mut self) {
        self.frames.pop();
        self.wants = if self.frames.is_empty() { Wants::Nothing } else { Wants::CommaOrEnd };
    }

    /// A text has ended.
    fn closed(&mut self) {
        let Some(literal) = self.literal.take() else { return };
        add(&mut self.hidden, &literal.text.hidden());
        match (literal.key, self.frames.last_mut()) {
            (Some(key), Some(frame)) => (frame.hint, self.wants) = (key, Wants::Colon),
            (_, Some(_)) => self.wants = Wants::CommaOrEnd,
            (_, None) => self.wants = Wants::Nothing,
        }
    }

    /// What is left when it has ended, or was cut off.
    pub(super) fn finish(&mut self) -> Result<String, Refusal> {
        let mut out = String::new();
        if let Some(literal) = &mut self.literal {
            literal.cut(&mut out)?;
            self.closed();
        }
        self.settle(&mut out)?;
        Ok(out)
    }

    pub(super) fn holds(&self) -> bool {
        !self.token.is_empty() || self.literal.as_ref().is_some_and(Literal::holds)
    }

    pub(super) fn is_open(&self) -> bool {
        self.wants != Wants::Nothing
    }

    /// What was hidden so far.
    pub(super) fn hidden(&self) -> Hidden {
        let mut all = self.hidden.clone();
        self.literal.iter().for_each(|literal| add(&mut all, &literal.text.hidden()));
        all
    }
}

const fn is_of_token(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '-' | '+' | '.')
}

/// A text of JSON, from behind its first quote.
struct Literal {
    text: Text,
    /// What it says, where it is a key.
    key: Option<String>,
    /// What may be a stand-in and nothing else, with its quote before it: that of a number has no quotes.
    alone: Option<String>,
    /// What has come of an escape.
    escape: String,
    /// The first half of a letter that is written as two escapes.
    half: Option<u16>,
    rules: Rules,
    hint: String,
}

impl Literal {
    fn key(rules: Rules) -> Self {
        let mut it = Self::value(rules.clone(), Within::default());
        (it.text, it.key, it.alone) = (Text::plain(rules), Some(String::new()), None);
        it
    }

    fn value(rules: Rules, within: Within) -> Self {
        Self {
            hint: within.hint.clone(),
            text: Text::new(rules.clone(), Form::Text, within),
            key: None,
            alone: Some(String::new()),
            escape: String::new(),
            half: None,
            rules,
        }
    }

    /// The next piece, and where the text ends in it.
    fn push(&mut self, piece: &str, out: &mut String) -> Result<Option<usize>, Refusal> {
        let (mut said, mut at) = (String::new(), 0);
        while let Some(sign) = piece[at..].chars().next() {
            if !self.escape.is_empty() {
                self.escape.push(sign);
                at += sign.len_utf8();
                self.unescape(&mut said);
                continue;
            }
            let next =
                memchr2(b'"', b'\\', &piece.as_bytes()[at..]).map_or(piece.len(), |it| at + it);
            if next > at {
                self.lost(&mut said);
                said.push_str(&piece[at..next]);
                at = next;
                continue;
            }
            at += 1;
            if sign == '\\' {
                self.escape.push(sign);
                continue;
            }
            self.lost(&mut said);
            self.say(&said, out)?;
            self.ended(out)?;
            return Ok(Some(at));
        }
        self.say(&said, out)?;
        Ok(None)
    }

    /// Half a letter without its other half is none.
    fn lost(&mut self, said: &mut String) {
        if self.half.take().is_some() {
            said.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn unescape(&mut self, said: &mut String) {
        let escape = self.escape.as_bytes();
        let sign = match escape[1] {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' if escape.len() < 6 && escape[2..].iter().all(u8::is_ascii_hexdigit) => return,
            b'u' if escape.len() == 6 && escape[2..].iter().all(u8::is_ascii_hexdigit) => {
                let unit = u16::from_str_radix(&self.escape[2..], 16).unwrap_or_default();
                self.escape.clear();
                return self.unit(unit, said);
            }
            b'"' | b'\\' | b'/' => char::from(escape[1]),
            // No escape: it stands for itself.
            _ => {
                self.lost(said);
                said.push_str(&std::mem::take(&mut self.escape));
                return;
            }
        };
        self.escape.clear();
        self.lost(said);
        said.push(sign);
    }

    fn unit(&mut self, unit: u16, said: &mut String) {
        let half = match unit {
            0xdc00..0xe000 => self.half.take(),
            _ => None,
        };
        self.lost(said);
        if (0xd800..0xdc00).contains(&unit) {
            self.half = Some(unit);
            return;
        }
        let units = half.into_iter().chain([unit]);
        said.extend(char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }

    fn say(&mut self, said: &str, out: &mut String) -> Result<(), Refusal> {
        if let Some(key) = self.key.as_mut().filter(|key| key.len() < HINT_BYTES_MAX) {
            key.push_str(&said[..said.floor_char_boundary(HINT_BYTES_MAX)]);
        }
        let Some(mut alone) = self.alone.take() else {
            let passed = self.text.push(said)?;
            out.push_str(&escaped(&passed));
            return Ok(());
        };
        alone.push_str(said);
        if self.rules.vault.as_ref().is_some_and(|vault| vault.may_be(&alone)) {
            self.alone = Some(alone);
            return Ok(());
        }
        self.open(&alone, out)
    }

    fn open(&mut self, said: &str, out: &mut String) -> Result<(), Refusal> {
        out.push('"');
        let passed = self.text.push(said)?;
        out.push_str(&escaped(&passed));
        Ok(())
    }

    fn ended(&mut self, out: &mut String) -> Result<(), Refusal> {
        if let Some(alone) = self.alone.take() {
            if let Some(number) = self.number(&alone)? {
                out.push_str(&number);
                return Ok(());
            }
            self.open(&alone, out)?;
        }
        out.push_str(&escaped(&self.text.finish()?));
        out.push('"');
        Ok(())
    }

    /// The number that was one before it left, and is one again.
    fn number(&self, alone: &str) -> Result<Option<String>, Refusal> {
        let Some(vault) = &self.rules.vault else { return Ok(None) };
        if let Some(shield) = &self.rules.back
            && !shield.find(alone, &self.hint)?.is_empty()
        {
            return Ok(None);
        }
        Ok(vault.number(alone).map(str::to_owned))
    }

    /// It was cut off: what is left of it, without an end.
    fn cut(&mut self, out: &mut String) -> Result<(), Refusal> {
        if let Some(alone) = self.alone.take() {
            self.open(&alone, out)?;
        }
        out.push_str(&escaped(&self.text.finish()?));
        out.push_str(&self.escape);
        Ok(())
    }

    fn holds(&self) -> bool {
        self.alone.is_some() || !self.escape.is_empty() || self.half.is_some() || self.text.holds()
    }
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// As it stands between quotes.
fn escaped(text: &str) -> String {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_owned()
}
