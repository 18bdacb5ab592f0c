//! A queue that is fair: namespaces by weight, within one by priority and age.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base::{Duration, Namespace, Timestamp};

/// What one step of priority is worth. Whoever has waited a minute longer stands level with one step
/// more, so that nobody waits for ever.
pub const AGEING: Duration = Duration::from_secs(60);

/// Higher priorities count as this one: with [`AGEING`] it is 100 minutes, which is how long a run of
/// priority 0 can be overtaken.
pub const PRIORITY_MAX: i32 = 100;

/// The largest share of one namespace against another of weight 1.
pub const WEIGHT_MAX: u32 = 1_000;

/// What a namespace of weight 1 pays for being served once. Divisible by many weights, and small
/// enough that no sum of payments ever overflows.
const STRIDE: u64 = 720_720_000;

/// Lanes without anybody in them that are remembered before those of the past are forgotten.
const IDLE_LANES_MAX: usize = 64;

/// Shares of namespaces. Who is not named has 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weights(Arc<HashMap<Namespace, u32>>);

impl Weights {
    #[must_use]
    pub fn new(weights: impl IntoIterator<Item = (Namespace, u32)>) -> Self {
        Self(Arc::new(weights.into_iter().collect()))
    }

    fn stride(&self, namespace: &Namespace) -> u64 {
        let weight = self.0.get(namespace).copied().unwrap_or(1).clamp(1, WEIGHT_MAX);
        STRIDE / u64::from(weight)
    }
}

/// Where somebody stands within his namespace: lower goes first.
///
/// Waiting is worth the same for everybody, so that the order of two never changes while they wait:
/// a higher priority is as if one had come earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(i64);

impl Rank {
    #[must_use]
    pub fn new(priority: i32, since: Timestamp) -> Self {
        let steps = i64::from(priority.clamp(-PRIORITY_MAX, PRIORITY_MAX));
        let ageing = i64::try_from(AGEING.as_millis()).expect("a minute is small");
        Self(since.as_millis().saturating_sub(steps * ageing))
    }
}

/// Who waits, with `K` to tell those apart who came at the same time.
#[derive(Debug)]
pub struct FairQueue<K, V> {
    weights: Weights,
    lanes: HashMap<Namespace, Lane<K, V>>,
    /// Lanes with somebody in them, by what they have paid.
    order: BTreeSet<(u64, Namespace)>,
    /// What the lane had paid that was served last: who comes now is not behind, and not ahead.
    paid: u64,
    len: usize,
}

#[derive(Debug)]
struct Lane<K, V> {
    paid: u64,
    waiting: BTreeMap<(Rank, K), V>,
}

impl<K: Ord, V> FairQueue<K, V> {
    #[must_use]
    pub fn new(weights: Weights) -> Self {
        Self { weights, lanes: HashMap::new(), order: BTreeSet::new(), paid: 0, len: 0 }
    }

    pub fn push(&mut self, namespace: &Namespace, rank: Rank, key: K, value: V) {
        self.forget_idle();
        let start = self.paid;
        let lane = self
            .lanes
            .entry(namespace.clone())
            .or_insert_with(|| Lane { paid: start, waiting: BTreeMap::new() });
        if lane.waiting.is_empty() {
            // Not having come is nothing saved.
            lane.paid = lane.paid.max(start);
            self.order.insert((lane.paid, namespace.clone()));
        }
        if lane.waiting.insert((rank, key), value).is_none() {
            self.len += 1;
        }
    }

    /// Takes out whoever goes next.
    pub fn pop(&mut self) -> Option<(K, V)> {
        let (paid, namespace) = self.order.pop_first()?;
        let stride = self.weights.stride(&namespace);
        let lane = self.lanes.get_mut(&namespace).expect("a lane in the order is there");
        let ((_, key), value) = lane.waiting.pop_first().expect("and somebody is in it");
        self.paid = paid;
        self.len -= 1;
        lane.paid = paid + stride;
        if !lane.waiting.is_empty() {
            self.order.insert((lane.paid, namespace));
        } else if self.len == 0 {
            // Where nobody waits, nobody was held up, and all are level again.
            self.lanes.clear();
        }
        Some((key, value))
    }

    pub fn remove(&mut self, namespace: &Namespace, rank: Rank, key: K) -> Option<V> {
        let lane = self.lanes.get_mut(namespace)?;
        let removed = lane.waiting.remove(&(rank, key))?;
        self.len -= 1;
        if lane.waiting.is_empty() {
            self.order.remove(&(lane.paid, namespace.clone()));
        }
        Some(removed)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A lane that has paid no more than who comes anew need not be remembered.
    fn forget_idle(&mut self) {
        if self.lanes.len() - self.order.len() > IDLE_LANES_MAX {
            let paid = self.paid;
            self.lanes.retain(|_, lane| !lane.waiting.is_empty() || lane.paid > paid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::parse(name).expect("a name")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn queue(weights: &[(&str, u32)]) -> FairQueue<u64, &'static str> {
        let weights = weights.iter().map(|(name, weight)| (namespace(name), *weight));
        FairQueue::new(Weights::new(weights))
    }

    fn flood(queue: &mut FairQueue<u64, &'static str>, name: &'static str, count: u64) {
        for n in 0..count {
            queue.push(&namespace(name), Rank::new(0, at(0)), n, name);
        }
    }

    /// Mutation: serve in the order of arrival, or begin a new lane behind what others have paid.
    #[test]
    fn a_flood_of_one_namespace_holds_another_up_by_one() {
        let mut queue = queue(&[]);
        flood(&mut queue, "a", 10_000);
        for _ in 0..5_000 {
            assert_eq!(queue.pop().expect("somebody").1, "a");
        }
        flood(&mut queue, "b", 1);
        let before = (0..).take_while(|_| queue.pop().expect("somebody").1 == "a").count();
        assert!(before <= 1, "{before}");
    }

    /// Mutation: leave the weights out of what being served costs.
    #[test]
    fn weights_are_kept_over_any_stretch() {
        let mut queue = queue(&[("a", 2), ("c", 3)]);
        for name in ["a", "b", "c"] {
            flood(&mut queue, name, 10_000);
        }
        for _ in 0..100 {
            let served: Vec<_> = (0..60).map(|_| queue.pop().expect("somebody").1).collect();
            let count = |name| served.iter().filter(|it| **it == name).count();
            let shares = (count("a"), count("b"), count("c"));
            assert_eq!(shares, (20, 10, 30));
        }
    }

    /// Mutation: forget what a lane has paid as soon as nobody is in it.
    #[test]
    fn who_comes_one_by_one_gets_no_more_than_his_share() {
        let mut queue = queue(&[]);
        flood(&mut queue, "a", 1_000);
        let mut served = (0, 0);
        for n in 0..200 {
            if queue.lanes.get(&namespace("b")).is_none_or(|lane| lane.waiting.is_empty()) {
                queue.push(&namespace("b"), Rank::new(100, at(0)), n, "b");
            }
            match queue.pop().expect("somebody").1 {
                "a" => served.0 += 1,
                _ => served.1 += 1,
            }
        }
        assert_eq!(served, (100, 100));
    }

    /// Mutation: let priority win whatever the age, or not at all.
    #[test]
    fn a_step_of_priority_is_worth_a_minute() {
        let mut queue = queue(&[]);
        let name = namespace("a");
        queue.push(&name, Rank::new(0, at(0)), 1, "old");
        queue.push(&name, Rank::new(1, at(59)), 2, "above");
        queue.push(&name, Rank::new(1, at(61)), 3, "above, and too late");
        queue.push(&name, Rank::new(-1, at(0)), 4, "below");
        queue.push(&name, Rank::new(i32::MAX, at(6_002)), 5, "above all, and 100 minutes late");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(key, _)| key).collect();
        assert_eq!(order, [2, 1, 3, 5, 4]);
    }

    /// Mutation: keep the place of a lane whose last one has left.
    #[test]
    fn who_leaves_is_not_served() {
        let mut queue = queue(&[]);
        flood(&mut queue, "a", 2);
        flood(&mut queue, "b", 1);
        assert_eq!(queue.remove(&namespace("a"), Rank::new(0, at(0)), 0), Some("a"));
        assert_eq!(queue.remove(&namespace("a"), Rank::new(0, at(0)), 0), None);
        assert_eq!(queue.remove(&namespace("b"), Rank::new(0, at(0)), 0), Some("b"));
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.pop(), Some((1, "a")));
        assert_eq!(queue.pop(), None);
    }

    /// Mutation: remember every namespace that was ever there.
    #[test]
    fn namespaces_of_the_past_are_forgotten() {
        let mut queue = queue(&[]);
        flood(&mut queue, "a", 20_000);
        for n in 0..10_000 {
            queue.push(&namespace(&format!("n{n}")), Rank::new(0, at(n)), 0, "x");
            queue.pop();
            queue.pop();
        }
        assert!(queue.lanes.len() <= IDLE_LANES_MAX + 2, "{}", queue.lanes.len());
    }
}
