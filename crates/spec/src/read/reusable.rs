//! `use`: what is named once and used often. A reusable is read again at each of its uses, because
//! which variables its expressions may read depends on where it is used.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::near;
use crate::node::Entry;
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
    functions: &'a [Entry],
    catalogs: &'a [Entry],
    catalogs_used: BTreeSet<&'a str>,
}

#[derive(Debug)]
struct Reusable<'a> {
    item: Item<'a>,
    used: bool,
}

impl<'a> Reusables<'a> {
    pub(super) fn function(&self, name: &str) -> Option<&'a Entry> {
        self.functions.iter().find(|entry| &*entry.key == name)
    }

    pub(super) fn functions(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.functions.iter()
    }

    pub(super) fn catalog(&mut self, name: &str) -> Option<Item<'a>> {
        let entry = self.catalogs.iter().find(|entry| &*entry.key == name)?;
        self.catalogs_used.insert(&entry.key);
        Some(entry.into())
    }

    pub(super) fn catalogs(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.catalogs.iter().map(|entry| &*entry.key)
    }
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
        let entries = |reader: &mut Self, key| match fields.get(key) {
            Some(item) => reader.entries(item).unwrap_or_default(),
            None => &[],
        };
        self.reusables.functions = entries(self, "functions");
        self.reusables.catalogs = entries(self, "catalogs");
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

    fn unused_catalogs(&mut self) {
        for entry in self.reusables.catalogs {
            if !self.reusables.catalogs_used.contains(&*entry.key) {
                let message = format!("nothing uses `use.catalogs.{}`", shown(&entry.key));
                self.report(
                    Code::Unused,
                    entry.key_at,
                    message,
                    Some("use it or remove it".into()),
                );
                if let Some(fields) = self.fields(entry.into(), &["endpoint"]) {
                    let endpoint = self.require(&fields, "endpoint");
                    endpoint.and_then(|item| self.address(item));
                }
            }
        }
    }

    /// What nothing uses is read as well, so that its errors do not wait for its first use.
    pub(super) fn read_unused(&mut self) {
        self.unused_functions();
        self.unused_catalogs();
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
