//! Effects with sealed parts: here, and nowhere else, secrets are opened, the request says who it
//! is, and what comes back is masked before anybody can write it down.

use base::value::{as_str, get, object, parse};
use base::{ErrorType, Fault, Value};
use engine::effect::{Action, Certainty, Perform, Performed};
use engine::sealed::{Keys, Sealed, SealedCall};

use crate::authentication::{Asking, Session};
use crate::http::{self, Identity};
use crate::mask::Mask;
use crate::process::{Given, Place};
use crate::worker::{Worker, caller};

/// Does what is sealed. Whatever is learned on the way is forgotten with this call.
pub(crate) async fn perform(
    worker: &Worker,
    effect: &Perform,
    sealed: &Sealed,
    place: Option<Place>,
) -> Performed {
    let mut mask = Mask::default();
    let performed = open(worker, effect, sealed, place, &mut mask).await;
    mask.performed(performed)
}

/// Nothing was asked of anybody: the next attempt carries the same key.
fn untouched(fault: Fault) -> Performed {
    Performed::fault(fault, Certainty::Unknown)
}

async fn open(
    worker: &Worker,
    effect: &Perform,
    sealed: &Sealed,
    place: Option<Place>,
    mask: &mut Mask,
) -> Performed {
    if let SealedCall::Function { function } = &sealed.call
        && worker.sends(function)
    {
        // No document says so; what is sealed and for others is not opened, whoever asks.
        let detail = format!("`{}` takes no secrets: they do not leave their site", function.name);
        return Performed::fault(Fault::new(ErrorType::Authorization, detail), Certainty::Definite);
    }
    let secrets = match secrets(worker, effect, sealed, mask).await {
        Ok(secrets) => secrets,
        Err(fault) => return untouched(fault),
    };
    let mut keys = Keys { secrets, authorization: Value::Null };
    let evaluator = &*worker.ports().evaluator;
    let mut identity = None;
    if let Some((scheme, late)) = &sealed.authentication {
        let properties = match late.open(&keys, evaluator).await {
            Ok(properties) => properties,
            Err(fault) => return untouched(fault),
        };
        confidential(&properties, mask);
        let session = Session::new(asking(worker, effect), &effect.namespace, *scheme, &properties);
        let mut session = match session {
            Ok(session) => session,
            Err(fault) => return untouched(fault),
        };
        let first = session.first().await;
        session.said().for_each(|said| mask.add_text(said));
        let first = match first {
            Ok(first) => first,
            Err(unauthenticated) => return http::without(unauthenticated),
        };
        if let Some(first) = &first {
            keys.authorization = first.as_value();
        }
        identity = Some(Identity { session, first });
    }
    match sealed.open(&keys, evaluator).await {
        Ok(Action::Http(request)) => {
            http::perform_sealed(worker.gate(), effect, &request, identity, mask).await
        }
        Ok(Action::Function { function, input }) => {
            worker.function(effect, &function, &input).await
        }
        Ok(Action::Process(request)) => {
            let given = Given { mask: mask.clone(), code: sealed.code_is_sealed() };
            worker.process(effect, &request, given, place).await
        }
        Ok(Action::Sealed(_) | Action::Workflow(_)) => {
            unreachable!("what is opened is a request, a function or a process")
        }
        Err(fault) => untouched(fault),
    }
}

/// An object of the secrets that are read, by name.
async fn secrets(
    worker: &Worker,
    effect: &Perform,
    sealed: &Sealed,
    mask: &mut Mask,
) -> Result<Value, Fault> {
    let mut fields = Vec::new();
    for used in sealed.secrets(&effect.secrets) {
        let value = worker.ports().secrets.open(&effect.namespace, used).await?;
        mask.add(&value);
        fields.push((used.0.as_str(), value));
    }
    Ok(object(fields))
}

/// Properties that are secret by what they are, wherever the author has put them.
pub(crate) fn confidential(properties: &Value, mask: &mut Mask) {
    // A provider that knows only text gives an object as its JSON.
    let parsed = as_str(properties).and_then(|text| parse(text.as_bytes()).ok());
    let properties = parsed.as_ref().unwrap_or(properties);
    let client = get(properties, "client");
    let tokens = ["subject", "actor"].map(|name| get(properties, name));
    let found = [
        get(properties, "password"),
        get(properties, "token"),
        client.and_then(|client| get(client, "secret")),
        client.and_then(|client| get(client, "assertion")),
    ];
    let tokens = tokens.into_iter().flatten().filter_map(|token| get(token, "token"));
    found.into_iter().flatten().chain(tokens).for_each(|value| mask.add(value));
}

fn asking<'a>(worker: &'a Worker, effect: &'a Perform) -> Asking<'a> {
    Asking {
        gate: worker.gate(),
        caller: caller(effect),
        tokens: worker.tokens(),
        traceparent: &effect.traceparent,
        clock: &*worker.ports().clock,
        random: &*worker.ports().random,
    }
}
