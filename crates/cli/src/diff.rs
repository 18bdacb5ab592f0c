//! What has changed between two texts, line by line, in the form that every tool reads.

use std::fmt::Write as _;

/// Unchanged lines around a change.
const AROUND: usize = 3;

/// Pairs of lines that are compared. Beyond it everything between the first and the last difference
/// counts as changed.
const PAIRS_MAX: usize = 4_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Same,
    Gone,
    New,
}

impl Mark {
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::Same => ' ',
            Self::Gone => '-',
            Self::New => '+',
        }
    }
}

/// Empty where nothing has changed.
#[must_use]
pub fn unified(name: &str, before: &str, after: &str) -> String {
    let lines = compare(before, after);
    let is_change = |(mark, _): &(Mark, &str)| *mark != Mark::Same;
    let mut out = String::new();
    let (mut at, mut old, mut new) = (0, 1, 1);
    while at < lines.len() {
        let Some(first) = lines[at..].iter().position(is_change).map(|found| at + found) else {
            break;
        };
        if out.is_empty() {
            let _ = writeln!(out, "--- {name}\n+++ {name}");
        }
        let start = first.saturating_sub(AROUND).max(at);
        let mut end = first;
        while let Some(next) = lines[end..].iter().position(is_change) {
            if next > 2 * AROUND {
                break;
            }
            end += next + 1;
        }
        let end = (end + AROUND).min(lines.len());
        (old, new) = (old + start - at, new + start - at);
        let hunk = &lines[start..end];
        let gone = hunk.iter().filter(|(mark, _)| *mark != Mark::New).count();
        let come = hunk.iter().filter(|(mark, _)| *mark != Mark::Gone).count();
        let _ = writeln!(out, "@@ -{old},{gone} +{new},{come} @@");
        for (mark, line) in hunk {
            let _ = writeln!(out, "{}{line}", mark.sign());
        }
        (old, new, at) = (old + gone, new + come, end);
    }
    out
}

/// Every line of both, marked, in order.
#[must_use]
pub fn compare<'t>(before: &'t str, after: &'t str) -> Vec<(Mark, &'t str)> {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let head = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let (a, b) = (&before[head..], &after[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
    let mut lines: Vec<_> = before[..head].iter().map(|line| (Mark::Same, *line)).collect();
    lines.extend(middle(a, b));
    lines.extend(before[before.len() - tail..].iter().map(|line| (Mark::Same, *line)));
    lines
}

/// By the longest common sequence of lines.
fn middle<'t>(a: &[&'t str], b: &[&'t str]) -> Vec<(Mark, &'t str)> {
    if a.len().saturating_mul(b.len()) > PAIRS_MAX {
        let gone = a.iter().map(|line| (Mark::Gone, *line));
        return gone.chain(b.iter().map(|line| (Mark::New, *line))).collect();
    }
    let width = b.len() + 1;
    // How many lines are common to what is left of both.
    let mut common = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = if a[i] == b[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push((Mark::Same, a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len()
            && (j == b.len() || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            lines.push((Mark::Gone, a[i]));
            i += 1;
        } else {
            lines.push((Mark::New, b[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: count from zero, or begin the second hunk where the first one began.
    #[test]
    fn a_change_stands_between_three_lines_on_each_side() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n";
        let after = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13\nnew\n14\n";
        assert_eq!(
            unified("a", before, after),
            "--- a\n+++ a\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -11,4 +11,5 @@\n 11\n 12\n 13\n+new\n 14\n"
        );
        assert_eq!(unified("a", before, before), "");
        assert_eq!(unified("a", "", "x\n"), "--- a\n+++ a\n@@ -1,0 +1,1 @@\n+x\n");
    }

    /// Mutation: compare all pairs of lines, however many there are.
    #[test]
    fn large_texts_without_anything_in_common_take_no_time() {
        let text = |word: &str| (0..20_000).map(|n| format!("{word}{n}\n")).collect::<String>();
        assert_eq!(unified("a", &text("a"), &text("b")).lines().count(), 40_003);
    }
}
