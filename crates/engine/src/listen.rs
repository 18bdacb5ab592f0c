//! Which events a listener takes: a plain question, answered without clock, store or run.
//!
//! `machine::listen` asks it for `listen` tasks. Whoever starts runs by events asks it through
//! [`Consumer`].

use std::collections::BTreeSet;
use std::sync::Arc;

use base::value::{array, as_object, as_str, get};
use base::{Fault, Value};
use expr::{Expr, Scope, Stop};
use spec::tree::{Correlation, Filter, Matcher, ReadAs, Strategy, Until};

use crate::effect::Evaluate;
use crate::event::Incoming;

/// Correlations by name.
pub type Keys = Vec<(Arc<str>, Value)>;

/// Which of a listener's filters an event met.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// Whether it is a filter of `until`.
    pub until: bool,
    /// Its place in its list; 0 where the list is empty and every event is taken.
    pub filter: u32,
    /// Correlations that this event decides for the others.
    pub keys: Keys,
}

/// What a listener has taken so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Filters of `all` that an event has met, or of any other strategy once it is fulfilled.
    pub met: BTreeSet<u32>,
    /// The same for `until`.
    pub until: BTreeSet<u32>,
    /// Correlations, decided by their first event.
    pub keys: Keys,
    /// What correlations expect, in the order of [`expectations`]; `None` for those that do not say.
    pub expected: Vec<Option<Value>>,
}

/// Evaluates expressions of filters on events.
pub trait Judge {
    fn value(&mut self, expr: &Expr, input: &Value) -> Result<Value, Unjudged>;
}

/// Why there is no value.
pub enum Unjudged {
    /// The expression failed on this event: no match.
    Failed,
    /// To be evaluated outside the process; then the question is asked again.
    Outside(Evaluate),
}

/// All correlations of a strategy, those of `until` last.
pub fn expectations(strategy: &Strategy) -> impl Iterator<Item = &Correlation> {
    let until = strategy.until().map_or(&[][..], Strategy::filters);
    strategy.filters().iter().chain(until).flat_map(|filter| &filter.correlate)
}

/// Whether the listener takes the event, and by which filter. `Err` asks for an evaluation outside.
pub fn offer(
    strategy: &Strategy,
    progress: &Progress,
    incoming: &Incoming,
    judge: &mut dyn Judge,
) -> Result<Option<Met>, Evaluate> {
    let slots: usize = strategy.filters().iter().map(|filter| filter.correlate.len()).sum();
    let mut question = Question { progress, incoming, judge };
    // What ends the listening is looked at first: it is not part of the output.
    if let Some(until) = strategy.until()
        && let Some(met) = question.among(until, &progress.until, true, slots)?
    {
        return Ok(Some(met));
    }
    question.among(strategy, &progress.met, false, 0)
}

impl Progress {
    pub fn take(&mut self, met: &Met) {
        self.keys.extend(met.keys.iter().cloned());
        let taken = if met.until { &mut self.until } else { &mut self.met };
        taken.insert(met.filter);
    }

    /// Whether enough was taken, as far as that follows from the events alone.
    #[must_use]
    pub fn is_complete(&self, strategy: &Strategy) -> bool {
        match strategy {
            Strategy::Any { until: Until::Never | Until::Condition(_), .. } => false,
            Strategy::Any { until: Until::Consumed(until), .. } => fulfilled(until, &self.until),
            Strategy::One(_) | Strategy::Any { until: Until::First, .. } | Strategy::All(_) => {
                fulfilled(strategy, &self.met)
            }
        }
    }
}

fn fulfilled(strategy: &Strategy, met: &BTreeSet<u32>) -> bool {
    match strategy {
        Strategy::One(_) | Strategy::Any { .. } => !met.is_empty(),
        Strategy::All(filters) => met.len() == filters.len(),
    }
}

struct Question<'a> {
    progress: &'a Progress,
    incoming: &'a Incoming,
    judge: &'a mut dyn Judge,
}

impl Question<'_> {
    fn among(
        &mut self,
        strategy: &Strategy,
        met: &BTreeSet<u32>,
        until: bool,
        slots_before: usize,
    ) -> Result<Option<Met>, Evaluate> {
        if strategy.takes_all() {
            let takes = !self.incoming.is_lifecycle();
            return Ok(takes.then(|| Met { until, filter: 0, keys: Vec::new() }));
        }
        let once = matches!(strategy, Strategy::All(_));
        let mut slot = slots_before;
        for (number, filter) in (0_u32..).zip(strategy.filters()) {
            let slots = slot;
            slot += filter.correlate.len();
            if once && met.contains(&number) {
                continue;
            }
            if let Some(keys) = self.meets(filter, slots)? {
                return Ok(Some(Met { until, filter: number, keys }));
            }
        }
        Ok(None)
    }

    /// `None` where the event is not one for this filter, else the correlations that it decides.
    fn meets(&mut self, filter: &Filter, slots: usize) -> Result<Option<Keys>, Evaluate> {
        // The life of runs is told to those who ask for it by type.
        let asks = filter.with.iter().any(|(name, _)| &**name == "type");
        if self.incoming.is_lifecycle() && !asks {
            return Ok(None);
        }
        for (name, matcher) in &filter.with {
            let Some(value) = self.incoming.event.attribute(name).cloned() else {
                return Ok(None);
            };
            if !self.matches(matcher, &value)? {
                return Ok(None);
            }
        }
        let mut keys = Keys::new();
        for (correlation, slot) in filter.correlate.iter().zip(slots..) {
            let envelope = self.incoming.event.envelope();
            let Some(found) = self.evaluate(&correlation.from, envelope)? else { return Ok(None) };
            if matches!(found, Value::Null) {
                return Ok(None);
            }
            let known = self.progress.keys.iter().chain(&keys);
            let known = known.filter(|(name, _)| *name == correlation.name).map(|(_, key)| key);
            let expected = self.progress.expected.get(slot).and_then(Option::as_ref);
            let first = known.clone().next().is_none();
            if expected.into_iter().chain(known).any(|wanted| *wanted != found) {
                return Ok(None);
            }
            if first {
                keys.push((correlation.name.clone(), found));
            }
        }
        Ok(Some(keys))
    }

    fn matches(&mut self, matcher: &Matcher, value: &Value) -> Result<bool, Evaluate> {
        Ok(match matcher {
            Matcher::Equal(wanted) => wanted == value,
            Matcher::Pattern(pattern) => as_str(value).is_some_and(|text| pattern.matches(text)),
            Matcher::Expr(expr) => match self.evaluate(expr, value)? {
                Some(result) => result == Value::Bool(true) || result == *value,
                None => false,
            },
            Matcher::Object(fields) => {
                if as_object(value).is_none() {
                    return Ok(false);
                }
                for (name, matcher) in fields {
                    let Some(field) = get(value, name) else { return Ok(false) };
                    if !self.matches(matcher, field)? {
                        return Ok(false);
                    }
                }
                true
            }
        })
    }

    /// `None` where the expression fails: an event that it was not made for is no mistake.
    fn evaluate(&mut self, expr: &Expr, input: &Value) -> Result<Option<Value>, Evaluate> {
        match self.judge.value(expr, input) {
            Ok(value) => Ok(Some(value)),
            Err(Unjudged::Failed) => Ok(None),
            Err(Unjudged::Outside(evaluate)) => Err(evaluate),
        }
    }
}

/// Which events can matter to a listener at all, so that nobody is woken for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// Only these types.
    Kinds(BTreeSet<String>),
    Any {
        /// Also those about the life of runs.
        lifecycle: bool,
    },
}

impl Interest {
    #[must_use]
    pub fn of(strategy: &Strategy) -> Self {
        let until = strategy.until();
        let mut interest = Self::Kinds(BTreeSet::new());
        for part in [Some(strategy), until].into_iter().flatten() {
            if part.takes_all() {
                interest = interest.and(Self::Any { lifecycle: false });
            }
            for filter in part.filters() {
                interest = interest.and(Self::of_filter(filter));
            }
        }
        interest
    }

    fn of_filter(filter: &Filter) -> Self {
        match filter.with.iter().find(|(name, _)| &**name == "type") {
            None => Self::Any { lifecycle: false },
            Some((_, Matcher::Equal(kind))) => {
                Self::Kinds(as_str(kind).map(str::to_owned).into_iter().collect())
            }
            Some((_, Matcher::Pattern(_) | Matcher::Expr(_) | Matcher::Object(_))) => {
                Self::Any { lifecycle: true }
            }
        }
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Kinds(mut one), Self::Kinds(other)) => {
                one.extend(other);
                Self::Kinds(one)
            }
            (Self::Any { lifecycle }, Self::Kinds(kinds))
            | (Self::Kinds(kinds), Self::Any { lifecycle }) => {
                let named = kinds.iter().any(|kind| kind.starts_with(crate::event::LIFECYCLE));
                Self::Any { lifecycle: lifecycle || named }
            }
            (Self::Any { lifecycle: one }, Self::Any { lifecycle: other }) => {
                Self::Any { lifecycle: one || other }
            }
        }
    }

    #[must_use]
    pub fn covers(&self, kind: &str) -> bool {
        match self {
            Self::Kinds(kinds) => kinds.contains(kind),
            Self::Any { lifecycle } => *lifecycle || !kind.starts_with(crate::event::LIFECYCLE),
        }
    }

    /// The types to ask a store for; empty is all.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        match self {
            Self::Kinds(kinds) => kinds.iter().cloned().collect(),
            Self::Any { .. } => Vec::new(),
        }
    }
}

/// Events that one set may hold, for `until` conditions that never come true.
const CONSUMED_MAX: usize = 1_000;

/// Gathers the events that a strategy asks for, one set after another: what starts runs by events.
#[derive(Debug)]
pub struct Consumer {
    strategy: Arc<Strategy>,
    progress: Progress,
    taken: Vec<Incoming>,
}

/// What an event led to.
#[derive(Debug)]
pub enum Offer {
    /// Not one of those.
    Ignored,
    /// Evaluate this outside, and offer the event again with all results so far.
    Ask(Evaluate),
    /// Taken; more must come.
    Taken,
    /// The set is complete, in the order of the events; the next one begins empty.
    Complete(Vec<Incoming>),
    /// Taken, and the set holds too many: it was dropped, and the next one begins.
    Overflow,
}

impl Consumer {
    /// Expressions in `expect` are not evaluated: nothing is there yet that they could read.
    #[must_use]
    pub fn new(strategy: Arc<Strategy>) -> Self {
        let mut consumer = Self { strategy, progress: Progress::default(), taken: Vec::new() };
        consumer.begin();
        consumer
    }

    fn begin(&mut self) {
        let constant = |correlation: &Correlation| match &correlation.expect {
            Some(spec::tree::Template::Constant(value)) => Some(value.clone()),
            _ => None,
        };
        let expected = expectations(&self.strategy).map(constant).collect();
        self.progress = Progress { expected, ..Progress::default() };
        self.taken.clear();
    }

    #[must_use]
    pub fn interest(&self) -> Interest {
        Interest::of(&self.strategy)
    }

    /// Events of the set that is not complete yet.
    #[must_use]
    pub fn taken(&self) -> &[Incoming] {
        &self.taken
    }

    /// `results` are those of the evaluations that this event has asked for so far, in order.
    pub fn offer(&mut self, incoming: &Incoming, results: &[Result<Value, Fault>]) -> Offer {
        let mut judge = Plain { results: results.iter() };
        let met = match offer(&self.strategy, &self.progress, incoming, &mut judge) {
            Ok(Some(met)) => met,
            Ok(None) => return Offer::Ignored,
            Err(evaluate) => return Offer::Ask(evaluate),
        };
        let mut progress = self.progress.clone();
        progress.take(&met);
        let mut complete = progress.is_complete(&self.strategy);
        if let Strategy::Any { until: Until::Condition(condition), .. } = &*self.strategy {
            let data = self.taken.iter().chain([incoming]);
            let data = array(data.map(|taken| taken.event.read(ReadAs::Data)).collect());
            complete = match judge.value(condition, &data) {
                Ok(value) => base::value::is_true(&value),
                Err(Unjudged::Failed) => false,
                Err(Unjudged::Outside(evaluate)) => return Offer::Ask(evaluate),
            };
        }
        self.progress = progress;
        if !met.until {
            self.taken.push(incoming.clone());
        }
        if complete {
            let set = std::mem::take(&mut self.taken);
            self.begin();
            return Offer::Complete(set);
        }
        if self.taken.len() >= CONSUMED_MAX {
            self.begin();
            return Offer::Overflow;
        }
        Offer::Taken
    }
}

/// Evaluates where no run is: no variable exists.
struct Plain<'a> {
    results: std::slice::Iter<'a, Result<Value, Fault>>,
}

struct Nothing;

impl Scope for Nothing {
    fn get(&self, _: &str) -> Option<Value> {
        None
    }
}

impl Judge for Plain<'_> {
    fn value(&mut self, expr: &Expr, input: &Value) -> Result<Value, Unjudged> {
        match expr.evaluate(input, &Nothing) {
            Ok(value) => Ok(value),
            Err(Stop::Failed(_)) => Err(Unjudged::Failed),
            Err(Stop::Outside) => match self.results.next() {
                Some(result) => result.clone().map_err(|_| Unjudged::Failed),
                None => Err(Unjudged::Outside(Evaluate {
                    text: expr.text().into(),
                    input: input.clone(),
                    variables: Vec::new(),
                })),
            },
        }
    }
}
