//! `hub`: what the owner of the site does not take from its hub, whatever the hub says.

use std::collections::BTreeSet;

use base::name::WorkflowKey;
use base::{Namespace, WorkflowName};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};

/// What is refused, of whichever order or edition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    namespaces: BTreeSet<Namespace>,
    workflows: BTreeSet<WorkflowKey>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HubFile {
    refuse: RefuseFile,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RefuseFile {
    namespaces: Vec<Spanned<String>>,
    workflows: Vec<Spanned<String>>,
}

impl Refused {
    /// Those that are refused one by one.
    #[must_use]
    pub(crate) fn workflows(&self) -> BTreeSet<WorkflowKey> {
        self.workflows.clone()
    }

    /// Whether the owner does not take this workflow.
    #[must_use]
    pub fn contain(&self, key: &WorkflowKey) -> bool {
        self.namespaces.contains(&key.namespace) || self.workflows.contains(key)
    }
}

impl Reader<'_> {
    pub(super) fn hub(&self, hub: &HubFile) -> Result<Refused, ConfigError> {
        let namespaces = hub.refuse.namespaces.iter().map(|found| {
            Namespace::parse(&found.value).map_err(|wrong| self.wrong(found, wrong.to_string()))
        });
        let workflows = hub.refuse.workflows.iter().map(|found| {
            let key = found.value.split_once('/').and_then(|(namespace, name)| {
                let (namespace, name) = (Namespace::parse(namespace), WorkflowName::parse(name));
                Some(WorkflowKey { namespace: namespace.ok()?, name: name.ok()? })
            });
            key.ok_or_else(|| self.wrong(found, "a workflow is written `namespace/name`"))
        });
        Ok(Refused {
            namespaces: namespaces.collect::<Result<_, _>>()?,
            workflows: workflows.collect::<Result<_, _>>()?,
        })
    }
}
