//! What calls of models have used and cost, as rows: put together by what somebody asks to be told apart.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use base::Timestamp;
use models::Sum;
use pricing::Money;
use wire::UsageRow;

use crate::Refusal;

/// By what usage can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facet {
    Site,
    Namespace,
    Key,
    Workflow,
    Model,
    Operation,
    Day,
    Hour,
}

impl Facet {
    const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Namespace => "namespace",
            Self::Key => "key",
            Self::Workflow => "workflow",
            Self::Model => "model",
            Self::Operation => "operation",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// Names with commas between them, of those that are known here.
    pub fn read(text: &str, known: &[Self]) -> Result<Vec<Self>, Refusal> {
        let one = |name: &str| known.iter().copied().find(|it| it.name() == name.trim());
        let read = text.split(',').map(one).collect::<Option<Vec<_>>>();
        let is_named_once =
            |read: &Vec<Self>| read.iter().enumerate().all(|(at, it)| !read[..at].contains(it));
        read.filter(is_named_once).ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|it| it.name()).collect();
            let keys =
                if known.contains(&Self::Key) { "" } else { "; names of keys stay at the sites" };
            Refusal::parameter(
                "by",
                format!("one or more of {}, each once{keys}", names.join(", ")),
            )
        })
    }

    /// A day or hour of this time.
    #[must_use]
    pub fn of_hour(self, hour: Timestamp) -> String {
        let chars = if self == Self::Hour { 13 } else { 10 };
        hour.to_string().chars().take(chars).collect()
    }
}

/// One row for all sums that are not told apart. `of` says what a facet is for the group of a sum.
pub fn usage_rows<G, S: Borrow<Sum>>(
    by: &[Facet],
    sums: impl IntoIterator<Item = (G, S)>,
    of: impl Fn(Facet, &G) -> String,
) -> Vec<UsageRow> {
    let mut rows: BTreeMap<Vec<String>, Sum> = BTreeMap::new();
    for (group, sum) in sums {
        let key = by.iter().map(|facet| of(*facet, &group)).collect();
        rows.entry(key).or_default().add(sum.borrow());
    }
    let row = |(key, sum)| row(by.iter().map(|it| it.name().to_owned()).zip(key).collect(), &sum);
    rows.into_iter().map(row).collect()
}

fn row(group: BTreeMap<String, String>, sum: &Sum) -> UsageRow {
    let shown = |all: &[Money]| all.iter().map(ToString::to_string).collect();
    UsageRow {
        group,
        calls: sum.calls,
        failed: sum.failed,
        degraded: sum.degraded,
        input_tokens: sum.used.input,
        cached_tokens: sum.used.cached,
        output_tokens: sum.used.output,
        reasoning_tokens: sum.used.reasoning,
        images: sum.used.images,
        cost: shown(&sum.cost),
        at_bound: shown(&sum.at_bound),
        unpriced: sum.unpriced,
    }
}

/// The hour of a time that a parameter names.
pub fn hour(name: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let wrong = || Refusal::parameter(name, "a time such as `2026-11-22T00:00:00Z`");
    let read = |text| Timestamp::parse(text).map(Timestamp::hour).ok_or_else(wrong);
    text.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a name that is not of those known here, or say the names of others.
    #[test]
    fn a_site_and_a_hub_tell_apart_what_they_know() {
        let hub = [Facet::Site, Facet::Namespace];
        assert_eq!(Facet::read("namespace, site", &hub), Ok(vec![Facet::Namespace, Facet::Site]));
        let refused = Facet::read("namespace,key", &hub).expect_err("a hub knows no keys");
        assert!(
            refused
                .to_string()
                .contains("one or more of site, namespace, each once; names of keys")
        );
        assert!(Facet::read("namespace,namespace", &hub).is_err(), "once is enough");
        let refused = Facet::read("colour", &[Facet::Key]).expect_err("it is none");
        assert!(refused.to_string().contains("one or more of key, each once ["));
    }

    /// Mutation: keep an hour as it is, take the next one, or take a text that is no time.
    #[test]
    fn a_time_stands_for_its_hour() {
        let hour_of = |text| hour("since", Some(text)).map(|at| at.map(|at| at.to_string()));
        let began = Ok(Some("2026-11-22T07:00:00.000Z".to_owned()));
        assert_eq!(hour_of("2026-11-22T07:59:59.999Z"), began);
        assert_eq!(hour_of("2026-11-22T08:00:00+01:00"), began);
        assert!(hour_of("yesterday").is_err());
        assert_eq!(hour("since", None), Ok(None));
    }
}
