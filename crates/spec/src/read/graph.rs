//! Forks as graphs: a branch with `metadata.after` begins when the named branches have completed.

use std::collections::{HashMap, HashSet};

use crate::code::Code;
use crate::near;
use crate::node::{Entry, Kind, Node};
use crate::problems::shown;
use crate::tree::TaskList;

use super::Reader;
use super::fields::Item;

/// Exporting branches of one graph that are compared with each other, each pair by a walk through
/// the graph. Whoever exports in more of them has read the first warnings.
const EXPORTS_COMPARED_MAX: usize = 20;

/// What is known of a branch before the graph is.
struct Branch<'a> {
    name: &'a str,
    after: Option<Item<'a>>,
}

/// What one branch waits for.
struct Waits {
    on: Vec<u32>,
    /// Everything that it waits for could be read.
    is_whole: bool,
}

/// Which branches of a fork wait for which, as far as that could be read.
pub(super) struct Graph {
    /// For each branch, the others that it waits for.
    after: Vec<Vec<u32>>,
    /// For each branch, whether it may wait for others as well.
    unclear: Vec<bool>,
    is_sound: bool,
}

impl Graph {
    /// What each branch waits for, if nothing is wrong with it.
    pub(super) fn sound(self) -> Option<Vec<Vec<u32>>> {
        self.is_sound.then_some(self.after)
    }

    /// Whether `from` waits for `to`, directly or by way of others, as far as can be known.
    fn may_wait(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.after.len()];
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == to || self.unclear[at] {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                open.extend(self.after[at].iter().map(|name| *name as usize));
            }
        }
        false
    }
}

impl<'a> Reader<'a> {
    /// Reports all that is wrong with the graph at once; `None` where there are no branches.
    pub(super) fn graph(&mut self, branches: Item<'a>, compete: bool) -> Option<Graph> {
        let Kind::Seq(items) = &branches.node.kind else {
            return None;
        };
        let branches: Vec<Branch<'a>> = items.iter().filter_map(branch).collect();
        let mut is_sound = true;
        if compete && let Some(after) = branches.iter().find_map(|branch| branch.after) {
            let hint =
                "leave `compete` out, or put the branches that race into a fork of their own";
            let message = "branches that race cannot wait for one another";
            self.report(Code::CompetingGraph, after.at, message, Some(hint.into()));
            is_sound = false;
        }
        let mut places: HashMap<&str, Option<u32>> = HashMap::new();
        for (branch, at) in branches.iter().zip(0..) {
            places.entry(branch.name).and_modify(|place| *place = None).or_insert(Some(at));
        }
        let waits: Vec<Waits> = branches.iter().map(|it| self.after(it, &places)).collect();
        is_sound &= waits.iter().all(|waits| waits.is_whole);
        let unclear = waits.iter().map(|waits| !waits.is_whole).collect();
        let after: Vec<Vec<u32>> = waits.into_iter().map(|waits| waits.on).collect();
        is_sound &= self.refuse_cycle(&branches, &after).is_some();
        Some(Graph { after, unclear, is_sound })
    }

    fn after(&mut self, branch: &Branch<'a>, places: &HashMap<&str, Option<u32>>) -> Waits {
        let mut waits = Waits { on: Vec::new(), is_whole: true };
        let Some(item) = branch.after else { return waits };
        let Kind::Seq(names) = &item.node.kind else {
            let _: Option<()> = self.wrong_type(item, "a list of names of branches");
            return Waits { is_whole: false, ..waits };
        };
        let mut seen = HashSet::new();
        for node in names.iter() {
            let item = Item::of(node);
            let Some(name) = self.text(item) else {
                waits.is_whole = false;
                continue;
            };
            match places.get(name) {
                Some(Some(place)) if seen.insert(*place) => waits.on.push(*place),
                Some(Some(_)) => {}
                // Several branches have the name, which is reported where they stand.
                Some(None) => waits.is_whole = false,
                None => {
                    let near = (!self.problems.is_full())
                        .then(|| near::hint(name, places.keys().copied()))
                        .flatten();
                    let hint = near.unwrap_or_else(|| "name branches of the same fork".into());
                    let message = format!(
                        "`{}` waits for `{}`, but no branch of this fork has that name",
                        shown(branch.name),
                        shown(name)
                    );
                    self.report(Code::UnknownBranch, item.at, message, Some(hint));
                    waits.is_whole = false;
                }
            }
        }
        waits
    }

    /// `metadata` takes anything, so that `after` is no error where it means nothing.
    pub(super) fn warn_of_useless_after(&mut self, task: &Entry) {
        if let Some(after) = after_of(task) {
            let message = format!(
                "`after` is not heeded here: the task `{}` is no branch of a `fork`",
                shown(&task.key)
            );
            let hint =
                "a graph is made of the branches of a `fork`; tasks of a list run in its order";
            self.report(Code::AfterNoBranch, after.key_at, message, Some(hint.into()));
        }
    }

    fn refuse_cycle(&mut self, branches: &[Branch<'a>], after: &[Vec<u32>]) -> Option<()> {
        let Some(cycle) = cycle(after) else {
            return Some(());
        };
        let names = cycle.iter().chain(cycle.first()).map(|at| branches[*at as usize].name);
        let way = names.map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>();
        let at = branches[cycle[0] as usize].after?.at;
        let message = format!("branches wait for each other: {}", shown_way(&way));
        let hint = "take one name out of an `after`, so that some branch can begin";
        self.report(Code::BranchCycle, at, message, Some(hint.into()));
        None
    }

    /// Branches that wait for each other do not race: only those at the same time are warned of.
    pub(super) fn warn_of_racing_exports(&mut self, branches: &TaskList, graph: &Graph) {
        let waits_for_nobody = graph.after.iter().all(Vec::is_empty);
        if waits_for_nobody && !graph.unclear.contains(&true) {
            self.warn_of_concurrent_exports(branches);
            return;
        }
        let exporting: Vec<usize> = (0..branches.0.len())
            .filter(|at| self.export_in(branches, *at).is_some())
            .take(EXPORTS_COMPARED_MAX)
            .collect();
        for (index, at) in exporting.iter().enumerate() {
            let before = exporting[..index]
                .iter()
                .find(|other| !graph.may_wait(*at, **other) && !graph.may_wait(**other, *at));
            let both = before.and_then(|other| self.export_in(branches, *other));
            if let (Some(first), Some(second)) = (both, self.export_in(branches, *at)) {
                self.warn_of_racing_export(first, second);
            }
        }
    }
}

fn branch(node: &Node) -> Option<Branch<'_>> {
    // What is no named task has been reported as such.
    let Kind::Map(entries) = &node.kind else { return None };
    let [entry] = &entries[..] else { return None };
    Some(Branch { name: &entry.key, after: after_of(entry).map(Item::from) })
}

fn after_of(task: &Entry) -> Option<&Entry> {
    let metadata = member(&task.value, "metadata")?;
    member(&metadata.value, "after")
}

fn member<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().find(|entry| &*entry.key == key),
        _ => None,
    }
}

/// A way that leads back to its beginning, if there is one: each waits for the next.
fn cycle(after: &[Vec<u32>]) -> Option<Vec<u32>> {
    // Taking away whoever waits for nobody leaves the cycles, and what waits for them.
    let mut left: Vec<usize> = after.iter().map(Vec::len).collect();
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); after.len()];
    for (at, names) in after.iter().enumerate() {
        names.iter().for_each(|name| waiting[*name as usize].push(at));
    }
    let mut open: Vec<usize> = (0..after.len()).filter(|at| left[*at] == 0).collect();
    while let Some(done) = open.pop() {
        for at in &waiting[done] {
            left[*at] -= 1;
            if left[*at] == 0 {
                open.push(*at);
            }
        }
    }
    let mut at = left.iter().position(|count| *count > 0)?;
    let mut way: Vec<usize> = Vec::new();
    let start = loop {
        if let Some(start) = way.iter().position(|seen| *seen == at) {
            break start;
        }
        way.push(at);
        let next = after[at].iter().find(|name| left[**name as usize] > 0);
        at = *next.expect("whoever is left waits for somebody who is left") as usize;
    };
    way[start..].iter().map(|at| u32::try_from(*at).ok()).collect()
}

fn shown_way(way: &[String]) -> String {
    /// A longer way is cut: its beginning is enough to find it.
    const NAMES_MAX: usize = 10;
    match way {
        [.., last] if way.len() > NAMES_MAX => {
            format!("{} after … after {last}", way[..NAMES_MAX].join(" after "))
        }
        _ => way.join(" after "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a diamond for a cycle, or overlook one that begins behind a way to it.
    #[test]
    fn a_cycle_is_found_and_a_diamond_is_none() {
        assert_eq!(cycle(&[vec![], vec![0], vec![0], vec![1, 2]]), None);
        assert_eq!(cycle(&[vec![0]]), Some(vec![0]));
        assert_eq!(cycle(&[vec![1], vec![2], vec![3], vec![1]]), Some(vec![1, 2, 3]));
        assert_eq!(cycle(&[]), None);
    }
}
