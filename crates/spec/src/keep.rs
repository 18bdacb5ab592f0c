//! How long the runs of a workflow are kept after their end: `document.metadata.keep`.

use base::Duration;

use crate::duration::parse_iso_duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    For(Duration),
    Forever,
}

impl Keep {
    /// ISO 8601, or `forever`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let wrong = |why| format!("{why}, or `forever`");
        parse_iso_duration(text).map(Self::For).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take any text for a time, or for ever.
    #[test]
    fn runs_are_kept_for_a_time_or_for_ever() {
        assert_eq!(Keep::parse("P30D"), Ok(Keep::For(Duration::from_secs(30 * 24 * 3600))));
        assert_eq!(Keep::parse("forever"), Ok(Keep::Forever));
        let wrong = Keep::parse("30 days").expect_err("not a duration");
        assert!(wrong.ends_with(", or `forever`"), "{wrong}");
    }
}
