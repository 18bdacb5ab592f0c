//! Calls as they were written down, newest first, and one of them by its id.

use base::{CallId, Namespace, Timestamp};
use models::{Admitted, Corrected, Entry, Settled};
use store::{CallPage, Store};
use wire::{CallView, Page, ProblemCode};

use super::book::entries;
use super::correction;
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
                Entry::Corrected(_) => {}
            }
        }
        // An end is shown when its beginning is found, which lies further back.
        while let Some((number, end)) = ends.first() {
            let Some(begin) = admitted.get(&end.call) else { break };
            let (number, is_seen) = (*number, begin.who.namespace == wanted.namespace);
            if is_seen {
                // Few calls are at their bounds, and of these alone somebody may know more.
                let corrected = match end.bills.iter().any(|bill| bill.is_bound) {
                    true => correction::of_call(store, end.call).await?,
                    false => None,
                };
                items.push(view(begin, Some(end), corrected.as_ref()));
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

/// A call as it was written down.
pub(crate) struct Found {
    pub admitted: Admitted,
    pub settled: Option<Settled>,
}

/// The call of this id, where it is one of the namespace.
pub(crate) async fn show(
    store: &dyn Store,
    namespace: &Namespace,
    call: CallId,
) -> Result<CallView, Refusal> {
    let Found { admitted, settled } = find(store, namespace, call).await?;
    let corrected = correction::of_call(store, call).await?;
    Ok(view(&admitted, settled.as_ref(), corrected.as_ref()))
}

pub(crate) async fn find(
    store: &dyn Store,
    namespace: &Namespace,
    call: CallId,
) -> Result<Found, Refusal> {
    let oldest =
        store.call_page_list(0, 1).await?.first().filter(|page| page.first > 1).map(|it| it.at);
    let missing = || {
        let what = match oldest {
            Some(oldest) if began(call) < oldest => format!(
                "`{call}` is no longer kept: this site has calls since {oldest}, and sums of those before (`isonomy usage`); `spec.retention.calls` says how long"
            ),
            _ => format!("there is no call `{call}` in this namespace"),
        };
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
                    let admitted = begin.ok_or_else(missing)?;
                    return Ok(Found { admitted, settled: Some(entry) });
                }
                _ => {}
            }
        }
    }
    let begin = begin.filter(|it| it.who.namespace == *namespace).ok_or_else(missing)?;
    Ok(Found { admitted: begin, settled: None })
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

pub(super) fn view(
    admitted: &Admitted,
    settled: Option<&Settled>,
    corrected: Option<&Corrected>,
) -> CallView {
    fn json(value: &impl serde::Serialize) -> serde_json::Value {
        serde_json::to_value(value).expect("our own types are JSON")
    }
    CallView {
        admitted: json(admitted),
        settled: settled.map(json),
        corrected: corrected.map(json),
    }
}
