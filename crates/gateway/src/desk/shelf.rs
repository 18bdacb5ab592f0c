//! The models that a site has now, each with its lane and what its lane says of itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Namespace, SecretName, Timestamp};
use http::HeaderValue;
use models::{
    Ask, Dialect, Health, Model, ModelName, ModelSpec, NamesOf, Operation, PriceSpec, ProtectSpec,
    RouteSpec, Upstream, Way, address,
};
use pricing::{Bound, Catalogue, Money, Price, Prompt, Service, bound, input_tokens_max};
use privacy::Names;
use tokio::sync::Semaphore;

use super::origin::{Origins, Reach};
use super::routed::{Candidate, Found, Revision, RouteStanding, Routed};
use super::veil::Veil;
use crate::gate::Gate;
use crate::lane::Lane;

/// All that can be asked for.
#[derive(Debug, Default)]
pub struct Shelf {
    models: BTreeMap<Key, Arc<Shelved>>,
    routes: BTreeMap<Key, Arc<Routed>>,
    /// Those that are shared at all, by name alone.
    shared: HashMap<ModelName, Vec<Key>>,
    here: BTreeSet<String>,
    origins: Origins,
}

type Key = (Namespace, ModelName);

/// What a shelf is made of.
#[derive(Debug, Default)]
pub struct ShelfParts {
    pub models: Vec<Model>,
    pub routes: Vec<(Namespace, ModelName, RouteSpec)>,
    pub catalogue: Option<Arc<Catalogue>>,
    /// What every model that computes elsewhere is protected by at least.
    pub least: Option<ProtectSpec>,
    /// Origins that are at the site, beside the machine itself.
    pub here: BTreeSet<String>,
    pub names: NameLists,
}

/// By whose model, and from which columns: the names, or why they cannot be read.
pub type NameLists = BTreeMap<(Namespace, BTreeSet<NamesOf>), Result<Arc<Names>, String>>;

/// One model where calls find it.
#[derive(Debug)]
pub struct Shelved {
    pub model: Model,
    pub(super) revision: Revision,
    pub(super) outlet: Outlet,
    /// Of its upstream, with all other models there; its own, where the site runs it itself.
    health: Arc<Mutex<Health>>,
    pub(super) places: Arc<Semaphore>,
    /// What is sent to open the upstream, and since when it is known.
    opens: Mutex<Option<Opens>>,
    pricing: Pricing,
    /// What bounds a call.
    facts: pricing::Model,
    /// What stands between it and whoever calls it; or why nobody may.
    pub(super) veil: Veiling,
}

pub(super) type Veiling = Result<Option<Arc<Veil>>, String>;

fn veil(
    model: &Model,
    least: Option<&ProtectSpec>,
    here: &BTreeSet<String>,
    lists: &NameLists,
) -> Veiling {
    let protection = model.protection(least, here);
    let names = if protection.names.is_empty() {
        None
    } else {
        let found = lists.get(&(model.namespace.clone(), protection.names.clone()));
        let names = found.ok_or("its lists of names are not read yet")?;
        Some(Arc::clone(names.as_ref().map_err(Clone::clone)?))
    };
    Ok(Veil::new(protection, names).map(Arc::new))
}

fn is_same(one: &Veiling, other: &Veiling) -> bool {
    match (one, other) {
        (Ok(Some(one)), Ok(Some(other))) => one.is_same(other),
        (Ok(None), Ok(None)) => true,
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

/// How a model is reached.
#[derive(Debug)]
pub(super) enum Outlet {
    Lane(Box<Outside>),
    /// Why there is no way to its upstream.
    Denied(String),
    /// The site runs it itself.
    Disk,
}

/// An upstream, and the way to it.
#[derive(Debug)]
pub(super) struct Outside {
    pub upstream: Upstream,
    pub lane: Arc<Lane>,
    /// The path of the upstream's address, before the dialect's own.
    path: String,
    /// Whether that is of this machine.
    is_local: bool,
}

/// In which names a model is asked where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct There<'a> {
    pub name: &'a str,
    /// How it calls a limit of output, where that is not the usual name.
    pub output: Option<&'a str>,
    /// A server of this machine: some of these know no name but the usual one.
    pub is_local: bool,
}

/// What is sent to open an upstream, and since when it is known.
pub(super) type Opens = (HeaderValue, Timestamp);

#[derive(Debug)]
enum Pricing {
    Free,
    Own(Arc<Price>),
    Listed { catalogue: Arc<Catalogue>, provider: String, name: String, region: Option<String> },
    Unknown,
}

impl Shelf {
    /// Upstreams keep their connections and what is known of them, whatever changes about their models.
    pub(super) fn of(parts: ShelfParts, before: &Self, gate: &Arc<Gate>, now: Timestamp) -> Self {
        let ShelfParts { models, routes, catalogue, least, here, names } = parts;
        let mut reach = Reach { gate, before: &before.origins, now: Origins::new() };
        let shelved = |model: Model| {
            let key = (model.namespace.clone(), model.name.clone());
            let veil = veil(&model, least.as_ref(), &here, &names);
            let same = before.models.get(&key);
            let same = same.filter(|it| it.model == model && is_same(&it.veil, &veil));
            let shelved = match same {
                Some(same) => {
                    reach.keep(&model, &same.outlet);
                    Arc::clone(same)
                }
                None => {
                    let (outlet, health) = reach.of(&model);
                    Arc::new(Shelved::new(model, veil, outlet, health, catalogue.as_ref()))
                }
            };
            (key, shelved)
        };
        let route = |(namespace, name, spec)| {
            let key: Key = (namespace, name);
            let routed = Routed::of(&key.1, spec, before.routes.get(&key), now);
            (key, routed)
        };
        let models: BTreeMap<Key, _> = models.into_iter().map(shelved).collect();
        let routes: BTreeMap<Key, Arc<Routed>> = routes.into_iter().map(route).collect();
        let mut shared: HashMap<ModelName, Vec<Key>> = HashMap::new();
        let of_models = models.iter().filter(|(_, it)| !it.model.spec.share.is_empty());
        let of_routes = routes.iter().filter(|(_, it)| !it.spec.share.is_empty());
        for key in of_models.map(|(key, _)| key).chain(of_routes.map(|(key, _)| key)) {
            shared.entry(key.1.clone()).or_default().push(key.clone());
        }
        Self { models, routes, shared, here, origins: reach.now }
    }

    /// A secret was set or deleted: whatever was known of it is not true of it any more.
    pub(super) fn secret_changed(&self, namespace: &Namespace, secret: &SecretName) {
        let own = self.models.iter().filter(|((home, _), _)| home == namespace);
        for (_, shelved) in own {
            let opened_by = shelved.model.spec.source.upstream().and_then(|it| it.secret.as_ref());
            if opened_by == Some(secret) {
                shelved.opens(|opens| *opens = None);
                shelved.health(|health, _| health.forget(secret));
            }
        }
    }

    /// Those of other namespaces that have this name and are shared with somebody.
    fn others(&self, name: &ModelName) -> impl Iterator<Item = &Key> {
        self.shared.get(name).into_iter().flatten()
    }

    /// A model of the namespace itself, or one that is shared with it. A name without a version also
    /// means the highest of its versions.
    fn model(&self, namespace: &Namespace, name: &ModelName) -> Option<&Arc<Shelved>> {
        self.exactly(namespace, name).or_else(|| {
            let newest = self.newest(namespace, name)?;
            self.exactly(namespace, newest)
        })
    }

    /// Of the versions that have a place in the order.
    fn newest(&self, namespace: &Namespace, name: &ModelName) -> Option<&ModelName> {
        if name.split().1.is_some() {
            return None;
        }
        let own = self.models.keys().filter(|(home, _)| home == namespace).map(|(_, name)| name);
        let all = own.chain(self.shared.keys());
        let of = all.filter(|it| it.split().0 == name.as_str() && it.version().is_some());
        let reached = of.filter(|it| self.exactly(namespace, it).is_some());
        reached.max_by_key(|it| it.version())
    }

    fn exactly(&self, namespace: &Namespace, name: &ModelName) -> Option<&Arc<Shelved>> {
        let own = self.models.get(&(namespace.clone(), name.clone()));
        own.or_else(|| {
            let mut others = self.others(name).filter_map(|key| self.models.get(key));
            others.find(|it| it.model.spec.is_shared_with(namespace))
        })
    }

    fn route(&self, namespace: &Namespace, name: &ModelName) -> Option<(&Namespace, &Arc<Routed>)> {
        let own = self.routes.get_key_value(&(namespace.clone(), name.clone()));
        let own = own.map(|((home, _), route)| (home, route));
        own.or_else(|| {
            let is_shared = |share: &RouteSpec| {
                share.share.contains("*") || share.share.contains(namespace.as_str())
            };
            let mut others = self.others(name).filter_map(|key| self.routes.get_key_value(key));
            others.find(|(_, it)| is_shared(&it.spec)).map(|((home, _), it)| (home, it))
        })
    }

    /// What is meant by a name. Models of a shared route are its own namespace's: whoever shares the
    /// route shares them by it.
    pub(super) fn find(
        &self,
        namespace: &Namespace,
        name: &ModelName,
        chance: impl FnOnce(&RouteSpec) -> u64,
    ) -> Option<Found> {
        if let Some((home, route)) = self.route(namespace, name) {
            let spec = &route.spec;
            let in_region = |it: &Candidate| it.is_in(&spec.regions, self.is_here(&it.shelved));
            let (mut models, mut absent) = (Vec::new(), Vec::new());
            for (place, target) in spec.order(chance(spec)) {
                match self.model(home, &target.model) {
                    Some(shelved) => models.push(Candidate { shelved: Arc::clone(shelved), place }),
                    None if models.is_empty() => absent.push(target.model.clone()),
                    None => {}
                }
            }
            models.retain(in_region);
            let (legs, route) = (spec.legs(), Some(Arc::clone(route)));
            return Some(Found { models, legs, route, absent });
        }
        self.model(namespace, name).map(Found::of_model)
    }

    pub(super) fn names(&self, namespace: &Namespace) -> Vec<ModelName> {
        let keys = self.models.keys().chain(self.routes.keys());
        // A version may be asked for without it.
        let bare = |name: &ModelName| ModelName::parse(name.split().0).ok();
        let mut names: Vec<_> =
            keys.flat_map(|(_, name)| [Some(name.clone()), bare(name)]).flatten().collect();
        names.sort();
        names.dedup();
        let is_there = |name: &ModelName| {
            self.model(namespace, name).is_some() || self.route(namespace, name).is_some()
        };
        names.retain(is_there);
        names
    }

    /// How the route of this name stands, where it has limits.
    #[must_use]
    pub fn standing(
        &self,
        namespace: &Namespace,
        name: &ModelName,
        now: Timestamp,
    ) -> Option<RouteStanding> {
        let routed = self.routes.get(&(namespace.clone(), name.clone()))?;
        routed.spec.limits.is_any().then(|| routed.standing(now))
    }

    /// Models that a route of this namespace names, and that are not there.
    pub fn absent<'a>(
        &self,
        home: &Namespace,
        spec: &'a RouteSpec,
    ) -> impl Iterator<Item = &'a ModelName> {
        let named = spec.to.iter().map(|target| &target.model);
        named.filter(|name| self.model(home, name).is_none())
    }

    /// Whether what it is given stays at this site.
    pub(super) fn is_here(&self, shelved: &Shelved) -> bool {
        shelved.model.spec.is_here(&self.here)
    }

    /// All models, by namespace and name.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Shelved>> {
        self.models.values()
    }
}

impl Outside {
    pub(super) fn new(upstream: &Upstream, lane: Arc<Lane>) -> Self {
        let (_, path) = address(&upstream.url).unwrap_or_default();
        let path = match upstream.dialect {
            Dialect::OpenAi => path,
            // Their clients are told the address without the version.
            Dialect::Anthropic => path.strip_suffix("/v1").unwrap_or(path),
            Dialect::OpenInference => path.strip_suffix("/v2").unwrap_or(path),
        };
        let is_local = models::is_here(&upstream.url, &BTreeSet::new());
        Self { upstream: upstream.clone(), lane, path: path.to_owned(), is_local }
    }

    /// Where it answers this.
    pub(super) fn path(&self, operation: Operation, name: &ModelName) -> String {
        let below = match self.upstream.dialect {
            Dialect::OpenAi => operation.short_path(),
            Dialect::Anthropic => operation.path(),
            Dialect::OpenInference => return self.infers(name),
        };
        format!("{}{below}", self.path)
    }

    /// A version stands in a place of its own there.
    fn infers(&self, name: &ModelName) -> String {
        let (path, there) = (&self.path, self.name_there(name));
        let escaped = |text: &str| text.replace('%', "%25").replace('/', "%2F");
        match there.rsplit_once('@') {
            Some((there, version)) => {
                let (there, version) = (escaped(there), escaped(version));
                format!("{path}/v2/models/{there}/versions/{version}/infer")
            }
            None => format!("{path}/v2/models/{}/infer", escaped(there)),
        }
    }

    /// In which names it is asked.
    pub(super) fn spoken<'a>(&'a self, name: &'a ModelName) -> There<'a> {
        There {
            name: self.name_there(name),
            output: self.upstream.output_parameter.as_deref(),
            is_local: self.is_local,
        }
    }

    /// What the upstream calls it.
    pub(super) fn name_there<'a>(&'a self, name: &'a ModelName) -> &'a str {
        self.upstream.model.as_deref().unwrap_or(name.as_str())
    }
}

impl Shelved {
    fn new(
        model: Model,
        veil: Veiling,
        outlet: Outlet,
        health: Arc<Mutex<Health>>,
        catalogue: Option<&Arc<Catalogue>>,
    ) -> Self {
        let spec = &model.spec;
        let listed = listed(spec, &model.name, catalogue);
        let facts = facts(spec, &model.name, listed);
        let pricing = match &spec.price {
            Some(PriceSpec::Free) => Pricing::Free,
            Some(PriceSpec::Own(own)) => match own.price(pricing::OWN, model.name.as_str()) {
                Ok(price) => Pricing::Own(Arc::new(price)),
                Err(_) => Pricing::Unknown,
            },
            // What it costs to run is in the owner's books, unless he says otherwise here.
            None if matches!(outlet, Outlet::Disk) => Pricing::Free,
            Some(PriceSpec::Catalogue(_)) | None => match (listed, catalogue) {
                (Some(found), Some(catalogue)) => Pricing::Listed {
                    catalogue: Arc::clone(catalogue),
                    provider: found.provider.clone(),
                    name: found.name.clone(),
                    region: spec.region.clone(),
                },
                _ => Pricing::Unknown,
            },
        };
        Self {
            revision: Revision::next(),
            places: Arc::new(Semaphore::new(spec.limits.concurrency() as usize)),
            outlet,
            health,
            opens: Mutex::default(),
            pricing,
            facts,
            veil,
            model,
        }
    }

    /// What is known of its upstream, and which secret opens that.
    pub(super) fn health<T>(&self, ask: impl FnOnce(&mut Health, Option<&SecretName>) -> T) -> T {
        let secret = self.model.spec.source.upstream().and_then(|it| it.secret.as_ref());
        ask(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner), secret)
    }

    pub(super) fn opens<T>(&self, change: impl FnOnce(&mut Option<Opens>) -> T) -> T {
        change(&mut self.opens.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What its lane says now.
    #[must_use]
    pub fn way(&self, now: Timestamp) -> Way {
        self.health(|health, secret| health.look(secret, now))
    }

    /// Why there is no way to it at all.
    #[must_use]
    pub fn denied(&self) -> Option<&str> {
        let veil = self.veil.as_ref().err();
        match &self.outlet {
            Outlet::Denied(why) => Some(why),
            Outlet::Lane(_) | Outlet::Disk => veil.map(String::as_str),
        }
    }

    pub(super) fn price(&self, at: Timestamp) -> Option<Arc<Price>> {
        match &self.pricing {
            Pricing::Own(price) => Some(Arc::clone(price)),
            Pricing::Listed { catalogue, provider, name, region } => {
                catalogue.price(provider, name, region.as_deref(), at).cloned()
            }
            Pricing::Free | Pricing::Unknown => None,
        }
    }

    pub(super) const fn is_free(&self) -> bool {
        matches!(self.pricing, Pricing::Free)
    }

    /// The most that it can answer, for one of the answers.
    pub(super) fn output_tokens_max(&self, asked: Option<u64>) -> Option<u64> {
        match (asked, self.facts.output_tokens_max) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        }
    }

    pub(super) fn input_tokens_max(&self, prompt: &Prompt) -> Option<u64> {
        input_tokens_max(prompt, &self.facts)
    }

    /// The most that a call of tensors can cost here: that of its deadline, where the site runs it.
    pub(super) fn bound_of_tensors(&self, now: Timestamp) -> Result<Option<Money>, String> {
        if self.is_free() {
            return Ok(None);
        }
        let name = &self.model.name;
        let Some(price) = self.price(now) else {
            return Err(unpriced(name));
        };
        let limits = Bound {
            input_tokens_max: Some(0),
            output_tokens_max: Some(0),
            milliseconds_max: self.deadline_millis(),
            ..Bound::default()
        };
        bound(&price, &limits).map(Some).ok_or_else(|| {
            format!("nobody knows how long `{name}` takes for a call; give it a price by `request`")
        })
    }

    /// How long a call can take, where the site runs the model.
    fn deadline_millis(&self) -> Option<u64> {
        let deadline = || self.model.spec.limits.deadline().as_millis();
        matches!(self.outlet, Outlet::Disk).then(deadline)
    }

    /// The most that a call can cost here; `None` where it costs nothing. The error says what is missing.
    pub(super) fn bound(
        &self,
        prompt: &Prompt,
        ask: &Ask,
        now: Timestamp,
    ) -> Result<Option<Money>, String> {
        if self.is_free() {
            return Ok(None);
        }
        let name = &self.model.name;
        let Some(price) = self.price(now) else {
            return Err(unpriced(name));
        };
        let output = match ask.operation {
            Operation::Embeddings => Some(0),
            _ => self.output_tokens_max(ask.output_tokens_max),
        };
        let output = output.and_then(|tokens| tokens.checked_mul(ask.choices));
        // What is asked in other words is asked without a word of the service.
        let is_passed = self.model.spec.asked_as(ask.operation) == Some(ask.operation);
        let service = ask.service.filter(|_| is_passed);
        if service == Some(Service::Other) {
            return Err(format!(
                "the request says `speed`, which has no price for `{name}`; leave it out"
            ));
        }
        if let Some(what) = &ask.unbounded {
            return Err(format!(
                "the request has `{what}`, and nobody can say how much `{name}` does for it; leave it out"
            ));
        }
        let limits = Bound {
            input_tokens_max: self.input_tokens_max(prompt),
            output_tokens_max: output,
            has_images: prompt.images > 0 || prompt.has_other_media,
            has_audio: prompt.has_other_media,
            speaks: ask.speaks,
            milliseconds_max: self.deadline_millis(),
            service,
            ..Bound::default()
        };
        match bound(&price, &limits) {
            Some(most) => Ok(Some(most)),
            None if output.is_none() => Err(format!(
                "neither the request nor the model `{name}` limits its output; send `max_tokens`, or give the model `limits.outputTokens`"
            )),
            None => Err(format!(
                "nobody knows how many tokens its input becomes for `{name}`; give the model `limits.contextTokens`"
            )),
        }
    }
}

fn unpriced(name: &ModelName) -> String {
    format!("`{name}` has no price; give it one, or say that it is free")
}

/// What the catalogue has of it.
fn listed<'a>(
    spec: &ModelSpec,
    name: &ModelName,
    catalogue: Option<&'a Arc<Catalogue>>,
) -> Option<&'a Arc<pricing::Model>> {
    let catalogue = catalogue?;
    if let Some(PriceSpec::Catalogue(reference)) = &spec.price {
        let (provider, name) = reference.split_once('/')?;
        return catalogue.model(provider, name);
    }
    let upstream = spec.source.upstream()?;
    let there = upstream.model.as_deref().unwrap_or(name.as_str());
    catalogue.model(provider(&upstream.url)?, there)
}

/// Whose prices hold at an address.
pub(crate) fn provider(url: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 8] = [
        ("https://api.openai.com", "openai"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://generativelanguage.googleapis.com", "google"),
        ("https://api.mistral.ai", "mistral"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.cohere.com", "cohere"),
        ("https://api.groq.com", "groq"),
        ("https://api.together.xyz", "together"),
    ];
    let (origin, _) = address(url).ok()?;
    KNOWN.into_iter().find(|(known, _)| origin == *known).map(|(_, provider)| provider)
}

fn facts(
    spec: &ModelSpec,
    name: &ModelName,
    listed: Option<&Arc<pricing::Model>>,
) -> pricing::Model {
    let listed = listed.map(|it| it.as_ref().clone());
    let base = listed.unwrap_or_else(|| pricing::Model {
        provider: pricing::OWN.to_owned(),
        name: name.to_string(),
        aliases: Vec::new(),
        kind: pricing::Kind::Chat,
        context_tokens: None,
        output_tokens_max: None,
        image_tokens_max: None,
        capabilities: Vec::new(),
        retires: None,
        source: pricing::Source { url: String::new(), via: None, dated: String::new() },
    });
    let limits = &spec.limits;
    pricing::Model {
        context_tokens: limits.context_tokens.or(base.context_tokens),
        output_tokens_max: limits.output_tokens.or(base.output_tokens_max),
        image_tokens_max: limits.image_tokens.or(base.image_tokens_max),
        ..base
    }
}
