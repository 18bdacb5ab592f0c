//! What documents refer to, looked up while they are applied, and pinned: a run never asks again.
//!
//! Reading a document is not asynchronous and asks nobody, so it is read more than once: each time it
//! says what it has not been told yet, that is looked up, and it is read again. Documents that are
//! applied together may refer to each other, even in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::Digest;
use base::name::{FunctionRef, WorkflowKey};
use server::{Roles, finding, invalid};
use spec::read::LATEST;
use spec::resolved::{Resolved, workflow_of, workflow_reference};
use spec::revision::{Unresolved, revision_digests};
use spec::{Catalog, Lookup, Manifest, Read, Reference, ReferenceKind, ReferenceTo};
use store::{Store, WorkflowRow};
use wire::{ProblemCode, Role};
use worker::{Wanted, Worker};

use crate::refusal::{Refusal, internal};

/// How often one document is read. What it refers to may refer to something else, and a chain of more
/// steps is a mistake or an attack.
const ROUNDS_MAX: usize = 8;

/// Revisions that are searched for a version. Nobody keeps a reference to an older one.
const REVISIONS_SEARCHED_MAX: u32 = 1_000;

/// Texts that one document may refer to. Each is a request that somebody waits for.
const RESOURCES_MAX: usize = 64;

/// Versions that a message names.
const VERSIONS_SHOWN_MAX: usize = 5;

/// A document as somebody has sent it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub text: String,
    /// What it is called in findings.
    pub source: String,
}

/// A document that is right, and all that it refers to outside of its set.
pub(crate) struct Resolution {
    pub sent: Sent,
    pub read: Read,
    pub resolved: Resolved,
}

/// A document with its name by content. `resolved` is complete.
pub(crate) struct Named {
    pub resolution: Resolution,
    pub revision: Digest,
}

/// What the site itself has for documents.
#[derive(Clone)]
pub(crate) struct Pooled {
    pub catalog: Arc<worker::Catalog>,
    /// Names of its pools.
    pub pools: Arc<[String]>,
}

/// Whoever looks up what a document asks for.
#[derive(Clone)]
pub(crate) struct Resolver {
    pub store: Arc<dyn Store>,
    pub catalog: Pooled,
    pub worker: Worker,
}

/// The documents that are applied together: their versions by name.
type Members = BTreeMap<WorkflowKey, String>;

/// What is known around one document so far.
#[derive(Clone)]
struct Known {
    catalog: Pooled,
    members: Arc<Members>,
    resolved: Resolved,
    /// Why something could not be had, by how the document names it.
    missing: BTreeMap<String, String>,
}

impl Resolver {
    /// Resolves documents that are applied together, and names them. What is wrong with any of them
    /// is said of all of them at once.
    pub(crate) async fn resolve_all(
        &self,
        sent: Vec<Sent>,
        roles: &Roles,
    ) -> Result<Vec<Named>, Refusal> {
        let alone = Arc::new(Members::new());
        let mut wrong = Vec::new();
        let mut first = Vec::new();
        for one in sent {
            match self.read(one, self.known(&alone)).await? {
                Ok((resolution, _)) => first.push(resolution),
                Err(findings) => wrong.extend(findings),
            }
        }
        if !wrong.is_empty() {
            return Err(invalid(wrong).into());
        }
        let members = Arc::new(members(&first)?);
        // Before anything is fetched with what their namespaces know.
        members.keys().try_for_each(|key| roles.need(Role::Admin, &key.namespace))?;
        let mut resolutions = Vec::new();
        for resolution in first {
            if resolution.read.unresolved.is_empty() {
                resolutions.push(resolution);
                continue;
            }
            match self.resolve(resolution.sent, &members, roles).await? {
                Ok(resolution) => resolutions.push(resolution),
                Err(findings) => wrong.extend(findings),
            }
        }
        if wrong.is_empty() { name_all(resolutions, &members) } else { Err(invalid(wrong).into()) }
    }

    /// Reads one document and looks up what it asks for, until it asks for nothing more.
    async fn resolve(
        &self,
        sent: Sent,
        members: &Arc<Members>,
        roles: &Roles,
    ) -> Result<Result<Resolution, Vec<wire::Finding>>, Refusal> {
        let mut known = self.known(members);
        let mut sent = sent;
        for _ in 0..ROUNDS_MAX {
            let (resolution, read) = match self.read(sent, known).await? {
                Ok(read) => read,
                Err(findings) => return Ok(Err(findings)),
            };
            if resolution.read.unresolved.is_empty() {
                return Ok(Ok(resolution));
            }
            known = read;
            self.look_up(&resolution.read, &mut known, roles).await?;
            sent = resolution.sent;
        }
        let detail = format!(
            "`{}` refers to something that refers to something else, more than {ROUNDS_MAX} times",
            sent.source
        );
        Err(Refusal::new(ProblemCode::WorkflowInvalid, detail))
    }

    /// Looks up what is asked for, and remembers what came of it. What lies behind addresses is
    /// fetched all at once.
    async fn look_up(&self, read: &Read, known: &mut Known, roles: &Roles) -> Result<(), Refusal> {
        let mut uris = BTreeSet::new();
        for to in &read.unresolved {
            match to.kind {
                ReferenceKind::Workflow => match self.workflow(&to.name, roles).await? {
                    Ok(digest) => {
                        known.resolved.workflows.insert(to.name.clone(), digest);
                    }
                    Err(why) => {
                        known.missing.insert(to.name.clone(), why);
                    }
                },
                ReferenceKind::Function
                | ReferenceKind::Schema
                | ReferenceKind::Script
                | ReferenceKind::OpenApi => {
                    uris.insert(to.name.clone());
                }
            }
        }
        let left = RESOURCES_MAX.saturating_sub(known.resolved.resources.len());
        let fetched = uris.into_iter().enumerate().map(|(number, uri)| async move {
            let text = match number < left {
                true => self.worker.fetch(wanted(read, &uri)).await,
                false => Err(format!("a document refers to at most {RESOURCES_MAX} addresses")),
            };
            (uri, text)
        });
        for (uri, text) in futures::future::join_all(fetched).await {
            match text {
                Ok(text) => drop(known.resolved.resources.insert(uri, text)),
                Err(why) => drop(known.missing.insert(uri, why)),
            }
        }
        Ok(())
    }

    /// The stored revision that a reference leads to, or why there is none.
    async fn workflow(
        &self,
        reference: &str,
        roles: &Roles,
    ) -> Result<Result<Digest, String>, Refusal> {
        let (key, version) = workflow_of(reference).ok_or_else(internal)?;
        // Whether it is there is not told to those who may not start it.
        if !roles.may_start(&key) {
            return Ok(Err(format!(
                "whoever applies this may not start workflows of `{}`",
                key.namespace
            )));
        }
        let head = match self.store.workflow_get(key.clone()).await? {
            None => return Ok(Err("no workflow of that name is applied".to_owned())),
            Some(WorkflowRow { deleted_at: Some(_), .. }) => {
                return Ok(Err("it was deleted".to_owned()));
            }
            Some(head) => head,
        };
        if version == LATEST || version == head.version {
            return Ok(Ok(head.revision));
        }
        let rows = self.store.revision_list(key, REVISIONS_SEARCHED_MAX).await?;
        if let Some(row) = rows.iter().find(|row| row.version == version) {
            return Ok(Ok(row.revision));
        }
        let versions: BTreeSet<&str> = rows.iter().map(|row| &*row.version).collect();
        let mut shown: Vec<String> =
            versions.iter().take(VERSIONS_SHOWN_MAX).map(|it| format!("`{it}`")).collect();
        if versions.len() > shown.len() {
            shown.push("others".to_owned());
        }
        Ok(Err(format!("its versions are {}", shown.join(", "))))
    }

    fn known(&self, members: &Arc<Members>) -> Known {
        Known {
            catalog: self.catalog.clone(),
            members: Arc::clone(members),
            resolved: Resolved::default(),
            missing: BTreeMap::new(),
        }
    }

    async fn read(
        &self,
        sent: Sent,
        known: Known,
    ) -> Result<Result<(Resolution, Known), Vec<wire::Finding>>, Refusal> {
        // A large document takes tens of milliseconds, in which other requests go on.
        let work = tokio::task::spawn_blocking(move || {
            let read = spec::read(&sent.text, &known);
            (sent, known, read)
        });
        let (sent, known, read) = work.await.map_err(|_| internal())?;
        Ok(match read {
            Ok(read) => {
                let resolved = known.resolved.clone();
                Ok((Resolution { sent, read, resolved }, known))
            }
            Err(found) => {
                Err(found.iter().map(|it| finding(it, &sent.source, &sent.text)).collect())
            }
        })
    }
}

impl Known {
    fn is_member(&self, key: &WorkflowKey, version: &str) -> bool {
        self.members.get(key).is_some_and(|own| version == LATEST || version == own)
    }
}

impl Catalog for Known {
    fn function(&self, function: &FunctionRef) -> Option<Manifest> {
        self.catalog.catalog.function(function)
    }

    fn names(&self) -> Vec<FunctionRef> {
        self.catalog.catalog.names()
    }

    fn pools(&self) -> Option<Vec<String>> {
        Some(self.catalog.pools.to_vec())
    }

    fn resource(&self, uri: &str) -> Lookup<Arc<str>> {
        match (self.resolved.resources.get(uri), self.missing.get(uri)) {
            (Some(text), _) => Lookup::Found(Arc::clone(text)),
            (None, Some(why)) => Lookup::Missing(why.clone()),
            (None, None) => Lookup::NotAsked,
        }
    }

    fn workflow(&self, key: &WorkflowKey, version: &str) -> Lookup<Digest> {
        let name = workflow_reference(key, version);
        if self.is_member(key, version) {
            // Stands for a digest that nobody knows before all of the set are read.
            return Lookup::Found(Digest::of(name.as_bytes()));
        }
        if let Some(digest) = self.resolved.workflows.get(&name) {
            return Lookup::Found(*digest);
        }
        match self.missing.get(&name) {
            Some(why) => Lookup::Missing(why.clone()),
            None => Lookup::NotAsked,
        }
    }
}

fn wanted<'a>(read: &'a Read, uri: &'a str) -> Wanted<'a> {
    Wanted {
        namespace: &read.workflow.document.key.namespace,
        uri,
        access: read.access.get(uri),
        secrets: &read.workflow.secrets,
    }
}

fn members(documents: &[Resolution]) -> Result<Members, Refusal> {
    let mut members = Members::new();
    for document in documents {
        let document = &document.read.workflow.document;
        if members.insert(document.key.clone(), document.version.clone()).is_some() {
            let detail = format!("two documents are the workflow `{}`; send one", document.key);
            return Err(Refusal::new(ProblemCode::BodyInvalid, detail));
        }
    }
    Ok(members)
}

/// Names documents that may refer to each other, and completes what each refers to.
fn name_all(resolutions: Vec<Resolution>, members: &Members) -> Result<Vec<Named>, Refusal> {
    let names = |key: &WorkflowKey| {
        let version = members.get(key).map_or("", String::as_str);
        [workflow_reference(key, version), workflow_reference(key, LATEST)]
    };
    let inside: BTreeSet<String> = members.keys().flat_map(names).collect();
    let is_inside = |reference: &&Reference| {
        reference.to.kind == ReferenceKind::Workflow && inside.contains(&reference.to.name)
    };
    let all = resolutions.iter().flat_map(|it| &it.read.references);
    let outside: BTreeMap<&ReferenceTo, Digest> =
        all.filter(|it| !is_inside(it)).map(|it| (&it.to, it.digest)).collect();
    let unresolved: Vec<Unresolved> = resolutions
        .iter()
        .map(|it| {
            let [name, latest] = names(&it.read.workflow.document.key);
            Unresolved {
                name,
                also: vec![latest],
                text: it.sent.text.clone(),
                references: it.read.references.iter().map(|one| one.to.clone()).collect(),
            }
        })
        .collect();
    let digests = revision_digests(&unresolved, &|to| outside.get(to).copied());
    let digests = digests.map_err(|_| internal())?;
    let mut named = Vec::new();
    for (mut resolution, it) in resolutions.into_iter().zip(&unresolved) {
        let revision = *digests.get(&it.name).ok_or_else(internal)?;
        for reference in resolution.read.references.iter().filter(is_inside) {
            let (key, _) = workflow_of(&reference.to.name).ok_or_else(internal)?;
            let digest = *digests.get(&names(&key)[0]).ok_or_else(internal)?;
            resolution.resolved.workflows.insert(reference.to.name.clone(), digest);
        }
        named.push(Named { resolution, revision });
    }
    Ok(named)
}
