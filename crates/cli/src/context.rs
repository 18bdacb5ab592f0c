//! Contexts: the hubs and sites that somebody talks to, each with its key, in a file of their home.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{Namespace, document};
use identity::{Pin, file_read, file_write};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

const FILE: &str = "contexts.json";
const TYPE: &str = "isonomy.contexts";
const VERSION: u32 = 1;

/// Contexts of one person.
const CONTEXTS_MAX: usize = 200;

#[derive(Debug)]
pub struct Contexts {
    folder: PathBuf,
    doc: Doc,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Doc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_use: Option<String>,
    contexts: BTreeMap<String, ContextDoc>,
}

#[derive(Clone, Serialize, Deserialize)]
struct ContextDoc {
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<Pin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Namespace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

/// One hub or site, and how one talks to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Context {
    pub name: String,
    /// A URL, or a data folder.
    pub server: String,
    pub key: Option<String>,
    /// The root of the fleet, where its hub shows a certificate below that.
    pub root: Option<Pin>,
    pub namespace: Option<Namespace>,
    /// `hub` or `site`, where it was there when the context was made.
    pub kind: Option<String>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({} at {})", self.name, self.server)
    }
}

impl std::fmt::Debug for ContextDoc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContextDoc({})", self.server)
    }
}

impl Contexts {
    /// Nothing where there is no home to keep them in.
    pub fn open() -> Outcome<Option<Self>> {
        let variable = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
        let base = variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let base =
            base.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")));
        base.map(|base| Self::read(base.join("isonomy"))).transpose()
    }

    fn read(folder: PathBuf) -> Outcome<Self> {
        let file = folder.join(FILE);
        let text = file_read(&file).map_err(|error| Failure::usage(error.to_string()))?;
        let Some(text) = text else { return Ok(Self { folder, doc: Doc::default() }) };
        let doc = document::read(text.as_bytes(), TYPE, VERSION).map_err(|wrong| {
            Failure::usage(format!("`{}`: {wrong}", file.display()))
                .hint("mend it, or remove it and add the contexts anew")
        })?;
        Ok(Self { folder, doc })
    }

    pub fn get(&self, name: &str) -> Outcome<Context> {
        self.find(name).ok_or_else(|| {
            Failure::usage(format!("there is no context `{name}`"))
                .hint("`isonomy context list` shows them, `isonomy context add` makes one")
        })
    }

    #[must_use]
    pub fn in_use(&self) -> Option<Context> {
        self.doc.in_use.as_deref().and_then(|name| self.find(name))
    }

    pub fn list(&self) -> impl Iterator<Item = Context> + '_ {
        self.doc.contexts.keys().filter_map(|name| self.find(name))
    }

    /// Replaces one of the same name. The first of all is in use from now on.
    pub fn put(&mut self, context: Context) -> Outcome<()> {
        let Context { name, server, key, root, namespace, kind } = context;
        if !self.doc.contexts.contains_key(&name) && self.doc.contexts.len() >= CONTEXTS_MAX {
            let what = format!("there are {CONTEXTS_MAX} contexts, and no more are kept");
            return Err(Failure::usage(what).hint("remove one with `isonomy context remove NAME`"));
        }
        if self.doc.contexts.is_empty() {
            self.doc.in_use = Some(name.clone());
        }
        self.doc.contexts.insert(name, ContextDoc { server, key, root, namespace, kind });
        self.write()
    }

    /// Talks to that one from now on; to none, and so to whoever is here, without a name.
    pub fn take(&mut self, name: Option<&str>) -> Outcome<()> {
        if let Some(name) = name {
            self.get(name)?;
        }
        self.doc.in_use = name.map(str::to_owned);
        self.write()
    }

    pub fn remove(&mut self, name: &str) -> Outcome<()> {
        self.get(name)?;
        self.doc.contexts.remove(name);
        self.doc.in_use.take_if(|in_use| in_use == name);
        self.write()
    }

    fn find(&self, name: &str) -> Option<Context> {
        let ContextDoc { server, key, root, namespace, kind } =
            self.doc.contexts.get(name)?.clone();
        Some(Context { name: name.to_owned(), server, key, root, namespace, kind })
    }

    fn write(&self) -> Outcome<()> {
        let text = document::write(TYPE, VERSION, &self.doc);
        file_write(&self.folder, FILE, &text).map_err(|error| Failure::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &str) -> Context {
        Context {
            name: name.to_owned(),
            server: "https://hub.example:7475".to_owned(),
            key: Some("isonomy-key-x".to_owned()),
            root: None,
            namespace: Namespace::parse("lab").ok(),
            kind: Some("hub".to_owned()),
        }
    }

    /// Mutation: forget a field, keep one in use that is gone, or show a key.
    #[test]
    fn contexts_come_back_and_one_is_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Contexts::read(folder.path().join("isonomy")).expect("readable");
        assert_eq!(open().in_use(), None);
        open().put(context("one")).expect("kept");
        open().put(context("two")).expect("kept");
        assert_eq!(open().in_use(), Some(context("one")));
        open().take(Some("two")).expect("it is there");
        assert_eq!(open().in_use(), Some(context("two")));
        assert!(open().take(Some("three")).is_err());
        open().remove("two").expect("it is there");
        assert_eq!((open().in_use(), open().list().count()), (None, 1));
        assert!(!format!("{:?} {:?}", open(), context("one")).contains("isonomy-key"));
        std::fs::write(folder.path().join("isonomy").join(FILE), "{").expect("written");
        let damaged = Contexts::read(folder.path().join("isonomy")).expect_err("damaged");
        assert!(damaged.render().contains("contexts.json"), "{}", damaged.render());
    }
}
