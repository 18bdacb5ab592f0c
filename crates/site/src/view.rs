//! What a run looks like from outside.

use base::value::{Value, to_json};
use base::{Digest, Fault};
use engine::driver::Summary;
use engine::record::{Parent, Usage};
use serde_json::json;
use store::RunRow;
use wire::{ParentView, RunUsage, RunView};

/// Values of tasks above this are shown by size and digest. Sixteen such values fill a screen anyway.
pub(crate) const VALUE_SHOWN_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn run_view(row: &RunRow) -> RunView {
    // A summary of a newer version, or a damaged one, must not hide the run.
    let summary = Summary::decode(&row.summary).ok();
    let mut view = RunView {
        run: row.run.to_string(),
        namespace: row.key.namespace.to_string(),
        workflow: row.key.name.to_string(),
        version: String::new(),
        revision: row.revision.to_string(),
        state: row.state.to_string(),
        created_at: row.created_at.to_string(),
        updated_at: row.updated_at.to_string(),
        ended_at: row.ended_at.map(|at| at.to_string()),
        wake_at: row.wake_at.map(|at| at.to_string()),
        error: None,
        suspended: None,
        queued: None,
        tags: Vec::new(),
        labels: Vec::new(),
        priority: 0,
        traceparent: String::new(),
        started_by: String::new(),
        owner: String::new(),
        usage: RunUsage::default(),
        parent: None,
    };
    if let Some(summary) = summary {
        view.version = summary.version;
        view.error = summary.fault.as_ref().map(fault_view);
        view.suspended = summary.suspended;
        view.queued = summary.queued;
        view.tags = summary.tags;
        view.labels = summary.labels;
        view.priority = summary.priority;
        view.traceparent = summary.traceparent;
        view.started_by = summary.started_by;
        view.owner = summary.owner;
        view.usage = usage_view(summary.usage);
        view.parent = summary.parent.as_ref().map(parent_view);
    }
    view
}

fn parent_view(parent: &Parent) -> ParentView {
    ParentView {
        run: parent.run.to_string(),
        activation: parent.activation.to_string(),
        depth: parent.depth,
    }
}

pub(crate) fn usage_view(usage: Usage) -> RunUsage {
    let Usage { records, tasks, effects, retries, cost_micros } = usage;
    RunUsage { records, tasks, effects, retries, cost_micros }
}

pub(crate) fn fault_view(fault: &Fault) -> serde_json::Value {
    serde_json::to_value(fault).expect("our own types have JSON text")
}

/// A value, or `{"$omitted": {"bytes": n, "digest": "b3:…"}}` where it is larger than `bytes_max`.
/// Gives the bytes that it takes, too.
pub(crate) fn value_view(value: &Value, bytes_max: usize) -> (serde_json::Value, usize) {
    let text = to_json(value);
    if text.len() <= bytes_max.min(VALUE_SHOWN_BYTES_MAX) {
        return (base::value::to_serde(value), text.len());
    }
    let digest = Digest::of(&text);
    (json!({"$omitted": {"bytes": text.len(), "digest": digest}}), 0)
}
