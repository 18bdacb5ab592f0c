//! Words that all pictures share.

use super::{Region, States, Step, Target};

/// `call http GET https://…`, with its state in a run.
pub(super) fn remark(step: &Step, states: &States) -> String {
    let mut text = step.kind.clone();
    if !step.detail.is_empty() {
        text.push(' ');
        text.push_str(&step.detail);
    }
    if step.is_conditional {
        text.push_str(", if");
    }
    if let Some(state) = states.get(&step.location) {
        text.push_str(", ");
        text.push_str(state);
    }
    text
}

/// What stands for the tasks that are left out.
pub(super) fn omitted(region: &Region) -> Option<String> {
    let (shown, more) = (region.steps.len(), region.omitted);
    let what = if region.is_concurrent { "branches" } else { "tasks" };
    (more > 0).then(|| format!("and {more} more {what} (× {})", shown + more))
}

/// Where an edge goes that does not go to the next step.
pub(super) fn jump(target: &Target, region: &Region, from: usize) -> Option<String> {
    match target {
        Target::Step(to) if *to == from + 1 => None,
        Target::Step(to) => region.steps.get(*to).map(|step| step.name.clone()),
        Target::Exit if from + 1 >= region.steps.len() && region.omitted == 0 => None,
        Target::Exit => Some("exit".to_owned()),
        Target::End => Some("end".to_owned()),
        Target::Lost(name) => Some(name.clone()),
    }
}

/// The state's family, which decides its colour: the first word.
pub(super) fn family(step: &Step, states: &States) -> Option<&'static str> {
    let state = states.get(&step.location)?;
    let families =
        ["completed", "faulted", "running", "waiting", "cancelled", "suspended", "skipped"];
    families.into_iter().find(|family| state.starts_with(family))
}
