//! All secrets of a site, whoever provides them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Namespace, SecretName, SecretVersion, Timestamp, Value};
use tokio::sync::{Mutex, Semaphore};

use crate::command::{self, CommandError};
use crate::file::{FileError, Files};

/// Versions of a secret that stay readable, the newest included: a run that was started long ago
/// goes on with the one that it began with.
pub const VERSIONS_KEPT: usize = 5;

/// Commands at once. Each is a process.
const COMMANDS_MAX: usize = 8;

/// Where secrets come from. What no entry names, is in files.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The folder of the files; without one, nothing can be set.
    pub folder: Option<PathBuf>,
    pub versions_kept: Option<usize>,
    pub environment: BTreeMap<(Namespace, SecretName), Environment>,
    pub commands: BTreeMap<(Namespace, SecretName), Command>,
}

/// A variable of the site's own environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub variable: String,
    /// Its text is JSON.
    pub json: bool,
}

/// A program whose output is the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    pub deadline: Duration,
    /// What it writes is JSON.
    pub json: bool,
}

impl Command {
    pub const DEADLINE: Duration = command::DEADLINE;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    File,
    Environment,
    Command,
}

impl Provider {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Environment => "environment",
            Self::Command => "command",
        }
    }
}

/// What may be known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: SecretName,
    pub provider: Provider,
    /// Ascending. Only files have versions.
    pub versions: Vec<SecretVersion>,
    pub updated_at: Option<Timestamp>,
}

/// Why a secret cannot be read. No value is in it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("there is no such secret")]
    Missing,
    #[error("version {0} is gone, since newer ones have taken its place")]
    Gone(SecretVersion),
    #[error("the environment has no variable `{0}`, or it is no UTF-8")]
    Variable(String),
    #[error("it is not the JSON that the configuration says it is")]
    NotJson,
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a secret cannot be set or deleted.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error("it comes from the {}, and is changed there", .0.name())]
    Elsewhere(Provider),
    #[error("this site has no data folder to keep secrets in")]
    NoFolder,
    #[error(transparent)]
    File(#[from] FileError),
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    files: Option<Files>,
    /// One change at a time, so that a version is given once.
    changing: Mutex<()>,
    commands: Semaphore,
}

impl Vault {
    #[must_use]
    pub fn new(config: Config) -> Self {
        let kept = config.versions_kept.unwrap_or(VERSIONS_KEPT);
        let files = config.folder.clone().map(|folder| Files::new(folder, kept));
        let (changing, commands) = (Mutex::default(), Semaphore::new(COMMANDS_MAX));
        Self(Arc::new(Inner { config, files, changing, commands }))
    }

    #[must_use]
    pub fn provider(&self, namespace: &Namespace, name: &SecretName) -> Provider {
        let key = (namespace.clone(), name.clone());
        if self.0.config.environment.contains_key(&key) {
            return Provider::Environment;
        }
        if self.0.config.commands.contains_key(&key) { Provider::Command } else { Provider::File }
    }

    /// The newest version of each that has any.
    pub async fn versions(
        &self,
        namespace: &Namespace,
        names: &[SecretName],
    ) -> Vec<(SecretName, SecretVersion)> {
        let Some(files) = self.0.files.clone() else { return Vec::new() };
        let mut names = names.to_vec();
        names.retain(|name| self.provider(namespace, name) == Provider::File);
        if names.is_empty() {
            return Vec::new();
        }
        let namespace = namespace.clone();
        let newest = move || {
            // What cannot be looked at now is an error of whoever reads it.
            let newest = |name: SecretName| {
                let version = files.newest(&namespace, &name).ok().flatten()?;
                Some((name, version))
            };
            names.into_iter().filter_map(newest).collect()
        };
        tokio::task::spawn_blocking(newest).await.unwrap_or_default()
    }

    /// A secret's value, in that version where it has versions.
    pub async fn read(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        version: Option<SecretVersion>,
    ) -> Result<Value, ReadError> {
        let key = (namespace.clone(), name.clone());
        if let Some(Environment { variable, json }) = self.0.config.environment.get(&key) {
            let text =
                std::env::var(variable).map_err(|_| ReadError::Variable(variable.clone()))?;
            return as_value(&text, *json);
        }
        if let Some(command) = self.0.config.commands.get(&key) {
            // Never closed.
            let _turn = self.0.commands.acquire().await;
            return as_value(&command::run(command).await?, command.json);
        }
        let Some(files) = self.0.files.clone() else { return Err(ReadError::Missing) };
        let read = move || {
            let (namespace, name) = key;
            let wanted = match version {
                Some(version) => version,
                None => files.newest(&namespace, &name)?.ok_or(ReadError::Missing)?,
            };
            match files.read(&namespace, &name, wanted)? {
                Some(value) => Ok(value),
                None if files.newest(&namespace, &name)?.is_none() => Err(ReadError::Missing),
                None => Err(ReadError::Gone(wanted)),
            }
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(ReadError::Missing))
    }

    /// All of a namespace, by name. Values stay where they are.
    pub async fn list(&self, namespace: &Namespace) -> Result<Vec<Entry>, FileError> {
        let of = |provider: Provider| {
            move |(space, name): &(Namespace, SecretName)| {
                (space == namespace).then(|| Entry {
                    name: name.clone(),
                    provider,
                    versions: Vec::new(),
                    updated_at: None,
                })
            }
        };
        let environment = self.0.config.environment.keys();
        let mut entries: Vec<Entry> = environment.filter_map(of(Provider::Environment)).collect();
        entries.extend(self.0.config.commands.keys().filter_map(of(Provider::Command)));
        if let Some(files) = self.0.files.clone() {
            let space = namespace.clone();
            let listed = tokio::task::spawn_blocking(move || files.list(&space)).await;
            for found in listed.unwrap_or_else(|_| Ok(Vec::new()))? {
                if entries.iter().all(|entry| entry.name != found.name) {
                    entries.push(Entry {
                        name: found.name,
                        provider: Provider::File,
                        versions: found.versions,
                        updated_at: Some(found.updated_at),
                    });
                }
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Sets a secret. `record` is called with the version before anything is written: what was
    /// changed is known, even if the machine stops in between.
    pub async fn set<E: From<SetError>>(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        value: Value,
        at: Timestamp,
        record: impl AsyncFnOnce(SecretVersion) -> Result<(), E>,
    ) -> Result<SecretVersion, E> {
        let files = self.writable(namespace, name)?;
        let _turn = self.0.changing.lock().await;
        let version = files.next(namespace, name).map_err(SetError::from)?;
        record(version).await?;
        let (namespace, name) = (namespace.clone(), name.clone());
        let set = move || files.set(&namespace, &name, &value, at);
        let set = tokio::task::spawn_blocking(set).await.map_err(|_| SetError::NoFolder)?;
        Ok(set.map_err(SetError::from)?)
    }

    /// Deletes a secret in all its versions. `false` where there was none; then nothing is recorded.
    pub async fn delete<E: From<SetError>>(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        record: impl AsyncFnOnce(SecretVersion) -> Result<(), E>,
    ) -> Result<bool, E> {
        let files = self.writable(namespace, name)?;
        let _turn = self.0.changing.lock().await;
        let Some(newest) = files.newest(namespace, name).map_err(SetError::from)? else {
            return Ok(false);
        };
        record(newest).await?;
        let (namespace, name) = (namespace.clone(), name.clone());
        let delete = move || files.delete(&namespace, &name);
        let deleted = tokio::task::spawn_blocking(delete).await.map_err(|_| SetError::NoFolder)?;
        Ok(deleted.map_err(SetError::from)?)
    }

    fn writable(&self, namespace: &Namespace, name: &SecretName) -> Result<Files, SetError> {
        match self.provider(namespace, name) {
            Provider::File => self.0.files.clone().ok_or(SetError::NoFolder),
            other => Err(SetError::Elsewhere(other)),
        }
    }
}

fn as_value(text: &str, json: bool) -> Result<Value, ReadError> {
    if !json {
        return Ok(base::value::string(text));
    }
    let value = base::value::parse(text.as_bytes()).map_err(|_| ReadError::NotJson)?;
    base::value::normal(value).map_err(|_| ReadError::NotJson)
}

#[cfg(test)]
mod tests {
    use base::value::string;

    use super::*;

    fn key(name: &str) -> (Namespace, SecretName) {
        (Namespace::parse("lab").expect("a name"), SecretName::parse(name).expect("a name"))
    }

    fn vault(folder: Option<PathBuf>) -> Vault {
        let environment = Environment { variable: "PATH".to_owned(), json: false };
        let command = |text: &str, json| Command {
            argv: vec!["printf".to_owned(), text.to_owned()],
            deadline: Command::DEADLINE,
            json,
        };
        Vault::new(Config {
            folder,
            versions_kept: Some(2),
            environment: [(key("path"), environment)].into(),
            commands: [
                (key("said"), command("{\"a\": 1}", true)),
                (key("bad"), command("x", true)),
            ]
            .into(),
        })
    }

    async fn set(vault: &Vault, name: &str, text: &str) -> Result<SecretVersion, SetError> {
        let (namespace, name) = key(name);
        let at = Timestamp::from_millis(5);
        vault.set(&namespace, &name, string(text), at, async |_| Ok(())).await
    }

    async fn read(vault: &Vault, name: &str, version: Option<u64>) -> String {
        let (namespace, name) = key(name);
        match vault.read(&namespace, &name, version.map(SecretVersion)).await {
            Ok(value) => base::value::to_json_string(&value),
            Err(error) => error.to_string(),
        }
    }

    /// Mutation: let a file answer for a name that the configuration gives to another provider.
    #[tokio::test]
    async fn each_secret_has_one_provider() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(Some(folder.path().join("secrets")));
        assert_eq!(read(&vault, "said", None).await, "{\"a\":1}");
        assert_eq!(read(&vault, "said", Some(3)).await, "{\"a\":1}");
        assert_eq!(
            read(&vault, "bad", None).await,
            "it is not the JSON that the configuration says it is"
        );
        let path = std::env::var("PATH").expect("tests have one");
        assert_eq!(read(&vault, "path", None).await, base::value::to_json_string(&string(&path)));
        assert_eq!(read(&vault, "other", None).await, "there is no such secret");
        let refused = set(&vault, "path", "x").await.expect_err("not ours");
        assert_eq!(refused.to_string(), "it comes from the environment, and is changed there");
        set(&vault, "own", "x").await.expect("set");
        let (namespace, _) = key("own");
        let listed = vault.list(&namespace).await.expect("a list");
        let listed: Vec<(&str, &str)> =
            listed.iter().map(|it| (it.name.as_str(), it.provider.name())).collect();
        assert_eq!(
            listed,
            [("bad", "command"), ("own", "file"), ("path", "environment"), ("said", "command")]
        );
        let other = Namespace::parse("other").expect("a name");
        assert_eq!(vault.list(&other).await.expect("a list"), []);
        assert!(vault.read(&other, &key("own").1, None).await.is_err(), "of another namespace");
    }

    /// Mutation: read the newest where a version is asked for, or write what could not be recorded.
    #[tokio::test]
    async fn a_version_is_the_one_that_was_asked_for_and_recorded() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(Some(folder.path().join("secrets")));
        for text in ["a", "b", "c"] {
            set(&vault, "own", text).await.expect("set");
        }
        assert_eq!(read(&vault, "own", Some(2)).await, "\"b\"");
        assert_eq!(read(&vault, "own", None).await, "\"c\"");
        assert!(read(&vault, "own", Some(1)).await.starts_with("version 1 is gone"));
        let (namespace, name) = key("own");
        assert_eq!(
            vault.versions(&namespace, &[name.clone(), key("said").1]).await,
            [(name.clone(), SecretVersion(3))]
        );
        let at = Timestamp::from_millis(5);
        let refused: Result<_, SetError> = vault
            .set(&namespace, &name, string("d"), at, async |version| {
                assert_eq!(version, SecretVersion(4));
                Err(SetError::NoFolder)
            })
            .await;
        assert!(refused.is_err());
        assert_eq!(read(&vault, "own", None).await, "\"c\"");
    }

    /// Mutation: keep secrets in the working folder where there is no other.
    #[tokio::test]
    async fn without_a_folder_nothing_can_be_set() {
        let vault = vault(None);
        let refused = set(&vault, "own", "x").await.expect_err("nowhere to put it");
        assert_eq!(refused.to_string(), "this site has no data folder to keep secrets in");
        assert_eq!(read(&vault, "own", None).await, "there is no such secret");
    }
}
