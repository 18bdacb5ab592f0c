//! Turns of effects: how many are performed at once, in each pool and in all.
//!
//! A pool is a name with a number of turns in the site's configuration. A task that names one has a
//! turn of it as long as its effect is performed. Of those that wait, the namespaces take turns by
//! weight; within one, priority and the age of the run decide.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{ErrorType, Fault, Namespace};
use tokio::sync::oneshot;

use super::dispatch::Settings;
use crate::dispatch::{FairQueue, Rank, Weights};

/// HTTP calls and slow functions in flight at once, over all runs. Each holds a connection or a
/// thread; the rest waits for its turn.
pub const EFFECTS_IN_FLIGHT_MAX: usize = 1_000;

pub(super) struct Pools {
    all: Arc<Pool>,
    /// `None` where every name will do.
    named: Option<HashMap<String, Arc<Pool>>>,
}

/// For whom a turn is.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub namespace: Namespace,
    pub rank: Rank,
}

/// Given back when it is dropped.
pub(super) struct Turn {
    pool: Option<Arc<Pool>>,
    /// Of the pool that the task names.
    _named: Option<Box<Turn>>,
}

struct Pool(Mutex<State>);

struct State {
    free: usize,
    waiting: FairQueue<u64, oneshot::Sender<Turn>>,
    ticket: u64,
}

impl Pools {
    pub(super) fn new(settings: &Settings) -> Self {
        let pool = |turns: usize| Arc::new(Pool::new(turns, settings.weights.clone()));
        let named = |pools: &BTreeMap<String, usize>| {
            pools.iter().map(|(name, turns)| (name.clone(), pool(*turns))).collect()
        };
        Self { all: pool(EFFECTS_IN_FLIGHT_MAX), named: settings.pools.as_ref().map(named) }
    }

    /// Waits for a turn in the named pool, then in all.
    pub(super) async fn turn(&self, name: Option<&str>, who: &Who) -> Result<Turn, Fault> {
        let named = self.named_turn(name, who).await?;
        let mut turn = self.all.turn(who).await;
        turn._named = named.map(Box::new);
        Ok(turn)
    }

    /// The same in the named pool alone, where one is named.
    pub(super) async fn named_turn(
        &self,
        name: Option<&str>,
        who: &Who,
    ) -> Result<Option<Turn>, Fault> {
        let (Some(name), Some(named)) = (name, &self.named) else { return Ok(None) };
        let Some(pool) = named.get(name) else {
            let detail = format!(
                "this site has no pool `{name}`; its owner can add it to `pools` in the configuration"
            );
            return Err(Fault::new(ErrorType::Configuration, detail));
        };
        Ok(Some(pool.turn(who).await))
    }
}

impl Pool {
    fn new(turns: usize, weights: Weights) -> Self {
        Self(Mutex::new(State { free: turns, waiting: FairQueue::new(weights), ticket: 0 }))
    }

    async fn turn(self: &Arc<Self>, who: &Who) -> Turn {
        let (ticket, receiver) = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Turn::of(self);
            }
            state.ticket += 1;
            let (ticket, (sender, receiver)) = (state.ticket, oneshot::channel());
            state.waiting.push(&who.namespace, who.rank, ticket, sender);
            (ticket, receiver)
        };
        let _place = Place { pool: self, who, ticket };
        receiver.await.expect("who is in the queue gets a turn, or has left it himself")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn of(pool: &Arc<Pool>) -> Self {
        Self { pool: Some(Arc::clone(pool)), _named: None }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        let mut state = pool.state();
        let Some((_, next)) = state.waiting.pop() else {
            state.free += 1;
            return;
        };
        drop(state);
        // Whoever has left meanwhile drops it in turn.
        drop(next.send(Turn::of(&pool)));
    }
}

/// A place in a queue. Who turns away leaves it.
struct Place<'a> {
    pool: &'a Pool,
    who: &'a Who,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Who { namespace, rank } = self.who;
        let left = self.pool.state().waiting.remove(namespace, *rank, self.ticket);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use base::Timestamp;
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;

    fn who(namespace: &str, at: i64) -> Who {
        let rank = Rank::new(0, Timestamp::from_millis(at));
        Who { namespace: Namespace::parse(namespace).expect("a name"), rank }
    }

    fn pools(turns: usize) -> Pools {
        let pools = Some(BTreeMap::from([("gpu".to_owned(), turns)]));
        Pools::new(&Settings { pools, ..Settings::default() })
    }

    fn ask(pools: &'static Pools, who: Who) -> BoxFuture<'static, Turn> {
        async move { pools.turn(Some("gpu"), &who).await.expect("there is one") }.boxed()
    }

    /// Mutation: hand a turn to two, forget one that was given back, or serve by arrival.
    #[test]
    fn turns_go_round_between_namespaces_and_to_the_oldest_run() {
        let pools: &'static Pools = Box::leak(Box::new(pools(1)));
        let held = ask(pools, who("a", 0)).now_or_never().expect("a turn is free");
        let mut waiting: Vec<_> = [("a", 3), ("a", 2), ("a", 1), ("b", 9)]
            .map(|(namespace, at)| (format!("{namespace}{at}"), ask(pools, who(namespace, at))))
            .into();
        assert!(waiting.iter_mut().all(|(_, turn)| turn.now_or_never().is_none()));
        let (mut held, mut order) = (Some(held), Vec::new());
        while !waiting.is_empty() {
            drop(held.take());
            let mut served = None;
            for (at, (_, turn)) in waiting.iter_mut().enumerate() {
                if let Some(turn) = turn.now_or_never() {
                    assert!(served.is_none(), "one turn for two");
                    served = Some((at, turn));
                }
            }
            let (at, turn) = served.expect("somebody is served");
            order.push(waiting.remove(at).0);
            held = Some(turn);
        }
        assert_eq!(order, ["a1", "b9", "a2", "a3"]);
    }

    /// Mutation: leave the place of one that turned away, or lose the turn that was on its way to it.
    #[test]
    fn who_turns_away_holds_nobody_up() {
        let pools: &'static Pools = Box::leak(Box::new(pools(1)));
        let held = ask(pools, who("a", 0)).now_or_never().expect("a turn is free");
        let (mut gone, mut late) = (ask(pools, who("a", 1)), ask(pools, who("a", 2)));
        assert!((&mut gone).now_or_never().is_none() && (&mut late).now_or_never().is_none());
        drop(gone);
        let named = pools.named.as_ref().expect("they are known");
        assert_eq!(named["gpu"].state().waiting.len(), 1);
        drop(held);
        // The turn is on its way to `late`, which does not want it any more.
        drop(late);
        assert!(ask(pools, who("a", 3)).now_or_never().is_some());
    }

    /// Mutation: let an effect of an unknown pool be performed.
    #[test]
    fn a_pool_that_is_not_there_is_a_fault() {
        let pools = pools(1);
        let asked = pools.turn(Some("tpu"), &who("a", 0)).now_or_never().expect("at once");
        let fault = asked.err().expect("no such pool");
        assert!(fault.detail.as_deref().is_some_and(|it| it.contains("`tpu`")), "{fault:?}");
    }
}
