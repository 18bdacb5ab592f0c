//! From a document to its graph. Nothing here judges: what is not as it should be is left out.

use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Kind, Node, escape};
use crate::problems::Problems;
use crate::yaml;

use super::{Edge, Graph, Region, Step, Target};

/// Steps of one list that are drawn. Nobody sees more at once.
const STEPS_MAX: usize = 60;

/// Branches of one fork that are drawn beside each other; more of them are one box.
const BRANCHES_MAX: usize = 8;

/// Steps of a whole picture.
const PICTURE_STEPS_MAX: usize = 2_000;

/// Characters of a remark in a box.
const DETAIL_CHARS_MAX: usize = 40;

/// What every task may have, and what belongs to another property.
const NOT_KINDS: [&str; 12] = [
    "if", "input", "output", "export", "timeout", "then", "metadata", "with", "while", "catch",
    "foreach", "do",
];

pub(super) fn graph(text: &str) -> Result<Graph, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let root = yaml::parse(text, &mut problems);
    let found = problems.into_list(root.as_ref());
    let Some(root) = root.filter(|_| found.is_empty()) else { return Err(found) };
    let document = field(&root, "document");
    let word = |name| document.and_then(|it| field(it, name)).and_then(Node::as_str);
    let title = [word("name").unwrap_or("workflow"), word("version").unwrap_or_default()].join(" ");
    let mut left = PICTURE_STEPS_MAX;
    let body = field(&root, "do").map(|list| region(list, "/do", "", false, &mut left));
    Ok(Graph { title: title.trim().to_owned(), body: body.unwrap_or_default() })
}

fn region(
    list: &Node,
    location: &str,
    label: &str,
    is_concurrent: bool,
    left: &mut usize,
) -> Region {
    let tasks: Vec<(usize, &Entry)> = match &list.kind {
        Kind::Seq(items) => items
            .iter()
            .enumerate()
            .filter_map(|(at, node)| Some((at, only_entry(node)?)))
            .collect(),
        _ => Vec::new(),
    };
    let has_after = tasks.iter().any(|(_, entry)| !after_names(&entry.value).is_empty());
    let limit = if is_concurrent && !has_after { BRANCHES_MAX } else { STEPS_MAX };
    let shown = tasks.len().min(limit).min(*left);
    *left -= shown;
    let names: Vec<&str> = tasks[..shown].iter().map(|(_, entry)| &*entry.key).collect();
    let steps = tasks[..shown].iter().enumerate().map(|(place, (at, entry))| {
        let location = format!("{location}/{at}/{}", escape(&entry.key));
        let edges = if is_concurrent {
            Vec::new()
        } else {
            edges(&entry.value, place, &names, tasks.len())
        };
        let after = after_names(&entry.value);
        let after = names
            .iter()
            .enumerate()
            .filter(|(_, name)| is_concurrent && after.contains(name))
            .map(|(place, _)| place)
            .collect();
        step(entry, location, edges, after, left)
    });
    let steps = steps.collect();
    Region { label: label.to_owned(), is_concurrent, steps, omitted: tasks.len() - shown }
}

fn step(
    entry: &Entry,
    location: String,
    edges: Vec<Edge>,
    after: Vec<usize>,
    left: &mut usize,
) -> Step {
    let task = &entry.value;
    let kind = kind(task);
    let regions = regions(task, kind, &location, left);
    let kind = match (kind, field(task, kind).and_then(Node::as_str)) {
        ("call", Some(what)) => format!("call {what}"),
        ("run", _) => match field(task, "run").and_then(program) {
            Some(what) => format!("run {}", what.key),
            None => "run".to_owned(),
        },
        (kind, _) => kind.to_owned(),
    };
    Step {
        name: entry.key.to_string(),
        detail: clip(&detail(task, &kind)),
        kind: clip(&kind),
        is_conditional: field(task, "if").is_some(),
        location,
        edges,
        after,
        regions,
    }
}

/// The property that says what the task does.
fn kind(task: &Node) -> &str {
    let Kind::Map(entries) = &task.kind else { return "" };
    // A `for` has a `do`, and a `do` has nothing else.
    let first = entries.iter().find(|entry| !NOT_KINDS.contains(&&*entry.key));
    first.map_or_else(|| if field(task, "do").is_some() { "do" } else { "" }, |entry| &entry.key)
}

fn detail(task: &Node, kind: &str) -> String {
    let text = |path: &[&str]| {
        path.iter().try_fold(task, |node, key| field(node, key)).and_then(|node| match &node.kind {
            Kind::Str(scalar) => Some(bare(&scalar.text).trim().to_owned()),
            Kind::Int(number) => Some(number.to_string()),
            _ => None,
        })
    };
    match kind {
        "call http" => {
            let method = text(&["with", "method"]).unwrap_or_default().to_uppercase();
            let endpoint =
                text(&["with", "endpoint"]).or_else(|| text(&["with", "endpoint", "uri"]));
            format!("{method} {}", endpoint.unwrap_or_default())
        }
        "wait" => text(&["wait"]).unwrap_or_default(),
        "raise" => text(&["raise", "error"])
            .or_else(|| text(&["raise", "error", "title"]))
            .or_else(|| text(&["raise", "error", "type"]))
            .unwrap_or_default(),
        "set" => match field(task, "set").map(|set| &set.kind) {
            Some(Kind::Map(entries)) => {
                entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        },
        "emit" => text(&["emit", "event", "with", "type"]).unwrap_or_default(),
        "run workflow" => text(&["run", "workflow", "name"]).unwrap_or_default(),
        // A catch with tasks says so where they are drawn.
        "try" => match field(task, "catch") {
            Some(catch) if field(catch, "do").is_none() && field(catch, "retry").is_some() => {
                "with retries".to_owned()
            }
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// The lists of tasks in a task.
fn regions(task: &Node, kind: &str, location: &str, left: &mut usize) -> Vec<Region> {
    let mut found = Vec::new();
    let mut add = |path: &[&str], label: &str, is_concurrent: bool| {
        if let Some(list) = path.iter().try_fold(task, |node, key| field(node, key)) {
            let location = format!("{location}/{}", path.join("/"));
            found.push(region(list, &location, label, is_concurrent, left));
        }
    };
    let word = |path: &[&str], usual: &str| {
        let node = path.iter().try_fold(task, |node, key| field(node, key));
        node.and_then(Node::as_str).unwrap_or(usual).to_owned()
    };
    match kind {
        "for" => {
            let label = format!(
                "each {} in {}",
                word(&["for", "each"], "item"),
                clip(bare(&word(&["for", "in"], "a list")))
            );
            add(&["do"], &label, false);
        }
        "fork" => {
            let compete = field(task, "fork").and_then(|fork| field(fork, "compete"));
            let is_race = compete.is_some_and(|node| matches!(node.kind, Kind::Bool(true)));
            add(&["fork", "branches"], if is_race { "the first wins" } else { "at once" }, true);
        }
        "try" => {
            add(&["try"], "try", false);
            let retry = field(task, "catch").and_then(|catch| field(catch, "retry"));
            let label = if retry.is_some() { "catch, after retries" } else { "catch" };
            add(&["catch", "do"], label, false);
        }
        "listen" => add(&["foreach", "do"], "each event", false),
        _ => add(&["do"], "", false),
    }
    found
}

/// Where the flow goes from a task of a list of `count` tasks, of which `names` are drawn.
fn edges(task: &Node, place: usize, names: &[&str], count: usize) -> Vec<Edge> {
    let next = || match place + 1 {
        next if next < names.len() => Target::Step(next),
        next if next < count => Target::Lost("the rest".to_owned()),
        _ => Target::Exit,
    };
    let target = |then: Option<&str>| match then {
        None | Some("continue") => next(),
        Some("exit") => Target::Exit,
        Some("end") => Target::End,
        Some(name) => match names.iter().position(|known| *known == name) {
            Some(place) => Target::Step(place),
            None => Target::Lost(name.to_owned()),
        },
    };
    let then = field(task, "then").and_then(Node::as_str);
    let mut edges = Vec::new();
    let mut is_decided = false;
    if let Some(Kind::Seq(cases)) = field(task, "switch").map(|cases| &cases.kind) {
        for case in cases.iter().filter_map(only_entry) {
            let when = field(&case.value, "when").and_then(Node::as_str);
            is_decided |= when.is_none();
            let label = when.map_or_else(
                || case.key.to_string(),
                |when| format!("{}: {}", case.key, clip(bare(when))),
            );
            let to = target(field(&case.value, "then").and_then(Node::as_str));
            edges.push(Edge { label, to });
        }
    }
    let is_raise = field(task, "raise").is_some();
    if !is_decided && !is_raise {
        let label = if edges.is_empty() { "" } else { "else" };
        edges.push(Edge { label: label.to_owned(), to: target(then) });
    }
    let is_skippable = field(task, "if").is_some();
    if is_skippable && !edges.iter().any(|edge| edge.to == next()) {
        edges.push(Edge { label: "skipped".to_owned(), to: next() });
    }
    edges
}

fn after_names(task: &Node) -> Vec<&str> {
    let after = field(task, "metadata").and_then(|metadata| field(metadata, "after"));
    match after.map(|after| &after.kind) {
        Some(Kind::Seq(names)) => names.iter().filter_map(Node::as_str).collect(),
        _ => Vec::new(),
    }
}

fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Kind::Map(entries) = &node.kind else { return None };
    entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
}

fn only_entry(node: &Node) -> Option<&Entry> {
    match &node.kind {
        Kind::Map(entries) if entries.len() == 1 => entries.first(),
        _ => None,
    }
}

/// What `run` runs, whatever stands before it.
fn program(run: &Node) -> Option<&Entry> {
    match &run.kind {
        Kind::Map(entries) => {
            entries.iter().find(|entry| !matches!(&*entry.key, "await" | "return"))
        }
        _ => None,
    }
}

fn bare(text: &str) -> &str {
    expr::unwrap_marker(text).unwrap_or(text)
}

fn clip(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= DETAIL_CHARS_MAX {
        return line;
    }
    line.chars().take(DETAIL_CHARS_MAX - 1).chain(['…']).collect()
}
