//! A person as the last resort: the question goes into the inbox of the site, and whoever asks waits a while.
//!
//! The same question asked again joins the one that lies there, before any model is asked: whoever was told to
//! come again pays nothing for it (ADR 32).

use std::sync::Arc;
use std::time::Instant;

use base::{CallId, Namespace};
use http::{HeaderName, HeaderValue, StatusCode};
use models::{
    Ask, CallRefusal, End, Given, Needs, OfPerson, Person, QUESTION_BYTES_MAX, Remedy, Worst,
};
use tokio::time::timeout;

use super::cached::question_key;
use super::call::Asked;
use super::open::{Admission, Open};
use super::port::{Heard, NotAsked, ToPeople, Waiting};
use super::reply::{Marks, Reply};
use super::resort::in_words;
use super::routed::Found;
use super::{Desk, Question};

/// The question that lies in the inbox: there where a person was asked and has not answered.
pub const ASKED: HeaderName = HeaderName::from_static("x-isonomy-asked");

/// A question that somebody was asked before.
pub(super) struct Joined<'a> {
    person: &'a Person,
    waiting: Waiting,
}

impl<'a> Joined<'a> {
    /// Where the same question lies in the inbox.
    pub(super) fn of(
        desk: &Desk,
        question: &Question,
        ask: &Ask,
        found: &'a Found,
    ) -> Option<Self> {
        let person = found.person(ask)?;
        let key = question_key(question, ask)?;
        let waiting = desk.0.people.same(&question.who.by.namespace, &key)?;
        Some(Self { person, waiting })
    }

    /// No model is asked, and nothing is held.
    pub(super) async fn heard(
        self,
        desk: &Desk,
        question: &Question,
        ask: &Ask,
        found: &Found,
        started: Instant,
    ) -> Result<Reply, CallRefusal> {
        desk.take(&question.who, 0)?;
        let admission = Admission {
            asked: ask.model.clone(),
            needs: Needs::of(ask),
            plan: found.models.iter().map(|it| it.shelved.model.name.clone()).collect(),
            streamed: ask.is_streamed,
            bound: Ok(Worst::of_legs(0)),
            tokens: 0,
            is_billed_once: false,
            priced_at: desk.now(),
            route: None,
            place: None,
            started,
        };
        let open = Open::admit(desk, question, admission).await?;
        waits(open, (question, ask), self.person, self.waiting).await
    }
}

/// Asks a person, and waits as long as the route says; the call as it is, where nobody could be asked.
pub(super) async fn asked(
    mut open: Open,
    asked: &Asked<'_>,
    person: &Person,
) -> Result<Result<Reply, CallRefusal>, Open> {
    let (question, ask) = (asked.question, asked.ask);
    let to_people = match to_people(&open, question, ask, person) {
        Ok(to_people) => to_people,
        Err(why) => {
            open.unasked = Some(why);
            return Err(open);
        }
    };
    let people = Arc::clone(&open.desk().0.people);
    match people.ask(to_people).await {
        Ok(waiting) => Ok(waits(open, (question, ask), person, waiting).await),
        Err(why) => {
            open.unasked = Some(why);
            Err(open)
        }
    }
}

fn to_people(
    open: &Open,
    question: &Question,
    ask: &Ask,
    person: &Person,
) -> Result<ToPeople, NotAsked> {
    if question.body.len() > QUESTION_BYTES_MAX {
        return Err(NotAsked::TooLarge);
    }
    Ok(ToPeople {
        call: open.call,
        who: question.who.by.clone(),
        key: question_key(question, ask).ok_or(NotAsked::Unwritten)?,
        route: ask.model.clone(),
        operation: question.operation,
        body: question.body.clone(),
        until: open.desk().now().plus(person.within.duration()),
    })
}

/// What the person says, in the client's own form; or that there is nothing yet. A run does not wait here, where
/// it holds a place and its budget.
async fn waits(
    mut open: Open,
    (question, ask): (&Question, &Ask),
    person: &Person,
    Waiting { question: id, until }: Waiting,
) -> Result<Reply, CallRefusal> {
    open.durable().await?;
    let people = Arc::clone(&open.desk().0.people);
    let heard = people.heard(&question.who.by.namespace, id);
    let wait = match question.of_run {
        Some(_) => base::Duration::ZERO,
        None => person.wait(),
    };
    let heard = timeout(wait.as_std(), heard).await.ok();
    let asked = ask.model.clone();
    let by = match &heard {
        Some(Heard::Answer { by, .. } | Heard::Declined { by, .. }) => Some(by.clone()),
        Some(Heard::Over) | None => None,
    };
    open.person = Some(OfPerson { question: id, by });
    let refusal = match heard {
        Some(Heard::Answer { text, .. }) => match in_words(&open, ask, &text) {
            Some(said) => return Ok(answered(open, ask, said)),
            None => CallRefusal::Asked { asked, question: id, until },
        },
        Some(Heard::Declined { reason, .. }) => {
            CallRefusal::Declined { asked, question: id, reason }
        }
        Some(Heard::Over) => {
            let tried = "a person was asked, and has not answered in time".to_owned();
            CallRefusal::NoAnswer { asked, tried, after: None, remedy: Remedy::Later }
        }
        None => CallRefusal::Asked { asked, question: id, until },
    };
    open.settle(End::Failed);
    let mut reply = Reply::refused(&refusal, Some(question.operation));
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        reply.headers.insert(ASKED, id);
    }
    Ok(reply.of(open.call, None, Marks::default()))
}

fn answered(mut open: Open, ask: &Ask, said: Vec<u8>) -> Reply {
    (open.degraded, open.resort) = (true, Some(Given::Person));
    open.first();
    let kind = if ask.is_streamed { "text/event-stream" } else { "application/json" };
    let kind = HeaderValue::from_static(kind);
    let mut reply = Reply::whole(StatusCode::OK, Some(kind), said.into());
    reply.paid = Some(open.paid());
    let reply = reply.of(open.call, None, open.marks());
    open.settle(End::Answered);
    reply
}

impl Found {
    /// Who may be asked in place of a model.
    pub(super) fn person(&self, ask: &Ask) -> Option<&Person> {
        let person = self.route.as_ref()?.spec.person()?;
        Person::answers(ask.operation).then_some(person)
    }
}

impl Desk {
    /// Until somebody has said something to a question in the inbox, or its time is over; whether somebody has.
    pub async fn heard(&self, namespace: &Namespace, question: CallId) -> bool {
        self.0.people.heard(namespace, question).await != Heard::Over
    }
}
