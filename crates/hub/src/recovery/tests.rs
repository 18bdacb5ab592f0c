//! What a hub that was brought back learns, however often it is killed or cannot write.

use std::sync::atomic::Ordering;

use identity::{Certificate, Pin};
use store::memory::MemoryStore;
use wire::SiteState;

use super::*;
use crate::Hub;
use crate::stage::{Stage, domain, key, member, pin, put, signed, site, site_doc};

/// A hub that has lived before.
async fn restored(stage: &Stage, store: &Arc<MemoryStore>) -> Hub {
    stage.hub(Arc::clone(store) as Arc<dyn Store>, vec![stage.life()]).await
}

async fn is_revoked(store: &MemoryStore, name: &str) -> bool {
    site_doc(store, name).await.revoked_at.is_some()
}

/// Mutation: look at no site when the hub opens, or look before what was learned is read.
#[tokio::test]
async fn a_hub_that_is_killed_before_it_has_revoked_does_it_when_it_opens() {
    let (stage, lost) = (Stage::new(), pin());
    let store = Arc::new(stage.store());
    member(&store, "clinic-1", lost).await;
    member(&store, "clinic-2", pin()).await;
    let hub = restored(&stage, &store).await;
    hub.0.recovery.note(&stage.head(9, &[lost])).await.expect("written");
    assert!(!is_revoked(&store, "clinic-1").await);
    let store = Arc::new(store.reopen());
    let _hub = restored(&stage, &store).await;
    assert!(is_revoked(&store, "clinic-1").await);
    assert!(!is_revoked(&store, "clinic-2").await);
}

/// Mutation: take keys that were learned before for done, or the first site that cannot be written for all.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_revoked_is_revoked_when_it_can() {
    let (stage, keys) = (Stage::new(), [pin(), pin(), pin()]);
    let store = Arc::new(stage.store());
    for (name, key) in ["clinic-1", "clinic-2", "clinic-3"].into_iter().zip(keys) {
        member(&store, name, key).await;
    }
    let hub = restored(&stage, &store).await;
    let (recovery, head) = (&hub.0.recovery, stage.head(9, &keys[..2]));
    // What it says and the first site can be written.
    stage.passing.store(2, Ordering::SeqCst);
    recovery.learn(hub.desks(), &head).await.expect_err("the second cannot");
    assert!(is_revoked(&store, "clinic-1").await && !is_revoked(&store, "clinic-2").await);
    stage.passing.store(i64::MAX, Ordering::SeqCst);
    recovery.learn(hub.desks(), &head).await.expect("written");
    assert!(is_revoked(&store, "clinic-2").await);
    // Once done, nobody looks at all sites again for each that comes.
    assert!(!recovery.sweep(hub.desks()).await.expect("known"));
    // And where no site comes again, the hub goes on by itself.
    stage.passing.store(1, Ordering::SeqCst);
    let head = stage.head(9, &keys);
    recovery.learn(hub.desks(), &head).await.expect_err("the third cannot");
    stage.passing.store(i64::MAX, Ordering::SeqCst);
    let mut editions = std::pin::pin!(hub.0.recovery.keep(hub.desks()));
    while !is_revoked(&store, "clinic-3").await {
        let step = tokio::time::timeout(RETRY, &mut editions).await;
        step.expect_err("it goes on until it is dropped");
    }
}

/// Mutation: end the recovery only when the last site comes, which has come.
#[tokio::test(start_paused = true)]
async fn an_end_that_could_not_be_written_is_written_later() {
    let stage = Stage::new();
    let store = Arc::new(stage.store());
    member(&store, "clinic-1", pin()).await;
    let hub = restored(&stage, &store).await;
    let recovery = &hub.0.recovery;
    assert!(recovery.is_on());
    stage.passing.store(0, Ordering::SeqCst);
    recovery.done_with(&site("clinic-1")).await.expect_err("nothing can be written");
    let mut keeping = std::pin::pin!(recovery.keep(hub.desks()));
    tokio::time::timeout(RETRY, &mut keeping).await.expect_err("it goes on");
    assert!(recovery.is_on());
    stage.passing.store(i64::MAX, Ordering::SeqCst);
    tokio::select! {
        () = keeping => {}
        () = recovery.over() => {}
    }
    assert!(!recovery.is_on());
}

async fn waiting_to_be_adopted(store: &MemoryStore, key: Pin) {
    let doc = SiteDoc { adoptable: Some(key), ..SiteDoc::default() };
    put(store, vec![Op::SitePut { site: site("clinic-3"), record: doc.encode().into() }]).await;
}

/// Mutation: ask nobody whose key it is when a person adopts a machine, or go on showing it.
#[tokio::test]
async fn a_machine_that_an_edition_names_is_adopted_by_nobody() {
    let (stage, lost) = (Stage::new(), pin());
    let store = Arc::new(stage.store());
    waiting_to_be_adopted(&store, lost).await;
    let hub = restored(&stage, &store).await;
    hub.0.recovery.learn(hub.desks(), &stage.head(9, &[lost])).await.expect("learned");
    assert_eq!(site_doc(&store, "clinic-3").await.adoptable, None);
    // As if it had been shown in the moment before.
    waiting_to_be_adopted(&store, lost).await;
    let by = By { actor: "ada".to_owned(), reason: None };
    let refused = hub.site_adopt(site("clinic-3"), &by).await.expect_err("it was revoked");
    assert_eq!(refused.code(), ProblemCode::SiteMissing);
    assert_eq!(site_doc(&store, "clinic-3").await.key, None);
    waiting_to_be_adopted(&store, pin()).await;
    hub.site_adopt(site("clinic-3"), &by).await.expect("nobody has revoked this one");
}

/// The old machine of a site is named by an edition of the life that is lost; the new one has joined then.
///
/// Mutation: have nobody be the site for good, forget the machine that waits, or let a revocation by a person
/// be one of that life.
#[tokio::test]
async fn a_machine_that_replaced_another_in_the_lost_life_can_be_adopted() {
    let (stage, old, new) = (Stage::new(), pin(), key());
    let store = Arc::new(stage.store());
    member(&store, "clinic-3", old).await;
    let hub = restored(&stage, &store).await;
    let certificate = stage.authority.site(&site("clinic-3"), &new.public(), stage.clock.now());
    let shown = Certificate::read(&certificate.expect("made")).expect("one of ours");
    let come = || async { hub.admit(&shown).await.expect_err("nobody knows it").to_string() };
    let state = || async { hub.site_show(site("clinic-3")).await.expect("shown").state };
    // Whichever is there first: the machine, or the edition that names the one before.
    let waits = come().await;
    stage.clock.0.fetch_add(60_000, Ordering::Relaxed);
    hub.0.recovery.learn(hub.desks(), &stage.head(9, &[old])).await.expect("learned");
    assert!(is_revoked(&store, "clinic-3").await);
    assert_eq!((come().await, state().await), (waits.clone(), SiteState::ToBeAdopted));
    let mut doc = site_doc(&store, "clinic-3").await;
    doc.adoptable = None;
    let forget = Op::SitePut { site: site("clinic-3"), record: doc.encode().into() };
    put(&store, vec![forget]).await;
    assert_eq!((come().await, state().await), (waits.clone(), SiteState::ToBeAdopted));
    let by = By { actor: "ada".to_owned(), reason: None };
    hub.site_adopt(site("clinic-3"), &by).await.expect("adopted");
    assert_eq!(hub.admit(&shown).await.expect("the site"), site("clinic-3"));
    // What a person decides now is decided.
    hub.site_revoke(site("clinic-3"), &by).await.expect("revoked");
    assert_ne!(come().await, waits);
    assert_eq!(state().await, SiteState::Revoked);
}

/// Mutation: take a number that nothing is above, or take the word of an authority that a person has forgotten, or
/// of one below it.
#[tokio::test]
async fn not_every_edition_is_believed() {
    let (mut stage, lost) = (Stage::new(), pin());
    let store = Arc::new(stage.store());
    member(&store, "clinic-1", lost).await;
    let stolen = stage.root.authority(&domain(), key(), stage.clock.now()).expect("an authority");
    stage.forgotten = vec![identity::authority_read(stolen.pem()).expect("ours").key.pin()];
    let hub = stage.hub(Arc::clone(&store) as Arc<dyn Store>, Vec::new()).await;
    let show =
        |authority, number| hub.0.editions.show(&signed(authority, &stage.head(number, &[])));
    assert!(show(&stolen, 9).is_none());
    assert!(show(&stage.authority, link::COUNT_MAX - 1).is_none());
    assert!(show(&stage.authority, u64::MAX).is_none());
    assert!(show(&stage.authority, link::COUNT_MAX - 2).is_some());
    let said = |authority| signed(authority, &stage.head(9, &[lost]));
    hub.desks().shown(&site("clinic-1"), &said(&stolen)).await.expect("heard");
    assert!(!is_revoked(&store, "clinic-1").await && !hub.0.recovery.is_on());
    hub.desks().shown(&site("clinic-1"), &said(&stage.authority)).await.expect("heard");
    assert!(is_revoked(&store, "clinic-1").await);
}

/// A copy of its folder of yesterday: it has never been told that it was set back.
///
/// Mutation: publish above what a site has, or forget it over a restart; end by itself; let what was lost
/// before a person has decided begin it once more, or what was lost after that not.
#[tokio::test]
async fn a_hub_that_was_set_back_by_other_means_publishes_nothing_by_itself() {
    let stage = Stage::new();
    let store = Arc::new(stage.store());
    member(&store, "clinic-1", pin()).await;
    let hub = stage.hub(Arc::clone(&store) as Arc<dyn Store>, Vec::new()).await;
    let here = site("clinic-1");
    let number = |hub: &Hub| hub.0.editions.content(&here).map(|(number, _)| number);
    assert_eq!((number(&hub), hub.0.recovery.is_on()), (Some(1), false));
    let lost = stage.head(9, &[]);
    stage.clock.0.fetch_add(1_000, Ordering::Relaxed);
    hub.desks().shown(&here, &signed(&stage.authority, &lost)).await.expect("heard");
    hub.0.editions.publish().await;
    assert_eq!((number(&hub), hub.0.recovery.is_on()), (Some(1), true));
    let store = Arc::new(store.reopen());
    let hub = stage.hub(Arc::clone(&store) as Arc<dyn Store>, Vec::new()).await;
    assert!(hub.0.recovery.is_on());
    hub.desks().shown(&here, &signed(&stage.authority, &lost)).await.expect("heard");
    let by = By { actor: "ada".to_owned(), reason: None };
    hub.0.recovery.end(&by).await.expect("ended");
    hub.recovered().await.expect("published");
    assert_eq!(number(&hub), Some(10));
    // Another site was away meanwhile, and has a later one of those that were lost then.
    let later = Head { number: 12, ..lost.clone() };
    hub.desks().shown(&here, &signed(&stage.authority, &later)).await.expect("heard");
    hub.0.editions.publish().await;
    assert_eq!((number(&hub), hub.0.recovery.is_on()), (Some(13), false));
    // And set back once more.
    stage.clock.0.fetch_add(1_000, Ordering::Relaxed);
    let again = stage.head(20, &[]);
    hub.desks().shown(&here, &signed(&stage.authority, &again)).await.expect("heard");
    hub.0.editions.publish().await;
    assert_eq!((number(&hub), hub.0.recovery.is_on()), (Some(13), true));
}
