//! The properties of one object: required, known, of the right type.

use std::fmt::Display;

use crate::code::Code;
use crate::diagnostic::Location;
use crate::near;
use crate::node::{Entry, Kind, Node};
use crate::problems::shown;

use super::{Reader, foreign};

/// A value, and the place that stands for it: its key, or itself in a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) at: Location,
    pub(super) node: &'a Node,
}

/// The properties of an object whose unknown ones have been reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    at: Location,
    entries: &'a [Entry],
}

impl<'a> Item<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        Self { at: node.used_at(), node }
    }
}

impl<'a> From<&'a Entry> for Item<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self { at: entry.key_at, node: &entry.value }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Item<'a>> {
        self.entries.iter().find(|entry| &*entry.key == key).map(Item::from)
    }

    /// Whether there are properties that nobody knows: one may be a known one, misspelt.
    pub(super) fn has_unknown(&self, known: &[&str]) -> bool {
        self.entries.iter().any(|entry| !known.contains(&&*entry.key))
    }

    /// The place that stands for the whole object.
    pub(super) fn at(&self) -> Location {
        self.at
    }
}

impl<'a> Reader<'a> {
    pub(super) fn fields(&mut self, item: Item<'a>, known: &[&str]) -> Option<Fields<'a>> {
        let Kind::Map(entries) = &item.node.kind else {
            return self.wrong_type_with(item, "an object", Some(known_here(known)));
        };
        self.refuse_unknown(entries, known);
        Some(Fields { at: item.at, entries })
    }

    pub(super) fn entries<'n>(&mut self, item: Item<'n>) -> Option<&'n [Entry]> {
        match &item.node.kind {
            Kind::Map(entries) => Some(entries),
            _ => self.wrong_type(item, "an object"),
        }
    }

    pub(super) fn refuse_unknown(&mut self, entries: &[Entry], known: &[&str]) {
        for entry in entries {
            if !known.contains(&&*entry.key) {
                let hint = foreign::name(&entry.key, known)
                    .or_else(|| near::hint(&entry.key, known.iter().copied()))
                    .unwrap_or_else(|| known_here(known));
                let message = format!("unknown property `{}`", shown(&entry.key));
                self.report(Code::UnknownProperty, entry.key_at, message, Some(hint));
            }
        }
    }

    pub(super) fn require(&mut self, fields: &Fields<'a>, key: &str) -> Option<Item<'a>> {
        let found = fields.get(key);
        if found.is_none() {
            let message = format!("the property `{key}` is missing");
            self.report(Code::MissingProperty, fields.at, message, None);
        }
        found
    }

    /// Gives `None`, so that a reader can end with it.
    pub(super) fn wrong_type<T>(&mut self, item: Item<'_>, expected: &str) -> Option<T> {
        let hint = match (&item.node.kind, expected) {
            (Kind::Int(_) | Kind::Number(_) | Kind::Bool(_), "a string") => {
                Some("put it in quotes".to_owned())
            }
            (Kind::Str(scalar), "a whole number") if scalar.text.parse::<i64>().is_ok() => {
                Some("write it without quotes".to_owned())
            }
            (Kind::Str(scalar), "`true` or `false`")
                if matches!(&*scalar.text.to_lowercase(), "yes" | "no" | "on" | "off") =>
            {
                Some("in YAML 1.2 this is text".to_owned())
            }
            (Kind::Int(number), "a duration") => {
                Some(format!("write `PT{number}S` or `seconds: {number}`"))
            }
            _ => None,
        };
        self.wrong_type_with(item, expected, hint)
    }

    fn wrong_type_with<T>(
        &mut self,
        item: Item<'_>,
        expected: &str,
        hint: Option<String>,
    ) -> Option<T> {
        // A collection that stands where it should not begins at its first key, which says little.
        let at = match item.node.kind {
            Kind::Map(_) | Kind::Seq(_) | Kind::Null => item.at,
            _ => item.node.at,
        };
        let message = format!("expected {expected}, found {}", item.node.what());
        self.report(Code::WrongType, at, message, hint);
        None
    }

    pub(super) fn wrong_value<T>(
        &mut self,
        item: Item<'_>,
        message: impl Display,
        hint: Option<String>,
    ) -> Option<T> {
        self.report(Code::WrongValue, item.node.at, message.to_string(), hint);
        None
    }

    pub(super) fn text(&mut self, item: Item<'a>) -> Option<&'a str> {
        match item.node.as_str() {
            Some(text) => Some(text),
            None => self.wrong_type(item, "a string"),
        }
    }

    pub(super) fn boolean(&mut self, item: Item<'a>) -> Option<bool> {
        match item.node.kind {
            Kind::Bool(truth) => Some(truth),
            _ => self.wrong_type(item, "`true` or `false`"),
        }
    }

    /// A whole number in a range.
    pub(super) fn whole<T: TryFrom<i64> + Display + PartialOrd>(
        &mut self,
        item: Item<'a>,
        least: T,
        most: T,
    ) -> Option<T> {
        let Kind::Int(number) = item.node.kind else {
            return self.wrong_type(item, "a whole number");
        };
        match T::try_from(number) {
            Ok(fits) if fits >= least && fits <= most => Some(fits),
            _ => self.wrong_value(
                item,
                format!("expected a whole number from {least} to {most}"),
                None,
            ),
        }
    }

    pub(super) fn one_of(
        &mut self,
        item: Item<'a>,
        allowed: &[&'static str],
    ) -> Option<&'static str> {
        let text = self.text(item)?;
        let found = allowed.iter().find(|one| **one == text);
        if found.is_none() {
            let message = format!("`{}` is not allowed here", shown(text));
            let hint = format!("write one of {}", quoted(allowed));
            return self.wrong_value(item, message, Some(hint));
        }
        found.copied()
    }
}

/// `a`, `b`, `c`: for messages.
fn known_here(known: &[&str]) -> String {
    match known {
        [] => "it has no properties: write `{}`".to_owned(),
        known => format!("known here: {}", quoted(known)),
    }
}

pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
