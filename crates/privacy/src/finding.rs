//! What a detector reports, and what holds where two reports overlap.

use std::ops::Range;

use crate::class::Class;
use crate::rules::Action;
use crate::steps;

/// How sure a finding is. `High`: a check digit or a structure that chance hardly meets, or a fitting
/// word before it. `Low`: the pattern fits, or a check digit that one number in ten meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    Low,
    High,
}

/// One place of a text. It holds no text, so it can be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub class: Class,
    pub confidence: Confidence,
    /// In bytes, on the borders of characters.
    pub range: Range<usize>,
}

impl Finding {
    /// `true` where this one tells what the place is: that with the stricter action, then the surer,
    /// then the longer, then the more specific class.
    fn outranks(&self, other: &Self, action: impl Fn(Class) -> Action) -> bool {
        let rank = |it: &Self| {
            (action(it.class), it.confidence, it.range.len(), std::cmp::Reverse(it.class))
        };
        rank(self) > rank(other)
    }
}

/// One finding for each stretch of overlapping ones: the class of the one that outranks the others,
/// over all that they cover, so that no end of a loser stays behind.
pub(crate) fn merge(mut found: Vec<Finding>, action: impl Fn(Class) -> Action) -> Vec<Finding> {
    steps::add(found.len());
    found.sort_by_key(|it| it.range.start);
    let mut merged: Vec<Finding> = Vec::with_capacity(found.len());
    let mut best: Option<Finding> = None;
    for next in found {
        match merged.last_mut().zip(best.as_mut()) {
            Some((last, winner)) if next.range.start < last.range.end => {
                last.range.end = last.range.end.max(next.range.end);
                if next.outranks(winner, &action) {
                    (last.class, last.confidence) = (next.class, next.confidence);
                    *winner = next;
                }
            }
            _ => {
                merged.push(next.clone());
                best = Some(next);
            }
        }
    }
    merged
}

/// Ranges of bytes as ranges of Unicode code points; the ranges ascend by their start.
#[must_use]
pub fn code_points(text: &str, ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut byte, mut point) = (0, 0);
    ranges
        .iter()
        .map(|range| {
            point += text[byte..range.start].chars().count();
            byte = range.start;
            point..point + text[range.clone()].chars().count()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(class: Class, confidence: Confidence, range: Range<usize>) -> Finding {
        Finding { class, confidence, range }
    }

    /// Mutation: let the longer one win over the surer one, or keep only the winner's range.
    #[test]
    fn the_surer_finding_tells_the_class_and_the_whole_is_covered() {
        let found = vec![
            finding(Class::Phone, Confidence::Low, 2..14),
            finding(Class::UkNhs, Confidence::High, 4..10),
            finding(Class::Date, Confidence::Low, 14..20),
        ];
        let expected = [
            finding(Class::UkNhs, Confidence::High, 2..14),
            finding(Class::Date, Confidence::Low, 14..20),
        ];
        assert_eq!(merge(found, |_| Action::Redact), expected);
    }

    /// Mutation: count bytes, or start anew at each range without its characters.
    #[test]
    fn code_points_count_characters() {
        let text = "é@ü 12";
        assert_eq!(code_points(text, &[0..2, 3..5, 6..8]), [0..1, 2..3, 4..6]);
    }
}
