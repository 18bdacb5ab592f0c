//! Price sheets: which one holds, and what is refused.

use pricing::{Class, CostError, PriceError, Service, Sheet, Span, Totals, Usage};

use crate::{offer, price, sheet, standard};

fn usage(totals: Totals) -> Usage {
    Usage::of(&totals).expect("sane")
}

fn pico(sheets: Vec<Sheet>, totals: Totals) -> Result<u128, CostError> {
    price(sheets).cost(&usage(totals)).map(|cost| cost.amount.pico())
}

/// Mutation: let a tier hold from its bound on, or bill a whole call's tier for the part above.
#[test]
fn a_tier_holds_above_its_bound() {
    let tier = |span| sheet(Service::Standard, 100, span, &[(Class::Input, 5)]);
    let base = || standard(&[(Class::Input, 3), (Class::Output, 7)]);
    let cost = |span, input| {
        pico(vec![base(), tier(span)], Totals { input, output: 1, ..Totals::default() })
    };
    assert_eq!(cost(Span::Whole, 100), Ok(307));
    assert_eq!(cost(Span::Whole, 101), Ok(505 + 7));
    assert_eq!(cost(Span::Part, 100), Ok(307));
    assert_eq!(cost(Span::Part, 101), Ok(300 + 5 + 7));
}

/// Mutation: name the last tier for all lines of a bill.
#[test]
fn a_line_names_the_sheet_that_prices_it() {
    let tier = sheet(Service::Standard, 100, Span::Part, &[(Class::Input, 5)]);
    let both = price(vec![standard(&[(Class::Input, 3), (Class::Output, 7)]), tier]);
    let bill = both.bill(&usage(Totals { input: 101, output: 1, ..Totals::default() }));
    let lines = bill.expect("a bill").into_iter().map(|it| (it.class, it.above, it.count));
    let expected = [(Class::Output, 0, 1), (Class::Input, 0, 100), (Class::Input, 100, 1)];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

/// Mutation: bill a dear service at the standard price, or a cheap one below it where it has no tier.
#[test]
fn a_service_without_its_own_price_is_never_billed_too_low() {
    let sheets = || {
        vec![
            standard(&[(Class::Input, 10)]),
            sheet(Service::Standard, 100, Span::Whole, &[(Class::Input, 20)]),
            sheet(Service::Batch, 0, Span::Whole, &[(Class::Input, 5)]),
            sheet(Service::Priority, 0, Span::Whole, &[(Class::Input, 30)]),
        ]
    };
    let cost = |service, input| pico(sheets(), Totals { input, service, ..Totals::default() });
    let none = |service| Err(CostError::NoPrice { service });
    assert_eq!(cost(Service::Batch, 10), Ok(50));
    assert_eq!(cost(Service::Batch, 200), Ok(4_000));
    assert_eq!(cost(Service::Flex, 10), Ok(100));
    assert_eq!(cost(Service::Priority, 10), Ok(300));
    assert_eq!(cost(Service::Priority, 200), none(Service::Priority));
    assert_eq!(cost(Service::Other, 10), none(Service::Other));
}

/// Mutation: let a class without a price be free, or writing to the cache cheap where a row forgets it.
#[test]
fn a_class_without_a_price_costs_what_the_wider_one_does() {
    let written = Totals { input: 1, cache_write_1h: 1, ..Totals::default() };
    assert_eq!(pico(vec![standard(&[(Class::Input, 4)])], written), Ok(4));
    let base = standard(&[(Class::Input, 4), (Class::CacheWrite5m, 5), (Class::CacheRead, 1)]);
    assert_eq!(pico(vec![base.clone()], written), Ok(5));
    let batch = sheet(Service::Batch, 0, Span::Whole, &[(Class::Input, 2)]);
    let cost = |totals: Totals| {
        pico(vec![base.clone(), batch.clone()], Totals { service: Service::Batch, ..totals })
    };
    assert_eq!(cost(written), Ok(5));
    assert_eq!(cost(Totals { input: 1, cache_read: 1, ..Totals::default() }), Ok(2));
    let thought = Totals { output: 1, reasoning: 1, ..Totals::default() };
    assert_eq!(pico(vec![standard(&[(Class::Output, 9)])], thought), Ok(9));
}

/// Mutation: drop a check of `Price::new`.
#[test]
fn sheets_that_contradict_themselves_are_refused() {
    let refused = |sheets| pricing::Price::new(offer(), sheets).expect_err("refused");
    let base = || standard(&[(Class::Input, 3)]);
    let at = |above, span| sheet(Service::Standard, above, span, &[(Class::Input, 3)]);
    assert_eq!(refused(vec![]), PriceError::NoBase);
    assert_eq!(refused(vec![standard(&[])]), PriceError::NoBase);
    assert_eq!(refused(vec![at(5, Span::Whole)]), PriceError::NoBase);
    let batch = |above| sheet(Service::Batch, above, Span::Whole, &[(Class::Input, 1)]);
    assert_eq!(refused(vec![batch(0)]), PriceError::NoBase);
    assert_eq!(refused(vec![base(), batch(5)]), PriceError::NoBase);
    let twice = PriceError::Twice { service: Service::Standard, above: 0 };
    assert_eq!(refused(vec![base(), base()]), twice);
    let mixed = vec![base(), at(5, Span::Whole), at(9, Span::Part)];
    assert_eq!(refused(mixed), PriceError::Mixed { service: Service::Standard });
    let part = sheet(Service::Standard, 5, Span::Part, &[(Class::Output, 3)]);
    assert_eq!(refused(vec![base(), part]), PriceError::Part { column: "output" });
    let dear = standard(&[(Class::Output, 1_000_000_000_000_000_001)]);
    assert_eq!(refused(vec![dear]), PriceError::TooDear { column: "output" });
    let many = (0..65).map(|above| at(above, Span::Whole)).collect();
    assert_eq!(refused(many), PriceError::TooMany);
    let other = sheet(Service::Other, 0, Span::Whole, &[(Class::Input, 1)]);
    assert_eq!(refused(vec![base(), other]), PriceError::Service);
}

/// Mutation: keep sums in 64 bits.
#[test]
fn the_largest_bill_is_exact() {
    let rates = Class::ALL.map(|class| (class, 1_000_000_000_000_000_000));
    let most = pricing::UNITS_MAX;
    let all =
        Totals { input: most, output: most, images: most, searches: most, ..Totals::default() };
    let all = Totals { requests: most, milliseconds: most, ..all };
    assert_eq!(pico(vec![standard(&rates)], all), Ok(6 * u128::from(most) * 10_u128.pow(18)));
}
