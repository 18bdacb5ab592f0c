//! Which events schedules have still to hear, from their rows alone: whoever forgets events asks.

use store::{Store, StoreError};

use super::PAGE;
use super::definition::{Beat, Definition};

/// The position of the first event that a schedule has not looked at, or that is in a set which is not
/// complete; those before it are history.
pub(crate) async fn events_needed(store: &dyn Store) -> Result<Option<u64>, StoreError> {
    let (mut needed, mut after) = (None, None);
    loop {
        let page = store.schedule_list(after, PAGE).await?;
        for row in &page {
            if let Ok(Definition { beat: Beat::On(kept), .. }) = Definition::decode(&row.definition)
            {
                let pending = kept.pending.iter().flatten().copied();
                needed = pending.chain([kept.upto + 1]).chain(needed).min();
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => {
                after = Some((last.key.clone(), last.trigger.clone()));
            }
            _ => return Ok(needed),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{IncarnationId, SystemRandom};
    use store::memory::MemoryStore;
    use store::suite::{at, key};
    use store::{Op, Preconditions, ScheduleRow};

    use super::*;

    const ON: &str = include_str!("../../../../docs/spec/samples/v1/schedule-on.json");
    const EVERY: &str = include_str!("../../../../docs/spec/samples/v1/schedule-every.json");

    async fn needed(definitions: &[(u64, Vec<Vec<u64>>)]) -> Option<u64> {
        let store = MemoryStore::new(IncarnationId::new(at(0), &SystemRandom));
        let row = |trigger: &str, n: usize, definition: Vec<u8>| ScheduleRow {
            key: key(&format!("lab/w{n}")),
            trigger: trigger.to_owned(),
            definition: definition.into(),
            since: at(0),
            next_at: None,
            fired_at: None,
            run: None,
        };
        let mut ops = vec![Op::SchedulePut(row("every", 0, EVERY.as_bytes().to_vec()))];
        for (n, (upto, pending)) in (1..).zip(definitions) {
            let mut definition = Definition::decode(ON.as_bytes()).expect("the sample");
            if let Beat::On(kept) = &mut definition.beat {
                (kept.upto, kept.pending) = (*upto, pending.clone());
            }
            ops.push(Op::SchedulePut(row("on", n, definition.encode())));
        }
        store.commit(ops, Preconditions::none()).await.expect("writes");
        events_needed(&store).await.expect("reads")
    }

    /// Mutation: forget those of a set that is not complete, or look at one schedule only.
    #[tokio::test]
    async fn what_schedules_have_not_looked_at_or_hold_is_needed() {
        assert_eq!(needed(&[]).await, None);
        assert_eq!(needed(&[(7, vec![])]).await, Some(8));
        assert_eq!(needed(&[(9, vec![]), (7, vec![])]).await, Some(8));
        assert_eq!(needed(&[(9, vec![vec![8, 9], vec![3, 5]]), (7, vec![])]).await, Some(3));
    }
}
