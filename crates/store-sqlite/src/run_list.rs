//! Pages of runs, however many runs there are and however few of them are asked for.
//!
//! One index, by state, workflow and id, serves every filter: within one state and workflow, a group,
//! runs lie in the order of the page. So a page is the merge of some groups, each read from its first
//! row on; what is asked for decides only which groups are merged.

use std::collections::{BinaryHeap, VecDeque};

use base::RunId;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use store::{RunQuery, RunRow, RunState};

use crate::convert;
use crate::run::run_row;

/// Larger than any id: the cursor of the first page.
const ABOVE_ALL_IDS: [u8; 17] = [0xff; 17];

/// Rows that a group reads at once, after its first one.
const AHEAD: u32 = 32;

/// Runs of one workflow in one state.
struct Group {
    state: i64,
    namespace: String,
    name: String,
    /// Rows that were read and are not on the page yet.
    ahead: VecDeque<RunRow>,
}

#[derive(Clone, Copy)]
enum Order {
    NewestFirst,
    OldestFirst,
}

impl Order {
    /// The larger, the sooner.
    fn rank(self, row: &RunRow) -> [u8; 16] {
        let id = *row.run.as_uuid().as_bytes();
        match self {
            Self::NewestFirst => id,
            Self::OldestFirst => id.map(|byte| !byte),
        }
    }
}

/// The runs that are asked for, newest first.
pub(crate) fn list(db: &Connection, query: &RunQuery) -> rusqlite::Result<Vec<RunRow>> {
    let before = match &query.after {
        Some(run) => run.as_uuid().as_bytes().as_slice(),
        None => &ABOVE_ALL_IDS,
    };
    let oldest = query.oldest.map_or([0; 16], |run| *run.as_uuid().as_bytes());
    if query.namespace.is_none() && query.workflow.is_none() && query.states.is_empty() {
        let mut all = db.prepare_cached(include_str!("sql/run_list.sql"))?;
        return all.query_map(params![before, oldest, query.limit], run_row)?.collect();
    }
    let mut states = match query.states.as_slice() {
        [] => RunState::ALL.to_vec(),
        asked => asked.to_vec(),
    };
    states.sort_unstable();
    states.dedup();
    // One view of all of it, so that no run changes its group meanwhile.
    let db = db.unchecked_transaction()?;
    let groups = groups(&db, &states, query)?;
    let next = db.prepare_cached(include_str!("sql/run_list_next.sql"))?;
    Merge { groups, next, order: Order::NewestFirst, bound: &oldest }.page(before, query.limit)
}

/// Runs that have not ended, oldest first.
pub(crate) fn unfinished(
    db: &Connection,
    after: Option<RunId>,
    limit: u32,
) -> rusqlite::Result<Vec<RunRow>> {
    let after = after.as_ref().map_or(&[][..], |run| run.as_uuid().as_bytes());
    let states: Vec<RunState> = RunState::ALL.into_iter().filter(|it| !it.has_ended()).collect();
    let db = db.unchecked_transaction()?;
    let groups = groups(&db, &states, &RunQuery::default())?;
    let next = db.prepare_cached(include_str!("sql/run_unfinished_next.sql"))?;
    let merge = Merge { groups, next, order: Order::OldestFirst, bound: &ABOVE_ALL_IDS };
    merge.page(after, limit)
}

struct Merge<'a> {
    groups: Vec<Group>,
    next: CachedStatement<'a>,
    order: Order,
    /// Where every group ends.
    bound: &'a [u8],
}

impl Merge<'_> {
    fn page(mut self, after: &[u8], limit: u32) -> rusqlite::Result<Vec<RunRow>> {
        let mut heads = BinaryHeap::new();
        for group in 0..self.groups.len() {
            self.read(group, after, 1)?;
            heads.extend(self.head(group));
        }
        let mut found = Vec::new();
        while found.len() < limit as usize {
            let Some((_, group)) = heads.pop() else { break };
            let Some(row) = self.groups[group].ahead.pop_front() else { break };
            if self.groups[group].ahead.is_empty() {
                self.read(group, row.run.as_uuid().as_bytes(), AHEAD)?;
            }
            heads.extend(self.head(group));
            found.push(row);
        }
        Ok(found)
    }

    fn read(&mut self, group: usize, after: &[u8], limit: u32) -> rusqlite::Result<()> {
        let Group { state, namespace, name, ahead } = &mut self.groups[group];
        let params = params![*state, &*namespace, &*name, after, self.bound, limit];
        for row in self.next.query_map(params, run_row)? {
            ahead.push_back(row?);
        }
        Ok(())
    }

    /// The rank of the group's next row, with the group.
    fn head(&self, group: usize) -> Option<([u8; 16], usize)> {
        let row = self.groups[group].ahead.front()?;
        Some((self.order.rank(row), group))
    }
}

/// All groups in which the query may find something, one step through the index for each.
fn groups(db: &Connection, states: &[RunState], query: &RunQuery) -> rusqlite::Result<Vec<Group>> {
    let name = query.workflow.as_ref().map(|it| it.as_str());
    let mut groups = Vec::new();
    for state in states.iter().copied().map(convert::code) {
        let namespaces = match &query.namespace {
            Some(namespace) => vec![namespace.as_str().to_owned()],
            None => {
                let mut next = db.prepare_cached(include_str!("sql/run_list_namespace.sql"))?;
                steps(|last| next.query_row(params![state, last], |row| row.get(0)))?
            }
        };
        for namespace in namespaces {
            let names = match name {
                Some(name) => vec![name.to_owned()],
                None => {
                    let mut next = db.prepare_cached(include_str!("sql/run_list_name.sql"))?;
                    steps(|last| next.query_row(params![state, namespace, last], |row| row.get(0)))?
                }
            };
            groups.extend(names.into_iter().map(|name| {
                let namespace = namespace.clone();
                Group { state, namespace, name, ahead: VecDeque::new() }
            }));
        }
    }
    Ok(groups)
}

/// From one value of a column to the next that is larger. None is empty, so the first is larger than
/// nothing. (A comparison of two columns at once would look at all rows of the last key again.)
fn steps(mut next: impl FnMut(&str) -> rusqlite::Result<String>) -> rusqlite::Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    while let Some(step) = next(found.last().map_or("", String::as_str)).optional()? {
        found.push(step);
    }
    Ok(found)
}
