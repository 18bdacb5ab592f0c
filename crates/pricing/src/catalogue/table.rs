//! The two tables as text. A column that is not known is refused: it would be a price that nobody
//! charges.

use std::sync::Arc;

use base::Timestamp;
use csv::StringRecord;
use jiff::civil::Date;

use super::{Capability, Kind, Model};
use crate::budget::midnight;
use crate::class::{Class, PerClass};
use crate::decimal::{self, DecimalError, Exponent};
use crate::money::Amount;
use crate::price::{Offer, Price, PriceError, Sheet, Source, Span};
use crate::usage::Service;

pub(super) const MODELS: &str = "models";
pub(super) const PRICES: &str = "prices";

/// Every model of every provider is a few thousand rows of some hundred bytes.
pub const TABLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Of the name of an unknown column that an error repeats: whoever takes another file for a table gets no page
/// of it.
const NAME_CHARS_MAX: usize = 60;

const MODEL_COLUMNS: [&str; 12] = [
    "provider",
    "model",
    "aliases",
    "kind",
    "context_tokens",
    "output_tokens_max",
    "image_tokens_max",
    "capabilities",
    "retires",
    "source",
    "via",
    "dated",
];

const OFFER_COLUMNS: [&str; 7] =
    ["provider", "model", "region", "service", "above", "span", "currency"];
const END_COLUMNS: [&str; 5] = ["from", "to", "source", "via", "dated"];

/// Where in a catalogue something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}, line {line}: {problem}")]
pub struct CatalogueError {
    pub table: &'static str,
    /// 0 where it came from no text.
    pub line: u64,
    #[source]
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("not a row of this table: {0}")]
    Csv(String),
    #[error("a table has at most {TABLE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("there is no column `{0}`")]
    Column(String),
    #[error("the column `{column}` is missing")]
    NoColumn { column: &'static str },
    #[error("`{column}` is empty")]
    Empty { column: &'static str },
    #[error("`{column}` is {wanted}")]
    Wrong { column: &'static str, wanted: &'static str },
    #[error("`{column}` is {cause}")]
    Number {
        column: &'static str,
        #[source]
        cause: DecimalError,
    },
    #[error("the model or one of its names stands there twice")]
    Twice,
    #[error("`models` has no such model: add its row")]
    NoModel,
    #[error("`{column}` must be priced for this kind of model; write 0 where it is free")]
    NotPriced { column: &'static str },
    #[error("two prices hold at one time: end the first before the second begins")]
    Overlap,
    #[error(transparent)]
    Price(#[from] PriceError),
}

impl Problem {
    pub(super) const fn at(self, table: &'static str, line: u64) -> CatalogueError {
        CatalogueError { table, line, problem: self }
    }
}

/// A row with its columns' names.
struct Row<'a> {
    header: &'a StringRecord,
    fields: StringRecord,
}

impl Row<'_> {
    fn get(&self, column: &str) -> Option<&str> {
        let index = self.header.iter().position(|name| name == column)?;
        self.fields.get(index).map(str::trim).filter(|text| !text.is_empty())
    }

    fn text(&self, column: &'static str) -> Result<String, Problem> {
        self.get(column).map(str::to_owned).ok_or(Problem::Empty { column })
    }

    /// `PROVIDER/MODEL` is to mean one model alone.
    fn provider(&self) -> Result<String, Problem> {
        let provider = self.text("provider")?;
        let wanted = "not a provider's name: leave the `/` out";
        if provider.contains('/') {
            return Err(Problem::Wrong { column: "provider", wanted });
        }
        Ok(provider)
    }

    fn words(&self, column: &str) -> impl Iterator<Item = &str> {
        self.get(column).unwrap_or_default().split(' ').filter(|word| !word.is_empty())
    }

    fn count(&self, column: &'static str) -> Result<Option<u64>, Problem> {
        let wrong = |_| Problem::Wrong { column, wanted: "not a whole number" };
        self.get(column).map(|text| text.parse().map_err(wrong)).transpose()
    }

    fn day(&self, column: &'static str) -> Result<Option<Date>, Problem> {
        let wrong = |_| Problem::Wrong { column, wanted: "not a day like `2026-11-22`" };
        self.get(column).map(|text| text.parse().map_err(wrong)).transpose()
    }

    fn source(&self) -> Result<Source, Problem> {
        let url = self.text("source")?;
        if !url.starts_with("https://") {
            return Err(Problem::Wrong { column: "source", wanted: "not an https address" });
        }
        let dated = self.day("dated")?.ok_or(Problem::Empty { column: "dated" })?;
        let via = self.get("via").map(str::to_owned);
        Ok(Source { url, via, dated: dated.to_string() })
    }
}

fn read<T>(
    table: &'static str,
    columns: &[&'static str],
    text: &str,
    mut row: impl FnMut(&Row<'_>) -> Result<T, Problem>,
) -> Result<Vec<(u64, T)>, CatalogueError> {
    if text.len() > TABLE_BYTES_MAX {
        return Err(Problem::TooLarge.at(table, 0));
    }
    let syntax = |error: csv::Error| {
        let line = error.position().map_or(0, csv::Position::line);
        Problem::Csv(error.to_string()).at(table, line)
    };
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    let header = reader.headers().map_err(syntax)?.clone();
    check_header(columns, &header).map_err(|problem| problem.at(table, 1))?;
    let mut rows = Vec::new();
    for fields in reader.records() {
        let fields = fields.map_err(syntax)?;
        let line = fields.position().map_or(0, csv::Position::line);
        let read = row(&Row { header: &header, fields });
        rows.push((line, read.map_err(|problem| problem.at(table, line))?));
    }
    Ok(rows)
}

fn check_header(columns: &[&'static str], header: &StringRecord) -> Result<(), Problem> {
    for name in header {
        if !columns.contains(&name) {
            let shown = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
            return Err(Problem::Column(shown));
        }
    }
    match columns.iter().find(|column| !header.iter().any(|name| name == **column)) {
        Some(column) => Err(Problem::NoColumn { column }),
        None => Ok(()),
    }
}

pub(super) fn read_models(text: &str) -> Result<Vec<(u64, Model)>, CatalogueError> {
    read(MODELS, &MODEL_COLUMNS, text, |row| {
        let kind = Kind::ALL.into_iter().find(|kind| row.get("kind") == Some(kind.name()));
        let capability = |word: &str| {
            let found = Capability::ALL.into_iter().find(|known| known.name() == word);
            found.ok_or(Problem::Wrong { column: "capabilities", wanted: "not a known capability" })
        };
        Ok(Model {
            provider: row.provider()?,
            name: row.text("model")?,
            aliases: row.words("aliases").map(str::to_owned).collect(),
            kind: kind.ok_or(Problem::Wrong { column: "kind", wanted: "not a known kind" })?,
            context_tokens: row.count("context_tokens")?,
            output_tokens_max: row.count("output_tokens_max")?,
            image_tokens_max: row.count("image_tokens_max")?,
            capabilities: row.words("capabilities").map(capability).collect::<Result<_, _>>()?,
            retires: row.day("retires")?.map(|day| day.to_string()),
            source: row.source()?,
        })
    })
}

fn price_columns() -> Vec<&'static str> {
    let classes = Class::ALL.map(Class::column);
    OFFER_COLUMNS.into_iter().chain(classes).chain(END_COLUMNS).collect()
}

/// Rows of one offer, wherever they stand, are sheets of one price.
pub(super) fn read_prices(text: &str) -> Result<Vec<(u64, Price)>, CatalogueError> {
    let rows =
        read(PRICES, &price_columns(), text, |row| Ok((read_offer(row)?, read_sheet(row)?)))?;
    let mut offers: Vec<(u64, Offer, Vec<Sheet>)> = Vec::new();
    for (line, (offer, sheet)) in rows {
        // Rows of one offer stand together in any table that a person can read.
        let known = offers.iter_mut().rev().find(|known| is_same(&known.1, &offer));
        match known {
            Some((_, _, sheets)) => sheets.push(sheet),
            None => offers.push((line, offer, vec![sheet])),
        }
    }
    let price = |(line, offer, sheets)| {
        let price =
            Price::new(offer, sheets).map_err(|error| Problem::from(error).at(PRICES, line));
        Ok((line, price?))
    };
    offers.into_iter().map(price).collect()
}

fn is_same(left: &Offer, right: &Offer) -> bool {
    let key = |offer: &Offer| (offer.currency, offer.from, offer.to);
    left.model == right.model
        && left.provider == right.provider
        && left.region == right.region
        && key(left) == key(right)
}

fn read_offer(row: &Row<'_>) -> Result<Offer, Problem> {
    let time = |column| -> Result<Option<Timestamp>, Problem> {
        let wrong = |_| Problem::Wrong { column, wanted: "outside of the calendar" };
        row.day(column)?.map(|day| midnight(day).map_err(wrong)).transpose()
    };
    let currency = row.text("currency")?.parse();
    let wrong = |_| Problem::Wrong { column: "currency", wanted: "not three capital letters" };
    Ok(Offer {
        provider: row.provider()?,
        model: row.text("model")?,
        region: row.get("region").map(str::to_owned),
        currency: currency.map_err(wrong)?,
        from: time("from")?,
        to: time("to")?,
        source: row.source()?,
    })
}

fn read_sheet(row: &Row<'_>) -> Result<Sheet, Problem> {
    let service = match row.get("service") {
        None => Some(Service::Standard),
        Some(name) => Service::PRICED.into_iter().find(|known| known.name() == name),
    };
    let span = match row.get("span") {
        None | Some("whole") => Span::Whole,
        Some("part") => Span::Part,
        Some(_) => {
            return Err(Problem::Wrong { column: "span", wanted: "neither `whole` nor `part`" });
        }
    };
    let mut rates = PerClass::default();
    for class in Class::ALL {
        rates[class] = read_rate(class, row)?;
    }
    let service = service.ok_or(PriceError::Service)?;
    Ok(Sheet { service, above: row.count("above")?.unwrap_or(0), span, rates })
}

/// Prices stand for a million tokens, for a second, or for one of the rest.
fn read_rate(class: Class, row: &Row<'_>) -> Result<Option<Amount>, Problem> {
    let column = class.column();
    let Some(text) = row.get(column) else { return Ok(None) };
    let places = 12 - class.per().ilog10();
    let pico = decimal::read(text, places, Exponent::Allowed);
    let pico = pico.map_err(|cause| Problem::Number { column, cause })?;
    Ok(Some(Amount::from_pico(pico)))
}

/// What a column of `prices.csv` says of a rate.
#[must_use]
pub fn rate_text(class: Class, rate: Amount) -> String {
    let places = 12 - class.per().ilog10();
    decimal::write(rate.pico(), places, 0)
}

fn write<'a>(columns: &[&str], rows: impl Iterator<Item = Vec<String>> + 'a) -> String {
    // What begins with the mark of a comment is written in quotes.
    let mut writer = csv::WriterBuilder::new().comment(Some(b'#')).from_writer(Vec::new());
    let all = "a table in memory is written";
    writer.write_record(columns).expect(all);
    rows.for_each(|row| writer.write_record(row).expect(all));
    String::from_utf8(writer.into_inner().expect(all)).expect("its fields are text")
}

pub(super) fn write_models<'a>(models: impl Iterator<Item = &'a Arc<Model>> + 'a) -> String {
    let count = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
    write(
        &MODEL_COLUMNS,
        models.map(move |model| {
            vec![
                model.provider.clone(),
                model.name.clone(),
                model.aliases.join(" "),
                model.kind.name().to_owned(),
                count(model.context_tokens),
                count(model.output_tokens_max),
                count(model.image_tokens_max),
                model.capabilities.iter().map(|it| it.name()).collect::<Vec<_>>().join(" "),
                model.retires.clone().unwrap_or_default(),
                model.source.url.clone(),
                model.source.via.clone().unwrap_or_default(),
                model.source.dated.clone(),
            ]
        }),
    )
}

pub(super) fn write_prices<'a>(prices: impl Iterator<Item = &'a Arc<Price>> + 'a) -> String {
    let rows = prices.flat_map(|price| price.sheets().iter().map(|sheet| row(&price.offer, sheet)));
    write(&price_columns(), rows)
}

fn row(offer: &Offer, sheet: &Sheet) -> Vec<String> {
    let day = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string()[..10].into());
    let head = [
        offer.provider.clone(),
        offer.model.clone(),
        offer.region.clone().unwrap_or_default(),
        sheet.service.name().to_owned(),
        sheet.above.to_string(),
        sheet.span.name().to_owned(),
        offer.currency.to_string(),
    ];
    let rates = Class::ALL
        .map(|class| sheet.rates[class].map_or_else(String::new, |rate| rate_text(class, rate)));
    let Source { url, via, dated } = offer.source.clone();
    let end = [day(offer.from), day(offer.to), url, via.unwrap_or_default(), dated];
    head.into_iter().chain(rates).chain(end).collect()
}
