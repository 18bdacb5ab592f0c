//! One leg: a call at one model, up to the head of its answer. What comes behind the head is in `arrival`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Timestamp;
use bytes::Bytes;
use dialects::Translation;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use models::{
    Accept, Ask, BENCH_BUSY, BENCH_MAX, Blame, CallRefusal, Dialect, Leave, Missed, Operation,
    Shut, Upstream, Why,
};
use pricing::Money;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::body::AnswerBody;
use super::judge::Held;
use super::open::Open;
use super::port::Tensors;
use super::said::{Said, said};
use super::shelf::{Outlet, Outside, Shelved};
use super::unsaid::without_secret;
use super::veil::Seen;
use super::{Desk, HEAD, Question, disk};
use crate::lane::{LaneAnswer, LaneBody, LaneError, LaneRequest};

/// The largest text of an error that is passed on.
const ERROR_BYTES_MAX: usize = 256 * 1024;

/// How long a call waits for its turn at one model before it goes to the next.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// A secret is read again after so long: somebody may have replaced it.
const SECRET_FRESH: base::Duration = base::Duration::from_secs(30);

/// What Anthropic's interface asks for where the client says nothing.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// What came of it.
pub(super) enum Went {
    /// It answers. The place is held until the end of the answer.
    Answers(Answers),
    /// It has answered with tensors, and what that costs is known.
    Ran(Tensors),
    /// The request is wrong, in the upstream's own words.
    Refused(StatusCode, HeaderMap, Bytes),
    /// It is paid for, and not good enough: another model may have a better one.
    Unsure(Held),
    /// Another model may answer.
    Missed { after: Option<base::Duration> },
    /// It cannot be asked this; a model of the client's own dialect may answer.
    Untranslated(CallRefusal),
}

/// An answer that has begun.
pub(super) struct Answers {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: AnswerBody,
    /// Until the end of the answer.
    pub place: Option<OwnedSemaphorePermit>,
    /// What puts it into the client's words.
    pub translation: Option<Box<Translation>>,
    /// Until it is known whether it is one.
    pub attempt: Option<Try>,
}

/// An error, as the upstream says it.
pub(super) struct Told {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// None where it broke off.
    pub text: Option<Bytes>,
}

/// One model in one call.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a> {
    pub shelved: &'a Arc<Shelved>,
    pub question: &'a Question,
    /// As the client has asked it.
    pub ask: &'a Ask,
    pub seen: &'a Seen,
    /// What its answer must be.
    pub accept: Option<&'a Accept>,
    pub bound: Option<Money>,
}

/// A leg that may be sent, and is not yet.
pub(super) struct Ready<'a> {
    leg: Leg<'a>,
    outside: &'a Outside,
    /// Until it is sent.
    request: Option<LaneRequest>,
    attempt: Try,
    place: OwnedSemaphorePermit,
    translation: Option<Box<Translation>>,
}

/// One try of a lane. Dropped, it says what its silence says.
pub(super) struct Try {
    shelved: Arc<Shelved>,
    leave: Leave,
    desk: Desk,
    stage: Stage,
}

/// How far a try is.
enum Stage {
    Unsent,
    /// Of what the site runs itself there is nothing to hear: its end comes in time.
    Runs,
    /// Nothing was heard since then, and it may say nothing for so long.
    Silent(tokio::time::Instant, Duration),
    Over,
}

impl Try {
    /// None where the lane is shut, and nothing is sent.
    pub(super) fn begin(
        desk: &Desk,
        shelved: &Arc<Shelved>,
    ) -> Result<Self, (Missed, base::Duration)> {
        let now = desk.now();
        let leave = shelved.health(|health, secret| health.ask(secret, now));
        let leave = leave.map_err(|Shut { until, why }| (shut(why), until.since(now)))?;
        let (shelved, desk) = (Arc::clone(shelved), desk.clone());
        Ok(Self { shelved, leave, desk, stage: Stage::Unsent })
    }

    pub(super) fn runs(&mut self) {
        self.stage = Stage::Runs;
    }

    /// It was sent, or something of it has come: the next may take so long.
    pub(super) fn waits(&mut self, given: Duration) {
        self.stage = Stage::Silent(tokio::time::Instant::now(), given);
    }

    /// The head of a good answer is there.
    fn is_taken(&mut self) {
        let (leave, now) = (self.leave, self.desk.now());
        self.leave = self.shelved.health(|health, secret| health.taken(secret, leave, now));
        self.waits(self.shelved.model.spec.limits.silence().as_std());
    }

    /// The first part of a stream is there.
    pub(super) fn is_begun(&self) {
        self.shelved.health(|health, _| health.begun(self.leave));
    }

    pub(super) fn report(mut self, blame: Blame) {
        self.stage = Stage::Over;
        self.tell(blame);
    }

    fn tell(&self, blame: Blame) {
        let now = self.desk.now();
        self.shelved.health(|health, secret| health.report(secret, blame, self.leave, now));
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let millis = |it: Duration| {
            base::Duration::from_millis(u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
        };
        match self.stage {
            Stage::Over => {}
            Stage::Unsent => self.tell(Blame::Unsent),
            Stage::Runs => self.tell(Blame::Unknown),
            Stage::Silent(since, given) => {
                self.tell(Blame::of_silence(millis(since.elapsed()), millis(given)));
            }
        }
    }
}

pub(super) async fn go(open: &mut Open, leg: Leg<'_>) -> Went {
    if let Outlet::Disk = &leg.shelved.outlet {
        if let Some(missed) = unjudged(open, leg) {
            return missed;
        }
        return disk::go(open, leg).await;
    }
    let mut ready = match ready(open, leg).await {
        Ok(ready) => ready,
        Err(went) => return went,
    };
    if let Err(why) = open.sends(leg.shelved, leg.bound) {
        return missed(open, leg, why, None);
    }
    let started = Instant::now();
    let answer = ready.send().await;
    ready.went(open, answer, started).await
}

/// Nobody could say whether its answer is good.
fn unjudged(open: &mut Open, leg: Leg<'_>) -> Option<Went> {
    let accept = leg.accept?;
    let spoken = leg.shelved.model.spec.asked_as(leg.ask.operation).unwrap_or(leg.ask.operation);
    (!accept.can_judge(spoken)).then(|| missed(open, leg, Missed::Unjudged, None))
}

pub(super) fn missed(
    open: &mut Open,
    leg: Leg<'_>,
    why: Missed,
    after: Option<base::Duration>,
) -> Went {
    open.leg(&leg.shelved.model.name, None, Some(why), Duration::ZERO);
    Went::Missed { after }
}

/// All that comes before a request is sent.
pub(super) async fn ready<'a>(open: &mut Open, leg: Leg<'a>) -> Result<Ready<'a>, Went> {
    let Leg { shelved, question, ask, seen, accept, .. } = leg;
    let model = &shelved.model.name;
    let outside = match &shelved.outlet {
        Outlet::Lane(outside) => outside,
        Outlet::Denied(_) => return Err(missed(open, leg, Missed::Denied, None)),
        Outlet::Disk => return Err(missed(open, leg, Missed::Unreachable, None)),
    };
    if let Seen::Nothing(_) = seen {
        return Err(missed(open, leg, Missed::Protected, None));
    }
    if let Some(missed) = unjudged(open, leg) {
        return Err(missed);
    }
    let ask = seen.ask(ask);
    let desk = open.desk().clone();
    let now = desk.now();
    let spoken = said(shelved, outside.spoken(model), ask, seen.body(question), accept, now);
    let Said { operation, body, translation } = match spoken {
        Ok(said) => said,
        Err(refusal) => {
            missed(open, leg, Missed::Dialect, None);
            return Err(Went::Untranslated(refusal));
        }
    };
    let attempt = match Try::begin(&desk, shelved) {
        Ok(attempt) => attempt,
        Err((why, after)) => return Err(missed(open, leg, why, Some(after))),
    };
    let Some(place) = place(&shelved.places).await else {
        return Err(missed(open, leg, Missed::Busy, None));
    };
    let headers = match headers(&desk, shelved, &outside.upstream, question, operation).await {
        Ok(headers) => headers,
        Err(why) => {
            tracing::warn!(model = %model, why, "the secret of a model cannot be used");
            attempt.report(Blame::Unopened);
            return Err(missed(open, leg, Missed::Credentials, None));
        }
    };
    let path = outside.path(operation, model);
    let request = Some(LaneRequest { method: Method::POST, path, headers, body });
    Ok(Ready { leg, outside, request, attempt, place, translation })
}

impl<'a> Ready<'a> {
    pub(super) const fn leg(&self) -> Leg<'a> {
        self.leg
    }

    /// Up to the head of the answer.
    pub(super) fn send(
        &mut self,
    ) -> impl Future<Output = Result<LaneAnswer, LaneError>> + Send + use<'a> {
        let request = self.request.take().expect("it is sent once");
        let within = self.leg.shelved.model.spec.limits.first_byte().as_std();
        self.attempt.waits(within);
        let lane = &self.outside.lane;
        async move { lane.send(request, within).await }
    }

    /// What came of it.
    pub(super) async fn went(
        self,
        open: &mut Open,
        answer: Result<LaneAnswer, LaneError>,
        started: Instant,
    ) -> Went {
        let Self { leg, mut attempt, place, translation, .. } = self;
        let (shelved, model) = (leg.shelved, &leg.shelved.model.name);
        open.sees(leg.seen.hidden());
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_unsent() {
                    open.was_free();
                } else {
                    open.is_lost();
                }
                attempt.report(Blame::Upstream);
                open.leg(model, None, Some(why(&error)), started.elapsed());
                if let LaneError::NotSent { why, .. } = &error {
                    open.because(why);
                }
                return Went::Missed { after: None };
            }
        };
        let LaneAnswer { status: told, headers, body } = answer;
        let status = told.as_u16();
        // Packed, it could be neither read nor looked through.
        if told.is_success() && is_packed(&headers) {
            attempt.report(Blame::Upstream);
            open.is_lost();
            open.leg(model, Some(status), Some(Missed::Broken), started.elapsed());
            return Went::Missed { after: None };
        }
        if told.is_success() {
            attempt.is_taken();
            open.leg(model, Some(status), None, started.elapsed());
            let (body, place, attempt) = (AnswerBody::Lane(body), Some(place), Some(attempt));
            let status = told;
            return Went::Answers(Answers { status, headers, body, place, translation, attempt });
        }
        let text = text(body, shelved).await;
        open.leg(model, Some(status), None, started.elapsed());
        let told = Told { status: told, headers, text };
        failed(open, shelved, Some(attempt), translation, told)
    }

    /// It was sent, and another one was faster.
    pub(super) fn slower(self, open: &mut Open, took: Duration) {
        open.sees(self.leg.seen.hidden());
        open.leg(&self.leg.shelved.model.name, None, Some(Missed::Slower), took);
    }
}

/// How a try has ended, where there was one: what the site runs itself has none.
pub(super) fn report(attempt: Option<Try>, blame: Blame) {
    if let Some(attempt) = attempt {
        attempt.report(blame);
    }
}

/// The leg that was told of last has an error in place of an answer.
pub(super) fn failed(
    open: &mut Open,
    shelved: &Shelved,
    attempt: Option<Try>,
    translation: Option<Box<Translation>>,
    told: Told,
) -> Went {
    let Told { status, headers, text } = told;
    let after = retry_after(&headers, open.desk().now());
    let code = status.as_u16();
    let blame = match (Blame::of_status(code, after), &text) {
        // It has not even said what is wrong.
        (Blame::Nobody, None) => Blame::Upstream,
        (blame, _) => blame,
    };
    report(attempt, blame);
    // Nobody bills an error.
    open.was_free();
    let why = refused(code, blame);
    open.fails(code, why);
    match (why, text) {
        (None, Some(text)) => {
            // Of one that is under way still, a server says that.
            if code != StatusCode::CONFLICT.as_u16() {
                open.was_free_before();
            }
            let text = without_secret(text, shelved);
            let text = match translation {
                Some(translation) => translation.error(code, &text).into(),
                None => text,
            };
            Went::Refused(status, headers, text)
        }
        (Some(_), _) | (None, None) => {
            // So long its secret rests, where it has not said how long.
            let busy = matches!(blame, Blame::RateLimit { .. }).then_some(BENCH_BUSY);
            Went::Missed { after: after.or(busy) }
        }
    }
}

async fn text(body: LaneBody, shelved: &Shelved) -> Option<Bytes> {
    let silence = shelved.model.spec.limits.silence().as_std();
    body.whole(ERROR_BYTES_MAX, silence).await.ok()
}

/// A place among the calls at once.
pub(super) async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    timeout(TURN_WAIT, Arc::clone(places).acquire_owned()).await.ok()?.ok()
}

async fn headers(
    desk: &Desk,
    shelved: &Shelved,
    upstream: &Upstream,
    question: &Question,
    operation: Operation,
) -> Result<HeaderMap, String> {
    let now = desk.now();
    // What the client says of its own dialect means nothing in another.
    let is_same = operation == question.operation;
    let mut headers = if is_same { question.headers.clone() } else { HeaderMap::new() };
    let binary = HeaderValue::from_static("application/octet-stream");
    let json = HeaderValue::from_static("application/json");
    headers.insert(CONTENT_TYPE, if headers.contains_key(HEAD) { binary } else { json });
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if let Some(of) = &question.of_run {
        headers.insert("idempotency-key", of.header(&shelved.model.name));
    }
    let name = match upstream.dialect {
        Dialect::OpenAi | Dialect::OpenInference => AUTHORIZATION,
        Dialect::Anthropic => {
            let version = HeaderName::from_static("anthropic-version");
            headers.entry(version).or_insert(ANTHROPIC_VERSION);
            HeaderName::from_static("x-api-key")
        }
    };
    let Some(secret) = &upstream.secret else { return Ok(headers) };
    let known = shelved.opens(|opens| opens.clone());
    if let Some((value, since)) = known.filter(|(_, since)| now.since(*since) < SECRET_FRESH) {
        let _ = since;
        headers.insert(name, value);
        return Ok(headers);
    }
    let text = desk.0.credentials.open(&shelved.model.namespace, secret).await?;
    let text = match upstream.dialect {
        Dialect::OpenAi | Dialect::OpenInference => format!("Bearer {}", text.trim()),
        Dialect::Anthropic => text.trim().to_owned(),
    };
    let value = HeaderValue::from_str(&text);
    let mut value = value.map_err(|_| format!("the secret `{secret}` does not fit a header"))?;
    value.set_sensitive(true);
    shelved.opens(|opens| *opens = Some((value.clone(), now)));
    headers.insert(name, value);
    Ok(headers)
}

/// In seconds, or until a date; no longer than anybody may ask for.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<base::Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than any number has.
        let seconds = said.parse().map_or(BENCH_MAX, base::Duration::from_secs);
        return Some(seconds.min(BENCH_MAX));
    }
    let until = httpdate::parse_http_date(said).ok()?;
    let until = until.duration_since(std::time::UNIX_EPOCH).ok()?;
    let until = Timestamp::from_millis(i64::try_from(until.as_millis()).ok()?);
    Some(until.since(now).min(BENCH_MAX))
}

fn is_packed(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"))
}

const fn shut(why: Why) -> Missed {
    match why {
        Why::Outage | Why::Overload => Missed::Outage,
        Why::RateLimit => Missed::RateLimit,
        Why::Credentials => Missed::Credentials,
        Why::Payment => Missed::Payment,
    }
}

/// Why the leg gave no answer, where that is not the request's own fault.
const fn refused(status: u16, blame: Blame) -> Option<Missed> {
    match (status, blame) {
        (300..=399, _) => return Some(Missed::Redirected),
        // The site has chosen the address and the model's name there.
        (404 | 405 | 410, Blame::Nobody) => return Some(Missed::NotFound),
        _ => {}
    }
    match blame {
        Blame::Nobody | Blame::Unknown | Blame::Unsent => None,
        Blame::Upstream | Blame::Overloaded { .. } => Some(Missed::Status),
        Blame::RateLimit { .. } => Some(Missed::RateLimit),
        Blame::Credentials | Blame::Unopened => Some(Missed::Credentials),
        Blame::Payment => Some(Missed::Payment),
    }
}

pub(super) const fn why(error: &LaneError) -> Missed {
    match error {
        LaneError::Denied(_) => Missed::Denied,
        LaneError::NotSent { .. } => Missed::Unreachable,
        LaneError::NoAnswer { .. } => Missed::Broken,
        LaneError::Silent { .. } => Missed::Silent,
        LaneError::TooLarge { .. } => Missed::TooLarge,
    }
}
