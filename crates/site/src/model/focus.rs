//! What calls have cost as a table of FOCUS. Its columns are in `pricing`; which sums become which rows is
//! here.

use std::collections::BTreeMap;

use base::{Duration, Namespace, Timestamp};
use bytes::Bytes;
use models::{Group, Operation, Part, Sum, Used};
use pricing::focus::{self, Charge, FocusError, Record, Row, Work};
use pricing::{Amount, Class, Money};

use super::book::Book;

/// Sums that are read at once: the record of calls stands still meanwhile.
const SUMS_READ: usize = 500;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A table piece by piece, oldest first.
pub(crate) struct Table<F> {
    book: Book,
    site: String,
    since: Timestamp,
    until: Option<Timestamp>,
    may_see: F,
    at: At,
}

enum At {
    Begin,
    /// Behind this sum, where sums were put together so often.
    Behind(Box<Group>, u64),
    End,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error("sums were put together while they were read: ask again")]
    Coarsened,
    #[error(transparent)]
    Focus(#[from] FocusError),
}

impl<F: Fn(&Namespace) -> bool> Table<F> {
    /// Of the namespaces that `may_see` lets through.
    pub(crate) const fn new(
        book: Book,
        site: String,
        since: Timestamp,
        until: Option<Timestamp>,
        may_see: F,
    ) -> Self {
        Self { book, site, since, until, may_see, at: At::Begin }
    }

    fn piece(&mut self) -> Result<Option<Bytes>, TableError> {
        let is_first = matches!(self.at, At::Begin);
        let (sums, coarsened) = match &self.at {
            At::Begin => self.book.tally(|tally| {
                let sums = taken(tally.sums(self.since).take(SUMS_READ));
                (sums, tally.coarsened())
            }),
            At::Behind(after, coarsened) => {
                let (sums, now) = self.book.tally(|tally| {
                    (taken(tally.sums_after(after).take(SUMS_READ)), tally.coarsened())
                });
                if now != *coarsened {
                    return Err(TableError::Coarsened);
                }
                (sums, now)
            }
            At::End => return Ok(None),
        };
        let is_over = |group: &Group| self.until.is_some_and(|until| group.hour >= until);
        self.at = match sums.last() {
            Some((last, _)) if sums.len() == SUMS_READ && !is_over(last) => {
                At::Behind(Box::new(last.clone()), coarsened)
            }
            _ => At::End,
        };
        let seen = sums.iter().filter(|(group, _)| (self.may_see)(&group.namespace));
        let mut rows = Vec::new();
        for (group, sum) in seen.filter(|(group, _)| !is_over(group)) {
            self::rows(&self.site, group, sum, &mut rows)?;
        }
        let mut text = Vec::new();
        focus::write(&rows, is_first, &mut text)?;
        Ok(Some(text.into()))
    }
}

impl<F: Fn(&Namespace) -> bool> Iterator for Table<F> {
    type Item = Result<Bytes, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.piece() {
                // Sums of namespaces that are not seen: an empty piece would end the answer.
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(piece) => return piece.map(Ok),
                Err(error) => {
                    tracing::warn!(%error, "a table of costs was broken off");
                    self.at = At::End;
                    return Some(Err(error));
                }
            }
        }
    }
}

fn taken<'a>(sums: impl Iterator<Item = (&'a Group, &'a Sum)>) -> Vec<(Group, Sum)> {
    sums.map(|(group, sum)| (group.clone(), sum.clone())).collect()
}

/// All that a sum is made of: its parts, then what has none. Together they cost what the sum does.
fn rows(site: &str, group: &Group, sum: &Sum, rows: &mut Vec<Row>) -> Result<(), FocusError> {
    // Calls for which no model was paid.
    let Some(model) = &group.model else { return Ok(()) };
    let mut tags = BTreeMap::from([("operation".to_owned(), group.operation.as_str().to_owned())]);
    tags.extend(group.key.as_ref().map(|key| ("key".to_owned(), key.to_string())));
    tags.extend(group.workflow.clone().map(|name| ("workflow".to_owned(), name)));
    let record = Record {
        site,
        namespace: group.namespace.as_str(),
        workflow: group.workflow.as_deref(),
        key: group.key.as_ref().map(base::KeyName::as_str),
        account: site,
        owner: site,
        model: model.as_str(),
        work: work(group.operation),
        start: group.hour,
        end: group.hour.plus(if sum.is_day { DAY } else { HOUR }),
        tags: &tags,
    };
    let mut put = |charge: Charge<'_>| -> Result<(), FocusError> {
        rows.push(focus::row(&record, &charge)?);
        Ok(())
    };
    for part in &sum.parts {
        let Part { price, class, service, above, count, cost } = part;
        let (class, service, above, count, cost) = (*class, *service, *above, *count, *cost);
        put(Charge::Priced { price, class, service, above, count, cost })?;
    }
    for cost in &sum.at_bound {
        put(Charge::AtBound(*cost))?;
    }
    for cost in rest(sum) {
        put(Charge::Whole(cost))?;
    }
    for (class, count) in counts(&sum.free) {
        put(Charge::Free { class, count })?;
    }
    for (class, count) in unpriced(sum) {
        put(Charge::Unpriced { class, count })?;
    }
    Ok(())
}

/// What of the cost is in no part, and not at a bound: of calls of an older binary.
fn rest(sum: &Sum) -> impl Iterator<Item = Money> {
    let of = |money: &Money, all: &[Money]| {
        let same = all.iter().filter(|it| it.currency == money.currency);
        same.fold(Amount::ZERO, |sum, it| sum.plus(it.amount).unwrap_or(sum))
    };
    let parts: Vec<Money> = sum.parts.iter().map(|part| part.cost).collect();
    sum.cost.iter().filter_map(move |cost| {
        let known = of(cost, &parts).plus(of(cost, &sum.at_bound)).ok()?;
        let rest = cost.amount.minus(known).ok()?;
        (rest > Amount::ZERO).then(|| rest.of(cost.currency))
    })
}

/// What was used and is in no part, nor free.
fn unpriced(sum: &Sum) -> impl Iterator<Item = (Class, u64)> + use<> {
    let priced = |classes: &[Class]| -> u64 {
        let parts = sum.parts.iter().filter(|part| classes.contains(&part.class));
        parts.map(|part| part.count).sum()
    };
    let (used, free) = (&sum.used, &sum.free);
    let rest = |all: u64, free: u64, classes: &[Class]| {
        all.saturating_sub(free).saturating_sub(priced(classes))
    };
    counts(&Used {
        input: rest(used.input, free.input, &Class::INPUT),
        cached: rest(used.cached, free.cached, &[Class::CacheRead]),
        output: rest(used.output, free.output, &Class::OUTPUT),
        reasoning: rest(used.reasoning, free.reasoning, &[Class::Reasoning]),
        images: rest(used.images, free.images, &[Class::Image]),
        millis: rest(used.millis, free.millis, &[Class::Millisecond]),
    })
}

/// Each unit in one class.
fn counts(used: &Used) -> impl Iterator<Item = (Class, u64)> + use<> {
    let Used { input, cached, output, reasoning, images, millis } = *used;
    let counts = [
        (Class::CacheRead, cached),
        (Class::Input, input.saturating_sub(cached)),
        (Class::Output, output.saturating_sub(reasoning)),
        (Class::Reasoning, reasoning),
        (Class::Image, images),
        (Class::Millisecond, millis),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0)
}

const fn work(operation: Operation) -> Work {
    match operation {
        Operation::Chat | Operation::Completions | Operation::Responses | Operation::Messages => {
            Work::Words
        }
        Operation::Embeddings => Work::Embeddings,
        Operation::Infer => Work::Tensors,
    }
}

#[cfg(test)]
mod tests {
    use base::{CallId, KeyName};
    use models::{
        Admitted, Bill, By, ENTRY_VERSION, End, Entry, Hidden, ModelName, Settled, Tally,
    };
    use pricing::{Catalogue, Dialect, Usage, read};
    use serde_json::Value;

    use super::*;

    /// The corpus of bills that an independent program has reckoned as well.
    const CALLS: &str = include_str!("../../../pricing/tests/pricing/replay/calls.jsonl");
    const MODELS: &str = include_str!("../../../pricing/tests/pricing/replay/models.csv");
    const PRICES: &str = include_str!("../../../pricing/tests/pricing/replay/prices.csv");

    fn used(row: &Value) -> Option<Usage> {
        let dialect = match row["dialect"].as_str().expect("a dialect") {
            "openai" => Dialect::OpenAi,
            "messages" => Dialect::Messages,
            "embeddings" => Dialect::Embeddings,
            other => panic!("{other}"),
        };
        let usage = read(dialect, row["body"].to_string().as_bytes()).expect("a report")?;
        let count = |name: &str| row[name].as_u64().expect(name);
        let usage = usage.with(Class::Image, count("images")).expect("images");
        Some(usage.with(Class::Millisecond, count("milliseconds")).expect("time"))
    }

    /// Writes a call down, as the desk does and as a page keeps it.
    fn book(tally: &mut Tally, at: i64, key: &str, bill: Bill) {
        let number = tally.through() + 1;
        let at = Timestamp::from_millis(1_800_000_000_000 + at * 60_000);
        let call = CallId::from_uuid(uuid::Uuid::from_u128(number.into()));
        let namespace = Namespace::parse("sales").expect("a name");
        let key = Some(KeyName::parse(key).expect("a name"));
        let admitted = Entry::Admitted(Admitted {
            v: ENTRY_VERSION,
            call,
            at,
            who: By { namespace, key, workflow: None, run: None },
            operation: Operation::Chat,
            asked: bill.model.clone(),
            plan: vec![bill.model.clone()],
            streamed: false,
            held: Vec::new(),
            bound: None,
            effect: None,
            trace: None,
            needs: models::Needs::default(),
            watched: None,
        });
        let settled = Entry::Settled(Settled {
            v: ENTRY_VERSION,
            call,
            at,
            end: End::Answered,
            legs: Vec::new(),
            bills: vec![bill],
            charged: Vec::new(),
            degraded: false,
            micros: 1,
            own_micros: 1,
            first_micros: None,
            repeated_by: None,
            hidden: Hidden::new(),
            cached_from: None,
            resort: None,
            person: None,
        });
        for (number, entry) in (number..).zip([admitted, settled]) {
            let entry = serde_json::from_slice(&entry.line()).expect("an entry");
            tally.apply(number, entry);
        }
    }

    /// The corpus, with calls among it whose usage or price nobody knows, and of an older binary.
    fn tally() -> Tally {
        let catalogue = Catalogue::read(MODELS, PRICES).expect("the tables of the corpus");
        let mut tally = Tally::default();
        let rows = CALLS.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row"));
        for (at, row) in rows.filter(|row| row.get("totals").is_none()).enumerate() {
            let at = i64::try_from(at).expect("few");
            let name = row["model"].as_str().expect("a model");
            let price = catalogue.price("test", name, None, Timestamp::from_millis(0));
            let (model, usage) = (ModelName::parse(name).expect("a name"), used(&row));
            let bound = price.map(|price| Amount::from_micros(70).of(price.offer.currency));
            let key = ["bot", "shop", "desk"][at as usize % 3];
            let price = price.map(AsRef::as_ref).filter(|_| at % 11 != 0);
            let usage = usage.as_ref().filter(|_| at % 7 != 0);
            let bill = Bill::of(model, usage, price, bound.filter(|_| at % 11 != 0));
            let bill = Bill { is_free: at % 22 == 0, ..bill };
            let older = Bill { lines: Vec::new(), price: None, ..bill.clone() };
            book(&mut tally, at, key, if at % 5 == 0 { older } else { bill });
        }
        tally
    }

    fn table(tally: &Tally) -> Vec<Row> {
        let mut rows = Vec::new();
        for (group, sum) in tally.sums(Timestamp::from_millis(0)) {
            super::rows("plant-1", group, sum, &mut rows).expect("rows");
        }
        rows
    }

    fn costs(rows: &[Row]) -> BTreeMap<String, u128> {
        let mut costs = BTreeMap::new();
        for row in rows {
            let cost = Amount::parse(&row.billed_cost).expect("an amount").pico();
            *costs.entry(row.billing_currency.clone()).or_default() += cost;
        }
        costs.retain(|_, cost| *cost > 0);
        costs
    }

    /// Mutation: leave out the costs at a bound, those of an older binary, or one of the parts; count one twice; or say
    /// of what is free that it has no price, or of both that they are free.
    #[test]
    fn the_rows_cost_what_the_sums_do_and_count_what_was_used() {
        let tally = tally();
        let mut all = Sum::default();
        tally.sums(Timestamp::from_millis(0)).for_each(|(_, sum)| all.add(sum));
        assert!(all.calls == 900 && !all.at_bound.is_empty() && all.unpriced > 0, "{all:?}");
        let rows = table(&tally);
        let expected: BTreeMap<String, u128> =
            all.cost.iter().map(|it| (it.currency.to_string(), it.amount.pico())).collect();
        assert_eq!(costs(&rows), expected);
        let tokens = |meter: &str| -> u64 {
            let of = rows.iter().filter(|row| row.consumed_unit == "Tokens");
            let of = of.filter(|row| row.sku_meter.starts_with(meter));
            of.map(|row| row.consumed_quantity.parse::<u64>().expect("a count")).sum()
        };
        assert_eq!((tokens("Input"), tokens("Output")), (all.used.input, all.used.output));
        for row in &rows {
            let number = |text: &str| Amount::parse(text).expect(text).pico();
            let product = number(&row.list_unit_price) * number(&row.pricing_quantity);
            assert_eq!(product, number(&row.list_cost) * 10_u128.pow(12), "{row:?}");
        }
        let at_no_cost = |id: &str| -> u64 {
            let of = rows.iter().filter(|row| row.sku_price_id.ends_with(id));
            let of = of.filter(|row| row.consumed_unit == "Tokens");
            let of = of.inspect(|row| assert_eq!(row.billed_cost, "0", "{row:?}"));
            of.map(|row| row.consumed_quantity.parse::<u64>().expect("a count")).sum()
        };
        assert_eq!(at_no_cost("/free"), all.free.input + all.free.output);
        assert!(at_no_cost("/free") > 0 && at_no_cost("/none") > 0);
        for kind in ["bound", "whole", "cache_read", "reasoning"] {
            assert!(rows.iter().any(|row| row.sku_id.ends_with(kind)), "{kind}");
        }
    }

    /// Mutation: lose what a cost is made of in a checkpoint.
    #[test]
    fn a_table_is_the_same_after_a_start() {
        let tally = tally();
        let text = serde_json::to_vec(&tally.checkpoint()).expect("JSON");
        let again = Tally::of(serde_json::from_slice(&text).expect("a checkpoint"));
        assert_eq!(table(&again), table(&tally));
    }
}
