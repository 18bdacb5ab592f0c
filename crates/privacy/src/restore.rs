//! Values back in place of their stand-ins: in texts, in JSON, in streams.

use std::borrow::Cow;
use std::sync::Arc;

use crate::edit::{self, Edit};
use crate::json::{self, Exempt, Listed, Rewrite, escaped};
use crate::refusal::Refusal;
use crate::vault::{STAND_IN_BYTES_MAX, Vault};

impl Vault {
    /// The text with the values in it.
    #[must_use]
    pub fn restore<'a>(&self, text: &'a str) -> Cow<'a, str> {
        edit::apply(text, &self.edits(text))
    }

    /// The document with the values in it, escaped as where they stand. What was a number is one again
    /// within texts, and where a program's own data is.
    pub fn restore_json<'a>(
        &self,
        document: &'a [u8],
        data: &Exempt,
    ) -> Result<Cow<'a, str>, Refusal> {
        let text = std::str::from_utf8(document)
            .map_err(|error| Refusal::NotUtf8 { at: error.valid_up_to() })?;
        let edits = json::edits(text, data, &mut Restoring(self))?;
        Ok(edit::apply(text, &edits))
    }

    /// The number that the whole text stands for.
    #[must_use]
    pub fn number(&self, text: &str) -> Option<&str> {
        let mut places = self.places(text);
        let place = places.next().filter(|it| (it.start, it.end) == (0, text.len()))?;
        place.known.filter(|it| it.is_number).map(|it| it.value)
    }

    fn edits(&self, text: &str) -> Vec<Edit> {
        let known =
            self.places(text).filter_map(|place| Some((place.known?, place.start..place.end)));
        known.map(|(known, range)| Edit { range, text: known.value.to_owned() }).collect()
    }
}

struct Restoring<'a>(&'a Vault);

impl Rewrite for Restoring<'_> {
    fn text(&mut self, text: &str, _: &str) -> Result<Vec<Edit>, Refusal> {
        Ok(self.0.edits(text))
    }

    fn number(&mut self, _: &str, _: &str) -> Result<Option<String>, Refusal> {
        Ok(None)
    }

    fn to_number(&self, text: &str) -> Option<String> {
        self.0.number(text).map(str::to_owned)
    }

    fn listed(&self) -> Listed {
        Listed::Data
    }
}

/// What the pieces of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    /// JSON in pieces, as arguments of a tool call come: values are escaped.
    Json,
}

/// Restores a stream. Only what may be the beginning of a stand-in is held back.
#[derive(Debug)]
pub struct Restorer {
    vault: Arc<Vault>,
    form: Form,
    held: String,
}

impl Restorer {
    #[must_use]
    pub fn new(vault: Arc<Vault>, form: Form) -> Self {
        Self { vault, form, held: String::new() }
    }

    /// The next piece; gives what can be released.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let mut edits = self.vault.edits(&self.held);
        if self.form == Form::Json {
            for edit in &mut edits {
                edit.text = escaped(&edit.text).into_owned();
            }
        }
        let whole = edits.last().map_or(0, |edit| edit.range.end);
        let cut = self.begun(whole);
        let released = edit::apply(&self.held[..cut], &edits).into_owned();
        self.held.drain(..cut);
        released
    }

    /// Where a stand-in may have begun that has not ended.
    fn begun(&self, from: usize) -> usize {
        let near = self.held.len().saturating_sub(STAND_IN_BYTES_MAX - 1).max(from);
        let mut starts = (near..self.held.len()).filter(|at| self.held.is_char_boundary(*at));
        let start = starts.find(|at| self.vault.may_begin(&self.held[*at..]));
        start.unwrap_or(self.held.len())
    }

    #[must_use]
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is left when the stream has ended.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}
