//! What a client is told when its call is not answered, in the form that its dialect has for errors.

use base::{CallId, Duration, Timestamp};
use dialects::Dialect;

use crate::ask::AskError;
use crate::budget::Refused;
use crate::entry::Missed;
use crate::name::ModelName;
use crate::operation::Operation;
use crate::person::PERSON_AGAIN;

/// When a route with as many calls as it may have is worth another try: nobody knows when one of them ends.
const BUSY: Duration = Duration::from_secs(1);

/// What helps where no model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// To ask again: what is wrong may pass.
    Later,
    /// To ask less often.
    Slower,
    /// Nothing that the client could do: a secret that is not taken, a model that is not there.
    Change,
}

impl Remedy {
    /// Of all that were tried.
    #[must_use]
    pub fn of(missed: &[Missed]) -> Self {
        let lasts = |why: &Missed| match why {
            Missed::Credentials
            | Missed::Payment
            | Missed::Denied
            | Missed::NotFound
            | Missed::Redirected
            | Missed::TooLarge
            | Missed::Protected
            | Missed::Dialect
            | Missed::Unjudged
            | Missed::Absent => true,
            Missed::Outage
            | Missed::RateLimit
            | Missed::Busy
            | Missed::Unreachable
            | Missed::Silent
            | Missed::Broken
            | Missed::Status
            | Missed::Budget
            | Missed::Memory
            | Missed::Unsure
            | Missed::Retries
            | Missed::Slower
            | Missed::Left => false,
        };
        match missed {
            [] => Self::Later,
            all if all.iter().all(|why| *why == Missed::RateLimit) => Self::Slower,
            all if all.iter().all(lasts) => Self::Change,
            _ => Self::Later,
        }
    }
}

/// Why a call is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    #[error("{0}")]
    Key(String),
    #[error("there is no such operation; models are called with POST at {}", paths())]
    NoOperation,
    #[error("the request did not arrive whole")]
    NotWhole,
    #[error(
        "the request is compressed, and what it says cannot be read: send it without `content-encoding`"
    )]
    Packed,
    #[error(
        "there is no model and no route `{0}` here; `GET /v1/models` lists those that this key may call"
    )]
    NoModel(ModelName),
    #[error(
        "the run has read labelled data, and none of the models behind `{0}` computes at this site: take one at this machine, or at an address that the site's owner has declared to be here"
    )]
    Labelled(ModelName),
    #[error(
        "the route `{route}` asks only models that compute in {regions}, and none of its models does: say the `region` of a model, or change the `regions` of the route"
    )]
    Regions { route: ModelName, regions: String },
    #[error("`{model}` does not answer `{operation}`")]
    NotAnswered { model: ModelName, operation: &'static str },
    #[error("`{model}` cannot be asked this: {why}")]
    Untranslated { model: ModelName, why: dialects::Refusal },
    #[error("{0}")]
    Request(#[from] AskError),
    /// Not what the model takes.
    #[error("{0}")]
    Inputs(String),
    #[error("the request is larger than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Budget(Box<Refused>),
    #[error("{limit} {what} a minute are what this key may have; there is room in {} ms", .after.as_millis())]
    Rate { what: &'static str, limit: u64, after: Duration },
    #[error("{limit} {what} a minute are what the route `{route}` may have of all that call it; there is room in {} ms", .after.as_millis())]
    RouteRate { route: ModelName, what: &'static str, limit: u64, after: Duration },
    #[error(
        "{limit} calls at once are what the route `{route}` may have, and so many are under way"
    )]
    RouteBusy { route: ModelName, limit: u32 },
    #[error("none of the models behind `{asked}` answers now: {tried}")]
    NoAnswer { asked: ModelName, tried: String, after: Option<Duration>, remedy: Remedy },
    #[error(
        "a person is asked behind `{asked}`, who has not answered yet: ask the same again until {until}, and you get the answer ({question})"
    )]
    Asked { asked: ModelName, question: CallId, until: Timestamp },
    #[error("a person behind `{asked}` has declined to answer{} ({question})", .reason.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Declined { asked: ModelName, question: CallId, reason: Option<String> },
    #[error("`{asked}` gave no answer in time: {tried}")]
    Silent { asked: ModelName, tried: String },
    #[error("the request is not sent to `{asked}`: {why}")]
    Protected { asked: ModelName, why: String },
    #[error("the answer of `{asked}` is withheld: {why}")]
    Withheld { asked: ModelName, why: String },
    #[error(
        "the site cannot write down what it does, so that it does nothing; its disk may be full"
    )]
    Unwritten,
}

impl CallRefusal {
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Key(_) => 401,
            Self::Labelled(_) => 403,
            Self::NoModel(_) | Self::NoOperation => 404,
            Self::Regions { .. }
            | Self::NotAnswered { .. }
            | Self::Untranslated { .. }
            | Self::Request(_)
            | Self::Inputs(_)
            | Self::NotWhole
            | Self::Protected { .. }
            | Self::Withheld { .. } => 400,
            Self::TooLarge(_) => 413,
            Self::Packed => 415,
            // Not 429: clients try that again by themselves, and it would be in vain.
            Self::Budget(_) => 402,
            Self::Rate { .. } | Self::RouteRate { .. } | Self::RouteBusy { .. } => 429,
            Self::NoAnswer { remedy: Remedy::Slower, .. } => 429,
            Self::NoAnswer { .. } | Self::Asked { .. } | Self::Unwritten => 503,
            // Not 5xx: clients would try that again by themselves, and be told the same.
            Self::Declined { .. } => 422,
            Self::Silent { .. } => 504,
        }
    }

    /// For programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "invalid_api_key",
            Self::NoOperation => "unknown_url",
            Self::NotWhole => "not_whole",
            Self::Packed => "compressed",
            Self::NoModel(_) => "model_not_found",
            Self::Labelled(_) => "labelled_data",
            Self::Regions { .. } => "no_model_in_region",
            Self::NotAnswered { .. } => "operation_not_supported",
            Self::Untranslated { .. } => "not_translated",
            Self::Request(_) => "invalid_request",
            Self::Inputs(_) => "invalid_inputs",
            Self::TooLarge(_) => "request_too_large",
            Self::Budget(refused) => match **refused {
                Refused::Unbounded { .. } => "cost_not_bounded",
                Refused::Exchange { .. } | Refused::Money { .. } | Refused::Time { .. } => {
                    "budget_not_reckoned"
                }
                Refused::Exhausted { .. } => "budget_exhausted",
                Refused::Leased { .. } => "lease_exhausted",
            },
            Self::Rate { .. } | Self::RouteRate { .. } => "rate_limit_exceeded",
            Self::RouteBusy { .. } => "too_many_calls",
            Self::NoAnswer { .. } => "no_model_answers",
            Self::Asked { .. } => "person_asked",
            Self::Declined { .. } => "person_declined",
            Self::Silent { .. } => "timeout",
            Self::Protected { .. } => "content_blocked",
            Self::Withheld { .. } => "answer_withheld",
            Self::Unwritten => "not_written",
        }
    }

    /// When it may be asked again.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rate { after, .. } | Self::RouteRate { after, .. } => Some(*after),
            Self::RouteBusy { .. } => Some(BUSY),
            Self::Asked { .. } => Some(PERSON_AGAIN),
            Self::NoAnswer { after, remedy: Remedy::Later | Remedy::Slower, .. } => *after,
            _ => None,
        }
    }

    /// Whether the same would be refused again until somebody changes something at the site.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::NoAnswer { remedy: Remedy::Change, .. })
    }

    /// The body, as the clients of this dialect read it.
    #[must_use]
    pub fn body(&self, operation: Option<Operation>) -> Vec<u8> {
        if operation == Some(Operation::Infer) {
            // The protocol knows a text alone.
            let body = serde_json::json!({"error": format!("{self} [{}]", self.code())});
            return body.to_string().into_bytes();
        }
        let dialect = operation.and_then(Operation::dialect).unwrap_or(Dialect::Chat);
        dialects::body(dialect, self.status(), &self.to_string(), Some(self.code()))
    }
}

fn paths() -> String {
    Operation::ALL.map(|operation| format!("`{}`", operation.path())).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: answer a spent budget with 429, or in the other dialect's form.
    #[test]
    fn each_dialect_reads_its_own_errors() {
        let refusal = CallRefusal::NoModel(ModelName::parse("gpt-9").expect("a name"));
        let read = |operation| -> serde_json::Value {
            serde_json::from_slice(&refusal.body(operation)).expect("JSON")
        };
        let openai = read(Some(Operation::Chat));
        assert_eq!(openai["error"]["code"], "model_not_found");
        assert_eq!(openai["error"]["type"], "invalid_request_error");
        let anthropic = read(Some(Operation::Messages));
        assert_eq!(anthropic["type"], "error");
        assert_eq!(anthropic["error"]["type"], "not_found_error");
        let tensors = read(Some(Operation::Infer));
        let text = tensors["error"].as_str().expect("a text");
        assert!(text.contains("`gpt-9`") && text.ends_with("[model_not_found]"), "{text}");
    }
}
