//! Rows of the FinOps Open Cost and Usage Specification (FOCUS) 1.2, for tools that show costs.
//!
//! The specification wants unit price times quantity to be the cost, so amounts stand there exactly and are
//! not rounded to the micro-unit.

use std::collections::BTreeMap;
use std::io::Write;

use base::Timestamp;
use serde::Serialize;

use crate::budget::{BudgetError, Period};
use crate::class::Class;
use crate::decimal;
use crate::money::{Amount, Money};
use crate::named::PriceName;
use crate::usage::Service;

/// The version of the specification.
pub const VERSION: &str = "1.2";

/// Code of ISO 4217 for what has nothing to do with any currency.
const NO_CURRENCY: &str = "XXX";

#[derive(Debug, thiserror::Error)]
pub enum FocusError {
    #[error(transparent)]
    Time(#[from] BudgetError),
    #[error("`{column}` is empty, which the specification does not allow")]
    Empty { column: &'static str },
    #[error("the rows cannot be written")]
    Write(#[source] csv::Error),
}

/// For whom something was charged, and when.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub site: &'a str,
    pub namespace: &'a str,
    pub workflow: Option<&'a str>,
    pub key: Option<&'a str>,
    /// The account that pays.
    pub account: &'a str,
    /// Who makes the models that are the site's own, and sends the bill for them.
    pub owner: &'a str,
    /// What the site calls the model.
    pub model: &'a str,
    pub work: Work,
    pub start: Timestamp,
    /// Exclusive.
    pub end: Timestamp,
    pub tags: &'a BTreeMap<String, String>,
}

/// What the model was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Words,
    Embeddings,
    Tensors,
}

/// What was charged.
#[derive(Debug, Clone, Copy)]
pub enum Charge<'a> {
    /// By a price.
    Priced {
        price: &'a PriceName,
        class: Class,
        service: Service,
        above: u64,
        count: u64,
        cost: Money,
    },
    /// Nothing: the model is free.
    Free { class: Class, count: u64 },
    /// Nothing: the model has no price.
    Unpriced { class: Class, count: u64 },
    /// The most that calls may have cost of which nobody knows what they have used.
    AtBound(Money),
    /// Of which it was not written down what it is made of.
    Whole(Money),
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
    pub consumed_unit: String,
    pub contracted_cost: String,
    pub contracted_unit_price: String,
    pub effective_cost: String,
    pub invoice_issuer_name: String,
    pub list_cost: String,
    pub list_unit_price: String,
    pub pricing_category: &'static str,
    pub pricing_currency: String,
    pub pricing_quantity: String,
    pub pricing_unit: String,
    pub provider_name: String,
    pub publisher_name: String,
    pub region_id: Option<String>,
    pub region_name: Option<String>,
    pub resource_id: String,
    pub resource_name: String,
    pub resource_type: &'static str,
    pub service_category: &'static str,
    pub service_name: String,
    pub service_subcategory: &'static str,
    pub sku_id: String,
    pub sku_meter: &'static str,
    pub sku_price_id: String,
    pub sub_account_id: String,
    pub sub_account_name: String,
    pub tags: String,
    #[serde(rename = "x_KeyName")]
    pub key: Option<String>,
    #[serde(rename = "x_PriceVersion")]
    pub price_version: Option<String>,
    #[serde(rename = "x_SiteName")]
    pub site: String,
    #[serde(rename = "x_WorkflowName")]
    pub workflow: Option<String>,
}

/// The columns in their order, as a table without rows has them too.
pub const COLUMNS: [&str; 44] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_KeyName",
    "x_PriceVersion",
    "x_SiteName",
    "x_WorkflowName",
];

/// The row of one charge.
pub fn row(record: &Record<'_>, charge: &Charge<'_>) -> Result<Row, FocusError> {
    let filled = [
        ("BillingAccountId", record.account),
        ("PublisherName", record.owner),
        ("SubAccountId", record.namespace),
        ("ServiceName", record.model),
    ];
    if let Some((column, _)) = filled.into_iter().find(|(_, text)| text.trim().is_empty()) {
        return Err(FocusError::Empty { column });
    }
    let month = Period::Month.window(record.start)?.expect("months begin anew");
    let measured = Measured::of(charge);
    let own = |text: Option<&str>| text.map(str::to_owned);
    let price = match charge {
        Charge::Priced { price, .. } => Some(*price),
        Charge::Free { .. } | Charge::Unpriced { .. } | Charge::AtBound(_) | Charge::Whole(_) => {
            None
        }
    };
    let provider = price.filter(|it| !it.is_own()).map_or(record.owner, |it| &it.provider);
    let model = price.filter(|it| !it.is_own()).map_or(record.model, |it| &it.model);
    let sku = format!("{provider}/{model}/{}", measured.column);
    let region = own(price.and_then(|it| it.region.as_deref()));
    let Measured { cost, each, quantity, unit, currency, title, .. } = measured;
    Ok(Row {
        billed_cost: cost.clone(),
        billing_account_id: record.account.to_owned(),
        billing_account_name: Some(record.account.to_owned()),
        billing_currency: currency.clone(),
        billing_period_end: second(month.end),
        billing_period_start: second(month.start),
        charge_category: "Usage",
        charge_class: None,
        charge_description: format!("{model}: {title}"),
        charge_frequency: "Usage-Based",
        charge_period_end: second(record.end),
        charge_period_start: second(record.start),
        consumed_quantity: quantity.clone(),
        consumed_unit: unit.clone(),
        contracted_cost: cost.clone(),
        contracted_unit_price: each.clone(),
        effective_cost: cost.clone(),
        invoice_issuer_name: provider.to_owned(),
        list_cost: cost,
        list_unit_price: each,
        pricing_category: "Standard",
        pricing_currency: currency,
        pricing_quantity: quantity,
        pricing_unit: unit,
        provider_name: provider.to_owned(),
        publisher_name: provider.to_owned(),
        region_id: region.clone(),
        region_name: region,
        resource_id: format!("{}/{}/{}", record.site, record.namespace, record.model),
        resource_name: record.model.to_owned(),
        resource_type: "Model",
        service_category: "AI and Machine Learning",
        service_name: model.to_owned(),
        service_subcategory: subcategory(record.work),
        sku_price_id: price_id(&sku, charge),
        sku_id: sku,
        sku_meter: title,
        sub_account_id: record.namespace.to_owned(),
        sub_account_name: record.namespace.to_owned(),
        tags: serde_json::to_string(record.tags).expect("texts have JSON"),
        key: own(record.key),
        price_version: price.map(|it| it.version.to_string()),
        site: record.site.to_owned(),
        workflow: own(record.workflow),
    })
}

/// Writes rows as CSV; the columns' names first, where `is_first`.
pub fn write(rows: &[Row], is_first: bool, to: impl Write) -> Result<(), FocusError> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(to);
    if is_first {
        writer.write_record(COLUMNS).map_err(FocusError::Write)?;
    }
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(FocusError::Write)?;
    writer.flush().map_err(|error| FocusError::Write(error.into()))
}

/// How much of what, and what that costs.
struct Measured {
    column: &'static str,
    title: &'static str,
    quantity: String,
    unit: String,
    each: String,
    cost: String,
    currency: String,
}

impl Measured {
    fn of(charge: &Charge<'_>) -> Self {
        match *charge {
            Charge::Priced { class, count, cost, .. } => {
                let each = cost.amount.pico().checked_div(u128::from(count)).unwrap_or(0);
                Self::counted(class, count, each, cost.amount, cost.currency.as_str())
            }
            Charge::Free { class, count } | Charge::Unpriced { class, count } => {
                Self::counted(class, count, 0, Amount::ZERO, NO_CURRENCY)
            }
            Charge::AtBound(cost) => {
                Self::whole("bound", "Calls at Their Bound, Usage Unknown", cost)
            }
            Charge::Whole(cost) => Self::whole("whole", "Calls, Not Broken Down", cost),
        }
    }

    fn counted(class: Class, count: u64, each: u128, cost: Amount, currency: &str) -> Self {
        // Time is kept in milliseconds and told in seconds.
        let (quantity, each) = match class {
            Class::Millisecond => (decimal::write(count.into(), 3, 0), decimal::write(each, 9, 0)),
            _ => (count.to_string(), Amount::from_pico(each).exact()),
        };
        Self {
            column: class.column(),
            title: class.title(),
            quantity,
            unit: unit(class).to_owned(),
            each,
            cost: cost.exact(),
            currency: currency.to_owned(),
        }
    }

    /// Nothing was counted: it is as much of the currency as it costs.
    fn whole(column: &'static str, title: &'static str, cost: Money) -> Self {
        let Money { amount, currency } = cost;
        Self {
            column,
            title,
            quantity: amount.exact(),
            unit: currency.to_string(),
            each: "1".to_owned(),
            cost: amount.exact(),
            currency: currency.to_string(),
        }
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

const fn subcategory(work: Work) -> &'static str {
    match work {
        Work::Words => "Generative AI",
        Work::Embeddings => "Natural Language Processing",
        Work::Tensors => "Machine Learning",
    }
}

/// Names the row of the list that the unit price stands in.
fn price_id(sku: &str, charge: &Charge<'_>) -> String {
    let (price, service, above) = match charge {
        Charge::Priced { price, service, above, .. } => (price, service, above),
        Charge::Free { .. } => return format!("{sku}/free"),
        Charge::Unpriced { .. } | Charge::AtBound(_) | Charge::Whole(_) => {
            return format!("{sku}/none");
        }
    };
    let region = price.region.as_deref().unwrap_or("*");
    let from = price.from.map_or_else(|| "*".to_owned(), |from| from.to_string()[..10].into());
    format!("{sku}/{}/{above}/{region}/{from}", service.name())
}

fn second(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    format!("{whole}Z")
}
