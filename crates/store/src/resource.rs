//! What somebody wants to be so: small documents by kind and name, each put and read whole.

use bytes::Bytes;

use crate::{Answer, Store, StoreError};

/// Resources that are read at once.
const PAGE: u32 = 500;

/// The store tells kinds apart and knows nothing else of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// Who may ask.
    Key,
    /// Which sites get which workflow.
    Placement,
    /// What a hub has said should be at its sites.
    Edition,
    /// A part of a text that is on its way.
    Piece,
    /// A text that an edition names.
    Text,
    /// At a site: a workflow that is its hub's.
    Managed,
    /// At a hub: what it has lost by being brought back from a backup.
    Recovery,
    /// At a site: what has left it, by day.
    Left,
    /// At a site: which files it has exchanged with its hub.
    Exchange,
    /// At a hub: what somebody has asked its sites for.
    Request,
    /// What sites have other sites do: at a site, what it has asked and what it was asked; at a hub, how
    /// far it has looked.
    Dispatch,
    /// What time it has been.
    Time,
    /// What answers calls, by name.
    Model,
    /// A name that stands for several models.
    Route,
    /// A cap on what calls may cost.
    Budget,
    /// What is leased of a fleet's budget: at a site its purses, at a hub those of all sites.
    Lease,
    /// Of calls of models. At a site: what their pages came to, up to one of them; what was said later of one;
    /// what its hub was told. At a hub: what sites have said.
    Calls,
    /// A model's file among the blobs, and what is in it.
    Artifact,
    /// What a person of the site is asked in place of a model, and has answered.
    Question,
    /// An address elsewhere that calls are seen on their way to; and by what their clients are told apart.
    Watch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRow {
    pub kind: ResourceKind,
    /// Unique in its kind.
    pub name: String,
    pub record: Bytes,
}

pub trait ResourceStore {
    fn resource_get(&self, kind: ResourceKind, name: String) -> Answer<'_, Option<ResourceRow>>;
    /// By name, after `after`.
    fn resource_list(
        &self,
        kind: ResourceKind,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<ResourceRow>>;
}

/// All of a kind, by name: for those of which there are few.
pub async fn resource_all(
    store: &dyn Store,
    kind: ResourceKind,
) -> Result<Vec<ResourceRow>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.resource_list(kind, after.take(), PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map(|row| row.name.clone());
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

impl ResourceKind {
    pub const ALL: [Self; 20] = [
        Self::Key,
        Self::Placement,
        Self::Edition,
        Self::Piece,
        Self::Text,
        Self::Managed,
        Self::Recovery,
        Self::Left,
        Self::Exchange,
        Self::Request,
        Self::Dispatch,
        Self::Time,
        Self::Model,
        Self::Route,
        Self::Budget,
        Self::Lease,
        Self::Calls,
        Self::Artifact,
        Self::Question,
        Self::Watch,
    ];
}
