//! Destinations that something may reach at most, such as a function by its manifest. Which of them
//! it does reach is decided by the egress map.

use crate::destination::Destination;
use crate::egress::{EgressMistake, Pattern};

/// Patterns as in rules of `egress`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destinations(Vec<Pattern>);

impl Destinations {
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, EgressMistake> {
        patterns.into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(Self)
    }

    #[must_use]
    pub fn contain(&self, destination: &Destination) -> bool {
        self.0.iter().any(|pattern| pattern.matches(destination))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: let an empty list contain everything, or ignore the port.
    #[test]
    fn only_what_a_pattern_matches_is_contained() {
        let at = |text: &str| Destination::parse(text).expect(text);
        let some = Destinations::parse(["https://*.example.com", "http://h:81"]).expect("patterns");
        assert!(some.contain(&at("https://a.example.com/x")) && some.contain(&at("http://h:81")));
        assert!(!some.contain(&at("https://example.org")) && !some.contain(&at("http://h")));
        assert!(!Destinations::default().contain(&at("http://h")));
        assert!(Destinations::parse(["h"]).is_err());
    }
}
