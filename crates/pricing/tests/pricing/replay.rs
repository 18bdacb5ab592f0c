//! Bills agree with those of a program that shares nothing with this one (`replay/replay.py`).

use std::collections::BTreeMap;

use base::Timestamp;
use pricing::{Amount, Catalogue, Class, Currency, Dialect, Money, Rate, read};
use serde_json::Value;

const CALLS: &str = include_str!("replay/calls.jsonl");

fn catalogue() -> Catalogue {
    let (models, prices) = (include_str!("replay/models.csv"), include_str!("replay/prices.csv"));
    Catalogue::read(models, prices).expect("the tables of the corpus")
}

fn field<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().expect(name)
}

fn billed(catalogue: &Catalogue, row: &Value) -> Money {
    let dialect = match field(row, "dialect") {
        "openai" => Dialect::OpenAi,
        "messages" => Dialect::Messages,
        "embeddings" => Dialect::Embeddings,
        other => panic!("{other}"),
    };
    let body = row["body"].to_string();
    let usage = read(dialect, body.as_bytes()).expect("a report");
    let usage =
        usage.unwrap_or_else(|| pricing::Usage::of(&pricing::Totals::default()).expect("nothing"));
    let count = |name: &str| row[name].as_u64().expect(name);
    let usage = usage.with(Class::Image, count("images")).expect("images");
    let usage = usage.with(Class::Millisecond, count("milliseconds")).expect("time");
    let price = catalogue.price("test", field(row, "model"), None, Timestamp::from_millis(0));
    let price = price.expect("a price");
    let lines = price.bill(&usage).expect("a bill");
    let sum = lines.iter().try_fold(Amount::ZERO, |sum, line| sum.plus(line.amount));
    let cost = price.cost(&usage).expect("a cost");
    assert_eq!(sum, Ok(cost.amount), "{row}");
    cost
}

/// Mutation: round a cost, bill reasoning as output, a cached token twice, a batch at the standard
/// price, all of a graded call at its last tier, or a tier from its bound on instead of above it.
#[test]
fn every_bill_equals_the_independent_one() {
    let catalogue = catalogue();
    let mut sums: BTreeMap<Currency, Money> = BTreeMap::new();
    let mut count = 0;
    for line in CALLS.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        if row.get("totals").is_some() {
            check_totals(&row, &sums);
            continue;
        }
        let cost = billed(&catalogue, &row);
        let expected: Money =
            format!("{} {}", field(&row, "cost"), field(&row, "currency")).parse().expect("money");
        assert_eq!(cost, expected, "{row}");
        assert_eq!(cost.amount.micros(), u128::from(row["micros"].as_u64().expect("micros")));
        let sum = sums.get(&cost.currency).copied().map_or(Ok(cost), |sum| sum.plus(cost));
        sums.insert(cost.currency, sum.expect("a sum"));
        count += 1;
    }
    assert_eq!(count, 900);
}

fn check_totals(row: &Value, sums: &BTreeMap<Currency, Money>) {
    for (currency, sum) in sums {
        let expected = field(&row["totals"], currency.as_str());
        assert_eq!(format!("{expected} {currency}").parse(), Ok(*sum));
    }
    let rate: Rate = field(row, "rate").parse().expect("a rate");
    let all = rate.convert(sums[&Currency::EUR]).expect("a sum").plus(sums[&Currency::USD]);
    assert_eq!(format!("{} USD", field(row, "all")).parse(), all);
}
