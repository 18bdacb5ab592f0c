//! What has left the site, by day: to whom, by which rule, how often, how many bytes. Counted where it
//! leaves, in the gate and on the line, and written down a moment later.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Timestamp, document};
use gateway::left::add;
use gateway::{Amount, Amounts, Left};
use serde::{Deserialize, Serialize};
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store, resource_all};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wire::{DayLeft, LeftTo, ProblemCode};

use crate::refusal::Refusal;

const LEFT_TYPE: &str = "isonomy.left";
const LEFT_VERSION: u32 = 1;

/// What leaves in such a time is written down at once: a crash loses no more of the count.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Days that are kept: a month can be looked back at.
const DAYS_KEPT: usize = 35;

/// Counts, and writes down. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Departures {
    left: Left,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// The day that is written, as far as it is.
    today: Arc<Mutex<Option<(String, Amounts)>>>,
}

#[derive(Serialize, Deserialize)]
struct Doc {
    items: Vec<LeftTo>,
}

impl Departures {
    pub(crate) fn new(left: Left, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { left, store, clock, today: Arc::default() }
    }

    /// Writes down what leaves, until `closing`.
    pub(crate) async fn keep(self, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = self.left.grown() => {}
                () = closing.cancelled() => return,
            }
            if let Err(refusal) = self.write().await {
                tracing::error!(?refusal, "cannot write down what has left");
            }
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                () = closing.cancelled() => return,
            }
        }
    }

    /// Writes down what has been counted so far.
    pub(crate) async fn write(&self) -> Result<(), Refusal> {
        let mut today = self.today.lock().await;
        let day = day_of(self.clock.now());
        let is_same = today.as_ref().is_some_and(|(of, _)| *of == day);
        let (mut ops, mut amounts) = match today.take().filter(|_| is_same) {
            Some((_, amounts)) => (Vec::new(), amounts),
            None => (self.surplus().await?, self.kept(&day).await?),
        };
        // From here on it is known here alone.
        let new = self.left.take();
        if new.is_empty() {
            *today = Some((day, amounts));
            return Ok(());
        }
        for (pair, amount) in new {
            add(&mut amounts, pair, amount);
        }
        let record = document::write(LEFT_TYPE, LEFT_VERSION, &Doc { items: items(&amounts) });
        ops.push(Op::ResourcePut(ResourceRow {
            kind: ResourceKind::Left,
            name: day.clone(),
            record: record.into(),
        }));
        let written = self.store.commit(ops, Preconditions::none()).await;
        // Where it could not be, the next time has it too.
        *today = Some((day, amounts));
        Ok(written?)
    }

    /// On that day, or today.
    pub(crate) async fn on(&self, day: Option<String>) -> Result<DayLeft, Refusal> {
        self.write().await?;
        let day = day.unwrap_or_else(|| day_of(self.clock.now()));
        let items = items(&self.kept(&day).await?);
        Ok(DayLeft { day, items })
    }

    async fn kept(&self, day: &str) -> Result<Amounts, Refusal> {
        let row = self.store.resource_get(ResourceKind::Left, day.to_owned()).await?;
        let Some(row) = row else { return Ok(Amounts::new()) };
        let doc = document::read::<Doc>(&row.record, LEFT_TYPE, LEFT_VERSION).map_err(|error| {
            Refusal::new(ProblemCode::StoreFailed, format!("what has left on {day}: {error}"))
        })?;
        let amount = |it: LeftTo| ((it.to, it.rule), Amount { times: it.times, bytes: it.bytes });
        Ok(doc.items.into_iter().map(amount).collect())
    }

    /// Days that are kept no longer, when another one begins.
    async fn surplus(&self) -> Result<Vec<Op>, Refusal> {
        let days = resource_all(self.store.as_ref(), ResourceKind::Left).await?;
        let surplus = (days.len() + 1).saturating_sub(DAYS_KEPT);
        let forget = |row: ResourceRow| Op::ResourceDelete { kind: row.kind, name: row.name };
        Ok(days.into_iter().take(surplus).map(forget).collect())
    }
}

fn items(amounts: &Amounts) -> Vec<LeftTo> {
    let view = |((to, rule), amount): (&(String, String), &Amount)| LeftTo {
        to: to.clone(),
        rule: rule.clone(),
        times: amount.times,
        bytes: amount.bytes,
    };
    amounts.iter().map(view).collect()
}

/// In UTC: a site may move, and its hub is elsewhere.
fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take("2027-01-15".len()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use base::IncarnationId;
    use store::memory::MemoryStore;
    use uuid::Uuid;

    use super::*;

    struct Days(AtomicI64);

    impl Clock for Days {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed) * 86_400_000)
        }
    }

    /// Mutation: begin the day anew at each start, mix two days, keep every day, or lose what came while the
    /// day was written.
    #[tokio::test]
    async fn a_day_is_added_up_over_starts() {
        let life = IncarnationId::from_uuid(Uuid::from_u128(1));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(life));
        let clock = Arc::new(Days(AtomicI64::new(1)));
        let left = Left::default();
        let open = || {
            Departures::new(left.clone(), Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>)
        };
        let note = |bytes| left.note("https://a.example", "eu", Amount { times: 1, bytes });
        note(3);
        open().write().await.expect("written");
        note(4);
        let again = open();
        let day = again.on(None).await.expect("a day");
        assert_eq!(day.day, "1970-01-02");
        let of =
            |day: &DayLeft| day.items.iter().map(|it| (it.times, it.bytes)).collect::<Vec<_>>();
        assert_eq!(of(&day), [(2, 7)]);
        for n in 2..60 {
            clock.0.store(n, Ordering::Relaxed);
            note(1);
            assert_eq!(of(&again.on(None).await.expect("a day")), [(1, 1)]);
        }
        let kept = resource_all(store.as_ref(), ResourceKind::Left).await.expect("days");
        assert_eq!(kept.len(), DAYS_KEPT);
        assert_eq!(of(&again.on(Some("1970-01-02".to_owned())).await.expect("a day")), []);
    }
}
