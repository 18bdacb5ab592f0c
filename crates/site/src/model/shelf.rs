//! Which models and routes there are: kept in the store, and put on the desk. How they are shown is in `view`,
//! budgets are in `budget`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{By, Clock, Namespace, Timestamp, document};
use gateway::desk::ShelfParts;
use gateway::{Desk, Watches};
use models::genai::Provider;
use models::{Model, ModelName, ModelSpec, PriceSpec, RouteSpec, WatchSpec};
use pricing::Catalogue;
use serde::{Deserialize, Serialize};
use server::{Keys, change_op};
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store, resource_all};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{ModelView, ProblemCode, RouteView};

use super::artifact::{self, ArtifactDoc};
use super::book::{Book, BookError};
use super::budget::{self, Budgets};
use super::inbox::Inbox;
use super::lease::{LeaseParts, Leases};
use super::names::{Guarding, LOOK_EVERY};
use super::price;
use super::runner::Processes;
use super::telemetry::{Exporter, Providers, Seen};
use super::watch;
use crate::refusal::Refusal;

const MODEL_TYPE: &str = "isonomy.model";
const ROUTE_TYPE: &str = "isonomy.route";
pub(super) const VERSION: u32 = 1;

/// Models and routes of one site: every team of a large house has some.
const MODELS_MAX: usize = 10_000;

/// Where calls are made, and where they pass.
pub(crate) struct Doors {
    pub desk: Desk,
    pub watches: Watches,
    pub catalogue: Arc<Catalogue>,
    /// The key of digests, where it is not written down yet.
    pub key_unwritten: Option<Op>,
}

#[derive(Clone)]
pub(crate) struct Models(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) desk: Desk,
    pub(super) processes: Processes,
    pub(super) watches: Watches,
    pub(super) guarding: Guarding,
    book: Book,
    inbox: Inbox,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) catalogue: Arc<Catalogue>,
    kept: Mutex<Kept>,
    /// One change at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// One file of a model at a time: it is held in memory.
    pub(super) taking: tokio::sync::Mutex<()>,
    /// And one that is on its way.
    pub(super) fetching: tokio::sync::Mutex<()>,
    closing: CancellationToken,
    /// What writes the book, and what tells others of it.
    keeping: Mutex<Vec<JoinHandle<()>>>,
}

pub(super) type Name = (Namespace, ModelName);

#[derive(Default, Clone)]
pub(super) struct Kept {
    pub(super) models: BTreeMap<Name, Doc<ModelSpec>>,
    pub(super) artifacts: BTreeMap<artifact::Key, ArtifactDoc>,
    /// Of those, the ones that no model has named yet, the oldest first.
    pub(super) unnamed: VecDeque<artifact::Key>,
    routes: BTreeMap<Name, Doc<RouteSpec>>,
    pub(super) watches: BTreeMap<Name, Doc<WatchSpec>>,
    /// Goes with the first change.
    key_unwritten: Option<Op>,
    pub(super) budgets: Budgets,
}

/// What is kept of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Doc<T> {
    pub namespace: Namespace,
    pub name: ModelName,
    pub spec: T,
    pub updated_at: Timestamp,
    pub updated_by: String,
}

#[derive(Serialize)]
pub(super) struct ChangeDoc<'a> {
    pub change: &'static str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

impl Models {
    pub(crate) async fn open(
        doors: Doors,
        processes: Processes,
        guarding: Guarding,
        book: Book,
        inbox: Inbox,
        clock: Arc<dyn Clock>,
        keys: &Keys,
    ) -> Result<Self, BookError> {
        let store = Arc::clone(book.store());
        let Doors { desk, watches, catalogue, key_unwritten } = doors;
        let mut kept = Kept { key_unwritten, ..Kept::default() };
        for row in resource_all(store.as_ref(), ResourceKind::Model).await? {
            let doc: Doc<ModelSpec> = read(&row, MODEL_TYPE)?;
            kept.models.insert((doc.namespace.clone(), doc.name.clone()), doc);
        }
        kept.artifacts = artifact::read_all(&store).await?;
        let unnamed: Vec<artifact::Key> =
            kept.artifacts.keys().filter(|key| !kept.is_named(key)).cloned().collect();
        if !unnamed.is_empty() {
            let ops = artifact::forget(&kept.artifacts, &unnamed);
            store.commit(ops, Preconditions::none()).await?;
            kept.artifacts.retain(|key, _| !unnamed.contains(key));
        }
        for row in resource_all(store.as_ref(), ResourceKind::Route).await? {
            let doc: Doc<RouteSpec> = read(&row, ROUTE_TYPE)?;
            kept.routes.insert((doc.namespace.clone(), doc.name.clone()), doc);
        }
        kept.watches = watch::read_all(store.as_ref()).await?;
        let budgets = budget::read_all(store.as_ref()).await?;
        let closing = CancellationToken::new();
        let keeping = tokio::spawn(book.clone().keep(closing.clone()));
        let models = Self(Arc::new(Inner {
            desk,
            watches,
            processes,
            guarding,
            book,
            inbox,
            store,
            clock,
            catalogue,
            kept: Mutex::new(kept),
            taking: tokio::sync::Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            closing,
            keeping: Mutex::new(vec![keeping]),
        }));
        models.follow_keys(keys);
        models.put_budgets(budgets);
        models.put_watches();
        models.put_on_desk().await;
        tokio::spawn(models.clone().look_at_names());
        tokio::spawn(models.0.inbox.clone().keep(models.0.closing.clone()));
        Ok(models)
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.0.watches
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.0.desk
    }

    /// What the hub leases is spent here.
    pub(crate) async fn lease(&self, parts: LeaseParts) -> Result<Leases, BookError> {
        Leases::open(parts, self.0.desk.clone(), self.0.book.clone()).await
    }

    pub(crate) fn book(&self) -> &Book {
        &self.0.book
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.0.inbox
    }

    /// What is left to be written down is written down.
    pub(crate) async fn ended(&self) {
        self.0.watches.ended().await;
        self.0.closing.cancel();
        let keeping = std::mem::take(&mut *self.keeping());
        for it in keeping {
            it.await.ok();
        }
    }

    /// Spans of calls are sent from now on.
    pub(super) fn export(&self, exporter: Exporter) {
        let exporting = tokio::spawn(exporter.run(self.0.closing.clone()));
        self.keeping().push(exporting);
    }

    /// What is told of calls.
    pub(crate) fn seen(&self) -> Seen {
        self.0.book.observing(|it| it.seen())
    }

    fn keeping(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names that models must not see are read again when their files change.
    async fn look_at_names(self) {
        loop {
            tokio::select! {
                () = self.0.closing.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let _alone = self.0.changing.lock().await;
            if self.0.guarding.has_names() {
                self.put_on_desk().await;
            }
        }
    }

    async fn put_on_desk(&self) {
        let kept = self.kept().clone();
        let model = |doc: Doc<ModelSpec>| Model {
            namespace: doc.namespace,
            name: doc.name,
            spec: doc.spec,
        };
        let route = |doc: Doc<RouteSpec>| (doc.namespace, doc.name, doc.spec);
        let models: Vec<Model> = kept.models.into_values().map(model).collect();
        let bytes = |model: &Model| {
            let digest = model.spec.source.artifact().map(|it| it.digest)?;
            Some(kept.artifacts.get(&(model.namespace.clone(), digest))?.bytes)
        };
        let files = models.iter().filter_map(|model| Some((model, bytes(model)?)));
        self.0.processes.put(files);
        let mut providers = Providers::new();
        for model in &models {
            let of = providers.entry(model.namespace.clone()).or_default();
            of.insert(model.name.clone(), Provider::of(&model.spec.source));
        }
        self.0.book.observing(|it| it.know(providers));
        let names = self.0.guarding.names(&models).await;
        self.0.desk.put(ShelfParts {
            models,
            routes: kept.routes.into_values().map(route).collect(),
            catalogue: Some(Arc::clone(&self.0.catalogue)),
            least: self.0.guarding.least.clone(),
            here: self.0.guarding.here.clone(),
            names,
        });
    }

    /// Puts a model in the place of the one of that name. True where there was none.
    pub(crate) async fn model_put(
        &self,
        by: By,
        name: Name,
        spec: serde_json::Value,
    ) -> Result<(ModelView, bool), Refusal> {
        let spec: ModelSpec = parsed(spec)?;
        spec.check().map_err(|wrong| Refusal::parameter("spec", wrong))?;
        self.is_listed(&spec)?;
        let _alone = self.0.changing.lock().await;
        let taken = self.kept().routes.contains_key(&name);
        self.has_place(&name, taken, "route")?;
        self.has_file(&name.0, &spec)?;
        let gone = self.kept().gone(&name, Some(&spec));
        let doc = self.doc(&by, &name, spec);
        let mut ops = artifact::forget(&self.kept().artifacts, &gone);
        ops.push(put_op(ResourceKind::Model, MODEL_TYPE, &doc));
        self.commit("model-put", &name, &by, ops).await?;
        let is_new = self.kept().put(name.clone(), doc, &gone);
        self.put_on_desk().await;
        Ok((self.model_show(&name)?, is_new))
    }

    pub(crate) async fn route_put(
        &self,
        by: By,
        name: Name,
        spec: serde_json::Value,
    ) -> Result<(RouteView, bool), Refusal> {
        let spec: RouteSpec = parsed(spec)?;
        spec.check().map_err(|wrong| Refusal::parameter("spec", wrong))?;
        let _alone = self.0.changing.lock().await;
        let taken = self.kept().models.contains_key(&name);
        self.has_place(&name, taken, "model")?;
        let doc = self.doc(&by, &name, spec);
        self.commit("route-put", &name, &by, vec![put_op(ResourceKind::Route, ROUTE_TYPE, &doc)])
            .await?;
        let is_new = self.kept().routes.insert(name.clone(), doc).is_none();
        self.put_on_desk().await;
        Ok((self.route_show(&name)?, is_new))
    }

    pub(crate) async fn model_delete(&self, by: By, name: Name) -> Result<(), Refusal> {
        let _alone = self.0.changing.lock().await;
        self.model_show(&name)?;
        let gone = self.kept().gone(&name, None);
        let mut ops = artifact::forget(&self.kept().artifacts, &gone);
        ops.push(Op::ResourceDelete { kind: ResourceKind::Model, name: row_name(&name) });
        self.commit("model-deleted", &name, &by, ops).await?;
        self.kept().remove(&name, &gone);
        self.put_on_desk().await;
        Ok(())
    }

    pub(crate) async fn route_delete(&self, by: By, name: Name) -> Result<(), Refusal> {
        let _alone = self.0.changing.lock().await;
        self.route_show(&name)?;
        let op = Op::ResourceDelete { kind: ResourceKind::Route, name: row_name(&name) };
        self.commit("route-deleted", &name, &by, vec![op]).await?;
        self.kept().routes.remove(&name);
        self.put_on_desk().await;
        Ok(())
    }

    /// A name without a version also means the highest of its versions, as in calls.
    pub(crate) fn model_show(&self, name: &Name) -> Result<ModelView, Refusal> {
        let doc = {
            let kept = self.kept();
            let newest = || {
                let own = kept.models.keys().filter(|(home, _)| *home == name.0);
                let of = own.filter(|(_, it)| it.split() == (name.1.as_str(), it.split().1));
                of.filter(|(_, it)| it.version().is_some()).max_by_key(|(_, it)| it.version())
            };
            let found = kept.models.get(name).or_else(|| kept.models.get(newest()?));
            found.cloned().ok_or_else(|| missing("model", &name.1))?
        };
        Ok(self.model_view(doc))
    }

    pub(crate) fn route_show(&self, name: &Name) -> Result<RouteView, Refusal> {
        let doc = self.kept().routes.get(name).cloned();
        doc.map(|doc| self.route_view(doc)).ok_or_else(|| missing("route", &name.1))
    }

    /// By name, behind `after`.
    pub(crate) fn model_list(
        &self,
        namespace: &Namespace,
        after: Option<&ModelName>,
        limit: u32,
    ) -> Vec<ModelView> {
        let docs = page(&self.kept().models, namespace, after, limit);
        docs.into_iter().map(|doc| self.model_view(doc)).collect()
    }

    pub(crate) fn route_list(
        &self,
        namespace: &Namespace,
        after: Option<&ModelName>,
        limit: u32,
    ) -> Vec<RouteView> {
        let docs = page(&self.kept().routes, namespace, after, limit);
        docs.into_iter().map(|doc| self.route_view(doc)).collect()
    }

    /// A price that is nowhere would let calls go unpriced.
    fn is_listed(&self, spec: &ModelSpec) -> Result<(), Refusal> {
        let Some(PriceSpec::Catalogue(reference)) = &spec.price else { return Ok(()) };
        let known = reference.split_once('/');
        let known = known.and_then(|(provider, name)| self.0.catalogue.model(provider, name));
        if known.is_some() {
            return Ok(());
        }
        let shown = price::shown(reference);
        let what = format!(
            "`price.catalogue`: there is no `{shown}` in the catalogue; write `PROVIDER/MODEL` as `docs/reference/prices.md` says, or `price.own`"
        );
        Err(Refusal::parameter("spec", what))
    }

    /// A file is brought before a model names it.
    fn has_file(&self, namespace: &Namespace, spec: &ModelSpec) -> Result<(), Refusal> {
        let Some(artifact) = spec.source.artifact() else { return Ok(()) };
        let found = self
            .kept()
            .artifacts
            .get(&(namespace.clone(), artifact.digest))
            .map(ArtifactDoc::format);
        match found {
            Some(format) if format == artifact.format => return Ok(()),
            Some(format) => {
                let what = format!("`artifact.format`: this file is `{}`", format.as_str());
                return Err(Refusal::parameter("spec", what));
            }
            None => {}
        }
        let what = format!(
            "`artifact.digest`: `{namespace}` has no such file; `isonomy models add NAME FILE` brings it, and so does `artifact.file` of a document that is applied"
        );
        Err(Refusal::parameter("spec", what))
    }

    fn has_place(&self, name: &Name, is_taken: bool, by: &str) -> Result<(), Refusal> {
        if is_taken {
            let what = format!(
                "there is a {by} `{}` in `{}`; both are called by their name",
                name.1, name.0
            );
            return Err(Refusal::new(ProblemCode::ModelExists, what));
        }
        let kept = self.kept();
        if kept.models.len() + kept.routes.len() >= MODELS_MAX {
            let what = format!("there are {MODELS_MAX} models and routes, and no more are kept");
            return Err(Refusal::parameter("name", what));
        }
        Ok(())
    }

    pub(super) fn doc<T>(&self, by: &By, name: &Name, spec: T) -> Doc<T> {
        Doc {
            namespace: name.0.clone(),
            name: name.1.clone(),
            spec,
            updated_at: self.0.clock.now(),
            updated_by: by.actor.clone(),
        }
    }

    pub(super) async fn commit(
        &self,
        change: &'static str,
        name: &Name,
        by: &By,
        mut ops: Vec<Op>,
    ) -> Result<(), Refusal> {
        let name = row_name(name);
        let doc = ChangeDoc { change, name: &name, what: None, reason: by.reason.as_deref() };
        ops.push(change_op(&doc, by, self.0.clock.now()));
        let key = self.kept().key_unwritten.clone();
        ops.extend(key);
        self.0.store.commit(ops, Preconditions::none()).await?;
        self.kept().key_unwritten = None;
        Ok(())
    }
}

impl Kept {
    /// Whether a model of its namespace names this file.
    fn is_named(&self, (namespace, digest): &artifact::Key) -> bool {
        let models = self.models.values().filter(|doc| doc.namespace == *namespace);
        let mut named = models.filter_map(|doc| doc.spec.source.artifact());
        named.any(|artifact| artifact.digest == *digest)
    }

    /// Files that no model names any more when this one is other than it was, or is no more.
    fn gone(&self, name: &Name, spec: Option<&ModelSpec>) -> Vec<artifact::Key> {
        let digest = |spec: &ModelSpec| spec.source.artifact().map(|it| it.digest);
        let Some(before) = self.models.get(name).and_then(|doc| digest(&doc.spec)) else {
            return Vec::new();
        };
        let others =
            self.models.iter().filter(|((home, other), _)| *home == name.0 && *other != name.1);
        let mut named =
            others.filter_map(|(_, doc)| digest(&doc.spec)).chain(spec.and_then(digest));
        if named.any(|digest| digest == before) {
            return Vec::new();
        }
        vec![(name.0.clone(), before)]
    }

    /// True where there was none of that name.
    fn put(&mut self, name: Name, doc: Doc<ModelSpec>, gone: &[artifact::Key]) -> bool {
        let is_new = self.models.insert(name, doc).is_none();
        self.forget(gone);
        is_new
    }

    fn remove(&mut self, name: &Name, gone: &[artifact::Key]) {
        self.models.remove(name);
        self.forget(gone);
    }

    pub(super) fn forget(&mut self, gone: &[artifact::Key]) {
        self.artifacts.retain(|key, _| !gone.contains(key));
        let waiting = std::mem::take(&mut self.unnamed);
        let waits = |key: &artifact::Key| self.artifacts.contains_key(key) && !self.is_named(key);
        self.unnamed = waiting.into_iter().filter(waits).collect();
    }
}

pub(super) fn page<T: Clone>(
    all: &BTreeMap<Name, Doc<T>>,
    namespace: &Namespace,
    after: Option<&ModelName>,
    limit: u32,
) -> Vec<Doc<T>> {
    let of = all.iter().filter(|((it, _), _)| it == namespace);
    let behind = of.filter(|((_, name), _)| after.is_none_or(|after| name > after));
    behind.take(limit as usize).map(|(_, doc)| doc.clone()).collect()
}

pub(super) fn parsed<T: serde::de::DeserializeOwned>(
    spec: serde_json::Value,
) -> Result<T, Refusal> {
    serde_json::from_value(spec).map_err(|wrong| Refusal::parameter("spec", wrong))
}

pub(super) fn read<T: serde::de::DeserializeOwned>(
    row: &ResourceRow,
    kind: &'static str,
) -> Result<T, BookError> {
    document::read(&row.record, kind, VERSION).map_err(|_| BookError::Resource(row.name.clone()))
}

pub(super) fn put_op<T: Serialize>(kind: ResourceKind, name: &'static str, doc: &Doc<T>) -> Op {
    Op::ResourcePut(ResourceRow {
        kind,
        name: row_name(&(doc.namespace.clone(), doc.name.clone())),
        record: document::write(name, VERSION, doc).into(),
    })
}

/// A namespace has no slash in it.
pub(super) fn row_name((namespace, name): &Name) -> String {
    format!("{namespace}/{name}")
}

pub(super) fn missing(what: &str, name: &ModelName) -> Refusal {
    Refusal::new(
        ProblemCode::ModelMissing,
        format!("there is no {what} `{name}` in this namespace"),
    )
}
