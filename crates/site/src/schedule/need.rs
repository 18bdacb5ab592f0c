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
