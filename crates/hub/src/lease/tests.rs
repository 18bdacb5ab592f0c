//! What is granted, over every crash and every life.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::stream::PerStream;
use identity::Key;
use link::hub::{Present, Write};
use store::LinkStore as _;
use store::memory::MemoryStore;

use super::*;
use crate::placement::Sites;
use crate::stage::{Stage, key, member, put, site};

/// A hub with a budget of a thousand micro-units over all sites.
struct Fleet {
    stage: Stage,
    store: Arc<MemoryStore>,
    keys: BTreeMap<String, Key>,
    lives: BTreeMap<String, IncarnationId>,
}

impl Fleet {
    async fn new(names: &[&str]) -> Self {
        let stage = Stage::new();
        let store = Arc::new(stage.store());
        let (mut keys, mut lives) = (BTreeMap::new(), BTreeMap::new());
        for name in names {
            let key = key();
            member(&store, name, key.public().pin()).await;
            keys.insert((*name).to_owned(), key);
            lives.insert((*name).to_owned(), stage.life());
        }
        let mut fleet = Self { stage, store, keys, lives };
        for name in names {
            fleet.comes(name, None).await;
        }
        let budget = FleetBudget {
            holder: "namespace/sales".parse().expect("a holder"),
            budget: "0.001EUR/total".parse().expect("a budget"),
            sites: Sites::All,
        };
        let row = budget.row(Timestamp::from_millis(0));
        put(&fleet.store, vec![Op::ResourcePut(row)]).await;
        fleet
    }

    /// Somebody speaks for the site, in the life that it has, and has handed over all to that life of the hub.
    async fn comes(&mut self, name: &str, settled: Option<IncarnationId>) {
        let incarnation = self.lives[name];
        let (heads, before) = (PerStream::default(), PerStream::default());
        let present =
            Present { incarnation, granted: 1, confirmed: 0, by: incarnation, heads, before };
        let mut seat = SeatDoc::default();
        let now = Timestamp::from_millis(0);
        let mut ops = seat.ops(&site(name), &Write::Present { present, retired: Vec::new() }, now);
        if let Some(hub) = settled {
            ops.extend(seat.ops(&site(name), &Write::Settled(hub), now));
        }
        put(&self.store, ops).await;
    }

    fn word(&self, name: &str, number: u64, granted: &str, hub: Option<IncarnationId>) -> Word {
        Word {
            purse: PurseName {
                site: site(name),
                life: self.lives[name],
                holder: "namespace/sales".to_owned(),
                period: "total".to_owned(),
                window: None,
            },
            hub,
            number,
            granted: granted.to_owned(),
            spent: "0EUR".to_owned(),
            returned: "0EUR".to_owned(),
            asks: Some("0EUR".to_owned()),
            at: Timestamp::from_millis(0),
        }
    }

    async fn says(&self, name: &str, word: &Word) {
        self.says_by(name, word, &self.keys[name]).await;
    }

    async fn says_by(&self, name: &str, word: &Word, by: &Key) {
        let text = word.encode();
        let signature = by.sign(&Word::signed_bytes(&text)).expect("signed");
        let signed = SignedWord {
            word: text,
            signer: STANDARD.encode(by.public().as_der()),
            signature: STANDARD.encode(signature),
        };
        let row = EntryRow {
            position: 0,
            site: site(name),
            stream: Stream::Receipt,
            key: word.key().into(),
            at: Timestamp::from_millis(0),
            entry: signed.encode().into(),
        };
        put(&self.store, vec![Op::EntryTake(row)]).await;
    }

    /// What was leased to a site, by its orders.
    async fn leased(&self, name: &str) -> Vec<Lease> {
        let rows = self.store.order_open(site(name), 0, 100).await.expect("reads");
        let lease = |row: &OrderRow| match Order::decode(&row.body).expect("an order").act {
            Act::Lease(signed) => Lease::decode(&signed.lease).expect("a lease"),
            other => panic!("{other:?}"),
        };
        rows.iter().map(lease).collect()
    }
}

fn granted(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|it| it.granted.as_str()).collect()
}

/// Mutation: write the order without the ledger, or the ledger without how far was looked; keep in memory what
/// could not be written.
#[tokio::test]
async fn what_is_asked_for_is_granted_once_over_every_crash() {
    let fleet = Fleet::new(&["plant-1", "plant-2"]).await;
    let hub = fleet.stage.hub(Arc::clone(&fleet.store) as Arc<dyn Store>, Vec::new()).await;
    fleet.says("plant-1", &fleet.word("plant-1", 1, "0EUR", None)).await;
    fleet.says("plant-2", &fleet.word("plant-2", 1, "0EUR", None)).await;
    fleet.stage.passing.store(0, Ordering::SeqCst);
    hub.leases_turn().await.expect_err("nothing can be written");
    *hub.0.leases.state.lock().await = None;
    assert!(fleet.leased("plant-1").await.is_empty());
    fleet.stage.passing.store(i64::MAX, Ordering::SeqCst);
    hub.leases_turn().await.expect("granted");
    let first = fleet.leased("plant-1").await;
    assert_eq!(granted(&first), ["0.00025 EUR"], "half of a half");
    assert_eq!(granted(&fleet.leased("plant-2").await), ["0.000187 EUR"]);
    // Killed, and what was said comes again.
    let again = fleet.stage.hub(Arc::clone(&fleet.store) as Arc<dyn Store>, Vec::new()).await;
    fleet.says("plant-1", &fleet.word("plant-1", 1, "0EUR", None)).await;
    again.leases_turn().await.expect("nothing to do");
    assert_eq!(fleet.leased("plant-1").await, first);
    let of = PurseId {
        holder: "namespace/sales".parse().expect("a holder"),
        period: Period::Total,
        window: None,
    };
    let held = again.leases_of(&(of, "EUR".parse().expect("three"))).await.expect("known");
    assert_eq!(held.iter().map(|it| it.leased().micros()).sum::<u128>(), 437);
}

/// Mutation: take a word for whoever has sent it, or that somebody else has signed.
#[tokio::test]
async fn only_a_sites_own_word_is_heard() {
    let fleet = Fleet::new(&["plant-1", "plant-2"]).await;
    let hub = fleet.stage.hub(Arc::clone(&fleet.store) as Arc<dyn Store>, Vec::new()).await;
    let word = fleet.word("plant-1", 1, "0.0009EUR", None);
    fleet.says_by("plant-1", &word, &key()).await;
    fleet.says("plant-2", &word).await;
    hub.leases_turn().await.expect("looked");
    assert!(fleet.leased("plant-1").await.is_empty() && fleet.leased("plant-2").await.is_empty());
    fleet.says("plant-1", &fleet.word("plant-1", 2, "0EUR", None)).await;
    hub.leases_turn().await.expect("granted");
    assert_eq!(granted(&fleet.leased("plant-1").await), ["0.00025 EUR"]);
}

/// Mutation: take what was leased in one currency for as much of another.
#[tokio::test]
async fn a_budget_that_is_set_again_is_in_the_currency_of_its_leases() {
    let fleet = Fleet::new(&["plant-1"]).await;
    let hub = fleet.stage.hub(Arc::clone(&fleet.store) as Arc<dyn Store>, Vec::new()).await;
    fleet.says("plant-1", &fleet.word("plant-1", 1, "0EUR", None)).await;
    hub.leases_turn().await.expect("granted");
    let of = |holder: &str, budget: &str| FleetBudget {
        holder: holder.parse().expect("a holder"),
        budget: budget.parse().expect("a budget"),
        sites: Sites::All,
    };
    for (holder, budget, expected) in [
        ("namespace/sales", "160JPY/total", true),
        ("namespace/sales", "2EUR/total", false),
        ("namespace/sales", "160JPY/day", false),
        ("namespace/labs", "160JPY/total", false),
    ] {
        let otherwise = hub.is_leased_otherwise(&of(holder, budget)).await.expect("reads");
        assert_eq!(otherwise, expected, "{holder} {budget}");
    }
}

/// Mutation: grant of one budget by the cap of the holder's other one.
#[tokio::test]
async fn each_budget_of_a_holder_has_its_own_cap() {
    let fleet = Fleet::new(&["plant-1"]).await;
    let daily = FleetBudget {
        holder: "namespace/sales".parse().expect("a holder"),
        budget: "9EUR/day".parse().expect("a budget"),
        sites: Sites::All,
    };
    put(&fleet.store, vec![Op::ResourcePut(daily.row(Timestamp::from_millis(0)))]).await;
    let hub = fleet.stage.hub(Arc::clone(&fleet.store) as Arc<dyn Store>, Vec::new()).await;
    for number in 1..9 {
        fleet.says("plant-1", &fleet.word("plant-1", number, "0EUR", None)).await;
        hub.leases_turn().await.expect("granted");
    }
    let leased = fleet.leased("plant-1").await;
    let all = granted(&leased);
    let most = all.iter().map(|it| it.parse::<Money>().expect("money").amount.micros()).max();
    assert!(most <= Some(1_000) && !all.is_empty(), "{all:?}");
}

/// Mutation: keep one book for all currencies, or take what nobody holds for leased.
#[tokio::test]
async fn a_site_that_speaks_of_the_currency_before_holds_nothing_up() {
    let fleet = Fleet::new(&["plant-1", "plant-2"]).await;
    let hub = fleet.stage.hub(Arc::clone(&fleet.store) as Arc<dyn Store>, Vec::new()).await;
    // It was away when the budget was set anew.
    let mut old = fleet.word("plant-2", 1, "0EUR", None);
    for amount in [&mut old.granted, &mut old.spent, &mut old.returned] {
        *amount = amount.replace("EUR", "JPY");
    }
    old.asks = old.asks.map(|it| it.replace("EUR", "JPY"));
    fleet.says("plant-2", &old).await;
    fleet.says("plant-1", &fleet.word("plant-1", 1, "0EUR", None)).await;
    hub.leases_turn().await.expect("granted");
    assert_eq!(granted(&fleet.leased("plant-1").await), ["0.00025 EUR"]);
    let yen = FleetBudget {
        holder: "namespace/sales".parse().expect("a holder"),
        budget: "2EUR/total".parse().expect("a budget"),
        sites: Sites::All,
    };
    assert!(!hub.is_leased_otherwise(&yen).await.expect("reads"), "nothing is leased in yen");
    fleet.says("plant-2", &fleet.word("plant-2", 2, "0EUR", None)).await;
    hub.leases_turn().await.expect("granted");
    assert_eq!(granted(&fleet.leased("plant-2").await), ["0.000187 EUR"]);
}

/// Mutation: grant to a life of a site that is over, or forget what it holds.
#[tokio::test]
async fn what_a_life_that_is_over_holds_counts_as_spent() {
    let mut fleet = Fleet::new(&["plant-1"]).await;
    let hub = fleet.stage.hub(Arc::clone(&fleet.store) as Arc<dyn Store>, Vec::new()).await;
    fleet.says("plant-1", &fleet.word("plant-1", 1, "0EUR", None)).await;
    hub.leases_turn().await.expect("granted");
    let old = fleet.word("plant-1", 2, "0.0005EUR", None);
    fleet.lives.insert("plant-1".to_owned(), fleet.stage.life());
    fleet.comes("plant-1", None).await;
    fleet.says("plant-1", &old).await;
    fleet.says("plant-1", &fleet.word("plant-1", 1, "0EUR", None)).await;
    hub.leases_turn().await.expect("granted");
    let leases = fleet.leased("plant-1").await;
    assert_eq!(granted(&leases), ["0.0005 EUR", "0.00025 EUR"], "half of the rest");
    assert_eq!(leases[1].purse.life, fleet.lives["plant-1"]);
    let of = PurseId {
        holder: "namespace/sales".parse().expect("a holder"),
        period: Period::Total,
        window: None,
    };
    let of = (of, "EUR".parse().expect("three"));
    let mut held = hub.leases_of(&of).await.expect("known");
    held.sort_by_key(|it| !it.is_gone);
    assert!(held[0].is_gone && held[0].spent().micros() == 500 && held[0].leased() == Amount::ZERO);
    assert!(!held[1].is_gone && held[1].leased().micros() == 250);
}

/// Mutation: have a hub that was set back grant before its sites have told it what they hold, or believe its own
/// smaller sum.
#[tokio::test]
async fn a_hub_that_was_set_back_waits_for_what_its_sites_hold() {
    let mut fleet = Fleet::new(&["plant-1", "plant-2"]).await;
    let store = Arc::clone(&fleet.store) as Arc<dyn Store>;
    let hub = fleet.stage.hub(Arc::clone(&store), Vec::new()).await;
    fleet.says("plant-1", &fleet.word("plant-1", 1, "0EUR", None)).await;
    hub.leases_turn().await.expect("granted");
    // In the life that is lost, it was granted more.
    let back = fleet.stage.hub(Arc::clone(&store), vec![fleet.stage.life()]).await;
    let life = store.incarnation();
    fleet.comes("plant-1", Some(life)).await;
    fleet.comes("plant-2", Some(life)).await;
    fleet.says("plant-2", &fleet.word("plant-2", 1, "0EUR", Some(life))).await;
    back.leases_turn().await.expect("looked");
    assert!(fleet.leased("plant-2").await.is_empty(), "the other one has not told");
    let told = Word { asks: None, ..fleet.word("plant-1", 7, "0.0008EUR", Some(life)) };
    fleet.says("plant-1", &told).await;
    back.leases_turn().await.expect("looked");
    assert!(fleet.leased("plant-2").await.is_empty(), "others may have joined, or were revoked");
    assert!(
        back.budget_list(&server::Roles::everywhere(wire::Role::Admin)).await.expect("listed")[0]
            .is_waiting
    );
    let by = By { actor: "key:ada".to_owned(), reason: None };
    back.0.recovery.end(&by).await.expect("answered for");
    back.leases_turn().await.expect("granted");
    assert_eq!(
        granted(&fleet.leased("plant-2").await),
        ["0.00005 EUR"],
        "half of a half of what is left"
    );
    // It stays so over a start.
    let again = fleet.stage.hub(Arc::clone(&store), vec![fleet.stage.life()]).await;
    assert_eq!(again.0.recovery.lost_until().await, None);
}

/// Mutation: hold up windows that began after what was lost, or let those go that were near then.
#[test]
fn windows_that_began_after_a_restore_are_leased() {
    let at = |text: &str| Timestamp::parse(text).expect("a time");
    let restored = Some(at("2026-11-22T12:00:00Z"));
    let day = |window: Option<&str>| PurseId {
        holder: "namespace/sales".parse().expect("a holder"),
        period: if window.is_some() { Period::Day } else { Period::Total },
        window: window.map(at),
    };
    let next = day(Some("2026-11-23T00:00:00Z"));
    assert!(is_lost(&day(Some("2026-11-22T00:00:00Z")), restored) && is_lost(&day(None), restored));
    assert!(!is_lost(&next, restored) && !is_lost(&day(None), None));
    assert!(is_lost(&next, Some(at("2026-11-22T23:00:00Z"))), "it was leased already");
    assert!(
        is_due(&next, at("2026-11-22T23:00:00Z")) && !is_due(&next, at("2026-11-22T22:59:59Z"))
    );
}
