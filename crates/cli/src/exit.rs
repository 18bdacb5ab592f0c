//! How a command ends: the one table of exit codes. Described in `docs/reference/exit-codes.md`.

/// A promise to scripts: a code keeps its meaning for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Ok,
    Faulted,
    Usage,
    Denied,
    Budget,
    Approval,
    Unreachable,
    Internal,
    Cancelled,
    Unfinished,
    Interrupted,
}

impl Exit {
    /// For the test against the reference.
    #[cfg(test)]
    const ALL: [Self; 11] = [
        Self::Ok,
        Self::Faulted,
        Self::Usage,
        Self::Denied,
        Self::Budget,
        Self::Approval,
        Self::Unreachable,
        Self::Internal,
        Self::Cancelled,
        Self::Unfinished,
        Self::Interrupted,
    ];

    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Faulted => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::Budget => 4,
            Self::Approval => 5,
            Self::Unreachable => 6,
            Self::Internal => 7,
            Self::Cancelled => 8,
            Self::Unfinished => 9,
            // As a shell reports a program that SIGINT has ended.
            Self::Interrupted => 130,
        }
    }

    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "it worked",
            Self::Faulted => "the run faulted",
            Self::Usage => "wrong usage, or an invalid file",
            Self::Denied => "denied by policy",
            Self::Budget => "the budget is used up",
            Self::Approval => "waiting for approval",
            Self::Unreachable => "the site cannot be reached",
            Self::Internal => "an internal error, or the store failed",
            Self::Cancelled => "cancelled",
            Self::Unfinished => "the time is over, and it is not done",
            Self::Interrupted => "interrupted while following; the run goes on",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: change a code or a meaning here or in the reference.
    #[test]
    fn every_exit_code_is_documented_with_its_meaning() {
        let reference = include_str!("../../../docs/reference/exit-codes.md");
        let documented: Vec<&str> =
            reference.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        let wanted: Vec<String> = Exit::ALL
            .iter()
            .map(|exit| format!("| {} | {} |", exit.code(), exit.meaning()))
            .collect();
        assert_eq!(documented.len(), wanted.len());
        for (line, start) in documented.iter().zip(&wanted) {
            assert!(line.starts_with(start.as_str()), "`{line}` does not start with `{start}`");
        }
    }
}
