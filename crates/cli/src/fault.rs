//! A run's error, as people read it and as scripts are told of it.

use base::{ErrorType, Fault};
use gateway::decide::DENIED;
use serde_json::Value;

use crate::exit::Exit;
use crate::output;

/// Title, status and detail in one line; what is no error of ours as it stands.
#[must_use]
pub fn line(error: &Value) -> String {
    match fault(error) {
        Some(fault) => fault.to_string(),
        None => output::short(error),
    }
}

/// The title alone, for lists.
#[must_use]
pub fn title(error: &Value) -> String {
    let Some(fault) = fault(error) else { return output::short(error) };
    let title = fault.title.as_deref().unwrap_or(&fault.uri);
    format!("{title} ({})", fault.status)
}

/// Where it was raised.
#[must_use]
pub fn instance(error: &Value) -> Option<String> {
    fault(error)?.instance
}

/// What an uncaught error means for a script. A denial of the gate is told by its title, which no
/// server can set: what comes from one carries the reason phrase.
#[must_use]
pub fn exit(error: Option<&Value>) -> Exit {
    let Some(fault) = error.and_then(fault) else { return Exit::Faulted };
    let denied = fault.kind() == ErrorType::Authorization && fault.status == 403;
    if denied && fault.title.as_deref() == Some(DENIED) { Exit::Denied } else { Exit::Faulted }
}

fn fault(error: &Value) -> Option<Fault> {
    serde_json::from_value(error.clone()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn denial() -> Value {
        let fault =
            Fault::new(ErrorType::Authorization, "no rule allows `http://a`").with_title(DENIED);
        serde_json::to_value(fault.at("/do/0/fetch")).expect("a fault has JSON text")
    }

    /// Mutation: look at the status alone, or at the type alone.
    #[test]
    fn only_a_denial_of_the_gate_ends_as_denied() {
        assert_eq!(exit(Some(&denial())), Exit::Denied);
        let mut server = denial();
        server["title"] = json!("Forbidden");
        assert_eq!(exit(Some(&server)), Exit::Faulted);
        let mut own = denial();
        own["type"] = json!("https://example.com/errors/own");
        assert_eq!(exit(Some(&own)), Exit::Faulted);
        assert_eq!(exit(None), Exit::Faulted);
    }

    /// Mutation: leave the status or the detail out.
    #[test]
    fn an_error_is_one_line() {
        assert_eq!(line(&denial()), "Denied by policy (403): no rule allows `http://a`");
        assert_eq!(title(&denial()), "Denied by policy (403)");
        assert_eq!(instance(&denial()).as_deref(), Some("/do/0/fetch"));
        assert_eq!(line(&json!({"odd": 1})), "{\"odd\":1}");
    }
}
