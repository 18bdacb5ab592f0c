//! Hub and sites, each with a store on disk, over real TLS on this machine.

mod hub;
mod site;

use base::Outcome;
use store::EntryRow;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn runs(entries: &[EntryRow]) -> Vec<u64> {
    let run = |entry: &EntryRow| Outcome::decode(&entry.entry).expect("an outcome").run;
    entries.iter().map(|entry| run(entry).as_uuid().as_u64_pair().1).collect()
}

/// Mutation: have the hub take entries only of sites that were there before, or the site send only what is
/// new since it was up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_joins_and_its_outcomes_arrive_whoever_was_away() {
    let (hub_folder, site_folder) = (folder(), folder());
    hub::init(hub_folder.path());
    let hub = hub::AtWork::start(hub_folder.path(), None).await;
    let token = hub.token("plant-1").await;
    site::join(site_folder.path(), &token).await.expect("joins");
    let mut plant = site::AtWork::start(site_folder.path()).await;
    plant.is_up().await;
    for n in 1..=3 {
        plant.outcome(1, n).await;
    }
    assert_eq!(runs(&hub.has(3).await), [1, 2, 3]);
    // The hub goes; the site goes on.
    let address = hub.address;
    hub.stop().await;
    plant.is_down().await;
    plant.outcome(1, 4).await;
    plant.stop().await;
    // The site comes first.
    let plant = site::AtWork::start(site_folder.path()).await;
    plant.outcome(1, 5).await;
    let hub = hub::AtWork::start(hub_folder.path(), Some(address)).await;
    assert_eq!(runs(&hub.has(5).await), [1, 2, 3, 4, 5]);
    plant.stop().await;
    hub.stop().await;
}

/// Mutation: let a token be used twice, or by another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_use_one_token_one_wins() {
    let hub_folder = folder();
    hub::init(hub_folder.path());
    let hub = hub::AtWork::start(hub_folder.path(), None).await;
    let token = hub.token("plant-1").await;
    let folders = [folder(), folder()];
    let [one, other] = folders.each_ref().map(|folder| site::join(folder.path(), &token));
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() != other.is_ok(), "{one:?}, {other:?}");
    // The winner asks again, as if his answer had been lost.
    let winner = usize::from(other.is_ok());
    site::join(folders[winner].path(), &token).await.expect("the same answer");
    site::join(folders[1 - winner].path(), &token).await.expect_err("the token is spent");
    hub.stop().await;
}

/// Mutation: leave the old machine its line or its key, or take the new one for a copy of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_replaced_is_not_the_site_any_more() {
    let hub_folder = folder();
    let (old_folder, new_folder) = (folder(), folder());
    hub::init(hub_folder.path());
    let hub = hub::AtWork::start(hub_folder.path(), None).await;
    site::join(old_folder.path(), &hub.token("plant-1").await).await.expect("joins");
    let mut old = site::AtWork::start(old_folder.path()).await;
    old.is_up().await;
    hub.hub.token_create(hub.order("plant-1")).await.expect_err("it has joined already");
    let order = ::hub::TokenOrder { replace: true, ..hub.order("plant-1") };
    let token = hub.hub.token_create(order).await.expect("a token");
    site::join(new_folder.path(), &token).await.expect("joins");
    old.is_down().await;
    let mut new = site::AtWork::start(new_folder.path()).await;
    new.is_up().await;
    new.outcome(2, 1).await;
    assert_eq!(runs(&hub.has(1).await), [1]);
    // It was sent away, and its key opens no door.
    old.outcome(1, 9).await;
    let why = old.is_down().await;
    assert!(!why.is_empty());
    assert_eq!(runs(&hub.entries().await), [1]);
    old.stop().await;
    new.stop().await;
    hub.stop().await;
}
