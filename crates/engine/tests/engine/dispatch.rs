//! Who goes next, in a driver at work: limits, weights, priorities, pools, and runs that wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::name::WorkflowKey;
use base::{Clock, IncarnationId, Namespace, RunId, SystemRandom, Timestamp, Value};
use engine::dispatch::Weights;
use engine::driver::dispatch::Settings;
use engine::driver::{CommandError, Driver, EFFECTS_IN_FLIGHT_MAX, Start, StartError, Summary};
use engine::effect::{Action, Certainty, Perform, Performed, Performer};
use futures::FutureExt;
use futures::future::BoxFuture;
use store::memory::MemoryStore;
use store::{RunRow, RunState, Store};
use tokio::sync::{Semaphore, mpsc};

use crate::family::HANG;
use crate::site::{open_dispatched, put_document, start};
use crate::walk::{START, by, revision_of};

/// Answers when the test says so, and counts how many are at it.
#[derive(Clone)]
struct Counted {
    begun: mpsc::UnboundedSender<(Namespace, RunId)>,
    gate: Arc<Semaphore>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Counted {
    fn new() -> (Self, mpsc::UnboundedReceiver<(Namespace, RunId)>) {
        let (begun, begins) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        (Self { begun, gate, now: Arc::default(), most: Arc::default() }, begins)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Also where the effect is broken off.
struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Performer for Counted {
    fn perform(&self, perform: Perform) -> BoxFuture<'static, Performed> {
        let counted = self.clone();
        async move {
            let now = counted.now.fetch_add(1, Ordering::SeqCst) + 1;
            let _leaves = Leaves(Arc::clone(&counted.now));
            counted.most.fetch_max(now, Ordering::SeqCst);
            counted.begun.send((perform.namespace, perform.run)).ok();
            counted.gate.acquire().await.expect("never closed").forget();
            Performed {
                result: Ok(Value::Null),
                certainty: Certainty::Definite,
                decision: None,
                lists: Vec::new(),
                labels: Vec::new(),
            }
        }
        .boxed()
    }
}

/// The same for effects that only wait.
struct Waiting(Counted);

impl Performer for Waiting {
    fn perform(&self, perform: Perform) -> BoxFuture<'static, Performed> {
        self.0.perform(perform)
    }

    fn only_waits(&self, _: &Action) -> bool {
        true
    }
}

/// A clock that the test moves.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Place {
    store: Arc<MemoryStore>,
    clock: Arc<Hand>,
    settings: Settings,
}

const CALL: &str = "do: [{work: {call: 'echo:1.0.0@default', with: {}}}]";

fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).expect("a name")
}

/// The nth run.
fn run(n: u64) -> RunId {
    RunId::from_uuid(uuid::Uuid::from_u128((0x0190_0000_0000_7000 << 64) + u128::from(n)))
}

impl Place {
    async fn new(settings: Settings, documents: &[(&str, &str, &str)]) -> Self {
        let incarnation = IncarnationId::new(START, &SystemRandom);
        let store = Arc::new(MemoryStore::new(incarnation));
        for (namespace, metadata, body) in documents {
            let head = format!(
                "document: {{dsl: '1.0.3', namespace: {namespace}, name: case, version: '1.0.0', metadata: {metadata}}}"
            );
            put_document(&*store, &format!("{head}\n{body}")).await;
        }
        let clock = Arc::new(Hand(AtomicI64::new(START.as_millis())));
        Self { store, clock, settings }
    }

    async fn open(&self, performer: impl Performer) -> Driver {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        open_dispatched(store, performer, clock, self.settings.clone()).await
    }

    /// As after a crash: what the one before did not write is lost.
    fn crash(&mut self) {
        self.store = Arc::new(self.store.reopen());
    }

    fn at(&self, seconds: i64) {
        self.clock.0.store(START.as_millis() + seconds * 1000, Ordering::SeqCst);
    }

    async fn row(&self, n: u64) -> RunRow {
        self.store.run_get(run(n)).await.expect("reads").expect("there")
    }

    async fn states(&self) -> BTreeMap<RunState, u64> {
        self.store.run_count().await.expect("reads").into_iter().collect()
    }

    /// Looks at the store after every end until all have ended.
    /// Gives how many runs were in memory at most.
    async fn all_end(&self, driver: &Driver) -> usize {
        let (sender, mut ends) = mpsc::unbounded_channel();
        driver.on_end(move |run| {
            sender.send(run).ok();
        });
        let mut most = 0;
        let end = async {
            while self.states().await.keys().any(|state| !state.has_ended()) {
                ends.recv().await.expect("another one ends");
                most = most.max(driver.active());
            }
        };
        tokio::time::timeout(HANG, end).await.expect("nobody is stuck");
        most
    }
}

fn order(namespace_name: &str, n: u64) -> Start {
    let start = start(CALL, "{}");
    let key = WorkflowKey { namespace: namespace(namespace_name), name: start.key.name.clone() };
    Start { run: run(n), revision: revision_of(&key), key, ..start }
}

fn active(runs_active_max: usize) -> Settings {
    Settings { runs_active_max, ..Settings::default() }
}

async fn next(begins: &mut mpsc::UnboundedReceiver<(Namespace, RunId)>) -> (Namespace, RunId) {
    let next = tokio::time::timeout(HANG, begins.recv()).await;
    next.expect("one begins").expect("the performer is there")
}

/// Mutation: let one more begin, forget who has begun before a crash, or lose who waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_has_its_runs_at_once_and_no_more_also_after_a_crash() {
    let documents = [("test", "{concurrency: {limit: 2}}", CALL)];
    let mut place = Place::new(Settings::default(), &documents).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    for n in 0..7 {
        place.at(n as i64);
        driver.start_alone(order("test", n)).await.expect("starts");
    }
    let mut first = [next(&mut begins).await.1, next(&mut begins).await.1];
    first.sort_unstable();
    assert_eq!(first, [0, 1].map(run));
    counted.gate.add_permits(1);
    assert_eq!(next(&mut begins).await.1, run(2), "a place is free, and the oldest has it");
    assert_eq!(counted.most(), 2);
    let row = place.row(5).await;
    let summary = Summary::decode(&row.summary).expect("a summary");
    assert_eq!(row.state, RunState::Pending);
    assert_eq!(summary.queued.as_deref(), Some("the limit of its workflow (runs at once: 2)"));
    place.crash();
    drop(driver);

    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    let going = [next(&mut begins).await.1, next(&mut begins).await.1];
    let open: Vec<RunId> =
        [run(0), run(1), run(2)].into_iter().filter(|it| going.contains(it)).collect();
    assert_eq!(open.len(), 2, "those that had begun go on: {going:?}");
    assert_eq!(place.row(5).await.state, RunState::Pending);
    for n in 3..7 {
        counted.gate.add_permits(1);
        assert_eq!(next(&mut begins).await.1, run(n), "in the order in which they came");
    }
    counted.gate.add_permits(2);
    place.all_end(&driver).await;
    assert_eq!(counted.most(), 2);
    assert!(Summary::decode(&place.row(5).await.summary).expect("one").queued.is_none());
}

/// Mutation: serve in the order of arrival.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_namespace_does_not_starve_another() {
    const FLOOD: u64 = 2_000;
    const ACTIVE: usize = 8;
    let documents = [("flood", "{}", CALL), ("single", "{}", CALL)];
    let place = Place::new(active(ACTIVE), &documents).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    for n in 0..FLOOD {
        driver.start_alone(order("flood", n)).await.expect("starts");
    }
    driver.start_alone(order("single", FLOOD)).await.expect("starts");
    let away = async {
        while driver.active() > ACTIVE {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, away).await.expect("who waits takes no memory");
    assert_eq!(driver.queued() as u64, FLOOD + 1 - ACTIVE as u64);
    for _ in 0..ACTIVE {
        assert_eq!(next(&mut begins).await.0, namespace("flood"));
    }
    counted.gate.add_permits(2);
    let after = [next(&mut begins).await.0, next(&mut begins).await.0];
    assert!(after.contains(&namespace("single")), "served after one of the flood: {after:?}");
    counted.gate.add_permits(FLOOD as usize);
    place.all_end(&driver).await;
    assert!(counted.most() <= ACTIVE);
}

/// Mutation: leave out the weights, or let a slot that is free wait for the next nudge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_get_their_weight() {
    let documents = [("heavy", "{}", CALL), ("light", "{}", CALL), ("first", "{}", CALL)];
    let weights = Weights::new([(namespace("heavy"), 2)]);
    let place = Place::new(Settings { weights, ..active(1) }, &documents).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    driver.start_alone(order("first", 0)).await.expect("starts");
    for n in 1..=60 {
        driver.start_alone(order("light", n)).await.expect("starts");
        driver.start_alone(order("heavy", 100 + n)).await.expect("starts");
    }
    next(&mut begins).await;
    let mut served = BTreeMap::new();
    for _ in 0..60 {
        counted.gate.add_permits(1);
        *served.entry(next(&mut begins).await.0.to_string()).or_insert(0) += 1;
    }
    assert_eq!(served, BTreeMap::from([("heavy".to_owned(), 40), ("light".to_owned(), 20)]));
}

/// Mutation: leave priority or age out of the rank, or count from the restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn priority_wins_until_age_does_also_after_a_restart() {
    let mut place = Place::new(active(1), &[("test", "{}", CALL)]).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    driver.start_alone(order("test", 0)).await.expect("starts");
    next(&mut begins).await;
    for (n, seconds, priority) in [(1, 0, 0), (2, 1, -1), (3, 59, 1), (4, 61, 1), (5, 62, 0)] {
        place.at(seconds);
        let start = Start { priority, ..order("test", n) };
        driver.start_alone(start).await.expect("starts");
    }
    place.crash();
    drop(driver);
    place.at(100);
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(next(&mut begins).await.1);
        counted.gate.add_permits(1);
    }
    assert_eq!(order, [3, 0, 1, 4, 2, 5].map(run));
    place.all_end(&driver).await;
}

/// Mutation: perform a quick function without its turn, or leave out the pool of the document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_has_its_turns_and_no_more() {
    let body = "do: [{both: {fork: {branches: [
        {a: {call: 'echo:1.0.0@default', with: {}}},
        {b: {call: http, with: {method: get, endpoint: 'http://world/ok/x'}}}]}}}]";
    let documents = [("test", "{pool: gpu}", body), ("other", "{}", CALL)];
    let pools = Some(BTreeMap::from([("gpu".to_owned(), 3)]));
    let place = Place::new(Settings { pools, ..active(4) }, &documents).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    for n in 0..10 {
        driver.start_alone(order("test", n)).await.expect("starts");
    }
    for _ in 0..3 {
        next(&mut begins).await;
    }
    assert_eq!(counted.most(), 3);
    // Who waits for a pool keeps nobody else from his work.
    driver.start_alone(order("other", 99)).await.expect("starts");
    assert_eq!(next(&mut begins).await.0, namespace("other"));
    counted.gate.add_permits(99);
    place.all_end(&driver).await;
    assert!(counted.most() <= 4, "three of the pool, and the other");
}

/// Mutation: let a run that was suspended, or has ended, begin; or keep its place from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_can_be_cancelled_suspended_and_let_go_again() {
    let documents = [("test", "{concurrency: {limit: 1}}", CALL)];
    let place = Place::new(Settings::default(), &documents).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    for n in 0..4 {
        place.at(n as i64);
        driver.start_alone(order("test", n)).await.expect("starts");
    }
    assert_eq!(next(&mut begins).await.1, run(0));
    driver.cancel(run(1), by("ada")).await.expect("cancelled");
    driver.suspend(run(2), by("ada")).await.expect("suspended");
    assert_eq!(place.row(1).await.state, RunState::Cancelled);
    assert_eq!(place.row(2).await.state, RunState::Suspended);
    counted.gate.add_permits(1);
    assert_eq!(next(&mut begins).await.1, run(3), "those before it do not want to begin");
    driver.resume(run(2), by("ada")).await.expect("resumed");
    assert_eq!(place.row(2).await.state, RunState::Pending);
    counted.gate.add_permits(1);
    assert_eq!(next(&mut begins).await.1, run(2));
    counted.gate.add_permits(1);
    place.all_end(&driver).await;
    assert_eq!(counted.most(), 1);
}

/// Mutation: give up the place, or the wait, of the run that is there already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_twice_takes_no_place_from_the_first() {
    let documents = [("test", "{concurrency: {limit: 1}}", CALL)];
    let place = Place::new(Settings::default(), &documents).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    for n in [0, 0, 1, 1, 0] {
        let result = driver.start_alone(order("test", n)).await;
        assert!(matches!(result, Ok(()) | Err(StartError::Exists(_))), "{result:?}");
    }
    assert_eq!(next(&mut begins).await.1, run(0));
    assert_eq!(driver.queued(), 1);
    counted.gate.add_permits(1);
    assert_eq!(next(&mut begins).await.1, run(1));
    assert_eq!(counted.most(), 1);
    counted.gate.add_permits(1);
    driver.ended(run(0)).await.expect("ends");
    driver.ended(run(1)).await.expect("ends");
    // One that has ended long ago takes no place for ever.
    let again = driver.start_alone(order("test", 0)).await;
    assert!(matches!(again, Err(StartError::Exists(_))), "{again:?}");
    driver.start_alone(order("test", 2)).await.expect("starts");
    assert_eq!(next(&mut begins).await.1, run(2));
    counted.gate.add_permits(1);
    place.all_end(&driver).await;
}

/// Faults at once.
struct Faults;

impl Performer for Faults {
    fn perform(&self, _: Perform) -> BoxFuture<'static, Performed> {
        let fault = base::Fault::new(base::ErrorType::Runtime, "it does not work");
        std::future::ready(Performed::fault(fault, Certainty::Definite)).boxed()
    }
}

/// Mutation: let a retried run have a place that there is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulted_run_is_retried_only_where_its_workflow_has_a_place() {
    let documents = [("test", "{concurrency: {limit: 1}}", CALL)];
    let place = Place::new(Settings::default(), &documents).await;
    let driver = place.open(Faults).await;
    let told = driver.start(order("test", 0)).await.expect("starts");
    assert_eq!(told.await.expect("ends").state, RunState::Faulted);
    driver.stop().await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    driver.start_alone(order("test", 1)).await.expect("starts");
    next(&mut begins).await;
    let refused = driver.retry(run(0), by("ada")).await;
    assert!(matches!(refused, Err(CommandError::AtLimit(_, 1))), "{refused:?}");
    counted.gate.add_permits(1);
    driver.ended(run(1)).await.expect("ends");
    driver.retry(run(0), by("ada")).await.expect("there is a place");
    assert_eq!(next(&mut begins).await.1, run(0));
    counted.gate.add_permits(1);
    place.all_end(&driver).await;
}

/// Mutation: take any number in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_wait_are_turned_away() {
    let settings = Settings { runs_queued_max: 2, ..active(1) };
    let place = Place::new(settings, &[("test", "{}", CALL)]).await;
    let (counted, _begins) = Counted::new();
    let driver = place.open(counted.clone()).await;
    for n in 0..3 {
        driver.start_alone(order("test", n)).await.expect("starts");
    }
    let refused = driver.start_alone(order("test", 3)).await;
    assert!(matches!(refused, Err(StartError::Crowded(2))), "{refused:?}");
    assert!(place.store.run_get(run(3)).await.expect("reads").is_none());
    counted.gate.add_permits(3);
    place.all_end(&driver).await;
}

/// Mutation: give a turn to what only waits, so that whoever waits for days holds up all others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_waits_takes_no_turn() {
    const ASK: &str =
        "do: [{work: {call: http, with: {method: get, endpoint: 'http://world/ok'}}}]";
    let many = EFFECTS_IN_FLIGHT_MAX + 1;
    let place = Place::new(active(2 * many), &[("test", "{}", ASK)]).await;
    let (counted, mut begins) = Counted::new();
    let driver = place.open(Waiting(counted.clone())).await;
    for n in 0..many {
        driver.start_alone(order("test", n as u64)).await.expect("starts");
    }
    for _ in 0..many {
        next(&mut begins).await;
    }
    assert_eq!(counted.most(), many);
    counted.gate.add_permits(many);
    place.all_end(&driver).await;
}

/// Keeps the order of the calls, and how many runs were in memory at each.
#[derive(Clone, Default)]
struct Woken(Arc<Mutex<Vec<RunId>>>);

impl Performer for Woken {
    fn perform(&self, perform: Perform) -> BoxFuture<'static, Performed> {
        self.0.lock().expect("no test panics while it counts").push(perform.run);
        let done = Performed {
            result: Ok(Value::Null),
            certainty: Certainty::Definite,
            decision: None,
            lists: Vec::new(),
            labels: Vec::new(),
        };
        std::future::ready(done).boxed()
    }
}

const NAP: &str = "do: [{nap: {wait: '${ .s }'}}, {work: {call: 'echo:1.0.0@default', with: {}}}]";

/// Mutation: take up all that are due at once, page by page in the order of ids, or the first page
/// only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleepers_wake_in_the_order_of_their_times_after_hours_of_downtime() {
    const SLEEPERS: u64 = 1_200;
    let mut place = Place::new(Settings::default(), &[("test", "{}", NAP)]).await;
    let driver = place.open(Woken::default()).await;
    for n in 0..SLEEPERS {
        // Twenty times, each of many runs.
        let seconds = 3_600 - (n % 20) as i64 * 60;
        let input = base::value::object([("s", base::value::string(&format!("PT{seconds}S")))]);
        let start = Start { input, ..order("test", n) };
        driver.start_alone(start).await.expect("starts");
    }
    let mut asleep = 0;
    while asleep < SLEEPERS || driver.active() > 0 {
        tokio::task::yield_now().await;
        asleep = place.states().await.get(&RunState::Waiting).copied().unwrap_or_default();
    }
    place.crash();
    drop(driver);
    place.at(24 * 3_600);
    place.settings = active(1);
    let woken = Woken::default();
    let driver = place.open(woken.clone()).await;
    let most = place.all_end(&driver).await;
    assert!(most <= 4, "one at work, and some that leave: {most}");
    let woken = woken.0.lock().expect("it is over").clone();
    let mut expected: Vec<u64> = (0..SLEEPERS).collect();
    expected.sort_by_key(|n| (std::cmp::Reverse(n % 20), *n));
    let expected: Vec<RunId> = expected.into_iter().map(run).collect();
    assert!(woken == expected, "in another order");
}
