//! Events that a workflow emits, and those that it listens to.

use std::sync::Arc;

use base::Value;
use expr::Expr;

use super::{Output, TaskList, Template};

/// What the types of events about the life of runs and tasks begin with. Only the engine sends them.
pub const LIFECYCLE: &str = "io.serverlessworkflow.";

/// `emit`: an event to be made.
#[derive(Debug)]
pub struct Emit {
    /// Everything but `data`, by name, in the order of the document.
    pub attributes: Vec<(Arc<str>, Template)>,
    pub data: Option<Template>,
}

#[derive(Debug)]
pub struct Listen {
    pub to: Arc<Strategy>,
    pub read: ReadAs,
    pub each: Option<Each>,
}

/// Which events are taken, and how many.
#[derive(Debug)]
pub enum Strategy {
    One(Filter),
    /// Without a filter: every event.
    Any {
        filters: Vec<Filter>,
        until: Until,
    },
    /// One event for each filter, in any order.
    All(Vec<Filter>),
}

/// When listening to any of several events ends.
#[derive(Debug)]
pub enum Until {
    /// With the first event.
    First,
    /// The workflow goes on with something else only when the run is cancelled or times out.
    Never,
    /// Evaluated on all that was consumed, after each event.
    Condition(Expr),
    /// These events are not part of the output.
    Consumed(Box<Strategy>),
}

/// How an event looks to the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadAs {
    #[default]
    Data,
    /// The whole event, with its attributes.
    Envelope,
    /// The data as text.
    Raw,
}

impl ReadAs {
    /// As a document calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Envelope => "envelope",
            Self::Raw => "raw",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Data, Self::Envelope, Self::Raw].into_iter().find(|read| read.name() == name)
    }
}

/// What an event must be like.
#[derive(Debug)]
pub struct Filter {
    /// By attribute; `data` is one of them.
    pub with: Vec<(Arc<str>, Matcher)>,
    pub correlate: Vec<Correlation>,
}

#[derive(Debug)]
pub enum Matcher {
    Equal(Value),
    /// Text that is equal to the pattern's, or wholly matched by it.
    Pattern(Pattern),
    /// Evaluated on the value: `true`, or the value itself, matches.
    Expr(Expr),
    /// An object that has at least these properties.
    Object(Vec<(Arc<str>, Matcher)>),
}

/// A regular expression for a whole text.
#[derive(Debug)]
pub struct Pattern {
    text: Arc<str>,
    regex: regex::Regex,
}

/// What a compiled pattern may take. A filter names a handful of alternatives.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

impl Pattern {
    /// The error is what is wrong, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        // Compiled alone first, so that the text cannot close the group around it.
        let compile = |text: &str| {
            let mut builder = regex::RegexBuilder::new(text);
            builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
            builder.build().map_err(one_line)
        };
        compile(text)?;
        let regex = compile(&format!("^(?:{text})$"))?;
        Ok(Self { text: text.into(), regex })
    }

    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        *self.text == *text || self.regex.is_match(text)
    }

    /// Whether a text has signs that mean more than themselves in a regular expression. A dot has
    /// not: it stands in every name.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.contains(['\\', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$'])
    }
}

fn one_line(wrong: regex::Error) -> String {
    match wrong {
        regex::Error::CompiledTooBig(_) => "it needs too much memory".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim().trim_start_matches("error: ").to_owned()
        }
    }
}

/// A link between events, or between an event and the run.
#[derive(Debug)]
pub struct Correlation {
    pub name: Arc<str>,
    /// Evaluated on the event, with its attributes.
    pub from: Expr,
    /// What it must give. Without, the first event that matches decides.
    pub expect: Option<Template>,
}

/// What is done with each event.
#[derive(Debug)]
pub struct Each {
    /// Variable name without `$`.
    pub item: Arc<str>,
    /// Variable name without `$`.
    pub at: Arc<str>,
    pub body: TaskList,
    pub output: Output,
    pub export: Output,
}

impl Strategy {
    /// The filters of what is listened to, without those of `until`.
    #[must_use]
    pub fn filters(&self) -> &[Filter] {
        match self {
            Self::One(filter) => std::slice::from_ref(filter),
            Self::Any { filters, .. } | Self::All(filters) => filters,
        }
    }

    #[must_use]
    pub fn until(&self) -> Option<&Self> {
        match self {
            Self::Any { until: Until::Consumed(until), .. } => Some(until),
            Self::Any { .. } | Self::One(_) | Self::All(_) => None,
        }
    }

    /// Whether it takes every event, whatever its type.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        matches!(self, Self::Any { filters, .. } if filters.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: match a part of the text, or let the text close the group.
    #[test]
    fn a_pattern_matches_the_whole() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let pattern = Pattern::new(pattern).expect("a pattern");
            assert_eq!(pattern.matches(text), expected, "{pattern:?} {text}");
        };
        check("com\\.acme\\..*", "com.acme.order", true);
        check("com\\.acme\\..*", "x.com.acme.order", false);
        check("a|b", "ab", false);
        check("a|b", "b", true);
        check("https://x/y?z=1", "https://x/y?z=1", true);
        check("\\d+", "٣", true);
        assert!(Pattern::new("a)|(b").is_err());
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new("(((a{100}){100}){100})").is_err());
        assert!(Pattern::is_meant("order.*") && !Pattern::is_meant("com.acme.order"));
    }
}
