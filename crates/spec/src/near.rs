//! "Did you mean": the candidate that a mistyped name most likely stands for.

/// Names longer than this are not compared: the work grows with the square.
const NAME_CHARS_MAX: usize = 64;

/// Candidates that are compared. Beyond that nobody would find the hint missing.
const CANDIDATES_MAX: usize = 1_000;

/// `did you mean …?`, if any candidate is near.
pub fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|near| format!("did you mean `{near}`?"))
}

pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    if wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    // Every short name is near every other one, so that those must differ in nothing but their case.
    let limit = if wanted.len() < 3 { 0 } else { wanted.len() / 3 };
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter_map(|candidate| {
            let chars: Vec<char> = candidate.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
            let far = distance(&wanted, &chars);
            // A beginning or an end is near as well: `fetch` for `fetch-page`.
            let part =
                wanted.len() >= 4 && (chars.starts_with(&wanted) || chars.ends_with(&wanted));
            (far <= limit || part).then_some((far, candidate))
        })
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between the two.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take the first candidate within the limit, or raise the limit to half the length.
    #[test]
    fn the_nearest_name_is_meant_and_a_far_one_is_not() {
        let names = ["then", "when", "while", "exceptWhen", "fetch-page"];
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(nearest(name, names), expected, "{name}")
        };
        check("whne", Some("when"));
        check("thn", Some("then"));
        check("Whil", Some("while"));
        check("excepWhen", Some("exceptWhen"));
        check("fetch", Some("fetch-page"));
        check("x", None);
        check("wholly", None);
        check(&"w".repeat(1000), None);
    }
}
