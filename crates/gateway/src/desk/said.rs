//! What a model is asked, in its own words: those of the client, or others.

use base::Timestamp;
use bytes::Bytes;
use dialects::{Refusal, Terms, Translation};
use models::{Accept, Ask, CallRefusal, Change, Operation};

use super::aside::aside;
use super::shelf::{Shelved, There};

/// The request as it goes to a model.
pub(super) struct Said {
    /// What is asked of the upstream.
    pub operation: Operation,
    pub body: Bytes,
    /// What puts the answer into the client's words again.
    pub translation: Option<Box<Translation>>,
}

/// What the client has written goes as it is but for what must be other; else in other words.
pub(super) fn said(
    shelved: &Shelved,
    there: There<'_>,
    ask: &Ask,
    body: &Bytes,
    accept: Option<&Accept>,
    now: Timestamp,
) -> Result<Said, CallRefusal> {
    let spoken = shelved.model.spec.asked_as(ask.operation).unwrap_or(ask.operation);
    let ways = ask.operation.dialect().zip(spoken.dialect());
    let terms = Terms { output_name: output_name(there, spoken), now: now.as_millis() / 1_000 };
    let made = ways.and_then(|(client, model)| {
        aside(body.len(), || Translation::of(client, model, body, terms))
    });
    let Some(made) = made else {
        let body = ask.changed(body, &change(shelved, there, ask, accept));
        return Ok(Said { operation: ask.operation, body, translation: None });
    };
    let untranslated = |why| CallRefusal::Untranslated { model: shelved.model.name.clone(), why };
    let mut translation = made.map_err(untranslated)?;
    let request = Bytes::from(translation.take_request());
    let asked = aside(request.len(), || Ask::read(spoken, &request))?;
    let change = change(shelved, there, &asked, accept);
    if spoken == Operation::Messages
        && asked.output_tokens_max.or(change.output_tokens_max).is_none()
    {
        // There is no answer without it, and nobody here knows how long one may be.
        return Err(untranslated(Refusal::Missing { path: "max_tokens".to_owned() }));
    }
    let body = asked.changed(&request, &change);
    Ok(Said { operation: spoken, body, translation: Some(Box::new(translation)) })
}

/// What must be other in the request than the client has written it.
fn change<'a>(
    shelved: &Shelved,
    there: There<'a>,
    ask: &Ask,
    accept: Option<&Accept>,
) -> Change<'a> {
    if ask.operation == Operation::Infer {
        return Change::default();
    }
    let limit = match ask.operation {
        Operation::Embeddings => None,
        _ => shelved.output_tokens_max(ask.output_tokens_max),
    };
    Change {
        model: Some(there.name),
        output_tokens_max: limit,
        output_name: output_name(there, ask.operation),
        is_output_named: there.output.is_some(),
        is_output_repeated: there.is_local,
        usage: matches!(ask.operation, Operation::Chat | Operation::Completions),
        logprobs: accept.is_some_and(|it| it.asks_logprobs(ask.operation)),
    }
}

/// By which name a model takes a limit of output.
fn output_name(there: There<'_>, operation: Operation) -> &str {
    let usual = match operation {
        Operation::Chat | Operation::Completions | Operation::Messages => "max_tokens",
        Operation::Responses => "max_output_tokens",
        Operation::Embeddings | Operation::Infer => "",
    };
    there.output.unwrap_or(usual)
}
