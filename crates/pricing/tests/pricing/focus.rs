//! Rows for tools that show costs.

use std::collections::BTreeMap;

use base::{Digest, Timestamp};
use pricing::focus::{COLUMNS, Charge, FocusError, Record, Row, Work, row, write};
use pricing::{Amount, Class, OWN, Price, PriceName, Service, Totals, Usage};

use crate::{price, standard};

/// Those that FOCUS 1.2 wants in every dataset.
const MANDATORY: [&str; 21] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
];

/// Those of them that are null here.
const NULL: [&str; 1] = ["ChargeClass"];

fn priced() -> Price {
    let rates = [(Class::Input, 150_000), (Class::Output, 600_000), (Class::Millisecond, 213_000)];
    price(vec![standard(&rates)]).listed(Digest::of(b"catalogue"))
}

fn record(tags: &BTreeMap<String, String>) -> Record<'_> {
    Record {
        site: "plant-1",
        namespace: "sales",
        workflow: None,
        key: Some("shop"),
        account: "plant-1",
        owner: "plant-1",
        model: "small",
        work: Work::Words,
        start: Timestamp::parse("2026-11-30T23:00:00Z").expect("a time"),
        end: Timestamp::parse("2026-12-01T00:00:00Z").expect("a time"),
        tags,
    }
}

/// All that can be charged: by a price, without one, at a bound, and as a whole.
fn rows() -> Vec<Row> {
    let tags = BTreeMap::from([("team".to_owned(), "sales, \"north\"".to_owned())]);
    let totals = Totals { input: 1_001, output: 7, milliseconds: 1_500, ..Totals::default() };
    let (price, usage) = (priced(), Usage::of(&totals).expect("sane"));
    let lines = price.bill(&usage).expect("a bill");
    let mut charges: Vec<Charge<'_>> = lines
        .iter()
        .map(|line| Charge::Priced {
            price: price.name(),
            class: line.class,
            service: line.service,
            above: line.above,
            count: line.count,
            cost: line.amount.of(price.offer.currency),
        })
        .collect();
    charges.push(Charge::Unpriced { class: Class::Input, count: 12 });
    charges.push(Charge::AtBound("0.25EUR".parse().expect("money")));
    charges.push(Charge::Whole("0.000001USD".parse().expect("money")));
    charges.iter().map(|charge| row(&record(&tags), charge).expect("a row")).collect()
}

fn table() -> (Vec<String>, Vec<BTreeMap<String, String>>) {
    let (rows, mut text) = (rows(), Vec::new());
    // In two pieces, as long ones are written.
    write(&rows[..2], true, &mut text).expect("a table");
    write(&rows[2..], false, &mut text).expect("a table");
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let header: Vec<String> =
        reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let rows = reader.deserialize().collect::<Result<_, _>>().expect("rows");
    (header, rows)
}

/// Mutation: leave a mandatory column out, empty one, mix our own columns among the others, or let the names stand
/// in another order than the fields.
#[test]
fn every_mandatory_column_is_there_and_filled() {
    let (header, rows) = table();
    let (focus, own): (Vec<&String>, Vec<&String>) =
        header.iter().partition(|name| !name.starts_with("x_"));
    assert!(focus.is_sorted(), "{focus:?}");
    assert!(own.is_sorted(), "{own:?}");
    assert!(header.iter().skip(focus.len()).all(|name| name.starts_with("x_")));
    assert_eq!(rows.len(), 6);
    for name in MANDATORY {
        assert!(header.iter().any(|column| column == name), "{name}");
        for row in &rows {
            assert_eq!(row[name].is_empty(), NULL.contains(&name), "{name}");
        }
    }
    let mut text = Vec::new();
    let mut named = csv::Writer::from_writer(&mut text);
    named.serialize(&self::rows()[0]).expect("a row");
    drop(named);
    let text = String::from_utf8(text).expect("text");
    assert_eq!(text.lines().next().expect("names"), COLUMNS.join(","));
}

/// Mutation: round a cost, or price tokens by the million and count them one by one.
#[test]
fn price_times_quantity_is_the_cost() {
    let (_, rows) = table();
    let mut sum = Amount::ZERO;
    for row in &rows {
        let number = |name: &str| Amount::parse(&row[name]).expect(name).pico();
        let product = number("ListUnitPrice") * number("PricingQuantity");
        assert_eq!(product, number("ListCost") * 10_u128.pow(12), "{row:?}");
        for cost in ["BilledCost", "ContractedCost", "EffectiveCost"] {
            assert_eq!(row[cost], row["ListCost"]);
        }
        assert_eq!(row["ConsumedQuantity"], row["PricingQuantity"]);
        sum = sum.plus(Amount::from_pico(number("BilledCost"))).expect("a sum");
    }
    let lines = 1_001 * 150_000 + 7 * 600_000 + 1_500 * 213_000;
    assert_eq!(sum.pico(), lines + 250_000_000_000 + 1_000_000);
}

/// Mutation: let the charge fall into the month in which it ended, name the site as the provider of what another
/// one sells, or lose which price it was.
#[test]
fn a_row_says_when_for_whom_and_what() {
    let (_, rows) = table();
    let check = |at: usize, expected: &[(&str, &str)]| {
        for (column, text) in expected {
            assert_eq!(rows[at][*column], *text, "{column} of {at}");
        }
    };
    check(
        0,
        &[
            ("ChargePeriodStart", "2026-11-30T23:00:00Z"),
            ("ChargePeriodEnd", "2026-12-01T00:00:00Z"),
            ("BillingPeriodStart", "2026-11-01T00:00:00Z"),
            ("BillingPeriodEnd", "2026-12-01T00:00:00Z"),
            ("ServiceCategory", "AI and Machine Learning"),
            ("ServiceSubcategory", "Generative AI"),
            ("ServiceName", "m"),
            ("ProviderName", "test"),
            ("ResourceName", "small"),
            ("SkuId", "test/m/input"),
            ("SkuPriceId", "test/m/input/standard/0/*/*"),
            ("ConsumedQuantity", "1001"),
            ("ConsumedUnit", "Tokens"),
            ("BilledCost", "0.00015015"),
            ("Tags", r#"{"team":"sales, \"north\""}"#),
            ("SubAccountId", "sales"),
            ("x_KeyName", "shop"),
            ("x_PriceVersion", &Digest::of(b"catalogue").to_string()),
            ("RegionId", ""),
        ],
    );
    check(
        2,
        &[("ConsumedQuantity", "1.5"), ("PricingUnit", "Seconds"), ("ListUnitPrice", "0.000213")],
    );
    check(
        3,
        &[
            ("ProviderName", "plant-1"),
            ("ServiceName", "small"),
            ("BilledCost", "0"),
            ("BillingCurrency", "XXX"),
            ("ConsumedQuantity", "12"),
        ],
    );
    check(
        4,
        &[("BilledCost", "0.25"), ("BillingCurrency", "EUR"), ("SkuId", "plant-1/small/bound")],
    );
    check(5, &[("BilledCost", "0.000001"), ("SkuMeter", "Calls, Not Broken Down")]);
}

/// Mutation: name a provider of the site's own prices, of whom nobody has heard.
#[test]
fn what_is_priced_by_a_definition_is_the_sites_own() {
    let tags = BTreeMap::new();
    let (provider, model) = (OWN.to_owned(), "small".to_owned());
    let name = PriceName { provider, model, region: None, from: None, version: Digest::of(b"") };
    let cost = "0.5EUR".parse().expect("money");
    let (class, service) = (Class::Image, Service::Standard);
    let charge = Charge::Priced { price: &name, class, service, above: 0, count: 2, cost };
    let row = row(&record(&tags), &charge).expect("a row");
    let Row { provider_name, sku_id, list_unit_price, consumed_unit, .. } = row;
    assert_eq!((provider_name.as_str(), sku_id.as_str()), ("plant-1", "plant-1/small/image"));
    assert_eq!((list_unit_price.as_str(), consumed_unit.as_str()), ("0.25", "Images"));
}

/// Mutation: write an empty text where the specification wants a name.
#[test]
fn a_record_without_an_account_is_refused() {
    let tags = BTreeMap::new();
    let column = |change: fn(&mut Record<'_>)| {
        let mut record = record(&tags);
        change(&mut record);
        match row(&record, &Charge::Unpriced { class: Class::Input, count: 1 }) {
            Err(FocusError::Empty { column }) => column,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(column(|record| record.account = ""), "BillingAccountId");
    assert_eq!(column(|record| record.owner = " "), "PublisherName");
    assert_eq!(column(|record| record.namespace = ""), "SubAccountId");
}
