//! Records of a run's journal as they are shown. The run's own secret stays here.

use base::RunId;
use base::name::Namespace;
use serde_json::Value;
use store::{Entry, Sequence, StretchRow};
use wire::{Page, ProblemCode, RunEventView};

use crate::refusal::Refusal;
use crate::run::Runs;

impl Runs {
    /// Records after `after`, in order.
    pub(crate) async fn events(
        &self,
        namespace: &Namespace,
        run: RunId,
        after: Sequence,
        limit: u32,
    ) -> Result<Page<RunEventView>, Refusal> {
        self.row(namespace, run).await?;
        // The records first: what is compacted in between is then seen twice, never missed.
        let entries = self.store.journal_read(run, after, limit + 1).await?;
        let stretches = self.store.stretch_list(run, after, limit + 1).await?;
        // Only what is shown is read: a record behind it may be unreadable.
        let shown = limit as usize;
        let stretches = stretches.iter().map(compacted);
        let mut items: Vec<RunEventView> = stretches.collect::<Result<_, _>>()?;
        let records: Result<Vec<RunEventView>, Refusal> =
            entries.iter().take(shown).map(event).collect();
        items.extend(records?);
        items.sort_by_key(|item| item.sequence);
        let more = items.len().max(entries.len()) > shown;
        items.truncate(shown);
        let last = items.last().filter(|_| more);
        Ok(Page { next: last.map(|item| item.sequence.to_string()), items })
    }
}

/// What is kept of a stretch of records.
fn compacted(row: &StretchRow) -> Result<RunEventView, Refusal> {
    let record: Value = serde_json::from_slice(&row.stretch).map_err(|wrong| {
        let detail = format!("records {} to {} cannot be read: {wrong}", row.first, row.last);
        Refusal::new(ProblemCode::RunSuspended, detail)
    })?;
    let at = record.pointer("/to").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(RunEventView { sequence: row.last.0, at, kind: "compacted".to_owned(), record })
}

fn event(entry: &Entry) -> Result<RunEventView, Refusal> {
    let mut record: Value = serde_json::from_slice(&entry.record).map_err(|wrong| {
        let detail = format!("record {} cannot be read: {wrong}", entry.sequence);
        Refusal::new(ProblemCode::RunSuspended, detail)
    })?;
    // Every random choice of the run follows from it, and the digests that leave the site are keyed
    // by it.
    if let Some(happened) = record.get_mut("happened").and_then(Value::as_object_mut) {
        happened.remove("seed");
    }
    let text = |pointer: &str| {
        record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (at, kind) = (text("/at"), text("/happened/kind"));
    Ok(RunEventView { sequence: entry.sequence.0, at, kind, record })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: show the record as it is.
    #[test]
    fn the_seed_of_a_run_is_never_shown() {
        let record = br#"{"type":"isonomy.record","v":1,"seq":1,"at":"2027-01-15T08:00:00.120Z",
            "happened":{"kind":"started","seed":"5eed","run":"run_1"},"control":"0"}"#;
        let shown = event(&Entry { sequence: Sequence(1), record: record.to_vec().into() })
            .expect("a record");
        assert_eq!((shown.kind.as_str(), shown.sequence), ("started", 1));
        assert_eq!(shown.at, "2027-01-15T08:00:00.120Z");
        assert!(!serde_json::to_string(&shown).expect("text").contains("5eed"));
        assert_eq!(shown.record.pointer("/happened/run"), Some(&Value::from("run_1")));
    }
}
