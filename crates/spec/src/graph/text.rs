//! The picture as text: a tree, with arrows where the flow leaves its order.

use super::draw::{jump, omitted, remark};
use super::{Graph, Region, States, Step, Target};

#[must_use]
pub fn text(graph: &Graph, states: &States) -> String {
    let mut out = printable(&graph.title);
    out.push('\n');
    region(&graph.body, "", states, &mut out);
    out
}

fn region(region: &Region, margin: &str, states: &States, out: &mut String) {
    let more = omitted(region);
    for (place, step) in region.steps.iter().enumerate() {
        let is_last = place + 1 == region.steps.len() && more.is_none();
        let (branch, bar) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let sign = if region.is_concurrent { "∥ " } else { "" };
        out.push_str(&format!(
            "{margin}{branch}{sign}{}  {}",
            printable(&step.name),
            printable(&remark(step, states))
        ));
        flow(step, region, place, &format!("{margin}{bar}"), out);
        let inner = format!("{margin}{bar}");
        for region in &step.regions {
            if region.label.is_empty() {
                self::region(region, &inner, states, out);
            } else {
                out.push_str(&format!("{inner}{}:\n", printable(&region.label)));
                self::region(region, &format!("{inner}  "), states, out);
            }
        }
    }
    if let Some(more) = more {
        out.push_str(&format!("{margin}└─ … {more}\n"));
    }
}

/// Ends the line of a step with where the flow goes; of a switch, each case has a line.
fn flow(step: &Step, region: &Region, place: usize, margin: &str, out: &mut String) {
    let after: Vec<&str> =
        step.after.iter().filter_map(|at| region.steps.get(*at)).map(|it| &*it.name).collect();
    if !after.is_empty() {
        out.push_str(&format!("  ← {}", printable(&after.join(", "))));
    }
    if let [edge] = &step.edges[..]
        && edge.label.is_empty()
    {
        if let Some(to) = jump(&edge.to, region, place) {
            out.push_str(&format!("  → {}", printable(&to)));
        }
        out.push('\n');
        return;
    }
    out.push('\n');
    for edge in &step.edges {
        let to = match (&edge.to, jump(&edge.to, region, place)) {
            (_, Some(to)) => to,
            (Target::Step(to), None) => region.steps[*to].name.clone(),
            (_, None) => "exit".to_owned(),
        };
        let label = if edge.label.is_empty() { "then" } else { &edge.label };
        out.push_str(&format!("{margin}  {} → {}\n", printable(label), printable(&to)));
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
