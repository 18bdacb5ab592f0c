//! Revisions in memory. A revision never changes, so what was read once serves every run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base::Digest;
use base::name::WorkflowKey;
use spec::Catalog;
use spec::resolved::{Around, Resolved};
use spec::tree::Workflow;
use store::Store;

use super::{LoadError, Parts};

/// Revisions kept. One is some kilobytes; a site has tens of workflows.
const REVISIONS_KEPT_MAX: usize = 256;

#[derive(Default)]
pub(crate) struct Revisions(Mutex<HashMap<(WorkflowKey, Digest), Arc<Workflow>>>);

impl Revisions {
    pub(super) async fn get(
        &self,
        parts: &Parts,
        key: &WorkflowKey,
        revision: Digest,
    ) -> Result<Arc<Workflow>, LoadError> {
        self.read(&*parts.store, &*parts.catalog, key, revision).await
    }

    pub(crate) async fn read(
        &self,
        store: &dyn Store,
        catalog: &(dyn Catalog + Send + Sync),
        key: &WorkflowKey,
        revision: Digest,
    ) -> Result<Arc<Workflow>, LoadError> {
        let name = (key.clone(), revision);
        if let Some(found) = self.kept().get(&name) {
            return Ok(found.clone());
        }
        let row = store.revision_get(key.clone(), revision).await?;
        let row = row.ok_or_else(|| LoadError::RevisionMissing(key.clone(), revision))?;
        let unreadable = |what: String| LoadError::RevisionUnreadable(key.clone(), revision, what);
        let text = std::str::from_utf8(&row.text).map_err(|wrong| unreadable(wrong.to_string()))?;
        let resolved =
            Resolved::decode(&row.resolved).map_err(|wrong| unreadable(wrong.to_string()))?;
        let around = Around { catalog, resolved: &resolved };
        let read = spec::read(text, &around).map_err(|wrong| {
            unreadable(wrong.first().map_or_else(String::new, |first| first.message.clone()))
        })?;
        let workflow = Arc::new(read.workflow);
        let mut kept = self.kept();
        if kept.len() >= REVISIONS_KEPT_MAX {
            kept.clear();
        }
        kept.insert(name, workflow.clone());
        Ok(workflow)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<(WorkflowKey, Digest), Arc<Workflow>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
