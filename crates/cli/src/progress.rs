//! What somebody at a terminal sees of a run: a live line per task in progress, a bar for loops.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use wire::FollowEvent;

use crate::fault;
use crate::follow;
use crate::output;
use crate::when;

/// Live lines at once; a wider fork is not readable anyway.
const LINES_MAX: usize = 12;

/// A terminal over a slow line keeps up with this.
const DRAWS_PER_SECOND: u8 = 15;

const TICK: Duration = Duration::from_millis(120);

/// Characters of a task's name in one line.
const TASK_CHARS_MAX: usize = 40;
/// Characters of what is told beside it.
const TALK_CHARS_MAX: usize = 80;

/// Who watches the run, and how.
pub enum Watch {
    /// Nobody: only the end counts.
    Quiet,
    /// A line for every event.
    Lines,
    Live(Live),
}

impl Watch {
    pub fn tell(&mut self, event: &FollowEvent) {
        match self {
            Self::Quiet => {}
            Self::Lines => output::say(&follow::line(event)),
            Self::Live(live) => live.tell(event),
        }
    }

    /// Takes away what is only of interest while it moves.
    pub fn close(self) {
        if let Self::Live(live) = self {
            // Only the terminal could object.
            let _ = live.lines.clear();
        }
    }
}

pub struct Live {
    lines: MultiProgress,
    tasks: HashMap<String, Task>,
}

struct Task {
    bar: ProgressBar,
    name: String,
    began: String,
    is_loop: bool,
}

impl Live {
    #[must_use]
    pub fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        Self { lines: MultiProgress::with_draw_target(target), tasks: HashMap::new() }
    }

    fn tell(&mut self, event: &FollowEvent) {
        let (Some(activation), Some(name)) = (&event.activation, &event.task) else { return };
        let name = output::clip(&output::harmless(name), TASK_CHARS_MAX);
        match event.kind.as_str() {
            "completed" | "skipped" | "faulted" | "cancelled" => self.end(event, activation, &name),
            _ => self.go_on(event, activation, name),
        }
    }

    fn go_on(&mut self, event: &FollowEvent, activation: &str, name: String) {
        if !self.tasks.contains_key(activation) {
            if self.tasks.len() >= LINES_MAX {
                return;
            }
            let task = self.begin(event, name);
            self.tasks.insert(activation.to_owned(), task);
        }
        let Some(task) = self.tasks.get_mut(activation) else { return };
        if let (Some(index), Some(count)) = (event.index, event.count) {
            if !task.is_loop {
                task.is_loop = true;
                task.bar.set_style(style("{prefix}{msg}  {wide_bar}  {pos} of {len}  {elapsed}"));
            }
            task.bar.set_length(count);
            task.bar.set_position(index);
            return;
        }
        let talk = match event.kind.as_str() {
            "scheduled" => event.what.clone(),
            "waiting" => {
                event.until.as_deref().map(|until| format!("waits until {}", when::clock(until)))
            }
            "retrying" => event
                .error
                .as_ref()
                .map(|error| format!("tries again after {}", fault::line(error))),
            "caught" => event.error.as_ref().map(|error| format!("caught {}", fault::line(error))),
            _ => None,
        };
        if let Some(talk) = talk {
            let talk = output::clip(&output::harmless(&talk).replace('\n', " "), TALK_CHARS_MAX);
            task.bar.set_message(format!("{}  {talk}", task.name));
        }
    }

    fn begin(&self, event: &FollowEvent, name: String) -> Task {
        let bar = self.lines.add(ProgressBar::new_spinner());
        bar.set_style(style("{prefix}{spinner} {msg}  {elapsed}"));
        bar.set_prefix("  ".repeat(depth(event)));
        bar.set_message(name.clone());
        bar.enable_steady_tick(TICK);
        Task { bar, name, began: event.at.clone(), is_loop: false }
    }

    fn end(&mut self, event: &FollowEvent, activation: &str, name: &str) {
        let began = self.tasks.remove(activation).map(|task| {
            task.bar.finish_and_clear();
            self.lines.remove(&task.bar);
            task.began
        });
        // What lies within a task is told by the task's own line; a loop would fill the screen.
        if depth(event) == 0 {
            let took = began.map(|began| when::took(&began, Some(&event.at))).unwrap_or_default();
            let line = format!("{:<10} {name}  {took}", event.kind);
            let _ = self.lines.println(line.trim_end());
        }
    }
}

/// How many tasks are around it: `/do/0/name` is within none.
fn depth(event: &FollowEvent) -> usize {
    let steps = event.location.as_deref().map_or(0, |location| {
        location
            .split('/')
            .filter(|part| *part == "do" || *part == "branches" || *part == "try")
            .count()
    });
    steps.saturating_sub(1)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("our own template")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, location: &str, index: Option<u64>) -> FollowEvent {
        let mut fields = json!({
            "sequence": 1, "at": "2027-01-15T08:00:00.120Z", "state": "running", "kind": kind,
            "activation": format!("a{location}"), "task": "x", "location": location,
        });
        if let Some(index) = index {
            fields["index"] = json!(index);
            fields["count"] = json!(9);
        }
        serde_json::from_value(fields).expect("an event")
    }

    fn hidden() -> Live {
        Live {
            lines: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            tasks: HashMap::new(),
        }
    }

    /// Mutation: keep the line of a task that has ended, or show every branch of a wide fork.
    #[test]
    fn there_is_a_line_for_each_task_in_progress_and_a_bar_for_a_loop() {
        let mut live = hidden();
        live.tell(&event("started", "/do/0/each", None));
        live.tell(&event("iteration", "/do/0/each", Some(4)));
        let task = &live.tasks["a/do/0/each"];
        assert!(task.is_loop);
        assert_eq!((task.bar.position(), task.bar.length()), (4, Some(9)));
        for branch in 0..50 {
            live.tell(&event("started", &format!("/do/1/f/fork/branches/{branch}/b"), None));
        }
        assert_eq!(live.tasks.len(), LINES_MAX);
        live.tell(&event("completed", "/do/0/each", None));
        assert!(!live.tasks.contains_key("a/do/0/each"));
    }

    /// Mutation: count every part of a pointer.
    #[test]
    fn a_task_within_another_is_deeper() {
        assert_eq!(depth(&event("started", "/do/0/a", None)), 0);
        assert_eq!(depth(&event("started", "/do/0/a/for/do/2/b", None)), 1);
        assert_eq!(depth(&event("started", "/do/0/a/fork/branches/1/b/try/0/c", None)), 2);
    }
}
