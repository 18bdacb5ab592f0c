//! Which run may begin or go on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use base::name::WorkflowKey;
use base::{Namespace, RunId, Timestamp};

use super::fair::{FairQueue, Rank, Weights};

/// How much at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Runs that are active at once.
    pub active_max: usize,
    /// Runs that wait to begin; more are turned away.
    pub queued_max: usize,
    pub weights: Weights,
}

/// A run that wants to begin or to go on.
#[derive(Debug, Clone)]
pub struct Waiter {
    pub run: RunId,
    pub key: WorkflowKey,
    pub priority: i32,
    /// When it was created, or was to be woken.
    pub since: Timestamp,
    /// How many runs its workflow has at once; no matter, where there is none.
    pub limit: Option<u32>,
}

/// What becomes of a run that wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It has slot and place.
    Now,
    Later(Why),
    /// Too many wait already.
    Full,
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Workflow(u32),
    Site(usize),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workflow(limit) => {
                write!(f, "the limit of its workflow (runs at once: {limit})")
            }
            Self::Site(limit) => write!(f, "the limit of the site (active runs: {limit})"),
        }
    }
}

/// All runs that are active or wait to be.
#[derive(Debug)]
pub struct Runs {
    limits: Limits,
    active: usize,
    ready: FairQueue<RunId, ()>,
    groups: HashMap<WorkflowKey, Group>,
    queued: HashMap<RunId, Queued>,
}

/// The runs of a workflow that has a limit.
#[derive(Debug, Default)]
struct Group {
    /// Those that have a place.
    placed: HashSet<RunId>,
    /// The others, each with the limit of its own revision.
    waiting: BTreeMap<(Rank, RunId), u32>,
}

#[derive(Debug)]
enum Queued {
    Ready(Namespace, Rank),
    ForPlace(Rank),
}

impl Runs {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let ready = FairQueue::new(limits.weights.clone());
        Self { limits, active: 0, ready, groups: HashMap::new(), queued: HashMap::new() }
    }

    /// A new run: takes slot and place where both are free and nobody waits for them.
    pub fn arrive(&mut self, waiter: &Waiter) -> Arrival {
        let group = self.groups.get(&waiter.key);
        let is_full = |limit: u32| {
            group.is_some_and(|it| !it.waiting.is_empty() || it.placed.len() >= limit as usize)
        };
        let why = match waiter.limit {
            Some(limit) if is_full(limit) => Why::Workflow(limit),
            _ if self.active >= self.limits.active_max || !self.ready.is_empty() => {
                Why::Site(self.limits.active_max)
            }
            _ => {
                self.active += 1;
                if waiter.limit.is_some() {
                    self.place(waiter.run, &waiter.key);
                }
                return Arrival::Now;
            }
        };
        let is_crowded = self.queued.len() >= self.limits.queued_max;
        if is_crowded { Arrival::Full } else { Arrival::Later(why) }
    }

    /// Lets a run wait for its place, if it needs one that it does not have, and then for a slot. One
    /// that waits already is left where it is.
    pub fn queue(&mut self, waiter: Waiter) {
        if self.queued.contains_key(&waiter.run) {
            return;
        }
        let Waiter { run, key, priority, since, limit } = waiter;
        let rank = Rank::new(priority, since);
        match limit.filter(|_| !self.has_place(run, &key)) {
            Some(limit) => {
                let group = self.groups.entry(key.clone()).or_default();
                group.waiting.insert((rank, run), limit);
                self.queued.insert(run, Queued::ForPlace(rank));
                self.fill(&key);
            }
            None => self.ready(run, key.namespace, rank),
        }
    }

    /// The next run that gets a slot.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is a question, and asking changes things"
    )]
    pub fn next(&mut self) -> Option<RunId> {
        if self.active >= self.limits.active_max {
            return None;
        }
        let (run, ()) = self.ready.pop()?;
        self.queued.remove(&run);
        self.active += 1;
        Some(run)
    }

    /// A slot for a run that is in memory already, or that a person asks for: it is not made to wait,
    /// and others wait for it.
    pub fn slot_take(&mut self) {
        self.active += 1;
    }

    /// Says whether somebody waits for it.
    pub fn slot_free(&mut self) -> bool {
        self.active -= 1;
        self.active < self.limits.active_max && !self.ready.is_empty()
    }

    /// Gives a place to a run that had begun before anybody counted.
    pub fn place(&mut self, run: RunId, key: &WorkflowKey) {
        self.groups.entry(key.clone()).or_default().placed.insert(run);
    }

    /// The same where there is one.
    pub fn place_if_free(&mut self, run: RunId, key: &WorkflowKey, limit: u32) -> bool {
        let placed = self.groups.get(key).map_or(0, |group| group.placed.len());
        let may = self.has_place(run, key) || placed < limit as usize;
        if may {
            self.place(run, key);
        }
        may
    }

    #[must_use]
    pub fn has_place(&self, run: RunId, key: &WorkflowKey) -> bool {
        self.groups.get(key).is_some_and(|group| group.placed.contains(&run))
    }

    /// The run has ended, or must not begin: it gives up its place, and waits for none.
    pub fn leave(&mut self, run: RunId, key: &WorkflowKey) {
        match self.queued.remove(&run) {
            Some(Queued::Ready(namespace, rank)) => {
                self.ready.remove(&namespace, rank, run);
            }
            Some(Queued::ForPlace(rank)) => {
                let group = self.groups.get_mut(key);
                group.and_then(|group| group.waiting.remove(&(rank, run)));
            }
            None => {}
        }
        if let Some(group) = self.groups.get_mut(key) {
            group.placed.remove(&run);
            self.fill(key);
        }
    }

    /// Whether [`next`](Self::next) has one.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.active < self.limits.active_max && !self.ready.is_empty()
    }

    #[must_use]
    pub fn active(&self) -> usize {
        self.active
    }

    /// Runs that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    #[must_use]
    pub fn is_queued(&self, run: RunId) -> bool {
        self.queued.contains_key(&run)
    }

    /// Gives free places to those who wait for them, in their order.
    fn fill(&mut self, key: &WorkflowKey) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let mut placed = Vec::new();
        while let Some(first) = group.waiting.first_entry() {
            if group.placed.len() >= *first.get() as usize {
                break;
            }
            let (rank, run) = *first.key();
            first.remove();
            group.placed.insert(run);
            placed.push((rank, run));
        }
        if group.placed.is_empty() && group.waiting.is_empty() {
            self.groups.remove(key);
        }
        for (rank, run) in placed {
            self.ready(run, key.namespace.clone(), rank);
        }
    }

    fn ready(&mut self, run: RunId, namespace: Namespace, rank: Rank) {
        self.ready.push(&namespace, rank, run, ());
        self.queued.insert(run, Queued::Ready(namespace, rank));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use base::name::WorkflowName;
    use proptest::prelude::*;

    use super::*;

    fn run(n: u64) -> RunId {
        RunId::from_uuid(uuid::Uuid::from_u128(u128::from(n) + 1))
    }

    fn waiter(n: u64, name: &str, limit: Option<u32>) -> Waiter {
        let namespace = Namespace::parse("team").expect("a name");
        let name = WorkflowName::parse(name).expect("a name");
        let since = Timestamp::from_millis(n as i64);
        Waiter { run: run(n), key: WorkflowKey { namespace, name }, priority: 0, since, limit }
    }

    fn runs(active_max: usize) -> Runs {
        Runs::new(Limits { active_max, queued_max: 3, weights: Weights::default() })
    }

    /// Mutation: let a new run overtake those that wait, or forget to take its slot or place.
    #[test]
    fn a_run_begins_at_once_only_where_nobody_waits() {
        let mut runs = runs(3);
        let (a, b, c) = (waiter(1, "w", Some(1)), waiter(2, "w", Some(1)), waiter(3, "x", None));
        assert_eq!(runs.arrive(&a), Arrival::Now);
        assert_eq!(runs.arrive(&b), Arrival::Later(Why::Workflow(1)));
        runs.queue(b);
        assert_eq!(runs.arrive(&c), Arrival::Now);
        assert_eq!(runs.arrive(&waiter(4, "x", None)), Arrival::Now);
        assert_eq!(runs.arrive(&waiter(5, "x", None)), Arrival::Later(Why::Site(3)));
        assert_eq!(runs.next(), None, "no slot, and no place");
        assert!(!runs.slot_free(), "who waits, waits for a place");
        runs.leave(run(1), &a.key);
        assert_eq!(runs.next(), Some(run(2)));
        assert_eq!(runs.active(), 3);
    }

    /// Mutation: let any number wait.
    #[test]
    fn too_many_are_turned_away() {
        let mut runs = runs(0);
        for n in 0..3 {
            assert!(matches!(runs.arrive(&waiter(n, "w", None)), Arrival::Later(_)));
            runs.queue(waiter(n, "w", None));
            runs.queue(waiter(n, "w", None));
        }
        assert_eq!(runs.queued(), 3, "one that waits already is not counted twice");
        assert_eq!(runs.arrive(&waiter(9, "w", None)), Arrival::Full);
    }

    /// Mutation: leave out the place of one that leaves before it begins.
    #[test]
    fn who_is_withdrawn_makes_room() {
        let mut runs = runs(9);
        for n in 0..3 {
            runs.queue(waiter(n, "w", Some(1)));
        }
        let key = waiter(0, "w", None).key;
        runs.leave(run(1), &key);
        runs.leave(run(0), &key);
        assert_eq!(runs.next(), Some(run(2)));
        runs.leave(run(2), &key);
        assert!(runs.groups.is_empty() && runs.queued.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Act {
        Arrive {
            workflow: u8,
            priority: i32,
        },
        Next,
        /// One of the active ones rests or ends.
        Rest(usize),
        End(usize),
        Withdraw(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..4_u8, -2..3).prop_map(|(workflow, priority)| Act::Arrive { workflow, priority }),
            3 => Just(Act::Next),
            1 => any::<usize>().prop_map(Act::Rest),
            2 => any::<usize>().prop_map(Act::End),
            1 => any::<usize>().prop_map(Act::Withdraw),
        ]
    }

    proptest! {
        /// Mutation: count a place twice, give one too many, or lose whoever waits for it.
        #[test]
        fn limits_hold_and_nobody_is_stuck(acts in prop::collection::vec(act(), 1..200)) {
            let limits = [None, Some(1), Some(2), Some(3)];
            let names = ["free", "one", "two", "three"];
            let mut runs = Runs::new(Limits {
                active_max: 4,
                queued_max: usize::MAX,
                weights: Weights::default(),
            });
            let (mut begun, mut waits) = (BTreeMap::new(), BTreeSet::new());
            let mut slots = BTreeSet::new();
            let mut workflow_of = BTreeMap::new();
            let key = |workflow: u8| waiter(0, names[workflow as usize], None).key;
            for (n, act) in (0..).zip(acts) {
                match act {
                    Act::Arrive { workflow, priority } => {
                        let (name, limit) = (names[workflow as usize], limits[workflow as usize]);
                        let waiter = Waiter { priority, ..waiter(n, name, limit) };
                        workflow_of.insert(run(n), workflow);
                        match runs.arrive(&waiter) {
                            Arrival::Now => {
                                begun.insert(run(n), workflow);
                                slots.insert(run(n));
                            }
                            Arrival::Later(_) => {
                                runs.queue(waiter);
                                waits.insert(run(n));
                            }
                            Arrival::Full => unreachable!("there is room for all"),
                        }
                    }
                    Act::Next => {
                        if let Some(run) = runs.next() {
                            prop_assert!(waits.remove(&run));
                            begun.insert(run, workflow_of[&run]);
                            slots.insert(run);
                        }
                    }
                    Act::Rest(at) => {
                        if let Some(run) = slots.iter().nth(at % slots.len().max(1)).copied() {
                            slots.remove(&run);
                            runs.slot_free();
                        }
                    }
                    Act::End(at) => {
                        if let Some(run) = begun.keys().nth(at % begun.len().max(1)).copied() {
                            runs.leave(run, &key(begun[&run]));
                            begun.remove(&run);
                            if slots.remove(&run) {
                                runs.slot_free();
                            }
                        }
                    }
                    Act::Withdraw(at) => {
                        if let Some(run) = waits.iter().nth(at % waits.len().max(1)).copied() {
                            runs.leave(run, &key(workflow_of[&run]));
                            waits.remove(&run);
                        }
                    }
                }
                prop_assert!(slots.len() <= 4);
                for (workflow, limit) in (0..).zip(limits) {
                    let count = begun.values().filter(|it| **it == workflow).count();
                    prop_assert!(limit.is_none_or(|limit| count <= limit as usize));
                }
                prop_assert_eq!(runs.queued(), waits.len());
                prop_assert_eq!(runs.active(), slots.len());
            }
            // Everything that is begun ends, one after another, and then nobody waits.
            while let Some((run, workflow)) = begun.pop_first() {
                runs.leave(run, &key(workflow));
                if slots.remove(&run) {
                    runs.slot_free();
                }
                while let Some(next) = runs.next() {
                    prop_assert!(waits.remove(&next));
                    begun.insert(next, workflow_of[&next]);
                    slots.insert(next);
                }
            }
            while let Some(next) = runs.next() {
                prop_assert!(waits.remove(&next));
                runs.leave(next, &key(workflow_of[&next]));
                runs.slot_free();
            }
            prop_assert!(waits.is_empty(), "stuck: {waits:?}");
            prop_assert!(runs.groups.is_empty());
        }
    }
}
