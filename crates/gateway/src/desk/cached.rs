//! Answers that are given again: in memory, as the client of the first one saw them, for its namespace alone.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use base::{CallId, Digest, Duration};
use bytes::Bytes;
use http::header::{AGE, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use models::{Ask, Cache, CallRefusal, End, Given, ModelName, Operation, Worst, same_question};

use super::call::Asked;
use super::open::{Admission, Open};
use super::reply::{CACHE, Reply};
use super::routed::Found;
use super::{Desk, Fresh, HEAD, Question};

/// A whole answer.
#[derive(Debug)]
pub(super) struct Kept {
    call: CallId,
    model: ModelName,
    content_type: Option<HeaderValue>,
    head: Option<HeaderValue>,
    body: Bytes,
}

/// An answer from before, and how old it is.
pub(super) struct Again {
    kept: Arc<Kept>,
    age: Duration,
}

/// How the answer to one question is kept.
pub(super) struct Keep {
    key: Digest,
    /// How old one may be to be given at once; none may where a new one is asked for.
    fresh: Option<Duration>,
}

impl Keep {
    /// None where nothing is kept of it, which costs nothing.
    pub(super) fn of(question: &Question, ask: &Ask, found: &Found) -> Option<Self> {
        let (cache, cached) = (found.cache(), found.cached());
        if (cache.is_none() && cached.is_none())
            || ask.is_streamed
            || question.fresh == Fresh::Alone
        {
            return None;
        }
        let is_sampled = match question.operation {
            Operation::Embeddings | Operation::Infer => false,
            Operation::Chat
            | Operation::Completions
            | Operation::Responses
            | Operation::Messages => ask.is_sampled,
        };
        let fits = cache.filter(|cache| cache.sampled || !is_sampled);
        // Where nobody answers, any answer to the same question will do.
        if fits.is_none() && cached.is_none() {
            return None;
        }
        let ttl = fits.map(|cache| cache.ttl.duration());
        let fresh = ttl.filter(|_| question.fresh == Fresh::Any);
        Some(Self { key: key(question, ask, found)?, fresh })
    }

    /// One that is given without asking anybody.
    pub(super) fn fresh(&self, desk: &Desk) -> Option<Again> {
        self.within(desk, self.fresh?)
    }

    pub(super) fn within(&self, desk: &Desk, within: Duration) -> Option<Again> {
        let (kept, at) = desk.cache(|cache| cache.get(&self.key))?;
        let age = desk.now().since(at);
        (age < within).then_some(Again { kept, age })
    }

    /// Keeps an answer that is as good as this route has them.
    pub(super) fn keeps(&self, open: &Open, reply: &Reply, body: &Bytes, model: &ModelName) {
        if reply.status != StatusCode::OK || open.degraded || open.resort.is_some() {
            return;
        }
        let kept = Kept {
            call: open.call,
            model: model.clone(),
            content_type: reply.headers.get(CONTENT_TYPE).cloned(),
            head: reply.headers.get(HEAD).cloned(),
            // The rest of what it was read into would be kept with it.
            body: Bytes::copy_from_slice(body),
        };
        let (desk, bytes) = (open.desk(), kept.body.len());
        let now = desk.now();
        desk.cache(|cache| cache.put(self.key, Arc::new(kept), bytes, now));
    }
}

/// What makes a question another one.
fn key(question: &Question, ask: &Ask, found: &Found) -> Option<Digest> {
    let mut about = about(question, ask);
    about.extend(found.route.iter().map(|it| it.revision.number().to_string()));
    // A model that was changed, or is left out by now, makes another answer.
    let mut models: Vec<u64> = found.models.iter().map(|it| it.shelved.revision.number()).collect();
    models.sort_unstable();
    about.extend(models.iter().map(ToString::to_string));
    digest(question, &about)
}

/// The same for a person, who is no other one after a restart, or when a model was changed.
pub(super) fn question_key(question: &Question, ask: &Ask) -> Option<Digest> {
    digest(question, &about(question, ask))
}

fn about(question: &Question, ask: &Ask) -> Vec<String> {
    let mut about = vec![
        question.who.by.namespace.to_string(),
        ask.model.to_string(),
        question.operation.as_str().to_owned(),
    ];
    let mut labels = question.of_run.as_ref().map_or_else(Vec::new, |of| of.labels.to_vec());
    labels.sort();
    about.push(labels.join(" "));
    for (name, value) in &question.headers {
        about.push(format!("{name}: {:?}", value.as_bytes()));
    }
    about
}

fn digest(question: &Question, about: &[String]) -> Option<Digest> {
    let head = question.head().ok()?.unwrap_or(question.body.len());
    let (json, rest) = question.body.split_at(head);
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    same_question(json, rest, &about)
}

impl Again {
    /// At once: it is written down as every call, and costs nothing.
    pub(super) async fn given(
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
            needs: models::Needs::of(ask),
            plan: found.models.iter().map(|it| it.shelved.model.name.clone()).collect(),
            streamed: false,
            bound: Ok(Worst::of_legs(0)),
            tokens: 0,
            // Nothing is sent, so that nothing is asked again.
            is_billed_once: false,
            priced_at: desk.now(),
            route: None,
            place: None,
            started,
        };
        let open = Open::admit(desk, question, admission).await?;
        self.reply(open).await
    }

    /// Where no model has answered.
    pub(super) async fn in_place(self, mut open: Open) -> Result<Reply, CallRefusal> {
        (open.degraded, open.resort) = (true, Some(Given::Cached));
        self.reply(open).await
    }

    async fn reply(self, mut open: Open) -> Result<Reply, CallRefusal> {
        let Self { kept, age } = self;
        open.durable().await?;
        open.first();
        open.cached_from = Some(kept.call);
        let mut reply = Reply::whole(StatusCode::OK, kept.content_type.clone(), kept.body.clone());
        reply.paid = Some(open.paid());
        reply.headers.insert(CACHE, HeaderValue::from_static("hit"));
        reply.headers.insert(AGE, HeaderValue::from(age.as_millis() / 1_000));
        if let Some(head) = &kept.head {
            reply.headers.insert(HEAD, head.clone());
        }
        let reply = reply.of(open.call, Some(&kept.model), open.marks());
        open.settle(End::Answered);
        Ok(reply)
    }
}

impl Asked<'_> {
    /// An answer to the same question from before.
    pub(super) fn before(&self, desk: &Desk, within: Duration) -> Option<Again> {
        self.keep.as_ref()?.within(desk, within)
    }
}

impl Desk {
    fn cache<T>(&self, change: impl FnOnce(&mut Cache<Arc<Kept>>) -> T) -> T {
        change(&mut self.0.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
