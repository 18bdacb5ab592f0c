//! Members of a request, taken out one by one: what is left at the end is what nobody has translated.

use serde_json::{Map, Value};

use crate::Dialect;
use crate::refusal::{Refusal, shown};

/// What is said of a member that nobody here knows.
const UNKNOWN: &str = "leave it out, or ask a model of the request's own dialect";

/// An object of a request, and where it stands. What is `null` is not there.
#[derive(Debug)]
pub(crate) struct Members {
    path: String,
    to: Dialect,
    map: Map<String, Value>,
}

/// A member that means nothing more where it says the usual, what that is, and what to do where it does not.
pub(crate) type Usual = (&'static str, fn(&Value) -> bool, &'static str);

/// A text, or parts of one.
#[derive(Debug)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Members>),
}

impl Members {
    /// The request itself.
    pub(crate) fn top(request: Value, to: Dialect) -> Result<Self, Refusal> {
        Self::of(String::new(), request, to)
    }

    fn of(path: String, value: Value, to: Dialect) -> Result<Self, Refusal> {
        match value {
            Value::Object(map) => Ok(Self { path, to, map }),
            _ => Err(Refusal::Wrong { path, wanted: "an object" }),
        }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        let name = shown(name);
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(crate) fn no(&self, name: &str, hint: &'static str) -> Refusal {
        Refusal::NoCounterpart { path: self.at(name), to: self.to, hint }
    }

    /// The object itself has none.
    pub(crate) fn none(&self, hint: &'static str) -> Refusal {
        Refusal::NoCounterpart { path: self.path.clone(), to: self.to, hint }
    }

    pub(crate) fn wrong(&self, name: &str, wanted: &'static str) -> Refusal {
        Refusal::Wrong { path: self.at(name), wanted }
    }

    pub(crate) fn missing(&self, name: &str) -> Refusal {
        Refusal::Missing { path: self.at(name) }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.swap_remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    pub(crate) fn text_there(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(name, "a number"))
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        Self::of(self.at(name), value, self.to).map(Some)
    }

    /// A list of objects; empty where there is none.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<Self>, Refusal> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => self.each(name, list),
            Some(_) => Err(self.wrong(name, "a list")),
        }
    }

    pub(crate) fn content(&mut self, name: &str) -> Result<Option<Content>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(Content::Text(text))),
            Some(Value::Array(list)) => self.each(name, list).map(Content::Parts).map(Some),
            Some(_) => Err(self.wrong(name, "a string or a list")),
        }
    }

    fn each(&self, name: &str, list: Vec<Value>) -> Result<Vec<Self>, Refusal> {
        let at = self.at(name);
        let of = |(n, value)| Self::of(format!("{at}[{n}]"), value, self.to);
        list.into_iter().enumerate().map(of).collect()
    }

    /// Moves a member over as it is.
    pub(crate) fn keep(&mut self, name: &str, into: &mut Map<String, Value>) {
        self.keep_as(name, name, into);
    }

    pub(crate) fn keep_as(&mut self, name: &str, other: &str, into: &mut Map<String, Value>) {
        if let Some(value) = self.take(name) {
            into.insert(other.to_owned(), value);
        }
    }

    /// Hints, and what means nothing to a model: an answer without them is no other answer.
    pub(crate) fn leave_out(&mut self, names: &[&str]) {
        for name in names {
            self.map.swap_remove(*name);
        }
    }

    /// Refuses these where they do not say the usual.
    pub(crate) fn only_usual(&mut self, usual: &[Usual]) -> Result<(), Refusal> {
        for (name, is_usual, hint) in usual {
            if self.take(name).is_some_and(|value| !is_usual(&value)) {
                return Err(self.no(name, hint));
            }
        }
        Ok(())
    }

    /// Refuses these where they are there at all.
    pub(crate) fn refuse(&self, refused: &[(&str, &'static str)]) -> Result<(), Refusal> {
        match refused.iter().find(|(name, _)| self.has(name)) {
            Some((name, hint)) => Err(self.no(name, hint)),
            None => Ok(()),
        }
    }

    /// Nothing is left that was not looked at.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(self.no(name, UNKNOWN)),
            None => Ok(()),
        }
    }
}

/// Whether a text is nothing but blanks: Anthropic takes no such block, and others make nothing of it.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The media type and the data of `data:image/png;base64,…`.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    Some((head.strip_suffix(";base64")?, data))
}
