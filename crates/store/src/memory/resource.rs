//! Resources.

use std::ops::Bound;

use super::{MemoryStore, page};
use crate::{Answer, ResourceKind, ResourceRow, ResourceStore};

impl ResourceStore for MemoryStore {
    fn resource_get(&self, kind: ResourceKind, name: String) -> Answer<'_, Option<ResourceRow>> {
        self.ask(|kept| {
            let record = kept.resources.get(&(kind, name.clone())).cloned();
            record.map(|record| ResourceRow { kind, name, record })
        })
    }

    fn resource_list(
        &self,
        kind: ResourceKind,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<ResourceRow>> {
        self.ask(|kept| {
            let from = Bound::Excluded((kind, after.unwrap_or_default()));
            let of_kind = kept.resources.range((from, Bound::Unbounded));
            let of_kind = of_kind.take_while(|((found, _), _)| *found == kind);
            page(
                of_kind.map(|((_, name), record)| ResourceRow {
                    kind,
                    name: name.clone(),
                    record: record.clone(),
                }),
                limit,
            )
        })
    }
}
