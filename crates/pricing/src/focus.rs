//! Rows of the FinOps Open Cost and Usage Specification (FOCUS) 1.2, for tools that show costs.
//!
//! A call is as many rows as its bill has lines: the specification wants unit price times quantity to
//! be the cost, so amounts stand there exactly and are not rounded to the micro-unit.

use std::collections::BTreeMap;
use std::io::Write;

use base::{Digest, Timestamp};
use serde::Serialize;

use crate::budget::{BudgetError, Period};
use crate::catalogue::Kind;
use crate::class::Class;
use crate::decimal;
use crate::price::{CostError, Line, Price};
use crate::usage::Usage;

#[derive(Debug, thiserror::Error)]
pub enum FocusError {
    #[error(transparent)]
    Cost(#[from] CostError),
    #[error(transparent)]
    Time(#[from] BudgetError),
    #[error("`{column}` is empty, which the specification does not allow")]
    Empty { column: &'static str },
    #[error("the rows cannot be written")]
    Write(#[source] csv::Error),
}

/// A call that was billed.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    pub call: &'a str,
    pub site: &'a str,
    pub namespace: &'a str,
    pub workflow: Option<&'a str>,
    pub run: Option<&'a str>,
    pub key: Option<&'a str>,
    /// The account that the provider bills.
    pub account: &'a str,
    pub account_name: Option<&'a str>,
    /// Who makes the model, and who sends the bill. For a model of the site's own: its owner.
    pub publisher: &'a str,
    pub invoice_issuer: &'a str,
    /// A device or deployment, where the call used one of its own.
    pub resource: Option<&'a str>,
    pub start: Timestamp,
    pub end: Timestamp,
    pub tags: &'a BTreeMap<String, String>,
    pub kind: Kind,
    pub price: &'a Price,
    /// Of the catalogue that the price was in.
    pub catalogue: Digest,
    pub usage: &'a Usage,
}

/// One charge. Fields stand in the order of the columns; those that are none are null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    pub billed_cost: String,
    pub billing_account_id: String,
    pub billing_account_name: Option<String>,
    pub billing_currency: String,
    pub billing_period_end: String,
    pub billing_period_start: String,
    pub charge_category: &'static str,
    /// Only of corrections.
    pub charge_class: Option<String>,
    pub charge_description: String,
    pub charge_frequency: &'static str,
    pub charge_period_end: String,
    pub charge_period_start: String,
    pub consumed_quantity: String,
    pub consumed_unit: &'static str,
    pub contracted_cost: String,
    pub contracted_unit_price: String,
    pub effective_cost: String,
    pub invoice_issuer_name: String,
    pub list_cost: String,
    pub list_unit_price: String,
    pub pricing_category: &'static str,
    pub pricing_currency: String,
    pub pricing_quantity: String,
    pub pricing_unit: &'static str,
    pub provider_name: String,
    pub publisher_name: String,
    pub region_id: Option<String>,
    pub region_name: Option<String>,
    pub resource_id: Option<String>,
    pub service_category: &'static str,
    pub service_name: String,
    pub service_subcategory: &'static str,
    pub sku_id: String,
    pub sku_meter: &'static str,
    pub sku_price_id: String,
    pub sub_account_id: String,
    pub sub_account_name: String,
    pub tags: String,
    #[serde(rename = "x_CallId")]
    pub call: String,
    #[serde(rename = "x_CatalogueVersion")]
    pub catalogue: String,
    #[serde(rename = "x_KeyName")]
    pub key: Option<String>,
    #[serde(rename = "x_RunId")]
    pub run: Option<String>,
    #[serde(rename = "x_SiteName")]
    pub site: String,
    #[serde(rename = "x_WorkflowName")]
    pub workflow: Option<String>,
}

/// The rows of one call.
pub fn rows(record: &Record<'_>) -> Result<Vec<Row>, FocusError> {
    let filled = [
        ("BillingAccountId", record.account),
        ("PublisherName", record.publisher),
        ("InvoiceIssuerName", record.invoice_issuer),
        ("SubAccountId", record.namespace),
    ];
    if let Some((column, _)) = filled.into_iter().find(|(_, text)| text.trim().is_empty()) {
        return Err(FocusError::Empty { column });
    }
    let month = Period::Month.window(record.start)?.expect("months begin anew");
    let period = (second(month.start), second(month.end));
    let lines = record.price.bill(record.usage)?;
    Ok(lines.iter().map(|line| row(record, line, &period)).collect())
}

/// Writes rows as CSV, with the columns' names first.
pub fn write(rows: &[Row], to: impl Write) -> Result<(), FocusError> {
    let mut writer = csv::Writer::from_writer(to);
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(FocusError::Write)?;
    writer.flush().map_err(|error| FocusError::Write(error.into()))
}

fn row(record: &Record<'_>, line: &Line, (start, end): &(String, String)) -> Row {
    let offer = &record.price.offer;
    let (cost, price) = (line.amount.exact(), unit_price(line));
    let sku = format!("{}/{}/{}", offer.provider, offer.model, line.class.column());
    let own = |text: Option<&str>| text.map(str::to_owned);
    Row {
        billed_cost: cost.clone(),
        billing_account_id: record.account.to_owned(),
        billing_account_name: own(record.account_name),
        billing_currency: offer.currency.to_string(),
        billing_period_end: end.clone(),
        billing_period_start: start.clone(),
        charge_category: "Usage",
        charge_class: None,
        charge_description: format!("{}: {}", offer.model, line.class.title()),
        charge_frequency: "Usage-Based",
        charge_period_end: second(after(record.start, record.end)),
        charge_period_start: second(record.start),
        consumed_quantity: quantity(line),
        consumed_unit: unit(line.class),
        contracted_cost: cost.clone(),
        contracted_unit_price: price.clone(),
        effective_cost: cost.clone(),
        invoice_issuer_name: record.invoice_issuer.to_owned(),
        list_cost: cost,
        list_unit_price: price,
        pricing_category: "Standard",
        pricing_currency: offer.currency.to_string(),
        pricing_quantity: quantity(line),
        pricing_unit: unit(line.class),
        provider_name: offer.provider.clone(),
        publisher_name: record.publisher.to_owned(),
        region_id: offer.region.clone(),
        region_name: offer.region.clone(),
        resource_id: own(record.resource),
        service_category: "AI and Machine Learning",
        service_name: offer.model.clone(),
        service_subcategory: subcategory(record.kind),
        sku_price_id: price_id(&sku, record.price, line),
        sku_id: sku,
        sku_meter: line.class.title(),
        sub_account_id: record.namespace.to_owned(),
        sub_account_name: record.namespace.to_owned(),
        tags: serde_json::to_string(record.tags).expect("texts have JSON"),
        call: record.call.to_owned(),
        catalogue: record.catalogue.to_string(),
        key: own(record.key),
        run: own(record.run),
        site: record.site.to_owned(),
        workflow: own(record.workflow),
    }
}

/// Time is kept in milliseconds and told in seconds.
fn quantity(line: &Line) -> String {
    match line.class {
        Class::Millisecond => decimal::write(line.count.into(), 3, 0),
        _ => line.count.to_string(),
    }
}

fn unit_price(line: &Line) -> String {
    match line.class {
        Class::Millisecond => decimal::write(line.each.pico(), 9, 0),
        _ => line.each.exact(),
    }
}

const fn unit(class: Class) -> &'static str {
    match class {
        Class::Image => "Images",
        Class::Search => "Searches",
        Class::Request => "Requests",
        Class::Millisecond => "Seconds",
        _ => "Tokens",
    }
}

const fn subcategory(kind: Kind) -> &'static str {
    match kind {
        Kind::Chat | Kind::Completion | Kind::Image | Kind::Speech => "Generative AI",
        Kind::Embedding | Kind::Rerank | Kind::Transcription => "Natural Language Processing",
    }
}

/// Names the row of the catalogue that the unit price stands in.
fn price_id(sku: &str, price: &Price, line: &Line) -> String {
    let region = price.offer.region.as_deref().unwrap_or("*");
    let from =
        price.offer.from.map_or_else(|| "*".to_owned(), |from| from.to_string()[..10].into());
    format!("{sku}/{}/{}/{region}/{from}", line.service.name(), line.above)
}

/// The end is exclusive: the next whole second.
fn after(start: Timestamp, end: Timestamp) -> Timestamp {
    let last = end.as_millis().max(start.as_millis());
    Timestamp::from_millis((last.div_euclid(1_000) + 1).saturating_mul(1_000))
}

fn second(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    format!("{whole}Z")
}
