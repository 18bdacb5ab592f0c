//! Why a command did not do what it was asked to: one message, a way out, and the exit code.

use gateway::operator::OperatorError;
use wire::{Problem, ProblemCode};

use crate::exit::Exit;
use crate::output;

/// Told on stderr by `main`, and by nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    message: String,
    hints: Vec<String>,
    /// Shown before the message: places in a document, as the site rendered them.
    places: Vec<String>,
}

pub type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hints: Vec::new(), places: Vec::new() }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn places(mut self, places: Vec<String>) -> Self {
        self.places = places;
        self
    }

    /// Several as one: each is told whole, and the last line counts them.
    #[must_use]
    pub fn all(mut found: Vec<Self>) -> Option<Self> {
        let last = found.pop()?;
        if found.is_empty() {
            return Some(last);
        }
        let exit = found[0].exit;
        let message = format!("{} mistakes", found.len() + 1);
        found.push(last);
        let places = found.iter().map(Self::render).collect();
        Some(Self::new(exit, message).places(places))
    }

    /// As it stands on stderr.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for place in &self.places {
            text.push_str(place.trim_end());
            text.push_str("\n\n");
        }
        text.push_str("error: ");
        text.push_str(&self.message);
        for hint in &self.hints {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        output::harmless(&text)
    }

    fn of_problem(problem: &Problem) -> Self {
        let title = problem.title.to_lowercase();
        // The API names its field, and what was typed is the option.
        let detail = problem.detail.replace("`ttlSeconds`", "`--ttl`");
        let message = match problem.findings.as_slice() {
            [] if says_all(problem.code) => format!("{detail} [{}]", problem.code),
            [] => format!("{title}: {detail} [{}]", problem.code),
            // The places say it better than a summary.
            [..] => format!("{title} [{}]", problem.code),
        };
        Self::new(exit_of(problem.code), message).places(places_of(problem))
    }
}

/// The findings of a problem, each as the site rendered it.
#[must_use]
pub fn places_of(problem: &Problem) -> Vec<String> {
    problem.findings.iter().map(output::finding).collect()
}

/// Whether the detail says that there is none, as the title does.
const fn says_all(code: ProblemCode) -> bool {
    matches!(
        code,
        ProblemCode::WorkflowMissing
            | ProblemCode::RevisionMissing
            | ProblemCode::RunMissing
            | ProblemCode::SecretMissing
            | ProblemCode::SiteMissing
            | ProblemCode::OrderMissing
            | ProblemCode::PlacementMissing
            | ProblemCode::KeyMissing
            | ProblemCode::ModelMissing
            | ProblemCode::BudgetMissing
            | ProblemCode::CallMissing
    )
}

/// What the site's answer means for a script.
const fn exit_of(code: ProblemCode) -> Exit {
    match code {
        ProblemCode::BodyInvalid
        | ProblemCode::ParameterInvalid
        | ProblemCode::NoSuchOperation
        | ProblemCode::MethodNotAllowed
        | ProblemCode::NotJson
        | ProblemCode::TooLarge
        | ProblemCode::ForeignOrigin
        | ProblemCode::WorkflowInvalid
        | ProblemCode::WorkflowMissing
        | ProblemCode::RevisionMissing
        | ProblemCode::WorkflowMismatch
        | ProblemCode::RunMissing
        | ProblemCode::RunExists
        | ProblemCode::RunEnded
        | ProblemCode::RunNotFaulted
        | ProblemCode::RunNotSuspended
        | ProblemCode::EventInvalid
        | ProblemCode::EventMediaType
        | ProblemCode::SecretMissing
        | ProblemCode::SecretElsewhere
        | ProblemCode::SecretLimit
        | ProblemCode::SecretsOff
        | ProblemCode::SiteMissing
        | ProblemCode::SiteJoined
        | ProblemCode::OrderMissing
        | ProblemCode::PlacementMissing
        | ProblemCode::SiteCordoned
        | ProblemCode::Recovering
        | ProblemCode::RequestExists
        | ProblemCode::AuthorityOverlap
        | ProblemCode::KeyMissing
        | ProblemCode::KeyExists
        | ProblemCode::KeyLimit
        | ProblemCode::ModelMissing
        | ProblemCode::ModelExists
        | ProblemCode::BudgetMissing
        | ProblemCode::CallMissing
        | ProblemCode::CallKnown
        | ProblemCode::QuestionOver
        | ProblemCode::ExchangeRefused => Exit::Usage,
        ProblemCode::KeyRequired | ProblemCode::RoleMissing => Exit::Denied,
        // It is there, but not for us and not now.
        ProblemCode::Overloaded
        | ProblemCode::Stopping
        | ProblemCode::TooSlow
        | ProblemCode::RunBusy => Exit::Unreachable,
        ProblemCode::RunSuspended
        | ProblemCode::SecretsUnreadable
        | ProblemCode::DiskFull
        | ProblemCode::StoreFailed
        | ProblemCode::Internal => Exit::Internal,
    }
}

/// The problem document in a refusal, if there is one.
#[must_use]
pub fn problem_of(error: &OperatorError) -> Option<Problem> {
    match error {
        OperatorError::Status { body, .. } => serde_json::from_slice(body).ok(),
        _ => None,
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        if let Some(problem) = problem_of(&error) {
            return Self::of_problem(&problem);
        }
        match error {
            OperatorError::Unreachable { address, why } => {
                Self::new(Exit::Unreachable, format!("nobody answers at {address}: {why}")).hint(
                    "is `isonomy dev` running? start it (a hub: `isonomy hub serve`), or name another one with `--server URL`",
                )
            }
            OperatorError::Untrusted { address, why } => Self::new(
                Exit::Unreachable,
                format!("the certificate of {address} is not trusted: {why}"),
            )
            .hint(
                "for a hub, `isonomy context add NAME --server URL --root DIGEST` trusts what is below the root of its \
                 fleet, and `isonomy hub serve --api` says the digest where it starts; for others the system's \
                 certificates decide, or those that `SSL_CERT_FILE` names",
            ),
            OperatorError::Broken { address, why } => Self::new(
                Exit::Unreachable,
                format!("the server at {address} broke off its answer: {why}"),
            )
            .hint("is it still running?"),
            OperatorError::Address { .. } => Self::usage(error.to_string()),
            OperatorError::Status { status, .. } => {
                Self::internal(format!("the server answered {status} without a problem document"))
                    .hint("is that the address of an Isonomy site?")
            }
            OperatorError::Json(ref cause) => Self::internal(format!("{error}: {cause}"))
                .hint("are site and command line of the same version?"),
            OperatorError::TooLarge | OperatorError::Event(_) | OperatorError::Invalid(_) => {
                Self::internal(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ProblemCode) -> Failure {
        let problem = Problem::new(code, "`x` is not it");
        let body = serde_json::to_vec(&problem).expect("a problem has JSON text");
        OperatorError::Status { status: problem.status, body: body.into() }.into()
    }

    /// Mutation: let every refusal be internal, or forget the code in the text.
    #[test]
    fn a_refusal_is_told_with_its_code_and_ends_as_documented() {
        for code in ProblemCode::ALL {
            let failure = refused(code);
            assert!(failure.render().contains(code.as_str()), "{code}");
            assert_ne!(failure.exit, Exit::Ok, "{code}");
        }
        assert_eq!(refused(ProblemCode::WorkflowMissing).exit, Exit::Usage);
        assert_eq!(refused(ProblemCode::StoreFailed).exit, Exit::Internal);
        assert_eq!(refused(ProblemCode::Stopping).exit, Exit::Unreachable);
    }

    /// Mutation: print the hint before the error, or leave control characters in.
    #[test]
    fn a_failure_reads_as_error_then_hint_and_cannot_drive_a_terminal() {
        let failure = Failure::usage("no file `a\u{1b}[2J`")
            .hint("name another")
            .places(vec!["place\n".to_owned()]);
        assert_eq!(failure.render(), "place\n\nerror: no file `a\u{fffd}[2J`\nhint: name another");
    }

    /// Mutation: say twice that there is none, or name a field that nobody has typed.
    #[test]
    fn a_refusal_is_said_once_and_in_the_words_that_were_typed() {
        let said = |code, detail: &str| Failure::of_problem(&Problem::new(code, detail)).render();
        assert_eq!(
            said(ProblemCode::SiteMissing, "there is no site nobody"),
            "error: there is no site nobody [FLT-001]"
        );
        assert_eq!(
            said(ProblemCode::ParameterInvalid, "`ttlSeconds`: from a minute on"),
            "error: a parameter is not valid: `--ttl`: from a minute on [API-002]"
        );
    }

    /// Mutation: ask for a problem document where none is.
    #[test]
    fn a_foreign_server_is_told_apart() {
        let failure = Failure::from(OperatorError::Status { status: 404, body: "<html>".into() });
        assert_eq!(failure.exit, Exit::Internal);
        assert!(failure.render().contains("is that the address of an Isonomy site?"));
    }
}
