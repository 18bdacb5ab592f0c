//! `run: {workflow}`: running another workflow. What the reference leads to is fixed when the document
//! is applied, so that a later change of the child does not change the parent.

use base::name::{Namespace, WorkflowKey, WorkflowName};

use crate::catalog::Lookup;
use crate::code::Code;
use crate::node::Kind;
use crate::problems::shown;
use crate::resolved::workflow_reference;
use crate::revision::{Reference, ReferenceKind, ReferenceTo};
use crate::tree::{ChildRun, Template};

use super::Reader;
use super::document::is_semantic_version;
use super::expression::{Around, Position};
use super::fields::Item;

/// The version that means "whichever is current when the parent is applied".
pub const LATEST: &str = "latest";

impl<'a> Reader<'a> {
    pub(super) fn child(
        &mut self,
        item: Item<'a>,
        wait: Option<bool>,
        around: &Around,
    ) -> Option<ChildRun> {
        let fields = self.fields(item, &["namespace", "name", "version", "input"])?;
        let namespace = self.require(&fields, "namespace").and_then(|item| {
            let text = self.fixed_reference(item)?;
            self.named(item, Namespace::parse(text))
        });
        let name = self.require(&fields, "name").and_then(|item| {
            let text = self.fixed_reference(item)?;
            self.named(item, WorkflowName::parse(text))
        });
        let version = self.require(&fields, "version").and_then(|item| self.child_version(item));
        let input = match fields.get("input") {
            Some(item) => self.child_input(item, around).map(Some),
            None => Some(None),
        };
        let key = WorkflowKey { namespace: namespace?, name: name? };
        let version = version?.to_owned();
        let looked_up = self.catalog.workflow(&key, &version);
        let to =
            ReferenceTo { kind: ReferenceKind::Workflow, name: workflow_reference(&key, &version) };
        let revision = match looked_up {
            Lookup::Found(digest) => {
                self.references.insert(Reference { to, digest });
                Some(digest)
            }
            Lookup::NotAsked => {
                self.unresolved.insert(to);
                None
            }
            Lookup::Missing(why) => {
                let message = format!("there is no workflow `{}`: {why}", to.name);
                let hint = "apply it first, or together with this one: `isonomy apply -f FOLDER`, `isonomy run FILE --with FOLDER`";
                self.report(Code::UnknownWorkflow, item.at, message, Some(hint.into()));
                return None;
            }
        };
        Some(ChildRun { key, version, revision, input: input?, wait: wait? })
    }

    /// Part of a reference, which must be known before anything runs.
    fn fixed_reference(&mut self, item: Item<'a>) -> Option<&'a str> {
        let text = self.text(item)?;
        if !text.contains("${") {
            return Some(text);
        }
        let message = "which workflow is run cannot be an expression";
        let hint = "branch with `switch`, one `run` in each case";
        self.report(Code::ComputedReference, item.node.at, message, Some(hint.into()));
        None
    }

    fn named<T>(&mut self, item: Item<'a>, parsed: Result<T, base::name::NameError>) -> Option<T> {
        match parsed {
            Ok(name) => Some(name),
            Err(wrong) => {
                self.report(Code::Name, item.node.at, wrong.to_string(), None);
                None
            }
        }
    }

    fn child_version(&mut self, item: Item<'a>) -> Option<&'a str> {
        let text = self.fixed_reference(item)?;
        if text == LATEST || is_semantic_version(text) {
            return Some(text);
        }
        let message = format!("`{}` is not a semantic version", shown(text));
        let hint = "write three numbers, such as `1.0.0`, or `latest`";
        self.report(Code::Version, item.node.at, message, Some(hint.into()));
        None
    }

    fn child_input(&mut self, item: Item<'a>, around: &Around) -> Option<Template> {
        if let Some(expression) = self.marked(item, Position::Task, around) {
            return expression.map(Template::Expr);
        }
        match item.node.kind {
            Kind::Map(_) => self.template(item, Position::Task, around),
            _ => self.wrong_type(item, "an object or an expression in `${ }`"),
        }
    }
}
