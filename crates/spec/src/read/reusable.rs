//! `use`: what is named once and used often. A reusable is read again at each of its uses, because
//! which variables its expressions may read depends on where it is used.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::near;
use crate::node::Kind;
use crate::problems::shown;

use super::Reader;
use super::expression::{Around, Position, is_expression};
use super::fields::Item;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shelf {
    Errors,
    Retries,
    Timeouts,
    Authentications,
}

impl Shelf {
    const ALL: [Self; 4] = [Self::Errors, Self::Retries, Self::Timeouts, Self::Authentications];

    const fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Retries => "retries",
            Self::Timeouts => "timeouts",
            Self::Authentications => "authentications",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Reusables<'a> {
    shelved: BTreeMap<(Shelf, &'a str), Reusable<'a>>,
    /// Names in `use.functions`: such a call is not there yet, rather than wrong.
    pub(super) functions: BTreeSet<&'a str>,
}

#[derive(Debug)]
struct Reusable<'a> {
    item: Item<'a>,
    used: bool,
}

const KNOWN: [&str; 8] = [
    "authentications",
    "catalogs",
    "errors",
    "extensions",
    "functions",
    "retries",
    "secrets",
    "timeouts",
];

impl<'a> Reader<'a> {
    /// Puts what `use` has on its shelves. Reading it waits for the uses.
    pub(super) fn shelve(&mut self, item: Option<Item<'a>>) {
        let Some(fields) = item.and_then(|item| self.fields(item, &KNOWN)) else {
            return;
        };
        for (key, code) in [
            ("catalogs", Code::NotYetCatalogs),
            ("extensions", Code::NotYetExtensions),
            ("functions", Code::NotYetFunctions),
        ] {
            if let Some(item) = fields.get(key) {
                self.not_yet(code, item.at, &format!("`use.{key}`"));
            }
        }
        if let Some(Kind::Map(entries)) = fields.get("functions").map(|item| &item.node.kind) {
            self.reusables.functions = entries.iter().map(|entry| &*entry.key).collect();
        }
        self.secrets(fields.get("secrets"));
        for shelf in Shelf::ALL {
            let entries = fields.get(shelf.name()).and_then(|item| self.entries(item));
            for entry in entries.unwrap_or_default() {
                let reusable = Reusable { item: entry.into(), used: false };
                self.reusables.shelved.insert((shelf, &entry.key), reusable);
            }
        }
    }

    /// The definition itself, where the document has it inline or names it.
    pub(super) fn inline_or_shelved(&mut self, item: Item<'a>, shelf: Shelf) -> Option<Item<'a>> {
        let Some(name) = item.node.as_str() else {
            return Some(item);
        };
        if is_expression(name) {
            let message =
                format!("a reference into `use.{}` cannot be an expression", shelf.name());
            self.report(
                Code::ComputedReference,
                item.node.at,
                message,
                Some("write the name itself, or the definition inline".into()),
            );
            return None;
        }
        if let Some(reusable) = self.reusables.shelved.get_mut(&(shelf, name)) {
            reusable.used = true;
            return Some(reusable.item);
        }
        let known =
            self.reusables.shelved.keys().filter(|(of, _)| *of == shelf).map(|(_, name)| *name);
        let hint = near::hint(name, known)
            .unwrap_or_else(|| format!("define it under `use.{}`", shelf.name()));
        let message = format!("`use.{}` has no `{}`", shelf.name(), shown(name));
        self.report(Code::UnknownReusable, item.node.at, message, Some(hint));
        None
    }

    /// What nothing uses is read as well, so that its errors do not wait for its first use.
    pub(super) fn read_unused(&mut self) {
        let unused = self.reusables.shelved.iter().filter(|(_, reusable)| !reusable.used);
        let unused: Vec<_> =
            unused.map(|((shelf, name), reusable)| (*shelf, *name, reusable.item)).collect();
        let around = Around::anything();
        for (shelf, name, item) in unused {
            let message = format!("nothing uses `use.{}.{}`", shelf.name(), shown(name));
            self.report(Code::Unused, item.at, message, Some("use it or remove it".into()));
            match shelf {
                Shelf::Errors => drop(self.raise_inline(item, &around)),
                Shelf::Retries => drop(self.retry_inline(item, &around)),
                Shelf::Timeouts => drop(self.timeout_inline(item, Position::Task, &around)),
                Shelf::Authentications => drop(self.authentication_inline(item, &around)),
            }
        }
    }
}
