//! One run: its journal followed from the beginning, with what lies beside it in the store.

use std::collections::{HashMap, VecDeque};

use base::{Namespace, RunId, Timestamp};
use store::{
    EventQuery, EventRow, Finding, FindingCode as Code, OutcomeRow, RunRow, RunState, Sequence,
    Snapshot, Store, StoreError,
};

use super::judge::{End, Facts, judge};
use super::{Checker, journal};
use crate::activation::Activation;
use crate::driver::{LoadError, Summary, child_run, record};
use crate::effect::{Action, EffectNo};
use crate::format::FormatError;
use crate::list::BlobError;
use crate::machine::{Effect, Emitted, Machine};
use crate::record::{Decided, Happened, Record, Started};
use crate::replay::replay;

/// Records, events or outcomes that are read at once.
const PAGE: u32 = 200;

/// Looks at a run that moves on meanwhile. A busy one is left then: it is at work, so it is not stuck.
const LOOKS_MAX: u32 = 5;

/// Records between which others get their turn.
const TURN_RECORDS: u32 = 32;

/// A journal on the way to its end.
struct Following<'a> {
    store: &'a dyn Store,
    run: RunId,
    namespace: &'a Namespace,
    machine: Machine,
    last: Sequence,
    at: Timestamp,
    ahead: Option<Snapshot>,
    started: Option<Started>,
    ends: Vec<End>,
    /// Child runs that were asked for and have no answer yet.
    children: HashMap<EffectNo, Activation>,
    /// Events of the run in the store that were read already.
    emitted: VecDeque<EventRow>,
    records: u64,
    found: Vec<Finding>,
}

impl Checker<'_> {
    /// Everything about one run. `Err` where the store does not answer even for its row.
    pub(super) async fn run(&mut self, row: &RunRow) -> Result<Vec<Finding>, StoreError> {
        self.totals.runs += 1;
        self.totals.unfinished += u64::from(!row.state.has_ended());
        let revision = self.revisions.read(self.store, self.catalog, &row.key, row.revision).await;
        let begun = match revision {
            Ok(workflow) => journal::beginning(self.store, row, workflow).await,
            Err(wrong) => Err(wrong),
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(wrong) => return Ok(vec![unreadable(row.run, &wrong)]),
        };
        let mut following = Following {
            store: self.store,
            run: row.run,
            namespace: &row.key.namespace,
            machine: begun.machine,
            last: begun.last,
            at: row.created_at,
            ahead: begun.ahead,
            started: None,
            ends: Vec::new(),
            children: HashMap::new(),
            emitted: VecDeque::new(),
            records: 0,
            found: Vec::new(),
        };
        let judged = self.stand(row, &mut following).await;
        self.totals.records += following.records;
        let mut found = following.found;
        match judged {
            Ok(judged) => found.extend(judged),
            // What was to be read may have been forgotten in the meantime.
            Err(_) if self.store.run_get(row.run).await?.as_ref() != Some(row) => {
                self.totals.moving += 1;
            }
            Err(wrong) => found.push(unreadable(row.run, &wrong)),
        }
        Ok(found)
    }

    /// Follows the journal until nothing moves while the rest is compared.
    async fn stand(
        &mut self,
        row: &RunRow,
        following: &mut Following<'_>,
    ) -> Result<Vec<Finding>, LoadError> {
        let mut row = row.clone();
        for _ in 0..LOOKS_MAX {
            following.go_on().await?;
            let found = self.beside(&row, following).await?;
            // What is right is right, whatever has come meanwhile.
            let Some(now) = self.store.run_get(row.run).await? else { return Ok(Vec::new()) };
            if found.is_empty() || (now == row && !following.has_more().await?) {
                return Ok(found);
            }
            row = now;
        }
        self.totals.moving += 1;
        Ok(Vec::new())
    }

    async fn beside(
        &self,
        row: &RunRow,
        following: &Following<'_>,
    ) -> Result<Vec<Finding>, LoadError> {
        let outcomes = outcomes(self.store, row.run).await?;
        let mut found = judge(&Facts {
            row,
            machine: &following.machine,
            last: following.last,
            at: following.at,
            started: following.started.as_ref(),
            ends: &following.ends,
            outcomes: &outcomes,
        });
        let mut find = |code, what: String| found.push(Finding::of(row.run, code, what));
        if let Some(ahead) = &following.ahead {
            let (taken, last) = (ahead.sequence, following.last);
            find(
                Code::SnapshotDiffers,
                format!("it was taken at {taken}, and the journal ends at {last}"),
            );
        }
        let emitted = following.machine.emitted();
        for event in self.store.event_emitted(row.run, emitted, 1).await? {
            let what = format!("event {}, where the journal has emitted {emitted}", event.number);
            find(Code::EventUnknown, what);
        }
        let goes_on = !row.state.has_ended() && row.state != RunState::Suspended;
        let is_attended = self.attends.is_none_or(|attends| attends(row.run));
        if goes_on && row.wake_at.is_none() && !is_attended {
            find(Code::RunUnattended, format!("it is {}", row.state));
        }
        let parent = Summary::decode(&row.summary).ok().and_then(|summary| summary.parent);
        if let Some(parent) = parent.filter(|parent| parent.awaited && goes_on)
            && self.store.run_get(parent.run).await?.is_none()
        {
            find(Code::ParentMissing, format!("its parent is {}", parent.run));
        }
        Ok(found)
    }
}

impl Following<'_> {
    /// Replays whatever has come.
    async fn go_on(&mut self) -> Result<(), LoadError> {
        loop {
            let page = self.store.journal_read(self.run, self.last, PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            if page.first().is_some_and(|next| next.sequence > self.last.next()) {
                self.pass_over().await?;
                continue;
            }
            for (n, entry) in (1..).zip(&page) {
                if entry.sequence > self.last.next() {
                    break;
                }
                let record = record(self.store, entry).await?;
                self.take(&record).await?;
                if n % TURN_RECORDS == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Goes on from behind what is forgotten. What was asked for there and ended there is known no more.
    async fn pass_over(&mut self) -> Result<(), LoadError> {
        let start = journal::behind_forgotten(self.store, self.run, self.last).await?;
        let workflow = self.machine.workflow().clone();
        self.machine = journal::taken(self.store, workflow, &start).await?;
        self.last = start.sequence;
        self.ahead.take_if(|ahead| ahead.sequence <= start.sequence);
        self.children.clear();
        Ok(())
    }

    async fn has_more(&self) -> Result<bool, LoadError> {
        Ok(!self.store.journal_read(self.run, self.last, 1).await?.is_empty())
    }

    async fn take(&mut self, record: &Record) -> Result<(), LoadError> {
        let step = replay(&mut self.machine, self.last, record)?;
        (self.last, self.at) = (record.sequence, record.at);
        self.records += 1;
        self.snapshot().await?;
        for emitted in &step.emitted {
            self.event(emitted, record.at).await?;
        }
        match &record.happened {
            Happened::Started(started) => self.started = Some((**started).clone()),
            Happened::Performed { effect, performed } => {
                let child = self.children.remove(effect);
                if let Some(child) = child.filter(|_| performed.result.is_ok()) {
                    self.child(&child).await?;
                }
            }
            _ => {}
        }
        for effect in &step.effects {
            if let Effect::Perform(perform) = effect
                && let Action::Workflow(start) = &*perform.action
                // One that nobody waits for may be forgotten before its parent.
                && start.wait
            {
                self.children.insert(perform.effect, perform.activation.clone());
            }
        }
        for decided in &step.decided {
            match decided {
                Decided::Ended(ended) => {
                    let number = self.machine.outcome_number();
                    self.ends.push(End { number, state: ended.state, at: record.at });
                }
                Decided::Abandoned { effect } => drop(self.children.remove(effect)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The snapshot is the state after its record.
    async fn snapshot(&mut self) -> Result<(), LoadError> {
        let Some(ahead) = self.ahead.take_if(|ahead| ahead.sequence == self.last) else {
            return Ok(());
        };
        let workflow = self.machine.workflow().clone();
        let same = match journal::taken(self.store, workflow, &ahead).await {
            Ok(taken) => taken == self.machine,
            Err(LoadError::Store(wrong)) => return Err(wrong.into()),
            Err(_) => false,
        };
        if !same {
            let what = format!("the one of record {} is not the state after it", ahead.sequence);
            self.found.push(Finding::of(self.run, Code::SnapshotDiffers, what));
        }
        Ok(())
    }

    /// A child that has answered was there.
    async fn child(&mut self, activation: &Activation) -> Result<(), LoadError> {
        let child = child_run(self.run, activation, 0);
        if self.store.run_get(child).await?.is_none() {
            let what = format!("{child} at {activation} has answered, and is not there");
            self.found.push(Finding::of(self.run, Code::ChildMissing, what));
        }
        Ok(())
    }

    /// An event of the journal is in the store, under its number or, where its author chose an id that
    /// was taken, under that id.
    async fn event(&mut self, emitted: &Emitted, at: Timestamp) -> Result<(), LoadError> {
        let number = emitted.number;
        while self.emitted.front().is_some_and(|event| event.number < number) {
            self.emitted.pop_front();
        }
        if self.emitted.is_empty() {
            self.emitted = self.store.event_emitted(self.run, number - 1, PAGE).await?.into();
        }
        let wanted = emitted.event.row(self.namespace, Some(self.run), number, at);
        let mut find = |code, what| self.found.push(Finding::of(self.run, code, what));
        match self.emitted.front().filter(|event| event.number == number) {
            Some(event) if EventRow { position: 0, ..event.clone() } == wanted => {}
            Some(_) => find(Code::EventDiffers, format!("event {number} is another one")),
            None => {
                let EventRow { namespace, source, id, .. } = wanted;
                let same_name = self.store.event_named(namespace.clone(), source, id).await?;
                if same_name.is_none() && !is_pruned(self.store, namespace, at).await? {
                    find(Code::EventMissing, format!("event {number} of {at} is not there"));
                }
            }
        }
        Ok(())
    }
}

/// Whether events of that time may be gone by themselves: only so many are kept.
async fn is_pruned(
    store: &dyn Store,
    namespace: Namespace,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let oldest = store.event_list(EventQuery::of(namespace, 1)).await?;
    Ok(match oldest.first() {
        Some(oldest) => oldest.position > 1 && oldest.at >= at,
        None => store.event_last() > 0,
    })
}

async fn outcomes(store: &dyn Store, run: RunId) -> Result<Vec<OutcomeRow>, StoreError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |row: &OutcomeRow| row.number);
        let page = store.outcome_of(run, after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// What it means that a run cannot be followed.
fn unreadable(run: RunId, wrong: &LoadError) -> Finding {
    let code = match wrong {
        LoadError::RevisionMissing(..) | LoadError::RevisionUnreadable(..) => {
            Code::RevisionUnreadable
        }
        LoadError::Record { cause: FormatError::BlobMissing(_), .. }
        | LoadError::Blob(BlobError::Missing(_)) => Code::BlobMissing,
        LoadError::Blob(_) => Code::BlobChanged,
        LoadError::Record { .. } | LoadError::Store(_) => Code::JournalUnreadable,
        LoadError::Snapshot(_) => Code::SnapshotDiffers,
        LoadError::Diverged(_) => Code::JournalDiverged,
    };
    Finding::of(run, code, wrong.to_string())
}
