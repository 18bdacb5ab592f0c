//! Which watches there are: kept in the store, put where programs find them, and shown. What passes through
//! them is in `gateway`.

use std::collections::BTreeMap;

use base::{By, Namespace, Random, document};
use models::{ModelName, WatchSpec};
use serde::{Deserialize, Serialize};
use store::{Op, ResourceKind, ResourceRow, Store, resource_all};
use wire::{ModelState, WatchView};

use super::book::BookError;
use super::shelf::{Doc, Models, Name, VERSION, missing, page, parsed, put_op, read, row_name};
use crate::refusal::Refusal;

const WATCH_TYPE: &str = "isonomy.watch";
const KEY_TYPE: &str = "isonomy.watch-key";

/// The row that the key of the digests lies in. Those of watches have a slash.
const KEY_ROW: &str = "key";

/// Watches of one site: each has its connections.
const WATCHES_MAX: usize = 1_000;

/// By what clients are told apart.
#[derive(Serialize, Deserialize)]
struct KeyDoc {
    key: [u64; 4],
}

pub(super) async fn read_all(
    store: &dyn Store,
) -> Result<BTreeMap<Name, Doc<WatchSpec>>, BookError> {
    let mut watches = BTreeMap::new();
    for row in resource_all(store, ResourceKind::Watch).await? {
        if row.name != KEY_ROW {
            let doc: Doc<WatchSpec> = read(&row, WATCH_TYPE)?;
            watches.insert((doc.namespace.clone(), doc.name.clone()), doc);
        }
    }
    Ok(watches)
}

/// Of the digests of clients' keys, and of the letters of stand-ins: made once, so that they are the same tomorrow.
/// One that is new is written down with the first model, route or watch: a site without any writes nothing when it
/// starts.
pub(super) async fn digest_key(
    store: &dyn Store,
    random: &dyn Random,
) -> Result<(Vec<u8>, Option<Op>), BookError> {
    let row = store.resource_get(ResourceKind::Watch, KEY_ROW.to_owned()).await?;
    let (doc, unwritten): (KeyDoc, _) = match row {
        Some(row) => (read(&row, KEY_TYPE)?, None),
        None => {
            let doc = KeyDoc { key: std::array::from_fn(|_| random.u64()) };
            let record = document::write(KEY_TYPE, VERSION, &doc).into();
            let (kind, name) = (ResourceKind::Watch, KEY_ROW.to_owned());
            (doc, Some(Op::ResourcePut(ResourceRow { kind, name, record })))
        }
    };
    Ok((doc.key.iter().flat_map(|part| part.to_be_bytes()).collect(), unwritten))
}

impl Models {
    pub(super) fn put_watches(&self) {
        let all = self.kept().watches.clone();
        self.0.watches.put(all.into_values().map(|doc| (doc.namespace, doc.name, doc.spec)));
    }

    /// Puts a watch in the place of the one of that name. True where there was none.
    pub(crate) async fn watch_put(
        &self,
        by: By,
        name: Name,
        spec: serde_json::Value,
    ) -> Result<(WatchView, bool), Refusal> {
        let spec: WatchSpec = parsed(spec)?;
        spec.check().map_err(|wrong| Refusal::parameter("spec", wrong))?;
        if name.1.as_str().contains('/') {
            let what = "the name of a watch is one part of a path, so it has no `/`";
            return Err(Refusal::parameter("name", what));
        }
        let _alone = self.0.changing.lock().await;
        let (is_new, count) = {
            let kept = self.kept();
            (!kept.watches.contains_key(&name), kept.watches.len())
        };
        if is_new && count >= WATCHES_MAX {
            let what = format!("there are {WATCHES_MAX} watches, and no more are kept");
            return Err(Refusal::parameter("name", what));
        }
        let doc = self.doc(&by, &name, spec);
        let ops = vec![put_op(ResourceKind::Watch, WATCH_TYPE, &doc)];
        self.commit("watch-put", &name, &by, ops).await?;
        self.kept().watches.insert(name.clone(), doc);
        self.put_watches();
        Ok((self.watch_show(&name)?, is_new))
    }

    pub(crate) async fn watch_delete(&self, by: By, name: Name) -> Result<(), Refusal> {
        let _alone = self.0.changing.lock().await;
        self.watch_show(&name)?;
        let op = Op::ResourceDelete { kind: ResourceKind::Watch, name: row_name(&name) };
        self.commit("watch-deleted", &name, &by, vec![op]).await?;
        self.kept().watches.remove(&name);
        self.put_watches();
        Ok(())
    }

    pub(crate) fn watch_show(&self, name: &Name) -> Result<WatchView, Refusal> {
        let doc = self.kept().watches.get(name).cloned();
        doc.map(|doc| self.watch_view(doc)).ok_or_else(|| missing("watch", &name.1))
    }

    /// By name, behind `after`.
    pub(crate) fn watch_list(
        &self,
        namespace: &Namespace,
        after: Option<&ModelName>,
        limit: u32,
    ) -> Vec<WatchView> {
        let docs = page(&self.kept().watches, namespace, after, limit);
        docs.into_iter().map(|doc| self.watch_view(doc)).collect()
    }

    fn watch_view(&self, doc: Doc<WatchSpec>) -> WatchView {
        let watch = self.0.watches.find(&doc.namespace, &doc.name);
        let why = watch.as_ref().and_then(|it| it.denied().map(str::to_owned));
        WatchView {
            path: format!("/watch/{}/{}", doc.namespace, doc.name),
            namespace: doc.namespace.to_string(),
            name: doc.name.to_string(),
            spec: serde_json::to_value(&doc.spec).expect("our own types have JSON text"),
            updated_at: doc.updated_at.to_string(),
            updated_by: doc.updated_by,
            state: if why.is_some() { ModelState::Denied } else { ModelState::Ready },
            why,
            others: watch.map_or(0, |it| it.others()),
        }
    }
}
