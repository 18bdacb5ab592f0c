//! The document as a tree in which every key and value knows its place. Building it from text is
//! in `yaml`, giving it a meaning in `read`.

use std::cell::OnceCell;
use std::rc::Rc;

use base::Value;

use crate::diagnostic::Location;

/// A value and its place. Cheap to clone, so that an alias costs nothing; how often the whole is
/// walked is limited by `weight`.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where its text stands.
    pub(crate) at: Location,
    /// Where it is used, if that is elsewhere: the alias.
    pub(crate) alias: Option<Location>,
    pub(crate) kind: Kind,
    /// Nodes in it, itself included, with every alias counted in full.
    pub(crate) weight: usize,
    /// Levels of collections in it; 0 for a scalar.
    pub(crate) height: usize,
    value: OnceCell<Value>,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is not an `i64`.
    Number(Value),
    Str(Scalar),
    Seq(Rc<[Node]>),
    Map(Rc<[Entry]>),
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: Rc<str>,
    /// Where the text stands in the source, if it stands there as it is: in one line, unescaped.
    pub(crate) verbatim: Option<Location>,
    /// Whether it is a block behind `|`, whose lines stand in the source one by one.
    pub(crate) is_literal: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Rc<str>,
    pub(crate) key_at: Location,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn new(at: Location, kind: Kind) -> Self {
        let (weight, height) = match &kind {
            Kind::Seq(items) => (
                items.iter().map(|item| item.weight).sum::<usize>(),
                items.iter().map(|item| item.height).max(),
            ),
            Kind::Map(entries) => (
                entries.iter().map(|entry| entry.value.weight).sum::<usize>(),
                entries.iter().map(|entry| entry.value.height).max(),
            ),
            _ => {
                return Self {
                    at,
                    alias: None,
                    kind,
                    weight: 1,
                    height: 0,
                    value: OnceCell::new(),
                };
            }
        };
        let height = 1 + height.unwrap_or(0);
        Self { at, alias: None, kind, weight: 1 + weight, height, value: OnceCell::new() }
    }

    /// The place where it is used.
    pub(crate) fn used_at(&self) -> Location {
        self.alias.unwrap_or(self.at)
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// For messages: what it is, never what is in it.
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) => "a whole number",
            Kind::Number(_) => "a number that is large or has a fraction",
            Kind::Str(_) => "a string",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "an object",
        }
    }

    /// As JSON. Shared with the values of the nodes inside, so that asking every node is linear.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(truth) => Value::Bool(*truth),
            Kind::Int(number) => base::value::int(*number),
            Kind::Number(number) => number.clone(),
            Kind::Str(scalar) => base::value::string(&scalar.text),
            Kind::Seq(items) => self
                .value
                .get_or_init(|| base::value::array(items.iter().map(Self::value).collect()))
                .clone(),
            Kind::Map(entries) => {
                let fields = || entries.iter().map(|entry| (&*entry.key, entry.value.value()));
                self.value.get_or_init(|| base::value::object(fields())).clone()
            }
        }
    }

    /// JSON pointer of what stands at that byte of the source.
    pub(crate) fn pointer(&self, offset: usize) -> String {
        let mut pointer = String::new();
        let mut node = self;
        loop {
            // The text of an alias is elsewhere, so there is nothing to find below it.
            let inside = node.alias.is_none();
            node = match &node.kind {
                Kind::Seq(items) if inside => {
                    let at = items.partition_point(|item| item.used_at().offset <= offset);
                    let Some(index) = at.checked_sub(1) else {
                        return pointer;
                    };
                    pointer = format!("{pointer}/{index}");
                    &items[index]
                }
                Kind::Map(entries) if inside => {
                    let at = entries.partition_point(|entry| entry.key_at.offset <= offset);
                    let Some(index) = at.checked_sub(1) else {
                        return pointer;
                    };
                    pointer = format!("{pointer}/{}", escape(&entries[index].key));
                    &entries[index].value
                }
                _ => return pointer,
            };
        }
    }
}

/// A name as one step of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
