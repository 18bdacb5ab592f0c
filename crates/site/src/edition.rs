//! What the hub wants to be here: fetched, applied, and what could not be is told with a reason.
//!
//! ```text
//!   edition on disk ──► texts that are not here are asked for, a piece at a time
//!                       └► all are here: applied together; what is no more wanted goes
//!                            └► health: all there, on its way, or which not and why
//! ```
//!
//! A reconciler: it looks at the edition and at what is there, does the next step, and can be run again
//! at any time. The line only carries what it asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::name::WorkflowKey;
use base::{Digest, document};
use link::site::{Saying, edition, piece_name};
use serde::{Deserialize, Serialize};
use server::Caller;
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use wire::edition::{Content, Head, Leaf, Placed};
use wire::link::{Document, Failed, Health, Want};
use wire::{
    DesiredFailed, DesiredState, ProblemCode, SiteDesired, WorkflowDocument, WorkflowSetApply,
};

use crate::config::Refused;
use crate::refusal::Refusal;
use crate::workflow::Workflows;

/// What failed may be right later, such as an address that could not be reached; and what somebody has
/// changed here is put back.
const AGAIN: Duration = Duration::from_secs(300);

/// After something that could not be done now.
const RETRY: Duration = Duration::from_secs(5);

/// Pieces and records that are read at once: more than one text, or one edition, has.
const PAGE: u32 = 2_000;

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
    pub(crate) async fn run(self, closing: CancellationToken) {
        loop {
            let rest = tokio::select! {
                () = closing.cancelled() => return,
                turned = self.turn() => match turned {
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
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    async fn turn(&self) -> Result<(), Refusal> {
        let Some((head, leaf)) = wanted(self.store.as_ref()).await? else { return Ok(()) };
        let Leaf { content, .. } = leaf;
        let (refused, taken): (Vec<Placed>, Vec<Placed>) =
            content.workflows.iter().cloned().partition(|it| self.refused.contain(&key(it)));
        let mut failed: Vec<Failed> =
            refused.iter().map(|it| failure(it, "refused-by-owner")).collect();
        let (mut texts, mut missing) = (Vec::new(), Vec::new());
        for placed in &taken {
            match self.text(placed.text).await? {
                Some(text) => texts.push((placed.clone(), text)),
                None => missing.push(placed.text),
            }
        }
        let want = match missing.first() {
            Some(text) => Some(self.next_piece(*text).await?),
            None => None,
        };
        if missing.is_empty() {
            failed.extend(self.apply(texts, head.number).await?);
            self.remove(&content, head.number).await?;
        }
        let waiting = u32::try_from(missing.len()).unwrap_or(u32::MAX);
        let health =
            Health { edition: Some(head.number), content: Some(content.digest()), waiting, failed };
        let saying = Saying { health, want };
        self.saying.send_if_modified(|said| {
            let is_new = *said != saying;
            *said = saying;
            is_new
        });
        Ok(())
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
        let total = pieces.first().map(|piece| piece.total);
        if total != Some(whole.len() as u64) {
            return Ok(None);
        }
        let mut ops: Vec<Op> = pieces
            .iter()
            .map(|piece| {
                let name = piece_name(&text, piece.offset);
                Op::ResourceDelete { kind: ResourceKind::Piece, name }
            })
            .collect();
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

    /// Applies what is not there as it should be: together, since one may refer to another; where that is
    /// refused, one by one, so that one that is wrong keeps nobody else away.
    async fn apply(
        &self,
        texts: Vec<(Placed, String)>,
        number: u64,
    ) -> Result<Vec<Failed>, Refusal> {
        let mut due = Vec::new();
        for (placed, text) in texts {
            if !self.is_there(&placed).await? {
                due.push((placed, text));
            }
        }
        if due.is_empty() {
            return Ok(Vec::new());
        }
        match self.apply_set(&due, number).await {
            Ok(()) => return Ok(Vec::new()),
            Err(refusal) if due.len() == 1 => return self.failed(&due[0].0, &refusal),
            Err(_) => {}
        }
        let mut failed = Vec::new();
        for one in due {
            if let Err(refusal) = self.apply_set(std::slice::from_ref(&one), number).await {
                failed.extend(self.failed(&one.0, &refusal)?);
            }
        }
        Ok(failed)
    }

    /// What is told of a workflow that was refused. What may be right in a moment is tried again.
    fn failed(&self, placed: &Placed, refusal: &Refusal) -> Result<Vec<Failed>, Refusal> {
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
        Ok(vec![failure(placed, code)])
    }

    async fn apply_set(&self, set: &[(Placed, String)], number: u64) -> Result<(), Refusal> {
        let document = |(placed, text): &(Placed, String)| WorkflowDocument {
            text: text.clone(),
            source: Some(key(placed).to_string()),
        };
        let documents = set.iter().map(document).collect();
        let reason = Some(format!("edition {number}"));
        let ask = WorkflowSetApply { documents, dry_run: false, reason };
        let applied = self.workflows.apply_set(&Caller::named(ACTOR), ask).await?;
        let mut ops = Vec::new();
        for ((placed, _), applied) in set.iter().zip(applied) {
            let mismatch = || {
                let detail = format!("the text of `{}` is another workflow", key(placed));
                Refusal::new(ProblemCode::WorkflowMismatch, detail)
            };
            let revision = applied.revision.parse().map_err(|_| mismatch())?;
            if applied.namespace != placed.namespace.as_str()
                || applied.workflow != placed.name.as_str()
            {
                return Err(mismatch());
            }
            let managed = Managed { text: placed.text, revision };
            let record = document::write(MANAGED_TYPE, MANAGED_VERSION, &managed);
            ops.push(Op::ResourcePut(ResourceRow {
                kind: ResourceKind::Placement,
                name: key(placed).to_string(),
                record: record.into(),
            }));
        }
        self.commit(ops).await
    }

    async fn is_there(&self, placed: &Placed) -> Result<bool, Refusal> {
        let key = key(placed);
        let row = self.store.resource_get(ResourceKind::Placement, key.to_string()).await?;
        let managed = row.and_then(|row| {
            document::read::<Managed>(&row.record, MANAGED_TYPE, MANAGED_VERSION).ok()
        });
        let Some(managed) = managed.filter(|it| it.text == placed.text) else { return Ok(false) };
        let head = self.store.workflow_get(key).await?.filter(|head| head.deleted_at.is_none());
        Ok(head.is_some_and(|head| head.revision == managed.revision))
    }

    /// What was the hub's and is not wanted any more goes, with its text.
    async fn remove(&self, content: &Content, number: u64) -> Result<(), Refusal> {
        let wanted: BTreeMap<String, Digest> =
            content.workflows.iter().map(|it| (key(it).to_string(), it.text)).collect();
        let rows = self.store.resource_list(ResourceKind::Placement, None, PAGE).await?;
        for row in rows.iter().filter(|row| !wanted.contains_key(&row.name)) {
            let Some(key) = named(&row.name) else { continue };
            let reason = Some(format!("edition {number}"));
            match self.workflows.delete(&Caller::named(ACTOR), &key, reason).await {
                Err(refusal) if refusal.code() != ProblemCode::WorkflowMissing => {
                    return Err(refusal);
                }
                _ => {}
            }
            let (kind, name) = (ResourceKind::Placement, row.name.clone());
            self.commit(vec![Op::ResourceDelete { kind, name }]).await?;
        }
        let kept: Vec<String> = wanted.values().map(ToString::to_string).collect();
        let rows = self.store.resource_list(ResourceKind::Text, None, PAGE).await?;
        let old = rows.into_iter().filter(|row| !kept.contains(&row.name));
        let ops: Vec<Op> =
            old.map(|row| Op::ResourceDelete { kind: row.kind, name: row.name }).collect();
        if ops.is_empty() { Ok(()) } else { self.commit(ops).await }
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<(), Refusal> {
        Ok(self.store.commit(ops, Preconditions::none()).await?)
    }
}

fn key(placed: &Placed) -> WorkflowKey {
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

/// What the newest edition says should be here.
async fn wanted(store: &dyn Store) -> Result<Option<(Head, Leaf)>, Refusal> {
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
    let is_of_it = said.health.content == Some(leaf.content.digest());
    let failed: Vec<DesiredFailed> = said
        .health
        .failed
        .iter()
        .filter(|_| is_of_it)
        .map(|it| DesiredFailed {
            namespace: it.namespace.to_string(),
            workflow: it.name.to_string(),
            code: it.code.clone(),
        })
        .collect();
    let waiting = if is_of_it { said.health.waiting } else { workflows };
    let state = DesiredState::of(waiting, !failed.is_empty());
    Ok(Some(SiteDesired { state, edition: head.number, workflows, waiting, failed }))
}
