//! Prices: what one unit of each class costs, by manner of service and amount of input, and the bill
//! for what a call used.

use std::sync::Arc;

use base::{Digest, Timestamp};

use crate::class::{Class, PerClass};
use crate::money::{Amount, Currency, Money};
use crate::named::PriceName;
use crate::usage::{Service, Usage};

/// A million units of a currency for one token or image: no price, and small enough that a bill of
/// [`crate::usage::UNITS_MAX`] units of each class cannot overflow.
const RATE_PICO_MAX: u64 = 1_000_000_000_000_000_000;

/// Services times tiers. Nobody has more than four tiers.
const SHEETS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    #[error("a price needs a `standard` sheet with `above` 0 that prices something")]
    NoBase,
    #[error("`{}` above {above} stands there twice", service.name())]
    Twice { service: Service, above: u64 },
    #[error("the tiers of `{}` are for the whole call or for the part above, not both", service.name())]
    Mixed { service: Service },
    #[error(
        "a tier for the part above prices input alone; `{column}` belongs into the sheet below"
    )]
    Part { column: &'static str },
    #[error("`{column}` is over a million for one unit")]
    TooDear { column: &'static str },
    #[error("a price has at most {SHEETS_MAX} sheets")]
    TooMany,
    #[error("a price ends before it begins")]
    Backwards,
    #[error("there is no such service")]
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    #[error("there is no price for the service `{}` with this much input: add a row to the prices", service.name())]
    NoPrice { service: Service },
}

/// What a tier of input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// For all of a call whose input is over the tier's bound.
    Whole,
    /// For those tokens of input alone that are above it.
    Part,
}

impl Span {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
        }
    }
}

/// One row of a price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    pub service: Service,
    /// It holds for more tokens of input than this.
    pub above: u64,
    pub span: Span,
    /// For one unit of a class; none where a wider class's price holds.
    pub rates: PerClass<Option<Amount>>,
}

/// Where a row was read, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub url: String,
    /// The list that repeated it, where it was not read at the address itself.
    pub via: Option<String>,
    /// A day, as `2026-11-22`.
    pub dated: String,
}

/// What the price is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub provider: String,
    pub model: String,
    /// None where the price holds everywhere.
    pub region: Option<String>,
    pub currency: Currency,
    pub from: Option<Timestamp>,
    /// It no longer holds from here on.
    pub to: Option<Timestamp>,
    pub source: Source,
}

/// The price of one model at one provider, in one region, over one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    pub offer: Offer,
    sheets: Vec<Sheet>,
    /// The same, with a rate for every class. By service, then by `above`.
    steps: Vec<Step>,
    /// Shared with what is written down of each call.
    name: Arc<PriceName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    service: Service,
    above: u64,
    span: Span,
    pico: PerClass<u64>,
}

/// One line of a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub class: Class,
    /// The sheet that it is billed by.
    pub service: Service,
    pub above: u64,
    pub count: u64,
    /// For one.
    pub each: Amount,
    pub amount: Amount,
}

impl Price {
    pub fn new(offer: Offer, mut sheets: Vec<Sheet>) -> Result<Self, PriceError> {
        sheets.sort_by_key(|sheet| (sheet.service, sheet.above));
        check(&offer, &sheets)?;
        let mut steps: Vec<Step> = Vec::with_capacity(sheets.len());
        for sheet in &sheets {
            let step = step(sheet, &steps)?;
            steps.push(step);
        }
        let name = PriceName {
            provider: offer.provider.clone(),
            model: offer.model.clone(),
            region: offer.region.clone(),
            from: offer.from,
            version: Digest::of(b""),
        };
        Ok(Self { offer, sheets, steps, name: Arc::new(name) })
    }

    /// The same, as it stands in the list of this version.
    #[must_use]
    pub fn listed(self, version: Digest) -> Self {
        let name = PriceName { version, ..PriceName::clone(&self.name) };
        Self { name: Arc::new(name), ..self }
    }

    #[must_use]
    pub const fn name(&self) -> &Arc<PriceName> {
        &self.name
    }

    #[must_use]
    pub fn sheets(&self) -> &[Sheet] {
        &self.sheets
    }

    #[must_use]
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.offer.from.is_none_or(|from| from <= at) && self.offer.to.is_none_or(|to| at < to)
    }

    /// What a call cost.
    pub fn cost(&self, usage: &Usage) -> Result<Money, CostError> {
        let mut pico = 0;
        // At most 14 classes and 64 tiers of 10⁹ units at 10¹⁸: far below what the number holds.
        self.each_line(usage, |step, class, count| pico += product(count, step.pico[class]))?;
        Ok(Amount::from_pico(pico).of(self.offer.currency))
    }

    /// The same for people, line by line. The lines add up to the cost.
    pub fn bill(&self, usage: &Usage) -> Result<Vec<Line>, CostError> {
        let mut lines = Vec::new();
        self.each_line(usage, |step, class, count| {
            let rate = step.pico[class];
            if class.is_token() || rate > 0 {
                let (each, amount) =
                    (Amount::from_pico(rate.into()), Amount::from_pico(product(count, rate)));
                let Step { service, above, .. } = *step;
                lines.push(Line { class, service, above, count, each, amount });
            }
        })?;
        Ok(lines)
    }

    fn each_line(
        &self,
        usage: &Usage,
        mut line: impl FnMut(&Step, Class, u64),
    ) -> Result<(), CostError> {
        let steps = self.ladder(usage.service(), usage.input_tokens())?;
        let (first, last) = (&steps[0], &steps[steps.len() - 1]);
        let is_cut = last.span == Span::Part;
        // A tier for a part prices input alone: all else stands in the lowest sheet.
        let flat = if is_cut { first } else { last };
        for class in Class::ALL {
            let count = usage.count(class);
            if count > 0 && !(is_cut && Class::INPUT.contains(&class)) {
                line(flat, class, count);
            }
        }
        if is_cut {
            cut(steps, usage, line);
        }
        Ok(())
    }

    /// The steps of a service up to the one that an amount of input reaches; never empty.
    ///
    /// Where cheap services have no tier of their own for so much input, the standard one holds. It is
    /// dearer. For the dear ones there is no such price.
    fn ladder(&self, service: Service, input: u64) -> Result<&[Step], CostError> {
        let standard = self.reached(Service::Standard, input);
        let own = self.reached(service, input);
        let is_complete =
            own.last().is_some_and(|it| it.above >= standard[standard.len() - 1].above);
        if is_complete {
            return Ok(own);
        }
        match service {
            Service::Standard | Service::Batch | Service::Flex => Ok(standard),
            Service::Priority | Service::Other => Err(CostError::NoPrice { service }),
        }
    }

    fn reached(&self, service: Service, input: u64) -> &[Step] {
        let start = self.steps.partition_point(|step| step.service < service);
        let own = self.steps[start..]
            .iter()
            .take_while(|step| step.service == service && (step.above == 0 || step.above < input));
        let count = own.count();
        &self.steps[start..start + count]
    }

    /// The dearest rate of each class over all steps that a call with this much input may be billed by.
    pub(crate) fn dearest(&self, service: Option<Service>, input: u64) -> PerClass<u64> {
        let mut dearest = PerClass::default();
        let is_meant = |step: &Step| match service {
            // Who asks for another service may be given the standard one.
            Some(service) => step.service == service || step.service == Service::Standard,
            None => true,
        };
        let is_reached = |step: &Step| step.above == 0 || step.above < input;
        for step in self.steps.iter().filter(|step| is_meant(step) && is_reached(step)) {
            for class in Class::ALL {
                dearest[class] = step.pico[class].max(dearest[class]);
            }
        }
        dearest
    }
}

fn product(count: u64, rate: u64) -> u128 {
    u128::from(count) * u128::from(rate)
}

/// Lays the tokens of input in the order of the classes, and bills each piece by the step it lies on.
fn cut(steps: &[Step], usage: &Usage, mut line: impl FnMut(&Step, Class, u64)) {
    let mut position = 0;
    for class in Class::INPUT {
        let end = position + usage.count(class);
        for (index, step) in steps.iter().enumerate() {
            let upper = steps.get(index + 1).map_or(u64::MAX, |next| next.above);
            let (from, to) = (position.max(step.above), end.min(upper));
            if from < to {
                line(step, class, to - from);
            }
        }
        position = end;
    }
}

fn check(offer: &Offer, sheets: &[Sheet]) -> Result<(), PriceError> {
    if sheets.len() > SHEETS_MAX {
        return Err(PriceError::TooMany);
    }
    if offer.from.zip(offer.to).is_some_and(|(from, to)| to <= from) {
        return Err(PriceError::Backwards);
    }
    let first = sheets.first().ok_or(PriceError::NoBase)?;
    let prices_something = Class::ALL.iter().any(|class| first.rates[*class].is_some());
    if first.service != Service::Standard || first.above > 0 || !prices_something {
        return Err(PriceError::NoBase);
    }
    for pair in sheets.windows(2) {
        let (before, sheet) = (&pair[0], &pair[1]);
        let service = sheet.service;
        if before.service == service && before.above == sheet.above {
            return Err(PriceError::Twice { service, above: sheet.above });
        }
        // A ladder without a lowest step would bill small calls by nothing.
        if before.service != service && sheet.above > 0 {
            return Err(PriceError::NoBase);
        }
        if before.service == service && before.above > 0 && before.span != sheet.span {
            return Err(PriceError::Mixed { service });
        }
    }
    sheets.iter().try_for_each(check_sheet)
}

fn check_sheet(sheet: &Sheet) -> Result<(), PriceError> {
    if sheet.service == Service::Other {
        return Err(PriceError::Service);
    }
    let is_part = sheet.span == Span::Part && sheet.above > 0;
    for class in Class::ALL {
        let priced = sheet.rates[class].is_some();
        if is_part && priced && !Class::INPUT.contains(&class) {
            return Err(PriceError::Part { column: class.column() });
        }
    }
    Ok(())
}

/// Gives every class a rate. One without a price of its own costs what the wider class does; but one
/// that is dearer than that class in the sheet below costs no less than there: a row that forgets to
/// say what writing to the cache costs does not make it cheap.
fn step(sheet: &Sheet, before: &[Step]) -> Result<Step, PriceError> {
    let below = before.iter().rfind(|step| {
        step.service == Service::Standard && (step.above <= sheet.above || step.above == 0)
    });
    let mut pico = PerClass::default();
    for class in Class::ALL {
        let found = priced(&sheet.rates, class);
        let rate = found.map_or(0, |(_, rate)| rate.pico());
        let rate = u64::try_from(rate).ok().filter(|rate| *rate <= RATE_PICO_MAX);
        let rate = rate.ok_or(PriceError::TooDear { column: class.column() })?;
        let inherited = below.map_or(0, |step| match found {
            Some((wider, _)) if step.pico[class] <= step.pico[wider] => 0,
            Some(_) | None => step.pico[class],
        });
        pico[class] = if sheet.rates[class].is_some() { rate } else { rate.max(inherited) };
    }
    Ok(Step { service: sheet.service, above: sheet.above, span: sheet.span, pico })
}

/// The class's own price in a sheet, or that of the next wider class that has one, and which it is.
fn priced(rates: &PerClass<Option<Amount>>, class: Class) -> Option<(Class, Amount)> {
    rates[class].map(|rate| (class, rate)).or_else(|| priced(rates, class.wider()?))
}
