//! Changes of a text, by place: all that is not named stays as it is, byte for byte.

use std::borrow::Cow;
use std::ops::Range;

/// Ranges ascend and do not overlap.
pub struct Edit {
    pub range: Range<usize>,
    pub text: String,
}

pub fn apply<'a>(text: &'a str, edits: &[Edit]) -> Cow<'a, str> {
    if edits.is_empty() {
        return Cow::Borrowed(text);
    }
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut changed = String::with_capacity(text.len() + added);
    let mut place = 0;
    for edit in edits {
        changed.push_str(&text[place..edit.range.start]);
        changed.push_str(&edit.text);
        place = edit.range.end;
    }
    changed.push_str(&text[place..]);
    Cow::Owned(changed)
}
