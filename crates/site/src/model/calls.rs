//! Calls as they were written down, newest first, and one of them by its id.

use std::collections::{HashMap, HashSet, VecDeque};

use base::{CallId, Namespace, Timestamp};
use models::{Admitted, Corrected, Entry, Settled};
use store::{CallPage, Store};
use wire::{CallView, Page, ProblemCode};

use super::book::entries;
use super::correction;
use crate::refusal::Refusal;

/// Pages that are read at once.
const PAGES_READ: u32 = 16;

/// Pages that one question reads; the next one goes on behind them, also where nothing was found in these.
const PAGES_MAX: usize = 2_000;

/// Calls whose beginning is looked for by their time, at the end of one question: long ones, of which a busy
/// site has few at once.
const LOOKED_UP_MAX: usize = 64;

/// Pages that are looked through for the beginning of one call: the clock of its page is a moment ahead, and a
/// lease may have been waited for.
const BEGIN_PAGES_MAX: usize = 512;

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
    let (mut found, mut ends) = (Listing::new(wanted), VecDeque::new());
    let (mut open, mut begun) = (HashSet::new(), HashMap::new());
    for _ in 0..PAGES_MAX.div_ceil(PAGES_READ as usize) {
        let pages = store.call_page_newest(before, PAGES_READ).await?;
        let Some(last) = pages.last() else {
            return Ok(Page { items: found.items, next: None });
        };
        before = Some(last.first);
        for (number, entry) in pages.iter().flat_map(|page| entries(page).rev()) {
            let Ok(entry) = serde_json::from_slice::<Entry>(&entry) else { continue };
            match entry {
                // The page where the last question ended has some that were shown.
                Entry::Settled(_) if found.was_shown(number) => {}
                Entry::Settled(entry) => {
                    open.insert(entry.call);
                    ends.push_back((number, entry));
                }
                Entry::Admitted(entry) if open.contains(&entry.call) => {
                    begun.insert(entry.call, entry);
                }
                Entry::Admitted(_) | Entry::Corrected(_) => {}
            }
        }
        // An end is shown when its beginning is found, which lies further back.
        while let Some(begin) = ends.front().and_then(|(_, end)| begun.remove(&end.call)) {
            let (number, end) = ends.pop_front().expect("one is there");
            open.remove(&end.call);
            if found.takes(store, &begin, &end).await? {
                return Ok(found.up_to(number));
            }
        }
    }
    // What began further back is looked for by its time, so that the next question comes further.
    for (number, end) in ends.into_iter().take(LOOKED_UP_MAX) {
        let begin = begun.remove(&end.call);
        let begin = if begin.is_some() { begin } else { began_with(store, end.call).await? };
        let is_full = match begin {
            Some(begin) => found.takes(store, &begin, &end).await?,
            None => false,
        };
        before = Some(number);
        if is_full {
            break;
        }
    }
    Ok(Page { items: found.items, next: before.map(|it| it.to_string()) })
}

/// What a question has found so far.
struct Listing {
    wanted: Wanted,
    items: Vec<CallView>,
}

impl Listing {
    const fn new(wanted: Wanted) -> Self {
        Self { wanted, items: Vec::new() }
    }

    fn was_shown(&self, number: u64) -> bool {
        self.wanted.before.is_some_and(|before| number >= before)
    }

    /// Whether there are enough of them now.
    async fn takes(
        &mut self,
        store: &dyn Store,
        begin: &Admitted,
        end: &Settled,
    ) -> Result<bool, Refusal> {
        if begin.who.namespace == self.wanted.namespace {
            // Few calls are at their bounds or beyond, and of these alone somebody may know more.
            let corrected = match Corrected::may_be(begin, end) {
                true => correction::of_call(store, end.call).await?,
                false => None,
            };
            self.items.push(view(begin, Some(end), corrected.as_ref()));
        }
        Ok(self.items.len() >= self.wanted.limit as usize)
    }

    fn up_to(self, number: u64) -> Page<CallView> {
        Page { items: self.items, next: Some(number.to_string()) }
    }
}

/// How a call began, by the time that is in its id.
async fn began_with(store: &dyn Store, call: CallId) -> Result<Option<Admitted>, Refusal> {
    let first = store.call_page_at(began(call)).await?;
    let mut after = first.map_or(0, |first| first.saturating_sub(1));
    for _ in 0..BEGIN_PAGES_MAX.div_ceil(PAGES_READ as usize) {
        let pages = store.call_page_list(after, PAGES_READ).await?;
        let Some(last) = pages.last() else { return Ok(None) };
        after = last.last;
        for (_, entry) in pages.iter().flat_map(entries) {
            match serde_json::from_slice::<Entry>(&entry) {
                Ok(Entry::Admitted(entry)) if entry.call == call => return Ok(Some(entry)),
                _ => {}
            }
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use base::IncarnationId;
    use models::{By, ENTRY_VERSION, ModelName, Operation};
    use store::memory::MemoryStore;
    use store::{Op, Preconditions};

    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::parse(name).expect("a name")
    }

    /// The call of this number, which began at so many milliseconds.
    fn admitted(n: u64, at: i64, of: &str) -> Admitted {
        let (at, n) = (Timestamp::from_millis(at), u128::from(n));
        let millis = u128::try_from(at.as_millis()).expect("after 1970");
        let id = (millis << 80) | (7 << 76) | (2 << 62) | n;
        Admitted {
            v: ENTRY_VERSION,
            call: CallId::from_uuid(uuid::Uuid::from_u128(id)),
            at,
            who: By { namespace: namespace(of), key: None, workflow: None, run: None },
            operation: Operation::Chat,
            asked: ModelName::parse("m").expect("a name"),
            plan: Vec::new(),
            streamed: false,
            held: Vec::new(),
            bound: None,
            effect: None,
            trace: None,
            needs: models::Needs::default(),
            watched: None,
        }
    }

    fn settled(of: &Admitted) -> Entry {
        Entry::Settled(Settled::unknown(of, of.at))
    }

    /// Pages of these entries, a second apart.
    async fn kept(pages: Vec<Vec<Entry>>) -> MemoryStore {
        let store = MemoryStore::new(IncarnationId::from_uuid(uuid::Uuid::from_u128(1)));
        let mut first = 1;
        let mut ops = Vec::new();
        for (at, entries) in (0_i64..).zip(pages) {
            let last = first + entries.len() as u64 - 1;
            let record: Vec<u8> = entries.iter().flat_map(Entry::line).collect();
            let at = Timestamp::from_millis(at * 1_000);
            ops.push(Op::CallAppend(CallPage { first, last, at, record: record.into() }));
            first = last + 1;
        }
        store.commit(ops, Preconditions::none()).await.expect("pages that follow");
        store
    }

    /// All calls of the namespace, so many a question, and how many questions it took.
    async fn listed(store: &MemoryStore, of: &str, limit: u32) -> (Vec<String>, usize) {
        let (mut all, mut before, mut questions) = (Vec::new(), None, 0);
        loop {
            questions += 1;
            assert!(questions < 100, "it comes no further than {before:?}");
            let wanted = Wanted { namespace: namespace(of), before, limit };
            let page = list(store, wanted).await.expect("a page");
            all.extend(page.items.iter().map(|it| it.admitted["call"].to_string()));
            before = page.next.map(|it| it.parse().expect("a number"));
            if before.is_none() {
                return (all, questions);
            }
        }
    }

    /// Mutation: begin the next question with the whole page in which the last one ended.
    #[tokio::test]
    async fn a_call_is_listed_once_over_several_questions() {
        let calls: Vec<Admitted> = (1..=6).map(|n| admitted(n, 0, "sales")).collect();
        let entries = calls.iter().flat_map(|it| [Entry::Admitted(it.clone()), settled(it)]);
        let store = kept(vec![entries.collect()]).await;
        let newest: Vec<_> = calls.iter().rev().map(|it| format!("\"{}\"", it.call)).collect();
        assert_eq!(listed(&store, "sales", 100).await.0, newest);
        assert_eq!(listed(&store, "sales", 2).await.0, newest);
    }

    /// Mutation: say that there is no more where the newest pages have none, or go on before a call whose
    /// beginning is further back than one question reads.
    #[tokio::test]
    async fn a_quiet_namespace_is_found_beside_a_busy_one() {
        let many = i64::try_from(PAGES_MAX).expect("few") + 100;
        let (early, long) = (admitted(1, 0, "quiet"), admitted(2, 0, "quiet"));
        let begun = [early.clone(), long.clone()].map(Entry::Admitted);
        let mut pages = vec![[&begun[..], &[settled(&early)]].concat()];
        for at in 1..=many {
            let busy = admitted(u64::try_from(at).expect("positive") + 2, at * 1_000, "busy");
            pages.push(vec![Entry::Admitted(busy.clone()), settled(&busy)]);
        }
        pages.push(vec![settled(&long)]);
        let store = kept(pages).await;
        let (found, questions) = listed(&store, "quiet", 10).await;
        assert_eq!(found, [&long, &early].map(|it| format!("\"{}\"", it.call)));
        assert!(questions > 1, "{questions}");
    }
}
