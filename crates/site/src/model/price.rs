//! What the site's catalogue has, for people: the shipped models and prices with the owner's laid over them.

use std::sync::Arc;

use base::Timestamp;
use pricing::{Catalogue, Class, Model, Price, Sheet, Source, rate_text};
use wire::{PriceSheetView, PriceSourceView, PriceView, PricedModelView, ProblemCode};

use super::shelf::Models;
use crate::refusal::Refusal;

/// Of the name of a price that nobody knows, which an error repeats.
const NAME_CHARS_SHOWN: usize = 120;

/// Which models are asked for.
pub(crate) struct Wanted<'a> {
    pub provider: Option<&'a str>,
    /// In one of the names, small letters or not.
    pub search: Option<&'a str>,
    /// Behind this one.
    pub after: Option<&'a str>,
    pub limit: u32,
}

impl Models {
    /// What the site has prices of, by provider and name.
    pub(crate) fn price_list(&self, wanted: &Wanted<'_>) -> Vec<PricedModelView> {
        let (catalogue, now) = (&self.0.catalogue, self.0.clock.now());
        let after = wanted.after.and_then(|after| after.split_once('/'));
        let search = wanted.search.map(str::to_lowercase);
        let has =
            |name: &str| search.as_ref().is_none_or(|text| name.to_lowercase().contains(text));
        let is_meant = |model: &Model| {
            after.is_none_or(|after| (model.provider.as_str(), model.name.as_str()) > after)
                && wanted.provider.is_none_or(|provider| model.provider == provider)
                && (has(&name(model)) || model.aliases.iter().any(|alias| has(alias)))
        };
        let found = catalogue.models().filter(|model| is_meant(model));
        found.take(wanted.limit as usize).map(|model| view(catalogue, model, now)).collect()
    }

    /// One of them, by its own name or another of its names.
    pub(crate) fn price_show(
        &self,
        provider: &str,
        model: &str,
    ) -> Result<PricedModelView, Refusal> {
        let catalogue = &self.0.catalogue;
        let Some(found) = catalogue.model(provider, model) else {
            let what = format!(
                "there is no `{}` in the catalogue; `isonomy prices --search TEXT` looks for one",
                shown(&format!("{provider}/{model}"))
            );
            return Err(Refusal::new(ProblemCode::ModelMissing, what));
        };
        Ok(view(catalogue, found, self.0.clock.now()))
    }
}

/// A name that nobody knows, as an error repeats it.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_SHOWN).collect()
}

/// As a model's definition says it.
fn name(model: &Model) -> String {
    format!("{}/{}", model.provider, model.name)
}

fn view(catalogue: &Catalogue, model: &Model, now: Timestamp) -> PricedModelView {
    let prices = catalogue.prices_of(&model.provider, &model.name);
    // What is laid over may have taken one of its names for a model of its own.
    let is_its = |alias: &&String| {
        catalogue.model(&model.provider, alias).is_some_and(|found| found.name == model.name)
    };
    PricedModelView {
        name: name(model),
        provider: model.provider.clone(),
        model: model.name.clone(),
        aliases: model.aliases.iter().filter(is_its).cloned().collect(),
        kind: model.kind.name().to_owned(),
        context_tokens: model.context_tokens,
        output_tokens_max: model.output_tokens_max,
        image_tokens_max: model.image_tokens_max,
        capabilities: model.capabilities.iter().map(|it| it.name().to_owned()).collect(),
        retires: model.retires.clone(),
        source: source(&model.source),
        prices: prices.map(|price| price_view(price, now)).collect(),
        version: catalogue.version().to_string(),
    }
}

fn price_view(price: &Arc<Price>, now: Timestamp) -> PriceView {
    let day = |at: Option<Timestamp>| at.map(|at| at.to_string()[..10].to_owned());
    PriceView {
        region: price.offer.region.clone(),
        currency: price.offer.currency.to_string(),
        from: day(price.offer.from),
        to: day(price.offer.to),
        holds: price.holds_at(now),
        source: source(&price.offer.source),
        sheets: price.sheets().iter().map(sheet_view).collect(),
    }
}

fn sheet_view(sheet: &Sheet) -> PriceSheetView {
    let rate =
        |class: Class| Some((class.column().to_owned(), rate_text(class, sheet.rates[class]?)));
    PriceSheetView {
        service: sheet.service.name().to_owned(),
        above: sheet.above,
        span: sheet.span.name().to_owned(),
        rates: Class::ALL.into_iter().filter_map(rate).collect(),
    }
}

fn source(source: &Source) -> PriceSourceView {
    let Source { url, via, dated } = source.clone();
    PriceSourceView { url, via, dated }
}
