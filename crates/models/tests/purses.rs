//! Purses among the budgets of a site.

use base::{CallId, Timestamp};
use models::{Books, Exchange, Holder, Line, Missing, Purse, PurseId, Refused};
use pricing::{Amount, Budget, Money, Period};

fn call(n: u128) -> CallId {
    CallId::from_uuid(uuid::Uuid::from_u128(n))
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

fn sales() -> Holder {
    "namespace/sales".parse().expect("a holder")
}

fn day() -> Budget {
    "1EUR/day".parse().expect("a budget")
}

fn id(window: &str) -> PurseId {
    PurseId { holder: sales(), period: Period::Day, window: Some(at(window)) }
}

fn cost(micros: u64) -> Money {
    Amount::from_micros(micros).of("EUR".parse().expect("a currency"))
}

fn granted(micros: u64) -> Purse {
    let mut purse = Purse::default();
    purse.take(Amount::from_micros(micros), 0, false);
    purse
}

const MONDAY: &str = "2026-11-23T00:00:00Z";
const TUESDAY: &str = "2026-11-24T00:00:00Z";
const LATE: &str = "2026-11-23T23:59:59Z";

fn reserve(books: &mut Books, n: u128, micros: u64, now: &str) -> Result<Vec<Line>, Box<Refused>> {
    let exchange = Exchange::default();
    books.reserve(call(n), &[sales()], &Ok(cost(micros).into()), &exchange, at(now))
}

fn missing(refused: Result<Vec<Line>, Box<Refused>>) -> Missing {
    match *refused.expect_err("there is no room") {
        Refused::Leased { missing, .. } => missing,
        other => panic!("{other}"),
    }
}

/// Mutation: let a call through where nothing is leased, spend the cap of the fleet, ask for more with each call,
/// or where the hub is away.
#[test]
fn a_site_spends_what_it_was_leased_and_not_what_the_fleet_has() {
    let mut books = Books::default();
    reserve(&mut books, 1, 10, LATE).expect("nobody has a budget");
    books.purses().set(&[(sales(), day())]);
    assert_eq!(missing(reserve(&mut books, 2, 10, LATE)), Missing::Asked);
    assert!(books.purses().takes_low());
    books.purses().put(&id(MONDAY), day(), granted(100));
    let held = reserve(&mut books, 3, 60, LATE).expect("there is room");
    assert_eq!(held[0].holder.to_text(), "fleet/namespace/sales");
    assert!(books.purses().takes_low(), "more than half is used");
    assert_eq!(missing(reserve(&mut books, 4, 41, LATE)), Missing::Asked);
    books.settle(call(3), &[cost(20)], &Exchange::default()).expect("one currency");
    reserve(&mut books, 5, 80, LATE).expect("what it did not cost is back");
    books.purses().away_set(Some(at(MONDAY)));
    books.purses().takes_low();
    assert_eq!(missing(reserve(&mut books, 6, 1, LATE)), Missing::Away(at(MONDAY)));
    assert!(!books.purses().takes_low());
    books.purses().set(&[]);
    reserve(&mut books, 7, 1_000, LATE).expect("it falls under no budget any more");
}

/// Mutation: charge a call to the window that it ends in, or let it go on beyond the purse that it began in.
#[test]
fn a_call_stays_in_the_window_that_it_began_in() {
    let mut books = Books::default();
    books.purses().set(&[(sales(), day())]);
    books.purses().put(&id(MONDAY), day(), granted(100));
    books.purses().put(&id(TUESDAY), day(), granted(50));
    reserve(&mut books, 1, 70, LATE).expect("there is room");
    reserve(&mut books, 2, 50, "2026-11-24T00:00:01Z").expect("of the next day");
    let needs = |books: &mut Books, micros| {
        books.extend(call(1), &cost(micros).into(), &Exchange::default())
    };
    needs(&mut books, 101).expect_err("Monday has thirty left");
    needs(&mut books, 100).expect("there is room");
    books.settle(call(1), &[cost(90)], &Exchange::default()).expect("one currency");
    let purse =
        |books: &mut Books, window| *books.purses().purse(&id(window)).expect("it is there");
    assert_eq!(purse(&mut books, MONDAY).free(), Amount::from_micros(10));
    assert_eq!(purse(&mut books, MONDAY).held, Amount::ZERO);
    assert_eq!(purse(&mut books, TUESDAY).held, Amount::from_micros(50));
}
