//! Secrets: a service for the API, and the engine's port. Where they are kept is in `secrets`.

use std::sync::Arc;

use base::{By, Clock, ErrorType, Fault, Namespace, SecretName, SecretVersion, Value};
use engine::secret::{SecretUse, Secrets, missing};
use futures::FutureExt;
use futures::future::BoxFuture;
use secrets::{Entry, FileError, ReadError, SetError, Vault};
use serde::Serialize;
use server::{Caller, change_op};
use store::{Preconditions, Store};
use wire::{Page, ProblemCode, SecretChanged, SecretView};

use crate::change::ChangeKind;
use crate::refusal::{Refusal, finished};

#[derive(Clone)]
pub(crate) struct Keeper {
    vault: Vault,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

#[derive(Serialize)]
struct ChangeDoc<'a> {
    change: ChangeKind,
    namespace: &'a str,
    secret: &'a str,
    version: SecretVersion,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Keeper {
    pub(crate) fn new(vault: Vault, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { vault, store, clock }
    }

    pub(crate) async fn list(
        &self,
        namespace: &Namespace,
        after: Option<SecretName>,
        limit: u32,
    ) -> Result<Page<SecretView>, Refusal> {
        let mut entries = self.vault.list(namespace).await.map_err(unreadable)?;
        if let Some(after) = after {
            entries.retain(|entry| entry.name > after);
        }
        let shown = &entries[..entries.len().min(limit as usize)];
        let last = shown.last().filter(|_| entries.len() > shown.len());
        Ok(Page {
            next: last.map(|entry| entry.name.to_string()),
            items: shown.iter().map(|entry| view(namespace, entry)).collect(),
        })
    }

    /// Of these names, the ones that there is no secret of. What cannot be looked at now is missed by nobody.
    pub(crate) async fn absent(
        &self,
        namespace: &Namespace,
        mut names: Vec<SecretName>,
    ) -> Vec<SecretName> {
        if names.is_empty() {
            return names;
        }
        let Ok(entries) = self.vault.list(namespace).await else { return Vec::new() };
        names.retain(|name| entries.iter().all(|entry| entry.name != *name));
        names
    }

    pub(crate) async fn set(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        name: &SecretName,
        value: Value,
        reason: Option<String>,
    ) -> Result<SecretChanged, Refusal> {
        let by = caller.because(reason)?;
        let value = base::value::normal(value)
            .map_err(|wrong| Refusal::new(ProblemCode::BodyInvalid, format!("`value`: {wrong}")))?;
        let keeper = self.clone();
        let (namespace, name) = (namespace.clone(), name.clone());
        finished(async move {
            let at = keeper.clock.now();
            let record = async |version| {
                keeper.record(ChangeKind::SecretSet, &namespace, &name, version, &by).await
            };
            let version = keeper.vault.set(&namespace, &name, value, at, record).await;
            let version = version.map_err(|refused: Refused| refused.of(&namespace, &name))?;
            Ok(SecretChanged {
                namespace: namespace.to_string(),
                secret: name.to_string(),
                version: version.0,
            })
        })
        .await
    }

    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        name: &SecretName,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        let by = caller.because(reason)?;
        let keeper = self.clone();
        let (namespace, name) = (namespace.clone(), name.clone());
        finished(async move {
            let record = async |version| {
                keeper.record(ChangeKind::SecretDeleted, &namespace, &name, version, &by).await
            };
            let deleted = keeper.vault.delete(&namespace, &name, record).await;
            match deleted.map_err(|refused: Refused| refused.of(&namespace, &name))? {
                true => Ok(()),
                false => {
                    let detail = format!(
                        "namespace `{namespace}` has no secret `{name}`; look with `isonomy secrets list -n {namespace}`"
                    );
                    Err(Refusal::new(ProblemCode::SecretMissing, detail))
                }
            }
        })
        .await
    }

    /// Before the change itself, so that there is none without a record.
    async fn record(
        &self,
        change: ChangeKind,
        namespace: &Namespace,
        name: &SecretName,
        version: SecretVersion,
        by: &By,
    ) -> Result<(), Refused> {
        let doc = ChangeDoc {
            change,
            namespace: namespace.as_str(),
            secret: name.as_str(),
            version,
            reason: by.reason.as_deref(),
        };
        let op = change_op(&doc, by, self.clock.now());
        let preconditions = Preconditions { run: None, epoch: Some(self.store.epoch()) };
        let committed = self.store.commit(vec![op], preconditions).await;
        committed.map_err(|error| Refused::Store(error.into()))
    }
}

/// Why a change did not happen.
enum Refused {
    Store(Refusal),
    Vault(SetError),
}

impl From<SetError> for Refused {
    fn from(error: SetError) -> Self {
        Self::Vault(error)
    }
}

impl Refused {
    fn of(self, namespace: &Namespace, name: &SecretName) -> Refusal {
        let error = match self {
            Self::Store(refusal) => return refusal,
            Self::Vault(SetError::File(error)) => return unreadable(error),
            Self::Vault(error) => error,
        };
        let code = match error {
            SetError::Elsewhere(_) => ProblemCode::SecretElsewhere,
            SetError::NoFolder | SetError::File(_) => ProblemCode::SecretsOff,
        };
        Refusal::new(code, format!("secret `{name}` of namespace `{namespace}`: {error}"))
    }
}

fn unreadable(error: FileError) -> Refusal {
    let code = match &error {
        FileError::TooMany | FileError::TooLarge => ProblemCode::SecretLimit,
        FileError::Open { .. }
        | FileError::Foreign { .. }
        | FileError::Io { .. }
        | FileError::Form { .. } => ProblemCode::SecretsUnreadable,
    };
    Refusal::new(code, error.to_string())
}

fn view(namespace: &Namespace, entry: &Entry) -> SecretView {
    SecretView {
        namespace: namespace.to_string(),
        secret: entry.name.to_string(),
        provider: entry.provider.name().to_owned(),
        versions: entry.versions.iter().map(|version| version.0).collect(),
        updated_at: entry.updated_at.map(|at| at.to_string()),
    }
}

/// What the engine and its performers see.
pub(crate) struct Opened(pub Vault);

impl Secrets for Opened {
    fn versions(
        &self,
        namespace: &Namespace,
        names: &[SecretName],
    ) -> BoxFuture<'static, Vec<(SecretName, SecretVersion)>> {
        let (vault, namespace, names) = (self.0.clone(), namespace.clone(), names.to_vec());
        async move { vault.versions(&namespace, &names).await }.boxed()
    }

    fn open(
        &self,
        namespace: &Namespace,
        (name, version): &SecretUse,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        let (vault, namespace) = (self.0.clone(), namespace.clone());
        let (name, version) = (name.clone(), *version);
        async move {
            let read = vault.read(&namespace, &name, version).await;
            read.map_err(|error| fault(&error, &namespace, &name))
        }
        .boxed()
    }
}

/// What is not there is an `authorization` error, as the language has it. What cannot be read just
/// now may be there at the next attempt.
fn fault(error: &ReadError, namespace: &Namespace, name: &SecretName) -> Fault {
    match error {
        ReadError::Missing => missing(namespace, name),
        ReadError::Gone(_) => {
            let detail = format!(
                "secret `{name}` of namespace `{namespace}`: {error}; the run was started with it, so start a new run"
            );
            Fault::new(ErrorType::Authorization, detail).with_title("No such secret")
        }
        ReadError::Variable(_)
        | ReadError::NotJson
        | ReadError::Command(_)
        | ReadError::File(_) => {
            let detail = format!("secret `{name}` of namespace `{namespace}`: {error}");
            let fault = Fault::new(ErrorType::Runtime, detail).with_status(503);
            fault.with_title("Secret unavailable")
        }
    }
}
