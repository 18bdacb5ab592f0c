//! `scripts`: with what scripts and shell commands are run, and how much they may use.

use std::fmt;
use std::path::Path;

use base::Duration;
use engine::effect::Interpreter;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde_saphyr::Spanned;
use spec::tree::Language;
use worker::process::{Confinement, Interpreters, ProcessLimits};

use super::{ConfigError, Reader};

/// The word that does without a sandbox.
const UNCONFINED: &str = "unconfined";

const MIB: u64 = 1024 * 1024;

/// A program that needs longer is a service.
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Every sandbox is a few processes and files of the site's.
const AT_ONCE_MAX: u32 = 128;

/// What a site runs scripts with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scripts {
    pub confinement: Confinement,
    pub interpreters: Interpreters,
    pub limits: ProcessLimits,
}

/// A word, or an object.
#[derive(Default)]
pub(super) struct ScriptsFile(Fields);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    unconfined: bool,
    python: Option<Spanned<String>>,
    javascript: Option<Spanned<String>>,
    shell: Option<Spanned<String>>,
    limits: Limits,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Limits {
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<Spanned<u32>>,
    processes: Option<Spanned<u32>>,
    #[serde(rename = "scratchMiB")]
    scratch_mib: Option<Spanned<u32>>,
    #[serde(rename = "outputMiB")]
    output_mib: Option<Spanned<u32>>,
    time: Option<Spanned<String>>,
    at_once: Option<Spanned<u32>>,
}

impl<'de> Deserialize<'de> for ScriptsFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrFields)
    }
}

struct WordOrFields;

impl<'de> Visitor<'de> for WordOrFields {
    type Value = ScriptsFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{UNCONFINED}` or an object")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ScriptsFile, E> {
        if text != UNCONFINED {
            return Err(E::custom(format!("`scripts` is `{UNCONFINED}` or an object")));
        }
        Ok(ScriptsFile(Fields { unconfined: true, ..Fields::default() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ScriptsFile, A::Error> {
        Fields::deserialize(MapAccessDeserializer::new(map)).map(ScriptsFile)
    }
}

impl Reader<'_> {
    pub(super) fn scripts(&self, ScriptsFile(file): &ScriptsFile) -> Result<Scripts, ConfigError> {
        let mut interpreters = Interpreters::default();
        let named = [
            (Interpreter::Script(Language::Python), &file.python),
            (Interpreter::Script(Language::JavaScript), &file.javascript),
            (Interpreter::Shell, &file.shell),
        ];
        for (interpreter, path) in named {
            let Some(found) = path else { continue };
            let path = self.folder.join(Path::new(&found.value));
            interpreters.set(interpreter, &path).map_err(|why| self.wrong(found, why))?;
        }
        let confinement =
            if file.unconfined { Confinement::Unconfined } else { Confinement::Required };
        Ok(Scripts { confinement, interpreters, limits: self.script_limits(&file.limits)? })
    }

    fn script_limits(&self, limits: &Limits) -> Result<ProcessLimits, ConfigError> {
        let defaults = ProcessLimits::default();
        let mib = |found: &Option<Spanned<u32>>, range, default: u64| {
            let default = usize::try_from(default / MIB).unwrap_or(usize::MAX);
            self.number(found.as_ref(), range, default).map(|number| number as u64 * MIB)
        };
        let output = mib(&limits.output_mib, 1..=512, defaults.output_bytes as u64)?;
        let longest =
            Duration::from_millis(u64::try_from(defaults.time.as_millis()).unwrap_or(u64::MAX));
        Ok(ProcessLimits {
            memory_bytes: mib(&limits.memory_mib, 16..=1_048_576, defaults.memory_bytes)?,
            processes: self.number(
                limits.processes.as_ref(),
                1..=100_000,
                usize::try_from(defaults.processes).unwrap_or(usize::MAX),
            )? as u64,
            scratch_bytes: mib(&limits.scratch_mib, 1..=1_048_576, defaults.scratch_bytes)?,
            output_bytes: usize::try_from(output).unwrap_or(usize::MAX),
            time: self.duration(limits.time.as_ref(), TIME_MAX, longest)?.as_std(),
            at_once: self.number(limits.at_once.as_ref(), 1..=AT_ONCE_MAX, defaults.at_once)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Scripts, String> {
        let config = Config::parse(text, "site.yaml", Path::new("/"));
        config.map(|config| config.scripts).map_err(|error| error.to_string())
    }

    /// Mutation: do without a sandbox where nobody has said so, or lose a limit.
    #[test]
    fn scripts_need_a_sandbox_unless_the_owner_says_otherwise() {
        let nothing = parse("spec: {}").expect("nothing is fine");
        assert_eq!(nothing, Scripts::default());
        assert_eq!(nothing.confinement, Confinement::Required);
        let word = parse("spec: {scripts: unconfined}").expect("one word");
        assert_eq!(word.confinement, Confinement::Unconfined);
        let object = parse(
            "spec:\n  scripts:\n    unconfined: true\n    shell: /bin/sh\n    limits: {memoryMiB: 100, processes: 5, \
             scratchMiB: 7, outputMiB: 2, time: PT30S, atOnce: 3}",
        )
        .expect("an object");
        assert_eq!(object.confinement, Confinement::Unconfined);
        let limits = ProcessLimits {
            memory_bytes: 100 * MIB,
            processes: 5,
            scratch_bytes: 7 * MIB,
            output_bytes: 2 * 1024 * 1024,
            time: std::time::Duration::from_secs(30),
            at_once: 3,
        };
        assert_eq!(object.limits, limits);
    }

    /// Mutation: leave a check out, or lose the place.
    #[test]
    fn a_mistake_in_scripts_is_named_with_its_place() {
        for (text, expected) in [
            (
                "spec:\n  scripts: confined",
                "site.yaml:2:12: `scripts` is `unconfined` or an object",
            ),
            ("spec:\n  scripts: {ruby: /usr/bin/ruby}", "site.yaml:2:13: unknown field `ruby`"),
            (
                "spec:\n  scripts: {python: /nowhere/python}",
                "site.yaml:2:21: there is no `/nowhere/python`",
            ),
            (
                "spec:\n  scripts: {limits: {memoryMiB: 1}}",
                "site.yaml:2:33: write a number from 16",
            ),
            (
                "spec:\n  scripts: {limits: {time: P30D}}",
                "site.yaml:2:28: write a duration above zero",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(expected), "{text}\n  gives {error}");
        }
    }
}
