//! Every store that these tests leave behind is what it says. That each kind of damage is found is
//! tested where stores can be damaged: `crates/cli/tests/upkeep`.

use base::value::array;
use engine::check::{Checker, Told, Totals};
use engine::driver::Start;
use store::{Finding, FindingCode, Pace, RunRow, RunState, Store};
use store_sqlite::SqliteStore;

use crate::site::{open, site, start};
use crate::world::{Echo, World};

/// What the checker says of the store.
pub async fn check(store: &SqliteStore) -> (Totals, Vec<Finding>) {
    let (tell, mut told) = tokio::sync::mpsc::channel(4);
    let checker = Checker::new(store, &Echo, Pace::Whole);
    let hear = async {
        let mut findings = Vec::new();
        while let Some(told) = told.recv().await {
            if let Told::Finding(finding) = told {
                findings.push(finding);
            }
        }
        findings
    };
    let (totals, findings) = tokio::join!(checker.all(Some(store), tell), hear);
    (totals.expect("the store can be read"), findings)
}

/// # Panics
/// Where anything is wrong.
pub async fn whole(store: &SqliteStore, place: &str) {
    let (_, findings) = check(store).await;
    assert_eq!(findings, [], "{place}");
}

/// Mutation: compare the snapshot before its record is followed, or stop at the first page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_run_with_snapshots_is_whole() {
    let body = "do: [{each: {for: {in: .items}, do: [{send: {emit: {event: {with: {type: step, data: '${ $item }'}}}, output: {as: '${ $input }'}}}, {call: {call: 'echo:1.0.0@default', with: {n: '${ $item }'}, output: {as: '${ $input }'}}}]}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let items: Vec<_> = (0..1_100).map(base::value::int).collect();
    let order =
        Start { input: base::value::object([("items", array(items))]), ..start(body, "{}") };
    let ended = driver.start(order).await.expect("starts").await.expect("ends");
    assert_eq!(ended.state, RunState::Completed, "{:?}", ended.fault);
    driver.stop().await;
    let (totals, findings) = check(&store).await;
    assert_eq!(findings, []);
    assert!((totals.runs, totals.moving) == (1, 0) && totals.records > 1_100, "{totals:?}");
}

/// Mutation: take a run for one that goes on because its row says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_nobody_takes_care_of_is_found_in_a_site_at_work() {
    let body = "do: [{h: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let order = start(body, "{}");
    let run = order.run;
    drop(driver.start(order).await.expect("starts"));
    let codes = async |driver: &engine::driver::Driver| {
        let attends = |run| driver.attends(run);
        let (tell, mut told) = tokio::sync::mpsc::channel(64);
        let checker = Checker::new(&*store, &Echo, Pace::Half).at_work(&attends);
        checker.all(None, tell).await.expect("the store can be read");
        let mut codes = Vec::new();
        while let Some(told) = told.recv().await {
            if let Told::Finding(finding) = told {
                codes.push((finding.run, finding.code));
            }
        }
        codes
    };
    assert_eq!(codes(&driver).await, []);
    driver.stop().await;
    assert_eq!(codes(&driver).await, [(Some(run), FindingCode::RunUnattended)]);
    let again = open(store.clone(), World::default()).await;
    assert_eq!(codes(&again).await, []);
    again.stop().await;
}

/// Mutation: judge a run by a row that was read before its journal, and do not look again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_go_on_meanwhile_are_not_taken_for_wrong() {
    let body = "do: [{each: {for: {in: '${ [range(0; 300)] }'}, do: [{call: {call: 'echo:1.0.0@default', with: {n: '${ $item }'}, output: {as: '${ $input }'}}}, {nap: {wait: PT0.0001S}}]}}]";
    let (store, driver, _folder) = site(body, World::default()).await;
    let mut ends = Vec::new();
    for _ in 0..20 {
        let run = base::RunId::new(base::Clock::now(&base::SystemClock), &base::SystemRandom);
        ends.push(driver.start(Start { run, ..start(body, "{}") }).await.expect("starts"));
    }
    let at_work = async |store: &SqliteStore| {
        let rows: Vec<RunRow> = store.run_unfinished(None, 99).await.expect("reads");
        !rows.is_empty()
    };
    let mut checks = 0;
    while at_work(&store).await {
        whole(&store, "while runs go on").await;
        checks += 1;
    }
    assert!(checks > 0);
    for end in ends {
        assert_eq!(end.await.expect("ends").state, RunState::Completed);
    }
    driver.stop().await;
    whole(&store, "at the end").await;
}
