//! Pages of runs, however many runs there are and however few of them are asked for.
//!
//! One index, by state, workflow and id, serves every filter: within one state and workflow, a group,
//! runs lie in the order of the page. So a page is the merge of some groups, each read from its first
//! row on; what is asked for decides only which groups are merged.

use std::collections::{BinaryHeap, VecDeque};

use base::RunId;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};
use store::{RunQuery, RunRow, RunState};

use crate::convert;
use crate::run::run_row;

/// Larger than any id: the cursor of the first page.
const ABOVE_ALL_IDS: [u8; 17] = [0xff; 17];

/// Rows that a group reads at once, after its first one.
const AHEAD: u32 = 32;

type Id = [u8; 16];

/// Runs of one workflow in one state.
struct Group {
    state: i64,
    namespace: String,
    name: String,
    /// Rows that were read and are not on the page yet.
    ahead: VecDeque<Id>,
}

/// The next run of a group.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    /// The larger, the sooner.
    rank: Id,
    run: Id,
    group: usize,
}

#[derive(Clone, Copy)]
enum Order {
    NewestFirst,
    OldestFirst,
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
    Merge { groups, next, order: Order::NewestFirst, bound: &oldest }.page(&db, before, query.limit)
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
    merge.page(&db, after, limit)
}

struct Merge<'a> {
    groups: Vec<Group>,
    next: CachedStatement<'a>,
    order: Order,
    /// Where every group ends.
    bound: &'a [u8],
}

impl Merge<'_> {
    fn page(mut self, db: &Connection, after: &[u8], limit: u32) -> rusqlite::Result<Vec<RunRow>> {
        let mut heads = BinaryHeap::new();
        for group in 0..self.groups.len() {
            self.read(group, after, 1)?;
            heads.extend(self.head(group));
        }
        let mut get = db.prepare_cached(include_str!("sql/run_get.sql"))?;
        let mut found = Vec::new();
        while found.len() < limit as usize {
            let Some(Head { run, group, .. }) = heads.pop() else { break };
            found.push(get.query_row([&run], run_row)?);
            if self.groups[group].ahead.is_empty() {
                self.read(group, &run, AHEAD)?;
            }
            heads.extend(self.head(group));
        }
        Ok(found)
    }

    fn read(&mut self, group: usize, after: &[u8], limit: u32) -> rusqlite::Result<()> {
        let Group { state, namespace, name, ahead } = &mut self.groups[group];
        let params = params![*state, &*namespace, &*name, after, self.bound, limit];
        for id in self.next.query_map(params, |row| row.get(0))? {
            ahead.push_back(id?);
        }
        Ok(())
    }

    fn head(&mut self, group: usize) -> Option<Head> {
        let run = self.groups[group].ahead.pop_front()?;
        let rank = match self.order {
            Order::NewestFirst => run,
            Order::OldestFirst => run.map(|byte| !byte),
        };
        Some(Head { rank, run, group })
    }
}

/// All groups in which the query may find something, one step through the index for each.
fn groups(db: &Connection, states: &[RunState], query: &RunQuery) -> rusqlite::Result<Vec<Group>> {
    let namespace = query.namespace.as_ref().map(|it| it.as_str());
    let name = query.workflow.as_ref().map(|it| it.as_str());
    let mut next = db.prepare_cached(include_str!("sql/run_list_key.sql"))?;
    let key = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let mut groups = Vec::new();
    for state in states.iter().copied().map(convert::code) {
        let mut push = |namespace, name| {
            groups.push(Group { state, namespace, name, ahead: VecDeque::new() });
        };
        if let (Some(namespace), Some(name)) = (namespace, name) {
            push(namespace.to_owned(), name.to_owned());
            continue;
        }
        // No name is empty: the first key of a namespace is behind this one.
        let mut last = (namespace.unwrap_or_default().to_owned(), String::new());
        while let Some(found) = next.query_row(params![state, last.0, last.1], key).optional()? {
            let (of, named): &(String, String) = &found;
            if namespace.is_some_and(|namespace| namespace != of) {
                break;
            }
            if name.is_none_or(|name| name == named) {
                push(of.clone(), named.clone());
            }
            last = found;
        }
    }
    Ok(groups)
}
