//! The site's configuration: what its owner allows. `docs/reference/configuration.md` describes it.
//!
//! A file is read once, at the start. Everything in it is optional, and without a file nothing is
//! allowed out and no folder may be read.

mod datasets;
mod dispatch;
mod events;
mod hub;
mod models;
mod retention;
mod scripts;
mod secrets;
mod telemetry;

use std::path::{Path, PathBuf};

use base::Duration;
use base::name::Namespace;
use engine::driver::dispatch::Settings;
use engine::lifecycle::Lifecycle;
use gateway::{EgressMap, EgressRule};
use serde::Deserialize;
use serde_saphyr::Spanned;
use spec::YamlWrong;
use store::EventLimits;
use worker::{Datasets, Folder, Folders};

use crate::model::telemetry::Collector;
use crate::uplink::Terms;

pub use hub::Refused;
pub use models::ModelsConfig;
pub use retention::Journals;
pub use scripts::Scripts;
/// The JSON Schema of a site's configuration, for editors.
pub const SCHEMA: &str = include_str!("../../schema/site.json");

/// A configuration is written by hand; the largest sensible one has a thousand rules.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

pub const API_VERSION: &str = "isonomy.dev/v1";
pub const KIND: &str = "Site";

/// What a site without a name of its own is called.
const NAME: &str = "site";

/// Each evaluator process may take its whole share of memory at once.
const CHILDREN_MAX: u32 = 64;

/// An expression that needs longer is a program.
const DEADLINE_MAX: Duration = Duration::from_secs(60);

const MEMORY_MIB_MIN: u64 = 64;
/// More than the memory of any machine that a site runs on is a slip of the pen.
const MEMORY_MIB_MAX: u64 = 64 * 1024;

/// What the owner of a site has decided.
#[derive(Debug, Clone)]
pub struct Config {
    pub name: String,
    pub egress: EgressMap,
    pub folders: Folders,
    /// Sources that may be read by name.
    pub datasets: Datasets,
    pub expressions: Expressions,
    pub gate: gateway::Limits,
    /// Files that functions read at once.
    pub files_at_once: usize,
    /// Which events are written about the life of runs.
    pub lifecycle: Lifecycle,
    /// Where secrets come from; the folder of their files is the site's own.
    pub secrets: ::secrets::Config,
    pub scripts: Scripts,
    /// How long runs are kept after their end, where their workflow does not say.
    pub keep: spec::Keep,
    /// How long each call of a model is kept after it was written down.
    pub keep_calls: spec::Keep,
    pub journals: Journals,
    /// Events that are kept though nobody has still to hear them.
    pub events: EventLimits,
    /// Who goes first, and how much at once.
    pub dispatch: Settings,
    /// What the site does not take from its hub.
    pub refused: Refused,
    /// What the line to its hub may take.
    pub terms: Terms,
    pub models: ModelsConfig,
    /// Where spans of calls go.
    pub telemetry: Option<Collector>,
}

/// The processes that evaluate what is not on the closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expressions {
    pub children: usize,
    pub deadline: Duration,
    pub memory_bytes: u64,
}

/// Why a configuration is not one. The text says where, and what to write.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the configuration `{}` is larger than {CONFIG_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{file}:{line}:{column}: {what}")]
    Invalid { file: String, line: u64, column: u64, what: String },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: NAME.to_owned(),
            egress: EgressMap::default(),
            folders: Folders::default(),
            datasets: Datasets::default(),
            expressions: Expressions::default(),
            gate: gateway::Limits::default(),
            files_at_once: worker::Config::default().files_max,
            lifecycle: Lifecycle::default(),
            secrets: ::secrets::Config::default(),
            scripts: Scripts::default(),
            keep: retention::KEEP,
            keep_calls: retention::KEEP_CALLS,
            journals: Journals::default(),
            events: EventLimits::history(),
            dispatch: Settings::default(),
            refused: Refused::default(),
            terms: Terms::default(),
            models: ModelsConfig::default(),
            telemetry: None,
        }
    }
}

impl Default for Expressions {
    fn default() -> Self {
        // Two, so that one bad expression never stops all others.
        Self {
            children: 2,
            deadline: Duration::from_secs(2),
            memory_bytes: sandbox::pool::MEMORY_BYTES,
        }
    }
}

impl Config {
    /// Reads a configuration file. Paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |cause| ConfigError::Read { path: path.to_owned(), cause };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let whole = std::path::absolute(path).map_err(failed)?;
        let folder = whole.parent().unwrap_or(Path::new("/"));
        Self::parse(&text, &path.display().to_string(), folder)
    }

    /// What functions may read.
    #[must_use]
    pub fn worker(&self) -> worker::Config {
        worker::Config {
            folders: self.folders.clone(),
            datasets: self.datasets.clone(),
            files_max: self.files_at_once,
        }
    }

    /// Reads a configuration's text. `file` is its name in errors, `folder` what its paths are
    /// relative to.
    pub fn parse(text: &str, file: &str, folder: &Path) -> Result<Self, ConfigError> {
        let reader = Reader { file, folder };
        if is_blank(text) {
            return Ok(Self::default());
        }
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true,
            merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        };
        let document: Spanned<File> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| reader.yaml(&error))?;
        reader.config(document.value)
    }
}

/// Whether a text says nothing at all, which is a configuration too.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
    metadata: Option<Metadata>,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Spec {
    egress: Vec<Spanned<EgressRule>>,
    files: Vec<Spanned<Folder>>,
    datasets: Vec<Spanned<datasets::DatasetFile>>,
    expressions: Pool,
    limits: Limits,
    events: events::Events,
    secrets: secrets::Secrets,
    scripts: scripts::ScriptsFile,
    retention: retention::Retention,
    pools: Vec<Spanned<dispatch::PoolFile>>,
    namespaces: Vec<Spanned<dispatch::NamespaceFile>>,
    hub: hub::HubFile,
    models: models::ModelsFile,
    telemetry: telemetry::TelemetryFile,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Pool {
    children: Option<Spanned<u32>>,
    deadline: Option<Spanned<String>>,
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<Spanned<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Limits {
    runs: Option<Spanned<u32>>,
    requests: Option<Spanned<u32>>,
    #[serde(rename = "responseMiB")]
    response_mib: Option<Spanned<u32>>,
    idle_timeout: Option<Spanned<String>>,
    files_at_once: Option<Spanned<u32>>,
}

/// What an error needs to say where it is.
struct Reader<'a> {
    file: &'a str,
    folder: &'a Path,
}

impl Reader<'_> {
    fn config(&self, file: File) -> Result<Config, ConfigError> {
        self.literal(file.api_version.as_ref(), "apiVersion", API_VERSION)?;
        self.literal(file.kind.as_ref(), "kind", KIND)?;
        let spec = file.spec.unwrap_or_default();
        let defaults = Config::default();
        Ok(Config {
            name: self.name(file.metadata.and_then(|it| it.name), defaults.name)?,
            egress: self.egress(spec.egress)?,
            folders: self.folders(spec.files)?,
            datasets: self.datasets(&spec.datasets)?,
            expressions: self.expressions(&spec.expressions)?,
            gate: self.limits(&spec.limits)?,
            secrets: self.secrets(&spec.secrets)?,
            files_at_once: self.number(
                spec.limits.files_at_once.as_ref(),
                1..=64,
                defaults.files_at_once,
            )?,
            lifecycle: self.lifecycle(&spec.events)?,
            scripts: self.scripts(&spec.scripts)?,
            keep: self.keep(&spec.retention)?,
            keep_calls: self.keep_calls(&spec.retention)?,
            journals: self.journals(&spec.retention)?,
            events: self.event_limits(&spec.retention)?,
            dispatch: self.dispatch(spec.limits.runs.as_ref(), &spec.pools, &spec.namespaces)?,
            refused: self.refused(&spec.hub)?,
            terms: self.terms(&spec.hub)?,
            models: self.models(&spec.models)?,
            telemetry: self.telemetry(&spec.telemetry)?,
        })
    }

    fn literal(
        &self,
        found: Option<&Spanned<String>>,
        field: &str,
        wanted: &str,
    ) -> Result<(), ConfigError> {
        match found {
            Some(found) if found.value != wanted => {
                Err(self.wrong(found, format!("`{field}` is `{wanted}` in a site's configuration")))
            }
            _ => Ok(()),
        }
    }

    fn name(&self, found: Option<Spanned<String>>, default: String) -> Result<String, ConfigError> {
        let Some(found) = found else { return Ok(default) };
        // The same rule as for every name of ours.
        match Namespace::parse(&found.value) {
            Ok(_) => Ok(found.value),
            Err(_) => Err(self.wrong(
                &found,
                "a site's name is 1 to 63 letters, digits or `-`, with a letter or digit at both ends",
            )),
        }
    }

    fn egress(&self, rules: Vec<Spanned<EgressRule>>) -> Result<EgressMap, ConfigError> {
        let plain = rules.iter().map(|rule| rule.value.clone()).collect();
        EgressMap::parse(plain).map_err(|error| match rules.get(error.number - 1) {
            Some(rule) => self.wrong(rule, error),
            None => self.at(1, 1, error),
        })
    }

    fn folders(&self, entries: Vec<Spanned<Folder>>) -> Result<Folders, ConfigError> {
        let whole = |entry: &Spanned<Folder>| Folder {
            name: entry.value.name.clone(),
            path: clean(&self.folder.join(&entry.value.path)),
        };
        Folders::new(entries.iter().map(whole).collect()).map_err(|error| {
            match entries.get(error.number - 1) {
                Some(entry) => self.wrong(entry, error),
                None => self.at(1, 1, error),
            }
        })
    }

    fn expressions(&self, pool: &Pool) -> Result<Expressions, ConfigError> {
        let defaults = Expressions::default();
        let memory = pool.memory_mib.as_ref();
        let mib = 1024 * 1024;
        Ok(Expressions {
            children: self.number(pool.children.as_ref(), 1..=CHILDREN_MAX, defaults.children)?,
            deadline: self.duration(pool.deadline.as_ref(), DEADLINE_MAX, defaults.deadline)?,
            memory_bytes: match memory {
                None => defaults.memory_bytes,
                Some(found) if (MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&found.value) => {
                    found.value * mib
                }
                Some(found) => {
                    let what = format!("write a number from {MEMORY_MIB_MIN} to {MEMORY_MIB_MAX}");
                    return Err(self.wrong(found, what));
                }
            },
        })
    }

    fn limits(&self, limits: &Limits) -> Result<gateway::Limits, ConfigError> {
        let defaults = gateway::Limits::default();
        let mib = 1024 * 1024;
        let response = limits.response_mib.as_ref();
        let idle = Duration::from_millis(
            u64::try_from(defaults.idle_timeout.as_millis()).unwrap_or(u64::MAX),
        );
        let longest = Duration::from_secs(24 * 60 * 60);
        Ok(gateway::Limits {
            body_bytes_max: self.number(response, 1..=1024, defaults.body_bytes_max / mib)? * mib,
            idle_timeout: self.duration(limits.idle_timeout.as_ref(), longest, idle)?.as_std(),
            requests_max: self.number(
                limits.requests.as_ref(),
                1..=100_000,
                defaults.requests_max,
            )?,
        })
    }

    fn number(
        &self,
        found: Option<&Spanned<u32>>,
        range: std::ops::RangeInclusive<u32>,
        default: usize,
    ) -> Result<usize, ConfigError> {
        let Some(found) = found else { return Ok(default) };
        if !range.contains(&found.value) {
            let what = format!("write a number from {} to {}", range.start(), range.end());
            return Err(self.wrong(found, what));
        }
        Ok(found.value as usize)
    }

    fn duration(
        &self,
        found: Option<&Spanned<String>>,
        longest: Duration,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let Some(found) = found else { return Ok(default) };
        let duration = spec::duration::parse_iso_duration(&found.value)
            .map_err(|what| self.wrong(found, format!("not a duration: {what}")))?;
        if duration == Duration::ZERO || duration > longest {
            return Err(
                self.wrong(found, format!("write a duration above zero and up to {longest}"))
            );
        }
        Ok(duration)
    }

    fn wrong<T>(&self, place: &Spanned<T>, what: impl std::fmt::Display) -> ConfigError {
        self.at(place.referenced.line(), place.referenced.column(), what)
    }

    fn at(&self, line: u64, column: u64, what: impl std::fmt::Display) -> ConfigError {
        ConfigError::Invalid { file: self.file.to_owned(), line, column, what: what.to_string() }
    }

    fn yaml(&self, error: &serde_saphyr::Error) -> ConfigError {
        let YamlWrong { line, column, what } = error.into();
        let what = format!("{what}; see docs/reference/configuration.md");
        self.at(line.into(), column.into(), what)
    }
}

/// A path without `.` parts, so that denials name it as a person would.
fn clean(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "site.yaml", Path::new("/etc/isonomy"))
            .map_err(|error| error.to_string())
    }

    /// Each object of the schema, with the place of an unknown field in it as a configuration.
    fn objects(
        schema: &serde_json::Value,
        around: &dyn Fn(&str) -> String,
        found: &mut Vec<(String, Vec<String>)>,
    ) {
        if let Some(items) = schema.get("items") {
            objects(items, &|inner| around(&format!("[{inner}]")), found);
        }
        for one in schema.get("oneOf").and_then(|all| all.as_array()).into_iter().flatten() {
            objects(one, around, found);
        }
        let Some(properties) = schema.get("properties").and_then(|all| all.as_object()) else {
            return;
        };
        if schema.get("type").is_some() {
            found.push((around("{zz: 1}"), properties.keys().cloned().collect()));
        }
        for (name, property) in properties {
            objects(property, &|inner| around(&format!("{{{name}: {inner}}}")), found);
        }
    }

    /// Mutation: leave a field of the configuration out of its schema, or one there too many.
    #[test]
    fn the_schema_has_the_fields_that_are_read() {
        let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        let mut all = Vec::new();
        objects(&schema, &str::to_owned, &mut all);
        assert!(all.len() > 10, "{all:?}");
        for (text, mut fields) in all {
            let wrong = parse(&text).expect_err("nobody reads `zz`");
            let known = wrong.split_once("expected ").expect(&wrong).1;
            let known = known.trim_start_matches("one of ").split_once(';').expect(&wrong).0;
            let mut known: Vec<&str> = known.split([',', '`']).map(str::trim).collect();
            known.retain(|name| !name.is_empty());
            known.sort_unstable();
            fields.sort_unstable();
            assert_eq!(fields, known, "{text}: {wrong}");
        }
    }

    /// Mutation: demand a field, or allow something out by default.
    #[test]
    fn a_file_that_says_nothing_allows_nothing() {
        for text in
            ["", "# nothing yet\n\n", "{}", "apiVersion: isonomy.dev/v1\nkind: Site\n", "spec: {}"]
        {
            let config = parse(text).expect(text);
            assert_eq!(config.egress, EgressMap::default(), "{text}");
            assert_eq!(config.folders, Folders::default(), "{text}");
            assert_eq!(config.name, "site");
        }
    }

    /// Mutation: take paths relative to the process's folder, or ignore a limit.
    #[test]
    fn a_file_says_what_is_allowed() {
        let config = parse(
            "apiVersion: isonomy.dev/v1\nkind: Site\nmetadata: {name: clinic-7}\nspec:\n  egress:\n    \
             - destination: https://petstore.swagger.io\n      to: http://127.0.0.1:8080\n  files:\n    \
             - name: data\n      path: ./data\n  expressions: {children: 3, deadline: PT1.5S, memoryMiB: 128}\n  \
             limits: {requests: 7, responseMiB: 2, idleTimeout: PT1M, filesAtOnce: 1}\n",
        )
        .expect("a configuration");
        assert_eq!(config.name, "clinic-7");
        let folder = Folder { name: Some("data".into()), path: "/etc/isonomy/data".into() };
        assert_eq!(config.folders, Folders::new(vec![folder]).expect("a folder"));
        let rules: Vec<EgressRule> = config.egress.into();
        assert_eq!(rules[0].to.as_deref(), Some("http://127.0.0.1:8080"));
        let expressions = Expressions {
            children: 3,
            deadline: Duration::from_millis(1_500),
            memory_bytes: 128 * 1024 * 1024,
        };
        assert_eq!(config.expressions, expressions);
        assert_eq!((config.gate.requests_max, config.gate.body_bytes_max), (7, 2 * 1024 * 1024));
        assert_eq!((config.gate.idle_timeout.as_secs(), config.files_at_once), (60, 1));
    }

    /// Mutation: allow unknown fields anywhere, skip a check, or lose the place.
    #[test]
    fn a_mistake_is_named_with_its_place_and_the_way_out() {
        for (text, expected) in [
            ("kind: Hub", "site.yaml:1:7: `kind` is `Site` in a site's configuration"),
            ("apiVersion: v2", "site.yaml:1:13: `apiVersion` is `isonomy.dev/v1`"),
            ("spec:\n  egres: []", "site.yaml:2:3: unknown field `egres`"),
            ("metadata: {name: -x}", "site.yaml:1:18: a site's name is 1 to 63 letters"),
            (
                "spec:\n  egress:\n    - destination: https://a.example\n      allow: true\n    - destination: ftp://b\n      deny: true",
                "site.yaml:5:7: rule 2 of `egress` (`ftp://b`): write the destination as",
            ),
            ("spec:\n  files:\n    - path: ../up", "site.yaml:3:7: entry 1 of `files`"),
            ("spec:\n  expressions: {children: 0}", "site.yaml:2:27: write a number from 1 to 64"),
            ("spec:\n  expressions: {deadline: soon}", "site.yaml:2:27: not a duration"),
            (
                "spec:\n  expressions: {deadline: PT0S}",
                "site.yaml:2:27: write a duration above zero",
            ),
            ("spec:\n  secrets: {versions: 0}", "site.yaml:2:23: write a number from 1 to 100"),
            (
                "spec:\n  secrets:\n    environment: [{name: a/b, variable: X}]",
                "site.yaml:3:19: this is not the name of a secret",
            ),
            (
                "spec:\n  secrets:\n    commands: [{name: a, argv: []}]",
                "site.yaml:3:16: `argv` is a program and its arguments",
            ),
            (
                "spec:\n  secrets:\n    environment: [{name: a, variable: X}]\n    commands: [{name: a, argv: [x]}]",
                "site.yaml:4:16: another entry provides this secret already",
            ),
            ("spec: [", "site.yaml:1:"),
            ("spec:\n  limits: {requests: -1}", "site.yaml:2:22: "),
            ("a: 1\n---\nb: 2", "site.yaml:1:1: unknown field `a`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(expected), "{text}\n  gives {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
