//! Many outcomes, which wait while the hub is away, and are handed over when it is back.

use std::collections::HashSet;
use std::time::Instant;

use base::stream::Stream;
use store::{FleetStore as _, LinkStore as _};

use crate::{folder, hub, site};

/// How many: a million, where somebody has twenty minutes.
const COUNT: &str = "ISONOMY_OUTCOMES";
const USUAL: u64 = 20_000;

/// Runs that end in one commit.
const AT_ONCE: u64 = 500;

/// What the process may need beyond what it has when it begins, both ends together. A million outcomes are
/// 300 MB.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Memory of this process that is its own, and not a file's.
fn own_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("since 4.5");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Mutation: write a page of entries from its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_has_waited_is_handed_over_once_in_order_and_in_little_memory() {
    let count = std::env::var(COUNT).map_or(USUAL, |count| count.parse().expect("a number"));
    let (hub_folder, site_folder) = (folder(), folder());
    hub::init(hub_folder.path());
    let governing = hub::AtWork::start(hub_folder.path(), None).await;
    site::join(site_folder.path(), &governing.token("plant-1").await).await.expect("joins");
    let address = governing.address;
    governing.stop().await;
    let plant = site::AtWork::start(site_folder.path()).await;
    let (before, began) = (own_bytes(), Instant::now());
    for first in (1..=count).step_by(usize::try_from(AT_ONCE).expect("some")) {
        plant.outcomes(first..=count.min(first + AT_ONCE - 1)).await;
    }
    assert_eq!(plant.store.outbox_last(Stream::Outcome).await.expect("reads"), count);
    let (held, held_bytes) = (began.elapsed(), own_bytes());
    let governing = hub::AtWork::start(hub_folder.path(), Some(address)).await;
    governing.has_heard(count).await;
    let (handed, handed_bytes) = (began.elapsed() - held, own_bytes());
    plant.stop().await;
    // Page by page, as they came.
    let (mut seen, mut after, mut next) = (HashSet::new(), 0, 1);
    loop {
        let page = governing.store.entry_list(after, 1_000).await.expect("reads");
        let Some(last) = page.last() else { break };
        after = last.position;
        for entry in &page {
            let outcome = base::Outcome::decode(&entry.entry).expect("an outcome");
            assert!(seen.insert(outcome.run), "{} twice", outcome.run);
            assert_eq!(outcome.run.as_uuid().as_u64_pair(), (1, next), "lost, or out of order");
            next += 1;
        }
    }
    assert_eq!(seen.len() as u64, count);
    governing.stop().await;
    let mib = |bytes: u64| bytes / 1024 / 1024;
    println!(
        "{count} outcomes: held in {held:?}, handed over in {handed:?}; MiB before {}, held {}, handed over {}",
        mib(before),
        mib(held_bytes),
        mib(handed_bytes),
    );
    let most = held_bytes.max(handed_bytes);
    assert!(most.saturating_sub(before) < GROWTH_BYTES_MAX, "{} MiB more", mib(most - before));
}
