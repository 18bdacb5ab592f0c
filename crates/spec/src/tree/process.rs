//! Processes: scripts and shell commands.

use super::{Template, Text};

/// `run: script` or `run: shell`.
#[derive(Debug)]
pub struct Process {
    pub program: Program,
    pub stdin: Option<Template>,
    /// A list, or an expression that gives one.
    pub arguments: Option<Template>,
    /// An object, or an expression that gives one.
    pub environment: Option<Template>,
    pub returns: Returns,
    /// Whether the task is done when the process has ended, or already when it has begun.
    pub wait: bool,
}

#[derive(Debug)]
pub enum Program {
    Script { language: Language, code: Text },
    Shell { command: Text },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    JavaScript,
    Python,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::JavaScript, Self::Python];

    /// As documents name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    /// The specification names `js`; its own first examples write the other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "js" | "javascript" => Some(Self::JavaScript),
            "python" => Some(Self::Python),
            _ => None,
        }
    }
}

/// What of a process is the task's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Returns {
    #[default]
    Stdout,
    Stderr,
    Code,
    All,
    None,
}

impl Returns {
    pub const NAMES: [&'static str; 5] = ["stdout", "stderr", "code", "all", "none"];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => Self::NAMES[0],
            Self::Stderr => Self::NAMES[1],
            Self::Code => Self::NAMES[2],
            Self::All => Self::NAMES[3],
            Self::None => Self::NAMES[4],
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Code, Self::All, Self::None]
            .into_iter()
            .find(|one| one.as_str() == text)
    }
}
