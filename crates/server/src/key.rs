//! The keys of one API: who asks, by what they have shown.
//!
//! A key with a name is kept as its digest, with the roles that it was given. The folder's own key is
//! kept nowhere: it is made anew whenever somebody serves from the folder, for those who may read the
//! folder, and they could read the store as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use base::{Clock, Digest, Duration, KeyName, Namespace, Random, Timestamp, document};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use pricing::{Budget, Period};
use serde::{Deserialize, Serialize};
use store::{
    CommitError, Op, Preconditions, ResourceKind, ResourceRow, Store, StoreError, resource_all,
};
use tokio::sync::Mutex;
use wire::{
    ApiKey, EVERYWHERE, KeyCreate, KeyCreated, KeyScope, KeyState, KeyView, ModelTerms,
    ProblemCode, Role,
};

use crate::access::Roles;
use crate::caller::Caller;
use crate::change::change_op;
use crate::onward::Onward;
use crate::refusal::Refusal;
use crate::terms::Terms;

/// Keys of one hub or site, those that are over included: every person and tool of a large house.
const KEYS_MAX: usize = 10_000;

/// Namespaces in which one key may have roles.
const ROLES_MAX: usize = 100;

/// Shorter ones would be over before they are carried to where they are needed.
const LIFE_MIN: Duration = Duration::from_secs(60);

/// Longer ones are meant to stay until they are revoked.
const LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What the first key is called.
const FIRST_KEY: &str = "admin";

const KEY_TYPE: &str = "isonomy.key";
const KEY_VERSION: u32 = 1;

#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    /// No key comes back to life with a clock that is set back.
    clock: Arc<Onward>,
    random: Arc<dyn Random>,
    own: Digest,
    kind: &'static str,
    name: String,
    kept: RwLock<Kept>,
    /// One change at a time.
    changing: Mutex<()>,
    /// Told of each key for models that is made or over.
    watching: OnceLock<Watch>,
    /// What goes with a key.
    going: OnceLock<Going>,
}

/// What of somebody else's is changed where a key is over, or another one of its name is made.
type Going = Box<dyn Fn(&KeyName) -> Vec<Op> + Send + Sync>;

/// What somebody does who must know the keys for models.
type Watch = Box<dyn Fn(&KeyName, Option<&Terms>) + Send + Sync>;

#[derive(Default)]
struct Kept {
    by_name: BTreeMap<KeyName, Key>,
    by_digest: HashMap<Digest, KeyName>,
}

#[derive(Debug, Clone)]
struct Key {
    digest: Digest,
    doc: KeyDoc,
    roles: Roles,
    /// With the scope `model`.
    terms: Option<Arc<Terms>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeyDoc {
    digest: Digest,
    roles: BTreeMap<String, Role>,
    #[serde(default = "KeyScope::api")]
    scopes: BTreeSet<KeyScope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<ModelTerms>,
    created_at: Timestamp,
    created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum KeyChange {
    KeyCreated,
    KeyRevoked,
}

#[derive(Serialize)]
struct ChangeDoc<'a> {
    change: KeyChange,
    key: &'a KeyName,
    roles: &'a BTreeMap<String, Role>,
    scopes: &'a BTreeSet<KeyScope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a ModelTerms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("cannot read the keys")]
    Store(#[from] StoreError),
    #[error("the record of the key `{0}` is damaged, or of a newer version")]
    Damaged(String),
}

/// What keys are made with.
pub struct KeyParts {
    store: Arc<dyn Store>,
    clock: Arc<Onward>,
    random: Arc<dyn Random>,
}

impl KeyParts {
    pub fn of(store: &Arc<dyn Store>, clock: &Arc<Onward>, random: &Arc<dyn Random>) -> Self {
        let (store, clock, random) = (Arc::clone(store), Arc::clone(clock), Arc::clone(random));
        Self { store, clock, random }
    }

    /// `kind` is `hub` or `site`; `own` is for those who may read the folder.
    pub async fn open(
        self,
        kind: &'static str,
        name: &str,
        own: ApiKey,
    ) -> Result<Keys, KeysError> {
        let Self { store, clock, random } = self;
        let mut kept = Kept::default();
        for row in resource_all(store.as_ref(), ResourceKind::Key).await? {
            let damaged = || KeysError::Damaged(row.name.clone());
            let name = KeyName::parse(&row.name).map_err(|_| damaged())?;
            kept.put(name, Key::read(&row.record).ok_or_else(damaged)?);
        }
        let seen = kept.by_name.values().map(|key| key.doc.seen()).max();
        seen.into_iter().for_each(|seen| clock.has_been(seen));
        let (own, name) = (own.digest(), name.to_owned());
        let (kept, changing) = (RwLock::new(kept), Mutex::default());
        let (watching, going) = (OnceLock::new(), OnceLock::new());
        let inner =
            Inner { store, clock, random, own, kind, name, kept, changing, watching, going };
        Ok(Keys(Arc::new(inner)))
    }
}

impl Keys {
    /// Who asks. Whoever has the folder's own key says it himself.
    pub(crate) fn who(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let digest = shown(headers)?.digest();
        if digest == self.0.own {
            return Caller::of_folder(headers);
        }
        let now = self.now();
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || denied("the key is not known here: it was made for another hub or site");
        let name = kept.by_digest.get(&digest).ok_or_else(unknown)?;
        let key = &kept.by_name[name];
        key.doc.need_good(now)?;
        if !key.doc.scopes.contains(&KeyScope::Api) {
            return Err(denied("this key is not for this API; ask for one with the scope `api`"));
        }
        Ok(Caller::with_key(name, key.roles.clone()))
    }

    pub(crate) async fn create(
        &self,
        caller: &Caller,
        ask: KeyCreate,
    ) -> Result<KeyCreated, Refusal> {
        let KeyCreate { name, roles, scopes, model, ttl_seconds, reason } = ask;
        let by = caller.because(reason)?;
        let name = KeyName::parse(&name).map_err(|wrong| Refusal::parameter("name", wrong))?;
        let given = Roles::read(&roles)?;
        let terms = Terms::read(&scopes, model.as_ref(), self.0.kind)?.map(Arc::new);
        let is_api = scopes.contains(&KeyScope::Api);
        if is_api == given.is_empty() || roles.len() > ROLES_MAX {
            let what = format!(
                "give a role in 1 to {ROLES_MAX} namespaces to a key with the scope `api`, and to no other"
            );
            return Err(Refusal::parameter("roles", what));
        }
        if is_api {
            caller.roles().need_admin_of(&given)?;
        }
        if let Some(terms) = &terms {
            caller.roles().need(Role::Admin, &terms.namespace)?;
        }
        if scopes.is_empty() {
            return Err(Refusal::parameter("scopes", "give at least one, such as `api`"));
        }
        let life = ttl_seconds.map(Duration::from_secs);
        if life.is_some_and(|life| !(LIFE_MIN..=LIFE_MAX).contains(&life)) {
            return Err(Refusal::parameter("ttlSeconds", "from a minute to ten years"));
        }
        let _alone = self.0.changing.lock().await;
        let now = self.now();
        self.has_place(&name, caller, now)?;
        let key = ApiKey::new(self.0.random.as_ref());
        let doc = KeyDoc {
            digest: key.digest(),
            roles,
            scopes,
            model,
            created_at: now,
            created_by: by.actor.clone(),
            until: life.map(|life| now.plus(life)),
            revoked_at: None,
        };
        let change = ChangeDoc {
            change: KeyChange::KeyCreated,
            key: &name,
            roles: &doc.roles,
            scopes: &doc.scopes,
            model: doc.model.as_ref(),
            reason: by.reason.as_deref(),
        };
        let mut ops = vec![doc.op(&name), change_op(&change, &by, now)];
        ops.extend(self.goes_with(&name));
        self.0.store.commit(ops, Preconditions::none()).await?;
        let view = doc.view(&name, now);
        self.tell(&name, terms.as_deref());
        self.put(name, Key { digest: doc.digest, doc, roles: given, terms });
        Ok(KeyCreated { key: key.to_text(), view })
    }

    /// The key of whoever has just made this hub or site, for their own machine.
    pub async fn first(&self) -> Result<KeyCreated, Refusal> {
        let caller = Caller::named("init");
        let everything = BTreeMap::from([(EVERYWHERE.to_owned(), Role::Admin)]);
        let ask = KeyCreate {
            name: FIRST_KEY.to_owned(),
            roles: everything,
            scopes: KeyScope::api(),
            model: None,
            ttl_seconds: None,
            reason: None,
        };
        self.create(&caller, ask).await
    }

    /// Whether a new key of that name may be made.
    fn has_place(&self, name: &KeyName, caller: &Caller, now: Timestamp) -> Result<(), Refusal> {
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        match kept.by_name.get(name) {
            Some(key) if key.doc.state(now) == KeyState::Good => {
                let detail =
                    format!("there is a good key `{name}`; revoke it, or take another name");
                Err(Refusal::new(ProblemCode::KeyExists, detail))
            }
            // Whoever may not see a key does not take its place either.
            Some(key) => key.need_admin(caller),
            None if kept.by_name.len() >= KEYS_MAX => {
                let detail = format!(
                    "there are {KEYS_MAX} keys, and no more are kept; give one that is over a new life by its name"
                );
                Err(Refusal::new(ProblemCode::KeyLimit, detail))
            }
            None => Ok(()),
        }
    }

    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        name: &KeyName,
        reason: Option<String>,
    ) -> Result<KeyView, Refusal> {
        let by = caller.because(reason)?;
        let _alone = self.0.changing.lock().await;
        let mut key = self.find(caller, name)?;
        let now = self.now();
        if key.doc.revoked_at.is_some() {
            return Ok(key.doc.view(name, now));
        }
        key.doc.revoked_at = Some(now);
        let change = ChangeDoc {
            change: KeyChange::KeyRevoked,
            key: name,
            roles: &key.doc.roles,
            scopes: &key.doc.scopes,
            model: key.doc.model.as_ref(),
            reason: by.reason.as_deref(),
        };
        let mut ops = vec![key.doc.op(name), change_op(&change, &by, now)];
        ops.extend(self.goes_with(name));
        self.0.store.commit(ops, Preconditions::none()).await?;
        let view = key.doc.view(name, now);
        self.tell(name, None);
        self.put(name.clone(), key);
        Ok(view)
    }

    /// Commits that a key has no budget of this period, and that it brings none with it any more.
    pub async fn without_budget(
        &self,
        name: &KeyName,
        period: Period,
        mut ops: Vec<Op>,
    ) -> Result<(), CommitError> {
        let _alone = self.0.changing.lock().await;
        let key = {
            let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
            kept.by_name.get(name).and_then(|key| key.without_budget(period))
        };
        ops.extend(key.as_ref().map(|key| key.doc.op(name)));
        self.0.store.commit(ops, Preconditions::none()).await?;
        if let Some(key) = key {
            self.put(name.clone(), key);
        }
        Ok(())
    }

    /// Who calls a model. With the key of the folder, none of them.
    pub fn caller_of_models(&self, headers: &HeaderMap) -> Result<ModelCaller, Refusal> {
        let digest = shown_to_models(headers)?.digest();
        if digest == self.0.own {
            return Ok(ModelCaller::Folder);
        }
        let now = self.now();
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || denied("the key is not known here: it was made for another site");
        let name = kept.by_digest.get(&digest).ok_or_else(unknown)?;
        let key = &kept.by_name[name];
        key.doc.need_good(now)?;
        let terms = key.terms.as_ref().ok_or_else(|| {
            denied("this key is not for models; ask for one with the scope `model`")
        })?;
        Ok(ModelCaller::Key(name.clone(), Arc::clone(terms)))
    }

    /// Tells of each key for models: those that are there now, and from now on each that is made or over.
    pub fn watch_models(&self, watch: impl Fn(&KeyName, Option<&Terms>) + Send + Sync + 'static) {
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        for (name, key) in &kept.by_name {
            if key.doc.revoked_at.is_none() && key.terms.is_some() {
                watch(name, key.terms.as_deref());
            }
        }
        drop(kept);
        self.0.watching.set(Box::new(watch)).ok();
    }

    /// What is changed in the same commit as a key: where it is over, and where one of its name is made.
    pub fn on_end(&self, going: impl Fn(&KeyName) -> Vec<Op> + Send + Sync + 'static) {
        self.0.going.set(Box::new(going)).ok();
    }

    fn goes_with(&self, name: &KeyName) -> Vec<Op> {
        self.0.going.get().map(|going| going(name)).unwrap_or_default()
    }

    fn tell(&self, name: &KeyName, terms: Option<&Terms>) {
        if let Some(watch) = self.0.watching.get() {
            watch(name, terms);
        }
    }

    /// Those that the caller may hand out, by name.
    pub(crate) fn list(
        &self,
        caller: &Caller,
        after: Option<&KeyName>,
        limit: usize,
    ) -> Vec<KeyView> {
        let now = self.now();
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        let behind = kept.by_name.iter().filter(|(name, _)| after.is_none_or(|it| *name > it));
        let seen = behind.filter(|(_, key)| key.need_admin(caller).is_ok());
        seen.take(limit).map(|(name, key)| key.doc.view(name, now)).collect()
    }

    /// `hub` or `site`, and which.
    pub(crate) fn whose(&self) -> (&'static str, &str) {
        (self.0.kind, &self.0.name)
    }

    /// A key that the caller may not see is not there.
    fn find(&self, caller: &Caller, name: &KeyName) -> Result<Key, Refusal> {
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        let key = kept.by_name.get(name);
        let key = key.filter(|key| key.need_admin(caller).is_ok());
        key.cloned().ok_or_else(|| {
            Refusal::new(ProblemCode::KeyMissing, format!("there is no key `{name}`"))
        })
    }

    /// Whether the key of this name is for models; `None` where there is none, or none that the caller may see.
    #[must_use]
    pub fn is_for_models(&self, caller: &Caller, name: &KeyName) -> Option<bool> {
        self.find(caller, name).ok().map(|key| key.terms.is_some())
    }

    /// In which namespace the calls of this key are.
    #[must_use]
    pub fn namespace_of(&self, name: &KeyName) -> Option<Namespace> {
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        Some(kept.by_name.get(name)?.terms.as_ref()?.namespace.clone())
    }

    /// Whether the key of this name was revoked, or its time is over.
    #[must_use]
    pub fn is_over(&self, name: &KeyName) -> bool {
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.by_name.get(name).is_some_and(|key| key.doc.state(self.now()) != KeyState::Good)
    }

    fn put(&self, name: KeyName, key: Key) {
        self.0.kept.write().unwrap_or_else(PoisonError::into_inner).put(name, key);
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

/// The key that a request shows.
fn shown(headers: &HeaderMap) -> Result<ApiKey, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(denied(
            "send the header `authorization: Bearer KEY`; `isonomy keys create` makes one, and where this API serves from, the file `key` of its data folder has one",
        ));
    };
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    let text = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let wrong =
        "the header `authorization` is not `Bearer` and a key that begins with `isonomy-key-`";
    text.and_then(|(_, key)| key.parse().ok()).ok_or_else(|| denied(wrong))
}

/// The same, or as Anthropic's client shows it.
fn shown_to_models(headers: &HeaderMap) -> Result<ApiKey, Refusal> {
    match headers.get("x-api-key").map(|value| value.to_str().unwrap_or_default().parse()) {
        Some(Ok(key)) => Ok(key),
        Some(Err(_)) => {
            Err(denied("the header `x-api-key` has no key that begins with `isonomy-key-`"))
        }
        None => shown(headers),
    }
}

/// Who calls a model.
#[derive(Debug, Clone)]
pub enum ModelCaller {
    /// Whoever may read the folder.
    Folder,
    Key(KeyName, Arc<Terms>),
}

fn denied(detail: &str) -> Refusal {
    Refusal::new(ProblemCode::KeyRequired, detail)
}

impl Kept {
    fn put(&mut self, name: KeyName, key: Key) {
        let digest = key.digest;
        if let Some(before) = self.by_name.insert(name.clone(), key) {
            self.by_digest.remove(&before.digest);
        }
        self.by_digest.insert(digest, name);
    }
}

impl Key {
    fn read(record: &[u8]) -> Option<Self> {
        let doc: KeyDoc = document::read(record, KEY_TYPE, KEY_VERSION).ok()?;
        let roles = Roles::read(&doc.roles).ok()?;
        let terms = doc.model.as_ref().map(Terms::of).transpose().ok()?.map(Arc::new);
        Some(Self { digest: doc.digest, doc, roles, terms })
    }

    /// None where it has no such budget.
    fn without_budget(&self, period: Period) -> Option<Self> {
        let (mut key, is_it) = (self.clone(), |budget: &Budget| budget.period() == period);
        let terms = Arc::make_mut(key.terms.as_mut()?);
        let at = terms.budgets.iter().position(is_it)?;
        terms.budgets.remove(at);
        // As they were read, so they are written: in the same order.
        key.doc.model.as_mut()?.budgets.remove(at);
        Some(key)
    }

    /// Whether somebody may see it and end it: whoever may hand it out.
    fn need_admin(&self, caller: &Caller) -> Result<(), Refusal> {
        if !self.roles.is_empty() {
            caller.roles().need_admin_of(&self.roles)?;
        }
        match &self.terms {
            Some(terms) => caller.roles().need(Role::Admin, &terms.namespace),
            None => Ok(()),
        }
    }
}

impl KeyDoc {
    fn op(&self, name: &KeyName) -> Op {
        Op::ResourcePut(ResourceRow {
            kind: ResourceKind::Key,
            name: name.to_string(),
            record: document::write(KEY_TYPE, KEY_VERSION, self).into(),
        })
    }

    /// The latest time that this record knows to have been.
    fn seen(&self) -> Timestamp {
        self.revoked_at.map_or(self.created_at, |at| at.max(self.created_at))
    }

    fn need_good(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.state(now) {
            KeyState::Good => Ok(()),
            KeyState::Expired => Err(denied("the time of this key is over; ask for a new one")),
            KeyState::Revoked => Err(denied("this key was revoked; ask for a new one")),
        }
    }

    fn state(&self, now: Timestamp) -> KeyState {
        match (self.revoked_at, self.until) {
            (Some(_), _) => KeyState::Revoked,
            (None, Some(until)) if until <= now => KeyState::Expired,
            (None, _) => KeyState::Good,
        }
    }

    fn view(&self, name: &KeyName, now: Timestamp) -> KeyView {
        KeyView {
            name: name.to_string(),
            state: self.state(now),
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            model: self.model.clone(),
            created_at: self.created_at.to_string(),
            created_by: self.created_by.clone(),
            until: self.until.map(|at| at.to_string()),
            revoked_at: self.revoked_at.map(|at| at.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{IncarnationId, SystemClock, SystemRandom};
    use http::HeaderValue;
    use serde_json::{Value, json};
    use store::memory::MemoryStore;

    use super::*;
    use crate::onward::PROGRAM_SINCE;

    /// What the API says to a key of which these things are written down.
    async fn who(more: Value) -> Result<Caller, Refusal> {
        let key = ApiKey::new(&SystemRandom);
        let mut doc = json!({
            "digest": key.digest(), "roles": {"lab": "viewer"}, "created_at": PROGRAM_SINCE,
            "created_by": "ada",
        });
        doc.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        let row = ResourceRow {
            kind: ResourceKind::Key,
            name: "reader".to_owned(),
            record: document::write(KEY_TYPE, KEY_VERSION, &doc).into(),
        };
        let incarnation = IncarnationId::new(PROGRAM_SINCE, &SystemRandom);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(incarnation));
        store.commit(vec![Op::ResourcePut(row)], Preconditions::none()).await.expect("kept");
        let clock = Arc::new(Onward::new(Arc::new(SystemClock), PROGRAM_SINCE));
        let parts = KeyParts::of(&store, &clock, &(Arc::new(SystemRandom) as Arc<dyn Random>));
        let own = ApiKey::new(&SystemRandom);
        let keys = parts.open("site", "alpha", own).await.expect("opened");
        let value = HeaderValue::from_str(&format!("Bearer {}", key.to_text())).expect("text");
        keys.who(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    /// Mutation: take a key for what it was not made for, or none that is older than scopes.
    #[tokio::test]
    async fn a_key_is_taken_where_it_is_meant_to_be() {
        assert_eq!(
            who(json!({})).await.map(|caller| caller.actor().to_owned()),
            Ok("key:reader".to_owned())
        );
        assert!(who(json!({"scopes": ["api"]})).await.is_ok());
        let refused = who(json!({"scopes": []})).await.expect_err("not for this");
        assert!(refused.to_string().contains("scope `api`"), "{refused}");
    }
}
