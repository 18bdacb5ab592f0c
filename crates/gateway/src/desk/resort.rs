//! What is given where no model has answered: an answer from before, or a text of the route's own.

use dialects::{Dialect, Plain};
use http::{HeaderValue, StatusCode};
use models::{Ask, CallRefusal, End, Given, Operation, Person, Resort, Rules, last_words};

use super::call::Asked;
use super::open::Open;
use super::person;
use super::reply::Reply;

/// The first that there is; the call as it is, where there is none.
pub(super) async fn given(
    mut open: Open,
    asked: &Asked<'_>,
) -> Result<Result<Reply, CallRefusal>, Open> {
    for resort in asked.found.last() {
        match resort {
            Resort::Cached(cached) => {
                if let Some(again) = asked.before(open.desk(), cached.within.duration()) {
                    return Ok(again.in_place(open).await);
                }
            }
            Resort::Rules(rules) => {
                if let Some(said) = said(&open, asked, rules) {
                    return Ok(by_rule(open, asked, said).await);
                }
            }
            // Behind all others.
            Resort::Person(person) if Person::answers(asked.ask.operation) => {
                match person::asked(open, asked, person).await {
                    Ok(reply) => return Ok(reply),
                    Err(back) => open = back,
                }
            }
            Resort::Person(_) => {}
        }
    }
    Err(open)
}

/// The answer by rule, in the client's words.
fn said(open: &Open, asked: &Asked<'_>, rules: &Rules) -> Option<Vec<u8>> {
    let (ask, question) = (asked.ask, asked.question);
    let words = last_words(ask.operation, &question.body);
    let text = rules.text(words.as_deref().unwrap_or_default())?;
    in_words(open, ask, text)
}

/// A text as the client's interface has answers.
pub(super) fn in_words(open: &Open, ask: &Ask, text: &str) -> Option<Vec<u8>> {
    let id = open.call.to_string();
    let plain = Plain {
        id: &id,
        model: ask.model.as_str(),
        text,
        now: open.desk().now().as_millis() / 1_000,
    };
    let whole = |dialect: Dialect| match ask.is_streamed {
        true => plain.events(dialect, ask.wants_usage),
        false => plain.whole(dialect),
    };
    match ask.operation {
        Operation::Chat => Some(whole(Dialect::Chat)),
        Operation::Responses => Some(whole(Dialect::Responses)),
        Operation::Messages => Some(whole(Dialect::Messages)),
        Operation::Completions if ask.is_streamed => Some(plain.completion_events(ask.wants_usage)),
        Operation::Completions => Some(plain.completion()),
        // No text is a vector.
        Operation::Embeddings | Operation::Infer => None,
    }
}

async fn by_rule(mut open: Open, asked: &Asked<'_>, said: Vec<u8>) -> Result<Reply, CallRefusal> {
    (open.degraded, open.resort) = (true, Some(Given::Rule));
    open.durable().await?;
    open.first();
    let kind = if asked.ask.is_streamed { "text/event-stream" } else { "application/json" };
    let kind = HeaderValue::from_static(kind);
    let mut reply = Reply::whole(StatusCode::OK, Some(kind), said.into());
    reply.paid = Some(open.paid());
    let reply = reply.of(open.call, None, open.marks());
    open.settle(End::Answered);
    Ok(reply)
}
