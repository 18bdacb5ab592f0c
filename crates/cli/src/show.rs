//! `isonomy runs show` for people: first what went wrong, then how the run got there, then what it
//! gave.

use base::Timestamp;
use serde_json::Value;
use wire::{AttemptView, DispatchView, ParentView, RunDetail, TaskView};

use crate::fault;
use crate::output;
use crate::when;

/// A run as text.
#[must_use]
pub fn text(detail: &RunDetail, now: Timestamp) -> String {
    let mut parts = vec![head(detail, now)];
    parts.extend(detail.faulted.as_ref().map(faulted));
    parts.push(tasks(detail));
    parts.push(crossings(detail));
    parts.push(children(detail));
    parts.extend(detail.dispatches.iter().map(dispatch));
    parts.push(section("input", &detail.input));
    parts.extend(detail.output.as_ref().map(|output| section("output", output)));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn head(detail: &RunDetail, now: Timestamp) -> String {
    let view = &detail.view;
    let mut lines = vec![
        ("run", view.run.clone()),
        ("workflow", format!("{}/{} {}", view.namespace, view.workflow, view.version)),
        ("revision", view.revision.clone()),
        ("state", state(detail, now)),
        ("started", by(detail, now)),
    ];
    lines.extend(view.parent.as_ref().map(|parent| ("parent", in_parent(parent))));
    lines.extend(view.error.as_ref().map(|error| ("error", fault::line(error))));
    lines.extend(view.suspended.as_ref().map(|why| ("suspended", why.clone())));
    lines.extend(view.queued.as_ref().map(|why| ("waits for", why.clone())));
    if view.priority != 0 {
        lines.push(("priority", view.priority.to_string()));
    }
    let used = &view.usage;
    let usage = format!(
        "tasks {}, effects {}, retries {}, records {}",
        used.tasks, used.effects, used.retries, used.records
    );
    lines.push(("used", usage));
    if !view.tags.is_empty() {
        let tags: Vec<String> =
            view.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        lines.push(("tags", tags.join(" ")));
    }
    if !view.labels.is_empty() {
        lines.push(("labels", view.labels.join(" ")));
    }
    pairs(&lines)
}

fn in_parent(parent: &ParentView) -> String {
    format!("{} at {}", parent.run, parent.activation)
}

fn state(detail: &RunDetail, now: Timestamp) -> String {
    let view = &detail.view;
    match (&view.ended_at, &view.wake_at) {
        (Some(ended), _) => {
            let took = when::took(&view.created_at, Some(ended));
            format!("{} after {took}, {} ago", view.state, when::age(ended, now))
        }
        (None, Some(wake)) => format!("{} until {wake}", view.state),
        (None, None) => view.state.clone(),
    }
}

fn by(detail: &RunDetail, now: Timestamp) -> String {
    let mut text =
        format!("{} ago by {}", when::age(&detail.view.created_at, now), detail.by.actor);
    if let Some(reason) = &detail.by.reason {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}

fn faulted(task: &TaskView) -> String {
    let mut parts = Vec::new();
    parts.extend(task.error.as_ref().map(|error| section("error", error)));
    parts.extend(task.input.as_ref().map(|input| section("input", input)));
    if !task.attempts.is_empty() {
        parts.push(format!("attempts\n{}", indent(&attempts(&task.attempts))));
    }
    let name = output::harmless(&task.task);
    format!("faulted task `{name}` at {}\n{}", task.location, indent(&parts.join("\n")))
}

fn attempts(attempts: &[AttemptView]) -> String {
    let rows = attempts.iter().map(|attempt| {
        vec![
            attempt.effect.to_string(),
            when::clock(&attempt.scheduled_at).to_owned(),
            when::took(&attempt.scheduled_at, attempt.answered_at.as_deref()),
            attempt.what.clone(),
            attempt.certainty.clone().unwrap_or_else(|| "open".to_owned()),
            attempt.rule.clone().unwrap_or_default(),
            attempt.error.as_ref().map(fault::line).unwrap_or_default(),
            attempt.idempotency_key.clone(),
        ]
    });
    output::table(&["effect", "at", "took", "what", "certainty", "rule", "error", "key"], rows)
}

fn tasks(detail: &RunDetail) -> String {
    let compacted = match detail.compacted {
        None => String::new(),
        Some(last) => {
            format!("\n  records 2 to {last} are compacted; `runs events` shows their decisions")
        }
    };
    if detail.tasks.is_empty() {
        return compacted.trim_start().to_owned();
    }
    let omitted = match detail.tasks_omitted {
        0 => compacted,
        count => format!("  ({count} before these){compacted}"),
    };
    let rows = detail.tasks.iter().map(|task| {
        let took = when::took(&task.started_at, task.ended_at.as_deref());
        let error = task.error.as_ref().map(fault::title).unwrap_or_default();
        vec![task.task.clone(), task.state.clone(), took, task.location.clone(), error]
    });
    format!(
        "tasks{omitted}\n{}",
        indent(&output::table(&["task", "state", "took", "location", "error"], rows))
    )
}

/// What scripts and commands asked for at their doors.
fn crossings(detail: &RunDetail) -> String {
    let rows: Vec<Vec<String>> = detail
        .tasks
        .iter()
        .flat_map(|task| task.attempts.iter().map(move |attempt| (task, attempt)))
        .flat_map(|(task, attempt)| attempt.crossings.iter().map(move |it| (task, it)))
        .map(|(task, crossing)| {
            vec![
                task.task.clone(),
                crossing.destination.clone(),
                if crossing.allowed { "allowed" } else { "denied" }.to_owned(),
                crossing.count.to_string(),
                crossing.rule.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = output::table(&["task", "destination", "gate", "times", "rule"], rows);
    format!("crossings\n{}", indent(&table))
}

/// What was asked of other sites, a line for each.
fn dispatch(of: &DispatchView) -> String {
    let rows = of.sites.iter().map(|site| {
        let late = site.late.as_ref().zip(site.late_at.as_ref());
        vec![
            site.site.clone(),
            site.status.clone(),
            site.code.clone().unwrap_or_default(),
            late.map(|(state, at)| format!("{state} at {at}")).unwrap_or_default(),
        ]
    });
    let table = output::table(&["site", "status", "code", "late"], rows);
    let state = match &of.over_at {
        Some(at) => format!("over since {at}"),
        None => format!("until {}", of.until),
    };
    let mut text = format!("dispatch {} of {}, {state}", of.dispatch, of.workflow);
    if !of.sites.is_empty() {
        text.push('\n');
        text.push_str(&indent(&table));
    }
    if of.sites_omitted > 0 {
        text.push_str(&format!("\n  and {} sites more", of.sites_omitted));
    }
    text
}

fn children(detail: &RunDetail) -> String {
    if detail.children.is_empty() {
        return String::new();
    }
    let rows = detail.children.iter().map(|child| {
        let workflow = format!("{}/{} {}", child.namespace, child.workflow, child.version);
        vec![child.run.clone(), workflow, child.state.clone(), child.activation.clone()]
    });
    format!("children\n{}", indent(&output::table(&["run", "workflow", "state", "for"], rows)))
}

fn section(name: &str, value: &Value) -> String {
    let text = output::json(value).unwrap_or_else(|_| value.to_string());
    format!("{name}\n{}", indent(&output::harmless(&text)))
}

fn pairs(lines: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| {
        format!("{name:<9}  {}", output::harmless(value).replace('\n', " "))
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn detail() -> RunDetail {
        let error = json!({"type": "https://open-workflow-specification.org/spec/1.0.0/errors/communication",
            "status": 503, "title": "Unreachable", "detail": "nobody answers at `http://a`", "instance": "/do/1/fetch"});
        let task = json!({"activation": "a1", "task": "fetch", "location": "/do/1/fetch", "state": "faulted",
        "startedAt": "2027-01-15T08:00:00.000Z", "endedAt": "2027-01-15T08:00:01.500Z", "input": {"n": 1},
        "error": error, "attempts": [
            {"effect": 1, "activation": "a1", "idempotencyKey": "k-0", "what": "GET http://a/x",
                "scheduledAt": "2027-01-15T08:00:00.000Z", "answeredAt": "2027-01-15T08:00:00.002Z",
                "certainty": "unknown", "rule": "allow http://a", "error": error},
            {"effect": 2, "activation": "a1", "idempotencyKey": "k-0", "what": "GET http://a/x",
                "scheduledAt": "2027-01-15T08:00:01.000Z"},
        ]});
        let fields = json!({
            "run": "run_1", "namespace": "default", "workflow": "hello", "version": "1.0.0", "revision": "b3:12",
            "state": "faulted", "createdAt": "2027-01-15T08:00:00.000Z", "updatedAt": "2027-01-15T08:00:01.500Z",
            "endedAt": "2027-01-15T08:00:01.500Z", "error": error, "tags": [["site", "a"]], "labels": [],
            "priority": 0, "traceparent": "00", "startedBy": "ada", "owner": "ada",
            "usage": {"records": 4, "tasks": 2, "effects": 2, "retries": 1, "costMicros": 0},
            "input": {"n": 1}, "faulted": task, "tasks": [task], "tasksOmitted": 3,
            "by": {"actor": "ada", "reason": "a\u{1b}try"}, "sequence": 4,
        });
        serde_json::from_value(fields).expect("a run")
    }

    /// Mutation: show the tasks before the fault, or leave the attempts out.
    #[test]
    fn a_faulted_run_opens_with_what_went_wrong() {
        let now = Timestamp::parse("2027-01-15T08:05:00.000Z").expect("a time");
        assert_eq!(text(&detail(), now) + "\n", include_str!("../tests/golden/runs-show.txt"));
    }
}
