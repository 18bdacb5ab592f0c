//! Reads LiteLLM's public price file (`model_prices_and_context_window.json`, MIT).
//!
//! A row comes over whole, or with notes on prices that only apply to what must be asked for, or not
//! at all; what did not come over is told with its reason. How the names of its fields are read is in
//! `field`.

mod field;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::value::RawValue;

use self::field::Field;
use crate::catalogue::{Capability, Kind, Model};
use crate::class::{Class, PerClass};
use crate::decimal::DecimalError;
use crate::money::{Amount, Currency};
use crate::price::{Offer, Price, PriceError, Sheet, Source, Span};
use crate::usage::Service;

/// The file has three megabytes and grows.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where the list is kept.
pub const LIST: &str =
    "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json";

/// Its first row tells what fields there are.
const SAMPLE: &str = "sample_spec";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    #[error("the file has more than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("not LiteLLM's price file: line {line}, column {column}")]
    Syntax { line: usize, column: usize },
}

/// Why a row, or one price of a row, did not come over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("it names no provider")]
    NoProvider,
    #[error("`{mode}` is no kind of call that is priced here")]
    Mode { mode: String },
    #[error("a table cannot hold its name or its provider's")]
    Name,
    #[error("it does not say what a call costs")]
    NoPrice,
    #[error("`{field}` cannot be expressed")]
    Field { field: String },
    #[error("`{field}` is {cause}")]
    Number { field: String, cause: DecimalError },
    #[error(transparent)]
    Price(PriceError),
    #[error("the same model of this provider is there under another name with other prices")]
    Twice,
}

/// A row of the file, by its name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub name: String,
    pub reason: Reason,
}

/// What came over, and what did not.
#[derive(Debug, Default)]
pub struct Imported {
    /// The names of the rows that came over. Models and prices stand in the same order.
    pub names: Vec<String>,
    pub models: Vec<Model>,
    pub prices: Vec<Price>,
    /// Rows that came over without a price for something that has to be asked for.
    pub notes: Vec<Told>,
    /// Rows that repeat another one under a second name.
    pub same: Vec<String>,
    /// Rows that did not come over.
    pub refused: Vec<Told>,
}

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Reads the file. `source` is where it was read, for rows that name no source of their own.
pub fn import(file: &[u8], source: &Source) -> Result<Imported, ImportError> {
    if file.len() > FILE_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let rows: BTreeMap<Cow<'_, str>, Fields<'_>> = serde_json::from_slice(file)
        .map_err(|error| ImportError::Syntax { line: error.line(), column: error.column() })?;
    let mut imported = Imported::default();
    let mut known = BTreeMap::new();
    for (name, fields) in &rows {
        if name == SAMPLE {
            continue;
        }
        match row(name, fields, source) {
            Ok(read) => imported.add(name, read, &mut known),
            Err(reason) => imported.refused.push(Told { name: name.to_string(), reason }),
        }
    }
    Ok(imported)
}

struct Read {
    model: Model,
    price: Price,
    notes: Vec<Reason>,
}

/// By provider and model, which of the prices it is.
type Known = BTreeMap<(String, String), usize>;

impl Imported {
    /// Some models stand there with their provider's name before them and without; one will do.
    fn add(&mut self, name: &str, read: Read, known: &mut Known) {
        let key = (read.model.provider.clone(), read.model.name.clone());
        match known.get(&key).map(|at| &self.prices[*at]) {
            Some(known) if known.sheets() == read.price.sheets() => self.same.push(name.to_owned()),
            Some(_) => {
                self.refused.push(Told { name: name.to_owned(), reason: Reason::Twice });
            }
            None => {
                known.insert(key, self.prices.len());
                let told = |reason| Told { name: name.to_owned(), reason };
                self.notes.extend(read.notes.into_iter().map(told));
                self.names.push(name.to_owned());
                self.models.push(read.model);
                self.prices.push(read.price);
            }
        }
    }
}

fn row(name: &str, fields: &Fields<'_>, source: &Source) -> Result<Read, Reason> {
    let provider = text(fields, "litellm_provider").ok_or(Reason::NoProvider)?;
    let mode = text(fields, "mode").unwrap_or_default();
    let kind = kind(&mode).ok_or_else(|| Reason::Mode { mode: mode.clone() })?;
    let (sheets, notes) = sheets(fields, kind)?;
    let model = name.strip_prefix(&format!("{provider}/")).unwrap_or(name).to_owned();
    if !may_be_named(&provider, &model) {
        return Err(Reason::Name);
    }
    let url = text(fields, "source").filter(|url| url.starts_with("https://"));
    let source = Source { url: url.unwrap_or_else(|| source.url.clone()), ..source.clone() };
    let offer = Offer {
        provider: provider.clone(),
        model: model.clone(),
        region: None,
        currency: Currency::USD,
        from: None,
        to: None,
        source: source.clone(),
    };
    let price = Price::new(offer, sheets).map_err(Reason::Price)?;
    let model = Model {
        provider,
        name: model,
        aliases: Vec::new(),
        kind,
        context_tokens: count(fields, "max_input_tokens"),
        output_tokens_max: count(fields, "max_output_tokens"),
        image_tokens_max: None,
        capabilities: capabilities(fields, kind),
        retires: text(fields, "deprecation_date").filter(|day| day.parse::<Date>().is_ok()),
        source,
    };
    Ok(Read { model, price, notes })
}

/// Whether a table gives the names back as they are, and `PROVIDER/MODEL` means this model alone.
fn may_be_named(provider: &str, model: &str) -> bool {
    let is_whole =
        |name: &str| !name.is_empty() && name.trim() == name && !name.chars().any(char::is_control);
    is_whole(provider) && is_whole(model) && !provider.contains('/')
}

fn kind(mode: &str) -> Option<Kind> {
    Some(match mode {
        "chat" | "responses" => Kind::Chat,
        "completion" => Kind::Completion,
        "embedding" => Kind::Embedding,
        "image_generation" => Kind::Image,
        "rerank" => Kind::Rerank,
        "audio_transcription" => Kind::Transcription,
        "audio_speech" => Kind::Speech,
        _ => return None,
    })
}

fn capabilities(fields: &Fields<'_>, kind: Kind) -> Vec<Capability> {
    let known = [
        ("supports_function_calling", Capability::Tools),
        ("supports_vision", Capability::Vision),
        ("supports_audio_input", Capability::Audio),
        ("supports_reasoning", Capability::Reasoning),
        ("supports_response_schema", Capability::Schema),
        ("supports_prompt_caching", Capability::Caching),
    ];
    let is_true = |name: &str| fields.get(name).is_some_and(|value| value.get() == "true");
    let listed = known.into_iter().filter(|(name, _)| is_true(name)).map(|(_, it)| it);
    // Only what does not stream says so.
    let streams = fields.get("supports_native_streaming").is_none_or(|it| it.get() != "false");
    let streams =
        (streams && matches!(kind, Kind::Chat | Kind::Completion)).then_some(Capability::Streaming);
    let mut all: Vec<Capability> = listed.chain(streams).collect();
    all.sort_unstable();
    all
}

/// Where a rate belongs.
type Place = (Service, u64);

fn sheets(fields: &Fields<'_>, kind: Kind) -> Result<(Vec<Sheet>, Vec<Reason>), Reason> {
    let mut rates: BTreeMap<Place, PerClass<Option<Amount>>> = BTreeMap::new();
    let mut notes = Vec::new();
    for (name, value) in fields {
        let field = field::read(name, kind);
        if field == Field::NoPrice || says_nothing(field, value) {
            continue;
        }
        match field {
            Field::Rate { class, service, above } => {
                let each = rate(name, value, class)?;
                // Who writes to a cache for nothing still pays for the input: the row only means that
                // writing costs nothing more.
                let is_write = matches!(class, Class::CacheWrite5m | Class::CacheWrite1h);
                if each > Amount::ZERO || !is_write {
                    rates.entry((service, above)).or_default()[class] = Some(each);
                }
            }
            Field::Search => match even_search(value) {
                Some(each) => {
                    rates.entry((Service::Standard, 0)).or_default()[Class::Search] = Some(each)
                }
                None => notes.push(Reason::Field { field: name.to_string() }),
            },
            Field::Ranges => ranges(value, &mut rates)?,
            Field::OnDemand => notes.push(Reason::Field { field: name.to_string() }),
            Field::Unknown => return Err(Reason::Field { field: name.to_string() }),
            Field::NoPrice => {}
        }
    }
    check_base(&mut rates, kind)?;
    drop_incomplete(&mut rates, &mut notes);
    let sheet = |((service, above), rates)| Sheet { service, above, span: Span::Whole, rates };
    Ok((rates.into_iter().map(sheet).collect(), notes))
}

/// Nothing at all, or a price of zero in a unit that is not kept here.
fn says_nothing(field: Field, value: &RawValue) -> bool {
    matches!(value.get(), "null" | "{}" | "[]")
        || (field == Field::Unknown && Amount::parse(value.get()) == Ok(Amount::ZERO))
}

/// For one unit: LiteLLM's prices are for a token, a second, an image.
fn rate(name: &str, value: &RawValue, class: Class) -> Result<Amount, Reason> {
    let number = |cause| Reason::Number { field: name.to_owned(), cause };
    let amount = Amount::parse(value.get()).map_err(number)?;
    if class != Class::Millisecond {
        return Ok(amount);
    }
    let is_exact = amount.pico().is_multiple_of(1_000);
    let per_ms = Amount::from_pico(amount.pico() / 1_000);
    if is_exact { Ok(per_ms) } else { Err(number(DecimalError::TooFine { places: 9 })) }
}

/// The price of a search, where it does not depend on how much is searched.
fn even_search(value: &RawValue) -> Option<Amount> {
    let sizes: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value.get()).ok()?;
    let mut sizes = sizes.values().map(|size| Amount::parse(size.get()).ok());
    let first = sizes.next()??;
    sizes.all(|size| size == Some(first)).then_some(first)
}

/// `tiered_pricing`: prices by ranges of input, each for the whole call.
fn ranges(
    value: &RawValue,
    rates: &mut BTreeMap<Place, PerClass<Option<Amount>>>,
) -> Result<(), Reason> {
    let unknown = |field: &str| Reason::Field { field: format!("tiered_pricing.{field}") };
    let tiers: Vec<Fields<'_>> = serde_json::from_str(value.get()).map_err(|_| unknown("range"))?;
    for tier in tiers {
        let range = tier.get("range").ok_or_else(|| unknown("range"))?;
        let range: Vec<f64> = serde_json::from_str(range.get()).map_err(|_| unknown("range"))?;
        let start =
            range.first().filter(|start| start.fract() == 0.0 && (0.0..1e15).contains(*start));
        let above = *start.ok_or_else(|| unknown("range"))? as u64;
        for (name, value) in tier.iter().filter(|(name, _)| *name != "range") {
            match field::read(name, Kind::Chat) {
                Field::Rate { class, service, above: 0 } => {
                    let rate = rate(name, value, class)?;
                    rates.entry((service, above)).or_default()[class] = Some(rate);
                }
                _ => return Err(unknown(name)),
            }
        }
    }
    Ok(())
}

/// A row must state what its kind of model is billed by. One where nothing costs anything says that its
/// price is not known as often as that it is free, and would let every budget be passed.
fn check_base(
    rates: &mut BTreeMap<Place, PerClass<Option<Amount>>>,
    kind: Kind,
) -> Result<(), Reason> {
    let base = rates.get_mut(&(Service::Standard, 0)).ok_or(Reason::NoPrice)?;
    let is_priced = Class::ALL.iter().any(|class| base[*class].is_some_and(|it| it > Amount::ZERO));
    let by_call = [Class::Request, Class::Millisecond].iter().any(|class| base[*class].is_some());
    for class in kind.priced() {
        if base[*class].is_none() && by_call {
            base[*class] = Some(Amount::ZERO);
        }
    }
    let is_stated = kind.priced().iter().all(|class| base[*class].is_some());
    if is_priced && is_stated { Ok(()) } else { Err(Reason::NoPrice) }
}

/// A dear service that names no price for input or output would be billed at the standard one.
fn drop_incomplete(rates: &mut BTreeMap<Place, PerClass<Option<Amount>>>, notes: &mut Vec<Reason>) {
    let base = rates[&(Service::Standard, 0)];
    let whole = |rates: &PerClass<Option<Amount>>| {
        [Class::Input, Class::Output].iter().all(|it| rates[*it].is_some() || base[*it].is_none())
    };
    let incomplete: Vec<Place> = rates
        .iter()
        .filter(|((service, _), rates)| *service == Service::Priority && !whole(rates))
        .map(|(place, _)| *place)
        .collect();
    // Without its lowest step a ladder means nothing.
    let rootless = rates.keys().filter(|(service, _)| !rates.contains_key(&(*service, 0)));
    let gone: Vec<Place> =
        incomplete.into_iter().chain(rootless.copied().collect::<Vec<_>>()).collect();
    for place in gone {
        let (service, above) = place;
        rates.retain(|at, _| at.0 != service || at.1 < above);
        notes.push(Reason::Field { field: format!("{} above {above}", service.name()) });
    }
}

fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

fn count(fields: &Fields<'_>, name: &str) -> Option<u64> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}
