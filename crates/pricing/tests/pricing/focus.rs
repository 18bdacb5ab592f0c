//! Rows for tools that show costs.

use std::collections::BTreeMap;

use base::{Digest, Timestamp};
use pricing::focus::{FocusError, Record, Row, rows, write};
use pricing::{Amount, Class, Kind, Price, Service, Totals, Usage};

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

/// Mandatory columns that may be null.
const NULLABLE: [&str; 2] = ["BillingAccountName", "ChargeClass"];

fn priced() -> Price {
    let rates = [(Class::Input, 150_000), (Class::Output, 600_000), (Class::Millisecond, 213_000)];
    price(vec![standard(&rates)])
}

fn with_rows<T>(
    change: impl FnOnce(&mut Record<'_>),
    then: impl FnOnce(Result<Vec<Row>, FocusError>) -> T,
) -> T {
    let tags = BTreeMap::from([("team".to_owned(), "sales, \"north\"".to_owned())]);
    let totals = Totals {
        input: 1_001,
        output: 7,
        milliseconds: 1_500,
        service: Service::Standard,
        ..Totals::default()
    };
    let (price, usage) = (priced(), Usage::of(&totals).expect("sane"));
    let mut record = Record {
        call: "call-1",
        site: "plant-1",
        namespace: "sales",
        workflow: None,
        run: None,
        key: Some("shop"),
        account: "org-1",
        account_name: None,
        publisher: "Maker",
        invoice_issuer: "Seller",
        resource: None,
        start: Timestamp::parse("2026-11-30T23:59:59.900Z").expect("a time"),
        end: Timestamp::parse("2026-12-01T00:00:01.100Z").expect("a time"),
        tags: &tags,
        kind: Kind::Chat,
        price: &price,
        catalogue: Digest::of(b"catalogue"),
        usage: &usage,
    };
    change(&mut record);
    then(rows(&record))
}

fn table() -> (Vec<String>, Vec<BTreeMap<String, String>>) {
    let mut text = Vec::new();
    with_rows(|_| {}, |rows| write(&rows.expect("rows"), &mut text).expect("a table"));
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let header: Vec<String> =
        reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let rows = reader.deserialize().collect::<Result<_, _>>().expect("rows");
    (header, rows)
}

/// Mutation: leave a mandatory column out, empty one, or mix our own columns among the others.
#[test]
fn every_mandatory_column_is_there_and_filled() {
    let (header, rows) = table();
    let (focus, own): (Vec<&String>, Vec<&String>) =
        header.iter().partition(|name| !name.starts_with("x_"));
    assert!(focus.is_sorted(), "{focus:?}");
    assert!(own.is_sorted(), "{own:?}");
    assert!(header.iter().skip(focus.len()).all(|name| name.starts_with("x_")));
    assert_eq!(rows.len(), 3);
    for name in MANDATORY {
        assert!(header.iter().any(|column| column == name), "{name}");
        for row in &rows {
            assert_eq!(row[name].is_empty(), NULLABLE.contains(&name), "{name}");
        }
    }
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
        sum = sum.plus(Amount::from_pico(number("BilledCost"))).expect("a sum");
    }
    assert_eq!(sum.pico(), 1_001 * 150_000 + 7 * 600_000 + 1_500 * 213_000);
}

/// Mutation: let the charge end where it began, or fall into the month in which it ended.
#[test]
fn a_row_says_when_for_whom_and_what() {
    let (_, rows) = table();
    let row = &rows[0];
    let check = |column: &str, expected: &str| assert_eq!(row[column], expected, "{column}");
    check("ChargePeriodStart", "2026-11-30T23:59:59Z");
    check("ChargePeriodEnd", "2026-12-01T00:00:02Z");
    check("BillingPeriodStart", "2026-11-01T00:00:00Z");
    check("BillingPeriodEnd", "2026-12-01T00:00:00Z");
    check("ServiceCategory", "AI and Machine Learning");
    check("ServiceSubcategory", "Generative AI");
    check("SkuId", "test/m/input");
    check("SkuPriceId", "test/m/input/standard/0/*/*");
    check("ConsumedQuantity", "1001");
    check("ConsumedUnit", "Tokens");
    check("BilledCost", "0.00015015");
    check("Tags", r#"{"team":"sales, \"north\""}"#);
    check("SubAccountId", "sales");
    check("x_KeyName", "shop");
    check("RegionId", "");
    let time = &rows[2];
    assert_eq!(
        (time["ConsumedQuantity"].as_str(), time["PricingUnit"].as_str()),
        ("1.5", "Seconds")
    );
}

/// Mutation: write an empty text where the specification wants a name.
#[test]
fn a_record_without_an_account_is_refused() {
    let column = |change: fn(&mut Record<'_>)| {
        with_rows(change, |rows| match rows {
            Err(FocusError::Empty { column }) => column,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(column(|record| record.account = ""), "BillingAccountId");
    assert_eq!(column(|record| record.publisher = " "), "PublisherName");
    assert_eq!(column(|record| record.invoice_issuer = ""), "InvoiceIssuerName");
}
