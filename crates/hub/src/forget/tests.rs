//! Requests of a hub in memory, whose clock the test moves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::outcome::Counts;
use base::stream::Stream;
use base::value::Json;
use base::{By, Clock as _, DispatchId, Namespace, OrderId, Outcome, RunState};
use link::hub::outcome_key;
use server::Roles;
use store::memory::MemoryStore;
use store::{EntryRow, FleetStore as _, LinkStore as _, OrdersOf, Store};
use wire::dispatch::{Answer, AnswerState, Dispatched, News, SiteKey};
use wire::order::{Act, Receipt, ReceiptState};
use wire::{OrderState, ProblemCode, Role, RunStart};

use super::*;
use crate::order::{OrderFilter, RunAsk, run_of};
use crate::placement::Sites;
use crate::site::SiteDoc;
use crate::stage::{Moved, Stage, pin, site};

const DAY: i64 = 24 * 3600 * 1000;

struct World {
    hub: Hub,
    store: Arc<MemoryStore>,
    clock: Arc<Moved>,
}

impl World {
    async fn new() -> Self {
        let stage = Stage::new();
        let store = Arc::new(stage.store());
        let hub = stage.hub(Arc::clone(&store) as Arc<dyn Store>, Vec::new()).await;
        let clock = Arc::clone(&stage.clock);
        let world = Self { hub, store, clock };
        for name in ["clinic-1", "clinic-2"] {
            let doc = SiteDoc { key: Some(pin()), ..SiteDoc::default() };
            world.put(vec![Op::SitePut { site: site(name), record: doc.encode().into() }]).await;
        }
        world
    }

    async fn put(&self, ops: Vec<Op>) {
        self.store.commit(ops, Preconditions::none()).await.expect("committed");
    }

    fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    fn ask(&self, request: RequestId, workflow: &str) -> RunAsk {
        let start = RunStart {
            workflow: workflow.to_owned(),
            revision: None,
            run: None,
            input: Json::default(),
            tags: vec![],
            labels: vec![],
            priority: 0,
            reason: None,
        };
        RunAsk {
            request,
            asked: base::Digest::of(workflow.as_bytes()),
            namespace: Namespace::parse("default").expect("a name"),
            start,
            life: Duration::from_secs(3600),
            by: By { actor: "ada".to_owned(), reason: None },
        }
    }

    async fn order(&self, request: RequestId) -> Vec<OrderRow> {
        let ask = self.ask(request, "screen");
        self.hub.order_create(&Sites::All, ask).await.expect("given");
        self.hub.request_rows(request, usize::MAX).await.expect("reads")
    }

    async fn hear(&self, row: &OrderRow, stream: Stream, key: &[u8], entry: Vec<u8>) {
        let (at, site) = (self.clock.now(), row.site.clone());
        let key = bytes::Bytes::copy_from_slice(key);
        let (order, entry) = (row.order, entry.into());
        let close = Op::OrderClose { order, site: site.clone(), at };
        self.put(vec![
            Op::EntryTake(EntryRow { position: 0, site, stream, key, at, entry }),
            close,
        ])
        .await;
    }

    async fn judged(&self, row: &OrderRow, state: ReceiptState) {
        let receipt = Receipt::new(row.order, state, None, self.clock.now());
        self.hear(row, Stream::Receipt, row.order.as_uuid().as_bytes(), receipt.encode()).await;
    }

    async fn ended(&self, row: &OrderRow) {
        self.ended_as(row, run_of(row.order)).await;
    }

    async fn ended_as(&self, row: &OrderRow, run: base::RunId) {
        let outcome = Outcome {
            run,
            number: 1,
            revision: format!("keyed:{}", "0".repeat(64)),
            state: RunState::Completed,
            started_at: row.at,
            // The site's clock is far ahead.
            ended_at: row.at.plus(Duration::from_secs(10_000 * 24 * 3600)),
            error: None,
            counts: Counts::default(),
        };
        self.hear(row, Stream::Outcome, &outcome_key(run, 1), outcome.encode()).await;
    }

    async fn states(&self, request: RequestId) -> Vec<OrderState> {
        let rows = self.hub.request_rows(request, usize::MAX).await.expect("reads");
        let views = self.hub.order_views(&rows).await.expect("reads");
        views.into_iter().map(|view| view.state).collect()
    }

    async fn forget(&self) -> usize {
        self.hub.orders_forget().await.expect("forgets")
    }
}

/// Mutation: forget a request of which one order is not over, go by the site's clock, or leave the request when
/// its orders are gone.
#[tokio::test(start_paused = true)]
async fn a_request_goes_when_the_last_of_its_orders_is_long_over() {
    let world = World::new().await;
    let request = world.hub.new_request();
    let rows = world.order(request).await;
    world.judged(&rows[0], ReceiptState::Refused).await;
    world.judged(&rows[1], ReceiptState::Taken).await;
    world.pass(60 * DAY);
    assert_eq!(world.forget().await, 0, "one goes on");
    world.ended(&rows[1]).await;
    world.pass(30 * DAY);
    assert_eq!(world.forget().await, 0, "over for thirty days, not longer");
    world.pass(1);
    assert_eq!(world.forget().await, 2);
    let all = OrdersOf::All;
    let (filter, roles) = (OrderFilter::default(), Roles::everywhere(Role::Viewer));
    let left = world.hub.order_list(all, &filter, &roles, None, 9).await.expect("reads");
    assert_eq!(left.items, []);
    assert_eq!(Request::find(world.store.as_ref(), request).await.expect("reads"), None);
    // What came stays.
    assert_eq!(world.store.entry_list(0, 9).await.expect("reads").len(), 3);
}

/// Mutation: keep for ever what no site has answered, or forget what may still be taken.
#[tokio::test]
async fn what_nobody_has_answered_goes_after_its_time() {
    let world = World::new().await;
    let request = world.hub.new_request();
    world.order(request).await;
    world.pass(30 * DAY + 1);
    assert_eq!(world.states(request).await, [OrderState::Unknown; 2]);
    assert_eq!(world.forget().await, 0, "its time was an hour later");
    // The hub's time goes on while the machine's stands still here.
    world.pass(3600 * 1000 + 60_000);
    assert_eq!(world.forget().await, 2);
}

/// As the hub gives it to a site that has others work, or works for one.
fn unasked(n: u128, until: Timestamp, act: Act) -> OrderRow {
    let by = By { actor: "hub".to_owned(), reason: None };
    let body = Order { until, by, act }.encode().into();
    let order = OrderId::from_uuid(uuid::Uuid::from_u128(n));
    let (site, at) = (site("clinic-1"), until);
    OrderRow { position: 0, order, site, at, until, request: None, body, closed_at: None }
}

/// Mutation: leave what no request has given, forget it before thirty days, or while its run goes on.
#[tokio::test(start_paused = true)]
async fn what_sites_ask_of_each_other_goes_when_it_is_long_over() {
    let world = World::new().await;
    let until = world.clock.now().plus(Duration::from_secs(3600));
    let dispatch = DispatchId::of(base::RunId::from_uuid(uuid::Uuid::from_u128(7)), "key-0");
    let answer = Answer::new(AnswerState::Taken, None, until);
    let news = Act::News(Box::new(News { dispatch, site: site("clinic-2"), answer }));
    let key = SiteKey { key: String::new(), signature: String::new(), certificate: String::new() };
    let work = Act::Dispatched(Box::new(Dispatched {
        dispatch,
        from: site("clinic-2"),
        key,
        chain: Vec::new(),
        namespace: Namespace::parse("default").expect("a name"),
        workflow: base::WorkflowName::parse("screen").expect("a name"),
        sealed: serde_json::Value::Null,
    }));
    let run = work.run(&site("clinic-1")).expect("a run");
    let rows = [unasked(1, until, news), unasked(2, until, work)];
    world.put(rows.iter().cloned().map(Op::OrderPut).collect()).await;
    world.judged(&rows[1], ReceiptState::Taken).await;
    world.pass(30 * DAY + 3600 * 1000);
    assert_eq!(world.forget().await, 0, "over for thirty days, not longer");
    world.pass(1);
    assert_eq!(world.forget().await, 1);
    let left = world.store.order_get(rows[1].order).await.expect("reads");
    assert!(left.is_some(), "its run goes on");
    world.ended_as(&rows[1], run).await;
    world.pass(30 * DAY + 1);
    assert_eq!(world.forget().await, 1);
}

/// Mutation: leave the orders of a revoked site open, or those of another one not.
#[tokio::test]
async fn orders_of_a_revoked_site_are_unknown_at_once() {
    let world = World::new().await;
    let request = world.hub.new_request();
    let rows = world.order(request).await;
    let by = By { actor: "ada".to_owned(), reason: None };
    world.judged(&rows[0], ReceiptState::Taken).await;
    world.hub.site_revoke(site("clinic-1"), &by).await.expect("revoked");
    assert_eq!(world.states(request).await, [OrderState::Unknown, OrderState::Open]);
    let filter = OrderFilter { is_over: Some(false), ..OrderFilter::default() };
    let (of, roles) = (OrdersOf::Request(request), Roles::everywhere(Role::Viewer));
    let going = world.hub.order_list(of, &filter, &roles, None, 9).await.expect("reads");
    assert_eq!(going.items.iter().map(|it| it.site.as_str()).collect::<Vec<_>>(), ["clinic-2"]);
}

/// Mutation: give orders anew, mean other sites than the first time, or let two at once both give them.
#[tokio::test]
async fn a_request_is_done_once() {
    let world = World::new().await;
    let request = world.hub.new_request();
    let (to, first) = (Sites::All, world.ask(request, "screen"));
    let again = || world.hub.order_create(&to, first.clone());
    // Both have seen that it was not made before.
    let turn = world.hub.0.ordering.lock().await;
    let (one, other, ()) = futures::join!(again(), again(), async { drop(turn) });
    let (one, other) = (one.expect("given"), other.expect("given"));
    assert_eq!((one.is_new, other.is_new), (true, false));
    let ids = |given: &crate::order::Given| {
        given.orders.iter().map(|it| it.order.clone()).collect::<Vec<_>>()
    };
    assert_eq!((ids(&one).len(), ids(&one)), (2, ids(&other)));
    let by = By { actor: "ada".to_owned(), reason: None };
    world.hub.site_cordon(site("clinic-2"), true, &by).await.expect("cordoned");
    let later = again().await.expect("given");
    assert_eq!(ids(&later), ids(&one));
    let else_asked = world.hub.order_create(&to, world.ask(request, "other")).await;
    let refusal = else_asked.err().expect("another request");
    assert_eq!(refusal.code(), ProblemCode::RequestExists);
}

/// Mutation: commit what was meant before a site was cordoned.
#[tokio::test]
async fn who_has_cordoned_a_site_may_count_on_it() {
    let world = World::new().await;
    let (to, ask) = (Sites::All, world.ask(world.hub.new_request(), "screen"));
    let by = By { actor: "ada".to_owned(), reason: None };
    let turn = world.hub.0.ordering.lock().await;
    // First in the queue for a look at the fleet, and behind the cordon with what was seen there.
    let order = world.hub.order_create(&to, ask);
    let cordon = world.hub.site_cordon(site("clinic-2"), true, &by);
    let (given, cordoned, ()) = futures::join!(order, cordon, async { drop(turn) });
    cordoned.expect("cordoned");
    let given = given.expect("given").orders;
    assert_eq!(given.iter().map(|it| it.site.as_str()).collect::<Vec<_>>(), ["clinic-1"]);
}
