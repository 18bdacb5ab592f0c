//! Functions that are tasks: of `use.functions`, of a catalog, of an address. A function is read once,
//! at its first call, with no variables but its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use base::name::FunctionRef;

use crate::code::Code;
use crate::diagnostic::Location;
use crate::near;
use crate::node::{Entry, Node, escape};
use crate::problems::{Problems, shown};
use crate::revision::ReferenceKind;
use crate::tree::{Access, CustomCall, TaskKind, TaskNo, Template};

use super::expression::{Around, Position};
use super::fields::Item;
use super::list::Siblings;
use super::resource::{Address, Resource};
use super::reusable::Reusables;
use super::secret::Secrets;
use super::{Reader, Unparsed};

/// What is known of the functions that are tasks. It is handed on to whoever reads another text.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// By name within the document, or by address.
    read: BTreeMap<String, State>,
    /// Those whose bodies are being read, outermost first.
    reading: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Reading,
    Done(TaskNo),
    /// Wrong, and reported; or not looked up yet.
    Unknown,
}

impl<'a> Reader<'a> {
    /// A call of something that is neither a protocol nor a function of the site. `None` where it is
    /// none of ours.
    pub(super) fn custom_call(
        &mut self,
        item: Item<'a>,
        name: &'a str,
        with: Option<Item<'a>>,
        around: &Around,
    ) -> Option<Option<TaskKind>> {
        let at = item.node.at;
        let body = if let Some(entry) = self.reusables.function(name) {
            self.named_function(entry, at)
        } else if name.starts_with("https://") || name.starts_with("http://") {
            self.address(item).and_then(|it| self.function_at(it.uri, it.at, it.access))
        } else {
            let function = FunctionRef::parse(name)?;
            let endpoint = self.reusables.catalog(&function.catalog)?;
            let address = self.catalog_address(endpoint, &function);
            address.and_then(|(uri, access)| self.function_at(&uri, at, access))
        };
        let with = match with {
            Some(item) => self.arguments_of(item, around).map(Some),
            None => Some(None),
        };
        let call = body.zip(with);
        Some(
            call.map(|(body, with)| TaskKind::Custom(CustomCall { name: name.into(), with, body })),
        )
    }

    fn arguments_of(&mut self, item: Item<'a>, around: &Around) -> Option<Template> {
        self.entries(item)?;
        self.template(item, Position::Task, around)
    }

    /// A function of `use.functions`.
    pub(super) fn named_function(&mut self, entry: &'a Entry, at: Location) -> Option<TaskNo> {
        let name = entry.key.to_string();
        let location = format!("/use/functions/{}", escape(&name));
        self.once(name, at, |reader| reader.function_body(entry, location.into()))
    }

    fn function_body(&mut self, entry: &'a Entry, location: Arc<str>) -> Option<TaskNo> {
        let no = self.task(entry, location, &Siblings::alone(), &Around::default());
        self.tasks[no.0 as usize].is_some().then_some(no)
    }

    /// Reads a function's body at its first call.
    fn once(
        &mut self,
        name: String,
        at: Location,
        read: impl FnOnce(&mut Self) -> Option<TaskNo>,
    ) -> Option<TaskNo> {
        match self.functions.read.get(&name) {
            Some(State::Done(no)) => return Some(*no),
            Some(State::Unknown) => return None,
            Some(State::Reading) => {
                let from = self.functions.reading.iter().position(|it| *it == name).unwrap_or(0);
                let way: Vec<String> = self.functions.reading[from..]
                    .iter()
                    .chain([&name])
                    .map(|name| format!("`{}`", shown(name)))
                    .collect();
                let message = format!("a function calls itself: {}", way.join(" calls "));
                let hint = "use a loop, or a child workflow";
                self.report(Code::FunctionCycle, at, message, Some(hint.into()));
                return None;
            }
            None => {}
        }
        self.functions.read.insert(name.clone(), State::Reading);
        self.functions.reading.push(name.clone());
        let no = read(self);
        self.functions.reading.pop();
        self.functions.read.insert(name, no.map_or(State::Unknown, State::Done));
        no
    }

    /// A function whose definition lies behind an address.
    fn function_at(&mut self, uri: &str, at: Location, access: Option<Access>) -> Option<TaskNo> {
        self.once(uri.to_owned(), at, |reader| {
            let resource = reader.resource(uri, at, access, ReferenceKind::Function).ok()?;
            let Some(resource) = resource else {
                // Something must stand for it, so that the rest of the document can be judged.
                return Some(reader.stand_in(uri));
            };
            let node = reader.parsed(&resource)?;
            match reader.read_elsewhere(&node, &resource) {
                Ok(no) => Some(no),
                Err(what) => {
                    reader.resource_invalid(&resource, &what);
                    None
                }
            }
        })
    }

    /// Reads a function's text with a reader of its own, since its places are in another text; what
    /// was read so far goes with it and comes back.
    fn read_elsewhere(&mut self, node: &Node, resource: &Resource) -> Result<TaskNo, String> {
        let (uri, text) = (&*resource.uri, &*resource.text);
        let entry = Entry { key: uri.into(), key_at: node.used_at(), value: node.clone() };
        let mut other = Reader {
            catalog: self.catalog,
            source: text,
            purpose: self.purpose,
            unparsed: Vec::new(),
            key: None,
            dead_ends: RefCell::default(),
            problems: Problems::default(),
            reusables: Reusables::default(),
            functions: std::mem::take(&mut self.functions),
            secrets: Secrets::default(),
            tasks: std::mem::take(&mut self.tasks),
            names: std::mem::take(&mut self.names),
            exports: std::mem::take(&mut self.exports),
            ways: std::mem::take(&mut self.ways),
            is_flow_unread: false,
            astray: Vec::new(),
            references: std::mem::take(&mut self.references),
            unresolved: std::mem::take(&mut self.unresolved),
            access: std::mem::take(&mut self.access),
            is_extension: self.is_extension,
            is_loose: false,
            patterns: std::mem::take(&mut self.patterns),
        };
        let no = other.function_body(&entry, format!("{uri}#").into());
        other.report_astray();
        self.functions = std::mem::take(&mut other.functions);
        self.tasks = std::mem::take(&mut other.tasks);
        self.names = std::mem::take(&mut other.names);
        self.exports = std::mem::take(&mut other.exports);
        self.ways = std::mem::take(&mut other.ways);
        self.references = std::mem::take(&mut other.references);
        self.unresolved = std::mem::take(&mut other.unresolved);
        self.access = std::mem::take(&mut other.access);
        self.patterns = std::mem::take(&mut other.patterns);
        // Their places are in another text: what is wrong with them is told at the call.
        let unparsed = std::mem::take(&mut other.unparsed).into_iter();
        self.unparsed.extend(unparsed.map(|it| Unparsed { at: resource.at, begins: None, ..it }));
        let errors = other.problems.has_errors();
        match no.filter(|_| !errors) {
            Some(no) => Ok(no),
            None => {
                let list = other.problems.into_list(None);
                let first = list.iter().find(|it| it.severity == crate::Severity::Error);
                Err(first.map_or_else(
                    || "it is not a task".to_owned(),
                    |first| format!("line {}: {}", first.location.line, first.message),
                ))
            }
        }
    }

    /// A task that does nothing, in the place of one that nobody has looked up yet.
    fn stand_in(&mut self, uri: &str) -> TaskNo {
        let no = TaskNo(u32::try_from(self.tasks.len()).expect("a document has fewer values"));
        let name: Arc<str> = uri.into();
        self.names.push(super::Named {
            at: Location { offset: 0, line: 1, column: 1, length: 1 },
            name: Rc::from(uri),
            location: name.clone(),
        });
        self.exports.push(None);
        self.ways.push(None);
        self.tasks.push(Some(crate::tree::Task::nothing(no, name)));
        no
    }

    /// Where a catalog keeps the definition of a function.
    fn catalog_address(
        &mut self,
        endpoint: Item<'a>,
        function: &FunctionRef,
    ) -> Option<(String, Option<Access>)> {
        let fields = self.fields(endpoint, &["endpoint"])?;
        let item = self.require(&fields, "endpoint")?;
        let Address { uri: root, access, .. } = self.address(item)?;
        let FunctionRef { name, version, .. } = function;
        let uri = raw(&format!(
            "{}/functions/{name}/{version}/function.yaml",
            root.trim_end_matches('/')
        ));
        Some((uri, access))
    }

    /// Functions that nothing calls are read as well.
    pub(super) fn unused_functions(&mut self) {
        for entry in self.reusables.functions() {
            if !self.functions.read.contains_key(&*entry.key) {
                let message = format!("nothing uses `use.functions.{}`", shown(&entry.key));
                let hint = "use it or remove it";
                self.report(Code::Unused, entry.key_at, message, Some(hint.into()));
                self.named_function(entry, entry.key_at);
            }
        }
    }

    /// The hint for a call of something that there is not.
    pub(super) fn near_function(&self, name: &str) -> Option<String> {
        let names: Vec<&str> = self.reusables.functions().map(|entry| &*entry.key).collect();
        near::hint(name, names)
    }
}

/// Code hosts show a page at the address that people copy; the file itself lies elsewhere.
fn raw(uri: &str) -> String {
    if let Some(rest) = uri.strip_prefix("https://github.com/") {
        let parts: Vec<&str> = rest.splitn(5, '/').collect();
        match parts.as_slice() {
            [owner, repository, "tree" | "blob", branch, path] => {
                return format!(
                    "https://raw.githubusercontent.com/{owner}/{repository}/refs/heads/{branch}/{path}"
                );
            }
            [owner, repository, path @ ..] if parts.get(2) == Some(&"functions") => {
                let path = path.join("/");
                return format!(
                    "https://raw.githubusercontent.com/{owner}/{repository}/refs/heads/main/{path}"
                );
            }
            _ => {}
        }
    }
    if let Some((project, path)) = uri
        .strip_prefix("https://gitlab.com/")
        .and_then(|rest| rest.split_once("/-/tree/").or_else(|| rest.split_once("/-/blob/")))
    {
        return format!("https://gitlab.com/{project}/-/raw/{path}");
    }
    uri.to_owned()
}

#[cfg(test)]
mod tests {
    use super::raw;

    /// Mutation: fetch the page that shows a file in place of the file.
    #[test]
    fn a_file_of_a_code_host_is_fetched_itself() {
        for (shown, fetched) in [
            (
                "https://github.com/o/r/tree/main/functions/log/1.0.0/function.yaml",
                "https://raw.githubusercontent.com/o/r/refs/heads/main/functions/log/1.0.0/function.yaml",
            ),
            (
                "https://github.com/o/r/functions/log/1.0.0/function.yaml",
                "https://raw.githubusercontent.com/o/r/refs/heads/main/functions/log/1.0.0/function.yaml",
            ),
            (
                "https://gitlab.com/g/p/-/tree/main/functions/f/1/function.yaml",
                "https://gitlab.com/g/p/-/raw/main/functions/f/1/function.yaml",
            ),
            (
                "https://c.example/functions/f/1/function.yaml",
                "https://c.example/functions/f/1/function.yaml",
            ),
        ] {
            assert_eq!(raw(shown), fetched);
        }
    }
}
