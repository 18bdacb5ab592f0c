//! What a document referred to when it was applied: the texts behind its addresses, and the revisions
//! of the workflows that it runs. Stored with the revision, so that a run asks nobody again.
//! The written form is in `docs/spec/revision.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::name::{FunctionRef, Namespace, WorkflowKey, WorkflowName};
use base::value::{as_object, as_str, get, object, string};
use base::{Digest, Value};

use crate::catalog::{Catalog, Lookup, Manifest};

const TYPE: &str = "isonomy.resolved";

/// What was found for one document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Texts by address.
    pub resources: BTreeMap<String, Arc<str>>,
    /// Revisions by [`workflow_reference`].
    pub workflows: BTreeMap<String, Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read what the revision refers to: {0}")]
pub struct ResolvedError(String);

/// How a reference to a workflow is written: `namespace/name:version`.
#[must_use]
pub fn workflow_reference(key: &WorkflowKey, version: &str) -> String {
    format!("{key}:{version}")
}

/// The workflow and version of a [`workflow_reference`].
#[must_use]
pub fn workflow_of(reference: &str) -> Option<(WorkflowKey, &str)> {
    let (key, version) = reference.split_once(':')?;
    let (namespace, name) = key.split_once('/')?;
    let namespace = Namespace::parse(namespace).ok()?;
    let name = WorkflowName::parse(name).ok()?;
    Some((WorkflowKey { namespace, name }, version))
}

impl Resolved {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.workflows.is_empty()
    }

    /// Nothing at all for a document that refers to nothing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let resources = object(self.resources.iter().map(|(uri, text)| (&**uri, string(text))));
        let workflows = self.workflows.iter();
        let workflows = object(workflows.map(|(name, it)| (&**name, string(&it.to_string()))));
        base::value::to_json(&object([
            ("type", string(TYPE)),
            ("v", base::value::int(1)),
            ("resources", resources),
            ("workflows", workflows),
        ]))
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, ResolvedError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let wrong = |what: &str| ResolvedError(what.to_owned());
        let value = base::value::parse(bytes).map_err(|error| wrong(&error.to_string()))?;
        if get(&value, "type").and_then(as_str) != Some(TYPE) {
            return Err(wrong("it is of another type"));
        }
        if get(&value, "v") != Some(&base::value::int(1)) {
            return Err(wrong("it was written by a newer version"));
        }
        let texts = |field: &str| -> Result<Vec<(String, String)>, ResolvedError> {
            let map =
                get(&value, field).and_then(as_object).ok_or_else(|| wrong("a part is missing"))?;
            let text = |value: &Value| as_str(value).map(str::to_owned);
            map.iter()
                .map(|(name, value)| text(name).zip(text(value)))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("a part is not text"))
        };
        let digest = |(name, text): (String, String)| {
            let digest = text.parse().map_err(|_| wrong("a digest is none"))?;
            Ok((name, digest))
        };
        Ok(Self {
            resources: texts("resources")?.into_iter().map(|(uri, it)| (uri, it.into())).collect(),
            workflows: texts("workflows")?.into_iter().map(digest).collect::<Result<_, _>>()?,
        })
    }
}

/// A catalog that answers from what was found before, and asks nobody else.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub catalog: &'a dyn Catalog,
    pub resolved: &'a Resolved,
}

impl Catalog for Around<'_> {
    fn function(&self, function: &FunctionRef) -> Option<Manifest> {
        self.catalog.function(function)
    }

    fn names(&self) -> Vec<FunctionRef> {
        self.catalog.names()
    }

    fn resource(&self, uri: &str) -> Lookup<Arc<str>> {
        match self.resolved.resources.get(uri) {
            Some(text) => Lookup::Found(text.clone()),
            None => Lookup::Missing("it is not stored with the revision".to_owned()),
        }
    }

    fn workflow(&self, key: &WorkflowKey, version: &str) -> Lookup<Digest> {
        match self.resolved.workflows.get(&workflow_reference(key, version)) {
            Some(digest) => Lookup::Found(*digest),
            None => Lookup::Missing("it is not stored with the revision".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: leave a part out, or take any type or version for ours.
    #[test]
    fn what_was_resolved_is_read_as_it_was_written() {
        let resolved = Resolved {
            resources: [("https://a.example/s".to_owned(), "{}".into())].into(),
            workflows: [("team/flow:latest".to_owned(), Digest::of(b"x"))].into(),
        };
        assert_eq!(Resolved::decode(&resolved.encode()), Ok(resolved));
        assert!(Resolved::default().encode().is_empty());
        assert_eq!(Resolved::decode(b""), Ok(Resolved::default()));
        for bad in [
            r#"{"type": "isonomy.record", "v": 1, "resources": {}, "workflows": {}}"#,
            r#"{"type": "isonomy.resolved", "v": 2, "resources": {}, "workflows": {}}"#,
            r#"{"type": "isonomy.resolved", "v": 1, "resources": {}}"#,
            r#"{"type": "isonomy.resolved", "v": 1, "resources": {"a": 1}, "workflows": {}}"#,
            r#"{"type": "isonomy.resolved", "v": 1, "resources": {}, "workflows": {"a": "b"}}"#,
            "{",
        ] {
            assert!(Resolved::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
