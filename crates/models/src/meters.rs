//! What calls come to since the start, as metrics: histograms by operation, provider, models and error.
//! Names of models are the only labels that a person gave; how many sets there are is bounded.

use std::collections::{BTreeMap, HashMap};

use crate::genai::{DURATION_BOUNDS, ErrorKind, Observed, Provider, TOKEN_BOUNDS};
use crate::name::ModelName;

/// Sets of labels. At some 15 kB of text each, this is what one scrape can bear; what comes beyond is counted
/// together. A site has some ten models, asked in two ways, with three kinds of errors.
pub const SERIES_MAX: usize = 500;

/// Counts by bucket, the last of which has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64; 14],
    counts: [u64; 15],
    sum: u64,
}

impl Histogram {
    const fn new(bounds: &'static [u64; 14]) -> Self {
        Self { bounds, counts: [0; 15], sum: 0 }
    }

    fn note(&mut self, value: u64) {
        // A bound belongs to the bucket below it.
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, more)| *sum += more);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Each bound with how many are not above it, which is how metrics are told; without what has none.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bounds.iter().zip(self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

/// What tells series apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    pub operation: &'static str,
    pub provider: &'static str,
    pub asked: ModelName,
    pub answered: Option<ModelName>,
    /// Nowhere but with durations.
    pub error: Option<ErrorKind>,
}

/// Of one set of labels.
#[derive(Debug, Clone)]
struct Series {
    operation: &'static str,
    provider: Provider,
    answered: Option<ModelName>,
    error: Option<ErrorKind>,
    measures: Measures,
}

/// Token counts belong to answers, so that no error tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measures {
    pub duration: Histogram,
    pub first: Histogram,
    pub input: Histogram,
    pub output: Histogram,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            duration: Histogram::new(&DURATION_BOUNDS),
            first: Histogram::new(&DURATION_BOUNDS),
            input: Histogram::new(&TOKEN_BOUNDS),
            output: Histogram::new(&TOKEN_BOUNDS),
        }
    }
}

impl Measures {
    fn note(&mut self, observed: &Observed) {
        self.duration.note(observed.micros);
        if let Some(first) = observed.first_micros {
            self.first.note(first);
        }
        if let Some(used) = &observed.used {
            self.input.note(used.input);
            self.output.note(used.output);
        }
    }

    fn add(&mut self, other: &Self) {
        self.duration.add(&other.duration);
        self.first.add(&other.first);
        self.input.add(&other.input);
        self.output.add(&other.output);
    }
}

/// All calls since the start.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    /// By the name that was asked for; of one name there are few.
    by_asked: HashMap<ModelName, Vec<Series>>,
    series: usize,
    beyond: Measures,
}

impl Meters {
    pub fn note(&mut self, observed: &Observed) {
        let Observed { operation, provider, asked, answered, error, .. } = observed;
        let known = self.by_asked.get_mut(asked);
        let known = known.and_then(|all| {
            all.iter_mut().find(|it| {
                (it.operation, it.provider, it.error) == (operation, *provider, *error)
                    && it.answered == *answered
            })
        });
        if let Some(series) = known {
            series.measures.note(observed);
            return;
        }
        if self.series >= SERIES_MAX {
            self.beyond.note(observed);
            return;
        }
        let mut measures = Measures::default();
        measures.note(observed);
        let (answered, error) = (answered.clone(), *error);
        let series = Series { operation, provider: *provider, answered, error, measures };
        self.by_asked.entry(asked.clone()).or_default().push(series);
        self.series += 1;
    }

    /// By all labels: durations.
    #[must_use]
    pub fn durations(&self) -> BTreeMap<Labels, Measures> {
        self.rows(|labels| labels)
    }

    /// By all labels but the error: times to the first piece, and tokens.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<Labels, Measures> {
        self.rows(|labels| Labels { error: None, ..labels })
    }

    /// What is beyond the limit; nothing, where there is nothing beyond.
    #[must_use]
    pub fn beyond(&self) -> Option<&Measures> {
        (self.beyond.duration.count() > 0).then_some(&self.beyond)
    }

    fn rows(&self, by: impl Fn(Labels) -> Labels) -> BTreeMap<Labels, Measures> {
        let mut rows: BTreeMap<Labels, Measures> = BTreeMap::new();
        for (asked, all) in &self.by_asked {
            for series in all {
                let labels = by(Labels {
                    operation: series.operation,
                    provider: series.provider.as_str(),
                    asked: asked.clone(),
                    answered: series.answered.clone(),
                    error: series.error,
                });
                rows.entry(labels).or_default().add(&series.measures);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Used;

    fn named(name: &str) -> ModelName {
        ModelName::parse(name).expect("a name")
    }

    fn observed(asked: &str, micros: u64, error: Option<ErrorKind>) -> Observed {
        Observed {
            operation: "chat",
            provider: Provider::OTHER,
            asked: named(asked),
            answered: error.is_none().then(|| named("m")),
            error,
            micros,
            first_micros: None,
            used: error.is_none().then_some(Used { input: 5, output: 2, ..Used::default() }),
        }
    }

    /// Mutation: put a value at a bound into the bucket above, or tell buckets one by one.
    #[test]
    fn a_histogram_tells_how_many_are_not_above_each_bound() {
        let mut histogram = Histogram::new(&DURATION_BOUNDS);
        for micros in [0, 10_000, 10_001, 81_920_000, 81_920_001] {
            histogram.note(micros);
        }
        let told: Vec<_> = histogram.cumulative().collect();
        assert_eq!((told[0], told[1], told[13]), ((10_000, 2), (20_000, 3), (81_920_000, 4)));
        assert_eq!((histogram.count(), histogram.sum()), (5, 163_860_002));
    }

    /// Mutation: mix calls of two errors, or count an answer's tokens by error.
    #[test]
    fn calls_are_told_apart_by_their_labels() {
        let mut meters = Meters::default();
        meters.note(&observed("a", 1, None));
        meters.note(&observed("a", 2, None));
        meters.note(&observed("a", 4, Some(ErrorKind::Status(500))));
        meters.note(&observed("a", 16, Some(ErrorKind::Status(429))));
        meters.note(&observed("b", 8, Some(ErrorKind::Named("outage"))));
        let told: Vec<_> = meters
            .durations()
            .into_iter()
            .map(|(labels, it)| {
                let error = labels.error.map(|it| it.to_string()).unwrap_or_default();
                format!("{} {error} {} {}", labels.asked, it.duration.count(), it.duration.sum())
            })
            .collect();
        assert_eq!(told, ["a 429 1 16", "a 500 1 4", "a  2 3", "b outage 1 8"]);
        let input: u64 = meters.answers().values().map(|it| it.input.sum()).sum();
        assert_eq!(input, 10);
    }

    /// Mutation: keep a series for each name without end, or lose the calls beyond.
    #[test]
    fn there_are_so_many_series_and_no_more() {
        let mut meters = Meters::default();
        for n in 0..SERIES_MAX + 3 {
            meters.note(&observed(&format!("m{n}"), 1, None));
        }
        meters.note(&observed("m0", 1, None));
        let rows = meters.durations();
        let counted: u64 = rows.values().map(|it| it.duration.count()).sum();
        assert_eq!((rows.len(), counted), (SERIES_MAX, SERIES_MAX as u64 + 1));
        assert_eq!(meters.beyond().map(|it| it.duration.count()), Some(3));
    }
}
