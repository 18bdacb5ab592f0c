//! The stable codes of what the gate and the functions behind it refuse. Cause and way out of each
//! are in `docs/reference/problems-gate.md`, and a test holds the two together.

use std::fmt;

/// What kind of refusal. A code never changes its meaning and is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    // 001 to 009: the site's configuration does not allow it.
    NoRule,
    Forbidden,
    Guarded,
    OutsideFolders,
    LeadsOut,
    ParentFolder,
    OutsideManifest,
    Unconfined,
    NoDataset,
    // 010 to 019: the site's configuration is wrong.
    EgressRule,
    FolderEntry,
    // 020 to 029: allowed, but there is no usable answer.
    InvalidRequest,
    NotSent,
    NoAnswer,
    TooLarge,
    TooManyRedirects,
    BadRedirect,
}

impl Code {
    pub const ALL: [Self; 17] = [
        Self::NoRule,
        Self::Forbidden,
        Self::Guarded,
        Self::OutsideFolders,
        Self::LeadsOut,
        Self::ParentFolder,
        Self::OutsideManifest,
        Self::Unconfined,
        Self::NoDataset,
        Self::EgressRule,
        Self::FolderEntry,
        Self::InvalidRequest,
        Self::NotSent,
        Self::NoAnswer,
        Self::TooLarge,
        Self::TooManyRedirects,
        Self::BadRedirect,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "GATE-001",
            Self::Forbidden => "GATE-002",
            Self::Guarded => "GATE-003",
            Self::OutsideFolders => "GATE-004",
            Self::LeadsOut => "GATE-005",
            Self::ParentFolder => "GATE-006",
            Self::OutsideManifest => "GATE-007",
            Self::Unconfined => "GATE-008",
            Self::NoDataset => "GATE-009",
            Self::EgressRule => "GATE-010",
            Self::FolderEntry => "GATE-011",
            Self::InvalidRequest => "GATE-020",
            Self::NotSent => "GATE-021",
            Self::NoAnswer => "GATE-022",
            Self::TooLarge => "GATE-023",
            Self::TooManyRedirects => "GATE-024",
            Self::BadRedirect => "GATE-025",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: give two codes one text, or add one without documenting it.
    #[test]
    fn every_code_is_documented_once() {
        let page = include_str!("../../../docs/reference/problems-gate.md");
        let documented: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("## ")?.split(' ').next()).collect();
        assert_eq!(documented, Code::ALL.map(Code::as_str));
    }
}
