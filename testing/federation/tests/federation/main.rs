//! Hub and sites, each with a store on disk, over real TLS on this machine.

mod cable;
mod clocks;
mod ended;
mod hub;
mod leases;
mod million;
mod month;
mod plant;
mod site;
mod time;

use ::hub::SiteDoc;
use base::{Clock as _, Outcome, SiteName, SystemClock};
use store::{EntryRow, FleetStore as _, Op, Preconditions, Store as _};

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

/// Mutation: make another sealing key at each start, do not tell the hub of it, or do not ask for the
/// hub's where none is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joined_before_there_were_sealing_keys_tells_and_learns_them_with_the_next_certificate()
{
    let (hub_folder, site_folder) = (folder(), folder());
    hub::init(hub_folder.path());
    let hub = hub::AtWork::start(hub_folder.path(), None).await;
    let plant = SiteName::parse("plant-1").expect("a name");
    let joined = site::join(site_folder.path(), &hub.token("plant-1").await).await.expect("joins");
    let known = async || {
        let proof = hub.hub.sealing_of(&plant).await.expect("readable")?;
        let of_site = proof.verify(hub.hub.root(), &plant, SystemClock.now());
        Some(of_site.expect("below the root"))
    };
    assert_eq!(known().await, Some(joined.sealing()));
    let of_hub = joined.hub_sealing().expect("told").verify(hub.hub.root()).expect("signed");
    // As it was before: neither has said a word of it.
    let path = site_folder.path().join("identity").join("membership.json");
    let text = std::fs::read_to_string(&path).expect("it is there");
    let mut doc: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fields = doc.as_object_mut().expect("an object");
    for field in ["sealing", "hub_sealing"] {
        assert!(fields.remove(field).is_some_and(|it| !it.is_null()), "{field}");
    }
    std::fs::write(&path, doc.to_string()).expect("written");
    let row = hub.store.site_get(plant.clone()).await.expect("read").expect("it is there");
    let doc = SiteDoc::read(&plant, &row.record).expect("readable");
    let doc = SiteDoc { sealing: None, ..doc };
    let put = Op::SitePut { site: plant.clone(), record: doc.encode().into() };
    hub.store.commit(vec![put], Preconditions::none()).await.expect("commits");
    assert_eq!(known().await, None);
    let mut at_work = site::AtWork::start(site_folder.path()).await;
    at_work.is_up().await;
    at_work.stop().await;
    let again = site::membership(site_folder.path());
    assert_ne!(again.sealing(), joined.sealing());
    assert_eq!(known().await, Some(again.sealing()));
    assert_eq!(again.hub_sealing().map(|it| it.key), Some(of_hub));
    hub.stop().await;
}
