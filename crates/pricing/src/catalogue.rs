//! The catalogue: which models there are, what they can do, and what they cost.
//!
//! Two tables, `models.csv` and `prices.csv`; their form is in `docs/reference/prices.md`. Reading
//! them is in `table`.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Digest, Timestamp};

pub use self::table::{CatalogueError, Problem, TABLE_BYTES_MAX, rate_text};
use crate::class::Class;
use crate::price::{Price, Source};

/// The tables that come with the program.
const MODELS: &str = include_str!("../catalogue/models.csv");
const PRICES: &str = include_str!("../catalogue/prices.csv");

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Chat,
    Completion,
    Embedding,
    Image,
    Rerank,
    Transcription,
    Speech,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    Tools,
    Vision,
    Audio,
    Reasoning,
    Streaming,
    Schema,
    Caching,
}

/// A model as one provider offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub provider: String,
    pub name: String,
    /// Other names of the same: dated ones, `latest`.
    pub aliases: Vec<String>,
    pub kind: Kind,
    /// Tokens of input that it takes at most.
    pub context_tokens: Option<u64>,
    pub output_tokens_max: Option<u64>,
    /// Tokens that one image of input becomes at most.
    pub image_tokens_max: Option<u64>,
    pub capabilities: Vec<Capability>,
    /// The day on which the provider ends it, as `2026-11-22`.
    pub retires: Option<String>,
    pub source: Source,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completion,
        Self::Embedding,
        Self::Image,
        Self::Rerank,
        Self::Transcription,
        Self::Speech,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Image => "image",
            Self::Rerank => "rerank",
            Self::Transcription => "transcription",
            Self::Speech => "speech",
        }
    }

    /// What its price must say, be it `0`: an empty field would make the most of a call free.
    pub(crate) const fn priced(self) -> &'static [Class] {
        match self {
            Self::Chat | Self::Completion => &[Class::Input, Class::Output],
            Self::Embedding => &[Class::Input],
            Self::Image | Self::Rerank | Self::Transcription | Self::Speech => &[],
        }
    }
}

impl Capability {
    pub const ALL: [Self; 7] = [
        Self::Tools,
        Self::Vision,
        Self::Audio,
        Self::Reasoning,
        Self::Streaming,
        Self::Schema,
        Self::Caching,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Vision => "vision",
            Self::Audio => "audio",
            Self::Reasoning => "reasoning",
            Self::Streaming => "streaming",
            Self::Schema => "schema",
            Self::Caching => "caching",
        }
    }
}

/// Provider and name.
type ModelKey = (String, String);

/// Models and prices. What it holds does not change: a later one has another version.
#[derive(Debug, Clone)]
pub struct Catalogue {
    models: BTreeMap<ModelKey, Arc<Model>>,
    names: BTreeMap<ModelKey, Arc<Model>>,
    /// By model and region, each in order of time and without overlap.
    prices: BTreeMap<(ModelKey, Option<String>), Vec<Arc<Price>>>,
    version: Digest,
}

impl Catalogue {
    /// The one that comes with the program.
    pub fn shipped() -> Result<Self, CatalogueError> {
        Self::read(MODELS, PRICES)
    }

    /// Reads two tables.
    pub fn read(models: &str, prices: &str) -> Result<Self, CatalogueError> {
        let models = table::read_models(models)?;
        let prices = table::read_prices(prices)?;
        Self::checked(models, prices)
    }

    /// Puts models and prices together that come from elsewhere.
    pub fn of(models: Vec<Model>, prices: Vec<Price>) -> Result<Self, CatalogueError> {
        let models = models.into_iter().map(|model| (0, model)).collect();
        Self::checked(models, prices.into_iter().map(|price| (0, price)).collect())
    }

    fn checked(
        models: Vec<(u64, Model)>,
        prices: Vec<(u64, Price)>,
    ) -> Result<Self, CatalogueError> {
        let mut made = Self {
            models: BTreeMap::new(),
            names: BTreeMap::new(),
            prices: BTreeMap::new(),
            version: Digest::of(b""),
        };
        for (line, model) in models {
            made.add_model(model).map_err(|problem| problem.at(table::MODELS, line))?;
        }
        made.add_prices(prices, None)?;
        made.names_its_version();
        Ok(made)
    }

    /// This catalogue with an operator's tables laid over it. Either may be left out, and a price may be that
    /// of a model which only this catalogue has.
    pub fn with(self, models: Option<&str>, prices: Option<&str>) -> Result<Self, CatalogueError> {
        let models = models.map(table::read_models).transpose()?.unwrap_or_default();
        let prices = prices.map(table::read_prices).transpose()?.unwrap_or_default();
        let mut over = Self::checked(models, Vec::new())?;
        over.add_prices(prices, Some(&self))?;
        Ok(self.overlaid(over))
    }

    /// Each price knows in which list it stands.
    fn names_its_version(&mut self) {
        self.version = self.digest();
        for price in self.prices.values_mut().flatten() {
            *price = Arc::new(Price::clone(price).listed(self.version));
        }
    }

    fn add_model(&mut self, model: Model) -> Result<(), Problem> {
        let model = Arc::new(model);
        let own = (model.provider.clone(), model.name.clone());
        let others = model.aliases.iter().map(|alias| (model.provider.clone(), alias.clone()));
        for name in std::iter::once(own.clone()).chain(others) {
            if self.names.insert(name, Arc::clone(&model)).is_some() {
                return Err(Problem::Twice);
            }
        }
        self.models.insert(own, model);
        Ok(())
    }

    /// `below` has the models that these tables need not repeat.
    fn add_prices(
        &mut self,
        prices: Vec<(u64, Price)>,
        below: Option<&Self>,
    ) -> Result<(), CatalogueError> {
        for (line, price) in prices {
            let added = self.add_price(price, below);
            added.map_err(|problem| problem.at(table::PRICES, line))?;
        }
        Ok(())
    }

    fn add_price(&mut self, price: Price, below: Option<&Self>) -> Result<(), Problem> {
        let key = (price.offer.provider.clone(), price.offer.model.clone());
        let below = || below.and_then(|below| below.models.get(&key));
        let model = self.models.get(&key).or_else(below).ok_or(Problem::NoModel)?;
        let base = &price.sheets()[0];
        let missing = model.kind.priced().iter().find(|class| base.rates[**class].is_none());
        if let Some(class) = missing {
            return Err(Problem::NotPriced { column: class.column() });
        }
        let prices = self.prices.entry((key, price.offer.region.clone())).or_default();
        prices.push(Arc::new(price));
        prices.sort_by_key(|price| price.offer.from);
        let overlap = |pair: &[Arc<Price>]| {
            let (end, start) = (pair[0].offer.to, pair[1].offer.from);
            start.zip(end).is_none_or(|(start, end)| start < end)
        };
        if prices.windows(2).any(overlap) { Err(Problem::Overlap) } else { Ok(()) }
    }

    /// By its own name or another of its names.
    #[must_use]
    pub fn model(&self, provider: &str, name: &str) -> Option<&Arc<Model>> {
        self.names.get(&(provider.to_owned(), name.to_owned()))
    }

    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.values()
    }

    pub fn prices(&self) -> impl Iterator<Item = &Arc<Price>> {
        self.prices.values().flatten()
    }

    /// Those of a model by its own name: for everywhere first, then by region, each in order of time.
    pub fn prices_of(&self, provider: &str, model: &str) -> impl Iterator<Item = &Arc<Price>> {
        let key = (provider.to_owned(), model.to_owned());
        let first = (key.clone(), None);
        let found = self.prices.range(first..).take_while(move |((of, _), _)| *of == key);
        found.flat_map(|(_, prices)| prices)
    }

    /// The price at a time: the region's own, or else the one for everywhere.
    #[must_use]
    pub fn price(
        &self,
        provider: &str,
        model: &str,
        region: Option<&str>,
        at: Timestamp,
    ) -> Option<&Arc<Price>> {
        let name = &self.model(provider, model)?.name;
        let key = (provider.to_owned(), name.clone());
        let find = |region: Option<&str>| {
            let prices = self.prices.get(&(key.clone(), region.map(str::to_owned)))?;
            prices.iter().find(|price| price.holds_at(at))
        };
        region.and_then(|region| find(Some(region))).or_else(|| find(None))
    }

    /// This catalogue with another one laid over it: where that has a model or a price of a model in a
    /// region, it is that one's.
    #[must_use]
    pub fn overlaid(mut self, over: Self) -> Self {
        for (key, model) in over.models {
            let is_other =
                |known: &Model| known.provider != model.provider || known.name != model.name;
            self.names.retain(|_, known| is_other(known));
            let names = model.aliases.iter().chain([&model.name]);
            let names = names.map(|name| (model.provider.clone(), name.clone()));
            self.names.extend(names.map(|name| (name, Arc::clone(&model))));
            self.models.insert(key, model);
        }
        self.prices.extend(over.prices);
        self.names_its_version();
        self
    }

    /// Named by content: two catalogues with one version say the same. Stored with what was booked.
    #[must_use]
    pub const fn version(&self) -> Digest {
        self.version
    }

    fn digest(&self) -> Digest {
        Digest::of(format!("{}\n{}", self.models_table(), self.prices_table()).as_bytes())
    }

    /// The text of `models.csv`.
    #[must_use]
    pub fn models_table(&self) -> String {
        table::write_models(self.models())
    }

    /// The text of `prices.csv`.
    #[must_use]
    pub fn prices_table(&self) -> String {
        table::write_prices(self.prices())
    }
}
