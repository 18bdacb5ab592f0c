//! `secrets`: which secrets come from where. The values are in none of it.

use std::collections::BTreeMap;

use base::{Duration, Namespace, SecretName};
use secrets::{Command, Environment};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};

/// Versions that may be kept of one secret.
const VERSIONS_MAX: u32 = 100;

/// Arguments of one command.
const ARGUMENTS_MAX: usize = 64;

/// A program that takes longer is no source for a step of a workflow.
const DEADLINE_MAX: Duration = Duration::from_secs(60);

const NAMESPACE: &str = "default";

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Secrets {
    versions: Option<Spanned<u32>>,
    environment: Vec<Spanned<FromEnvironment>>,
    commands: Vec<Spanned<FromCommand>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromEnvironment {
    namespace: Option<String>,
    name: String,
    variable: String,
    #[serde(default)]
    json: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromCommand {
    namespace: Option<String>,
    name: String,
    argv: Vec<String>,
    deadline: Option<Spanned<String>>,
    #[serde(default)]
    json: bool,
}

type Key = (Namespace, SecretName);

impl Reader<'_> {
    pub(super) fn secrets(&self, found: &Secrets) -> Result<secrets::Config, ConfigError> {
        let kept =
            self.number(found.versions.as_ref(), 1..=VERSIONS_MAX, secrets::VERSIONS_KEPT)?;
        let mut environment = BTreeMap::new();
        for entry in &found.environment {
            let FromEnvironment { namespace, name, variable, json } = &entry.value;
            let key = self.key(entry, namespace.as_deref(), name)?;
            if variable.is_empty() || variable.contains(['=', '\0']) {
                return Err(self.wrong(entry, "`variable` is the name of an environment variable"));
            }
            let from = Environment { variable: variable.clone(), json: *json };
            if environment.insert(key, from).is_some() {
                return Err(self.taken(entry));
            }
        }
        let mut commands = BTreeMap::new();
        for entry in &found.commands {
            let FromCommand { namespace, name, argv, deadline, json } = &entry.value;
            let key = self.key(entry, namespace.as_deref(), name)?;
            let is_plain = |part: &String| !part.contains('\0');
            let has_program = argv.first().is_some_and(|program| !program.is_empty());
            if !has_program || argv.len() > ARGUMENTS_MAX || !argv.iter().all(is_plain) {
                let what =
                    format!("`argv` is a program and its arguments, {ARGUMENTS_MAX} at most");
                return Err(self.wrong(entry, what));
            }
            let usual = Duration::from_secs(Command::DEADLINE.as_secs());
            let deadline = self.duration(deadline.as_ref(), DEADLINE_MAX, usual)?.as_std();
            let from = Command { argv: argv.clone(), deadline, json: *json };
            if environment.contains_key(&key) || commands.insert(key, from).is_some() {
                return Err(self.taken(entry));
            }
        }
        Ok(secrets::Config { folder: None, versions_kept: Some(kept), environment, commands })
    }

    fn key<T>(
        &self,
        entry: &Spanned<T>,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Key, ConfigError> {
        let namespace = Namespace::parse(namespace.unwrap_or(NAMESPACE));
        let namespace = namespace.map_err(|why| self.wrong(entry, why))?;
        let name = SecretName::parse(name).map_err(|why| self.wrong(entry, why))?;
        Ok((namespace, name))
    }

    fn taken<T>(&self, entry: &Spanned<T>) -> ConfigError {
        self.wrong(entry, "another entry provides this secret already; remove one of them")
    }
}
