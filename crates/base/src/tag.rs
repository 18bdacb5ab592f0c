//! Marks of sites, by which sites are meant: a hub and its sites tell them each other in clear, so they are
//! short words and no text.

use std::collections::BTreeMap;

/// Marks of one site.
pub const TAGS_MAX: usize = 64;

/// The longest key or value of a mark: as long as a name.
pub const TAG_BYTES_MAX: usize = 63;

/// Why these cannot be marks of a site.
#[must_use]
pub fn tags_wrong(tags: &BTreeMap<String, String>) -> Option<String> {
    let is_plain = |text: &str| {
        (1..=TAG_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let is_right = tags.iter().all(|(key, value)| is_plain(key) && is_plain(value));
    (tags.len() > TAGS_MAX || !is_right).then(|| {
        format!(
            "at most {TAGS_MAX}, with keys and values of 1 to {TAG_BYTES_MAX} printable characters without spaces"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a text as a mark, one that is empty or too long, or marks without end.
    #[test]
    fn marks_are_few_short_words() {
        let is_right = |tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            tags_wrong(&tags.collect()).is_none()
        };
        let (longest, too_long) = ("x".repeat(TAG_BYTES_MAX), "x".repeat(TAG_BYTES_MAX + 1));
        assert!(is_right(&[("region", "eu"), (&longest, &longest)]));
        for wrong in ["", "Ada Lovelace", "a\nb", "Zoë", &too_long] {
            assert!(!is_right(&[("region", wrong)]), "{wrong:?}");
            assert!(!is_right(&[(wrong, "eu")]), "{wrong:?}");
        }
        let many = |count: usize| {
            tags_wrong(&(0..count).map(|n| (n.to_string(), "x".to_owned())).collect())
        };
        assert_eq!(many(TAGS_MAX), None);
        assert!(many(TAGS_MAX + 1).is_some());
    }
}
