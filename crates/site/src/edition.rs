//! What the hub wants to be here: fetched, applied, and what could not be is told with a reason.
//!
//! ```text
//!   edition on disk ──► what is no more wanted, or not taken, goes
//!                       └► texts that are not here are asked for, a piece at a time
//!                            └► all are here: applied together, but for those that are wrong
//!                                 └► health: all there, on its way, or which not and why
//! ```
//!
//! A reconciler: it looks at the edition and at what is there, does the next step, and can be run again
//! at any time. The line only carries what it asks for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::name::WorkflowKey;
use base::{Digest, document};
use link::site::{Saying, edition, piece_name};
use serde::{Deserialize, Serialize};
use server::{Caller, Roles};
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store, resource_all};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wire::edition::{Head, Leaf, Placed};
use wire::link::{Dataset, Document, Failed, Health, Want};
use wire::{
    DesiredFailed, DesiredState, Finding, ProblemCode, Role, SiteDesired, WorkflowDocument,
    WorkflowSetApply,
};

use crate::config::Refused;
use crate::refusal::Refusal;
use crate::workflow::Workflows;

/// What failed may be right later, such as an address that could not be reached; and what somebody has
/// changed here is put back.
const AGAIN: Duration = Duration::from_secs(300);

/// After something that could not be done now.
const RETRY: Duration = Duration::from_secs(5);

const MANAGED_TYPE: &str = "isonomy.managed";
const MANAGED_VERSION: u32 = 1;

/// In the record of changes.
const ACTOR: &str = "hub";

pub(crate) struct Reconciler {
    pub store: Arc<dyn Store>,
    pub workflows: Workflows,
    pub refused: Refused,
    /// Told when something of the hub's is written down.
    pub came: Arc<Notify>,
    /// What the hub is told of the site's data.
    pub datasets: watch::Receiver<Vec<Dataset>>,
    /// What the line says for it.
    pub saying: watch::Sender<Saying>,
}

/// What is kept of a workflow that is the hub's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Managed {
    text: Digest,
    /// What it became here.
    revision: Digest,
}

impl Reconciler {
    /// Does what the hub wants, until `closing`.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        // The edition whose texts alone are kept.
        let mut cleared = None;
        loop {
            let rest = tokio::select! {
                () = closing.cancelled() => return,
                turned = self.turn(&mut cleared) => match turned {
                    Ok(()) => AGAIN,
                    Err(refusal) => {
                        tracing::error!(?refusal, "cannot do what the hub wants to be here");
                        RETRY
                    }
                },
            };
            tokio::select! {
                () = closing.cancelled() => return,
                () = self.came.notified() => {}
                // Nobody looks any more at the end only.
                Ok(()) = self.datasets.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    async fn turn(&self, cleared: &mut Option<u64>) -> Result<(), Refusal> {
        let datasets = self.datasets.borrow().clone();
        let Some((head, leaf)) = wanted(self.store.as_ref()).await? else {
            self.say(Saying { health: Some(Health { datasets, ..Health::default() }), want: None });
            return Ok(());
        };
        let Leaf { content, .. } = leaf;
        let (refused, taken): (Vec<Placed>, Vec<Placed>) =
            content.workflows.iter().cloned().partition(|it| self.refused.contain(&key(it)));
        let mut failed: Vec<Failed> =
            refused.iter().map(|it| failure(it, "refused-by-owner")).collect();
        self.remove(&taken, head.number).await?;
        if *cleared != Some(head.number) {
            self.clear(&taken).await?;
            *cleared = Some(head.number);
        }
        let (mut want, mut waiting) = (None, 0_u32);
        if !self.are_there(&taken).await? {
            let mut texts = Vec::new();
            for placed in taken {
                // One after the other: what is behind the first that is not here is looked at later.
                let text = if want.is_some() { None } else { self.text(placed.text).await? };
                match text {
                    Some(text) => texts.push((placed, text)),
                    None => {
                        if want.is_none() {
                            want = Some(self.next_piece(placed.text).await?);
                        }
                        waiting = waiting.saturating_add(1);
                    }
                }
            }
            if want.is_none() {
                failed.extend(self.apply(texts, head.number).await?);
            }
        }
        let (edition, content) = (Some(head.number), Some(content.digest()));
        let health = Health { edition, content, waiting, failed, datasets };
        self.say(Saying { health: Some(health), want });
        Ok(())
    }

    fn say(&self, saying: Saying) {
        self.saying.send_if_modified(|said| {
            let is_new = *said != saying;
            *said = saying;
            is_new
        });
    }

    /// Whether all that should be here is, as it should be.
    async fn are_there(&self, taken: &[Placed]) -> Result<bool, Refusal> {
        for placed in taken {
            if !is_there(self.store.as_ref(), placed).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A text that is here: kept, or now that its last piece has come.
    async fn text(&self, text: Digest) -> Result<Option<String>, Refusal> {
        let name = text.to_string();
        let row = self.store.resource_get(ResourceKind::Text, name.clone()).await?;
        if let Some(row) = row {
            return Ok(String::from_utf8(row.record.to_vec()).ok());
        }
        let pieces = self.pieces(text).await?;
        let whole: String = pieces.iter().map(|piece| piece.piece.as_str()).collect();
        if pieces.last().is_none_or(|last| last.total > whole.len() as u64) {
            return Ok(None);
        }
        let of = |piece: &Document| Op::ResourceDelete {
            kind: ResourceKind::Piece,
            name: piece_name(&text, piece.offset),
        };
        let mut ops: Vec<Op> = pieces.iter().map(of).collect();
        // Pieces of something else are asked for again.
        let is_it = Digest::of(whole.as_bytes()) == text;
        if is_it {
            let record = whole.clone().into();
            ops.push(Op::ResourcePut(ResourceRow { kind: ResourceKind::Text, name, record }));
        }
        self.commit(ops).await?;
        Ok(is_it.then_some(whole))
    }

    /// Those from the beginning, without a gap.
    async fn pieces(&self, text: Digest) -> Result<Vec<Document>, Refusal> {
        let (mut pieces, mut offset) = (Vec::new(), 0);
        loop {
            let name = piece_name(&text, offset);
            let row = self.store.resource_get(ResourceKind::Piece, name).await?;
            let piece = row.and_then(|row| serde_json::from_slice::<Document>(&row.record).ok());
            let Some(piece) = piece.filter(|it| !it.piece.is_empty() || it.total == 0) else {
                return Ok(pieces);
            };
            offset += piece.piece.len() as u64;
            let is_last = offset >= piece.total;
            pieces.push(piece);
            if is_last {
                return Ok(pieces);
            }
        }
    }

    async fn next_piece(&self, text: Digest) -> Result<Want, Refusal> {
        let pieces = self.pieces(text).await?;
        let offset = pieces.iter().map(|piece| piece.piece.len() as u64).sum();
        Ok(Want { text, offset })
    }

    /// Applies all of them together, since one may refer to another; what is as it should be stays so.
    /// Those that are found wrong are left out, so that they keep nobody else away.
    async fn apply(
        &self,
        mut texts: Vec<(Placed, String)>,
        number: u64,
    ) -> Result<Vec<Failed>, Refusal> {
        let namespaces: Vec<_> = texts.iter().map(|(it, _)| it.namespace.clone()).collect();
        let roles = Roles::within(Role::Admin, namespaces, self.refused.workflows());
        let caller = Caller::limited(ACTOR, roles);
        let mut failed = Vec::new();
        while !texts.is_empty() {
            let Err(refusal) = self.apply_set(&caller, &texts, number).await else { break };
            let wrong: BTreeSet<&str> = refusal
                .findings()
                .iter()
                .filter(|found| found.severity == "error")
                .filter_map(|found| found.source.as_deref())
                .collect();
            let (left, right): (Vec<_>, Vec<_>) = texts.into_iter().partition(|(placed, _)| {
                // Where nobody is named it is all of them.
                wrong.is_empty() || wrong.contains(key(placed).to_string().as_str())
            });
            if left.is_empty() {
                return Err(refusal);
            }
            for (placed, _) in &left {
                failed.push(self.failed(placed, &refusal)?);
            }
            texts = right;
        }
        Ok(failed)
    }

    /// What is told of a workflow that was refused. What may be right in a moment is tried again.
    fn failed(&self, placed: &Placed, refusal: &Refusal) -> Result<Failed, Refusal> {
        let code = match refusal.code() {
            ProblemCode::WorkflowInvalid => "workflow-invalid",
            ProblemCode::WorkflowMismatch => "workflow-mismatch",
            ProblemCode::TooLarge => "too-large",
            ProblemCode::DiskFull
            | ProblemCode::Overloaded
            | ProblemCode::Stopping
            | ProblemCode::StoreFailed => return Err(refusal.clone()),
            _ => "refused",
        };
        let workflow = key(placed);
        tracing::warn!(%workflow, ?refusal, "what the hub wants cannot be here");
        Ok(failure(placed, code))
    }

    async fn apply_set(
        &self,
        caller: &Caller,
        set: &[(Placed, String)],
        number: u64,
    ) -> Result<(), Refusal> {
        let document = |(placed, text): &(Placed, String)| WorkflowDocument {
            text: text.clone(),
            source: Some(key(placed).to_string()),
        };
        let ask = WorkflowSetApply {
            documents: set.iter().map(document).collect(),
            dry_run: true,
            reason: Some(format!("edition {number}")),
        };
        // What the texts are is seen before anything of them is here.
        let plan = self.workflows.apply_set(caller, ask.clone()).await?;
        let mut managed = Vec::new();
        for ((placed, _), planned) in set.iter().zip(&plan) {
            let is_it = planned.namespace == placed.namespace.as_str()
                && planned.workflow == placed.name.as_str();
            let revision = planned.revision.parse().ok().filter(|_| is_it).ok_or_else(|| {
                let workflow = key(placed).to_string();
                let what = format!("the text of `{workflow}` is another workflow");
                let finding = mismatch(workflow, what.clone());
                Refusal::new(ProblemCode::WorkflowMismatch, what).with_findings(vec![finding])
            })?;
            let record = Managed { text: placed.text, revision };
            managed.push(Op::ResourcePut(ResourceRow {
                kind: ResourceKind::Managed,
                name: key(placed).to_string(),
                record: document::write(MANAGED_TYPE, MANAGED_VERSION, &record).into(),
            }));
        }
        // Before the workflows: what is here without a word of whose it is would never go.
        self.commit(managed).await?;
        self.workflows.apply_set(caller, WorkflowSetApply { dry_run: false, ..ask }).await?;
        Ok(())
    }

    /// What was the hub's and is not wanted any more, or not taken, goes.
    async fn remove(&self, taken: &[Placed], number: u64) -> Result<(), Refusal> {
        let wanted: BTreeSet<String> = taken.iter().map(|it| key(it).to_string()).collect();
        let rows = resource_all(self.store.as_ref(), ResourceKind::Managed).await?;
        for row in rows.iter().filter(|row| !wanted.contains(&row.name)) {
            let Some(key) = named(&row.name) else { continue };
            let reason = Some(format!("edition {number}"));
            match self.workflows.delete(&Caller::named(ACTOR), &key, reason).await {
                Err(refusal) if refusal.code() != ProblemCode::WorkflowMissing => {
                    return Err(refusal);
                }
                _ => {}
            }
            let (kind, name) = (ResourceKind::Managed, row.name.clone());
            self.commit(vec![Op::ResourceDelete { kind, name }]).await?;
        }
        Ok(())
    }

    /// Texts and pieces of what is not wanted go. Reads them, so it is done once for an edition.
    async fn clear(&self, taken: &[Placed]) -> Result<(), Refusal> {
        let texts: BTreeSet<String> = taken.iter().map(|it| it.text.to_string()).collect();
        let mut ops = Vec::new();
        for kind in [ResourceKind::Text, ResourceKind::Piece] {
            let rows = resource_all(self.store.as_ref(), kind).await?;
            // A piece is called by its text and where it begins.
            let is_old = |row: &ResourceRow| {
                row.name.split(' ').next().is_none_or(|text| !texts.contains(text))
            };
            let old = rows.into_iter().filter(is_old);
            ops.extend(old.map(|row| Op::ResourceDelete { kind, name: row.name }));
        }
        if ops.is_empty() { Ok(()) } else { self.commit(ops).await }
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), Refusal> {
        Ok(self.store.commit(ops, Preconditions::none()).await?)
    }
}

pub(crate) fn key(placed: &Placed) -> WorkflowKey {
    WorkflowKey { namespace: placed.namespace.clone(), name: placed.name.clone() }
}

fn named(text: &str) -> Option<WorkflowKey> {
    let (namespace, name) = text.split_once('/')?;
    Some(WorkflowKey { namespace: namespace.parse().ok()?, name: name.parse().ok()? })
}

fn failure(placed: &Placed, code: &str) -> Failed {
    let (namespace, name) = (placed.namespace.clone(), placed.name.clone());
    Failed { namespace, name, code: code.to_owned() }
}

fn mismatch(source: String, message: String) -> Finding {
    Finding {
        code: ProblemCode::WorkflowMismatch.to_string(),
        severity: "error".to_owned(),
        message,
        line: 1,
        column: 1,
        pointer: String::new(),
        source: Some(source),
        hint: None,
        rendered: None,
    }
}

/// Whether a workflow is here as it should be: of this text, and not changed since.
pub(crate) async fn is_there(store: &dyn Store, placed: &Placed) -> Result<bool, Refusal> {
    let key = key(placed);
    let row = store.resource_get(ResourceKind::Managed, key.to_string()).await?;
    let managed = row
        .and_then(|row| document::read::<Managed>(&row.record, MANAGED_TYPE, MANAGED_VERSION).ok());
    let Some(managed) = managed.filter(|it| it.text == placed.text) else { return Ok(false) };
    let head = store.workflow_get(key).await?.filter(|head| head.deleted_at.is_none());
    Ok(head.is_some_and(|head| head.revision == managed.revision))
}

/// What the newest edition says should be here.
pub(crate) async fn wanted(store: &dyn Store) -> Result<Option<(Head, Leaf)>, Refusal> {
    let unread = |what: String| Refusal::new(ProblemCode::StoreFailed, what);
    let edition = edition(store).await.map_err(|error| unread(error.to_string()))?;
    let Some(edition) = edition else { return Ok(None) };
    let head = Head::decode(edition.signed.head.get().as_bytes());
    let leaf = Leaf::decode(edition.leaf.get().as_bytes());
    let newer = |error: base::DocumentError| unread(format!("the hub's edition: {error}"));
    Ok(Some((head.map_err(newer)?, leaf.map_err(newer)?)))
}

/// How far the site is, for whoever asks it.
pub(crate) async fn view(store: &dyn Store, said: &Saying) -> Result<Option<SiteDesired>, Refusal> {
    let Some((head, leaf)) = wanted(store).await? else { return Ok(None) };
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let workflows = count(leaf.content.workflows.len());
    let content = leaf.content.digest();
    let health = said.health.as_ref().filter(|it| it.content == Some(content));
    let failed: Vec<DesiredFailed> = health
        .iter()
        .flat_map(|health| &health.failed)
        .map(|it| DesiredFailed {
            namespace: it.namespace.to_string(),
            workflow: it.name.to_string(),
            code: it.code.clone(),
        })
        .collect();
    let waiting = health.map_or(workflows, |health| health.waiting);
    let state = DesiredState::of(waiting, !failed.is_empty());
    Ok(Some(SiteDesired { state, edition: head.number, workflows, waiting, failed }))
}
