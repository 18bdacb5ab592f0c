//! Calls as they were written down, newest first, and one of them by its id.

use base::{CallId, Namespace, Timestamp};
use models::{Admitted, Entry};
use store::{CallPage, Store};
use wire::{CallView, Page, ProblemCode};

use super::book::entries;
use crate::refusal::Refusal;

/// Pages that are read at once.
const PAGES_READ: u32 = 16;

/// Pages that one question reads. A namespace with few calls beside one with many sees the newest of these.
const PAGES_MAX: usize = 2_000;

/// How long after a call was admitted its end is looked for: as long as any call takes, and a restart.
const PAGES_AFTER: usize = 2_000;

/// Which calls.
pub(crate) struct Wanted {
    pub namespace: Namespace,
    /// Entries before this one.
    pub before: Option<u64>,
    pub limit: u32,
}

/// Newest first, by when they ended. Calls under way are not among them.
pub(crate) async fn list(store: &dyn Store, wanted: Wanted) -> Result<Page<CallView>, Refusal> {
    let mut before = wanted.before;
    let (mut items, mut ends) = (Vec::new(), Vec::new());
    let mut admitted = std::collections::HashMap::new();
    for _ in 0..PAGES_MAX.div_ceil(PAGES_READ as usize) {
        let pages = store.call_page_newest(before, PAGES_READ).await?;
        let Some(last) = pages.last() else {
            return Ok(Page { items, next: None });
        };
        before = Some(last.first);
        for (number, entry) in pages.iter().flat_map(|page| entries(page).rev()) {
            let Ok(entry) = serde_json::from_slice::<Entry>(&entry) else { continue };
            match entry {
                Entry::Settled(entry) => ends.push((number, entry)),
                Entry::Admitted(entry) => {
                    admitted.insert(entry.call, entry);
                }
            }
        }
        // An end is shown when its beginning is found, which lies further back.
        while let Some((number, end)) = ends.first() {
            let Some(begin) = admitted.get(&end.call) else { break };
            let (number, is_seen) = (*number, begin.who.namespace == wanted.namespace);
            if is_seen {
                items.push(view(begin, Some(end)));
            }
            ends.remove(0);
            if items.len() == wanted.limit as usize {
                return Ok(Page { items, next: Some(number.to_string()) });
            }
        }
    }
    let next = ends.first().map(|(number, _)| number + 1).or(before);
    Ok(Page { items, next: next.map(|it| it.to_string()) })
}

/// The call of this id, where it is one of the namespace.
pub(crate) async fn show(
    store: &dyn Store,
    namespace: &Namespace,
    call: CallId,
) -> Result<CallView, Refusal> {
    let missing = || {
        let what = format!("there is no call `{call}` in this namespace, or it is no longer kept");
        Refusal::new(ProblemCode::CallMissing, what)
    };
    let from = store.call_page_at(began(call)).await?.map_or(0, |first| first.saturating_sub(1));
    let mut after = from;
    let mut begin: Option<Admitted> = None;
    for _ in 0..PAGES_AFTER.div_ceil(PAGES_READ as usize) {
        let pages: Vec<CallPage> = store.call_page_list(after, PAGES_READ).await?;
        let Some(last) = pages.last() else { break };
        after = last.last;
        for (_, entry) in pages.iter().flat_map(entries) {
            match serde_json::from_slice::<Entry>(&entry) {
                Ok(Entry::Admitted(entry)) if entry.call == call => begin = Some(entry),
                Ok(Entry::Settled(entry)) if entry.call == call => {
                    let begin = begin.filter(|it| it.who.namespace == *namespace);
                    return Ok(view(&begin.ok_or_else(missing)?, Some(&entry)));
                }
                _ => {}
            }
        }
    }
    let begin = begin.filter(|it| it.who.namespace == *namespace).ok_or_else(missing)?;
    Ok(view(&begin, None))
}

/// When a call was asked, by its id. The clock of its page may have been a moment behind.
fn began(call: CallId) -> Timestamp {
    let millis = u64::from_be_bytes({
        let mut bytes = [0; 8];
        bytes[2..].copy_from_slice(&call.as_uuid().as_bytes()[..6]);
        bytes
    });
    let at = Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    at.minus(base::Duration::from_secs(1))
}

fn view(admitted: &Admitted, settled: Option<&models::Settled>) -> CallView {
    let json =
        |value: serde_json::Result<serde_json::Value>| value.expect("our own types are JSON");
    CallView {
        admitted: json(serde_json::to_value(admitted)),
        settled: settled.map(|settled| json(serde_json::to_value(settled))),
    }
}
