//! Takes values of secrets out of what is written down: errors, decisions, recorded requests.

use base::value::{array, as_str, object, string};
use base::{Fault, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::effect::{Crossed, Decision, Performed};

/// What stands for a secret.
pub(crate) const MASK: &str = "***";

/// Shorter values stand in every text by chance. To mask these would say where they do not stand,
/// and would make a message unreadable.
const CHARS_MIN: usize = 4;

/// Texts that must not be written down, in the spellings in which they travel.
#[derive(Clone, Default)]
pub(crate) struct Mask(Vec<String>);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(…)")
    }
}

impl Mask {
    /// Every text and number in a value.
    pub(crate) fn add(&mut self, value: &Value) {
        match value {
            Value::TStr(_) => self.add_text(as_str(value).unwrap_or_default()),
            Value::Num(_) => self.add_text(&base::value::to_json_string(value)),
            Value::Arr(items) => items.iter().for_each(|item| self.add(item)),
            Value::Obj(map) => map.values().for_each(|item| self.add(item)),
            Value::Null | Value::Bool(_) | Value::BStr(_) => {}
        }
    }

    pub(crate) fn add_text(&mut self, text: &str) {
        let text = text.trim();
        if text.chars().count() < CHARS_MIN {
            return;
        }
        let json = base::value::to_json_string(&string(text));
        let json = json.trim_matches('"').to_owned();
        for spelling in [text.to_owned(), json, STANDARD.encode(text)] {
            if !self.0.contains(&spelling) {
                self.0.push(spelling);
            }
        }
        // What holds another goes first, so that nothing of it is left.
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    /// What stands for secrets, the longest first.
    pub(crate) fn spellings(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let (mut kept, mut at) = (0, 0);
        while at < text.len() {
            let ends = self.0.iter().filter_map(|secret| stands_at(text.as_bytes(), at, secret));
            match ends.max() {
                // A secret begins and ends with whole characters, and so does what is left.
                Some(end) => {
                    masked.push_str(text.get(kept..at).unwrap_or_default());
                    masked.push_str(MASK);
                    (kept, at) = (end, end);
                }
                None => at += 1,
            }
        }
        masked.push_str(text.get(kept..).unwrap_or_default());
        masked
    }

    pub(crate) fn value(&self, value: &Value) -> Value {
        match value {
            Value::TStr(_) => string(&self.text(as_str(value).unwrap_or_default())),
            Value::Arr(items) => array(items.iter().map(|item| self.value(item)).collect()),
            Value::Obj(map) => object(
                map.iter().map(|(key, item)| (as_str(key).unwrap_or_default(), self.value(item))),
            ),
            Value::Null | Value::Bool(_) | Value::Num(_) | Value::BStr(_) => value.clone(),
        }
    }

    pub(crate) fn fault(&self, fault: Fault) -> Fault {
        Fault {
            title: fault.title.map(|title| self.text(&title).into()),
            detail: fault.detail.map(|detail| self.text(&detail)),
            ..fault
        }
    }

    pub(crate) fn crossed(&self, crossed: Crossed) -> Crossed {
        Crossed {
            rule: self.text(&crossed.rule),
            destination: self.text(&crossed.destination),
            ..crossed
        }
    }

    /// A result stays what it is: it is the workflow's data.
    pub(crate) fn performed(&self, performed: Performed) -> Performed {
        let decision = performed.decision.map(|decision| Decision {
            allowed: decision.allowed,
            rule: self.text(&decision.rule),
            destination: self.text(&decision.destination),
            crossings: decision.crossings.into_iter().map(|it| self.crossed(it)).collect(),
        });
        Performed {
            result: performed.result.map_err(|fault| self.fault(fault)),
            decision,
            ..performed
        }
    }
}

/// Where a secret that begins at `at` ends, whatever of it is percent-encoded or in another case:
/// addresses are written in many ways.
fn stands_at(text: &[u8], at: usize, secret: &str) -> Option<usize> {
    let mut end = at;
    for byte in secret.bytes() {
        let found = *text.get(end)?;
        if found.eq_ignore_ascii_case(&byte) || (byte == b' ' && found == b'+') {
            end += 1;
            continue;
        }
        let hex = text.get(end + 1..end + 3).filter(|_| found == b'%')?;
        let code = u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
        if code != byte {
            return None;
        }
        end += 3;
    }
    Some(end)
}

/// Percent-encoded as a part of an address; in a form a space is `+`.
pub(crate) fn percent(text: &str, form: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' if form => out.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
            }
            b'*' if form => out.push('*'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base::ErrorType;

    use super::*;

    /// Mutation: mask only whole texts, leave out a spelling, or mask the shorter one first.
    #[test]
    fn a_secret_is_found_in_every_spelling() {
        let mut mask = Mask::default();
        mask.add(
            &base::value::parse(br#"{"a":["p&ss \"w","pass"],"n":4711,"s":"ab"}"#).expect("json"),
        );
        for text in [
            "x p&ss \"w y",
            "p%26ss%20%22w",
            "p%26ss+%22w",
            "P&SS%20%22w",
            "p&ss \\\"w",
            "cCZzcyAidw==",
            "pass",
            "4711",
        ] {
            let masked = mask.text(text);
            assert!(masked.contains(MASK), "{text}");
            assert!(!masked.to_ascii_lowercase().contains("ss"), "{text}: {masked}");
        }
        for plain in ["about", "", "%", "p%26s", "äöü pas"] {
            assert_eq!(mask.text(plain), plain);
        }
        mask.add_text("grün+é");
        assert_eq!(mask.text("ä grün+é%41 gr%C3%BCn+%c3%a9ö"), "ä ***%41 ***ö");
        let fault = mask.fault(Fault::new(ErrorType::Runtime, "no pass").with_title("pass"));
        assert_eq!(
            (fault.title.as_deref(), fault.detail.as_deref()),
            (Some("***"), Some("no ***"))
        );
    }
}
