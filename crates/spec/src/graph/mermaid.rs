//! The picture for Mermaid, which many wikis and forges draw. Everything from the document stands in
//! quotes, with the signs that mean something there as their numbers.

use std::fmt::Write as _;

use super::draw::{family, omitted, remark};
use super::{Graph, Region, States, Target};

/// Colours by state; the word stands in the box as well.
const CLASSES: &str = "  classDef completed fill:#d7f0dd,stroke:#2e7d32,color:#1b1b1b
  classDef faulted fill:#fbdcdc,stroke:#c62828,color:#1b1b1b
  classDef running fill:#dbe9fb,stroke:#1565c0,color:#1b1b1b
  classDef waiting fill:#fdf0cf,stroke:#b26a00,color:#1b1b1b
  classDef cancelled fill:#e6e6e6,stroke:#616161,color:#1b1b1b
  classDef suspended fill:#eadcf5,stroke:#6a1b9a,color:#1b1b1b
  classDef skipped fill:#f5f5f5,stroke:#9e9e9e,color:#616161
";

#[must_use]
pub fn mermaid(graph: &Graph, states: &States) -> String {
    let mut writer = Writer { out: String::new(), next: 0, states, classes: Vec::new() };
    let _ = writeln!(writer.out, "flowchart TD\n  start(({}))", quoted(&graph.title));
    let ids = writer.region(&graph.body, "end", 1);
    if let Some(first) = ids.first() {
        let _ = writeln!(writer.out, "  start --> {first}");
    }
    let _ = writeln!(writer.out, "  end_(({}))", quoted("end"));
    if !writer.classes.is_empty() {
        writer.out.push_str(CLASSES);
        for (id, class) in &writer.classes {
            let _ = writeln!(writer.out, "  class {id} {class}");
        }
    }
    writer.out
}

struct Writer<'s> {
    out: String,
    next: usize,
    states: &'s States,
    classes: Vec<(String, &'static str)>,
}

impl Writer<'_> {
    fn id(&mut self) -> String {
        self.next += 1;
        format!("n{}", self.next)
    }

    /// Writes boxes, then arrows; gives the ids of the steps.
    fn region(&mut self, region: &Region, leave: &str, depth: usize) -> Vec<String> {
        let margin = "  ".repeat(depth);
        let ids: Vec<String> = region.steps.iter().map(|_| self.id()).collect();
        for (step, id) in region.steps.iter().zip(&ids) {
            let label = format!("{}\n{}", step.name, remark(step, self.states));
            if let Some(class) = family(step, self.states) {
                self.classes.push((id.clone(), class));
            }
            if step.regions.iter().all(|region| region.steps.is_empty()) {
                let label = quoted(&label);
                let _ = match step.kind.as_str() {
                    "switch" => writeln!(self.out, "{margin}{id}{{{label}}}"),
                    _ => writeln!(self.out, "{margin}{id}[{label}]"),
                };
                continue;
            }
            let _ = writeln!(self.out, "{margin}subgraph {id} [{}]", quoted(&label));
            for inner in &step.regions {
                if inner.label.is_empty() {
                    self.region(inner, "exit", depth + 1);
                } else {
                    let inner_id = self.id();
                    let _ = writeln!(
                        self.out,
                        "{margin}  subgraph {inner_id} [{}]",
                        quoted(&inner.label)
                    );
                    self.region(inner, "exit", depth + 2);
                    let _ = writeln!(self.out, "{margin}  end");
                }
            }
            let _ = writeln!(self.out, "{margin}end");
        }
        let more = omitted(region).map(|more| {
            let id = self.id();
            let _ = writeln!(self.out, "{margin}{id}[{}]", quoted(&format!("… {more}")));
            id
        });
        self.arrows(region, &ids, more.as_deref(), leave, &margin);
        ids
    }

    fn arrows(
        &mut self,
        region: &Region,
        ids: &[String],
        more: Option<&str>,
        leave: &str,
        margin: &str,
    ) {
        let mut exit: Option<String> = None;
        for (place, (step, id)) in region.steps.iter().zip(ids).enumerate() {
            for before in step.after.iter().filter_map(|at| ids.get(*at)) {
                let _ = writeln!(self.out, "{margin}{before} --> {id}");
            }
            for edge in &step.edges {
                let to = match &edge.to {
                    Target::Step(to) => ids[*to].clone(),
                    Target::End => "end_".to_owned(),
                    Target::Exit if leave == "end" => "end_".to_owned(),
                    // The end of a list needs no arrow; leaving it earlier does.
                    Target::Exit if place + 1 == ids.len() && edge.label.is_empty() => continue,
                    Target::Exit => exit.get_or_insert_with(|| self.id_of_exit(margin)).clone(),
                    Target::Lost(_) => match more {
                        Some(more) => more.to_owned(),
                        None => continue,
                    },
                };
                let _ = if edge.label.is_empty() {
                    writeln!(self.out, "{margin}{id} --> {to}")
                } else {
                    writeln!(self.out, "{margin}{id} -->|{}| {to}", quoted(&edge.label))
                };
            }
        }
    }

    fn id_of_exit(&mut self, margin: &str) -> String {
        let id = self.id();
        let _ = writeln!(self.out, "{margin}{id}([{}])", quoted("exit"));
        id
    }
}

/// A label that cannot end its quotes, become markup, or be taken for Markdown.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br/>"),
            c if c.is_control() => out.push('\u{fffd}'),
            c if c.is_alphanumeric() || " .,:/()×…-_=".contains(c) => out.push(c),
            c => {
                let _ = write!(out, "#{};", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}
