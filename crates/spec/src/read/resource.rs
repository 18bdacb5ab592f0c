//! What lies behind an address: it is looked up in the catalog, which has it or knows why not.

use std::sync::Arc;

use base::Digest;

use crate::catalog::Lookup;
use crate::code::Code;
use crate::diagnostic::Location;
use crate::node::{Kind, Node};
use crate::problems::{Problems, shown};
use crate::revision::{Reference, ReferenceKind, ReferenceTo};
use crate::tree::Access;
use crate::yaml;

use super::Reader;
use super::expression::is_expression;
use super::fields::Item;

/// Where something is fetched, and by whom.
pub(super) struct Address<'a> {
    pub(super) uri: &'a str,
    pub(super) at: Location,
    pub(super) access: Option<Access>,
}

/// A text from an address.
pub(super) struct Resource {
    pub(super) at: Location,
    pub(super) uri: String,
    pub(super) text: Arc<str>,
}

impl<'a> Reader<'a> {
    /// `{name, endpoint}`. `Err` is an error that has been reported; `Ok(None)` a text that nobody
    /// has looked up yet.
    pub(super) fn external(
        &mut self,
        item: Item<'a>,
        kind: ReferenceKind,
    ) -> Result<Option<Resource>, ()> {
        let fields = self.fields(item, &["name", "endpoint"]).ok_or(())?;
        let endpoint = self.require(&fields, "endpoint").ok_or(())?;
        let Address { uri, at, access } = self.address(endpoint).ok_or(())?;
        self.resource(uri, at, access, kind)
    }

    /// The address of something that is fetched when the document is applied.
    pub(super) fn address(&mut self, item: Item<'a>) -> Option<Address<'a>> {
        let (item, access) = match &item.node.kind {
            Kind::Map(_) => {
                let fields = self.fields(item, &["uri", "authentication"])?;
                let access = fields.get("authentication").map(|item| self.access(item));
                let uri = self.require(&fields, "uri")?;
                match access {
                    None => (uri, None),
                    Some(access) => (uri, Some(access?)),
                }
            }
            _ => (item, None),
        };
        let text = self.text(item)?;
        let at = item.node.at;
        if is_expression(text) || text.contains(['{', '}']) {
            let hint =
                "what a document refers to is fetched when it is applied: write the address itself";
            let message = "this address cannot be computed";
            self.report(Code::ComputedReference, at, message, Some(hint.into()));
            return None;
        }
        if !is_address(text) {
            let hint = "it begins with `https://` or `http://`, and has a host";
            let message = format!("`{}` is not an address", shown(text));
            self.report(Code::Endpoint, at, message, Some(hint.into()));
            return None;
        }
        Some(Address { uri: text, at, access })
    }

    /// Looks an address up, and makes it part of the revision.
    pub(super) fn resource(
        &mut self,
        uri: &str,
        at: Location,
        access: Option<Access>,
        kind: ReferenceKind,
    ) -> Result<Option<Resource>, ()> {
        if let Some(access) = access {
            // It is fetched once: by whoever the document names first.
            self.access.entry(uri.to_owned()).or_insert(access);
        }
        let to = ReferenceTo { kind, name: uri.to_owned() };
        match self.catalog.resource(uri) {
            Lookup::Found(text) => {
                self.references.insert(Reference { to, digest: Digest::of(text.as_bytes()) });
                Ok(Some(Resource { at, uri: uri.to_owned(), text }))
            }
            Lookup::Missing(why) => {
                let message = format!("the {kind} `{}` cannot be had: {why}", shown(uri));
                let hint = "the site fetches it when the document is applied, through its gate";
                self.report(Code::ResourceMissing, at, message, Some(hint.into()));
                Err(())
            }
            Lookup::NotAsked => {
                self.unresolved.insert(to);
                Ok(None)
            }
        }
    }

    /// The resource as a tree. What is wrong with its text is told where it is referred to.
    pub(super) fn parsed(&mut self, resource: &Resource) -> Option<Node> {
        let mut problems = Problems::default();
        let node = yaml::parse(&resource.text, &mut problems);
        if node.is_none() || problems.has_errors() {
            let list = problems.into_list(None);
            let (line, what) = list.first().map_or((1, "it is empty".to_owned()), |first| {
                (first.location.line, first.message.clone())
            });
            self.resource_invalid(resource, &format!("line {line}: {what}"));
            return None;
        }
        node
    }

    pub(super) fn resource_invalid(&mut self, resource: &Resource, what: &str) {
        let message = format!("`{}` is not what it should be: {what}", shown(&resource.uri));
        self.report(Code::ResourceInvalid, resource.at, message, None);
    }
}

fn is_address(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let rest = ["https://", "http://"].iter().find_map(|scheme| lower.strip_prefix(scheme));
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"<>\\^`|".contains(c);
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':', '@']))
        && text.chars().all(plain)
}
