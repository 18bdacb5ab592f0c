//! `hub`: what the owner of the site does not take from its hub, whatever the hub says, and what the line
//! to it may take.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use base::name::WorkflowKey;
use base::{Namespace, WorkflowName};
use gateway::Pace;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};
use crate::uplink::{Hours, SPANS_MAX, Terms};

/// The slowest line, in KiB a second: the largest message takes 16 s then, and after 30 s the other side is
/// gone.
const KIB_PER_SECOND_MIN: u32 = 16;

/// The fastest line that is worth a limit, in KiB a second: a gigabyte.
const KIB_PER_SECOND_MAX: u32 = 1024 * 1024;

/// What is refused, of whichever order or edition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    namespaces: BTreeSet<Namespace>,
    workflows: BTreeSet<WorkflowKey>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HubFile {
    refuse: RefuseFile,
    line: LineFile,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct LineFile {
    kib_per_second: Option<Spanned<i64>>,
    hours: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RefuseFile {
    namespaces: Vec<Spanned<String>>,
    workflows: Vec<Spanned<String>>,
}

impl Refused {
    /// Those that are refused one by one.
    #[must_use]
    pub(crate) fn workflows(&self) -> BTreeSet<WorkflowKey> {
        self.workflows.clone()
    }

    /// Whether the owner does not take this workflow.
    #[must_use]
    pub fn contain(&self, key: &WorkflowKey) -> bool {
        self.namespaces.contains(&key.namespace) || self.workflows.contains(key)
    }
}

impl Reader<'_> {
    pub(super) fn refused(&self, hub: &HubFile) -> Result<Refused, ConfigError> {
        let namespaces = hub.refuse.namespaces.iter().map(|found| {
            Namespace::parse(&found.value).map_err(|wrong| self.wrong(found, wrong.to_string()))
        });
        let workflows = hub.refuse.workflows.iter().map(|found| {
            let key = found.value.split_once('/').and_then(|(namespace, name)| {
                let (namespace, name) = (Namespace::parse(namespace), WorkflowName::parse(name));
                Some(WorkflowKey { namespace: namespace.ok()?, name: name.ok()? })
            });
            key.ok_or_else(|| self.wrong(found, "a workflow is written `namespace/name`"))
        });
        Ok(Refused {
            namespaces: namespaces.collect::<Result<_, _>>()?,
            workflows: workflows.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn terms(&self, HubFile { line, .. }: &HubFile) -> Result<Terms, ConfigError> {
        if let Some(beyond) = line.hours.get(SPANS_MAX) {
            return Err(self.wrong(beyond, format!("`hub.line.hours` has more than {SPANS_MAX}")));
        }
        for found in &line.hours {
            if Hours::parse([found.value.as_str()]).is_none() {
                let what =
                    "hours are written `22:00-06:30`: from and until, in UTC, with two digits each";
                return Err(self.wrong(found, what));
            }
        }
        let hours = Hours::parse(line.hours.iter().map(|found| found.value.as_str()));
        let pace = match &line.kib_per_second {
            None => Pace::default(),
            Some(found) => {
                let kib = u32::try_from(found.value)
                    .ok()
                    .filter(|it| (KIB_PER_SECOND_MIN..=KIB_PER_SECOND_MAX).contains(it));
                let bytes = kib.and_then(|kib| NonZeroU32::new(kib * 1024));
                let range = || {
                    let what = format!(
                        "`hub.line.kibPerSecond` is from {KIB_PER_SECOND_MIN} to {KIB_PER_SECOND_MAX}"
                    );
                    self.wrong(found, what)
                };
                Pace::bytes_per_second(bytes.ok_or_else(range)?)
            }
        };
        Ok(Terms { pace, hours: hours.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn terms(line: &str) -> Result<Terms, String> {
        let text = format!("spec:\n  hub:\n    line: {line}\n");
        let config = Config::parse(&text, "site.yaml", Path::new("/"));
        config.map(|config| config.terms).map_err(|error| error.to_string())
    }

    /// Mutation: take a pace that no message survives, or a span that is none.
    #[test]
    fn the_terms_of_a_line_have_bounds() {
        let some =
            terms("{kibPerSecond: 16, hours: ['22:00-06:30', '12:00-13:00']}").expect("terms");
        assert_eq!(some.pace, Pace::bytes_per_second(NonZeroU32::new(16 * 1024).expect("some")));
        assert_eq!(some.hours.to_string(), "22:00-06:30, 12:00-13:00");
        assert_eq!(terms("{}").expect("none"), Terms::default());
        for (line, part) in [
            ("{kibPerSecond: 15}", "from 16 to 1048576"),
            ("{kibPerSecond: -1}", "site.yaml:3:26: "),
            ("{kibPerSecond: 1048577}", "from 16"),
            ("{hours: ['22-6']}", "`22:00-06:30`"),
            (&format!("{{hours: [{}]}}", ["'01:00-02:00'"; 25].join(", ")), "more than 24"),
        ] {
            let said = terms(line).expect_err(line);
            assert!(said.contains(part), "{line}: {said}");
        }
    }
}
